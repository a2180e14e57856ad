//! The embedded base learns, and unlearns with the sign of its rewards flipped; a pipeline makes a base and trains it.

mod support;

use serde_json::Value;
use support::Dir;

/// The main job's run file on a small scale: 14 steps of 128 completions.
fn small_r1_zero(dir: &Dir, name: &str, settings: &[&str]) -> Vec<f64> {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/r1_zero.toml");
    let mut args = vec!["--config", config, "--no-progress"];
    let folder = format!("run.dir={name}");
    for setting in [
        &folder,
        "run.threads=1",
        "stage.steps=14",
        "stage.rollout.prompts_per_step=16",
        "stage.rollout.group_size=8",
        "stage.rollout.max_tokens=128",
        "stage.eval.max_problems=8",
        "stage.optimizer.learning_rate=1e-3",
        "stage.optimizer.schedule=constant",
        "stage.optimizer.warmup_steps=0",
        "stage.grpo.aggregation=per_completion",
    ]
    .into_iter()
    .chain(settings.iter().copied())
    {
        args.extend(["--set", setting]);
    }
    let ended = dir.run(&args);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let rows = dir.rows(&format!("{name}/metrics.jsonl"));
    rows.iter().map(|row| row["accuracy"].as_f64().unwrap()).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn accuracy_rises_and_with_the_advantage_flipped_it_falls() {
    let dir = Dir::new();
    let learned = small_r1_zero(&dir, "learned", &["stage.rewards.format.weight=0.2"]);
    let flip = ["stage.rewards.countdown.weight=-1", "stage.rewards.format.weight=-0.2"];
    let unlearned = small_r1_zero(&dir, "unlearned", &flip);
    // The first step samples from the base in both; 128 completions at 0.2 have a deviation of 0.035, four steps of 0.018.
    assert_eq!(learned[0], unlearned[0]);
    assert!(mean(&learned[10..]) > mean(&learned[..2]) + 0.15, "{learned:?}");
    assert!(mean(&unlearned[10..]) < mean(&unlearned[..2]) - 0.05, "{unlearned:?}");
}

const PIPELINE: &str = r#"[run]
dir = "run"
threads = 1
device = "cpu"

[[stage]]
kind = "pretrain"
steps = 6
seq_len = 32
batch_tokens = 256
output = "base"

[stage.corpus.countdown]
[stage.tokenizer]
vocab_size = 600
max_token_chars = 64

[stage.architecture]
hidden_size = 32
n_layers = 2
n_heads = 2
n_kv_heads = 1
intermediate_size = 48
max_position_embeddings = 256

[stage.optimizer]
learning_rate = 1e-3

[stage.checkpoint]
every_steps = 2

[[stage]]
kind = "grpo"
steps = 2

[stage.problems.countdown]
[stage.rollout]
prompts_per_step = 2
group_size = 2
max_tokens = 8

[stage.rewards.format]

[stage.optimizer]
learning_rate = 1e-3
"#;

#[test]
fn a_run_file_makes_a_base_and_goes_on_with_it() {
    let dir = Dir::new();
    dir.write("pipeline.toml", PIPELINE);
    let ended = dir.run(["--config", "pipeline.toml", "--no-progress"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let stages: Vec<String> =
        dir.rows("run/metrics.jsonl").iter().map(|row| row["stage"].as_str().unwrap().to_owned()).collect();
    assert_eq!(stages, ["pretrain", "pretrain", "pretrain", "pretrain", "pretrain", "pretrain", "grpo", "grpo"]);
    let base = dir.bytes("run/checkpoints/pretrain/step_000006/model.safetensors");
    assert_eq!(dir.bytes("base/model.safetensors"), base, "the output is the last checkpoint");
    assert_eq!(dir.bytes("base/tokenizer.json"), dir.bytes("run/final/tokenizer.json"));
}

/// Ended in the second stage, and again with the first stage's last checkpoint gone: the same bits in the end.
#[test]
fn a_pipeline_resumes_in_whatever_stage_it_was() {
    let whole = Dir::new();
    whole.write("pipeline.toml", PIPELINE);
    assert_eq!(whole.run(["--config", "pipeline.toml", "--no-progress"]).code, Some(0));
    let finished = whole.bytes("run/final/model.safetensors");

    let dir = Dir::new();
    dir.write("pipeline.toml", PIPELINE);
    assert_eq!(dir.run(["--config", "pipeline.toml", "--no-progress"]).code, Some(0));
    for gone in [&["run/checkpoints/grpo"][..], &["run/checkpoints/pretrain/step_000006"]] {
        for folder in gone.iter().chain(&["run/final", "base"]) {
            std::fs::remove_dir_all(dir.path(folder)).unwrap();
        }
        std::fs::remove_file(dir.path("run/summary.json")).unwrap();
        let ended = dir.run(["--config", "pipeline.toml", "--no-progress", "--resume"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(dir.bytes("run/final/model.safetensors"), finished, "without {gone:?}");
        assert!(dir.path("base/model.safetensors").is_file());
        let steps: Vec<(Value, Value)> =
            dir.rows("run/metrics.jsonl").iter().map(|row| (row["stage"].clone(), row["step"].clone())).collect();
        assert_eq!(steps.len(), 8, "{steps:?}");
    }
}

/// Only the model's own files are written into the output folder.
#[test]
fn what_else_lies_in_the_output_folder_is_left_alone() {
    let dir = Dir::new();
    dir.write("pipeline.toml", PIPELINE);
    std::fs::create_dir(dir.path("base")).unwrap();
    dir.write("base/letter.txt", "dear diary");
    let ended = dir.run(["--config", "pipeline.toml", "--no-progress"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(dir.text("base/letter.txt"), "dear diary");
    let files = dir.files("base");
    assert_eq!(
        files,
        [
            "config.json",
            "generation_config.json",
            "letter.txt",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json"
        ]
    );
}
