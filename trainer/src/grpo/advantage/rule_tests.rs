//! Advantages beyond GRPO's: RLOO's against TRL, those of other papers against their equations in PyTorch.
//!
//! Golden file: scripts/golden/advantage_rules.py (torch 2.11, trl 1.16, float64).

use super::*;
use crate::grpo::KlEstimator;

#[derive(Deserialize)]
struct Golden {
    group_size: usize,
    lengths: Vec<usize>,
    old_logprobs: Vec<Vec<f32>>,
    ref_logprobs: Vec<Vec<f32>>,
    rloo: Vec<Rloo>,
    rules: Vec<Rule>,
    reinforce_plus_plus: Vec<ReinforcePlusPlus>,
    process: Vec<Process>,
}

#[derive(Deserialize)]
struct Rloo {
    name: String,
    beta: f64,
    normalize: bool,
    rewards: Vec<Option<f64>>,
    advantages: Vec<f64>,
}

#[derive(Deserialize)]
struct Rule {
    name: String,
    baseline: Baseline,
    scale: AdvantageScale,
    divisor: StdDivisor,
    rewards: Vec<Option<f64>>,
    advantages: Vec<f64>,
}

#[derive(Deserialize)]
struct ReinforcePlusPlus {
    beta: f64,
    divisor: StdDivisor,
    rewards: Vec<f32>,
    advantages: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Process {
    scale: AdvantageScale,
    steps: Vec<Vec<Step>>,
    advantages: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Step {
    end_token: usize,
    reward: f32,
}

fn golden() -> Golden {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/advantage_rules.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[track_caller]
fn all_close(got: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= tolerance * expected.abs().max(1e-3), "{what}: {got}, expected {expected}");
    }
}

/// The rewards of all completions, group by group.
fn grouped<T: Clone>(values: &[T], group_size: usize) -> Vec<Vec<T>> {
    values.chunks(group_size).map(<[T]>::to_vec).collect()
}

/// TRL's `RLOOTrainer`: k1 of the whole completion in the reward, the others' mean as the baseline, and with
/// `normalize_advantages` the deviation of what is left.
#[test]
fn rloo_is_trls() {
    let golden = golden();
    assert_eq!(golden.rloo.len(), 24);
    for case in &golden.rloo {
        let kl = |row: usize| -> f64 {
            kl_estimates(&golden.old_logprobs[row], &golden.ref_logprobs[row], KlEstimator::K1).iter().sum()
        };
        let rewards: Vec<Option<f64>> =
            case.rewards.iter().enumerate().map(|(row, reward)| Some((*reward)? - case.beta * kl(row))).collect();
        let scale = if case.normalize { AdvantageScale::Centred } else { AdvantageScale::None };
        let rule = AdvantageRule { baseline: Baseline::LeaveOneOut, ..AdvantageRule::grpo(scale) };
        let got = advantages_in_float64(&grouped(&rewards, golden.group_size), &rule).concat();
        // TRL rounds Bessel's n / (n - 1) to float32.
        let tolerance = if case.normalize { 1e-7 } else { 1e-12 };
        all_close(&got, &case.advantages, tolerance, &format!("{} {} {}", case.name, case.beta, case.normalize));
    }
}

/// Every baseline under every scale and both deviations: REINFORCE++-baseline and ScaleRL are `group_mean` and `centred`.
#[test]
fn every_rule_is_its_equation() {
    let golden = golden();
    assert_eq!(golden.rules.len(), 144);
    for Rule { name, baseline, scale, divisor, rewards, advantages } in &golden.rules {
        let rule = AdvantageRule { baseline: *baseline, divisor: *divisor, ..AdvantageRule::grpo(*scale) };
        let got = advantages_in_float64(&grouped(rewards, golden.group_size), &rule).concat();
        all_close(&got, advantages, 1e-12, &format!("{name} {rule:?}"));
    }
}

/// The reward less the divergence from here on, mean 0 and deviation 1 over all tokens; rounded to float32 on the way.
#[test]
fn reinforce_plus_plus_is_its_equation() {
    let golden = golden();
    assert_eq!(golden.reinforce_plus_plus.len(), 8);
    for case in &golden.reinforce_plus_plus {
        let rule = AdvantageRule {
            baseline: Baseline::None,
            divisor: case.divisor,
            ..AdvantageRule::grpo(AdvantageScale::Tokens)
        };
        let rewards: Vec<Option<f32>> = case.rewards.iter().copied().map(Some).collect();
        let outcome = advantages(&grouped(&rewards, golden.group_size), &rule).concat();
        let mut tokens = per_token(&outcome, &golden.lengths);
        for (row, tokens) in tokens.iter_mut().enumerate() {
            let costs = kl_estimates(&golden.old_logprobs[row], &golden.ref_logprobs[row], KlEstimator::K1);
            let ahead = cost_to_go(&costs);
            tokens.iter_mut().zip(ahead).for_each(|(token, cost)| *token -= (case.beta * cost) as f32);
        }
        whiten(&mut tokens, |_, _| true, &rule);
        for (got, expected) in tokens.iter().zip(&case.advantages) {
            let got: Vec<f64> = got.iter().map(|&token| f64::from(token)).collect();
            // Absolute where the sum cancels: rewards of about 1 in float32.
            let difference = got.iter().zip(expected).map(|(got, expected)| (got - expected).abs());
            assert!(difference.fold(0.0, f64::max) <= 1e-6, "{} {:?}: {got:?}", case.beta, case.divisor);
        }
    }
}

/// DeepSeekMath, 4.1.3, in groups with a completion without steps.
#[test]
fn process_supervision_is_the_papers() {
    let golden = golden();
    for Process { scale, steps, advantages } in &golden.process {
        let given: Vec<Vec<StepReward>> = steps
            .iter()
            .map(|steps| steps.iter().map(|&Step { end_token, reward }| StepReward { end_token, reward }).collect())
            .collect();
        let lengths = grouped(&golden.lengths, golden.group_size);
        let rule = AdvantageRule::grpo(*scale);
        let got = process_advantages(&grouped(&given, golden.group_size), &lengths, &rule).concat();
        assert_eq!(got.len(), advantages.len());
        for (row, (got, expected)) in got.iter().zip(advantages).enumerate() {
            let got: Vec<f64> = got.iter().map(|&token| f64::from(token)).collect();
            all_close(&got, expected, 1e-6, &format!("{scale:?} row {row}"));
        }
    }
}

/// One reward at the end is outcome supervision.
#[test]
fn one_step_at_the_end_is_the_outcome() {
    let (rewards, lengths) = ([1.0_f32, 0.0, 0.25, 0.5], vec![3, 1, 2, 4]);
    let steps = rewards.iter().zip(&lengths).map(|(&reward, &end_token)| vec![StepReward { end_token, reward }]);
    let steps: Vec<Vec<StepReward>> = steps.collect();
    for scale in [AdvantageScale::Group, AdvantageScale::Batch, AdvantageScale::Centred, AdvantageScale::None] {
        let rule = AdvantageRule::grpo(scale);
        let outcome = advantages(&[rewards.map(Some)], &rule).concat();
        let by_steps = process_advantages(std::slice::from_ref(&steps), std::slice::from_ref(&lengths), &rule).concat();
        assert_eq!(by_steps, per_token(&outcome, &lengths), "{scale:?}");
    }
}

#[test]
fn estimates_and_returns_by_hand() {
    let (old, reference) = ([-1.0_f32, -2.0, -3.0], [-1.5_f32, -1.0, -30.0]);
    let d = [-0.5_f64, 1.0, -27.0];
    for (estimator, of) in [
        (KlEstimator::K1, (|d| -d) as fn(f64) -> f64),
        (KlEstimator::K2, |d| d * d / 2.0),
        (KlEstimator::K3, |d| d.exp() - d - 1.0),
    ] {
        all_close(&kl_estimates(&old, &reference, estimator), &d.map(of), 1e-12, &format!("{estimator:?}"));
    }
    assert!(kl_estimates(&[-1e4], &[0.0], KlEstimator::K3)[0].is_finite());
    assert_eq!(cost_to_go(&[1.0, 2.0, 4.0]), [7.0, 6.0, 4.0]);
    assert_eq!(cost_to_go(&[]), [0.0; 0]);
}

/// Tokens that do not count neither enter mean and deviation nor change.
#[test]
fn whitening_is_over_the_tokens_that_count() {
    let rule = AdvantageRule::grpo(AdvantageScale::Tokens);
    let mut tokens = vec![vec![1.0, 9.0], vec![3.0, 5.0]];
    whiten(&mut tokens, |row, t| (row, t) != (0, 1), &rule);
    // Mean 3, deviation 2.
    let scaled = 2.0 / 2.000_1;
    assert_eq!(tokens, [vec![-scaled as f32, 9.0], vec![0.0, scaled as f32]]);
    let mut equal = vec![vec![0.1; 3], vec![0.1; 4]];
    whiten(&mut equal, |_, _| true, &rule);
    assert!(equal.concat().iter().all(|&token| token == 0.0), "{equal:?}");
}
