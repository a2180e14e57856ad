//! The training half of a step: reference, forward and backward passes over packed groups, the optimiser.

use std::time::Instant;

use policy::{PackedBatch, SharedPrompt, TokenStats, Weights};
use tch::{Device, Kind, Tensor};

use super::report::Phase;
use super::subject::Subject;
use super::timing::Stopwatch;
use crate::flops::{BACKWARD, Load, forward_flops};
use crate::grpo::{Chosen, Extent, LossError, MicroBatch, Objective, TokenBatch, Trajectory, grpo_loss, micro_batches};
use crate::optim::{AdamW, AdamWConfig, clip_grad_norm};

/// With a KL term every completion is computed, and the loss is that of a run with a reference.
const KL_BETA: f64 = 0.001;

/// A rollout of random tokens, cut into micro-batches.
struct Rollout {
    prompts: Vec<Vec<i64>>,
    trajectories: Vec<Trajectory>,
    micros: Vec<MicroBatch>,
}

impl Rollout {
    fn new(subject: &Subject) -> Self {
        let step = subject.step;
        let prompts: Vec<Vec<i64>> = subject.prompts(step.prompts).into_iter().map(|prompt| prompt.ids).collect();
        // Of the size that they have under random weights.
        let logprob = -(subject.policy.config().vocab_size as f32).ln();
        let trajectory = |index: usize| Trajectory {
            prompt_idx: index / step.group_size,
            ids: subject.tokens(&[2, index as u64], step.completion_tokens),
            sampler_logprobs: vec![logprob; step.completion_tokens],
            forced: Vec::new(),
            is_masked: false,
            reward: None,
            advantages: vec![if index.is_multiple_of(2) { 1.0 } else { -1.0 }; step.completion_tokens],
        };
        let trajectories: Vec<Trajectory> = (0..step.prompts * step.group_size).map(trajectory).collect();
        let all: Vec<usize> = (0..trajectories.len()).collect();
        let lengths = vec![step.prompt_tokens; step.prompts];
        let extents: Vec<Extent> =
            trajectories.iter().map(|t| Extent { prompt_idx: t.prompt_idx, n_tokens: t.ids.len() }).collect();
        let micros = micro_batches(&extents, &all, &lengths, step.micro_batch_tokens);
        Self { prompts, trajectories, micros }
    }

    fn n_completion_tokens(&self) -> usize {
        self.trajectories.iter().map(|trajectory| trajectory.ids.len()).sum()
    }

    /// The groups of a micro-batch, or the parts of them that lie in it.
    fn groups<'a>(&'a self, micro: &'a MicroBatch) -> impl Iterator<Item = (&'a [i64], &'a [usize])> {
        let prompt_of = |index: usize| self.trajectories[index].prompt_idx;
        let parts = micro.members.chunk_by(move |&a, &b| prompt_of(a) == prompt_of(b));
        parts.map(move |members| (self.prompts[prompt_of(members[0])].as_slice(), members))
    }

    fn pack(&self, micro: &MicroBatch) -> PackedBatch {
        let ids = |&index: &usize| self.trajectories[index].ids.as_slice();
        let group =
            |(prompt, members): (_, &[usize])| SharedPrompt { prompt, completions: members.iter().map(ids).collect() };
        PackedBatch::new(&self.groups(micro).map(group).collect::<Vec<_>>())
    }

    /// What goes through the network in one pass over everything; a group cut in two has its prompt in both parts.
    fn load(&self) -> Load {
        let length = |&index: &usize| self.trajectories[index].ids.len();
        let group = |(prompt, members): (&[i64], &[usize])| {
            Load::packed(prompt.len(), &members.iter().map(length).collect::<Vec<_>>())
        };
        self.micros.iter().flat_map(|micro| self.groups(micro)).map(group).sum()
    }

    /// One value per completion token of a micro-batch.
    fn spread(&self, micro: &MicroBatch, device: Device, value: impl Fn(&Trajectory) -> f32) -> Tensor {
        let of = |&index: &usize| {
            let trajectory = &self.trajectories[index];
            std::iter::repeat_n(value(trajectory), trajectory.ids.len())
        };
        Tensor::from_slice(&micro.members.iter().flat_map(of).collect::<Vec<f32>>()).to_device(device)
    }
}

