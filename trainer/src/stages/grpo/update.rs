//! One update: micro-batches forward and backward, clipping, one step of the optimiser.

use policy::{PackedBatch, SharedPrompt, TokenStats, Weights};
use tch::{Kind, Tensor};

use super::super::{NonFinite, StageError};
use super::learner::{Learner, ScoredGroup};
use crate::config::OldLogprobs;
use crate::flops::{Load, forward_flops};
use crate::grpo::{
    LossError, LossStats, MicroBatch, Objective, TokenBatch, Trajectory, grpo_loss, micro_batches, token_weights,
};
use crate::optim::clip_grad_norm;
use crate::telemetry::{Stopwatch, UpdateSeconds};

/// What the updates of a step were like.
#[derive(Debug, Default)]
pub(super) struct UpdateReport {
    /// Over all updates of the step.
    pub(super) stats: LossStats,
    /// Of the first update alone, in which policy and sampler are the same weights: the numerical gap is measured here.
    pub(super) first: LossStats,
    /// Least fraction of tokens cut from below in an update.
    pub(super) clip_low_min: f64,
    /// Greatest fraction of tokens cut from above in an update.
    pub(super) clip_high_max: f64,
    /// Nats, summed over tokens of all updates.
    pub(super) entropy_sum: f64,
    /// Sum over updates of the norm before clipping.
    pub(super) grad_norm_sum: f64,
    pub(super) n_updates: u64,
    pub(super) learning_rate: f64,
    /// Tokens that went forward and backward, a prompt once for each micro-batch it is in.
    pub(super) n_tokens_computed: u64,
    /// Matrix operations of the forward passes; those of the backward passes are [`crate::flops::BACKWARD`] times as many.
    pub(super) forward_flops: f64,
    /// Matrix operations of the forward passes before the updates: of the reference, and of log π_old.
    pub(super) logprob_flops: f64,
    pub(super) seconds: UpdateSeconds,
}

/// What the updates of a step read.
pub(super) struct Batch<'a> {
    pub(super) scored: &'a [ScoredGroup],
    pub(super) trajectories: &'a [Trajectory],
    pub(super) old_logprobs: Old,
    /// log π_ref of each trajectory's tokens, nats; none without a KL term.
    pub(super) ref_logprobs: Option<Vec<Vec<f32>>>,
}

/// Where log π_old of an update comes from.
pub(super) enum Old {
    /// From the sampler.
    Sampler,
    /// From the forward pass of the update itself, which is the only one on these weights.
    ThisPass,
    /// From a forward pass before the first update: of each trajectory's tokens, nats; empty where there is no gradient.
    Recomputed(Vec<Vec<f32>>),
}

/// A micro-batch on the device: the packed tokens, and per completion token what the loss needs beside them.
struct Inputs {
    batch: PackedBatch,
    /// None where they are those of this pass.
    old_logprobs: Option<Tensor>,
    /// None where they are the old ones.
    sampler_logprobs: Option<Tensor>,
    ref_logprobs: Option<Tensor>,
    advantages: Tensor,
    weights: Tensor,
}

