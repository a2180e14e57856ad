//! The code reward against open-r1's rule, row by row (scripts/golden/code.py).

mod support;

use std::collections::BTreeMap;
use std::fs;

use rewards::{CompletionView, Problem, RewardFn};
use sandbox::{Code, CodeOptions, Fence};
use serde::Deserialize;
use serde_json::{Value, json};

/// What the reward does otherwise than open-r1 on purpose, as its documentation lists it.
const DEVIATIONS: [&str; 5] = ["fences", "leading_lines", "reasoning", "whole_output", "words"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: u32,
    completion: String,
    tests: Value,
    /// open-r1's score.
    open_r1: f32,
    /// Why the score here is another one, if it is.
    deviation: Option<String>,
    /// The score here.
    expected: f32,
}

fn rows() -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/code.jsonl");
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

#[test]
fn scores_are_those_of_open_r1_except_where_documented() {
    // open-r1 takes blocks marked `python` alone.
    let made = Code::new(CodeOptions { fence: Fence::Marked, ..CodeOptions::default() });
    let Some(code) = support::unless_refused(made) else { return };
    let mut problems: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows() {
        problems.entry(row.tests.to_string()).or_default().push(row);
    }
    for rows in problems.values() {
        let problem: Problem = serde_json::from_value(json!({"question": "q", "tests": rows[0].tests})).unwrap();
        let views: Vec<_> = rows.iter().map(|row| CompletionView::new(&row.completion, 1, false)).collect();
        for (row, verdict) in rows.iter().zip(code.judge_group(&problem, &views)) {
            let context = format!("row {}: {}\n{}", row.id, row.completion, verdict.reason);
            match &row.deviation {
                None => assert_eq!(verdict.score, Some(row.open_r1), "{context}"),
                Some(deviation) => {
                    assert_eq!(verdict.score, Some(row.expected), "{context} ({deviation})");
                    assert_ne!(row.expected, row.open_r1, "{context} does not show {deviation}");
                }
            }
        }
    }
}

#[test]
fn the_table_is_wide_enough_to_mean_something() {
    let mut scores: BTreeMap<String, usize> = BTreeMap::new();
    let mut deviations: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows() {
        *scores.entry(row.open_r1.to_string()).or_default() += 1;
        if let Some(deviation) = row.deviation {
            *deviations.entry(deviation).or_default() += 1;
        }
    }
    assert!(scores.len() >= 5 && scores.values().sum::<usize>() >= 300 && scores["1"] >= 50, "{scores:?}");
    assert_eq!(deviations.keys().map(String::as_str).collect::<Vec<_>>(), DEVIATIONS);
}
