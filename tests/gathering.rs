//! Which completions a step learns from, through the real binary: groups that are replaced, problems that are dropped.

mod support;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::Dir;

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("no number `{name}` in {row}"))
}

/// The completions of a step by the number of their group.
fn groups(dir: &Dir, step: u64) -> BTreeMap<u64, Vec<Value>> {
    let mut groups: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for row in dir.rows(&format!("run/completions/grpo/step_{step:06}.jsonl")) {
        groups.entry(row["group"].as_u64().expect("a number")).or_default().push(row);
    }
    groups
}

fn is_mixed(group: &[Value]) -> bool {
    group.iter().any(|row| row["reward"] != group[0]["reward"])
}

fn problem(target: i64, n: u32) -> String {
    json!({"question": format!("make {target} of 2 and 3 case {n}"), "numbers": [2, 3], "target": target}).to_string()
        + "\n"
}

const PAIRS: &str = "stage.rollout.group_size=2";

#[test]
fn groups_that_teach_nothing_are_replaced() {
    let dir = Dir::new();
    dir.train(&["run.dir=\"plain\"", PAIRS, "stage.rollout.prompts_per_step=30", "stage.steps=1"]);
    let plain = dir.rows("plain/completions/grpo/step_000001.jsonl");
    let sequence: Vec<&Value> = plain.iter().step_by(2).map(|row| &row["problem_id"]).collect();
    dir.train(&[PAIRS, "stage.rollout.dynamic_sampling.max_rounds=30", "stage.optimizer.learning_rate=1e-6"]);
    let metrics = dir.rows("run/metrics.jsonl");
    let (mut asked, mut num_tokens, mut n_left_out) = (0, 0.0, 0);
    for (step, row) in (1..).zip(&metrics) {
        let groups = groups(&dir, step);
        let numbers: Vec<u64> = groups.keys().copied().collect();
        assert_eq!(numbers, (0..groups.len() as u64).collect::<Vec<_>>(), "numbers go on beyond prompts_per_step");
        // Every step goes on behind the last question of the one before, in the order of a run without the key.
        for group in groups.values() {
            assert_eq!(&group[0]["problem_id"], sequence[asked], "question {asked}");
            asked += 1;
        }
        let learned: Vec<&Vec<Value>> = groups.values().filter(|group| group[0]["left_out"].is_null()).collect();
        let left_out: Vec<&Vec<Value>> = groups.values().filter(|group| !group[0]["left_out"].is_null()).collect();
        assert!(learned.len() == 3 && learned.iter().all(|group| is_mixed(group)), "{learned:?}");
        for group in &left_out {
            let why = if is_mixed(group) { "surplus" } else { "not_mixed" };
            assert!(group.iter().all(|row| row["left_out"] == why && number(row, "advantage") == 0.0), "{group:?}");
        }
        assert_eq!(number(row, "dynamic_sampling/groups_sampled"), groups.len() as f64);
        assert_eq!(number(row, "dynamic_sampling/groups_mixed"), 3.0);
        assert_eq!(number(row, "dynamic_sampling/rounds") > 1.0, groups.len() > 3);
        assert_eq!(number(row, "frac_reward_zero_std"), 0.0);
        let rewards: Vec<f64> = groups.values().flatten().map(|row| number(row, "reward")).collect();
        let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
        assert!((number(row, "dynamic_sampling/reward") - mean).abs() < 1e-6);
        // What was sampled for nothing counts.
        let tokens = |groups: &[&Vec<Value>]| {
            groups.iter().flat_map(|g| g.iter()).map(|row| number(row, "n_tokens")).sum::<f64>()
        };
        let extra = number(row, "dynamic_sampling/left_out_tokens");
        assert!(extra >= tokens(&left_out) && (extra > 0.0) != left_out.is_empty());
        let own = number(row, "num_tokens") - num_tokens;
        assert!(own >= extra + tokens(&learned), "{own} tokens, {extra} of them left out");
        num_tokens = number(row, "num_tokens");
        n_left_out += left_out.len();
    }
    assert!(n_left_out > 0, "nothing was replaced");
    // Groups of one step share no random numbers, not even over the same question.
    let all = groups(&dir, 1);
    let first_texts: Vec<&Value> = all.values().map(|group| &group[0]["text"]).collect();
    assert!(first_texts.iter().any(|text| *text != first_texts[0]), "{first_texts:?}");
}

