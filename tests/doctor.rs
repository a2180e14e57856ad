//! The doctor through the real binary: illnesses planted into runs of the embedded base are named within 20 steps, and a
//! healthy run hears nothing.

mod support;

use serde_json::Value;
use support::{Dir, Ended};

/// The main job in small: 64 completions a step.
const RUN_FILE: &str = r#"[run]
dir = "run"
threads = 1
device = "cpu"

[model]
path = "BASE"

[[stage]]
kind = "grpo"
steps = 20

PROBLEMS

[stage.rollout]
prompts_per_step = 8
group_size = 8
max_tokens = 96

REWARDS

[stage.optimizer]
learning_rate = 4e-4
"#;

const COUNTDOWN: &str = "[stage.problems.countdown]";
const REWARDS: &str = "[stage.rewards.countdown]\n[stage.rewards.format]";

/// A folder with the run file of these problems and rewards.
fn planted(problems: &str, rewards: &str) -> Dir {
    let dir = Dir::new();
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/countdown-base");
    let text = RUN_FILE.replace("BASE", base).replace("PROBLEMS", problems).replace("REWARDS", rewards);
    dir.write("run.toml", text);
    dir
}

/// What was said of the run, as (symptom, step), after a check that it was said everywhere.
fn said(dir: &Dir, ended: &Ended) -> Vec<(String, u64)> {
    if !dir.path("run/doctor.jsonl").exists() {
        assert!(!ended.stderr.contains("the doctor"), "{}", ended.stderr);
        return Vec::new();
    }
    let (log, rows) = (dir.text("run/log.txt"), dir.rows("run/doctor.jsonl"));
    let of_row = |row: &Value| {
        let message = row["message"].as_str().unwrap();
        assert!(log.contains(message) && ended.stderr.contains(message), "{message}");
        assert!(row["kind"] == "note" || !row["advice"].as_array().unwrap().is_empty(), "{row}");
        assert!(row["since"].as_u64() <= row["step"].as_u64(), "{row}");
        (row["symptom"].as_str().unwrap().to_owned(), row["step"].as_u64().unwrap())
    };
    rows.iter().map(of_row).collect()
}

/// The run of `words` names `symptom` before anything else, within 20 steps.
fn check(dir: &Dir, words: &[&str], symptom: &str) -> Value {
    let ended = dir.train(words);
    let said = said(dir, &ended);
    let warnings: Vec<_> = said.iter().filter(|(symptom, _)| symptom != "loss_is_zero").collect();
    assert!(warnings.first().is_some_and(|(first, step)| first == symptom && *step <= 20), "{said:?}");
    let is_it = |row: &Value| row["symptom"] == symptom;
    let row = dir.rows("run/doctor.jsonl").into_iter().find(is_it).unwrap();
    assert!(dir.text("run/report.md").contains("## The doctor said"));
    assert!(dir.json("run/summary.json")["doctor"].as_array().unwrap().contains(&row));
    assert!(dir.run(["show", "run"]).expect_code(0).stdout.contains(row["message"].as_str().unwrap()));
    row
}

/// 16 problems whose questions are `before`, the question, `after`; asked as they are.
fn asked_as(before: &str, after: &str, rewards: &str) -> Dir {
    let problems = "[stage.prompt]\ntemplate = \"none\"\n[stage.problems.jsonl]\npath = \"problems.jsonl\"";
    let dir = planted(problems, rewards);
    let problem = |n: u64| {
        let (numbers, target) = ([n, 2 * n + 1, 3], 3 * n + 4);
        let question = format!(
            "{before}Using the numbers {numbers:?}, create an equation that equals {target}. You can use basic arithmetic \
             operations (+, -, *, /) and each number can only be used once. Show your work in <think> </think> tags. And return \
             the final answer in <answer> </answer> tags, for example <answer> (1 + 2) / 3 </answer>{after}"
        );
        serde_json::json!({"question": question, "numbers": numbers, "target": target}).to_string() + "\n"
    };
    dir.write("problems.jsonl", (1..=16).map(problem).collect::<String>());
    dir
}

#[test]
fn a_healthy_run_hears_no_warning() {
    let dir = planted(COUNTDOWN, REWARDS);
    let ended = dir.train(&["stage.grpo.aggregation=per_token"]);
    assert_eq!(said(&dir, &ended), []);
    assert_eq!(dir.json("run/summary.json")["doctor"], serde_json::json!([]));
}

/// With one update a step and a weight per completion the loss is 0: a note, and no warning.
#[test]
fn a_loss_of_zero_is_explained_once() {
    let dir = planted(COUNTDOWN, REWARDS);
    let ended = dir.train(&["stage.steps=3", "stage.rollout.prompts_per_step=2"]);
    assert_eq!(said(&dir, &ended), [("loss_is_zero".to_owned(), 1)]);
    assert_eq!(ended.stderr.matches("the doctor notes").count(), 1, "{}", ended.stderr);
}

