//! Every switch of `[stage.grpo]` through the real binary: each changes what is learned, and what it remembers is saved.

mod support;

use serde_json::Value;
use support::Dir;

/// Several updates of a rollout, so that ratios are not 1.
const BASE: [&str; 3] = ["stage.steps=3", "stage.grpo.minibatches=2", "stage.grpo.updates_per_batch=2"];

/// So narrow that it cuts; other surrogates refuse it.
const NARROW: &str = "stage.grpo.clip_epsilon=0.02";

/// What each switch takes to have an effect, beside [`BASE`].
const SWITCHES: [&[&str]; 32] = [
    &["stage.grpo.aggregation=\"per_token\""],
    &["stage.grpo.advantage_scale=\"tokens\""],
    &["stage.grpo.ratio=\"sequence\""],
    &["stage.grpo.ratio=\"sequence_token\"", "stage.grpo.aggregation=\"per_token\""],
    &["stage.grpo.ratio=\"product\""],
    &["stage.grpo.clip_epsilon=0.5"],
    &["stage.grpo.clip_epsilon_high=0.5"],
    &["stage.grpo.clip_delta=1.03"],
    &["stage.grpo.surrogate=\"cispo\""],
    &["stage.grpo.surrogate=\"sapo\""],
    &["stage.grpo.surrogate=\"sapo\"", "stage.grpo.sapo_temperatures=[4.0, 8.0]"],
    &["stage.grpo.surrogate=\"vespo\""],
    &["stage.grpo.kl_beta=0.5"],
    &["stage.grpo.kl_beta_from_step=[[2, 0.5]]"],
    &["stage.grpo.kl_beta=0.5", "stage.grpo.kl_estimator=\"k2\""],
    &["stage.grpo.kl_beta=0.5", "stage.grpo.kl_times_ratio=true"],
    &["stage.grpo.kl_beta=0.5", "stage.grpo.kl_in=\"reward\"", "stage.grpo.kl_estimator=\"k1\""],
    &["stage.grpo.kl_beta=0.5", "stage.grpo.kl_in=\"return\"", "stage.grpo.kl_estimator=\"k1\""],
    &["stage.grpo.kl_beta=0.5", "stage.grpo.reference_refresh_steps=1"],
    &["stage.grpo.kl_beta=0.5", "stage.grpo.reference_refresh_steps=1", "stage.grpo.reference_mix=0.5"],
    &["stage.grpo.advantage_baseline=\"leave_one_out\""],
    &["stage.grpo.advantage_baseline=\"none\"", "stage.grpo.advantage_scale=\"tokens\""],
    &["stage.grpo.advantage_scale=\"centred\""],
    &["stage.grpo.std_divisor=\"population\""],
    &["stage.grpo.std_epsilon=1.0"],
    &["stage.grpo.aggregation=\"local\"", "stage.grpo.local_completions=2"],
    &["stage.grpo.aggregation=\"sum\""],
    &["stage.rollout.max_tokens=6"],
    &["stage.rollout.max_tokens=6", "stage.grpo.mask_truncated=true"],
    &["stage.grpo.top_entropy_fraction=0.3"],
    &["stage.grpo.entropy_coefficient=0.1"],
    &["stage.grpo.off_policy_threshold=0.0"],
];

const CHOSEN: [&[&str]; 3] = [
    &["stage.grpo.covariance={ kind = \"clip_cov\", fraction = 0.2, low = 0.0, high = 1e9 }"],
    &["stage.grpo.covariance={ kind = \"kl_cov\", fraction = 0.2, beta = 5.0 }"],
    &["stage.grpo.adaptive_entropy={ target = 100.0, delta = 0.05 }"],
];

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("no number `{name}` in {row}"))
}

fn train(dir: &Dir, name: &str, more: &[&str]) -> Vec<u8> {
    let run = format!("run.dir=\"{name}\"");
    let is_clip = !more.iter().any(|word| word.contains("surrogate") || word.contains("clip_epsilon="));
    let narrow = if is_clip { &[NARROW][..] } else { &[] };
    dir.train(&[&[run.as_str()], &BASE[..], narrow, more].concat());
    for row in dir.rows(&format!("{name}/metrics.jsonl")) {
        for metric in ["loss", "grad_norm", "entropy"] {
            assert!(number(&row, metric).is_finite(), "{more:?}: {metric} in {row}");
        }
    }
    dir.bytes(&format!("{name}/final/model.safetensors"))
}

#[test]
fn every_switch_changes_what_is_learned() {
    let dir = Dir::new();
    let mut seen = vec![("nothing".to_owned(), train(&dir, "plain", &[]))];
    for (number, more) in SWITCHES.iter().chain(&CHOSEN).enumerate() {
        let learned = train(&dir, &format!("switch_{number}"), more);
        let what = more.join(" ");
        if let Some((other, _)) = seen.iter().find(|(_, bytes)| *bytes == learned) {
            panic!("{what} learns what {other} learns");
        }
        seen.push((what, learned));
    }
}

