//! The Countdown reward against TinyZero's rule, row by row (scripts/golden/countdown.py).

use std::collections::BTreeMap;
use std::fs;

use rewards::{CompletionView, Countdown, Gold, Problem, RewardFn};
use serde::Deserialize;

/// What the reward does otherwise than TinyZero on purpose, as its documentation lists it.
const DEVIATIONS: [&str; 9] = [
    "any_line",
    "decimal_point",
    "exact_value",
    "floor_division",
    "innermost_tags",
    "leading_zeros",
    "length_limit",
    "nesting_limit",
    "power",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: u32,
    completion: String,
    numbers: Vec<i64>,
    target: i64,
    /// TinyZero's score.
    tinyzero: f32,
    /// Why the score here is another one, if it is.
    deviation: Option<String>,
    /// The score here.
    expected: f32,
}

fn rows() -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/countdown.jsonl");
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

#[test]
fn scores_are_those_of_tinyzero_except_where_documented() {
    let reward = Countdown::default();
    for row in rows() {
        let gold = Gold::countdown(row.numbers, row.target);
        let problem = Problem { id: row.id.to_string(), question: String::new(), gold };
        let verdict = reward.judge(&problem, &CompletionView::new(&row.completion, 1, false));
        let context = format!("row {}: {:.200}, {}", row.id, row.completion, verdict.reason);
        match &row.deviation {
            None => assert_eq!(verdict.score, Some(row.tinyzero), "{context}"),
            Some(deviation) => {
                assert_eq!(verdict.score, Some(row.expected), "{context} ({deviation})");
                assert_ne!(row.expected, row.tinyzero, "{context} does not show {deviation}");
            }
        }
    }
}

#[test]
fn the_table_is_wide_enough_to_mean_something() {
    let mut tiers: BTreeMap<String, usize> = BTreeMap::new();
    let mut deviations: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows() {
        *tiers.entry(row.tinyzero.to_string()).or_default() += 1;
        if let Some(deviation) = row.deviation {
            *deviations.entry(deviation).or_default() += 1;
        }
    }
    assert!(tiers.len() == 3 && tiers.values().all(|&n| n >= 25), "{tiers:?}");
    assert_eq!(deviations.keys().map(String::as_str).collect::<Vec<_>>(), DEVIATIONS);
}
