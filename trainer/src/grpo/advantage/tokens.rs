//! Advantages of single tokens: the divergence as a cost along the way, and whitening over the batch.

use super::{AdvantageRule, Moments};
use crate::grpo::{KlEstimator, MAX_LOG_RATIO};

/// Estimates of `log(pi_old / pi_ref)` at each token, nats, for a divergence that is part of the reward.
///
/// - `old_logprobs`, `ref_logprobs`: of one completion, nats
pub fn kl_estimates(old_logprobs: &[f32], ref_logprobs: &[f32], estimator: KlEstimator) -> Vec<f64> {
    let of = |(&old, &reference): (&f32, &f32)| {
        let d = f64::from(reference) - f64::from(old);
        match estimator {
            KlEstimator::K1 => -d,
            KlEstimator::K2 => d * d / 2.0,
            KlEstimator::K3 => d.min(MAX_LOG_RATIO).exp_m1() - d.min(MAX_LOG_RATIO),
        }
    };
    old_logprobs.iter().zip(ref_logprobs).map(of).collect()
}

/// At each token the sum of `costs` from there on: `sum_{s >= t} KL_s`, PPO's return without a discount.
pub fn cost_to_go(costs: &[f64]) -> Vec<f64> {
    let mut sums = costs.to_vec();
    for t in (1..sums.len()).rev() {
        sums[t - 1] += sums[t];
    }
    sums
}

/// Each completion's advantage at each of its tokens (outcome supervision).
///
/// - `advantages`: one for each completion; `lengths`: its tokens
pub fn per_token(advantages: &[f32], lengths: &[usize]) -> Vec<Vec<f32>> {
    advantages.iter().zip(lengths).map(|(&advantage, &length)| vec![advantage; length]).collect()
}

/// Mean 0 and deviation 1 over all tokens of a batch: REINFORCE++ (arXiv 2501.03262, Eq. 8).
///
/// - `tokens`: `[completion][token]`; `counts(i, t)`: whether a token takes part. Those that do not are left as they are.
///
/// Where all tokens have one value the result is exactly 0.
pub fn whiten(tokens: &mut [Vec<f32>], counts: impl Fn(usize, usize) -> bool, rule: &AdvantageRule) {
    let counted: Vec<f64> = tokens
        .iter()
        .enumerate()
        .flat_map(|(i, values)| values.iter().enumerate().map(move |(t, &value)| (i, t, value)))
        .filter(|&(i, t, _)| counts(i, t))
        .map(|(_, _, value)| f64::from(value))
        .collect();
    let Moments { mean, std } = rule.moments(counted.iter().copied());
    for (i, values) in tokens.iter_mut().enumerate() {
        for (_, value) in values.iter_mut().enumerate().filter(|&(t, _)| counts(i, t)) {
            *value = ((f64::from(*value) - mean) / (std + rule.epsilon)) as f32;
        }
    }
}
