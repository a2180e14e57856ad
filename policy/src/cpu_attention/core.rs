//! The arithmetic that every kernel shares: scores, softmax, weighted sums, for up to four queries at a time.
//!
//! Each number is computed in one order of operations, whatever the number of queries and whatever stands beside them. So
//! a token has the same bits when it is sampled (one query a row) and when it is trained on (many).
//!
//! Written so that the compiler vectorises it for whatever it is inlined into.

use super::BLOCK;

/// Queries that are taken together: enough independent sums to hide the latency of a multiplication.
pub(super) const QUERIES: usize = 4;

/// Sixteen values side by side: a register of AVX-512, two of AVX2.
type Lanes = [f32; BLOCK];

#[inline(always)]
fn lanes(values: &[f32]) -> &Lanes {
    values.try_into().expect("sixteen values")
}

#[inline(always)]
fn add_product(sums: &mut Lanes, values: &Lanes, factor: f32) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum = value.mul_add(factor, *sum);
    }
}

/// `scale * rows keys^T`, for the first `n_blocks` blocks of keys.
///
/// - `rows`: N vectors of `head_dim`; `keys`: `[blocks][head_dim][BLOCK]`; `out`: N rows of `stride`
#[inline(always)]
pub(super) fn products<const N: usize>(
    rows: [&[f32]; N],
    keys: &[f32],
    n_blocks: usize,
    scale: f32,
    out: &mut [f32],
    stride: usize,
) {
    let head_dim = rows[0].len();
    let rows = rows.map(|row| &row[..head_dim]);
    let mut block = 0;
    // Two blocks at a time, for the same reason as several queries.
    while block + 2 <= n_blocks {
        let (first, second) =
            keys[block * head_dim * BLOCK..(block + 2) * head_dim * BLOCK].split_at(head_dim * BLOCK);
        let mut sums = [[[0.0_f32; BLOCK]; 2]; N];
        for (dim, (a, b)) in first.chunks_exact(BLOCK).zip(second.chunks_exact(BLOCK)).enumerate() {
            let (a, b) = (lanes(a), lanes(b));
            for (sums, row) in sums.iter_mut().zip(&rows) {
                add_product(&mut sums[0], a, row[dim]);
                add_product(&mut sums[1], b, row[dim]);
            }
        }
        for (n, sums) in sums.iter().enumerate() {
            for (i, sums) in sums.iter().enumerate() {
                store(&mut out[n * stride + (block + i) * BLOCK..][..BLOCK], sums, scale);
            }
        }
        block += 2;
    }
    if block < n_blocks {
        let mut sums = [[0.0_f32; BLOCK]; N];
        let block_keys = &keys[block * head_dim * BLOCK..(block + 1) * head_dim * BLOCK];
        for (dim, keys) in block_keys.chunks_exact(BLOCK).enumerate() {
            for (sums, row) in sums.iter_mut().zip(&rows) {
                add_product(sums, lanes(keys), row[dim]);
            }
        }
        for (n, sums) in sums.iter().enumerate() {
            store(&mut out[n * stride + block * BLOCK..][..BLOCK], sums, scale);
        }
    }
}

#[inline(always)]
fn store(out: &mut [f32], sums: &Lanes, scale: f32) {
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = sum * scale;
    }
}

/// exp(score - max) in place for the first `len`, 0 behind; gives back the maximum and the sum.
#[inline(always)]
pub(super) fn softmax_numerators(scores: &mut [f32], len: usize) -> (f32, f32) {
    scores[len..].fill(f32::NEG_INFINITY);
    let mut maxima = [f32::NEG_INFINITY; BLOCK];
    for scores in scores.chunks_exact(BLOCK) {
        for (max, &score) in maxima.iter_mut().zip(lanes(scores)) {
            *max = if score > *max { score } else { *max };
        }
    }
    let max = maxima.iter().fold(f32::NEG_INFINITY, |max, &score| if score > max { score } else { max });
    let mut sums = [0.0_f32; BLOCK];
    for scores in scores.chunks_exact_mut(BLOCK) {
        for (score, sum) in scores.iter_mut().zip(&mut sums) {
            *score = exp(*score - max);
            *sum += *score;
        }
    }
    scores[len..].fill(0.0);
    (max, sums.iter().sum())
}