/// Micro-batches and chunks of logits are only how much is computed at a time, also where whole completions are looked at and
/// where tokens are chosen among all of a minibatch.
#[test]
fn how_work_is_cut_changes_no_objective() {
    let dir = Dir::new();
    let objectives: [&[&str]; 4] = [
        &["stage.grpo.ratio=\"sequence\"", "stage.grpo.aggregation=\"per_token\""],
        &["stage.grpo.top_entropy_fraction=0.3", "stage.grpo.entropy_coefficient=0.05"],
        &["stage.grpo.aggregation=\"local\"", "stage.grpo.local_completions=2"],
        &["stage.grpo.covariance={ kind = \"kl_cov\", fraction = 0.2 }", "stage.grpo.kl_in=\"return\""],
    ];
    for (number, objective) in objectives.iter().enumerate() {
        let gradient = |name: &str, cut: &[&str]| -> Vec<f64> {
            let name = format!("{name}_{number}");
            train(&dir, &name, &[&["stage.steps=1"], *objective, cut].concat());
            let row = &dir.rows(&format!("{name}/metrics.jsonl"))[0];
            ["grad_norm", "policy_loss", "loss"].map(|metric| self::number(row, metric)).to_vec()
        };
        let whole = gradient("whole", &[]);
        let cut = gradient("cut", &["stage.grpo.micro_batch_tokens=40", "stage.grpo.logits_chunk_tokens=7"]);
        for (a, b) in whole.iter().zip(&cut) {
            assert!((a - b).abs() <= 1e-4 * a.abs().max(1e-3), "{objective:?}: {whole:?}, {cut:?}");
        }
    }
}

/// A ratio of 1 has nothing to say: with one update a rollout the levels of the ratio agree where completions weigh by
/// themselves.
#[test]
fn with_one_update_the_level_of_the_ratio_does_not_matter() {
    let dir = Dir::new();
    let once = ["stage.grpo.minibatches=1", "stage.grpo.updates_per_batch=1", "stage.steps=1"];
    let norm = |level: &str| {
        let level = format!("stage.grpo.ratio=\"{level}\"");
        train(&dir, &format!("once_{}", level.len()), &[&once[..], &[level.as_str()]].concat());
        number(&dir.rows(&format!("once_{}/metrics.jsonl", level.len()))[0], "grad_norm")
    };
    let norms = ["token", "sequence", "sequence_token"].map(norm);
    assert!(norms.iter().all(|other| (other - norms[0]).abs() <= 1e-5 * norms[0]), "{norms:?}");
}

/// The coefficient of an adaptive entropy bonus and a mixed reference are as they were after a resume.
#[test]
fn what_an_objective_remembers_is_saved() {
    let remembers = [
        "stage.grpo.adaptive_entropy={ target = 3.0, delta = 0.05 }",
        "stage.grpo.entropy_coefficient=0.1",
        "stage.grpo.reference_refresh_steps=2",
        "stage.grpo.reference_mix=0.3",
        "stage.grpo.kl_beta=0.1",
        "stage.optimizer.learning_rate_from_step=[[3, 1e-3]]",
    ];
    let dir = Dir::new();
    let whole = train(&dir, "whole", &[&remembers[..], &["stage.steps=6"]].concat());
    train(&dir, "parts", &[&remembers[..], &["stage.steps=3"]].concat());
    let parts = train(&dir, "parts", &[&remembers[..], &["stage.steps=6", "--resume"]].concat());
    assert!(whole == parts, "the weights differ");
    let coefficients: Vec<f64> =
        dir.rows("parts/metrics.jsonl").iter().map(|row| number(row, "entropy_coef")).collect();
    assert!(coefficients.windows(2).any(|pair| pair[0] != pair[1]), "{coefficients:?}");
    let rates: Vec<f64> = dir.rows("parts/metrics.jsonl").iter().map(|row| number(row, "learning_rate")).collect();
    assert_eq!(rates, [2e-3, 2e-3, 1e-3, 1e-3, 1e-3, 1e-3]);
}

/// Two steps in every completion, a good one and a bad one, which differ in their sum from completion to completion.
const STEPS: &str = "\
import json, sys
for line in sys.stdin:
    row = json.loads(line)
    n, bonus = len(row['completion']), len(row['completion']) % 3
    steps = [{'end': n // 2, 'score': 1.0 + bonus}, {'end': n, 'score': 0.0}] if n > 1 else []
    print(json.dumps({'id': row['id'], 'score': 0.0, 'steps': steps}), flush=True)
";

#[test]
fn steps_are_rewarded_at_their_ends() {
    let dir = Dir::new();
    dir.write("steps.py", STEPS);
    let file = dir.text("run.toml");
    let (head, tail) = file.split_once("[stage.rewards.countdown]").expect("a reward");
    let (_, tail) = tail.split_once("[stage.optimizer]").expect("an optimiser");
    let reward = "[stage.rewards.steps]\nkind = \"process\"\ncommand = [\"python3\", \"steps.py\"]\n\n";
    dir.write("run.toml", format!("{head}{reward}[stage.optimizer]{tail}"));
    // The scores of completions are all 0: only steps can teach anything.
    let learned = |name: &str, supervision: &str| {
        let supervision = format!("stage.grpo.supervision=\"{supervision}\"");
        train(&dir, name, &["stage.grpo.kl_beta=0.0", &supervision]);
        dir.rows(&format!("{name}/metrics.jsonl")).iter().map(|row| number(row, "grad_norm")).collect::<Vec<_>>()
    };
    let outcome = learned("outcome", "outcome");
    assert!(outcome.iter().all(|&norm| norm == 0.0), "{outcome:?}");
    let process = learned("process", "process");
    assert!(process.iter().all(|&norm| norm > 0.0), "{process:?}");
    // A weight of 0 only records: such a step is none of those that are compared.
    let silent = format!(
        "{reward}[stage.rewards.silent]\nkind = \"step_sums\"\nweight = 0.0\n\n\
                          [stage.rewards.mute]\nkind = \"process\"\ncommand = [\"python3\", \"steps.py\"]\nweight = 0.0\n\n"
    );
    dir.write("run.toml", format!("{head}{silent}[stage.optimizer]{tail}"));
    assert_eq!(learned("silent", "process"), process);
    let rows = dir.rows("process/completions/grpo/step_000001.jsonl");
    let with_steps = rows.iter().filter(|row| row["components"]["steps"]["steps"][0]["end_token"].is_u64());
    assert!(with_steps.count() > rows.len() / 2, "{rows:?}");
}
