//! The multiplication reward against TinyZero's rule, row by row (scripts/golden/multiply.py).

use std::collections::BTreeMap;
use std::fs;

use rewards::{CompletionView, Gold, Multiply, MultiplyOptions, Problem, RewardFn};
use serde::Deserialize;

/// What the reward does otherwise than TinyZero on purpose, as its documentation lists it.
const DEVIATIONS: [&str; 3] = ["any_line", "ascii_digits", "innermost_tags"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    completion: String,
    product: String,
    /// TinyZero's score.
    tinyzero: f32,
    /// Why the score here is another one, if it is.
    deviation: Option<String>,
    /// The score here.
    expected: f32,
}

fn rows() -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/multiply.jsonl");
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

#[test]
fn scores_are_those_of_tinyzero_except_where_documented() {
    let reward = Multiply::new(MultiplyOptions::default()).unwrap();
    for row in rows() {
        let problem = Problem { id: String::new(), question: String::new(), gold: Gold::text(&row.product) };
        let verdict = reward.judge(&problem, &CompletionView::new(&row.completion, 1, false));
        assert_eq!(
            verdict.score,
            Some(row.expected),
            "{:.200}: {}, {:?}",
            row.completion,
            verdict.reason,
            row.deviation
        );
        assert_eq!(row.deviation.is_some(), row.expected != row.tinyzero, "{:.200}", row.completion);
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
    assert!(tiers.len() == 3 && tiers.values().all(|&n| n >= 15), "{tiers:?}");
    assert_eq!(deviations.keys().map(String::as_str).collect::<Vec<_>>(), DEVIATIONS);
}