#[test]
fn rounds_are_bounded_and_a_step_keeps_its_size() {
    let dir = Dir::new();
    // Nothing can be right: 2 and 3 never make 99.
    dir.write("problems.jsonl", (0..7).map(|n| problem(99, n)).collect::<String>());
    dir.train(&[
        "stage.steps=2",
        "stage.rollout.dynamic_sampling.keep=\"mixed_accuracy\"",
        "stage.rollout.dynamic_sampling.max_rounds=2",
    ]);
    for (step, row) in (1..).zip(dir.rows("run/metrics.jsonl")) {
        let figures = ["rounds", "groups_sampled", "groups_mixed"];
        assert_eq!(figures.map(|name| number(&row, &format!("dynamic_sampling/{name}"))), [2.0, 6.0, 0.0]);
        let left_out: Vec<bool> = groups(&dir, step).values().map(|group| !group[0]["left_out"].is_null()).collect();
        assert_eq!(left_out, [false, false, false, true, true, true], "the first fill up");
        assert!(number(&row, "grad_norm") > 0.0, "their rewards differ, and are learned from");
    }
    let state = dir.json("run/checkpoints/grpo/step_000002/trainer_state.json");
    assert_eq!(state["extra"]["questions_asked"], serde_json::json!([12]));
    // Judged again: only what was learned from.
    let judged = dir.run(["score", "--input", "run", "--config", "run.toml"]).expect_code(0).stdout;
    assert!(judged.contains("24 completions in 6 groups"), "{judged}");
}

#[test]
fn solved_problems_are_asked_no_more() {
    let dir = Dir::new();
    let problems = (0..4).map(|n| problem(5, n)).chain((4..7).map(|n| problem(99, n)));
    dir.write("problems.jsonl", problems.collect::<String>());
    dir.train(&[
        "stage.steps=3",
        "stage.problems.drop_pass_rate=0.2",
        "stage.rollout.prompts_per_step=7",
        "stage.optimizer.learning_rate=1e-6",
    ]);
    let metrics = dir.rows("run/metrics.jsonl");
    let mut tallies: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    let mut solved = Vec::new();
    for (step, row) in (1..).zip(&metrics) {
        for group in groups(&dir, step).values() {
            let id = group[0]["problem_id"].as_str().expect("an id").to_owned();
            assert!(!solved.contains(&id), "step {step} asks {id}");
            let right = group.iter().filter(|row| row["components"]["countdown"]["score"] == 1.0).count();
            let tally = tallies.entry(id).or_default();
            *tally = (tally.0 + right as f64, tally.1 + group.len() as f64);
        }
        let rates: Vec<f64> = tallies.values().map(|(right, all)| right / all).collect();
        assert_eq!(rates.len(), 7, "the first epoch asks all of them");
        assert!((number(row, "problems/pass_rate") - rates.iter().sum::<f64>() / 7.0).abs() < 1e-12);
        if step == 1 {
            assert_eq!(number(row, "problems/left"), 7.0, "the first epoch ends with the step");
            solved = tallies.iter().filter(|(_, (right, all))| right / all >= 0.2).map(|(id, _)| id.clone()).collect();
        }
    }
    assert!(!solved.is_empty(), "{tallies:?}");
    assert!(number(&metrics[2], "problems/left") <= 7.0 - solved.len() as f64);
    let saved = dir.rows("run/checkpoints/grpo/step_000003/pass_rates.jsonl");
    for row in saved {
        let (right, all) = tallies[row["id"].as_str().expect("an id")];
        assert_eq!((number(&row, "n_right"), number(&row, "n_sampled")), (right, all));
    }
}

/// The phrase stands where the budget ended, is judged as text, and its log-probabilities are those of the update.
#[test]
fn thoughts_that_are_too_long_are_ended() {
    let dir = Dir::new();
    let forced_end =
        "stage.rollout.forced_end={ text=\"ab\", unless=\"</think>\", after_tokens=[3, 5], answer_tokens=4 }";
    dir.train(&[forced_end, "stage.optimizer.learning_rate=1e-6", "stage.eval.problems=\"problems.jsonl\""]);
    let mut n_all_forced = 0;
    for (step, row) in (1..).zip(dir.rows("run/metrics.jsonl")) {
        let rows: Vec<Value> = groups(&dir, step).into_values().flatten().collect();
        let forced: Vec<&Value> = rows.iter().filter(|row| !row["forced"].is_null()).collect();
        for row in &forced {
            let [from, to] = [0, 1].map(|end| row["forced"][0][end].as_u64().expect("a position"));
            assert!((3..=5).contains(&from) && to == from + 2, "{row}");
            assert!(row["text"].as_str().is_some_and(|text| text.contains("ab")), "{row}");
            let n_tokens = row["n_tokens"].as_u64().expect("a number");
            assert!(n_tokens > to && n_tokens <= to + 4, "{row}");
            assert!(row["stop_reason"] != "max_tokens" || n_tokens == to + 4, "{row}");
        }
        n_all_forced += forced.len();
        assert_eq!(number(&row, "completions/forced_ratio"), forced.len() as f64 / 12.0);
        assert_eq!(number(&row, "logprob_gap/max"), 0.0);
    }
    assert!(n_all_forced > 0, "no thoughts were ended");
    let long = format!("{}answer_tokens=12 }}", forced_end.split("answer_tokens").next().expect("a part"));
    let refused = dir.run(support::train_args(&["run.dir=\"other\"", &long])).expect_code(2).stderr;
    assert!(refused.contains("come to 17, `max_tokens` is 16"), "{refused}");
    let long = long.replace("=12", "=10");
    let refused = dir.run(support::train_args(&["run.dir=\"other\"", &long])).expect_code(2).stderr;
    assert!(refused.contains("17 tokens, 2 of them the phrase; max_tokens is 16"), "{refused}");
}
