//! Attention on the CPU in float32: kernels of our own, for decoding over a cache and for training on a packed stream.
//!
//! libtorch's kernels make a matrix product of a few rows for every head of every sequence. These read each sequence's
//! own keys and no others, and do the same arithmetic in the same order in sampling and in training ([`core`]): a token
//! has the same bits in both, in any company.
//!
//! The `unsafe` here is the instructions that were found on this machine, and the shared outputs of [`packed`].

mod core;
pub(crate) mod packed;
mod rows;
mod vector;

use self::core::{QUERIES, mix, products, softmax_numerators};
use self::vector::{Portable, Vector};

/// Positions that lie side by side in a block of keys: one AVX-512 register of float32.
pub(crate) const BLOCK: usize = 16;

/// Keys and values of one key/value head of one row.
///
/// Keys lie in blocks, `[capacity / BLOCK][head_dim][BLOCK]`, so that the scores of sixteen positions are summed without
/// a horizontal step; values lie `[capacity][head_dim]`.
pub(crate) struct HeadCache<'a> {
    pub(crate) keys: &'a [f32],
    pub(crate) values: &'a [f32],
    /// Positions held.
    pub(crate) len: usize,
}

/// Writes one position's key into its block.
pub(crate) fn write_key(keys: &mut [f32], key: &[f32], position: usize) {
    let block = &mut keys[position / BLOCK * BLOCK * key.len()..];
    for (dim, &value) in key.iter().enumerate() {
        block[dim * BLOCK + position % BLOCK] = value;
    }
}