/// Log-probabilities of every completion token under a reference, without a graph.
pub(super) fn reference(subject: &Subject, watch: &Stopwatch) -> Phase {
    let rollout = Rollout::new(subject);
    let reference = subject.policy.reference();
    let chunk = subject.step.logits_chunk_tokens as i64;
    let timed = watch.repeat(|| {
        let began = Instant::now();
        for micro in &rollout.micros {
            let batch = rollout.pack(micro);
            let stats = subject.policy.packed_logprobs(reference.weights(), &batch, 1.0, chunk);
            let _ = Vec::<f32>::try_from(&stats.logprobs).expect("a vector of float32");
        }
        Ok::<_, std::convert::Infallible>(watch.since(began))
    });
    let Ok(timed) = timed;
    let flops = forward_flops(subject.policy.config(), &rollout.load());
    Phase::new("reference", None, timed, rollout.n_completion_tokens() as f64, flops)
}

/// Forward and backward passes over all micro-batches of a step.
pub(super) fn update(subject: &Subject, watch: &Stopwatch) -> Result<Phase, String> {
    let rollout = Rollout::new(subject);
    let mut forward_seconds = Vec::new();
    let timed = watch.repeat(|| {
        drop_gradients(subject);
        let began = Instant::now();
        let weights = subject.policy.trainable_weights();
        let mut forward = 0.0;
        for micro in &rollout.micros {
            forward += backward(subject, &weights, &rollout, micro, watch).map_err(|error| error.to_string())?;
        }
        forward_seconds.push(forward);
        Ok::<_, String>(watch.since(began))
    })?;
    let measured = forward_seconds.len() - timed.n_runs;
    let flops = (1.0 + BACKWARD) * forward_flops(subject.policy.config(), &rollout.load());
    let mut phase = Phase::new("update", None, timed, rollout.n_completion_tokens() as f64, flops);
    phase.forward_seconds = Some(super::timing::median(&mut forward_seconds[measured..]));
    phase.n_micro_batches = Some(rollout.micros.len());
    drop_gradients(subject);
    Ok(phase)
}

/// Adds a micro-batch's gradient; gives back the seconds of its forward pass.
fn backward(
    subject: &Subject,
    weights: &Weights,
    rollout: &Rollout,
    micro: &MicroBatch,
    watch: &Stopwatch,
) -> Result<f64, LossError> {
    let device = subject.policy.device();
    let objective = Objective { kl_beta: KL_BETA, ..Objective::grpo(0.2) };
    let batch = rollout.pack(micro);
    let old_logprobs = rollout.spread(micro, device, |trajectory| trajectory.sampler_logprobs[0]);
    let advantages = rollout.spread(micro, device, |trajectory| trajectory.advantages[0]);
    let weight = 1.0 / rollout.n_completion_tokens() as f32;
    let token_weights = rollout.spread(micro, device, |_| weight);
    let began = Instant::now();
    let tape = subject.policy.forward(weights, &batch, subject.step.checkpointing);
    let forward = watch.since(began);
    let loss = |start: i64, chunk: &TokenStats| {
        let part = |tensor: &Tensor| tensor.narrow(0, start, chunk.logprobs.size()[0]);
        let tokens = TokenBatch {
            logprobs: &chunk.logprobs,
            old_logprobs: &part(&old_logprobs),
            sampler_logprobs: None,
            ref_logprobs: Some(&part(&old_logprobs)),
            entropies: None,
            advantages: &part(&advantages),
            weights: &part(&token_weights),
            chosen: Chosen::default(),
            sequences: None,
        };
        grpo_loss(&tokens, &objective).map(|(loss, _)| loss)
    };
    let chunk = subject.step.logits_chunk_tokens as i64;
    tape.loss_in_chunks(1.0, chunk, loss)?.backward();
    Ok(forward)
}

/// Clips a gradient and steps along it.
pub(super) fn optimizer(subject: &mut Subject, watch: &Stopwatch) -> Result<Phase, String> {
    drop_gradients(subject);
    // A gradient of every parameter without a pass over the network: that of its sum.
    let total: Tensor = subject.policy.parameters().iter().map(|(_, parameter)| parameter.sum(Kind::Float)).sum();
    total.backward();
    let mut optimizer = AdamW::new(subject.policy.parameters(), AdamWConfig::default());
    let timed = watch.repeat(|| {
        let began = Instant::now();
        clip_grad_norm(subject.policy.parameters(), 1.0).map_err(|error| error.to_string())?;
        optimizer.step(1e-6);
        Ok::<_, String>(watch.since(began))
    })?;
    drop_gradients(subject);
    Ok(Phase::new("optimizer", None, timed, 0.0, 0.0))
}

fn drop_gradients(subject: &Subject) {
    for (_, parameter) in subject.policy.parameters() {
        let mut parameter = parameter.shallow_clone();
        parameter.zero_grad();
    }
}
