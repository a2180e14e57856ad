//! The forward and backward pass in training, block by block.
//!
//! libtorch's graph is cut where a block begins. So a block's graph is let go as soon as its gradients are known, and may
//! be made again from what entered the block instead of being kept.

use shim::autograd::Graph;
use shim::determinism::Scope;
use tch::Tensor;

use super::attention::{Heads, Packing};
use super::decoder;
use super::weights::{LayerWeights, Weights};
use crate::network::Network;
use crate::rope::Rotation;
use crate::{Checkpointing, PackedBatch};

/// A forward pass that can be differentiated once.
pub(crate) struct Tape<'a> {
    pass: Pass<'a>,
    weights: &'a Weights,
    /// With the graph of the embedding.
    embedded: Tensor,
    blocks: Vec<Block>,
    /// What enters the final norm: a leaf.
    last: Tensor,
    /// `[completion_tokens, hidden]`, with the graph of the final norm.
    predictors: Tensor,
    /// On a GPU, where gradients may be asked to have the same bits each time. None elsewhere: there they have.
    _same_bits: Option<Scope>,
}

/// What every block needs beside its weights.
struct Pass<'a> {
    network: &'a Network,
    rotation: Rotation,
    packing: Packing<'a>,
}

/// One block: what entered it, a leaf, and what left it with the graph between; none where it is made again.
struct Block {
    input: Tensor,
    output: Option<Tensor>,
}

impl Pass<'_> {
    fn block(&self, layer: &LayerWeights, input: &Tensor) -> Tensor {
        let config = &self.network.config;
        let heads: Heads = decoder::heads(config, layer, input, &self.rotation);
        decoder::behind_attention(config, layer, input, &self.packing.attend(&heads))
    }
}

impl<'a> Tape<'a> {
    /// Runs the decoder over a packed batch. `weights` are bound with a graph.
    pub(crate) fn record(
        network: &'a Network,
        weights: &'a Weights,
        batch: &'a PackedBatch,
        checkpointing: Checkpointing,
    ) -> Self {
        let same_bits = network.device.is_cuda().then(Scope::begin);
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(network.device);
        let rotation = network.rope.at(&tensor(&batch.positions), network.kind);
        let packing = Packing::new(&batch.segments, network.kernels, network.kind, network.device);
        // Copied to the device before it has work, for which a copy would wait.
        let predictors = tensor(&batch.predictors);
        let pass = Pass { network, rotation, packing };
        let embedded = decoder::embed(weights, &tensor(&batch.tokens));
        let mut blocks = Vec::with_capacity(weights.layers.len());
        let mut x = leaf(&embedded);
        for layer in &weights.layers {
            let (output, next) = match checkpointing {
                Checkpointing::None => {
                    let output = pass.block(layer, &x);
                    let next = leaf(&output);
                    (Some(output), next)
                }
                Checkpointing::Blocks => (None, leaf(&tch::no_grad(|| pass.block(layer, &x)))),
            };
            blocks.push(Block { input: x, output });
            x = next;
        }
        let predictors = decoder::final_norm(&network.config, weights, &x).index_select(0, &predictors);
        Self { pass, weights, embedded, blocks, last: x, predictors, _same_bits: same_bits }
    }

    /// `[completion_tokens, hidden]`, in compute kind, without a graph: what the head reads.
    pub(crate) fn hidden(&self) -> Tensor {
        self.predictors.detach()
    }

    /// The weights it runs on.
    pub(crate) fn weights(&self) -> &'a Weights {
        self.weights
    }

    /// Adds to the gradients of the weights, from those of [`Self::hidden`] and, in float32, of the head.
    pub(crate) fn backward(self, d_hidden: &Tensor, d_head: &Tensor) {
        hand_on(&self.weights.head, d_head);
        hand_on(&self.predictors, d_hidden);
        let mut gradient = self.last.grad();
        for (layer, Block { input, output }) in self.weights.layers.iter().zip(self.blocks).rev() {
            let output = output.unwrap_or_else(|| self.pass.block(layer, &input));
            hand_on(&output, &gradient);
            gradient = input.grad();
        }
        hand_on(&self.embedded, &gradient);
    }
}

/// Differentiates a tensor whose gradient is known: it goes on to the leaves of its graph.
fn hand_on(tensor: &Tensor, gradient: &Tensor) {
    let gradient = gradient.to_kind(tensor.kind());
    shim::autograd::backward(&[(tensor, &gradient)], Graph::Free).expect("a graph that was just recorded");
}

/// The same values without their graph, as the beginning of another.
fn leaf(tensor: &Tensor) -> Tensor {
    tensor.detach().set_requires_grad(true)
}
