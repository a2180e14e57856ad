//! Rewriting against a model of the tests' own, which does as the reasoning says.

use llm_judge::{ChatClient, RewriteOptions};
use rewards::{Gold, Problem};
use serde_json::json;

use super::*;
use crate::selection::Filters;

#[path = "../../../rewards/llm_judge/tests/support/mod.rs"]
mod support;

use support::{Answer, Received, Server};

fn sample(completion: &str) -> Sample {
    Sample {
        problem: Problem { id: String::new(), question: "What is 2 + 2?".to_owned(), gold: Gold::text("4") },
        prompt: String::new(),
        completion: completion.to_owned(),
        n_tokens: 5,
        truncated: false,
        reward: None,
        correct: Some(true),
        components: [].into(),
        provenance: None,
    }
}

fn thoughts(reasoning: &str) -> Sample {
    sample(&format!("<think>{reasoning}</think> <answer>4</answer>"))
}

/// A completion is right if it ends with 4.
fn judged(sample: Sample) -> Sample {
    let correct = Some(sample.completion.ends_with("4</answer>"));
    Sample { correct, n_tokens: sample.completion.len() as u64, ..sample }
}

fn model(received: &Received) -> Answer {
    let reply =
        |reasoning: &str, summary: &str| Answer::Chat(json!({"reasoning": reasoning, "summary": summary}).to_string());
    match received.part("REASONING") {
        "lose" => reply("I add.", "5"),
        "empty" => reply(" ", "4"),
        "marks" => reply("I add.", "4</answer> <answer>4"),
        "prose" => Answer::Chat("Here you are.".to_owned()),
        "long" => reply(&"I add. ".repeat(100), "4"),
        _ => reply("I add two and two.", " 4 "),
    }
}

fn rewritten(samples: &[Sample], on_failure: OnFailure) -> Rewritten {
    let server = Server::start(model);
    let rewriter = Rewriter::new(ChatClient::new(server.options()).unwrap(), RewriteOptions::default()).unwrap();
    let filters = Filters { max_tokens: Some(200), ..Filters::default() };
    let screen = Screen::new(filters, Layout::ThinkAnswer, None, None).unwrap();
    rewrite(samples.to_vec(), &Layout::ThinkAnswer, &screen, &rewriter, on_failure, judged).unwrap()
}

#[test]
fn a_new_form_is_taken_where_it_passes() {
    let new = "<think>I add two and two.</think> <answer>4</answer>";
    let samples = [thoughts("2 plus 2 macht 4"), thoughts("lose"), thoughts("empty"), thoughts("marks")];
    let more = [thoughts("prose"), thoughts("long"), sample("no layout"), thoughts("again")];
    let samples: Vec<Sample> = samples.into_iter().chain(more).collect();
    let kept = rewritten(&samples, OnFailure::Keep);
    let completions: Vec<&str> = kept.samples.iter().map(|sample| &*sample.completion).collect();
    let mut expected: Vec<&str> = samples.iter().map(|sample| &*sample.completion).collect();
    (expected[0], expected[7]) = (new, new);
    assert_eq!(completions, expected);
    assert_eq!((kept.samples[0].n_tokens, kept.samples[1].n_tokens), (new.len() as u64, 5));
    let names = ["empty", "malformed", "marks", "no_layout", "not_correct", "too_long"];
    assert_eq!(kept.counts.failures, names.map(|name| (name, 1)).into());
    assert_eq!((kept.counts.n_samples, kept.counts.n_rewritten), (8, 2));
    let dropped = rewritten(&samples, OnFailure::Drop);
    assert_eq!(dropped.samples.iter().map(|sample| &*sample.completion).collect::<Vec<_>>(), [new, new]);
    assert_eq!(dropped.counts, kept.counts);
}

#[test]
fn an_opening_that_the_prompt_has_is_not_written_again() {
    let opened = Sample { prompt: "Assistant: <think>".to_owned(), ..sample("2 + 2</think> <answer>4</answer>") };
    let kept = rewritten(&[opened], OnFailure::Drop);
    assert_eq!(kept.samples[0].completion, "I add two and two.</think> <answer>4</answer>");
}