impl Learner<'_> {
    /// Steps once along the gradient of Eq. 3 over a minibatch.
    ///
    /// # Errors
    /// If the loss or the gradient is not finite: policy and optimiser are as before.
    pub(super) fn update(
        &mut self,
        step: u64,
        batch: &Batch,
        minibatch: &[usize],
        report: &mut UpdateReport,
    ) -> Result<(), StageError> {
        let token_weights = self.token_weights(step, batch.trajectories, minibatch);
        let mut stats = LossStats { n_left_out: n_tokens(batch.trajectories, minibatch), ..LossStats::default() };
        self.optimizer.zero_grad();
        let weights = self.policy.trainable_weights();
        for micro in self.micro_batches(batch.scored, batch.trajectories, minibatch) {
            stats.n_left_out -= n_tokens(batch.trajectories, &micro.members);
            let inputs = self.inputs(batch, &micro, &token_weights);
            self.backward(step, &weights, &inputs, &mut stats, report).map_err(|(token_idx, source)| {
                let what = blame(batch, &micro, token_idx, source);
                StageError::NonFinite { step, what }
            })?;
            report.n_tokens_computed += micro.n_tokens as u64;
            report.forward_flops += self.forward_flops(batch.scored, batch.trajectories, &micro);
        }
        drop(weights);
        let mut clock = Stopwatch::start(self.policy.device());
        let norm = clip_grad_norm(self.policy.parameters(), self.settings.optimizer.clip_norm())
            .map_err(|error| StageError::NonFinite { step, what: error.into() })?;
        let learning_rate = self.schedule.lr(step - 1);
        self.optimizer.step(learning_rate);
        report.seconds.optimizer += clock.lap();
        report.add(stats, norm, learning_rate);
        Ok(())
    }

    /// Log-probabilities of every trajectory's tokens under the reference, if there is one. Adds to `flops` what it takes.
    pub(super) fn ref_logprobs(
        &self,
        step: u64,
        scored: &[ScoredGroup],
        trajectories: &[Trajectory],
        flops: &mut f64,
    ) -> Option<Vec<Vec<f32>>> {
        let reference = self.reference.as_ref()?;
        let all: Vec<usize> = (0..trajectories.len()).collect();
        Some(self.logprobs(step, reference.weights(), scored, trajectories, &[all], flops))
    }

    /// log π_old, as the run file asks for it; to be called before the first update of a step. Adds to `flops` what it takes.
    pub(super) fn old_logprobs(
        &self,
        step: u64,
        scored: &[ScoredGroup],
        trajectories: &[Trajectory],
        minibatches: &[Vec<usize>],
        flops: &mut f64,
    ) -> Old {
        match self.settings.grpo.old_logprobs {
            OldLogprobs::Sampler => Old::Sampler,
            OldLogprobs::Recompute if self.settings.grpo.updates_per_step() == 1 => Old::ThisPass,
            OldLogprobs::Recompute => {
                let weights = self.policy.frozen_weights();
                Old::Recomputed(self.logprobs(step, &weights, scored, trajectories, minibatches, flops))
            }
        }
    }

    /// Log-probabilities of the tokens of each trajectory that has a gradient, in the packing of updates on `minibatches`.
    fn logprobs(
        &self,
        step: u64,
        weights: &Weights,
        scored: &[ScoredGroup],
        trajectories: &[Trajectory],
        minibatches: &[Vec<usize>],
        flops: &mut f64,
    ) -> Vec<Vec<f32>> {
        let chunk = self.settings.grpo.logits_chunk_tokens as i64;
        let temperature = self.settings.rollout.temperature_at(step);
        let mut logprobs = vec![Vec::new(); trajectories.len()];
        for micro in minibatches.iter().flat_map(|minibatch| self.micro_batches(scored, trajectories, minibatch)) {
            let batch = pack(scored, trajectories, &micro);
            let stats = self.policy.packed_logprobs(weights, &batch, temperature, chunk);
            *flops += self.forward_flops(scored, trajectories, &micro);
            let flat = Vec::<f32>::try_from(&stats.logprobs).expect("a vector of float32");
            let mut rest = flat.as_slice();
            for &member in &micro.members {
                let (own, others) = rest.split_at(trajectories[member].ids.len());
                logprobs[member] = own.to_vec();
                rest = others;
            }
        }
        logprobs
    }

    fn micro_batches(
        &self,
        scored: &[ScoredGroup],
        trajectories: &[Trajectory],
        minibatch: &[usize],
    ) -> Vec<MicroBatch> {
        let prompt_lengths: Vec<usize> = scored.iter().map(|scored| scored.group.prompt.ids.len()).collect();
        let settings = &self.settings.grpo;
        let budget = settings.micro_batch_tokens as usize;
        micro_batches(trajectories, minibatch, &prompt_lengths, budget, settings.kl_beta)
    }

    /// The weight of each token of each trajectory, by index; normalisers are counted on the whole minibatch.
    fn token_weights(&self, step: u64, trajectories: &[Trajectory], minibatch: &[usize]) -> Vec<f64> {
        let lengths: Vec<usize> = minibatch.iter().map(|&index| trajectories[index].ids.len()).collect();
        let max_tokens = self.settings.rollout.max_tokens_at(step) as usize;
        let mut weights = vec![0.0; trajectories.len()];
        let of_minibatch = token_weights(&lengths, self.settings.grpo.aggregation, max_tokens);
        minibatch.iter().zip(of_minibatch).for_each(|(&index, weight)| weights[index] = weight);
        weights
    }

    fn inputs(&self, batch: &Batch, micro: &MicroBatch, token_weights: &[f64]) -> Inputs {
        let (device, trajectories) = (self.policy.device(), batch.trajectories);
        let tensor = |values: Vec<f32>| Tensor::from_slice(&values).to_device(device);
        let spread = |value: &dyn Fn(usize) -> f32| {
            let of = |&index: &usize| std::iter::repeat_n(value(index), trajectories[index].ids.len());
            tensor(micro.members.iter().flat_map(of).collect())
        };
        let join = |of: &dyn Fn(usize) -> Vec<f32>| tensor(micro.members.iter().flat_map(|&index| of(index)).collect());
        let sampler_logprobs = join(&|index| trajectories[index].sampler_logprobs.clone());
        let (old_logprobs, sampler_logprobs) = match &batch.old_logprobs {
            Old::Sampler => (Some(sampler_logprobs), None),
            Old::ThisPass => (None, Some(sampler_logprobs)),
            Old::Recomputed(logprobs) => (Some(join(&|index| logprobs[index].clone())), Some(sampler_logprobs)),
        };
        Inputs {
            batch: pack(batch.scored, trajectories, micro),
            old_logprobs,
            sampler_logprobs,
            ref_logprobs: batch.ref_logprobs.as_ref().map(|logprobs| join(&|index| logprobs[index].clone())),
            advantages: spread(&|index| trajectories[index].advantage),
            weights: spread(&|index| token_weights[index] as f32),
        }
    }

    /// Adds a micro-batch's gradient and statistics. An error names the token, counted over the completions of the
    /// micro-batch.
    fn backward(
        &self,
        step: u64,
        weights: &Weights,
        inputs: &Inputs,
        stats: &mut LossStats,
        report: &mut UpdateReport,
    ) -> Result<(), (usize, LossError)> {
        let objective = self.objective();
        let mut clock = Stopwatch::start(self.policy.device());
        let tape = self.policy.forward(weights, &inputs.batch, self.settings.grpo.checkpointing.into());
        report.seconds.forward += clock.lap();
        let loss = |start: i64, chunk: &TokenStats| {
            let len = chunk.logprobs.size()[0];
            let part = |tensor: &Tensor| tensor.narrow(0, start, len);
            let ref_logprobs = inputs.ref_logprobs.as_ref().map(part);
            let sampler_logprobs = inputs.sampler_logprobs.as_ref().map(part);
            let tokens = TokenBatch {
                logprobs: &chunk.logprobs,
                old_logprobs: &inputs.old_logprobs.as_ref().map_or_else(|| chunk.logprobs.detach(), part),
                sampler_logprobs: sampler_logprobs.as_ref(),
                ref_logprobs: ref_logprobs.as_ref(),
                advantages: &part(&inputs.advantages),
                weights: &part(&inputs.weights),
            };
            let (loss, chunk_stats) = grpo_loss(&tokens, &objective).map_err(|error| {
                let token_idx = if let LossError::NonFinite { token_idx, .. } = error { token_idx } else { 0 };
                (start as usize + token_idx, error)
            })?;
            stats.merge(&chunk_stats);
            report.entropy_sum += chunk.entropy.sum(Kind::Double).double_value(&[]);
            Ok(loss)
        };
        let temperature = self.settings.rollout.temperature_at(step);
        let chunk = self.settings.grpo.logits_chunk_tokens as i64;
        let behind_head = tape.loss_in_chunks(temperature, chunk, loss)?;
        report.seconds.head += clock.lap();
        behind_head.backward();
        report.seconds.backward += clock.lap();
        Ok(())
    }

    fn objective(&self) -> Objective {
        let settings = &self.settings.grpo;
        let (clip_epsilon_low, clip_epsilon_high) = settings.clip_range();
        let (kl_beta, importance_cap) = (settings.kl_beta, settings.importance_cap);
        Objective { clip_epsilon_low, clip_epsilon_high, kl_beta, kl_times_ratio: false, importance_cap }
    }

    /// Matrix operations of a micro-batch's forward pass.
    fn forward_flops(&self, scored: &[ScoredGroup], trajectories: &[Trajectory], micro: &MicroBatch) -> f64 {
        let of = |members: &[usize]| {
            let prompt = scored[trajectories[members[0]].prompt_idx].group.prompt.ids.len();
            let lengths: Vec<usize> = members.iter().map(|&index| trajectories[index].ids.len()).collect();
            forward_flops(self.policy.config(), &Load::packed(prompt, &lengths))
        };
        by_prompt(trajectories, micro).map(of).sum()
    }
}

