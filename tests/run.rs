//! A whole little run through the real binary: what lies in the run folder, and what may and may not change it.

mod support;

use serde_json::Value;
use support::Dir;

/// What TRL's GRPOTrainer logs of these, and our own beside it.
const METRICS: [&str; 38] = [
    "num_tokens",
    "step_time",
    "completions/mean_length",
    "completions/min_length",
    "completions/max_length",
    "completions/clipped_ratio",
    "completions/mean_terminated_length",
    "completions/min_terminated_length",
    "completions/max_terminated_length",
    "rewards/countdown/mean",
    "rewards/countdown/std",
    "rewards/format/mean",
    "rewards/format/std",
    "reward",
    "reward_std",
    "frac_reward_zero_std",
    "entropy",
    "kl",
    "loss",
    "grad_norm",
    "learning_rate",
    "clip_ratio/low_mean",
    "clip_ratio/low_min",
    "clip_ratio/high_mean",
    "clip_ratio/high_max",
    "clip_ratio/region_mean",
    "logprob_gap/mean",
    "logprob_gap/max",
    "sampling/tokens_per_second",
    "sampling/flops_per_second",
    "training/tokens_per_second",
    "training/flops_per_second",
    "flops_per_second",
    "sampling/flops_share_of_peak",
    "training/flops_share_of_peak",
    "accuracy",
    "format",
    "policy_loss",
];

/// What a step's time is made of.
const PARTS: [&str; 13] = [
    "prefill",
    "decode_network",
    "decode_draw",
    "decode_text",
    "idle",
    "reward",
    "reference",
    "old_logprobs",
    "forward",
    "head",
    "backward",
    "optimizer",
    "other",
];

const COMPLETION_FIELDS: [&str; 13] = [
    "step",
    "problem_id",
    "group",
    "row",
    "prompt",
    "text",
    "n_tokens",
    "stop_reason",
    "question",
    "gold",
    "components",
    "reward",
    "advantage",
];

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("no number `{name}` in {row}"))
}

fn completions(dir: &Dir, run: &str, step: u64) -> Vec<Value> {
    dir.rows(&format!("{run}/completions/grpo/step_{step:06}.jsonl"))
}

