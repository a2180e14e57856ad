//! Encoding a prompt and decoding step by step.

use tch::{Kind, Tensor};

use super::attention::{self, Heads};
use super::cache::{Cache, Prompt};
use super::decoder;
use super::weights::Weights;
use crate::network::Network;
use crate::packed::Segment;

/// Encodes a prompt; gives back its keys and values, and `[vocab]`, float32, the logits of what comes next.
pub(crate) fn prefill(network: &Network, weights: &Weights, prompt: &[i64]) -> (Prompt, Tensor) {
    tch::no_grad(|| {
        let n_tokens = prompt.len() as i64;
        let segments = [Segment { n_prompt: n_tokens, n_inputs: Vec::new() }];
        let ids = Tensor::from_slice(prompt).to_device(network.device);
        let positions = Tensor::arange(n_tokens, (Kind::Int64, network.device));
        let rotation = network.rope.at(&positions, network.kind);
        let mask = attention::causal_mask(&segments, network.kind, network.device);
        let mut layers = Vec::new();
        let mut attend = |_: usize, heads: Heads| {
            let cached = |t: &Tensor| t.transpose(0, 1).contiguous();
            layers.push((cached(&heads.key), cached(&heads.value)));
            attention::packed(&heads, &segments, &mask)
        };
        let hidden = decoder::hidden_states(&network.config, weights, &ids, &rotation, &mut attend);
        let logits = hidden.narrow(0, n_tokens - 1, 1).linear(&weights.head, None::<Tensor>);
        (Prompt { layers, n_tokens }, logits.squeeze_dim(0).to_kind(Kind::Float))
    })
}

/// One decoding step: appends `tokens[row]` to the sequence in each of the first rows; gives back `[rows, vocab]`, float32.
pub(crate) fn decode(network: &Network, weights: &Weights, tokens: &[i64], cache: &mut Cache) -> Tensor {
    let n_rows = tokens.len();
    cache.begin_step(n_rows);
    let logits = tch::no_grad(|| {
        let ids = Tensor::from_slice(tokens).to_device(network.device);
        let positions = Tensor::from_slice(&cache.lengths()[..n_rows]).to_device(network.device);
        let rotation = network.rope.at(&positions, network.kind);
        let mask = Cache::mask(&positions, network.kind);
        let mut attend = |layer_idx: usize, heads: Heads| cache.attend(layer_idx, &heads, &mask);
        let hidden = decoder::hidden_states(&network.config, weights, &ids, &rotation, &mut attend);
        hidden.linear(&weights.head, None::<Tensor>).to_kind(Kind::Float)
    });
    cache.end_step(n_rows);
    logits
}
