//! Pairs against a judge of the tests' own, which likes the word "good".

use llm_judge::{ChatClient, ClientOptions, PairOptions};
use rewards::{Gold, Problem};

use super::*;

use crate::teacher::support::{self, Received, Server, label};

fn sample(question: &str, completion: &str) -> Sample {
    let mut gold = Gold::default();
    gold.fields.insert("domain".to_owned(), "helpful".into());
    Sample {
        problem: Problem { id: String::new(), question: question.to_owned(), gold },
        prompt: String::new(),
        completion: completion.to_owned(),
        n_tokens: 5,
        truncated: false,
        reward: None,
        correct: None,
        components: [].into(),
        provenance: None,
    }
}

/// Likes good answers, and does not know of bad ones which is worse.
fn taste(received: &Received) -> support::Answer {
    let is_good = |title: &str| received.part(title).contains("good");
    label(match (is_good("ANSWER A"), is_good("ANSWER B")) {
        (true, false) => "A>>B",
        (false, true) => "B>>A",
        _ => "A=B",
    })
}

fn made(samples: &[Sample], settings: PairSettings, server: &Server) -> Result<Paired, Failure> {
    let client = ChatClient::new(ClientOptions { retries: 0, ..server.options() }).unwrap();
    let judge = PairJudge::new(client, PairOptions::default()).unwrap();
    let paired = pairs(samples, &Layout::ThinkAnswer, settings, &judge, 1, || false)?;
    Ok(paired.expect("nobody wants to end"))
}

const ALL: PairSettings = PairSettings { pairs_per_problem: 100, balance_lengths: false };

#[test]
fn the_better_one_is_chosen_by_its_answer_alone() {
    let server = Server::start(taste);
    let samples = [
        sample("q1", "<think>a good thought</think> <answer>bad</answer>"),
        sample("q2", "so so"),
        sample("q1", "<think>x</think> <answer>good</answer>"),
        // No answer, the same answer, another question.
        sample("q1", "<think>good without end"),
        sample("q1", "<think>y</think> <answer>good</answer>"),
        sample("q2", "no way"),
        sample("q3", "good alone"),
    ];
    let paired = made(&samples, ALL, &server).unwrap();
    let chosen: Vec<(&str, &str)> = paired.pairs.iter().map(|pair| (&*pair.chosen, &*pair.rejected)).collect();
    let bad = samples[0].completion.as_str();
    let mut expected = [(&*samples[2].completion, bad), (&*samples[4].completion, bad)];
    expected.sort_unstable();
    let mut sorted = chosen.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    assert!(paired.pairs.iter().all(|pair| pair.question == "q1" && pair.difference == 2.0));
    assert_eq!(paired.pairs[0].domain.as_deref(), Some("helpful"));
    let texts = |[chosen, rejected]: &[usize; 2]| (&*samples[*chosen].completion, &*samples[*rejected].completion);
    assert_eq!(paired.members.iter().map(texts).collect::<Vec<_>>(), chosen);
    let counts = PairCounts { n_problems: 3, n_compared: 3, n_close: 1, ..PairCounts::default() };
    assert_eq!(paired.counts, counts);
    assert!(server.received().iter().all(|received| !received.user().contains("thought")));
}

#[test]
fn the_draw_does_not_depend_on_the_order() {
    let server = Server::start(taste);
    let mut samples: Vec<Sample> =
        (0..8).map(|n| sample("q", &format!("{} {n}", if n % 2 == 0 { "good" } else { "bad" }))).collect();
    let two = PairSettings { pairs_per_problem: 2, balance_lengths: false };
    let first = made(&samples, two, &server).unwrap();
    assert_eq!(first.counts.n_compared, 2);
    samples.reverse();
    assert_eq!(made(&samples, two, &server).unwrap().pairs, first.pairs);
}

#[test]
fn length_alone_says_nothing() {
    let server = Server::start(taste);
    // The good one is longer for seven questions, shorter for two, as long for one.
    let answers = |n: usize| match n {
        0..7 => ("good and long", "bad"),
        7..9 => ("good", "bad and long"),
        _ => ("good", "evil"),
    };
    let samples: Vec<Sample> = (0..10)
        .flat_map(|n| {
            let (good, bad) = answers(n);
            [sample(&format!("q{n}"), good), sample(&format!("q{n}"), bad)]
        })
        .collect();
    let settings = PairSettings::default();
    let paired = made(&samples, settings, &server).unwrap();
    let longer = |pair: &&Pair| pair.chosen.len() > pair.rejected.len();
    assert_eq!((paired.pairs.len(), paired.pairs.iter().filter(longer).count()), (5, 2));
    assert_eq!(paired.members.len(), 5);
    assert_eq!(paired.counts.n_unbalanced, 5);
    let unbalanced = made(&samples, PairSettings { balance_lengths: false, ..settings }, &server).unwrap();
    assert_eq!(unbalanced.pairs.len(), 10);
}

#[test]
fn what_has_no_verdict_is_no_pair_and_a_failure_is_one() {
    let samples = [sample("q", "good"), sample("q", "bad")];
    let server = Server::start(|_: &Received| support::Answer::Chat("I like both.".to_owned()));
    let paired = made(&samples, ALL, &server).unwrap();
    assert_eq!((paired.pairs.len(), paired.counts.n_no_verdict), (0, 1));
    let server = Server::start(|_: &Received| support::Answer::Status(401, "", String::new()));
    assert!(made(&samples, ALL, &server).is_err());
}