/// Compiles an always-inlined function, generic over the vector, for each set of instructions, and calls the best that
/// this machine has.
macro_rules! for_this_processor {
    ($(#[$doc:meta])* $vis:vis fn $name:ident = $generic:ident($($arg:ident: $kind:ty),* $(,)?)) => {
        $(#[$doc])*
        $vis fn $name($($arg: $kind),*) {
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::cpu_attention::vector::{Avx2, Avx512};
                #[target_feature(enable = "avx512f")]
                fn avx512($($arg: $kind),*) {
                    $generic::<Avx512>($($arg),*);
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $kind),*) {
                    $generic::<Avx2>($($arg),*);
                }
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the processor has the instructions.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has the instructions.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $generic::<Portable>($($arg),*);
        }
    };
}
use for_this_processor;

for_this_processor! {
    /// softmax(q K^T / sqrt(d)) V for the query heads that share one key/value head.
    ///
    /// - `queries`, `outputs`: `[n_queries, head_dim]`
    /// - `scores`: working memory
    pub(crate) fn attend = attend_by(
        queries: &[f32], head_dim: usize, cache: &HeadCache<'_>, scores: &mut Vec<f32>, outputs: &mut [f32],
    )
}

#[inline(always)]
fn attend_by<V: Vector>(
    queries: &[f32],
    head_dim: usize,
    cache: &HeadCache,
    scores: &mut Vec<f32>,
    outputs: &mut [f32],
) {
    scores.resize(QUERIES * cache.len.next_multiple_of(BLOCK), 0.0);
    let chunk = QUERIES * head_dim;
    for (queries, outputs) in queries.chunks(chunk).zip(outputs.chunks_mut(chunk)) {
        match queries.len() / head_dim {
            1 => attend_together::<V, 1>(queries, head_dim, cache, scores, outputs),
            2 => attend_together::<V, 2>(queries, head_dim, cache, scores, outputs),
            3 => attend_together::<V, 3>(queries, head_dim, cache, scores, outputs),
            _ => attend_together::<V, QUERIES>(queries, head_dim, cache, scores, outputs),
        }
    }
}

#[inline(always)]
fn attend_together<V: Vector, const N: usize>(
    queries: &[f32],
    head_dim: usize,
    cache: &HeadCache,
    scores: &mut [f32],
    outputs: &mut [f32],
) {
    let stride = cache.len.next_multiple_of(BLOCK);
    let queries = std::array::from_fn(|n| &queries[n * head_dim..(n + 1) * head_dim]);
    products::<V, N>(queries, cache.keys, stride / BLOCK, (head_dim as f32).sqrt().recip(), scores, stride);
    let mut normalisers = [0.0; N];
    for (normaliser, scores) in normalisers.iter_mut().zip(scores.chunks_exact_mut(stride)) {
        *normaliser = softmax_numerators::<V>(scores, cache.len).1.recip();
    }
    mix::<V, N>(scores, stride, cache.values, head_dim, cache.len, normalisers, outputs);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without pattern in about [-1, 1].
    fn number(i: usize) -> f32 {
        ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0
    }

    #[test]
    fn equal_to_float64_at_every_length() {
        for (head_dim, n_queries) in [(32, 2), (16, 1), (12, 7), (128, 4), (80, 3)] {
            for len in [1, 2, 15, 16, 17, 63, 200] {
                let queries: Vec<f32> = (0..n_queries * head_dim).map(|i| 1.5 * number(i)).collect();
                let key = |t: usize| (0..head_dim).map(move |d| 1.5 * number(7919 * t + d + 5));
                let values: Vec<f32> = (0..208 * head_dim).map(|i| number(i + 31)).collect();
                let mut keys = vec![f32::NAN; 208 * head_dim];
                (0..len).for_each(|t| write_key(&mut keys, &key(t).collect::<Vec<_>>(), t));
                let mut outputs = vec![0.0; queries.len()];
                let cache = HeadCache { keys: &keys, values: &values, len };
                attend(&queries, head_dim, &cache, &mut Vec::new(), &mut outputs);
                for (query, output) in queries.chunks(head_dim).zip(outputs.chunks(head_dim)) {
                    let expected = reference(query, len, &key, &values);
                    for (got, expected) in output.iter().zip(expected) {
                        assert!((f64::from(*got) - expected).abs() < 3e-6, "{head_dim} {len}: {got}, {expected}");
                    }
                }
            }
        }
    }

    /// What the promise rests on that a machine's kind of processor changes nothing but the time.
    #[test]
    fn every_kind_of_vector_gives_the_same_bits() {
        let (head_dim, len) = (40, 77);
        let queries: Vec<f32> = (0..3 * head_dim).map(number).collect();
        let mut keys = vec![0.0; 80 * head_dim];
        let values: Vec<f32> = (0..80 * head_dim).map(|i| number(i + 31)).collect();
        (0..len).for_each(|t| write_key(&mut keys, &values[t * head_dim..][..head_dim], t));
        let cache = HeadCache { keys: &keys, values: &values, len };
        let (mut best, mut portable) = (vec![0.0; 3 * head_dim], vec![0.0; 3 * head_dim]);
        attend(&queries, head_dim, &cache, &mut Vec::new(), &mut best);
        attend_by::<Portable>(&queries, head_dim, &cache, &mut Vec::new(), &mut portable);
        assert_eq!(best, portable);
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            #[target_feature(enable = "avx2,fma")]
            fn avx2(queries: &[f32], head_dim: usize, cache: &HeadCache, outputs: &mut [f32]) {
                attend_by::<vector::Avx2>(queries, head_dim, cache, &mut Vec::new(), outputs);
            }
            let mut outputs = vec![0.0; 3 * head_dim];
            // SAFETY: the processor has the instructions.
            unsafe { avx2(&queries, head_dim, &cache, &mut outputs) };
            assert_eq!(outputs, portable);
        }
    }

    /// The loss finds what is no number and stops the run; attention must not hide it.
    #[test]
    fn what_is_no_number_stays_so() {
        for bad in [f32::NAN, f32::INFINITY] {
            let (head_dim, len) = (32, 20);
            let mut queries: Vec<f32> = (0..head_dim).map(|i| number(i) + 1.5).collect();
            queries[3] = bad;
            let mut keys = vec![0.0; 32 * head_dim];
            (0..len).for_each(|t| write_key(&mut keys, &vec![1.0; head_dim], t));
            let cache = HeadCache { keys: &keys, values: &vec![1.0; 32 * head_dim], len };
            let (mut best, mut portable) = (vec![0.0; head_dim], vec![0.0; head_dim]);
            attend(&queries, head_dim, &cache, &mut Vec::new(), &mut best);
            attend_by::<Portable>(&queries, head_dim, &cache, &mut Vec::new(), &mut portable);
            assert!(best.iter().chain(&portable).all(|value| value.is_nan()), "{bad}: {best:?}");
        }
    }

    fn reference<K: Iterator<Item = f32>>(
        query: &[f32],
        len: usize,
        key: &dyn Fn(usize) -> K,
        values: &[f32],
    ) -> Vec<f64> {
        let dot = |t: usize| query.iter().zip(key(t)).map(|(&a, b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let weights: Vec<f64> = (0..len).map(|t| (dot(t) / (query.len() as f64).sqrt()).exp()).collect();
        let total: f64 = weights.iter().sum();
        let value = |t: usize, d: usize| f64::from(values[t * query.len() + d]);
        (0..query.len()).map(|d| (0..len).map(|t| weights[t] * value(t, d)).sum::<f64>() / total).collect()
    }
}
