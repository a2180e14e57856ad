//! Advantages from rewards of single steps: process supervision.

use super::{AdvantageRule, AdvantageScale, Baseline, Moments};

/// The reward of one step of a completion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReward {
    /// Tokens of the completion up to the end of the step: `index(j)` of the paper, counted as a length.
    pub end_token: usize,
    /// `r_i^index(j)`
    pub reward: f32,
}

/// Advantages of every token by process supervision (DeepSeekMath, section 4.1.3): the rewards of all steps of a group are
/// normalised together, and a token gets the sum over the steps that end at or behind it.
///
/// - `groups`: the steps of each completion, in any order; `lengths`: its tokens
/// - `rule`: the group's mean is the baseline unless there is none; the deviation is the group's, the batch's, or none
/// - Result: `[group][completion][token]`; 0 behind the last step, and where a completion has no step
///
/// A step that ends beyond the completion counts as ending with it.
pub fn process_advantages(
    groups: &[Vec<Vec<StepReward>>],
    lengths: &[Vec<usize>],
    rule: &AdvantageRule,
) -> Vec<Vec<Vec<f32>>> {
    let rewards = |group: &Vec<Vec<StepReward>>| -> Vec<f64> {
        group.iter().flatten().map(|step| f64::from(step.reward)).collect()
    };
    let of_groups: Vec<Vec<f64>> = groups.iter().map(rewards).collect();
    let moments: Vec<Moments> = of_groups.iter().map(|rewards| rule.moments(rewards.iter().copied())).collect();
    let baseline = |moments: &Moments| if rule.baseline == Baseline::None { 0.0 } else { moments.mean };
    let centred = of_groups.iter().zip(&moments).flat_map(|(rewards, m)| rewards.iter().map(|r| r - baseline(m)));
    let of_batch = match rule.scale {
        AdvantageScale::Batch => rule.moments(of_groups.iter().flatten().copied()).std + rule.epsilon,
        AdvantageScale::Centred => rule.moments(centred.collect::<Vec<_>>().into_iter()).std + rule.epsilon,
        _ => 1.0,
    };
    let of_group = |((group, moments), lengths): ((&Vec<Vec<StepReward>>, &Moments), &Vec<usize>)| {
        let divisor = if rule.scale == AdvantageScale::Group { moments.std + rule.epsilon } else { of_batch };
        let normalised = |step: &StepReward| (step.end_token, (f64::from(step.reward) - baseline(moments)) / divisor);
        let of = |(steps, &n_tokens): (&Vec<StepReward>, &usize)| {
            following(&steps.iter().map(normalised).collect::<Vec<_>>(), n_tokens)
        };
        group.iter().zip(lengths).map(of).collect()
    };
    groups.iter().zip(&moments).zip(lengths).map(of_group).collect()
}

/// At each token the sum over the steps that end at or behind it.
fn following(steps: &[(usize, f64)], n_tokens: usize) -> Vec<f32> {
    let mut at = vec![0.0; n_tokens];
    for &(end_token, reward) in steps {
        if let Some(last) = end_token.min(n_tokens).checked_sub(1) {
            at[last] += reward;
        }
    }
    let mut sum = 0.0;
    at.iter_mut().rev().for_each(|value| {
        sum += *value;
        *value = sum;
    });
    at.into_iter().map(|value| value as f32).collect()
}
