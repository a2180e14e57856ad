//! Keys and values of the sequences being sampled, each row at its own length.

use std::marker::PhantomData;

use super::attention::packed::HeadShape;
use super::attention::stored::{Pairs, Singles, Stored};
use super::attention::{Attend, BLOCK, HeadCache};
use super::vector::LANES;
use crate::Dtype;

/// Fewest positions that are added at a time.
const GROWTH: usize = 64;

/// Keys and values of one layer: `[rows][n_kv_heads]` heads as [`Stored`] says.
#[derive(Debug)]
struct Layer {
    keys: Vec<u32>,
    values: Vec<u32>,
}

/// The cache of a batch of rows.
#[derive(Debug)]
pub(crate) struct Cache {
    layers: Vec<Layer>,
    lengths: Vec<usize>,
    /// Positions that a row has room for; whole blocks.
    capacity: usize,
    /// Positions that a row is expected to need.
    planned: usize,
    shape: HeadShape,
    /// Whether numbers are pairs of bfloat16 ([`Pairs`]).
    in_pairs: bool,
}

impl Cache {
    /// Room for `planned` positions a row; they are taken as they are needed, and more are no error.
    pub(crate) fn new(n_layers: usize, n_rows: usize, planned: usize, shape: HeadShape, dtype: Dtype) -> Self {
        let in_pairs = dtype == Dtype::BFloat16 && shape.head_dim.is_multiple_of(2 * LANES);
        let planned = planned.max(1).next_multiple_of(BLOCK);
        let mut cache = Self {
            layers: Vec::new(),
            lengths: vec![0; n_rows],
            capacity: planned.min(GROWTH),
            planned,
            shape,
            in_pairs,
        };
        let n = n_rows * shape.n_kv_heads * cache.per_head();
        cache.layers = (0..n_layers).map(|_| Layer { keys: vec![0; n], values: vec![0; n] }).collect();
        cache
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.lengths.len()
    }

    pub(crate) fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Units of one head of one row.
    fn per_head(&self) -> usize {
        self.units(self.capacity)
    }

    /// Units of so many positions of a head, a multiple of a block.
    fn units(&self, n_positions: usize) -> usize {
        n_positions * self.shape.head_dim / if self.in_pairs { Pairs::DEPTH } else { Singles::DEPTH }
    }

    /// Starts a sequence in `row` with the one row of `prompt`.
    pub(crate) fn admit(&mut self, row: usize, prompt: &Cache) {
        self.reserve(prompt.lengths[0]);
        let (from, into) = (prompt.per_head(), self.per_head());
        // Whole blocks, because the keys of the last one lie spread over all of it.
        let n = self.units(prompt.lengths[0].next_multiple_of(BLOCK));
        let first = row * self.shape.n_kv_heads;
        for (layer, source) in self.layers.iter_mut().zip(&prompt.layers) {
            for head in 0..self.shape.n_kv_heads {
                let (to, from) = ((first + head) * into, head * from);
                layer.keys[to..to + n].copy_from_slice(&source.keys[from..from + n]);
                layer.values[to..to + n].copy_from_slice(&source.values[from..from + n]);
            }
        }
        self.lengths[row] = prompt.lengths[0];
    }

    /// Moves the sequence in row `from` to row `to`.
    pub(crate) fn move_row(&mut self, from: usize, to: usize) {
        let per_head = self.per_head();
        let n = self.units(self.lengths[from].next_multiple_of(BLOCK));
        for layer in &mut self.layers {
            for memory in [&mut layer.keys, &mut layer.values] {
                for head in 0..self.shape.n_kv_heads {
                    let [from, to] = [from, to].map(|row| (row * self.shape.n_kv_heads + head) * per_head);
                    memory.copy_within(from..from + n, to);
                }
            }
        }
        self.lengths[to] = self.lengths[from];
    }