/// `factor * sum over t < len of weights[t] * values[t]` for N rows of weights; a weight behind a row's own end is 0.
///
/// - `weights`: N rows of `stride`; `values`: `[len][head_dim]`; `out`: N vectors of `head_dim`
#[inline(always)]
pub(super) fn mix<const N: usize>(
    weights: &[f32],
    stride: usize,
    values: &[f32],
    len: usize,
    head_dim: usize,
    factors: [f32; N],
    out: &mut [f32],
) {
    let weights: [&[f32]; N] = std::array::from_fn(|n| &weights[n * stride..][..len]);
    let mut dim = 0;
    while dim + 2 * BLOCK <= head_dim {
        let mut sums = [[[0.0_f32; BLOCK]; 2]; N];
        for (t, values) in values.chunks_exact(head_dim).take(len).enumerate() {
            let (a, b) = (lanes(&values[dim..dim + BLOCK]), lanes(&values[dim + BLOCK..dim + 2 * BLOCK]));
            for (sums, weights) in sums.iter_mut().zip(&weights) {
                add_product(&mut sums[0], a, weights[t]);
                add_product(&mut sums[1], b, weights[t]);
            }
        }
        for (n, sums) in sums.iter().enumerate() {
            store(&mut out[n * head_dim + dim..][..BLOCK], &sums[0], factors[n]);
            store(&mut out[n * head_dim + dim + BLOCK..][..BLOCK], &sums[1], factors[n]);
        }
        dim += 2 * BLOCK;
    }
    // What is left of a head whose size is no multiple of 32.
    while dim < head_dim {
        let width = BLOCK.min(head_dim - dim);
        for n in 0..N {
            let mut sums = [0.0_f32; BLOCK];
            for (t, values) in values.chunks_exact(head_dim).take(len).enumerate() {
                for (sum, &value) in sums[..width].iter_mut().zip(&values[dim..dim + width]) {
                    *sum = value.mul_add(weights[n][t], *sum);
                }
            }
            store(&mut out[n * head_dim + dim..][..width], &sums, factors[n]);
        }
        dim += width;
    }
}

/// `into[t] += sum over n of weights[n][t] * rows[n]` for t < len: the transpose of [`mix`].
///
/// - `weights`: N rows of `stride`; `rows`: N vectors of `head_dim`; `into`: `[len][head_dim]`
#[inline(always)]
pub(super) fn spread<const N: usize>(
    weights: &[f32],
    stride: usize,
    rows: &[f32],
    head_dim: usize,
    len: usize,
    into: &mut [f32],
) {
    let weights: [&[f32]; N] = std::array::from_fn(|n| &weights[n * stride..][..len]);
    let mut dim = 0;
    while dim < head_dim {
        let width = BLOCK.min(head_dim - dim);
        if width == BLOCK {
            let rows: [Lanes; N] = std::array::from_fn(|n| *lanes(&rows[n * head_dim + dim..][..BLOCK]));
            for (t, into) in into.chunks_exact_mut(head_dim).take(len).enumerate() {
                let into: &mut Lanes = (&mut into[dim..dim + BLOCK]).try_into().expect("sixteen values");
                for (row, weights) in rows.iter().zip(&weights) {
                    add_product(into, row, weights[t]);
                }
            }
        } else {
            for (t, into) in into.chunks_exact_mut(head_dim).take(len).enumerate() {
                for n in 0..N {
                    for (into, &value) in into[dim..].iter_mut().zip(&rows[n * head_dim + dim..][..width]) {
                        *into = value.mul_add(weights[n][t], *into);
                    }
                }
            }
        }
        dim += width;
    }
}

/// e^x for x <= 0, to two units in the last place, without a branch (Cephes' expf: reduction by ln 2 in two parts, then
/// a polynomial of degree five).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
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
