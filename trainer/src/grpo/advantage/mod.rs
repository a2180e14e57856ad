//! Group-relative advantages: how much better a completion did than its group (DeepSeekMath, section 4.1.2).

mod decoupled;
mod process;
mod tokens;

use serde::{Deserialize, Serialize};

pub use decoupled::{WeightedScore, decoupled_advantages};
pub use process::{StepReward, process_advantages};
pub use tokens::{cost_to_go, kl_estimates, per_token, whiten};

/// Added to the standard deviation before the division, as TRL does; DeepSeekMath states none.
///
/// With it a group whose rewards differ by less than about 1e-4 is damped instead of blown up to unit variance.
pub const STD_EPSILON: f64 = 1e-4;

/// What a reward is compared with: `stage.grpo.advantage_baseline`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// The mean of its group, itself included: DeepSeekMath, section 4.1.2.
    #[default]
    GroupMean,
    /// The mean of the others of its group: RLOO (arXiv 2402.14740, Eq. 8). n / (n - 1) times what the mean gives.
    LeaveOneOut,
    /// Nothing: REINFORCE++ (arXiv 2501.03262), where the batch's mean follows with `advantage_scale = "tokens"`.
    None,
}

/// What the centred rewards are divided by: `stage.grpo.advantage_scale`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdvantageScale {
    /// `std(group) + epsilon`: DeepSeekMath, section 4.1.2.
    #[default]
    Group,
    /// `std(all rewards of the batch) + epsilon`: Lite PPO (arXiv 2508.08221), as TRL computes it.
    Batch,
    /// `std(all centred rewards of the batch) + epsilon`: ScaleRL (arXiv 2510.13786), REINFORCE++-baseline (arXiv 2501.03262).
    Centred,
    /// Mean and deviation over all tokens of the batch, each with its completion's advantage: REINFORCE++ (arXiv 2501.03262).
    Tokens,
    /// Nothing: Dr. GRPO (arXiv 2503.20783), which removes the bias towards questions of small variance.
    None,
}

/// What the sum of squares is divided by: `stage.grpo.std_divisor`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StdDivisor {
    /// n - 1, Bessel's correction: TRL, verl.
    #[default]
    Sample,
    /// n: nano-aha-moment, GRPO-Zero.
    Population,
}

/// How the rewards of several rules become one advantage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardCombination {
    /// Their weighted sum is normalised: [`advantages`].
    #[default]
    Sum,
    /// Each is normalised in its group, then the weighted sum over the batch: [`decoupled_advantages`], GDPO.
    NormalizeThenSum,
}

/// From rewards to advantages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdvantageRule {
    /// What is subtracted.
    pub baseline: Baseline,
    /// What it is divided by.
    pub scale: AdvantageScale,
    /// How a deviation is estimated.
    pub divisor: StdDivisor,
    /// Added to a deviation before the division.
    pub epsilon: f64,
}

impl AdvantageRule {
    /// GRPO but for the scale.
    pub const fn grpo(scale: AdvantageScale) -> Self {
        Self { baseline: Baseline::GroupMean, scale, divisor: StdDivisor::Sample, epsilon: STD_EPSILON }
    }

    fn moments(&self, values: impl Iterator<Item = f64> + Clone) -> Moments {
        Moments::of(values, self.divisor)
    }
}

/// The advantage of every completion of a batch: `A_i = (r_i - baseline) / divisor`.
///
/// - `groups`: one slice of rewards per prompt; `None` where no reward applied to the completion.
/// - Result: the same shape, no unit (without a scale: the unit of the reward). With [`AdvantageScale::Tokens`] only the
///   baseline is subtracted; the rest is [`whiten`]'s, where the lengths are known.
///
/// A completion without reward stays out of baseline and deviation and gets 0, as in TRL. So does a completion that is
/// alone in its group, unless there is no baseline. Where all rewards of a group are the same number and are compared with
/// each other, every advantage is *exactly* 0, so that the group can be left out of the update ([`super::has_gradient`]).
///
/// A reward that is not finite makes the advantages of its group (with `Batch`: of the batch) not finite; the loss
/// refuses those.
pub fn advantages<G: AsRef<[Option<f32>]>>(groups: &[G], rule: &AdvantageRule) -> Vec<Vec<f32>> {
    let widened: Vec<Vec<Option<f64>>> =
        groups.iter().map(|group| group.as_ref().iter().map(|reward| reward.map(f64::from)).collect()).collect();
    narrow(advantages_in_float64(&widened, rule))
}

/// [`advantages`] before the result is rounded to float32.
fn advantages_in_float64(groups: &[Vec<Option<f64>>], rule: &AdvantageRule) -> Vec<Vec<f64>> {
    let centred: Vec<Vec<Option<f64>>> = groups.iter().map(|group| centred(group, rule)).collect();
    let std = |values: &[Vec<Option<f64>>]| rule.moments(values.iter().flatten().flatten().copied()).std;
    let of_batch = match rule.scale {
        AdvantageScale::Batch => std(groups) + rule.epsilon,
        AdvantageScale::Centred => std(&centred) + rule.epsilon,
        _ => 1.0,
    };
    let in_group = |(group, centred): (&Vec<Option<f64>>, &Vec<Option<f64>>)| {
        let divisor = match rule.scale {
            AdvantageScale::Group => rule.moments(group.iter().flatten().copied()).std + rule.epsilon,
            _ => of_batch,
        };
        centred.iter().map(|value| value.map_or(0.0, |value| value / divisor)).collect()
    };
    groups.iter().zip(&centred).map(in_group).collect()
}

/// The rewards of a group less what they are compared with.
fn centred(group: &[Option<f64>], rule: &AdvantageRule) -> Vec<Option<f64>> {
    let rewards = || group.iter().flatten().copied();
    let (count, sum) = (rewards().count() as f64, rewards().sum::<f64>());
    let mean = sum / count.max(1.0);
    let centre = |reward: f64| match rule.baseline {
        Baseline::GroupMean => Some(reward - mean),
        // Nobody to be compared with: out of every deviation too, as in TRL.
        Baseline::LeaveOneOut if count < 2.0 => None,
        Baseline::LeaveOneOut => Some(reward - (sum - reward) / (count - 1.0)),
        Baseline::None => Some(reward),
    };
    group.iter().map(|reward| reward.and_then(centre)).collect()
}

fn narrow(groups: Vec<Vec<f64>>) -> Vec<Vec<f32>> {
    groups.into_iter().map(|group| group.into_iter().map(|advantage| advantage as f32).collect()).collect()
}

/// Mean and deviation of some rewards, in float64.
///
/// The sum of n equal float32 numbers is exact in float64 (24 + log2 n bits), so their mean is that very number and the
/// advantages of a group without contrast come out as exact zeros.
struct Moments {
    mean: f64,
    std: f64,
}

impl Moments {
    fn of(values: impl Iterator<Item = f64> + Clone, divisor: StdDivisor) -> Self {
        let count = values.clone().count();
        let mean = values.clone().sum::<f64>() / count.max(1) as f64;
        let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
        let divisor = match divisor {
            StdDivisor::Sample => count.saturating_sub(1),
            StdDivisor::Population => count,
        };
        Self { mean, std: if count < 2 { 0.0 } else { (squares / divisor as f64).sqrt() } }
    }
}

#[cfg(test)]
mod rule_tests;
#[cfg(test)]
mod tests;
