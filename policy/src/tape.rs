//! A forward pass that can be differentiated: through the head chunk by chunk, then through the decoder block by block.

use tch::Tensor;

use crate::head_pass::{HeadPass, Slopes};
use crate::model::Model;
use crate::{TokenStats, cpu, libtorch};

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
    pub(crate) model: &'a Model,
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
    ///   `stats`, whose tensors are leaves of its graph. An entropy it does not depend on costs nothing.
    ///
    /// # Errors
    /// The first error of `loss`; gradients are incomplete then.
    pub fn loss_in_chunks<E>(
        self,
        temperature: f64,
        chunk_tokens: i64,
        mut loss: impl FnMut(i64, &TokenStats) -> Result<Tensor, E>,
    ) -> Result<BehindHead<'a>, E> {
        let mut head = HeadPass::new(self, temperature);
        for tokens in head.chunks(chunk_tokens) {
            let start = tokens.start as i64;
            head.differentiate(tokens, |stats| Ok(Slopes::of(&loss(start, stats)?, stats)))?;
        }
        Ok(BehindHead(head))
    }

    /// [`Self::loss_in_chunks`] for a loss that is no sum over tokens, such as one of whole sequences (GSPO, Zheng et al.
    /// 2025, arXiv 2507.18071): it sees every token of the batch in one call.
    ///
    /// Logits of more than one chunk never exist at once. Where there are several, each chunk's are computed twice: for the
    /// loss, and again for the gradients once the loss has been differentiated.
    ///
    /// - `loss(stats)`: a scalar that depends on `stats`, whose tensors are leaves of its graph
    ///
    /// # Errors
    /// That of `loss`; no gradient has been added then.
    pub fn loss_at_once<E>(
        self,
        temperature: f64,
        chunk_tokens: i64,
        loss: impl FnOnce(&TokenStats) -> Result<Tensor, E>,
    ) -> Result<BehindHead<'a>, E> {
        let mut head = HeadPass::new(self, temperature);
        let chunks = head.chunks(chunk_tokens);
        if let [all] = &chunks[..] {
            head.differentiate(all.clone(), |stats| Ok(Slopes::of(&loss(stats)?, stats)))?;
        } else {
            let stats = head.stats(chunk_tokens).into_leaves();
            let slopes = Slopes::of(&loss(&stats)?, &stats);
            for tokens in chunks {
                head.differentiate(tokens.clone(), |_| Ok(slopes.part(&tokens)))?;
            }
        }
        Ok(BehindHead(head))
    }
}

/// A backward pass that has come through the head.
#[must_use = "the gradients of the decoder are added by `backward`"]
pub struct BehindHead<'a>(HeadPass<'a>);

impl BehindHead<'_> {
    /// Adds to the gradients of the policy's parameters, block by block.
    pub fn backward(self) {
        self.0.backward();
    }
}
