//! The policy as it stands, ready to be sampled from: frozen weights, encoding of prompts, decoding step by step.

use crate::attention::{self, Heads};
use crate::linear::linear;
use crate::network::Network;
use crate::{KvCache, ModelConfig, PackedBatch, PromptKv, SharedPrompt, Weights, decoder};
use tch::{Kind, Tensor};

/// A frozen view of a policy. It shares the policy's memory where it can, may be sent to another thread, and is stale once
/// the policy's weights change.
#[derive(Debug)]
pub struct Sampler {
    network: Network,
    weights: Weights,
}

impl Sampler {
    pub(crate) fn new(network: Network, weights: Weights) -> Self {
        Self { network, weights }
    }

    /// Another handle to the same weights, for another thread.
    pub fn share(&self) -> Self {
        Self { network: self.network.share(), weights: self.weights.share() }
    }

    /// The decoder's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.network.config
    }

    /// An empty cache for up to `n_rows` sequences at once.
    pub fn kv_cache(&self, n_rows: usize) -> KvCache {
        KvCache::new(&self.network.config, padded_rows(n_rows) as i64, self.network.kind, self.network.device)
    }

    /// Encodes a prompt, once for all completions of its group.
    ///
    /// # Panics
    /// If the prompt is empty.
    pub fn prefill(&self, prompt: &[i64]) -> PromptKv {
        assert!(!prompt.is_empty(), "a prompt has at least one token");
        let network = &self.network;
        let n_tokens = prompt.len() as i64;
        tch::no_grad(|| {
            let batch = PackedBatch::new(&[SharedPrompt { prompt, completions: Vec::new() }], network.device);
            let rotation = network.rope.at(&batch.positions, network.kind);
            let mask = attention::causal_mask(&batch.segments, network.config.head_dim, network.kind, network.device);
            let mut layers = Vec::new();
            let mut attend = |_: usize, heads: Heads| {
                let cached = |t: &Tensor| t.narrow(0, 0, n_tokens).transpose(0, 1).contiguous();
                layers.push((cached(&heads.key), cached(&heads.value)));
                attention::packed(&heads, &batch.segments, mask.as_ref())
            };
            let hidden = decoder::hidden_states(&network.config, &self.weights, &batch.tokens, &rotation, &mut attend);
            let logits = linear(&hidden.narrow(0, n_tokens - 1, 1), &self.weights.head, None);
            PromptKv { layers, logits: logits.squeeze_dim(0).to_kind(Kind::Float), n_tokens }
        })
    }

    /// One decoding step: appends `tokens[row]` to the sequence in each of the first `tokens.len()` rows.
    ///
    /// - result: `[tokens.len(), vocab]`, float32: logits of what comes next in each row
    pub fn decode(&self, tokens: &[i64], cache: &mut KvCache) -> Tensor {
        let network = &self.network;
        let n_rows = padded_rows(tokens.len());
        let mut padded = tokens.to_vec();
        padded.resize(n_rows, 0);
        cache.begin_step(tokens.len(), n_rows);
        let logits = tch::no_grad(|| {
            let ids = Tensor::from_slice(&padded).to_device(network.device);
            let positions = Tensor::from_slice(&cache.lengths()[..n_rows]).to_device(network.device);
            let rotation = network.rope.at(&positions, network.kind);
            let mask = cache.mask(&positions, network.kind);
            let mut attend = |layer_idx: usize, heads: Heads| cache.attend(layer_idx, &heads, mask.as_ref());
            let hidden = decoder::hidden_states(&network.config, &self.weights, &ids, &rotation, &mut attend);
            linear(&hidden, &self.weights.head, None).to_kind(Kind::Float)
        });
        cache.end_step(tokens.len());
        logits.narrow(0, 0, tokens.len() as i64)
    }
}

/// Rows to compute for `n_rows` sequences: up to the next multiple of sixteen.
///
/// Matrix products of another number of rows may take another path through the CPU's libraries and round differently; so
/// a sequence's numbers do not depend on how many others are being sampled. And each new number of rows is compiled once.
fn padded_rows(n_rows: usize) -> usize {
    n_rows.next_multiple_of(16)
}
