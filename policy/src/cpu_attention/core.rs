//! The arithmetic that every kernel shares: scores, softmax, weighted sums, for up to four queries at a time.
//!
//! Each number is computed in one order of operations, whatever the number of queries and whatever stands beside them. So
//! a token has the same bits when it is sampled (one query a row) and when it is trained on (many).
//!
//! Loops over registers are written out: a closure of the standard library is not compiled for the caller's instructions.
#![allow(clippy::needless_range_loop)]

use super::BLOCK;
use super::vector::{LANES, ROUND, Vector};

/// Queries that are taken together: enough independent sums to hide the latency of a multiplication.
pub(super) const QUERIES: usize = 4;

const _: () = assert!(LANES == BLOCK, "a vector holds one value for each position of a block");

/// `scale * rows keys^T`, for the first `n_blocks` blocks of keys.
///
/// - `rows`: N vectors of `head_dim`; `keys`: `[blocks][head_dim][BLOCK]`; `out`: N rows of `stride`
#[inline(always)]
pub(super) fn products<V: Vector, const N: usize>(
    rows: [&[f32]; N],
    keys: &[f32],
    n_blocks: usize,
    scale: f32,
    out: &mut [f32],
    stride: usize,
) {
    let mut block = 0;
    // Two blocks at a time, for the same reason as several queries.
    while block + 2 <= n_blocks {
        products_of_blocks::<V, N, 2>(rows, keys, block, scale, out, stride);
        block += 2;
    }
    if block < n_blocks {
        products_of_blocks::<V, N, 1>(rows, keys, block, scale, out, stride);
    }
}

#[inline(always)]
fn products_of_blocks<V: Vector, const N: usize, const B: usize>(
    rows: [&[f32]; N],
    keys: &[f32],
    block: usize,
    scale: f32,
    out: &mut [f32],
    stride: usize,
) {
    let head_dim = rows[0].len();
    let keys = &keys[block * head_dim * BLOCK..][..B * head_dim * BLOCK];
    let mut sums = [[V::splat(0.0); B]; N];
    for dim in 0..head_dim {
        let mut loaded = [V::splat(0.0); B];
        for b in 0..B {
            loaded[b] = V::load(&keys[(b * head_dim + dim) * BLOCK..]);
        }
        for n in 0..N {
            let value = V::splat(rows[n][dim]);
            for b in 0..B {
                sums[n][b] = loaded[b].mul_add(value, sums[n][b]);
            }
        }
    }
    let scale = V::splat(scale);
    for n in 0..N {
        for b in 0..B {
            sums[n][b].mul(scale).store(&mut out[n * stride + (block + b) * BLOCK..]);
        }
    }
}

/// exp(score - max) in place for the first `len`, 0 behind; gives back the maximum and the sum.
///
/// - `scores`: whole blocks, the last of which `len` reaches into
#[inline(always)]
pub(super) fn softmax_numerators<V: Vector>(scores: &mut [f32], len: usize) -> (f32, f32) {
    scores[len..].fill(f32::NEG_INFINITY);
    let maxima = scores.chunks_exact(BLOCK).map(V::load).fold(V::splat(f32::NEG_INFINITY), V::max);
    let max = maxima.lanes().into_iter().fold(f32::NEG_INFINITY, |max, score| if score > max { score } else { max });
    let mut sums = V::splat(0.0);
    for scores in scores.chunks_exact_mut(BLOCK) {
        let numerators = exp(V::load(scores).sub(V::splat(max)));
        sums = sums.add(numerators);
        numerators.store(scores);
    }
    scores[len..].fill(0.0);
    (max, sums.lanes().iter().sum())
}

/// `factor * sum over t < len of weights[t] * values[t]` for N rows of weights; a weight behind a row's own end is 0.
///
/// - `weights`: N rows of `stride`; `values`: `[len][head_dim]`; `out`: N vectors of `head_dim`
#[inline(always)]
pub(super) fn mix<V: Vector, const N: usize>(
    weights: &[f32],
    stride: usize,
    values: &[f32],
    head_dim: usize,
    len: usize,
    factors: [f32; N],
    out: &mut [f32],
) {
    let mut dim = 0;
    while dim + 2 * LANES <= head_dim {
        mix_vectors::<V, N, 2>(weights, stride, values, (head_dim, len), dim, factors, out);
        dim += 2 * LANES;
    }
    if dim + LANES <= head_dim {
        mix_vectors::<V, N, 1>(weights, stride, values, (head_dim, len), dim, factors, out);
        dim += LANES;
    }
    // What is left of a head whose size is no multiple of sixteen.
    for dim in dim..head_dim {
        for n in 0..N {
            let products = values.chunks_exact(head_dim).zip(&weights[n * stride..][..len]);
            out[n * head_dim + dim] = factors[n] * products.fold(0.0, |sum, (value, &w)| value[dim].mul_add(w, sum));
        }
    }
}

