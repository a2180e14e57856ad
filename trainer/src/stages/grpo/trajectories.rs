//! From judged groups to trajectories: rewards, what the divergence costs, advantages.

use rewards::Judgement;
use rollout::StopReason;

use super::flat::Flat;
use super::learner::Learner;
use super::logprobs::Said;
use crate::config::{AdvantageScale, KlPlace, Supervision};
use crate::grpo::{
    AdvantageRule, StepReward, Trajectory, cost_to_go, kl_estimates, per_token, process_advantages, whiten,
};
use crate::judges::{Step, advantages_of};

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
        let mut advantages = match settings.supervision {
            Supervision::Outcome => self.outcome_advantages(flat, costs.as_deref()),
            Supervision::Process => process(flat, &settings.advantage_rule()),
        };
        if let Some(costs) = costs.filter(|_| settings.kl_in == KlPlace::Return) {
            let judged = |index: usize| flat.group(index).judgements[flat.place(index).1].reward.is_some();
            for (_, (advantages, costs)) in
                advantages.iter_mut().zip(&costs).enumerate().filter(|(index, _)| judged(*index))
            {
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

    /// Each completion's advantage, at each of its tokens (DeepSeekMath, section 4.1.2).
    fn outcome_advantages(&self, flat: &Flat, costs: Option<&[Vec<f64>]>) -> Vec<Vec<f32>> {
        let settings = &self.settings.grpo;
        let judgement = |index: usize| -> &Judgement { &flat.group(index).judgements[flat.place(index).1] };
        let groups = by_group(flat, judgement);
        let sum = |costs: &[Vec<f64>]| by_group(flat, |index| costs[index].iter().sum::<f64>() as f32);
        let penalties = costs.filter(|_| settings.kl_in == KlPlace::Reward).map(sum);
        let outcome = advantages_of(&groups, penalties.as_deref(), settings).concat();
        let lengths: Vec<usize> = (0..flat.len()).map(|index| flat.completion(index).ids.len()).collect();
        per_token(&outcome, &lengths)
    }

    fn trajectory(&self, flat: &Flat, index: usize, advantages: Vec<f32>) -> Trajectory {
        let (prompt_idx, row) = flat.place(index);
        let completion = flat.completion(index);
        Trajectory {
            prompt_idx,
            ids: completion.ids.clone(),
            sampler_logprobs: completion.logprobs.clone(),
            forced: completion.forced.ranges().to_vec(),
            is_masked: self.is_masked(completion.stop_reason),
            reward: flat.group(index).judgements[row].reward,
            advantages,
        }
    }

    /// beta times the estimate of log(π_old / π_ref) at each token, π_old as the sampler recorded it; nothing where the reference
    /// was not asked, so a masked completion costs nothing, as in TRL's RLOO.
    fn kl_costs(&self, step: u64, flat: &Flat, reference: &[Said]) -> Vec<Vec<f64>> {
        let (beta, estimator) = (self.settings.grpo.kl_beta_at(step), self.settings.grpo.kl_estimator);
        let of = |(index, said): (usize, &Said)| {
            let completion = flat.completion(index);
            let estimates = kl_estimates(&completion.logprobs, &said.logprobs, estimator);
            // What the program put there is no choice of the policy's.
            let cost = |(t, kl): (usize, f64)| if completion.forced.contains(t) { 0.0 } else { beta * kl };
            estimates.into_iter().enumerate().map(cost).collect()
        };
        reference.iter().enumerate().map(of).collect()
    }
}

/// Advantages of steps: a reward that scores steps counts at their ends, what the others give at the end of the completion.
fn process(flat: &Flat, rule: &AdvantageRule) -> Vec<Vec<f32>> {
    let components = |index: usize| {
        let (_, row) = flat.place(index);
        let group = flat.group(index);
        let steps = move |number: usize| group.steps.get(row).map_or(&[][..], |by_component| &by_component[number]);
        group.judgements[row].components.iter().enumerate().map(move |(number, c)| (number, c, steps(number)))
    };
    let n_components = (0..flat.len()).map(|index| components(index).count()).max().unwrap_or(0);
    let mut gives_steps = vec![false; n_components];
    for (number, _, steps) in (0..flat.len()).flat_map(components) {
        gives_steps[number] |= !steps.is_empty();
    }
    let rewards_of = |index: usize| -> Vec<StepReward> {
        // A weight of 0 only records.
        let counted = || components(index).filter(|(_, component, _)| component.weight != 0.0);
        let of_steps = counted().filter(|(number, ..)| gives_steps[*number]).flat_map(|(_, component, steps)| {
            let reward = |step: &Step| StepReward { end_token: step.end_token, reward: component.weight * step.score };
            steps.iter().map(reward)
        });
        let others = counted().filter(|(number, ..)| !gives_steps[*number]);
        let at_end = others.filter_map(|(_, c, _)| Some(c.weight * c.verdict.score?)).reduce(|sum, score| sum + score);
        let end_token = flat.completion(index).ids.len();
        of_steps.chain(at_end.map(|reward| StepReward { end_token, reward })).collect()
    };
    let lengths = by_group(flat, |index| flat.completion(index).ids.len());
    process_advantages(&by_group(flat, rewards_of), &lengths, rule).concat()
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
