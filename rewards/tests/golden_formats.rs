//! The format rewards against those of TRL and open-r1, completion by completion (scripts/golden/formats.py, trl 1.16.0).

use std::collections::BTreeMap;
use std::fs;

use rewards::{
    CodeFormat, CodeFormatOptions, CompletionView, Gold, OpenR1Format, Problem, ReasoningSteps, RewardFn, TagCount,
    ThinkFormat,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    completion: String,
    /// Score of each reward.
    scores: BTreeMap<String, f32>,
    /// Score of each reward where the template has written `<think>` and a line break before the completion.
    prefilled: BTreeMap<String, f32>,
}

fn rows() -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/formats.jsonl");
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

fn rewards() -> Vec<Box<dyn RewardFn>> {
    vec![
        Box::new(OpenR1Format::new()),
        Box::new(TagCount::new()),
        Box::new(ThinkFormat::new()),
        Box::new(CodeFormat::new(CodeFormatOptions::default()).unwrap()),
        Box::new(ReasoningSteps::new()),
    ]
}

#[test]
fn scores_are_those_of_the_originals() {
    let problem = Problem { id: String::new(), question: String::new(), gold: Gold::default() };
    for row in rows() {
        let plain = CompletionView::new(&row.completion, 1, false);
        let views = [
            (plain, &row.scores, "as it is"),
            (plain.with_think_prefilled(true), &row.prefilled, "prefilled"),
            (plain.with_think_prefilled(true).with_prompt("q <think>\n"), &row.prefilled, "prefilled by the prompt"),
        ];
        for (view, scores, how) in views {
            for reward in rewards() {
                let verdict = reward.judge(&problem, &view);
                let context = format!("{} on {:?}, {how}: {}", reward.name(), row.completion, verdict.reason);
                // Thirds are rounded once, here from float64 and there by the reader of the file.
                assert_eq!(verdict.score, Some(scores[reward.name()]), "{context}");
            }
        }
    }
}

#[test]
fn the_table_is_wide_enough_to_mean_something() {
    let mut tiers: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for row in rows() {
        for (name, score) in row.scores.iter().chain(&row.prefilled) {
            *tiers.entry(name.clone()).or_default().entry(score.to_string()).or_default() += 1;
        }
    }
    let n_tiers = |name: &str| match name {
        "tag_count" => 5,
        "reasoning_steps" => 4,
        _ => 2,
    };
    for (name, counts) in &tiers {
        assert!(counts.len() == n_tiers(name) && counts.values().all(|&n| n >= 10), "{name}: {counts:?}");
    }
    assert_eq!(tiers.len(), rewards().len());
}
