//! The accuracy reward on completions made to break it (scripts/golden/hostile.py): every verdict right, none a panic.

use std::fs;

use rewards::{Accuracy, CompletionView, Gold, Problem, RewardFn};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    gold: String,
    /// The completion, as pieces with how often each is repeated.
    pieces: Vec<(String, usize)>,
    expected: bool,
}

fn rows() -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/hostile.jsonl");
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

#[test]
fn every_verdict_is_right_and_bounded() {
    let reward = Accuracy::default();
    let rows = rows();
    assert!(rows.len() >= 150, "{}", rows.len());
    let mut misses = Vec::new();
    for row in rows {
        let completion: String = row.pieces.iter().map(|(text, times)| text.repeat(*times)).collect();
        let problem = Problem { id: row.id.clone(), question: String::new(), gold: Gold::text(&row.gold) };
        let verdict = reward.judge(&problem, &CompletionView::new(&completion, 1, false));
        assert!(verdict.reason.chars().count() < 300, "{}: a reason of {} bytes", row.id, verdict.reason.len());
        assert!(verdict.extracted.as_ref().is_none_or(|text| text.chars().count() < 300), "{}", row.id);
        if verdict.score != Some(if row.expected { 1.0 } else { 0.0 }) {
            misses.push(format!("{}: gold {:?}: {verdict:?}", row.id, row.gold));
        }
    }
    assert!(misses.is_empty(), "{} wrong:\n{}", misses.len(), misses.join("\n"));
}

/// Inputs on which a reader of golds panicked once, found by ten million random ones.
#[test]
fn golds_that_broke_a_reader_are_unreadable() {
    for gold in ["|ef(base 2)", "|f(base 2)|", "|f(x,", "|g(|", "||f(base 2)"] {
        assert!(!Accuracy::readable(gold), "{gold}");
    }
}