#[inline(always)]
fn mix_vectors<V: Vector, const N: usize, const W: usize>(
    weights: &[f32],
    stride: usize,
    values: &[f32],
    (head_dim, len): (usize, usize),
    dim: usize,
    factors: [f32; N],
    out: &mut [f32],
) {
    let mut sums = [[V::splat(0.0); W]; N];
    for (t, values) in values.chunks_exact(head_dim).take(len).enumerate() {
        let mut loaded = [V::splat(0.0); W];
        for w in 0..W {
            loaded[w] = V::load(&values[dim + w * LANES..]);
        }
        for n in 0..N {
            let weight = V::splat(weights[n * stride + t]);
            for w in 0..W {
                sums[n][w] = loaded[w].mul_add(weight, sums[n][w]);
            }
        }
    }
    for n in 0..N {
        for w in 0..W {
            sums[n][w].mul(V::splat(factors[n])).store(&mut out[n * head_dim + dim + w * LANES..]);
        }
    }
}

/// `into[t] += sum over n of weights[n][t] * rows[n]` for t < len: the transpose of [`mix`].
///
/// - `weights`: N rows of `stride`; `rows`: N vectors of `head_dim`; `into`: `[len][head_dim]`
#[inline(always)]
pub(super) fn spread<V: Vector, const N: usize>(
    weights: &[f32],
    stride: usize,
    rows: &[f32],
    head_dim: usize,
    len: usize,
    into: &mut [f32],
) {
    let mut dim = 0;
    while dim + 2 * LANES <= head_dim {
        spread_vectors::<V, N, 2>(weights, stride, rows, (head_dim, len), dim, into);
        dim += 2 * LANES;
    }
    if dim + LANES <= head_dim {
        spread_vectors::<V, N, 1>(weights, stride, rows, (head_dim, len), dim, into);
        dim += LANES;
    }
    for (t, into) in into.chunks_exact_mut(head_dim).take(len).enumerate() {
        for dim in dim..head_dim {
            for n in 0..N {
                into[dim] = rows[n * head_dim + dim].mul_add(weights[n * stride + t], into[dim]);
            }
        }
    }
}

#[inline(always)]
fn spread_vectors<V: Vector, const N: usize, const W: usize>(
    weights: &[f32],
    stride: usize,
    rows: &[f32],
    (head_dim, len): (usize, usize),
    dim: usize,
    into: &mut [f32],
) {
    let mut loaded = [[V::splat(0.0); W]; N];
    for n in 0..N {
        for w in 0..W {
            loaded[n][w] = V::load(&rows[n * head_dim + dim + w * LANES..]);
        }
    }
    for (t, into) in into.chunks_exact_mut(head_dim).take(len).enumerate() {
        let mut sums = [V::splat(0.0); W];
        for w in 0..W {
            sums[w] = V::load(&into[dim + w * LANES..]);
        }
        for n in 0..N {
            let weight = V::splat(weights[n * stride + t]);
            for w in 0..W {
                sums[w] = loaded[n][w].mul_add(weight, sums[w]);
            }
        }
        for w in 0..W {
            sums[w].store(&mut into[dim + w * LANES..]);
        }
    }
}

/// From scores to softmax weights and to the gradient of the scores, in place, for the first `len`; 0 behind.
///
/// - `weights`: scores, becomes P = exp(score - max) * normaliser
/// - `gradients`: of P, becomes P (gradient - mean) * scale
#[inline(always)]
pub(super) fn softmax_gradient<V: Vector>(
    weights: &mut [f32],
    gradients: &mut [f32],
    len: usize,
    [max, normaliser]: [f32; 2],
    mean: f32,
    scale: f32,
) {
    let whole = len.next_multiple_of(BLOCK);
    let blocks = weights[..whole].chunks_exact_mut(BLOCK).zip(gradients[..whole].chunks_exact_mut(BLOCK));
    for (weights, gradients) in blocks {
        let weight = exp(V::load(weights).sub(V::splat(max))).mul(V::splat(normaliser));
        weight.store(weights);
        let gradient = V::load(gradients).sub(V::splat(mean)).mul(V::splat(scale));
        weight.mul(gradient).store(gradients);
    }
    weights[len..].fill(0.0);
    gradients[len..].fill(0.0);
}

/// e^x for x <= 0, to two units in the last place, without a branch (Cephes' expf: reduction by ln 2 in two parts, then
/// a polynomial of degree five).
#[inline(always)]
fn exp<V: Vector>(x: V) -> V {
    // Below this the result is no normal number any more; it is next to nothing beside the largest, which is 1.
    // In this order, because what is no number comes out of `max` only on its right.
    let x = V::splat(-87.0).max(x);
    let shifted = x.mul_add(V::splat(std::f32::consts::LOG2_E), V::splat(ROUND));
    let n = shifted.sub(V::splat(ROUND));
    let r = n.mul_add(V::splat(-0.693_359_4), x);
    let r = n.mul_add(V::splat(2.121_944_4e-4), r);
    let mut p = V::splat(1.987_569_2e-4);
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p.mul_add(r, V::splat(coefficient));
    }
    p.mul_add(r.mul(r), r).add(V::splat(1.0)).mul(shifted.power_of_two())
}

#[cfg(test)]
mod tests {
    use super::super::vector::Portable;
    use super::*;

    fn exp_of(x: f32) -> f32 {
        exp(Portable::splat(x)).lanes()[7]
    }

    #[test]
    fn exp_is_exact_to_two_units() {
        for i in 0..200_000 {
            let x = -86.9 * i as f32 / 200_000.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp_of(x)) / expected - 1.0).abs() < 2.5e-7, "{x}");
        }
        assert!(exp_of(f32::NEG_INFINITY) < 1e-37);
        assert!(exp_of(f32::NAN).is_nan());
        assert_eq!(exp_of(0.0), 1.0);
    }
}
