//! Keys and values of the sequences being sampled: one row each, rows of different lengths side by side.

use crate::ModelConfig;
use crate::attention::{self, Heads};
use crate::cpu_attention::{self, BLOCK, HeadCache};
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
    /// Per layer: key and value, `[rows, n_kv_heads, capacity, head_dim]`. On the CPU in float32 the keys of a head lie in
    /// the blocks of [`HeadCache`] instead, the same number of values.
    layers: Vec<(Tensor, Tensor)>,
    /// Tokens held by each row.
    lengths: Vec<i64>,
    capacity: i64,
    /// Whether attention is ours and the keys lie in blocks.
    blocked: bool,
}

impl KvCache {
    pub(crate) fn new(config: &ModelConfig, n_rows: i64, kind: Kind, device: Device) -> Self {
        let empty = || Tensor::zeros([n_rows, config.n_kv_heads, GROWTH, config.head_dim], (kind, device));
        let layers = (0..config.n_layers).map(|_| (empty(), empty())).collect();
        let blocked = attention::is_ours(config.head_dim, kind, device);
        Self { layers, lengths: vec![0; n_rows as usize], capacity: GROWTH, blocked }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.lengths.len()
    }

    /// Tokens held by each row.
    pub(crate) fn lengths(&self) -> &[i64] {
        &self.lengths
    }

    /// Starts a new sequence in `row` with an encoded prompt; what the row held is forgotten.
    pub fn admit(&mut self, row: usize, prompt: &PromptKv) {
        self.reserve(prompt.n_tokens);
        for ((key, value), (prompt_key, prompt_value)) in self.layers.iter().zip(&prompt.layers) {
            let of_row = |tensor: &Tensor| tensor.get(row as i64).narrow(1, 0, prompt.n_tokens);
            of_row(value).copy_(prompt_value);
            if self.blocked {
                // [n_kv_heads, tokens, head_dim] -> [n_kv_heads, tokens / BLOCK, head_dim, BLOCK]
                let n_blocks = (prompt.n_tokens as u64).div_ceil(BLOCK as u64) as i64;
                let missing = n_blocks * BLOCK as i64 - prompt.n_tokens;
                let padded = prompt_key.constant_pad_nd([0, 0, 0, missing]);
                let (n_heads, _, head_dim) = padded.size3().expect("heads, tokens, values");
                let blocks = padded.reshape([n_heads, n_blocks, BLOCK as i64, head_dim]).transpose(2, 3);
                let mut stored = key.get(row as i64).narrow(1, 0, n_blocks * BLOCK as i64);
                stored.copy_(&blocks.reshape([n_heads, n_blocks * BLOCK as i64, head_dim]));
            } else {
                of_row(key).copy_(prompt_key);
            }
        }
        self.lengths[row] = prompt.n_tokens;
    }

    /// Moves the sequence in row `from` to row `to`, so that the rows in use stay the first ones.
    pub fn move_row(&mut self, from: usize, to: usize) {
        // Whole blocks, because the keys of the last one lie spread over all of it.
        let n_positions = (self.lengths[from] as u64).next_multiple_of(BLOCK as u64) as i64;
        for tensor in self.layers.iter().flat_map(|(key, value)| [key, value]) {
            let source = tensor.get(from as i64).narrow(1, 0, n_positions);
            tensor.get(to as i64).narrow(1, 0, n_positions).copy_(&source);
        }
        self.lengths[to] = self.lengths[from];
    }

    /// Begins a decoding step of `n_rows` rows, of which the first `n_used` hold sequences; makes room for a position each.
    pub(crate) fn begin_step(&mut self, n_used: usize, n_rows: usize) {
        self.lengths[n_used..n_rows].fill(0);
        self.reserve(self.lengths[..n_rows].iter().max().expect("a step has rows") + 1);
    }

    /// Ends it: the sequences are one token longer.
    pub(crate) fn end_step(&mut self, n_used: usize) {
        self.lengths[..n_used].iter_mut().for_each(|length| *length += 1);
    }

    /// Appends the new tokens' keys and values to the first rows and attends over them.
    ///
    /// - `heads`: `[rows, heads, head_dim]`; `mask`: from [`Self::mask`]; result: `[rows, hidden]`
    pub(crate) fn attend(&mut self, layer_idx: usize, heads: &Heads, mask: Option<&Tensor>) -> Tensor {
        let Some(mask) = mask else { return self.attend_blocked(layer_idx, heads) };
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
    /// None where attention reads each row at its own length.
    pub(crate) fn mask(&self, positions: &Tensor, kind: Kind) -> Option<Tensor> {
        if self.blocked {
            return None;
        }
        let keys = Tensor::arange(positions.max().int64_value(&[]) + 1, (Kind::Int64, positions.device()));
        let hidden = keys.unsqueeze(0).gt_tensor(&positions.unsqueeze(1));
        let mask = Tensor::zeros(hidden.size(), (kind, positions.device())).masked_fill_(&hidden, f64::NEG_INFINITY);
        Some(mask.unsqueeze(1).unsqueeze(1))
    }

    fn attend_blocked(&mut self, layer_idx: usize, heads: &Heads) -> Tensor {
        let (n_rows, n_heads, head_dim) = heads.query.size3().expect("query heads have three axes");
        let n_kv_heads = heads.key.size()[1] as usize;
        let (n_shared, head_dim) = (n_heads as usize / n_kv_heads, head_dim as usize);
        let [query, new_key, new_value] = [&heads.query, &heads.key, &heads.value].map(Tensor::contiguous);
        let (query, new_key, new_value) = (floats(&query), floats(&new_key), floats(&new_value));
        let (key, value) = &mut self.layers[layer_idx];
        let (keys, values) = (floats_mut(key), floats_mut(value));
        let per_head = self.capacity as usize * head_dim;
        let mut output = Tensor::zeros([n_rows, n_heads * head_dim as i64], (Kind::Float, Device::Cpu));
        let outputs = floats_mut(&mut output);
        let mut scores = Vec::new();
        for (row, &length) in self.lengths[..n_rows as usize].iter().enumerate() {
            for head in row * n_kv_heads..(row + 1) * n_kv_heads {
                let (keys, values) =
                    (&mut keys[head * per_head..][..per_head], &mut values[head * per_head..][..per_head]);
                let new = head * head_dim..(head + 1) * head_dim;
                let position = length as usize;
                cpu_attention::write_key(keys, &new_key[new.clone()], position);
                values[position * head_dim..][..head_dim].copy_from_slice(&new_value[new]);
                let shared = head * n_shared * head_dim..(head + 1) * n_shared * head_dim;
                let cache = HeadCache { keys, values, len: position + 1 };
                cpu_attention::attend(&query[shared.clone()], head_dim, &cache, &mut scores, &mut outputs[shared]);
            }
        }
        output
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

/// The values of a contiguous float32 tensor on the CPU.
fn floats(tensor: &Tensor) -> &[f32] {
    assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu);
    // SAFETY: the tensor is contiguous float32 in this process's memory and outlives the slice; nothing writes to it
    // meanwhile, because whatever could is in the same thread.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) }
}

/// As [`floats`], to be written to.
fn floats_mut(tensor: &mut Tensor) -> &mut [f32] {
    assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu);
    // SAFETY: as in `floats`; and the tensor is borrowed mutably and shares its memory with no other that is in use.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
}
