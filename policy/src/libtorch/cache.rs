//! Keys and values of the sequences being sampled: one row each, rows of different lengths side by side.

use super::attention::{self, Heads};
use crate::ModelConfig;
use tch::{Device, Kind, Tensor};

/// Positions are added in steps of this many, so that growing is rare.
const GROWTH: i64 = 64;

/// Keys and values of an encoded prompt.
#[derive(Debug)]
pub(crate) struct Prompt {
    /// Per layer: key and value, `[n_kv_heads, prompt_tokens, head_dim]`.
    pub(crate) layers: Vec<(Tensor, Tensor)>,
    pub(crate) n_tokens: i64,
}

/// The cache of a batch of rows.
#[derive(Debug)]
pub(crate) struct Cache {
    /// Per layer: key and value, `[rows, n_kv_heads, capacity, head_dim]`.
    layers: Vec<(Tensor, Tensor)>,
    /// Tokens held by each row.
    lengths: Vec<i64>,
    capacity: i64,
}

impl Cache {
    pub(crate) fn new(config: &ModelConfig, n_rows: usize, kind: Kind, device: Device) -> Self {
        let empty = || Tensor::zeros([n_rows as i64, config.n_kv_heads, GROWTH, config.head_dim], (kind, device));
        let layers = (0..config.n_layers).map(|_| (empty(), empty())).collect();
        Self { layers, lengths: vec![0; n_rows], capacity: GROWTH }
    }

    /// Number of rows.
    pub(crate) fn n_rows(&self) -> usize {
        self.lengths.len()
    }

    /// Tokens held by each row.
    pub(crate) fn lengths(&self) -> &[i64] {
        &self.lengths
    }

    /// Starts a new sequence in `row` with an encoded prompt; what the row held is forgotten.
    pub(crate) fn admit(&mut self, row: usize, prompt: &Prompt) {
        self.reserve(prompt.n_tokens);
        for ((key, value), (prompt_key, prompt_value)) in self.layers.iter().zip(&prompt.layers) {
            let of_row = |tensor: &Tensor| tensor.get(row as i64).narrow(1, 0, prompt.n_tokens);
            of_row(key).copy_(prompt_key);
            of_row(value).copy_(prompt_value);
        }
        self.lengths[row] = prompt.n_tokens;
    }

    /// Moves the sequence in row `from` to row `to`, so that the rows in use stay the first ones.
    pub(crate) fn move_row(&mut self, from: usize, to: usize) {
        let n_positions = self.lengths[from];
        for tensor in self.layers.iter().flat_map(|(key, value)| [key, value]) {
            let source = tensor.get(from as i64).narrow(1, 0, n_positions);
            tensor.get(to as i64).narrow(1, 0, n_positions).copy_(&source);
        }
        self.lengths[to] = self.lengths[from];
    }

    /// Begins a decoding step of the first `n_rows` rows; makes room for a position each.
    pub(crate) fn begin_step(&mut self, n_rows: usize) {
        self.reserve(self.lengths[..n_rows].iter().max().expect("a step has rows") + 1);
    }

    /// Ends it: the sequences are one token longer.
    pub(crate) fn end_step(&mut self, n_rows: usize) {
        self.lengths[..n_rows].iter_mut().for_each(|length| *length += 1);
    }

    /// Appends the new tokens' keys and values to the first rows and attends over them.
    ///
    /// - `heads`: `[rows, heads, head_dim]`; `mask`: from [`Self::mask`]; result: `[rows, hidden]`
    pub(crate) fn attend(&mut self, layer_idx: usize, heads: &Heads, mask: &Tensor) -> Tensor {
        let n_rows = heads.query.size()[0];
        let n_keys = mask.size()[3];
        let positions = Tensor::from_slice(&self.lengths[..n_rows as usize]).to_device(mask.device());
        let (key, value) = &self.layers[layer_idx];
        let [key, value] = [(key, &heads.key), (value, &heads.value)].map(|(cache, new)| {
            let cache = cache.narrow(0, 0, n_rows);
            append(&cache, new, &positions);
            cache.narrow(2, 0, n_keys)
        });
        attention::cached(&heads.query, &key, &value, mask)
    }

    /// `[rows, 1, 1, n_keys]`, additive: a row sees its own keys, the new one included, and nothing of what lies behind.
    pub(crate) fn mask(positions: &Tensor, kind: Kind) -> Tensor {
        let keys = Tensor::arange(positions.max().int64_value(&[]) + 1, (Kind::Int64, positions.device()));
        let hidden = keys.unsqueeze(0).gt_tensor(&positions.unsqueeze(1));
        let mask = Tensor::zeros(hidden.size(), (kind, positions.device())).masked_fill_(&hidden, f64::NEG_INFINITY);
        mask.unsqueeze(1).unsqueeze(1)
    }

    /// Makes room for sequences of `n_tokens`.
    fn reserve(&mut self, n_tokens: i64) {
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

/// Writes each row's new head vectors `[rows, n_kv_heads, head_dim]` at its position in the cache.
fn append(cache: &Tensor, heads: &Tensor, positions: &Tensor) {
    let (n_rows, n_kv_heads, head_dim) = heads.size3().expect("heads have three axes");
    let index = positions.reshape([n_rows, 1, 1, 1]).expand([n_rows, n_kv_heads, 1, head_dim], false);
    let _ = cache.shallow_clone().scatter_(2, &index, &heads.unsqueeze(2));
}
