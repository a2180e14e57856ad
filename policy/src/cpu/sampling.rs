//! Encoding a prompt and decoding step by step.

use rayon::prelude::*;

use super::attention::packed::HeadShape;
use super::cache::Cache;
use super::layer::{ROWS, Scratch, Shape, sized};
use super::rows;
use super::weights::PackedWeights;

/// Products of a key's and a query's number from which on the rows of a layer's attention are worth being shared out.
const SHARED: usize = 1 << 20;

/// The network in the calling thread; matrix products of large weights may call on the others.
pub(crate) struct Reader<'a> {
    shape: &'a Shape,
    weights: &'a PackedWeights,
    scratch: Scratch,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(shape: &'a Shape, weights: &'a PackedWeights, on_all_threads: bool) -> Self {
        let mut scratch = Scratch::default();
        scratch.products.on_all_threads = on_all_threads;
        Self { shape, weights, scratch }
    }

    /// Encodes a prompt: its cache of one row, and the logits of what comes next.
    ///
    /// - `logits`: `[width(vocab)]`, written; behind the vocabulary 0
    pub(crate) fn prefill(&mut self, prompt: &[i64], logits: &mut [f32]) -> Cache {
        let mut cache = self.shape.cache(self.weights.layers.len(), 1, prompt.len());
        let positions: Vec<i64> = (0..prompt.len() as i64).collect();
        cache.reserve(prompt.len());
        let mut last = Vec::new();
        for (tokens, positions) in prompt.chunks(ROWS).zip(positions.chunks(ROWS)) {
            let rows: Vec<(usize, usize)> = positions.iter().map(|&position| (0, position as usize)).collect();
            let x = self.through_layers(tokens, positions, &rows, &mut cache);
            last = x[x.len() - self.shape.hidden_width..].to_vec();
        }
        cache.advance(1, prompt.len());
        self.head(&last, logits);
        cache
    }

    /// One decoding step: appends `tokens[row]` to the sequence in each of the first rows.
    ///
    /// - `logits`: `[tokens.len()][width(vocab)]`, written
    pub(crate) fn decode(&mut self, tokens: &[i64], cache: &mut Cache, logits: &mut [f32]) {
        let n_rows = tokens.len();
        if n_rows == 0 {
            return;
        }
        cache.reserve(cache.lengths()[..n_rows].iter().max().map_or(0, |longest| longest + 1));
        let rows: Vec<(usize, usize)> = cache.lengths()[..n_rows].iter().copied().enumerate().collect();
        let positions: Vec<i64> = rows.iter().map(|&(_, position)| position as i64).collect();
        let per_row = logits.len() / n_rows;
        let blocks = tokens.chunks(ROWS).zip(positions.chunks(ROWS)).zip(rows.chunks(ROWS));
        for (((tokens, positions), rows), logits) in blocks.zip(logits.chunks_mut(ROWS * per_row)) {
            let x = self.through_layers(tokens, positions, rows, cache);
            self.head(&x, logits);
        }
        cache.advance(n_rows, 1);
    }

    /// A block of rows from token ids to the stream behind the last layer.
    ///
    /// - `rows`: for each token, the row of the cache that it belongs to and its position there
    fn through_layers(
        &mut self,
        tokens: &[i64],
        positions: &[i64],
        rows: &[(usize, usize)],
        cache: &mut Cache,
    ) -> Vec<f32> {
        let Self { shape, weights, scratch } = self;
        let mut x = vec![0.0; tokens.len() * shape.hidden_width];
        let mut heads = vec![0.0; tokens.len() * shape.heads.stride];
        let mut attended = vec![0.0; tokens.len() * shape.heads.out_stride];
        let mut scores = Vec::new();
        shape.embed(weights.embed.values(), tokens, &mut x);
        let n_keys: usize = rows.iter().map(|(_, position)| position + 1).sum();
        let shares_attention =
            scratch.products.on_all_threads && n_keys * shape.heads.n_heads * shape.heads.head_dim >= SHARED;
        for (index, layer) in weights.layers.iter().enumerate() {
            layer.project(shape, &x, &mut heads, scratch);
            layer.turn(shape, &mut heads, positions);
            let HeadShape { stride, out_stride, .. } = shape.heads;
            heads.chunks_exact(stride).zip(rows).for_each(|(heads, &row)| cache.append(index, row, heads));
            if shares_attention {
                let outputs = attended.par_chunks_exact_mut(out_stride);
                outputs.zip(heads.par_chunks_exact(stride)).zip(rows).for_each_init(
                    Vec::new,
                    |scores, ((output, heads), &row)| {
                        cache.attend(index, row, heads, scores, output);
                    },
                );
            } else {
                let outputs = attended.chunks_exact_mut(out_stride);
                for ((output, heads), &row) in outputs.zip(heads.chunks_exact(stride)).zip(rows) {
                    cache.attend(index, row, heads, &mut scores, output);
                }
            }
            layer.behind_attention(shape, &attended, &mut x, None, scratch);
        }
        x
    }

    /// Logits of some rows: `x` `[rows][hidden_width]`, `logits` `[rows][width(vocab)]`.
    fn head(&mut self, x: &[f32], logits: &mut [f32]) {
        let Self { shape, weights, scratch } = self;
        let normed = sized(&mut scratch.rows, x.len());
        rows::norm(&shape.norm(&weights.norm), x, normed);
        let per_row = logits.len() / (x.len() / shape.hidden_width);
        scratch.products.multiply(normed, &weights.head.forward, logits, per_row);
    }
}
