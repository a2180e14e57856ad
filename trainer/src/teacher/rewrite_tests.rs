//! Rewriting against a model of the tests' own, which does as the reasoning says.

use llm_judge::{ChatClient, RewriteOptions};
use rewards::{Gold, Problem};
use serde_json::json;

use super::*;
use crate::selection::{Correctness, Filters, Provenance};

use crate::teacher::support::{Answer, Received, Server};

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

fn rewritten_by(samples: &[Sample], on_failure: OnFailure, filters: Filters) -> Rewritten {
    let server = Server::start(model);
    let rewriter = Rewriter::new(ChatClient::new(server.options()).unwrap(), RewriteOptions::default()).unwrap();
    let screen = Screen::new(filters, Layout::ThinkAnswer, None, None).unwrap();
    let judged_anew = |new: Vec<Sample>| Ok::<_, Failure>(new.into_iter().map(judged).collect());
    rewrite(samples, &Layout::ThinkAnswer, &screen, &rewriter, on_failure, || false, judged_anew).unwrap().unwrap()
}

fn rewritten(samples: &[Sample], on_failure: OnFailure) -> Rewritten {
    let filters = Filters { max_tokens: Some(200), duplicates: true, ..Filters::default() };
    rewritten_by(samples, on_failure, filters)
}

/// The samples that are left, as they are then.
fn left<'a>(rewritten: &'a Rewritten, samples: &'a [Sample]) -> Vec<&'a Sample> {
    let pairs = rewritten.outcomes.iter().zip(samples);
    pairs.filter(|(outcome, _)| !matches!(outcome, Outcome::Dropped(_))).map(|(o, old)| o.sample(old)).collect()
}

fn completions<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Vec<&'a str> {
    samples.into_iter().map(|sample| &*sample.completion).collect()
}

const NEW: &str = "<think>I add two and two.</think> <answer>4</answer>";

#[test]
fn a_new_form_is_taken_where_it_passes() {
    let samples = [thoughts("2 plus 2 macht 4"), thoughts("lose"), thoughts("empty"), thoughts("marks")];
    let more = [thoughts("prose"), thoughts("long"), sample("no layout"), thoughts("again")];
    let samples: Vec<Sample> = samples.into_iter().chain(more).collect();
    let kept = rewritten(&samples, OnFailure::Keep);
    let mut expected = completions(&samples);
    (expected[0], expected[7]) = (NEW, NEW);
    assert_eq!(completions(left(&kept, &samples)), expected);
    let n_tokens: Vec<u64> = left(&kept, &samples).iter().map(|sample| sample.n_tokens).collect();
    assert_eq!(n_tokens[..2], [NEW.len() as u64, 5]);
    let names = ["empty", "malformed", "marks", "no_layout", "not_correct", "too_long"];
    assert_eq!(kept.counts.failures, names.map(|name| (name, 1)).into());
    assert_eq!((kept.counts.n_samples, kept.counts.n_rewritten), (8, 2));
    let dropped = rewritten(&samples, OnFailure::Drop);
    assert_eq!(completions(left(&dropped, &samples)), [NEW, NEW]);
    assert_eq!(dropped.counts, kept.counts);
}

#[test]
fn an_opening_that_the_prompt_has_is_not_written_again() {
    let opened = [Sample { prompt: "Assistant: <think>".to_owned(), ..sample("2 + 2</think> <answer>4</answer>") }];
    let kept = rewritten(&opened, OnFailure::Drop);
    assert_eq!(completions(left(&kept, &opened)), ["I add two and two.</think> <answer>4</answer>"]);
}

#[test]
fn what_was_right_stays_right_whatever_the_filters_ask_for() {
    let filters = || Filters { correct: Correctness::Ignored, ..Filters::default() };
    let wrong = [Sample { correct: Some(false), ..thoughts("lose") }];
    assert_eq!(rewritten_by(&wrong, OnFailure::Drop, filters()).counts.n_rewritten, 1);
    let right = [thoughts("lose")];
    assert_eq!(rewritten_by(&right, OnFailure::Keep, filters()).outcomes, [Outcome::Kept("not_correct")]);
}

#[test]
fn of_samples_that_become_one_text_one_is_left() {
    let samples = [thoughts("one"), thoughts("two"), thoughts("prose")];
    for on_failure in [OnFailure::Keep, OnFailure::Drop] {
        let rewritten = rewritten_by(&samples, on_failure, Filters::default());
        let new: Vec<&str> = completions(left(&rewritten, &samples)).into_iter().filter(|text| *text == NEW).collect();
        assert_eq!((new.len(), rewritten.counts.n_rewritten), (1, 1), "{on_failure:?}");
        assert_eq!(rewritten.counts.failures, [("duplicate", 1), ("malformed", 1)].into());
    }
}

#[test]
fn a_new_form_says_by_whom_and_nothing_is_made_once_the_user_wants_to_end() {
    let server = Server::start(model);
    let rewriter = Rewriter::new(ChatClient::new(server.options()).unwrap(), RewriteOptions::default()).unwrap();
    let screen = Screen::new(Filters::default(), Layout::ThinkAnswer, None, None).unwrap();
    let provenance: Provenance = serde_json::from_value(
        json!({"stage": "s", "model": "m", "problem": 0, "sample": 0, "seed": 1, "temperature": 1.0}),
    )
    .unwrap();
    let samples = [Sample { provenance: Some(provenance), ..thoughts("plain") }];
    let made = |is_to_stop: bool| {
        let judged_anew = |new: Vec<Sample>| Ok::<_, Failure>(new.into_iter().map(judged).collect());
        let layout = Layout::ThinkAnswer;
        rewrite(&samples, &layout, &screen, &rewriter, OnFailure::Drop, || is_to_stop, judged_anew).unwrap()
    };
    assert_eq!(made(true), None);
    assert!(server.received().is_empty());
    let rewritten = made(false).unwrap();
    let new = left(&rewritten, &samples)[0];
    assert_eq!(new.provenance.as_ref().unwrap().rewritten_by.as_deref(), Some("judge-1"));
}
