//! A forward pass that can be differentiated: through the head chunk by chunk, then through the decoder block by block.

use tch::{Device, Kind, Tensor};

use crate::cpu::{self, gradients::Gradients, head::Chunk};
use crate::{Policy, TokenStats, libtorch};

/// What of the forward pass is kept for the backward pass. The gradients are the same to the bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checkpointing {
    /// Everything.
    #[default]
    None,
    /// What enters each block; the rest is computed again, block by block (Chen et al. 2016, arXiv 1604.06174). A third
    /// more arithmetic, a fraction of the memory.
    Blocks,
}

/// A forward pass that can be differentiated once.
pub struct Tape<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) targets: &'a [i64],
    pub(crate) form: Form<'a>,
}

pub(crate) enum Form<'a> {
    Cpu(cpu::tape::Tape<'a>),
    Libtorch(libtorch::tape::Tape<'a>),
}

impl<'a> Tape<'a> {
    /// Differentiates a loss that is a sum over tokens as far as what enters the head; the gradient of the head is added
    /// to, and the rest of the way is [`BehindHead::backward`].
    ///
    /// Each chunk's logits live only until its part of the loss has been differentiated: log-probabilities, entropies and
    /// both gradients come from one pass over them, without a graph.
    ///
    /// - `temperature`: divides the logits; positive; `chunk_tokens`: tokens of a chunk; on the CPU at most as many as have
    ///   256 MB of logits
    /// - `loss(start, stats)`: the part of the loss that belongs to the tokens from `start` on, a scalar that depends on
    ///   `stats.logprobs`, which are leaves of its graph
    ///
    /// # Errors
    /// The first error of `loss`; gradients are incomplete then.
    pub fn loss_in_chunks<E>(
        self,
        temperature: f64,
        chunk_tokens: i64,
        loss: impl FnMut(i64, &TokenStats) -> Result<Tensor, E>,
    ) -> Result<BehindHead<'a>, E> {
        let chunks = Chunks { targets: self.targets, temperature, size: chunk_tokens.max(1) as usize };
        Ok(BehindHead(match self.form {
            Form::Cpu(tape) => chunks.by_kernels(tape, Gradients::of(self.policy.parameters()), loss)?,
            Form::Libtorch(tape) => chunks.by_libtorch(tape, self.policy.device(), loss)?,
        }))
    }
}

/// A backward pass that has come through the head.
#[must_use = "the gradients of the decoder are added by `backward`"]
pub struct BehindHead<'a>(Rest<'a>);

/// The rest of the tape, and the gradient with which it begins.
enum Rest<'a> {
    Cpu { tape: cpu::tape::Tape<'a>, d_x: Vec<f32>, gradients: Gradients },
    Libtorch { tape: libtorch::tape::Tape<'a>, d_hidden: Tensor, d_head: Tensor },
}

impl BehindHead<'_> {
    /// Adds to the gradients of the policy's parameters, block by block.
    pub fn backward(self) {
        match self.0 {
            Rest::Cpu { tape, d_x, mut gradients } => tape.backward(&d_x, &mut gradients),
            Rest::Libtorch { tape, d_hidden, d_head } => tape.backward(&d_hidden, &d_head),
        }
    }
}

struct Chunks<'a> {
    targets: &'a [i64],
    temperature: f64,
    size: usize,
}

impl Chunks<'_> {
    fn by_kernels<'a, E>(
        &self,
        tape: cpu::tape::Tape<'a>,
        mut gradients: Gradients,
        mut loss: impl FnMut(i64, &TokenStats) -> Result<Tensor, E>,
    ) -> Result<Rest<'a>, E> {
        let x = tape.predictors();
        let width = x.len() / self.targets.len().max(1);
        let (shape, weights) = tape.network();
        let size = self.size.min(Chunk::most_tokens(shape));
        let mut d_x = Vec::with_capacity(x.len());
        for (index, targets) in self.targets.chunks(size).enumerate() {
            let start = index * size;
            let x = &x[start * width..(start + targets.len()) * width];
            let (chunk, stats) = Chunk::forward(shape, weights, x, targets, self.temperature);
            let logprobs = Tensor::from_slice(&stats.logprobs).set_requires_grad(true);
            let stats = TokenStats { logprobs, entropy: Tensor::from_slice(&stats.entropy) };
            let d_logprobs = gradient(&loss(start as i64, &stats)?, &stats.logprobs);
            let d_logprobs: Vec<f32> = d_logprobs.try_into().expect("a vector of float32");
            d_x.extend(gradients.add_head(weights, chunk.backward(&d_logprobs)));
        }
        Ok(Rest::Cpu { tape, d_x, gradients })
    }

    fn by_libtorch<'a, E>(
        &self,
        tape: libtorch::tape::Tape<'a>,
        device: Device,
        mut loss: impl FnMut(i64, &TokenStats) -> Result<Tensor, E>,
    ) -> Result<Rest<'a>, E> {
        let (hidden, head) = (tape.hidden(), tape.weights().head.detach());
        let mut d_head = Tensor::zeros(head.size(), (Kind::Float, device));
        let mut d_hidden = Vec::new();
        // Copied to the device once: a copy waits for what the device was given before.
        let targets = Tensor::from_slice(self.targets).to_device(device).split(self.size as i64, 0);
        for (index, (hidden, targets)) in hidden.split(self.size as i64, 0).into_iter().zip(targets).enumerate() {
            let start = (index * self.size) as i64;
            let (chunk, mut stats) = libtorch::head::Chunk::forward(hidden, &head, &targets, self.temperature);
            stats.logprobs = stats.logprobs.set_requires_grad(true);
            let d_logprobs = gradient(&loss(start, &stats)?, &stats.logprobs);
            d_hidden.push(chunk.backward(&d_logprobs, &mut d_head));
        }
        Ok(Rest::Libtorch { tape, d_hidden: Tensor::cat(&d_hidden, 0), d_head })
    }
}

/// The gradient of a loss; zeros where it does not depend on its leaves.
fn gradient(loss: &Tensor, leaves: &Tensor) -> Tensor {
    if !loss.requires_grad() {
        return leaves.zeros_like();
    }
    loss.backward();
    let gradient = leaves.grad();
    if gradient.defined() { gradient } else { leaves.zeros_like() }
}
