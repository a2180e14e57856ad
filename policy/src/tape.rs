//! The decoder's forward and backward pass in training, block by block.
//!
//! libtorch's graph is cut where a block begins and around its attention. So attention may be a kernel of our own, and a
//! block's graph is let go as soon as its gradients are known.

use crate::attention::{Heads, Trained, causal_mask, hand_back};
use crate::network::Network;
use crate::packed::Segment;
use crate::{PackedBatch, Weights, decoder};
use tch::Tensor;

/// A forward pass that can be differentiated once.
pub struct Tape<'a> {
    segments: &'a [Segment],
    /// With the graph of the embedding.
    embedded: Tensor,
    blocks: Vec<Block>,
    /// What enters the final norm: a leaf.
    last: Tensor,
    /// `[completion_tokens, hidden]`, with the graph of the final norm.
    predictors: Tensor,
    /// The same as a leaf, for the head.
    hidden: Tensor,
}

/// One block's pieces of graph: input -> heads, then input and attended -> output.
struct Block {
    /// A leaf.
    input: Tensor,
    heads: Heads,
    attention: Trained,
    /// A leaf.
    attended: Tensor,
    output: Tensor,
}

impl<'a> Tape<'a> {
    /// Runs the decoder over a packed batch. `weights` are bound with a graph.
    pub(crate) fn record(network: &Network, weights: &Weights, batch: &'a PackedBatch) -> Self {
        let config = &network.config;
        let rotation = network.rope.at(&batch.positions, network.kind);
        let mask = causal_mask(&batch.segments, config.head_dim, network.kind, network.device);
        let embedded = decoder::embed(weights, &batch.tokens);
        let mut blocks: Vec<Block> = Vec::with_capacity(weights.layers.len());
        let mut x = leaf(&embedded);
        for layer in &weights.layers {
            let heads = decoder::heads(config, layer, &x, &rotation);
            let attention = Trained::forward(&heads, &batch.segments, mask.as_ref());
            let attended = leaf(&attention.output());
            let output = decoder::behind_attention(config, layer, &x, &attended);
            let next = leaf(&output);
            blocks.push(Block { input: x, heads, attention, attended, output });
            x = next;
        }
        let predictors = decoder::final_norm(config, weights, &x).index_select(0, &batch.predictors);
        Self { segments: &batch.segments, embedded, blocks, last: x, hidden: leaf(&predictors), predictors }
    }

    /// `[completion_tokens, hidden]`, in compute kind: what the head reads. A leaf that collects its gradient.
    pub fn hidden(&self) -> &Tensor {
        &self.hidden
    }

    /// Adds to the gradients of the weights, from the gradient that [`Self::hidden`] has collected.
    ///
    /// # Panics
    /// If it has none.
    pub fn backward(self) {
        hand_back(&[(&self.predictors, &self.hidden.grad())]);
        let mut gradient = self.last.grad();
        for Block { input, heads, attention, attended, output } in self.blocks.into_iter().rev() {
            hand_back(&[(&output, &gradient)]);
            let d = attention.backward(&attended.grad(), self.segments);
            hand_back(&[(&heads.query, &d.query), (&heads.key, &d.key), (&heads.value, &d.value)]);
            gradient = input.grad();
        }
        hand_back(&[(&self.embedded, &gradient)]);
    }
}

/// The same values without their graph, as the beginning of another.
fn leaf(tensor: &Tensor) -> Tensor {
    tensor.detach().set_requires_grad(true)
}
