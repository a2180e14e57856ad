//! The schedule of DeepSeek-R1-Zero as published, end to end and in small: configs/small/r1_zero_paper.toml, shortened.

mod support;

use grpo_train::grpo::{Chosen, Objective, TokenBatch, grpo_loss};
use serde_json::Value;
use support::Dir;
use tch::{Kind, Tensor};

/// What makes a run of seconds of it: the reference renewed every second step, and the limit doubled from step 3 on.
const SHORTENED: [&str; 10] = [
    "run.dir=run",
    "run.threads=1",
    "run.device=cpu",
    "stage.steps=4",
    "stage.rollout.prompts_per_step=4",
    "stage.rollout.group_size=8",
    "stage.rollout.max_tokens=24",
    "stage.rollout.max_tokens_from_step=[[3, 48]]",
    "stage.grpo.reference_refresh_steps=2",
    "stage.eval.max_problems=2",
];

/// The steps of the shortened run, with a further setting.
fn steps(setting: &str) -> Vec<Value> {
    let dir = Dir::new();
    let path = support::golden("../../configs/small/r1_zero_paper.toml");
    let mut args = vec!["--config", path.to_str().expect("a path of UTF-8")];
    SHORTENED.iter().chain([&setting]).for_each(|setting| args.extend(["--set", setting]));
    dir.run(args).expect_code(0);
    dir.rows("run/metrics.jsonl")
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("no number `{name}` in {row}"))
}

#[test]
fn the_schedule_of_r1_runs_as_published() {
    let rows = steps("stage.grpo.minibatches=16");
    let lengths: Vec<f64> = rows.iter().map(|row| number(row, "completions/max_length")).collect();
    assert_eq!(lengths, [24.0, 24.0, 48.0, 48.0], "the limit doubles at step 3");
    for row in &rows {
        for name in ["clip_ratio/low_mean", "clip_ratio/low_min"] {
            assert_eq!(number(row, name), 0.0, "with an epsilon of 10 the lower end is -9");
        }
        for name in ["loss", "kl", "reward", "grad_norm", "entropy"] {
            assert!(number(row, name).is_finite());
        }
        // The first of 16 updates is made by the reference itself in steps 1 and 3, the others are not.
        assert!(number(row, "kl") > 0.0 && number(row, "grad_norm") > 0.0);
    }
}

/// With one update a step each line is one update: the first after a renewal is made by the reference itself.
#[test]
fn a_renewed_reference_is_the_policy() {
    let kl: Vec<f64> = steps("stage.grpo.minibatches=1").iter().map(|row| number(row, "kl")).collect();
    assert_eq!((kl[0], kl[2]), (0.0, 0.0), "{kl:?}");
    assert!(kl[1] > 0.0 && kl[3] > 0.0, "{kl:?}");
}

/// Said by `--check` and when a run begins; here a clip where a step has one update.
#[test]
fn what_does_nothing_is_warned_about() {
    let dir = Dir::new();
    let warning = "warning: stage grpo: a clip to [1 - 0.1, 1 + 0.1] is set, but a step has one update";
    let set = "stage.grpo.clip_epsilon=0.1";
    let checked = dir.run(support::train_args(&[set, "--check"])).expect_code(0);
    assert!(checked.stderr.contains(warning), "{}", checked.stderr);
    assert!(dir.train(&[set, "stage.steps=1"]).stderr.contains(warning));
    assert!(!dir.run(support::train_args(&["--check"])).expect_code(0).stderr.contains("warning"));
}

/// One token: (A, ratio) and whether the clip takes its gradient.
#[test]
fn a_clip_at_10_cuts_only_good_tokens_that_became_11_times_likelier() {
    for (advantage, ratio, is_cut) in
        [(1.0, 10.9, false), (1.0, 11.1, true), (-1.0, 11.1, false), (-1.0, 1e-6, false), (1.0, 1e-6, false)]
    {
        let of = |value: f64| Tensor::from_slice(&[value]);
        let logprobs = of(f64::ln(ratio) - 20.0).set_requires_grad(true);
        let tokens = TokenBatch {
            logprobs: &logprobs,
            old_logprobs: &of(-20.0),
            sampler_logprobs: None,
            ref_logprobs: None,
            entropies: None,
            advantages: &of(advantage),
            weights: &of(1.0),
            chosen: Chosen::default(),
            sequences: None,
        };
        let (loss, stats) = grpo_loss(&tokens, &Objective::grpo(10.0)).expect("a finite loss");
        loss.backward();
        let gradient = logprobs.grad().to_kind(Kind::Double).double_value(&[0]);
        assert_eq!(gradient == 0.0, is_cut, "A = {advantage}, ratio {ratio}: gradient {gradient}");
        assert_eq!((stats.clip_ratio_low(), stats.clip_ratio_high()), (0.0, f64::from(u8::from(is_cut))));
    }
}
