//! From judged groups to trajectories: rewards, what the divergence costs, advantages.

use rewards::Judgement;
use rollout::StopReason;

use super::flat::Flat;
use super::learner::Learner;
use super::logprobs::Said;
use crate::config::{AdvantageScale, KlPlace};
use crate::grpo::{Trajectory, cost_to_go, kl_estimates, per_token, whiten};
use crate::judges::advantages_of;

impl Learner<'_> {
    /// Whether nothing is learned from a completion that ended so.
    pub(super) fn is_masked(&self, ended: StopReason) -> bool {
        self.settings.grpo.mask_truncated && ended == StopReason::MaxTokens
    }

    /// Every completion with its reward and its advantages: Â_it.
    ///
    /// - `reference`: log π_ref of every completion, for a divergence that is part of the reward
    pub(super) fn trajectories(&self, step: u64, flat: &Flat, reference: Option<&[Said]>) -> Vec<Trajectory> {
        let settings = &self.settings.grpo;
        let costs = reference.filter(|_| settings.kl_in != KlPlace::Loss).map(|said| self.kl_costs(step, flat, said));
        let judgement = |index: usize| -> &Judgement { &flat.group(index).judgements[flat.place(index).1] };
        let groups = by_group(flat, judgement);
        let penalties = costs
            .as_ref()
            .filter(|_| settings.kl_in == KlPlace::Reward)
            .map(|costs| by_group(flat, |index| costs[index].iter().sum::<f64>() as f32));
        let outcome = advantages_of(&groups, penalties.as_deref(), settings).concat();
        let lengths: Vec<usize> = (0..flat.len()).map(|index| flat.completion(index).ids.len()).collect();
        let mut advantages = per_token(&outcome, &lengths);
        if let Some(costs) = costs.filter(|_| settings.kl_in == KlPlace::Return) {
            for (advantages, costs) in advantages.iter_mut().zip(&costs) {
                let ahead = cost_to_go(costs);
                advantages.iter_mut().zip(ahead).for_each(|(a, cost)| *a = (f64::from(*a) - cost) as f32);
            }
        }
        let mut trajectories: Vec<Trajectory> = advantages
            .into_iter()
            .enumerate()
            .map(|(index, advantages)| self.trajectory(flat, index, advantages))
            .collect();
        if settings.advantage_scale == AdvantageScale::Tokens {
            let mut tokens: Vec<Vec<f32>> =
                trajectories.iter_mut().map(|trajectory| std::mem::take(&mut trajectory.advantages)).collect();
            let counts = |index: usize, t: usize| trajectories[index].reward.is_some() && trajectories[index].counts(t);
            whiten(&mut tokens, counts, &settings.advantage_rule());
            trajectories.iter_mut().zip(tokens).for_each(|(trajectory, tokens)| trajectory.advantages = tokens);
        }
        trajectories
    }

    fn trajectory(&self, flat: &Flat, index: usize, advantages: Vec<f32>) -> Trajectory {
        let (prompt_idx, row) = flat.place(index);
        let completion = flat.completion(index);
        Trajectory {
            prompt_idx,
            ids: completion.ids.clone(),
            sampler_logprobs: completion.logprobs.clone(),
            forced: 0..0,
            is_masked: self.is_masked(completion.stop_reason),
            reward: flat.group(index).judgements[row].reward,
            advantages,
        }
    }

    /// beta times the estimate of log(π_old / π_ref) at each token, π_old as the sampler recorded it.
    fn kl_costs(&self, step: u64, flat: &Flat, reference: &[Said]) -> Vec<Vec<f64>> {
        let (beta, estimator) = (self.settings.grpo.kl_beta_at(step), self.settings.grpo.kl_estimator);
        let of = |(index, said): (usize, &Said)| {
            let estimates = kl_estimates(&flat.completion(index).logprobs, &said.logprobs, estimator);
            estimates.into_iter().map(|kl| beta * kl).collect()
        };
        reference.iter().enumerate().map(of).collect()
    }
}

/// One value of each completion, group by group.
fn by_group<T>(flat: &Flat, of: impl Fn(usize) -> T) -> Vec<Vec<T>> {
    let mut groups: Vec<Vec<T>> = Vec::new();
    for index in 0..flat.len() {
        if flat.place(index).1 == 0 {
            groups.push(Vec::new());
        }
        groups.last_mut().expect("the first completion of a group opens it").push(of(index));
    }
    groups
}
