//! Keys and values of the sequences being sampled: one row each, rows of different lengths side by side.

use crate::ModelConfig;
use tch::{Device, Kind, Tensor};

/// Positions are added in steps of this many, so that growing is rare.
const GROWTH: i64 = 64;

/// Keys and values of an encoded prompt, and what the network says comes next.
#[derive(Debug)]
pub struct PromptKv {
    /// Per layer: key and value, `[n_kv_heads, prompt_tokens, head_dim]`.
    pub(crate) layers: Vec<(Tensor, Tensor)>,
    /// `[vocab]`, float32: logits of the first completion token.
    pub logits: Tensor,
    pub(crate) n_tokens: i64,
}

/// The cache of a batch of rows.
#[derive(Debug)]
pub struct KvCache {
    /// Per layer: key and value, `[rows, n_kv_heads, capacity, head_dim]`.
    pub(crate) layers: Vec<(Tensor, Tensor)>,
    /// Tokens held by each row.
    pub(crate) lengths: Vec<i64>,
    capacity: i64,
}

impl KvCache {
    pub(crate) fn new(config: &ModelConfig, n_rows: i64, kind: Kind, device: Device) -> Self {
        let empty = || Tensor::zeros([n_rows, config.n_kv_heads, GROWTH, config.head_dim], (kind, device));
        let layers = (0..config.n_layers).map(|_| (empty(), empty())).collect();
        Self { layers, lengths: vec![0; n_rows as usize], capacity: GROWTH }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.lengths.len()
    }

    /// Starts a new sequence in `row` with an encoded prompt; what the row held is forgotten.
    pub fn admit(&mut self, row: usize, prompt: &PromptKv) {
        self.reserve(prompt.n_tokens);
        for ((key, value), (prompt_key, prompt_value)) in self.layers.iter().zip(&prompt.layers) {
            key.get(row as i64).narrow(1, 0, prompt.n_tokens).copy_(prompt_key);
            value.get(row as i64).narrow(1, 0, prompt.n_tokens).copy_(prompt_value);
        }
        self.lengths[row] = prompt.n_tokens;
    }

    /// Moves the sequence in row `from` to row `to`, so that the rows in use stay the first ones.
    pub fn move_row(&mut self, from: usize, to: usize) {
        let length = self.lengths[from];
        for tensor in self.layers.iter().flat_map(|(key, value)| [key, value]) {
            let source = tensor.get(from as i64).narrow(1, 0, length);
            tensor.get(to as i64).narrow(1, 0, length).copy_(&source);
        }
        self.lengths[to] = length;
    }

    /// Makes room for sequences of `n_tokens`.
    pub(crate) fn reserve(&mut self, n_tokens: i64) {
        if n_tokens <= self.capacity {
            return;
        }
        let capacity = (n_tokens as u64).next_multiple_of(GROWTH as u64) as i64;
        let added = capacity - self.capacity;
        for (key, value) in &mut self.layers {
            for tensor in [key, value] {
                let mut shape = tensor.size();
                shape[2] = added;
                *tensor = Tensor::cat(&[&*tensor, &Tensor::zeros(&shape, (tensor.kind(), tensor.device()))], 2);
            }
        }
        self.capacity = capacity;
    }
}
