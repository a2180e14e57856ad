//! One update: micro-batches forward and backward, clipping, one step of the optimiser.

use policy::{PackedBatch, SharedPrompt, TokenStats, backward_in_chunks};
use tch::{Kind, Tensor};

use super::super::{NonFinite, StageError};
use super::learner::{Learner, ScoredGroup};
use crate::grpo::{
    LossError, LossStats, MicroBatch, Objective, TokenBatch, Trajectory, grpo_loss, micro_batches, token_weights,
};
use crate::optim::clip_grad_norm;

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
}

/// A micro-batch on the device: the packed tokens, and per completion token what the loss needs beside them.
struct Inputs {
    batch: PackedBatch,
    old_logprobs: Tensor,
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
        scored: &[ScoredGroup],
        trajectories: &[Trajectory],
        minibatch: &[usize],
        ref_logprobs: Option<&[Vec<f32>]>,
        report: &mut UpdateReport,
    ) -> Result<(), StageError> {
        let weights = self.weights(trajectories, minibatch);
        let mut stats = LossStats::default();
        self.optimizer.zero_grad();
        for micro in self.micro_batches(scored, trajectories, minibatch) {
            let inputs = self.inputs(scored, trajectories, &micro, ref_logprobs, &weights);
            let entropy = self.backward(&inputs, &mut stats).map_err(|(token_idx, source)| {
                let what = blame(scored, trajectories, &micro, token_idx, source);
                StageError::NonFinite { step, what }
            })?;
            report.entropy_sum += entropy;
        }
        let norm = clip_grad_norm(self.policy.parameters(), self.settings.optimizer.clip_norm())
            .map_err(|error| StageError::NonFinite { step, what: error.into() })?;
        let learning_rate = self.schedule.lr(step - 1);
        self.optimizer.step(learning_rate);
        report.add(stats, norm, learning_rate);
        Ok(())
    }

    /// Log-probabilities of every trajectory's tokens under the reference, if there is one.
    pub(super) fn ref_logprobs(&self, scored: &[ScoredGroup], trajectories: &[Trajectory]) -> Option<Vec<Vec<f32>>> {
        let reference = self.reference.as_ref()?;
        let all: Vec<usize> = (0..trajectories.len()).collect();
        let mut logprobs = vec![Vec::new(); trajectories.len()];
        for micro in self.micro_batches(scored, trajectories, &all) {
            let batch = pack(scored, trajectories, &micro, self.policy.device());
            let chunk = self.settings.grpo.logits_chunk_tokens as i64;
            let temperature = self.settings.rollout.temperature;
            let stats = self.policy.packed_logprobs(reference.weights(), &batch, temperature, chunk);
            let flat = Vec::<f32>::try_from(&stats.logprobs).expect("a vector of float32");
            let mut rest = flat.as_slice();
            for &member in &micro.members {
                let (own, others) = rest.split_at(trajectories[member].ids.len());
                logprobs[member] = own.to_vec();
                rest = others;
            }
        }
        Some(logprobs)
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
    fn weights(&self, trajectories: &[Trajectory], minibatch: &[usize]) -> Vec<f64> {
        let lengths: Vec<usize> = minibatch.iter().map(|&index| trajectories[index].ids.len()).collect();
        let max_tokens = self.settings.rollout.max_tokens as usize;
        let mut weights = vec![0.0; trajectories.len()];
        let of_minibatch = token_weights(&lengths, self.settings.grpo.aggregation, max_tokens);
        minibatch.iter().zip(of_minibatch).for_each(|(&index, weight)| weights[index] = weight);
        weights
    }

    fn inputs(
        &self,
        scored: &[ScoredGroup],
        trajectories: &[Trajectory],
        micro: &MicroBatch,
        ref_logprobs: Option<&[Vec<f32>]>,
        weights: &[f64],
    ) -> Inputs {
        let device = self.policy.device();
        let tensor = |values: Vec<f32>| Tensor::from_slice(&values).to_device(device);
        let spread = |value: &dyn Fn(usize) -> f32| {
            let of = |&index: &usize| std::iter::repeat_n(value(index), trajectories[index].ids.len());
            tensor(micro.members.iter().flat_map(of).collect())
        };
        let join = |of: &dyn Fn(usize) -> Vec<f32>| tensor(micro.members.iter().flat_map(|&index| of(index)).collect());
        Inputs {
            batch: pack(scored, trajectories, micro, device),
            old_logprobs: join(&|index| trajectories[index].old_logprobs.clone()),
            ref_logprobs: ref_logprobs.map(|logprobs| join(&|index| logprobs[index].clone())),
            advantages: spread(&|index| trajectories[index].advantage),
            weights: spread(&|index| weights[index] as f32),
        }
    }

    /// Adds a micro-batch's gradient and statistics; gives back its entropy, summed over tokens. An error names the
    /// token, counted over the completions of the micro-batch.
    fn backward(&self, inputs: &Inputs, stats: &mut LossStats) -> Result<f64, (usize, LossError)> {
        let settings = &self.settings.grpo;
        let (clip_epsilon_low, clip_epsilon_high) = settings.clip_range();
        let kl_beta = settings.kl_beta;
        let objective = Objective { clip_epsilon_low, clip_epsilon_high, kl_beta, kl_times_ratio: false };
        let weights = self.policy.trainable_weights();
        let tape = self.policy.forward(&weights, &inputs.batch);
        let mut entropy_sum = 0.0;
        let loss = |start: i64, chunk: &TokenStats| {
            let len = chunk.logprobs.size()[0];
            let part = |tensor: &Tensor| tensor.narrow(0, start, len);
            let ref_logprobs = inputs.ref_logprobs.as_ref().map(part);
            let tokens = TokenBatch {
                logprobs: &chunk.logprobs,
                old_logprobs: &part(&inputs.old_logprobs),
                ref_logprobs: ref_logprobs.as_ref(),
                advantages: &part(&inputs.advantages),
                weights: &part(&inputs.weights),
            };
            let (loss, chunk_stats) = grpo_loss(&tokens, &objective).map_err(|error| {
                let token_idx = if let LossError::NonFinite { token_idx, .. } = error { token_idx } else { 0 };
                (start as usize + token_idx, error)
            })?;
            stats.merge(&chunk_stats);
            entropy_sum += chunk.entropy.sum(Kind::Double).double_value(&[]);
            Ok(loss)
        };
        let (temperature, chunk) = (self.settings.rollout.temperature, settings.logits_chunk_tokens as i64);
        backward_in_chunks(tape, weights.head(), inputs.batch.targets(), temperature, chunk, loss)?;
        Ok(entropy_sum)
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

/// Packs a micro-batch: its members lie by prompt, so each prompt comes once.
fn pack(scored: &[ScoredGroup], trajectories: &[Trajectory], micro: &MicroBatch, device: tch::Device) -> PackedBatch {
    let groups: Vec<SharedPrompt> = (micro.members)
        .chunk_by(|&a, &b| trajectories[a].prompt_idx == trajectories[b].prompt_idx)
        .map(|members| SharedPrompt {
            prompt: &scored[trajectories[members[0]].prompt_idx].group.prompt.ids,
            completions: members.iter().map(|&index| trajectories[index].ids.as_slice()).collect(),
        })
        .collect();
    PackedBatch::new(&groups, device)
}

/// The completion that a token of a micro-batch belongs to.
fn blame(
    scored: &[ScoredGroup],
    trajectories: &[Trajectory],
    micro: &MicroBatch,
    mut token_idx: usize,
    source: LossError,
) -> NonFinite {
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
    NonFinite::Loss { group, row: index - first, problem_id: scored[group].problem.id.clone(), source }
}