impl UpdateReport {
    fn add(&mut self, stats: LossStats, grad_norm: f64, learning_rate: f64) {
        if self.n_updates == 0 {
            self.first = stats;
            self.clip_low_min = f64::INFINITY;
        }
        self.clip_low_min = self.clip_low_min.min(stats.clip_ratio_low());
        self.clip_high_max = self.clip_high_max.max(stats.clip_ratio_high());
        self.stats.merge(&stats);
        self.grad_norm_sum += grad_norm;
        self.learning_rate = learning_rate;
        self.n_updates += 1;
    }
}

/// Tokens of completions.
fn n_tokens(trajectories: &[Trajectory], members: &[usize]) -> u64 {
    members.iter().map(|&index| trajectories[index].ids.len() as u64).sum()
}

/// The members of a micro-batch, prompt by prompt.
fn by_prompt<'a>(trajectories: &'a [Trajectory], micro: &'a MicroBatch) -> impl Iterator<Item = &'a [usize]> {
    micro.members.chunk_by(|&a, &b| trajectories[a].prompt_idx == trajectories[b].prompt_idx)
}

/// Packs a micro-batch: its members lie by prompt, so each prompt comes once.
fn pack(scored: &[ScoredGroup], trajectories: &[Trajectory], micro: &MicroBatch) -> PackedBatch {
    let groups: Vec<SharedPrompt> = by_prompt(trajectories, micro)
        .map(|members| SharedPrompt {
            prompt: &scored[trajectories[members[0]].prompt_idx].group.prompt.ids,
            completions: members.iter().map(|&index| trajectories[index].ids.as_slice()).collect(),
        })
        .collect();
    PackedBatch::new(&groups)
}

/// The completion that a token of a micro-batch belongs to.
fn blame(batch: &Batch, micro: &MicroBatch, mut token_idx: usize, source: LossError) -> NonFinite {
    let Batch { scored, trajectories, .. } = batch;
    let mut index = micro.members[0];
    for &member in &micro.members {
        index = member;
        if token_idx < trajectories[member].ids.len() {
            break;
        }
        token_idx -= trajectories[member].ids.len();
    }
    let group = trajectories[index].prompt_idx;
    let first = trajectories.iter().position(|other| other.prompt_idx == group).unwrap_or(index);
    NonFinite::Loss {
        group: scored[group].number,
        row: index - first,
        problem_id: scored[group].problem.id.clone(),
        source,
    }
}
