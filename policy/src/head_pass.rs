//! The way of a loss through the vocabulary head, some tokens at a time, in either engine.

use std::ops::Range;

use tch::{Kind, Tensor};

use crate::TokenStats;
use crate::cpu::{self, gradients::Gradients};
use crate::libtorch;
use crate::tape::{Form, Tape};

/// The gradient of a loss with respect to what the head says of each token.
pub(crate) struct Slopes {
    /// `[tokens]`, float32.
    pub(crate) logprobs: Tensor,
    /// `[tokens]`, float32; none where the loss does not depend on entropies.
    pub(crate) entropy: Option<Tensor>,
}

impl Slopes {
    /// Of a scalar whose graph begins at `stats`.
    pub(crate) fn of(loss: &Tensor, stats: &TokenStats) -> Self {
        if loss.requires_grad() {
            loss.backward();
        }
        let gradient = |leaf: &Tensor| Some(leaf.grad()).filter(Tensor::defined);
        let logprobs = gradient(&stats.logprobs).unwrap_or_else(|| stats.logprobs.zeros_like());
        Self { logprobs, entropy: gradient(&stats.entropy) }
    }

    /// Those of some tokens.
    pub(crate) fn part(&self, tokens: &Range<usize>) -> Self {
        let part = |slopes: &Tensor| slopes.narrow(0, tokens.start as i64, tokens.len() as i64);
        Self { logprobs: part(&self.logprobs), entropy: self.entropy.as_ref().map(part) }
    }
}

/// The head behind a forward pass: what it reads, and where gradients are gathered.
pub(crate) struct HeadPass<'a> {
    /// Token ids whose log-probabilities are asked for.
    targets: &'a [i64],
    temperature: f64,
    engine: Engine<'a>,
}

enum Engine<'a> {
    Cpu {
        tape: cpu::tape::Tape<'a>,
        /// `[tokens][hidden_width]`: the stream behind the last layer.
        x: Vec<f32>,
        d_x: Vec<f32>,
        gradients: Gradients,
    },
    Libtorch {
        tape: libtorch::tape::Tape<'a>,
        /// `[tokens, hidden]`: what the head reads.
        hidden: Tensor,
        /// `[vocab, hidden]`, without its graph.
        head: Tensor,
        /// `[tokens]`, int64.
        targets: Tensor,
        /// Chunk by chunk.
        d_hidden: Vec<Tensor>,
        d_head: Tensor,
    },
}

impl<'a> HeadPass<'a> {
    /// - `temperature`: divides the logits; positive
    pub(crate) fn new(tape: Tape<'a>, temperature: f64) -> Self {
        let Tape { model, targets, form } = tape;
        let device = model.network.device;
        let engine = match form {
            Form::Cpu(tape) => {
                let x = tape.predictors();
                let d_x = Vec::with_capacity(x.len());
                Engine::Cpu { tape, x, d_x, gradients: Gradients::of(&model.parameters) }
            }
            Form::Libtorch(tape) => {
                let (hidden, head) = (tape.hidden(), tape.weights().head.detach());
                let d_head = Tensor::zeros(head.size(), (Kind::Float, device));
                // Copied to the device once: a copy waits for what the device was given before.
                let targets = Tensor::from_slice(targets).to_device(device);
                Engine::Libtorch { tape, hidden, head, targets, d_hidden: Vec::new(), d_head }
            }
        };
        Self { targets, temperature, engine }
    }

    /// The tokens in chunks of `chunk_tokens`, or as many as the engine holds logits of; at least one chunk.
    pub(crate) fn chunks(&self, chunk_tokens: i64) -> Vec<Range<usize>> {
        let wanted = chunk_tokens.max(1) as usize;
        let size = match &self.engine {
            Engine::Cpu { tape, .. } => wanted.min(cpu::head::Chunk::most_tokens(tape.network().0)),
            Engine::Libtorch { .. } => wanted,
        };
        let n_tokens = self.targets.len();
        (0..n_tokens.max(1)).step_by(size).map(|start| start..(start + size).min(n_tokens)).collect()
    }

    /// What the head says of every token, without keeping logits.
    pub(crate) fn stats(&self, chunk_tokens: i64) -> TokenStats {
        match &self.engine {
            Engine::Cpu { tape, x, .. } => {
                let (shape, weights) = tape.network();
                cpu::head::logprobs(shape, weights, x, self.targets, self.temperature).into()
            }
            Engine::Libtorch { hidden, head, targets, .. } => {
                libtorch::head::stats(hidden, head, targets, self.temperature, chunk_tokens)
            }
        }
    }

    /// Takes the next chunk's tokens through the head and back: `slopes` gets what the head says of them, as leaves.
    ///
    /// # Errors
    /// That of `slopes`.
    pub(crate) fn differentiate<E>(
        &mut self,
        tokens: Range<usize>,
        slopes: impl FnOnce(&TokenStats) -> Result<Slopes, E>,
    ) -> Result<(), E> {
        let temperature = self.temperature;
        match &mut self.engine {
            Engine::Cpu { tape, x, d_x, gradients } => {
                let (shape, weights) = tape.network();
                let width = x.len() / self.targets.len().max(1);
                let x = &x[tokens.start * width..tokens.end * width];
                let (chunk, stats) = cpu::head::Chunk::forward(shape, weights, x, &self.targets[tokens], temperature);
                let Slopes { logprobs, entropy } = slopes(&TokenStats::from(stats).into_leaves())?;
                let vector = |slopes: Tensor| Vec::<f32>::try_from(slopes).expect("a vector of float32");
                let (logprobs, entropy) = (vector(logprobs), entropy.map(vector));
                d_x.extend(gradients.add_head(weights, chunk.backward(&logprobs, entropy.as_deref())));
            }
            Engine::Libtorch { hidden, head, targets, d_hidden, d_head, .. } => {
                let part = |tensor: &Tensor| tensor.narrow(0, tokens.start as i64, tokens.len() as i64);
                let (chunk, stats) = libtorch::head::Chunk::forward(part(hidden), head, &part(targets), temperature);
                d_hidden.push(chunk.backward(&slopes(&stats.into_leaves())?, d_head));
            }
        }
        Ok(())
    }

    /// Adds to the gradients of the policy's parameters, block by block; every chunk has been differentiated.
    pub(crate) fn backward(self) {
        match self.engine {
            Engine::Cpu { tape, d_x, mut gradients, .. } => tape.backward(&d_x, &mut gradients),
            Engine::Libtorch { tape, d_hidden, d_head, .. } => tape.backward(&Tensor::cat(&d_hidden, 0), &d_head),
        }
    }
}
