//! Attention, computed in float32, for decoding over a cache and for training on a packed stream.
//!
//! libtorch's kernels make a matrix product of a few rows for every head of every sequence. These read each sequence's
//! own keys and no others, and do the same arithmetic in the same order in sampling and in training ([`core`]): a token
//! has the same bits in both, in any company.
//!
//! The `unsafe` here is unchecked places in the inner loops, whose lengths are checked before, and the shared outputs of
//! [`packed`].

mod core;
pub(crate) mod packed;
pub(super) mod stored;

use std::marker::PhantomData;

use self::core::{QUERIES, mix, products, softmax_numerators};
use self::stored::{Pairs, Singles, Stored};
use super::for_this_processor;
use super::vector::Vector;

/// Positions that lie side by side in a block of keys: one AVX-512 register of float32.
pub(crate) const BLOCK: usize = 16;

/// Keys and values of one key/value head of one row, as `S` says.
///
/// Keys lie in blocks, so that the scores of sixteen positions are summed without a horizontal step.
pub(super) struct HeadCache<'a, S> {
    pub(crate) keys: &'a [u32],
    pub(crate) values: &'a [u32],
    /// Positions held.
    pub(crate) len: usize,
    pub(super) stored: PhantomData<S>,
}

/// Writes one position's key into its block.
#[inline]
pub(super) fn write_key<T>(keys: &mut [T], key: impl ExactSizeIterator<Item = T>, position: usize) {
    let size = BLOCK * key.len();
    let block = &mut keys[position / BLOCK * size..][..size];
    for (places, value) in block.chunks_exact_mut(BLOCK).zip(key) {
        places[position % BLOCK] = value;
    }
}

/// What computes attention over a cache of one kind.
pub(super) trait Attend: Stored {
    /// softmax(q K^T / sqrt(d)) V for the query heads that share one key/value head.
    ///
    /// - `queries`, `outputs`: `[n_queries, head_dim]`
    /// - `scores`: working memory
    fn attend(
        queries: &[f32],
        head_dim: usize,
        cache: &HeadCache<'_, Self>,
        scores: &mut Vec<f32>,
        outputs: &mut [f32],
    );
}

macro_rules! attend_over {
    ($stored:ty, $name:ident, $by:ident) => {
        #[inline(always)]
        fn $by<V: Vector>(
            queries: &[f32],
            head_dim: usize,
            cache: &HeadCache<'_, $stored>,
            scores: &mut Vec<f32>,
            outputs: &mut [f32],
        ) {
            attend_by::<V, $stored>(queries, head_dim, cache, scores, outputs);
        }
        for_this_processor! {
            fn $name = $by(
                queries: &[f32], head_dim: usize, cache: &HeadCache<'_, $stored>, scores: &mut Vec<f32>, outputs: &mut [f32],
            )
        }
        impl Attend for $stored {
            fn attend(
                queries: &[f32],
                head_dim: usize,
                cache: &HeadCache<'_, Self>,
                scores: &mut Vec<f32>,
                outputs: &mut [f32],
            ) {
                $name(queries, head_dim, cache, scores, outputs);
            }
        }
    };
}
attend_over!(Singles, attend_singles, attend_singles_by);
attend_over!(Pairs, attend_pairs, attend_pairs_by);

#[inline(always)]
fn attend_by<V: Vector, S: Stored>(
    queries: &[f32],
    head_dim: usize,
    cache: &HeadCache<S>,
    scores: &mut Vec<f32>,
    outputs: &mut [f32],
) {
    scores.resize(QUERIES * cache.len.next_multiple_of(BLOCK), 0.0);
    let chunk = QUERIES * head_dim;
    for (queries, outputs) in queries.chunks(chunk).zip(outputs.chunks_mut(chunk)) {
        match queries.len() / head_dim {
            1 => attend_together::<V, S, 1>(queries, head_dim, cache, scores, outputs),
            2 => attend_together::<V, S, 2>(queries, head_dim, cache, scores, outputs),
            3 => attend_together::<V, S, 3>(queries, head_dim, cache, scores, outputs),
            _ => attend_together::<V, S, QUERIES>(queries, head_dim, cache, scores, outputs),
        }
    }
}

#[inline(always)]
fn attend_together<V: Vector, S: Stored, const N: usize>(
    queries: &[f32],
    head_dim: usize,
    cache: &HeadCache<S>,
    scores: &mut [f32],
    outputs: &mut [f32],
) {
    let stride = cache.len.next_multiple_of(BLOCK);
    let queries = std::array::from_fn(|n| &queries[n * head_dim..(n + 1) * head_dim]);
    products::<V, S, N>(queries, cache.keys, stride / BLOCK, (head_dim as f32).sqrt().recip(), scores, stride);
    let mut normalisers = [0.0; N];
    for (normaliser, scores) in normalisers.iter_mut().zip(scores.chunks_exact_mut(stride)) {
        *normaliser = softmax_numerators::<V>(scores, cache.len).1.recip();
    }
    mix::<V, S, N>(scores, stride, cache.values, head_dim, cache.len, normalisers, outputs);
}

#[cfg(test)]
mod tests;
