//! The arithmetic that every kernel shares: scores, softmax, weighted sums, for up to four queries at a time.
//!
//! Each number is computed in one order of operations, whatever the number of queries and whatever stands beside them. So
//! a token has the same bits when it is sampled (one query a row) and when it is trained on (many).
//!
//! Loops over registers are written out: a closure of the standard library is not compiled for the caller's instructions.
#![allow(clippy::needless_range_loop)]

use super::BLOCK;
use super::stored::Stored;
use crate::cpu::functions::{exp, greatest, total};
use crate::cpu::vector::{LANES, Vector};

/// Queries that are taken together: enough independent sums to hide the latency of a multiplication.
pub(super) const QUERIES: usize = 4;

const _: () = assert!(LANES == BLOCK, "a vector holds one value for each position of a block");

/// `scale * rows keys^T`, for the first `n_blocks` blocks of keys.
///
/// - `rows`: N vectors of `head_dim`, which is even; `keys`: `[blocks][head_dim][BLOCK]` numbers; `out`: N rows of `stride`
#[inline(always)]
pub(super) fn products<V: Vector, S: Stored, const N: usize>(
    rows: [&[f32]; N],
    keys: &[u32],
    n_blocks: usize,
    scale: f32,
    out: &mut [f32],
    stride: usize,
) {
    let per_block = rows[0].len() * BLOCK / S::DEPTH;
    assert!(keys.len() >= n_blocks * per_block && out.len() >= (N - 1) * stride + n_blocks * BLOCK);
    assert!(rows[0].len().is_multiple_of(2) && rows.iter().all(|row| row.len() == rows[0].len()));
    let mut block = 0;
    // SAFETY: blocks, rows and outputs are inside their slices, as was just checked.
    unsafe {
        // Several blocks at a time, for the same reason as several queries.
        while V::TILE == 4 && block + 4 <= n_blocks {
            let into = out.as_mut_ptr().add(block * BLOCK);
            products_of_blocks::<V, S, N, 4>(rows, keys.as_ptr().add(block * per_block), scale, into, stride);
            block += 4;
        }
        while block + 2 <= n_blocks {
            let into = out.as_mut_ptr().add(block * BLOCK);
            products_of_blocks::<V, S, N, 2>(rows, keys.as_ptr().add(block * per_block), scale, into, stride);
            block += 2;
        }
        if block < n_blocks {
            let into = out.as_mut_ptr().add(block * BLOCK);
            products_of_blocks::<V, S, N, 1>(rows, keys.as_ptr().add(block * per_block), scale, into, stride);
        }
    }
}

