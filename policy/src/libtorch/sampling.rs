//! Encoding a prompt and decoding step by step.

use std::sync::Arc;

use tch::{Kind, Tensor};

use super::attention::{Heads, Packing, Span};
use super::cache::{Cache, Prompt, Rows};
use super::decoder;
use super::weights::Weights;
use crate::ModelConfig;
use crate::network::Network;
use crate::packed::Segment;

/// Encodes prompts in one pass; gives back, for each, its keys and values, and `[vocab]`, float32, the logits of what comes
/// next.
pub(crate) fn prefill(network: &Network, weights: &Weights, prompts: &[&[i64]]) -> Vec<(Prompt, Tensor)> {
    tch::no_grad(|| {
        let lengths: Vec<i64> = prompts.iter().map(|prompt| prompt.len() as i64).collect();
        let segments: Vec<Segment> =
            lengths.iter().map(|&n_prompt| Segment { n_prompt, n_inputs: Vec::new() }).collect();
        let positions: Vec<i64> = lengths.iter().flat_map(|&n_tokens| 0..n_tokens).collect();
        let ends = lengths.iter().scan(0, |end, &n_tokens| {
            *end += n_tokens;
            Some(*end)
        });
        let last: Vec<i64> = ends.map(|end| end - 1).collect();
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(network.device);
        let rotation = network.rope.at(&tensor(&positions), network.kind);
        let packing = Packing::new(&segments, network.kernels, network.kind, network.device);
        let mut layers = Vec::new();
        let mut attend = |_: usize, heads: Heads| {
            layers.push(Tensor::stack(&[&heads.key, &heads.value], 0));
            packing.attend(&heads)
        };
        let hidden =
            decoder::hidden_states(&network.config, weights, &tensor(&prompts.concat()), &rotation, &mut attend);
        let logits = hidden.index_select(0, &tensor(&last)).linear(&weights.head, None::<Tensor>).to_kind(Kind::Float);
        let layers = Tensor::stack(&layers, 0).split_with_sizes(&lengths, 2);
        let prompts = layers.into_iter().zip(&lengths).map(|(layers, &n_tokens)| Prompt { layers, n_tokens });
        prompts.zip(logits.unbind(0)).collect()
    })
}

/// One decoding step: appends `tokens[row]` to the sequence in each of the first rows; gives back `[rows, vocab]`, float32,
/// to be read before the next step. Nothing in it waits for the device.
pub(crate) fn decode(network: &Network, weights: &Arc<Weights>, tokens: &[i64], cache: &mut Cache) -> Tensor {
    tch::no_grad(|| {
        let (n_rows, n_keys) = cache.begin_step(tokens);
        let Cache { rows, graphs, .. } = cache;
        graphs.run(weights, n_rows, || step(network, weights, rows, n_rows, n_keys));
        cache.end_step(tokens.len());
        cache.rows.logits(tokens.len() as i64)
    })
}

/// What is recorded of a step: from the tokens that lie in `rows` to the logits there.
fn step(network: &Network, weights: &Weights, rows: &Rows, n_rows: i64, n_keys: i64) {
    let positions = rows.positions(n_rows);
    let rotation = network.rope.at(&positions, network.kind);
    let span = Span::new(network.kernels, &positions, n_keys, rows.capacity(), network.kind);
    let places = rows.places(&positions);
    let mut attend = |layer_idx: usize, heads: Heads| rows.attend(layer_idx, &heads, &places, &span);
    let hidden = decoder::hidden_states(&network.config, weights, &rows.tokens(n_rows), &rotation, &mut attend);
    rows.advance(&hidden.linear(&weights.head, None::<Tensor>));
}

/// Memory that a row of `n_positions` takes: its part of the cache, and what drawing from a row's logits needs beside it: they and the distribution in float32 a few
/// times over, its sums in float64.
pub(crate) fn bytes_per_row(config: &ModelConfig, kind: Kind, n_positions: usize) -> u64 {
    let numbers = (config.n_layers * 2 * config.n_kv_heads * config.head_dim) as u64 * n_positions as u64;
    numbers * kind.elt_size_in_bytes() as u64 + config.vocab_size as u64 * 40
}