/// A constant reward. With `on_dead = "stop"` the run ends there, saved, and goes on where it may only warn.
#[test]
fn a_constant_reward_is_named_and_may_end_the_run() {
    let constant = "[stage.rewards.regex]\npattern = \"(?s).*\"";
    let small = ["stage.rollout.max_tokens=24", "stage.rollout.prompts_per_step=2", "stage.steps=14"];
    let dir = planted(COUNTDOWN, constant);
    let row = check(&dir, &small, "nothing_to_learn");
    assert_eq!((&row["step"], &row["since"]), (&Value::from(10), &Value::from(1)));

    let dir = planted(COUNTDOWN, constant);
    let stop: Vec<&str> = small.iter().copied().chain(["doctor.on_dead=stop", "doctor.dead_steps=4"]).collect();
    let ended = dir.run(support::train_args(&stop)).expect_code(1);
    assert!(ended.stderr.contains("step 4: nothing can be learned any more"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--resume --set doctor.on_dead=warn"), "{}", ended.stderr);
    assert!(dir.path("run/checkpoints/grpo/step_000004/manifest.json").is_file());
    let go_on: Vec<&str> = stop.iter().copied().chain(["doctor.on_dead=warn", "--resume"]).collect();
    let ended = dir.train(&go_on);
    assert_eq!(dir.rows("run/metrics.jsonl").len(), 14);
    assert_eq!(dir.rows("run/doctor.jsonl").len(), 1, "said before the run was resumed, and not again");
    assert!(!ended.stderr.contains("the doctor"), "{}", ended.stderr);
}

#[test]
fn too_few_tokens_are_named() {
    let dir = planted(COUNTDOWN, REWARDS);
    let words = ["stage.rollout.max_tokens=8", "stage.rollout.prompts_per_step=2", "stage.steps=6"];
    let row = check(&dir, &words, "all_truncated");
    assert!(row["message"].as_str().unwrap().contains("100 % of them reached rollout.max_tokens = 8"), "{row}");
}

#[test]
fn a_reward_with_the_wrong_sign_is_named() {
    let dir = planted(COUNTDOWN, REWARDS);
    let words = ["stage.rewards.countdown.weight=-1", "stage.steps=14", "stage.grpo.aggregation=per_token"];
    let row = check(&dir, &words, "right_answers_punished");
    assert!(row["numbers"]["advantage_right"].as_f64() < row["numbers"]["advantage_wrong"].as_f64(), "{row}");
    assert_eq!(row["advice"][0], "a positive weight: rewards.countdown.weight is -1");
}

#[test]
fn a_learning_rate_a_hundred_times_too_high_is_named() {
    let dir = planted(COUNTDOWN, REWARDS);
    let row = check(&dir, &["stage.optimizer.learning_rate=4e-2", "stage.steps=8"], "diverged");
    assert!(row["numbers"]["kl"].as_f64() > Some(1.0), "{row}");
    assert!(row["advice"][0].as_str().unwrap().contains("it is 4e-2, try 4e-3"), "{row}");
    // Without a reference there is no divergence to measure; what is lost shows, behind what was seen of it before.
    let dir = planted(COUNTDOWN, REWARDS);
    let ended = dir.train(&["stage.optimizer.learning_rate=4e-2", "stage.steps=8", "stage.grpo.kl_beta=0"]);
    assert!(said(&dir, &ended).iter().any(|(symptom, step)| symptom == "diverged" && *step <= 8), "{}", ended.stderr);
    assert!(ended.stderr.contains("the policy runs away: what it could do is gone"), "{}", ended.stderr);
}

/// The prompt ends in `<think>`, and the reward wants both tags from the completion.
#[test]
fn a_prefilled_tag_is_named_with_the_tokens_where_it_stands() {
    let wants_both = "[stage.rewards.countdown]\n[stage.rewards.both]\nkind = \"regex\"\n\
                      pattern = \"(?s)^\\\\s*<think>.*</think>\\\\s*<answer>.*</answer>\\\\s*$\"";
    let before =
        "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. User: ";
    let dir = asked_as(before, ". Assistant: <think>", wants_both);
    let words = ["stage.steps=4", "stage.rollout.prompts_per_step=2"];
    let row = check(&dir, &words, "prefilled_tag");
    assert_eq!(row["step"], 3);
    let tokens = row["tokens"].as_str().unwrap();
    assert!(
        tokens.starts_with("prompt ... ") && tokens.contains("think") && tokens.contains("\ncompletion \""),
        "{tokens}"
    );
}

/// A prompt that shows the model no way to an answer.
#[test]
fn answers_that_are_not_found_are_named_with_their_tokens() {
    let dir = asked_as("", " <answer>", "[stage.rewards.countdown]\n[stage.rewards.length_limits]\nmax_tokens = 12");
    let words = ["stage.steps=4", "stage.rollout.prompts_per_step=2", "stage.rollout.stop_strings=['.']"];
    let row = check(&dir, &words, "no_answers");
    assert!(row["numbers"]["unanswered"].as_f64() >= Some(0.9), "{row}");
    assert!(row["tokens"].as_str().unwrap().contains("completion \""), "{row}");
}