/// # Safety
/// There are B blocks of keys and as many places in each of N rows of outputs.
#[inline(always)]
unsafe fn products_of_blocks<V: Vector, S: Stored, const N: usize, const B: usize>(
    rows: [&[f32]; N],
    keys: *const u32,
    scale: f32,
    out: *mut f32,
    stride: usize,
) {
    let head_dim = rows[0].len();
    let per_block = head_dim * BLOCK / S::DEPTH;
    let rows: [*const f32; N] = std::array::from_fn(|n| rows[n].as_ptr());
    let mut blocks = [keys; B];
    for b in 1..B {
        blocks[b] = blocks[b - 1].wrapping_add(per_block);
    }
    let mut sums = [[V::splat(0.0); B]; N];
    let scale = V::splat(scale);
    // SAFETY: the caller's promise.
    unsafe {
        for i in 0..head_dim / 2 {
            let mut loaded = [[V::splat(0.0); 2]; B];
            for b in 0..B {
                loaded[b] = S::keys(blocks[b], i);
            }
            for n in 0..N {
                for half in 0..2 {
                    let value = V::splat(*rows[n].wrapping_add(2 * i + half));
                    for b in 0..B {
                        sums[n][b] = loaded[b][half].mul_add(value, sums[n][b]);
                    }
                }
            }
        }
        for n in 0..N {
            for b in 0..B {
                sums[n][b].mul(scale).store_units(out.add(n * stride + b * BLOCK).cast());
            }
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
    let max = greatest(maxima.lanes());
    let mut sums = V::splat(0.0);
    for scores in scores.chunks_exact_mut(BLOCK) {
        let numerators = exp(V::load(scores).sub(V::splat(max)));
        sums = sums.add(numerators);
        numerators.store(scores);
    }
    scores[len..].fill(0.0);
    (max, total(sums.lanes()))
}

/// `factor * sum over t < len of weights[t] * values[t]` for N rows of weights; a weight behind a row's own end is 0.
///
/// - `weights`: N rows of `stride`; `values`: `[len][head_dim]` numbers; `out`: N vectors of `head_dim`
#[inline(always)]
pub(super) fn mix<V: Vector, S: Stored, const N: usize>(
    weights: &[f32],
    stride: usize,
    values: &[u32],
    head_dim: usize,
    len: usize,
    factors: [f32; N],
    out: &mut [f32],
) {
    assert!(values.len() >= len * head_dim / S::DEPTH && weights.len() >= (N - 1) * stride + len);
    assert!(out.len() >= N * head_dim);
    let mut dim = 0;
    while dim + 2 * LANES <= head_dim {
        // SAFETY: values, weights and outputs are inside their slices, as was just checked.
        unsafe { mix_vectors::<V, S, N>(weights, stride, values, (head_dim, len), dim, factors, out) };
        dim += 2 * LANES;
    }
    // What is left of a head whose size is no multiple of 32, of float32 alone.
    for dim in dim..head_dim {
        for n in 0..N {
            let products = values.chunks_exact(head_dim).zip(&weights[n * stride..][..len]);
            let add = |sum: f32, (value, &w): (&[u32], &f32)| f32::from_bits(value[dim]).mul_add(w, sum);
            out[n * head_dim + dim] = factors[n] * products.fold(0.0, add);
        }
    }
}

/// # Safety
/// `values` has `len` rows, `weights` N rows of as many, `out` N rows, each with 32 numbers from `dim` on.
#[inline(always)]
unsafe fn mix_vectors<V: Vector, S: Stored, const N: usize>(
    weights: &[f32],
    stride: usize,
    values: &[u32],
    (head_dim, len): (usize, usize),
    dim: usize,
    factors: [f32; N],
    out: &mut [f32],
) {
    let mut rows = [weights.as_ptr(); N];
    for n in 1..N {
        rows[n] = rows[n - 1].wrapping_add(stride);
    }
    let per_value = head_dim / S::DEPTH;
    let mut value = values.as_ptr();
    // Even and odd positions apart, because a sum waits for itself.
    let mut sums = [[[V::splat(0.0); 2]; N]; 2];
    for pair in 0..len / 2 {
        for odd in 0..2 {
            // SAFETY: the caller's promise.
            unsafe { add_weighted::<V, S, N>(&mut sums[odd], rows, 2 * pair + odd, value, dim) };
            value = value.wrapping_add(per_value);
        }
    }
    if len % 2 == 1 {
        // SAFETY: the caller's promise.
        unsafe { add_weighted::<V, S, N>(&mut sums[0], rows, len - 1, value, dim) };
    }
    for n in 0..N {
        for w in 0..2 {
            let sum = sums[0][n][w].add(sums[1][n][w]);
            sum.mul(V::splat(factors[n])).store(&mut out[n * head_dim + dim + w * LANES..]);
        }
    }
}

/// # Safety
/// As for [`mix_vectors`], of position `t`.
#[inline(always)]
unsafe fn add_weighted<V: Vector, S: Stored, const N: usize>(
    sums: &mut [[V; 2]; N],
    rows: [*const f32; N],
    t: usize,
    value: *const u32,
    dim: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let loaded: [V; 2] = S::values(value, dim);
        for n in 0..N {
            let weight = V::splat(*rows[n].wrapping_add(t));
            for w in 0..2 {
                sums[n][w] = loaded[w].mul_add(weight, sums[n][w]);
            }
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
    assert!(into.len() >= len * head_dim && weights.len() >= (N - 1) * stride + len && rows.len() >= N * head_dim);
    let mut dim = 0;
    while dim + 2 * LANES <= head_dim {
        // SAFETY: weights, rows and sums are inside their slices, as was just checked.
        unsafe { spread_vectors::<V, N>(weights, stride, rows, (head_dim, len), dim, into) };
        dim += 2 * LANES;
    }
    for (t, into) in into.chunks_exact_mut(head_dim).take(len).enumerate() {
        for dim in dim..head_dim {
            for n in 0..N {
                into[dim] = rows[n * head_dim + dim].mul_add(weights[n * stride + t], into[dim]);
            }
        }
    }
}

/// # Safety
/// `into` has `len` rows, `weights` N rows of as many, `rows` N, each with 32 numbers from `dim` on.
#[inline(always)]
unsafe fn spread_vectors<V: Vector, const N: usize>(
    weights: &[f32],
    stride: usize,
    rows: &[f32],
    (head_dim, len): (usize, usize),
    dim: usize,
    into: &mut [f32],
) {
    let mut loaded = [[V::splat(0.0); 2]; N];
    let mut weight_rows = [weights.as_ptr(); N];
    for n in 0..N {
        for w in 0..2 {
            loaded[n][w] = V::load(&rows[n * head_dim + dim + w * LANES..]);
        }
        weight_rows[n] = weight_rows[n].wrapping_add(n * stride);
    }
    let mut place: *mut u32 = into.as_mut_ptr().wrapping_add(dim).cast();
    for t in 0..len {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [V::load_units(place), V::load_units(place.add(LANES))];
            for n in 0..N {
                let weight = V::splat(*weight_rows[n].wrapping_add(t));
                for w in 0..2 {
                    sums[w] = loaded[n][w].mul_add(weight, sums[w]);
                }
            }
            for w in 0..2 {
                sums[w].store_units(place.add(w * LANES));
            }
        }
        place = place.wrapping_add(head_dim);
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