#[test]
fn a_run_leaves_everything_behind() {
    let dir = Dir::new();
    let eval = "stage.eval.problems=\"problems.jsonl\"";
    let ended = dir.train(&[
        eval,
        "stage.eval.every_steps=2",
        "stage.eval.samples_per_problem=2",
        "stage.checkpoint.every_steps=3",
    ]);
    assert!(ended.stdout.contains("pass@1") || ended.stderr.contains("pass@1"), "no table:\n{}", ended.stdout);

    check_metrics(&dir);
    for step in 1..=4 {
        check_completions(&completions(&dir, "run", step), step);
    }
    check_evaluations(&dir);
    let svg = dir.text("run/curves.svg");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    let report = dir.text("run/report.md");
    assert!(report.contains("pass@1") && report.contains("## Where the time went: grpo"), "{report}");
    let shown = dir.run(["show", "run"]).expect_code(0).stdout;
    assert!(shown.contains("update: forward") && shown.contains("step, 4 of them"), "{shown}");
    assert!(dir.text("run/log.txt").contains("step 4"));
    assert!(dir.text("run/run.toml").contains("group_size = 4"));
    assert_eq!(dir.json("run/run.json")["run_file"], "run.toml");
    for folder in ["run/final", "run/checkpoints/grpo/step_000003", "run/checkpoints/grpo/step_000004"] {
        let files = dir.files(folder);
        for name in ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"] {
            assert!(files.iter().any(|file| file == name), "no {name} in {folder}: {files:?}");
        }
    }
    assert_eq!(
        dir.bytes("run/final/model.safetensors"),
        dir.bytes("run/checkpoints/grpo/step_000004/model.safetensors")
    );
    assert_ne!(dir.bytes("run/final/model.safetensors"), dir.bytes("model/model.safetensors"), "nothing was learned");
    let leftovers: Vec<String> = dir.files("run").into_iter().filter(|file| file.contains(".tmp")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

fn check_metrics(dir: &Dir) {
    let metrics = dir.rows("run/metrics.jsonl");
    assert_eq!(metrics.len(), 4);
    for (step, row) in (1..).zip(&metrics) {
        assert_eq!((row["stage"].as_str(), row["step"].as_u64()), (Some("grpo"), Some(step)));
        METRICS.iter().for_each(|name| assert!(number(row, name).is_finite()));
        assert!(number(row, "logprob_gap/max") <= 1e-4, "step {step}: {}", row["logprob_gap/max"]);
        assert!(number(row, "grad_norm") > 0.0, "step {step} had no gradient");
        check_times(row);
    }
    // What came before a step: the evaluation before the first, and that after the second before the third.
    let between = |name: &str| metrics.iter().map(|row| number(row, name) > 0.0).collect::<Vec<_>>();
    assert_eq!(between("timing/evaluation"), [true, false, true, false]);
    assert_eq!(between("timing/checkpoint"), [false, false, false, true]);
    assert_eq!(number(&metrics[0], "kl"), 0.0, "the first update is made by the reference itself");
    assert!(number(&metrics[3], "kl") > 0.0);
    assert!(metrics.windows(2).all(|pair| number(&pair[0], "num_tokens") < number(&pair[1], "num_tokens")));
    let rewards: Vec<f64> = completions(dir, "run", 2).iter().map(|row| number(row, "reward")).collect();
    let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
    assert!(
        (number(&metrics[1], "reward") - mean).abs() < 1e-6,
        "the rows say {mean}, the metrics {}",
        metrics[1]["reward"]
    );
}

fn check_times(row: &Value) {
    let parts: Vec<f64> = PARTS.iter().map(|part| number(row, &format!("timing/{part}"))).collect();
    assert!(parts.iter().all(|&seconds| seconds >= 0.0), "{row}");
    let step_time = number(row, "step_time");
    assert!((parts.iter().sum::<f64>() - step_time).abs() <= 1e-9 * step_time, "{parts:?} do not make {step_time}");
    for part in
        ["prefill", "decode_network", "decode_draw", "decode_text", "reference", "forward", "backward", "optimizer"]
    {
        assert!(number(row, &format!("timing/{part}")) > 0.0, "{part} took no time");
    }
    let sum = |names: [&str; 3]| names.map(|name| number(row, &format!("timing/{name}"))).iter().sum::<f64>();
    let decode = number(row, "timing/decode");
    assert!((sum(["decode_network", "decode_draw", "decode_text"]) - decode).abs() < 1e-9);
    assert!((sum(["prefill", "decode", "idle"]) - number(row, "timing/sampling")).abs() < 1e-9);
    assert!(number(row, "timing/update") >= sum(["forward", "backward", "optimizer"]));
}

fn check_completions(rows: &[Value], step: u64) {
    assert_eq!(rows.len(), 12);
    for (index, row) in rows.iter().enumerate() {
        let fields: Vec<&str> = row.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(fields, COMPLETION_FIELDS);
        assert_eq!(
            (row["step"].as_u64(), row["group"].as_u64(), row["row"].as_u64()),
            (Some(step), Some(index as u64 / 4), Some(index as u64 % 4))
        );
        let score = |name: &str| number(&row["components"][name], "score");
        assert!((number(row, "reward") - (score("countdown") + 0.5 * score("format"))).abs() < 1e-6, "{row}");
        let stop_reason = row["stop_reason"].as_str().expect("a text");
        match stop_reason {
            "max_tokens" => assert_eq!(number(row, "n_tokens"), 16.0),
            "stop_string" => assert!(row["text"].as_str().is_some_and(|text| text.ends_with("</answer>")), "{row}"),
            _ => assert_eq!(stop_reason, "end_token"),
        }
    }
    for group in rows.chunks(4) {
        let advantages: Vec<f64> = group.iter().map(|row| number(row, "advantage")).collect();
        assert!(advantages.iter().sum::<f64>().abs() < 1e-5, "{advantages:?}");
        for (a, b) in group.iter().zip(&group[1..]) {
            let reward = number(a, "reward") - number(b, "reward");
            let advantage = number(a, "advantage") - number(b, "advantage");
            assert!(reward * advantage > 0.0 || reward == 0.0 && advantage == 0.0, "{a}\n{b}");
        }
    }
    assert!(rows.iter().any(|row| number(row, "advantage") > 0.0), "step {step}: all rewards are the same");
}

fn check_evaluations(dir: &Dir) {
    let evals = dir.rows("run/eval.jsonl");
    let steps: Vec<Option<u64>> = evals.iter().map(|row| row["step"].as_u64()).collect();
    assert_eq!(steps, [0, 2, 4].map(Some));
    let summary = dir.json("run/summary.json");
    for (name, eval) in [("before", &evals[0]), ("after", &evals[2])] {
        for key in ["pass_at_1", "format", "mean_tokens"] {
            assert_eq!(number(&summary[name], key), number(eval, key), "{name}.{key}");
        }
        assert_eq!(summary[name]["n_problems"], 7);
        assert!(number(&summary[name], "mean_tokens") >= 1.0 && number(&summary[name], "mean_tokens") <= 16.0);
    }
    assert!(number(&summary, "wall_seconds") > 0.0);
    assert!(summary["commit"].as_str().is_some_and(|commit| !commit.is_empty()));
}

#[test]
fn the_same_run_twice_ends_in_the_same_bits() {
    let dir = Dir::new();
    // On any number of threads.
    dir.train(&["run.dir=\"a\"", "run.threads=1"]);
    dir.train(&["run.dir=\"b\"", "run.threads=3"]);
    dir.train(&["run.dir=\"c\"", "run.seed=2"]);
    assert_eq!(dir.files("a/completions"), dir.files("b/completions"));
    for file in dir.files("a/completions") {
        assert_eq!(dir.text(&format!("a/completions/{file}")), dir.text(&format!("b/completions/{file}")), "{file}");
    }
    assert_eq!(dir.bytes("a/final/model.safetensors"), dir.bytes("b/final/model.safetensors"));
    assert_ne!(completions(&dir, "a", 1), completions(&dir, "c", 1), "the seed changes nothing");
}

#[test]
fn how_work_is_cut_changes_neither_completions_nor_gradient() {
    let dir = Dir::new();
    let run = |name: &str, settings: &[&str]| {
        let folder = format!("run.dir=\"{name}\"");
        // Over tokens, because with equal weights of completions the loss of the first update is zero.
        let mut words =
            vec![folder.as_str(), "stage.steps=2", "stage.grpo.kl_beta=0.1", "stage.grpo.aggregation=\"per_token\""];
        words.extend(settings);
        dir.train(&words);
        dir.rows(&format!("{name}/metrics.jsonl"))
    };
    let whole = run("whole", &[]);
    for (name, settings) in [
        ("micro", ["stage.grpo.micro_batch_tokens=1", "stage.grpo.logits_chunk_tokens=3"]),
        ("rows", ["stage.rollout.max_batch=3", "stage.grpo.micro_batch_tokens=60"]),
    ] {
        let cut = run(name, &settings);
        assert_eq!(completions(&dir, "whole", 1), completions(&dir, name, 1), "{settings:?}");
        for key in ["loss", "policy_loss", "grad_norm", "entropy"] {
            let (a, b) = (number(&whole[0], key), number(&cut[0], key));
            assert!(a.abs() > 1e-3 && (a - b).abs() <= 1e-5 * a.abs(), "{settings:?}: {key} {a} became {b}");
        }
        // The second step starts from updated weights: its KL tells whether the first gradient was the same.
        let (a, b) = (number(&whole[1], "kl"), number(&cut[1], "kl"));
        assert!(a > 0.0 && (a - b).abs() <= 1e-3 * a, "{settings:?}: kl {a} became {b}");
    }
}

/// In float32 on the CPU the trainer's forward pass gives the sampler's log-probabilities to the bit, so it does not matter
/// whose are log pi_old: neither where the update's own pass says it nor where a pass before the first update does.
#[test]
fn recomputed_old_logprobs_are_the_samplers() {
    let dir = Dir::new();
    for (name, cut) in [("one", "stage.grpo.minibatches=1"), ("many", "stage.grpo.minibatches=3")] {
        let run = |kind: &str, settings: &[&str]| {
            let folder = format!("run.dir=\"{name}_{kind}\"");
            let updates =
                if name == "many" { "stage.grpo.updates_per_batch=2" } else { "stage.grpo.updates_per_batch=1" };
            let mut words = vec![folder.as_str(), cut, updates, "stage.steps=3"];
            words.extend(settings);
            dir.train(&words);
            dir.rows(&format!("{name}_{kind}/metrics.jsonl"))
        };
        let sampler = run("sampler", &[]);
        let recompute = run("recompute", &["stage.grpo.old_logprobs=\"recompute\""]);
        let capped = run("capped", &["stage.grpo.old_logprobs=\"recompute\"", "stage.grpo.importance_cap=2.0"]);
        let model = |kind: &str| dir.bytes(&format!("{name}_{kind}/final/model.safetensors"));
        assert!(model("sampler") == model("recompute") && model("sampler") == model("capped"), "{name}");
        for ((sampler, recompute), capped) in sampler.iter().zip(&recompute).zip(&capped) {
            for key in ["loss", "grad_norm", "entropy", "logprob_gap/mean", "logprob_gap/max", "clip_ratio/region_mean"]
            {
                assert_eq!(number(sampler, key), number(recompute, key), "{name} {key}");
                assert_eq!(number(sampler, key), number(capped, key), "{name} {key}");
            }
            assert_eq!(number(sampler, "logprob_gap/max"), 0.0);
            assert!(sampler["importance/mean"].is_null() && recompute["importance/mean"].is_null());
            let importance = ["mean", "max", "clipped_ratio"].map(|key| number(capped, &format!("importance/{key}")));
            assert_eq!(importance, [1.0, 1.0, 0.0]);
        }
    }
}

/// From step 3 on completions may be longer and are drawn at another temperature, at which the update computes their
/// log-probabilities too. Evaluations have the last limit from the start.
#[test]
fn limits_and_temperature_change_at_their_steps() {
    let dir = Dir::new();
    dir.train(&[
        "stage.optimizer.learning_rate=1e-6",
        "stage.rollout.stop_strings=[]",
        "stage.rollout.max_tokens=8",
        "stage.rollout.max_tokens_from_step=[[3, 16]]",
        "stage.rollout.temperature_from_step=[[3, 0.5]]",
        "stage.eval.problems=\"problems.jsonl\"",
    ]);
    let longest = |step| {
        let rows = completions(&dir, "run", step);
        rows.iter().map(|row| number(row, "n_tokens") as u64).max().expect("rows")
    };
    assert_eq!([1, 2, 3, 4].map(longest), [8, 8, 16, 16]);
    let metrics = dir.rows("run/metrics.jsonl");
    assert!(metrics.iter().all(|row| number(row, "logprob_gap/max") == 0.0), "another temperature in the update");
    let entropies: Vec<f64> = metrics.iter().map(|row| number(row, "entropy")).collect();
    assert!(entropies[2] < 0.9 * entropies[1], "{entropies:?}");
    assert!(number(&dir.rows("run/eval.jsonl")[0], "mean_tokens") > 8.0);
}

#[test]
fn negative_weights_negate_advantages() {
    let dir = Dir::new();
    dir.train(&["run.dir=\"plus\"", "stage.steps=1"]);
    let minus = [
        "run.dir=\"minus\"",
        "stage.steps=1",
        "stage.rewards.countdown.weight=-1.0",
        "stage.rewards.format.weight=-0.5",
    ];
    dir.train(&minus);
    let mut n_nonzero = 0;
    for (plus, minus) in completions(&dir, "plus", 1).iter().zip(&completions(&dir, "minus", 1)) {
        assert_eq!(plus["text"], minus["text"]);
        let (plus, minus) = (number(plus, "advantage"), number(minus, "advantage"));
        assert_eq!(plus, -minus);
        n_nonzero += usize::from(plus != 0.0);
    }
    assert!(n_nonzero > 0);
    assert_ne!(dir.bytes("plus/final/model.safetensors"), dir.bytes("minus/final/model.safetensors"));
}

#[test]
fn bfloat16_runs() {
    let dir = Dir::new();
    dir.train(&["run.dtype=\"bfloat16\"", "stage.grpo.minibatches=3"]);
    for row in dir.rows("run/metrics.jsonl") {
        assert!(number(&row, "loss").is_finite() && number(&row, "grad_norm") > 0.0);
        assert_eq!(number(&row, "logprob_gap/max"), 0.0, "sampler and trainer round at the same places: {row}");
    }
    // So it makes no difference whose log pi_old are, and importance weights are all 1.
    for (name, more) in [("plain", "run.seed=1"), ("capped", "stage.grpo.importance_cap=1.5")] {
        let folder = format!("run.dir=\"{name}\"");
        let settings = ["run.dtype=\"bfloat16\"", "stage.grpo.minibatches=3", "stage.grpo.old_logprobs=\"recompute\""];
        dir.train(&[&[folder.as_str(), more], settings.as_slice()].concat());
        assert_eq!(dir.bytes("run/final/model.safetensors"), dir.bytes(&format!("{name}/final/model.safetensors")));
    }
    for row in dir.rows("capped/metrics.jsonl") {
        assert_eq!(number(&row, "importance/max"), 1.0, "{row}");
    }
}

/// At the first step the policy is its own reference; at the second the huge KL term overflows.
#[test]
fn a_gradient_that_is_no_number_ends_the_run_and_loses_nothing() {
    let dir = Dir::new();
    let ended = dir.run(["--config", "run.toml", "--no-progress", "--set", "stage.grpo.kl_beta=1e36"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("step 2: ") && ended.stderr.contains("the last checkpoint is intact"),
        "{}",
        ended.stderr
    );
    assert_eq!(dir.rows("run/completions/grpo/step_000002.jsonl").len(), 12, "what led to it can be looked at");
    assert!(dir.path("run/checkpoints/grpo/step_000001/manifest.json").is_file(), "the good step is saved");
    assert_eq!(dir.rows("run/metrics.jsonl").len(), 1);
}
