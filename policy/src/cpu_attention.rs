//! Attention of one new token per row over its cache, on the CPU in float32.
//!
//! libtorch's kernel makes a matrix product of a few rows for every head, over as many keys as the longest row has. This
//! one reads each row's own keys and no others, so a row's result is the same bits in any company.
//!
//! The only `unsafe` here is the choice of an instruction set that was found on this machine.

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

/// softmax(q K^T / sqrt(d)) V for the query heads that share one key/value head.
///
/// - `queries`, `outputs`: `[n_queries, head_dim]`
/// - `scores`: working memory
pub(crate) fn attend(queries: &[f32], head_dim: usize, cache: &HeadCache, scores: &mut Vec<f32>, outputs: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the instructions.
            return unsafe { attend_avx512(queries, head_dim, cache, scores, outputs) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the instructions.
            return unsafe { attend_avx2(queries, head_dim, cache, scores, outputs) };
        }
    }
    attend_portable(queries, head_dim, cache, scores, outputs);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn attend_avx512(queries: &[f32], head_dim: usize, cache: &HeadCache, scores: &mut Vec<f32>, outputs: &mut [f32]) {
    attend_portable(queries, head_dim, cache, scores, outputs);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn attend_avx2(queries: &[f32], head_dim: usize, cache: &HeadCache, scores: &mut Vec<f32>, outputs: &mut [f32]) {
    attend_portable(queries, head_dim, cache, scores, outputs);
}

/// The kernel, written so that the compiler vectorises it for whatever it is inlined into.
#[inline(always)]
fn attend_portable(queries: &[f32], head_dim: usize, cache: &HeadCache, scores: &mut Vec<f32>, outputs: &mut [f32]) {
    let scale = (head_dim as f32).sqrt().recip();
    let n_blocks = cache.len.div_ceil(BLOCK);
    scores.resize(n_blocks * BLOCK, 0.0);
    for (query, output) in queries.chunks_exact(head_dim).zip(outputs.chunks_exact_mut(head_dim)) {
        for (keys, scores) in cache.keys.chunks_exact(head_dim * BLOCK).zip(scores.chunks_exact_mut(BLOCK)) {
            let mut sums = [0.0_f32; BLOCK];
            for (key, &query) in keys.chunks_exact(BLOCK).zip(query) {
                for (sum, &key) in sums.iter_mut().zip(key) {
                    *sum = key.mul_add(query, *sum);
                }
            }
            for (score, sum) in scores.iter_mut().zip(sums) {
                *score = sum * scale;
            }
        }
        let total = softmax_numerators(&mut scores[..], cache.len);
        output.fill(0.0);
        for (value, &weight) in cache.values.chunks_exact(head_dim).zip(&scores[..cache.len]) {
            for (output, &value) in output.iter_mut().zip(value) {
                *output = value.mul_add(weight, *output);
            }
        }
        let normaliser = total.recip();
        output.iter_mut().for_each(|output| *output *= normaliser);
    }
}

/// exp(score - max) in place for the first `len`; gives back their sum.
#[inline(always)]
fn softmax_numerators(scores: &mut [f32], len: usize) -> f32 {
    let max = scores[..len].iter().fold(f32::NEG_INFINITY, |max, &score| if score > max { score } else { max });
    scores[len..].fill(f32::NEG_INFINITY);
    let mut sums = [0.0_f32; BLOCK];
    for scores in scores.chunks_exact_mut(BLOCK) {
        for (score, sum) in scores.iter_mut().zip(&mut sums) {
            *score = exp(*score - max);
            *sum += *score;
        }
    }
    sums.iter().sum()
}

/// e^x for x <= 0, to two units in the last place, without a branch (Cephes' expf: reduction by ln 2 in two parts, then
/// a polynomial of degree five).
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Below this the result is no normal number any more; it is next to nothing beside the largest, which is 1.
    let x = if x > -87.0 { x } else { -87.0 };
    // Adding 1.5 * 2^23 rounds to an integer, which then lies in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let mut p = 1.987_569_2e-4_f32;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p.mul_add(r, coefficient);
    }
    let p = p.mul_add(r * r, r) + 1.0;
    // 2^n, by writing n into the exponent.
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    p * f32::from_bits(exponent)
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
        for (head_dim, n_queries) in [(32, 2), (16, 1), (12, 7), (128, 4)] {
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

    #[test]
    fn exp_is_exact_to_two_units() {
        for i in 0..200_000 {
            let x = -86.9 * i as f32 / 200_000.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) / expected - 1.0).abs() < 2.5e-7, "{x}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        assert_eq!(exp(0.0), 1.0);
    }
}
