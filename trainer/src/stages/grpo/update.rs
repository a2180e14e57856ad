//! One update: micro-batches forward and backward, clipping, one step of the optimiser.

use policy::{BehindHead, PackedBatch, Tape, TokenStats, Weights};
use tch::Tensor;

use super::super::descent::descend;
use super::super::{NonFinite, StageError};
use super::flat::Flat;
use super::learner::Learner;
use super::logprobs::{Old, Said};
use super::token_choice::Choice;
use crate::grpo::{
    Chosen, LossError, LossStats, MicroBatch, Objective, Scope, Sequences, Shares, TokenBatch, Trajectory, grpo_loss,
    token_weights,
};
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
    /// Coefficient of the entropy bonus in the last update.
    pub(super) entropy_coefficient: f64,
    /// Sum over updates of the norm before clipping.
    pub(super) grad_norm_sum: f64,
    pub(super) n_updates: u64,
    pub(super) learning_rate: f64,
    /// Tokens that went forward and backward, a prompt once for each micro-batch it is in.
    pub(super) n_tokens_computed: u64,
    /// Matrix operations of the forward passes; those of the backward passes are [`crate::flops::BACKWARD`] times as many.
    pub(super) forward_flops: f64,
    /// Matrix operations of the passes without gradient: of the reference, of log π_old, and for choosing tokens.
    pub(super) logprob_flops: f64,
    pub(super) seconds: UpdateSeconds,
}

/// What the updates of a step read.
pub(super) struct Batch<'a> {
    pub(super) flat: Flat<'a>,
    pub(super) trajectories: &'a [Trajectory],
    pub(super) old_logprobs: Old,
    /// Of the reference; none without a divergence from it.
    pub(super) ref_logprobs: Option<Vec<Said>>,
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
    kept: Option<Tensor>,
    covariance_kl: Option<Tensor>,
    entropy: Option<Tensor>,
    /// Where the objective looks at whole completions.
    sequences: Option<Sequences>,
}

impl Learner<'_> {
    /// Steps once along the gradient of the objective over a minibatch.
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
        let choice = self.choose(step, report.n_updates, batch, minibatch, &mut report.logprob_flops);
        let objective = self.settings.grpo.objective(step);
        let token_weights = self.token_weights(step, batch.trajectories, minibatch);
        let of_masked =
            |&index: &usize| (batch.trajectories[index].ids.len() - batch.trajectories[index].n_counted()) as u64;
        let n_masked: u64 = minibatch.iter().map(of_masked).sum();
        let mut stats = LossStats { n_left_out: batch.flat.n_tokens(minibatch) - n_masked, ..LossStats::default() };
        self.optimizer.zero_grad();
        let weights = self.policy.trainable_weights();
        let chosen = self.with_gradient(step, batch.trajectories, minibatch);
        for micro in batch.flat.micro_batches(&chosen, self.settings.grpo.micro_batch_tokens) {
            let n_counted = |&index: &usize| batch.trajectories[index].n_counted() as u64;
            stats.n_left_out -= micro.members.iter().map(n_counted).sum::<u64>();
            let inputs = self.inputs(batch, &micro, &token_weights, &choice, objective.scope());
            self.backward(step, &weights, &inputs, &objective, &mut stats, report).map_err(|(token_idx, source)| {
                let what = blame(batch, &micro, token_idx, source);
                StageError::NonFinite { step, what }
            })?;
            report.n_tokens_computed += micro.n_tokens as u64;
            report.forward_flops += batch.flat.forward_flops(self.policy.config(), &micro);
        }
        drop(weights);
        let mut clock = Stopwatch::start(self.policy.device());
        let settings = &self.settings.optimizer;
        let parameters = self.policy.parameters();
        let (norm, learning_rate) = descend(parameters, &mut self.optimizer, &self.schedule, settings, step)?;
        report.seconds.optimizer += clock.lap();
        report.add(stats, norm, learning_rate);
        self.observe_entropy(&stats, report);
        Ok(())
    }

    /// Lets the coefficient of the entropy bonus follow, if it does.
    fn observe_entropy(&mut self, stats: &LossStats, report: &mut UpdateReport) {
        let settings = &self.settings.grpo;
        if !settings.has_entropy_bonus() {
            return;
        }
        let adaptive = settings.adaptive_entropy.as_ref();
        let applied = self.entropy_control.applied(adaptive);
        report.entropy_coefficient = applied;
        self.entropy_control.observe(stats.kept_entropy_mean(), adaptive);
    }

    /// The weight of each token of each trajectory, by index; normalisers are counted on the whole minibatch.
    fn token_weights(&self, step: u64, trajectories: &[Trajectory], minibatch: &[usize]) -> Vec<f64> {
        let mut minibatch = minibatch.to_vec();
        minibatch.sort_unstable();
        let lengths: Vec<usize> = minibatch.iter().map(|&index| trajectories[index].n_counted()).collect();
        let shares = Shares {
            max_tokens: self.settings.rollout.max_tokens_at(step) as usize,
            block: self.settings.grpo.local_completions.unwrap_or(1) as usize,
        };
        let mut weights = vec![0.0; trajectories.len()];
        let of_minibatch = token_weights(&lengths, self.settings.grpo.aggregation, shares);
        minibatch.iter().zip(of_minibatch).for_each(|(&index, weight)| weights[index] = weight);
        weights
    }

    fn inputs(
        &self,
        batch: &Batch,
        micro: &MicroBatch,
        token_weights: &[f64],
        choice: &Choice,
        scope: Scope,
    ) -> Inputs {
        let (device, trajectories) = (self.policy.device(), batch.trajectories);
        let members = || micro.members.iter().copied();
        let tensor = |values: Vec<f32>| Tensor::from_slice(&values).to_device(device);
        let join = |of: &dyn Fn(usize) -> Vec<f32>| tensor(members().flat_map(of).collect());
        let given = |of: &[Vec<f32>]| (!of.is_empty()).then(|| join(&|index| of[index].clone()));
        let weight = |index: usize, t: usize| {
            if trajectories[index].counts(t) { token_weights[index] as f32 } else { 0.0 }
        };
        let sampler_logprobs = join(&|index| trajectories[index].sampler_logprobs.clone());
        let (old_logprobs, sampler_logprobs) = match &batch.old_logprobs {
            Old::Sampler => (Some(sampler_logprobs), None),
            Old::ThisPass => (None, Some(sampler_logprobs)),
            Old::Recomputed(said) => (Some(join(&|index| said[index].logprobs.clone())), Some(sampler_logprobs)),
        };
        let lengths: Vec<usize> = members().map(|index| trajectories[index].ids.len()).collect();
        Inputs {
            batch: batch.flat.pack(micro),
            old_logprobs,
            sampler_logprobs,
            ref_logprobs: batch.ref_logprobs.as_ref().map(|said| join(&|index| said[index].logprobs.clone())),
            advantages: join(&|index| trajectories[index].advantages.clone()),
            weights: join(&|index| (0..trajectories[index].ids.len()).map(|t| weight(index, t)).collect()),
            kept: given(&choice.kept),
            covariance_kl: given(&choice.covariance_kl),
            entropy: given(&choice.entropy),
            sequences: (scope == Scope::Sequence).then(|| Sequences::of(&lengths, device)),
        }
    }

    /// Adds a micro-batch's gradient and statistics. An error names the token, counted over the completions of the
    /// micro-batch.
    fn backward(
        &self,
        step: u64,
        weights: &Weights,
        inputs: &Inputs,
        objective: &Objective,
        stats: &mut LossStats,
        report: &mut UpdateReport,
    ) -> Result<(), (usize, LossError)> {
        let mut clock = Stopwatch::start(self.policy.device());
        let tape = self.policy.forward(weights, &inputs.batch, self.settings.grpo.checkpointing.into());
        report.seconds.forward += clock.lap();
        let behind_head = self.through_head(step, tape, inputs, objective, stats)?;
        report.seconds.head += clock.lap();
        behind_head.backward();
        report.seconds.backward += clock.lap();
        Ok(())
    }

    /// The loss, chunk by chunk where that is a sum over tokens, else at once.
    fn through_head<'a>(
        &self,
        step: u64,
        tape: Tape<'a>,
        inputs: &Inputs,
        objective: &Objective,
        stats: &mut LossStats,
    ) -> Result<BehindHead<'a>, (usize, LossError)> {
        let loss = |start: i64, said: &TokenStats| {
            let (loss, chunk_stats) = inputs.loss(start, said, objective)?;
            stats.merge(&chunk_stats);
            Ok(loss)
        };
        let temperature = self.settings.rollout.temperature_at(step);
        let chunk = self.settings.grpo.logits_chunk_tokens as i64;
        match objective.scope() {
            Scope::Token => tape.loss_in_chunks(temperature, chunk, loss),
            Scope::Sequence => {
                let mut loss = loss;
                tape.loss_at_once(temperature, chunk, |said| loss(0, said))
            }
        }
    }
}