    /// Takes the sequence in `row` back to its first `n_tokens`; what lies behind is written over when it is needed.
    pub(crate) fn truncate(&mut self, row: usize, n_tokens: usize) {
        assert!(n_tokens <= self.lengths[row], "row {row} holds {} tokens, not {n_tokens}", self.lengths[row]);
        self.lengths[row] = n_tokens;
    }

    /// Makes room for sequences of `n_tokens`.
    pub(crate) fn reserve(&mut self, n_tokens: usize) {
        if n_tokens <= self.capacity {
            return;
        }
        // By half, because what is held is copied; but not beyond the plan.
        let grown = self.capacity + GROWTH.max(self.capacity / 2);
        let grown = if n_tokens <= self.planned { grown.min(self.planned) } else { grown };
        let from = self.per_head();
        self.capacity = grown.max(n_tokens).next_multiple_of(BLOCK);
        let into = self.per_head();
        for memory in self.layers.iter_mut().flat_map(|layer| [&mut layer.keys, &mut layer.values]) {
            let mut grown = vec![0; memory.len() / from * into];
            for (from, into) in memory.chunks_exact(from).zip(grown.chunks_exact_mut(into)) {
                into[..from.len()].copy_from_slice(from);
            }
            *memory = grown;
        }
    }

    /// Notes that each of the first `n_rows` sequences is `n_tokens` longer: what was appended to every layer.
    pub(crate) fn advance(&mut self, n_rows: usize, n_tokens: usize) {
        self.lengths[..n_rows].iter_mut().for_each(|length| *length += n_tokens);
    }

    /// Puts a token's key and value at `position` of a row.
    ///
    /// - `heads`: the token's `[heads.stride]`
    pub(super) fn append(&mut self, layer: usize, (row, position): (usize, usize), heads: &[f32]) {
        let HeadShape { n_heads, n_kv_heads, head_dim, .. } = self.shape;
        let (per_head, in_pairs) = (self.per_head(), self.in_pairs);
        let layer = &mut self.layers[layer];
        for head in 0..n_kv_heads {
            let at = (row * n_kv_heads + head) * per_head..(row * n_kv_heads + head + 1) * per_head;
            let (keys, values) = (&mut layer.keys[at.clone()], &mut layer.values[at]);
            let new = |of: usize| &heads[(of + head) * head_dim..][..head_dim];
            let write = if in_pairs { Pairs::write } else { Singles::write };
            write(keys, values, position, new(n_heads), new(n_heads + n_kv_heads));
        }
    }

    /// Attention of the token at `position` of a row over all up to it.
    ///
    /// - `heads`: the token's `[heads.stride]`; `output`: `[heads.out_stride]`; `scores`: working memory
    pub(super) fn attend(
        &self,
        layer: usize,
        row: (usize, usize),
        heads: &[f32],
        scores: &mut Vec<f32>,
        output: &mut [f32],
    ) {
        if self.in_pairs {
            self.attend_as::<Pairs>(layer, row, heads, scores, output);
        } else {
            self.attend_as::<Singles>(layer, row, heads, scores, output);
        }
    }

    fn attend_as<S: Attend>(
        &self,
        layer: usize,
        (row, position): (usize, usize),
        heads: &[f32],
        scores: &mut Vec<f32>,
        output: &mut [f32],
    ) {
        let HeadShape { n_heads, n_kv_heads, head_dim, .. } = self.shape;
        let (n_shared, per_head) = (n_heads / n_kv_heads * head_dim, self.per_head());
        let layer = &self.layers[layer];
        for head in 0..n_kv_heads {
            let at = (row * n_kv_heads + head) * per_head..(row * n_kv_heads + head + 1) * per_head;
            let (keys, values) = (&layer.keys[at.clone()], &layer.values[at]);
            let shared = head * n_shared..(head + 1) * n_shared;
            let cache = HeadCache { keys, values, len: position + 1, stored: PhantomData };
            S::attend(&heads[shared.clone()], head_dim, &cache, scores, &mut output[shared]);
        }
    }
}
