//! Passes without gradient over the completions of a step: the reference, log π_old, and what tokens are chosen by.

use policy::Weights;
use tch::Tensor;

use super::flat::Flat;
use super::learner::Learner;
use crate::config::OldLogprobs;
use crate::grpo::{Trajectory, has_gradient};

/// Of each token of one completion; empty where it was not computed.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// Nats.
    pub(super) logprobs: Vec<f32>,
    /// Nats.
    pub(super) entropies: Vec<f32>,
}

/// Where log π_old of an update comes from.
pub(super) enum Old {
    /// From the sampler.
    Sampler,
    /// From the forward pass of the update itself, which is the only one on these weights.
    ThisPass,
    /// From a forward pass before the first update: of each trajectory's tokens, nats; empty where there is no gradient.
    Recomputed(Vec<Said>),
}

impl Learner<'_> {
    /// Log-probabilities of every completion's tokens under the reference, if the step has a use for them. Adds to `flops` what
    /// it takes.
    pub(super) fn ref_logprobs(&self, step: u64, flat: &Flat, flops: &mut f64) -> Option<Vec<Said>> {
        let reference = self.reference.as_ref().filter(|_| self.settings.grpo.kl_beta_at(step) != 0.0)?;
        let is_read = |&index: &usize| {
            let completion = flat.completion(index);
            !completion.ids.is_empty() && !self.is_masked(completion.stop_reason)
        };
        let all: Vec<usize> = (0..flat.len()).filter(is_read).collect();
        Some(self.pass(step, reference.weights(), flat, &[all], flops))
    }

    /// log π_old, as the run file asks for it; to be called before the first update of a step. Adds to `flops` what it takes.
    pub(super) fn old_logprobs(
        &self,
        step: u64,
        flat: &Flat,
        trajectories: &[Trajectory],
        minibatches: &[Vec<usize>],
        flops: &mut f64,
    ) -> Old {
        match self.settings.grpo.old_logprobs {
            OldLogprobs::Sampler => Old::Sampler,
            OldLogprobs::Recompute if self.settings.grpo.updates_per_step() == 1 => Old::ThisPass,
            OldLogprobs::Recompute => {
                let of = |minibatch: &Vec<usize>| self.with_gradient(step, trajectories, minibatch);
                let minibatches: Vec<Vec<usize>> = minibatches.iter().map(of).collect();
                Old::Recomputed(self.pass(step, &self.policy.frozen_weights(), flat, &minibatches, flops))
            }
        }
    }

    /// Those of a minibatch that move any weight.
    pub(super) fn with_gradient(&self, step: u64, trajectories: &[Trajectory], minibatch: &[usize]) -> Vec<usize> {
        let always = self.settings.grpo.always_has_gradient(step);
        minibatch.iter().copied().filter(|&index| has_gradient(&trajectories[index], always)).collect()
    }

    /// Log-probabilities and entropies of the tokens of chosen completions, in the packing of updates on the same choices.
    pub(super) fn pass(
        &self,
        step: u64,
        weights: &Weights,
        flat: &Flat,
        choices: &[Vec<usize>],
        flops: &mut f64,
    ) -> Vec<Said> {
        let chunk = self.settings.grpo.logits_chunk_tokens as i64;
        let temperature = self.settings.rollout.temperature_at(step);
        let mut said = vec![Said::default(); flat.len()];
        let budget = self.settings.grpo.micro_batch_tokens;
        for micro in choices.iter().flat_map(|chosen| flat.micro_batches(chosen, budget)) {
            let stats = self.policy.packed_logprobs(weights, &flat.pack(&micro), temperature, chunk);
            *flops += flat.forward_flops(self.policy.config(), &micro);
            let vector = |tensor: &Tensor| Vec::<f32>::try_from(tensor).expect("a vector of float32");
            let (logprobs, entropies) = (vector(&stats.logprobs), vector(&stats.entropy));
            let mut start = 0;
            for &member in &micro.members {
                let own = start..start + flat.completion(member).ids.len();
                start = own.end;
                said[member] = Said { logprobs: logprobs[own.clone()].to_vec(), entropies: entropies[own].to_vec() };
            }
        }
        said
    }
}