impl Inputs {
    /// The loss of the tokens from `start` on. An error names the token, counted over the micro-batch.
    fn loss(
        &self,
        start: i64,
        said: &TokenStats,
        objective: &Objective,
    ) -> Result<(Tensor, LossStats), (usize, LossError)> {
        let len = said.logprobs.size()[0];
        let part = |tensor: &Tensor| tensor.narrow(0, start, len);
        let of = |tensor: &Option<Tensor>| tensor.as_ref().map(part);
        let (ref_logprobs, sampler_logprobs) = (of(&self.ref_logprobs), of(&self.sampler_logprobs));
        let (kept, covariance_kl, entropy) = (of(&self.kept), of(&self.covariance_kl), of(&self.entropy));
        let tokens = TokenBatch {
            logprobs: &said.logprobs,
            old_logprobs: &of(&self.old_logprobs).unwrap_or_else(|| said.logprobs.detach()),
            sampler_logprobs: sampler_logprobs.as_ref(),
            ref_logprobs: ref_logprobs.as_ref(),
            entropies: Some(&said.entropy),
            advantages: &part(&self.advantages),
            weights: &part(&self.weights),
            chosen: Chosen { kept: kept.as_ref(), covariance_kl: covariance_kl.as_ref(), entropy: entropy.as_ref() },
            sequences: self.sequences.as_ref(),
        };
        grpo_loss(&tokens, objective).map_err(|error| {
            let token_idx = if let LossError::NonFinite { token_idx, .. } = error { token_idx } else { 0 };
            (start as usize + token_idx, error)
        })
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

/// The completion that a token of a micro-batch belongs to.
fn blame(batch: &Batch, micro: &MicroBatch, token_idx: usize, source: LossError) -> NonFinite {
    let index = batch.flat.owner(micro, token_idx);
    let (scored, (_, row)) = (batch.flat.group(index), batch.flat.place(index));
    NonFinite::Loss { group: scored.number, row, problem_id: scored.problem.id.clone(), source }
}
