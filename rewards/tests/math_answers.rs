//! The accuracy reward on the table of answers (scripts/golden/answers.py): at least 99 % right, no false positive.

use std::collections::BTreeMap;
use std::fs;

use rewards::{Accuracy, CompletionView, Gold, Problem, RewardFn};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    kind: String,
    gold: String,
    completion: String,
    expected: bool,
    source: String,
}

fn rows() -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/answers.jsonl");
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

#[test]
fn the_table_is_judged_right() {
    let reward = Accuracy::default();
    let rows = rows();
    let (mut false_positives, mut false_negatives) = (Vec::new(), Vec::new());
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in &rows {
        let problem = Problem { id: row.id.clone(), question: String::new(), gold: Gold::text(&row.gold) };
        let checked = reward.check_gold(&problem);
        let verdict = reward.judge(&problem, &CompletionView::new(&row.completion, 1, false));
        let right = verdict.score == Some(1.0);
        let kind = kinds.entry(&row.kind).or_default();
        kind.0 += 1;
        let as_expected = right == row.expected && checked.is_ok();
        kind.1 += usize::from(as_expected);
        if !as_expected {
            let misses = if right { &mut false_positives } else { &mut false_negatives };
            misses.push(format!(
                "{} gold {:?} completion {:?}: {verdict:?} ({})",
                row.id, row.gold, row.completion, row.source
            ));
        }
    }
    for (kind, (all, right)) in &kinds {
        println!("{kind:12} {right:4} of {all:4}");
    }
    let n_missed = false_positives.len() + false_negatives.len();
    println!("{} of {} right", rows.len() - n_missed, rows.len());
    false_negatives.iter().for_each(|miss| println!("missed: {miss}"));
    false_positives.iter().for_each(|miss| println!("false positive: {miss}"));
    assert!(rows.len() >= 800 && rows.iter().filter(|row| !row.expected).count() * 10 >= rows.len() * 4);
    assert_eq!(false_positives, Vec::<String>::new());
    assert!(n_missed * 100 <= rows.len(), "{n_missed} of {} missed", rows.len());
}
