//! The vocabulary head in one pass and without a graph: log-probabilities, then the gradients of what went in.

use tch::{Kind, Tensor};

use super::attention::{Heads, Packing};
use super::decoder;
use super::weights::Weights;
use crate::head_pass::Slopes;
use crate::network::Network;
use crate::{PackedBatch, TokenStats};

/// Log-probabilities and entropies of the completion tokens of a packed batch.
pub(crate) fn logprobs(
    network: &Network,
    weights: &Weights,
    batch: &PackedBatch,
    temperature: f64,
    chunk: i64,
) -> TokenStats {
    // Copied to the device before it has work, for which a copy would wait.
    let targets = Tensor::from_slice(&batch.targets).to_device(network.device);
    let hidden = predictors(network, weights, batch);
    tch::no_grad(|| stats(&hidden, &weights.head, &targets, temperature, chunk))
}

/// `[predictors, hidden]`, in compute kind and without a graph: what the head reads of a packed batch.
pub(crate) fn predictors(network: &Network, weights: &Weights, batch: &PackedBatch) -> Tensor {
    tch::no_grad(|| {
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(network.device);
        let rotation = network.rope.at(&tensor(&batch.positions), network.kind);
        let packing = Packing::new(&batch.segments, network.kernels, network.kind, network.device);
        // Before the device has work, like the targets.
        let predictors = tensor(&batch.predictors);
        let mut attend = |_: usize, heads: Heads| packing.attend(&heads);
        decoder::hidden_states(&network.config, weights, &tensor(&batch.tokens), &rotation, &mut attend)
            .index_select(0, &predictors)
    })
}

/// What the head says of tokens, `chunk` of them at a time, without keeping logits. Shapes are those of [`Chunk::forward`].
pub(crate) fn stats(hidden: &Tensor, head: &Tensor, targets: &Tensor, temperature: f64, chunk: i64) -> TokenStats {
    let of_chunk = |(hidden, targets): (Tensor, &Tensor)| Chunk::forward(hidden, head, targets, temperature).1;
    let chunks = hidden.split(chunk.max(1), 0).into_iter();
    let stats: Vec<TokenStats> = chunks.zip(&targets.split(chunk.max(1), 0)).map(of_chunk).collect();
    let cat = |pick: fn(&TokenStats) -> &Tensor| Tensor::cat(&stats.iter().map(pick).collect::<Vec<_>>(), 0);
    TokenStats { logprobs: cat(|s| &s.logprobs), entropy: cat(|s| &s.entropy) }
}

/// The least log-probability that times a probability of 0 is 0.
const FINITE: f64 = f32::MIN as f64;

/// A chunk of tokens whose logits are kept until the gradient of the loss is known.
pub(crate) struct Chunk<'a> {
    /// `[tokens, hidden]`, in compute kind.
    hidden: Tensor,
    /// `[vocab, hidden]`, in compute kind.
    head: &'a Tensor,
    /// `[tokens, 1]`, int64.
    targets: Tensor,
    temperature: f64,
    /// `[tokens, vocab]`, float32: log softmax(logits / temperature).
    distribution: Tensor,
    /// `[tokens]`, float32, nats.
    entropy: Tensor,
}

impl<'a> Chunk<'a> {
    /// - `hidden`: `[tokens, hidden]`; `head`: `[vocab, hidden]`; `targets`: `[tokens]`, int64
    /// - `temperature`: divides the logits; positive
    pub(crate) fn forward(hidden: Tensor, head: &'a Tensor, targets: &Tensor, temperature: f64) -> (Self, TokenStats) {
        tch::no_grad(|| {
            // In float32 from the logits on: bfloat16 rounds a log-prob near -10 to steps of 1/16, and the ratio
            // exponentiates it.
            let logits = hidden.linear(head, None::<Tensor>).to_kind(Kind::Float);
            let logits = if temperature == 1.0 { logits } else { logits / temperature };
            let distribution = logits.log_softmax(-1, Kind::Float);
            let targets = targets.unsqueeze(1);
            let logprobs = distribution.gather(1, &targets, false).squeeze_dim(1);
            // A token with probability 0 has log-probability minus infinity, and adds nothing.
            let finite = distribution.clamp_min(FINITE);
            let entropy = -(distribution.exp() * finite).sum_dim_intlist(-1, false, Kind::Float);
            let kept = entropy.shallow_clone();
            (Self { hidden, head, targets, temperature, distribution, entropy: kept }, TokenStats { logprobs, entropy })
        })
    }

    /// The gradients of the hidden states, in compute kind, and of the head, added to `d_head` (float32), from that of each
    /// log-probability g and entropy h: d logits = (g (onehot - softmax) - h softmax (log softmax + entropy)) / temperature.
    pub(crate) fn backward(mut self, slopes: &Slopes, d_head: &mut Tensor) -> Tensor {
        tch::no_grad(|| {
            let slope = (&slopes.logprobs / self.temperature).unsqueeze(1);
            let mut d_logits = self.distribution.exp();
            let _ = match &slopes.entropy {
                None => d_logits.g_mul_(&-&slope),
                Some(d_entropy) => {
                    // In the memory of the distribution, which nothing reads after this.
                    let mut factor = self.distribution.clamp_min_(FINITE).g_add_(&self.entropy.unsqueeze(1));
                    let factor = factor.g_mul_(&(d_entropy / -self.temperature).unsqueeze(1)).g_sub_(&slope);
                    d_logits.g_mul_(&factor)
                }
            };
            let d_logits = d_logits.scatter_add_(1, &self.targets, &slope).to_kind(self.hidden.kind());
            *d_head += d_logits.transpose(0, 1).matmul(&self.hidden).to_kind(Kind::Float);
            d_logits.matmul(self.head)
        })
    }
}
