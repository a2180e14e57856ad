//! What is chosen among the tokens of a minibatch before its update: by entropy, by covariance, for the entropy bonus.

use super::learner::Learner;
use super::logprobs::{Old, Said};
use super::update::Batch;
use crate::address::{self, Purpose};
use crate::grpo::{Covariance, Trajectory, clippable, covariances, entropy_threshold, greatest};

/// Of each token of each trajectory, by index; empty where nothing was chosen, and where a trajectory is not of the
/// minibatch.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) kept: Vec<Vec<f32>>,
    pub(super) covariance_kl: Vec<Vec<f32>>,
    pub(super) entropy: Vec<Vec<f32>>,
}

/// A token that counts: index of its trajectory, and its place in it.
type Place = (usize, usize);

impl Learner<'_> {
    /// Chooses for one update. Where choices are made by what the policy says now, every completion of the minibatch goes
    /// through it once more, those without a gradient included: a quantile is one of all tokens.
    ///
    /// - `update_idx`: of the step, from 0; `flops`: gets what the pass takes
    pub(super) fn choose(
        &self,
        step: u64,
        update_idx: u64,
        batch: &Batch,
        minibatch: &[usize],
        flops: &mut f64,
    ) -> Choice {
        let settings = &self.settings.grpo;
        if !settings.surveys() && !settings.has_entropy_bonus() {
            return Choice::default();
        }
        let trajectories = batch.trajectories;
        let mut minibatch = minibatch.to_vec();
        minibatch.sort_unstable();
        let counted = || minibatch.iter().copied().filter(|&index| trajectories[index].n_counted() > 0);
        let places: Vec<Place> = counted()
            .flat_map(|index| (0..trajectories[index].ids.len()).map(move |t| (index, t)))
            .filter(|&(index, t)| trajectories[index].counts(t))
            .collect();
        let mut choice = Choice::default();
        if settings.surveys() {
            let weights = self.policy.frozen_weights();
            let said = self.pass(step, &weights, &batch.flat, &[counted().collect()], flops);
            self.keep(&mut choice, [step, update_idx], batch, &places, &said);
        }
        if settings.has_entropy_bonus() {
            let is_kept = |&&(index, t): &&Place| choice.kept.is_empty() || choice.kept[index][t] != 0.0;
            let n_kept = places.iter().filter(is_kept).count().max(1);
            let each = (self.entropy_control.applied(settings.adaptive_entropy.as_ref()) / n_kept as f64) as f32;
            let mut weights = filled(trajectories, 0.0);
            places.iter().filter(is_kept).for_each(|&(index, t)| weights[index][t] = each);
            choice.entropy = weights;
        }
        choice
    }

    fn keep(&self, choice: &mut Choice, address: [u64; 2], batch: &Batch, places: &[Place], said: &[Said]) {
        let settings = &self.settings.grpo;
        let trajectories = batch.trajectories;
        if settings.top_entropy_fraction < 1.0 {
            let entropies: Vec<f32> = places.iter().map(|&(index, t)| said[index].entropies[t]).collect();
            let threshold = entropy_threshold(&entropies, settings.top_entropy_fraction);
            let mut kept = filled(trajectories, 0.0);
            let is_above = |(_, entropy): &(&Place, &f32)| **entropy >= threshold;
            places.iter().zip(&entropies).filter(is_above).for_each(|(&(index, t), _)| kept[index][t] = 1.0);
            choice.kept = kept;
        }
        let Some(covariance) = settings.covariance else { return };
        let logprobs: Vec<f32> = places.iter().map(|&(index, t)| said[index].logprobs[t]).collect();
        let advantages: Vec<f32> = places.iter().map(|&(index, t)| trajectories[index].advantages[t]).collect();
        let covariances = covariances(&logprobs, &advantages);
        match covariance {
            Covariance::KlCov { fraction, beta } => {
                let mut weights = filled(trajectories, 0.0);
                for token in greatest(&covariances, fraction) {
                    let (index, t) = places[token];
                    weights[index][t] = beta as f32;
                }
                choice.covariance_kl = weights;
            }
            Covariance::ClipCov { fraction, low, high } => {
                let bounds = self.settings.grpo.objective(address[0]).surrogate.bounds();
                let old = |&(index, t): &Place| batch.old_logprobs.of(trajectories, index, t);
                let is_clipped = |(token, place): (usize, &Place)| {
                    let ratio = old(place).map_or(1.0, |old| f64::from(logprobs[token] - old).exp());
                    let advantage = advantages[token];
                    advantage < 0.0 && ratio < bounds.0 || advantage > 0.0 && ratio > bounds.1
                };
                let is_clipped: Vec<bool> = places.iter().enumerate().map(is_clipped).collect();
                let (mut candidates, n) = clippable(&covariances, &is_clipped, fraction, low, high);
                address::stream(self.seed, self.stage_idx, Purpose::Covariance, &address)
                    .draws()
                    .shuffle(&mut candidates);
                if choice.kept.is_empty() {
                    choice.kept = filled(trajectories, 1.0);
                }
                for &token in &candidates[..n] {
                    let (index, t) = places[token];
                    choice.kept[index][t] = 0.0;
                }
            }
        }
    }
}

impl Old {
    /// log π_old of a token; none where it is what the policy says now.
    fn of(&self, trajectories: &[Trajectory], index: usize, t: usize) -> Option<f32> {
        match self {
            Self::Sampler => Some(trajectories[index].sampler_logprobs[t]),
            Self::ThisPass => None,
            Self::Recomputed(said) => said[index].logprobs.get(t).copied(),
        }
    }
}

/// One value at every token of every trajectory.
fn filled(trajectories: &[Trajectory], value: f32) -> Vec<Vec<f32>> {
    trajectories.iter().map(|trajectory| vec![value; trajectory.ids.len()]).collect()
}
