//! What stands between the matrix products, a block of rows at a time: norm, rotation, gate, each forward and backward.
//!
//! Rows have a stride of whole pairs of registers ([`super::width`]); what lies behind a row's end is zero and stays so.

use super::for_this_processor;
use super::functions::{dot, sigmoid, total};
use super::vector::{LANES, Vector};

/// A root mean square norm (Zhang, Sennrich 2019, arXiv 1910.07467) over rows of `n` numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Norm<'a> {
    /// Padded with zeros to the rows' stride.
    pub(super) weight: &'a [f32],
    /// Numbers of a row.
    pub(super) n: usize,
    pub(super) eps: f32,
}

for_this_processor! {
    /// `out = x / rms(x) * weight`, row by row.
    pub(super) fn norm = norm_by(norm: &Norm<'_>, x: &[f32], out: &mut [f32])
}

#[inline(always)]
fn norm_by<V: Vector>(norm: &Norm<'_>, x: &[f32], out: &mut [f32]) {
    let stride = norm.weight.len();
    for (x, out) in x.chunks_exact(stride).zip(out.chunks_exact_mut(stride)) {
        let scale = V::splat(inverse_rms::<V>(norm, x));
        for at in (0..stride).step_by(LANES) {
            V::load(&x[at..]).mul(scale).mul(V::load(&norm.weight[at..])).store(&mut out[at..]);
        }
    }
}

#[inline(always)]
fn inverse_rms<V: Vector>(norm: &Norm<'_>, x: &[f32]) -> f32 {
    1.0 / (dot::<V>(x, x) / norm.n as f32 + norm.eps).sqrt()
}

/// What the backward pass of a norm reads and adds to.
pub(super) struct NormGradient<'a> {
    /// What the norm read.
    pub(super) x: &'a [f32],
    /// The gradient of what it gave; becomes what it gave.
    pub(super) out: &'a mut [f32],
    /// The gradient of `x`, added to.
    pub(super) d_x: &'a mut [f32],
    /// The gradient of the weight, one row, added to.
    pub(super) d_weight: &'a mut [f32],
}

for_this_processor! {
    /// With y = x / r, r = rms(x) and the gradient g of y * w:
    /// dx = (g w - y mean(g w y)) / r, dw = sum of g y.
    pub(super) fn norm_backward = norm_backward_by(norm: &Norm<'_>, gradient: &mut NormGradient<'_>)
}

#[inline(always)]
fn norm_backward_by<V: Vector>(norm: &Norm<'_>, gradient: &mut NormGradient<'_>) {
    let stride = norm.weight.len();
    let rows = gradient.x.chunks_exact(stride).zip(gradient.out.chunks_exact_mut(stride));
    for ((x, out), d_x) in rows.zip(gradient.d_x.chunks_exact_mut(stride)) {
        let inverse = inverse_rms::<V>(norm, x);
        let mut sum = V::splat(0.0);
        for at in (0..stride).step_by(LANES) {
            let weighted = V::load(&out[at..]).mul(V::load(&norm.weight[at..]));
            sum = weighted.mul_add(V::load(&x[at..]), sum);
        }
        let mean = total(sum.lanes()) * inverse / norm.n as f32;
        let (inverse, mean) = (V::splat(inverse), V::splat(mean));
        for at in (0..stride).step_by(LANES) {
            let (g, w) = (V::load(&out[at..]), V::load(&norm.weight[at..]));
            let y = V::load(&x[at..]).mul(inverse);
            let d_weight = g.mul_add(y, V::load(&gradient.d_weight[at..]));
            d_weight.store(&mut gradient.d_weight[at..]);
            let d = g.mul(w).sub(y.mul(mean));
            d.mul_add(inverse, V::load(&d_x[at..])).store(&mut d_x[at..]);
            y.mul(w).store(&mut out[at..]);
        }
    }
}

for_this_processor! {
    /// Rounds numbers to bfloat16, in place.
    pub(super) fn round = round_by(x: &mut [f32])
}

#[inline(always)]
fn round_by<V: Vector>(x: &mut [f32]) {
    let whole = x.len() / LANES * LANES;
    let (x, rest) = x.split_at_mut(whole);
    for x in x.chunks_exact_mut(LANES) {
        let rounded = V::load(x);
        V::pair(rounded, rounded).halves().1.store(x);
    }
    let mut tail = [0.0; LANES];
    tail[..rest.len()].copy_from_slice(rest);
    let rounded = V::load(&tail);
    rest.copy_from_slice(&V::pair(rounded, rounded).halves().1.lanes()[..rest.len()]);
}

for_this_processor! {
    /// `x += y`
    pub(super) fn add = add_by(x: &mut [f32], y: &[f32])
}

#[inline(always)]
fn add_by<V: Vector>(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.chunks_exact_mut(LANES).zip(y.chunks_exact(LANES)) {
        V::load(x).add(V::load(y)).store(x);
    }
}

for_this_processor! {
    /// `x += y` for every row of x.
    pub(super) fn add_to_rows = add_to_rows_by(x: &mut [f32], y: &[f32])
}

#[inline(always)]
fn add_to_rows_by<V: Vector>(x: &mut [f32], y: &[f32]) {
    for x in x.chunks_exact_mut(y.len()) {
        add_by::<V>(x, y);
    }
}

for_this_processor! {
    /// `sum += ` every row of x.
    pub(super) fn add_rows = add_rows_by(sum: &mut [f32], x: &[f32])
}

#[inline(always)]
fn add_rows_by<V: Vector>(sum: &mut [f32], x: &[f32]) {
    for x in x.chunks_exact(sum.len()) {
        add_by::<V>(sum, x);
    }
}

for_this_processor! {
    /// The gate of SwiGLU (Shazeer 2020, arXiv 2002.05202): `out = silu(gate) * up`.
    ///
    /// - `gate_up`: rows of gate and then up, each of `width`; `out`: rows of `width`
    pub(super) fn gate = gate_by(gate_up: &[f32], width: usize, out: &mut [f32])
}

#[inline(always)]
fn gate_by<V: Vector>(gate_up: &[f32], width: usize, out: &mut [f32]) {
    for (gate_up, out) in gate_up.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
        for at in (0..width).step_by(LANES) {
            let (gate, up) = (V::load(&gate_up[at..]), V::load(&gate_up[width + at..]));
            gate.mul(sigmoid(gate)).mul(up).store(&mut out[at..]);
        }
    }
}

for_this_processor! {
    /// The gradients of gate and up, and what the gate gave.
    ///
    /// With s = sigmoid(gate): d silu = s (1 + gate (1 - s)).
    ///
    /// - `d_out`: gradient of what the gate gave; becomes what it gave; `d_gate_up`: as `gate_up`, written
    pub(super) fn gate_backward = gate_backward_by(
        gate_up: &[f32], width: usize, d_out: &mut [f32], d_gate_up: &mut [f32],
    )
}

#[inline(always)]
fn gate_backward_by<V: Vector>(gate_up: &[f32], width: usize, d_out: &mut [f32], d_gate_up: &mut [f32]) {
    let rows = gate_up.chunks_exact(2 * width).zip(d_gate_up.chunks_exact_mut(2 * width));
    for ((gate_up, d_gate_up), d_out) in rows.zip(d_out.chunks_exact_mut(width)) {
        for at in (0..width).step_by(LANES) {
            let (gate, up) = (V::load(&gate_up[at..]), V::load(&gate_up[width + at..]));
            let (s, d) = (sigmoid(gate), V::load(&d_out[at..]));
            let silu = gate.mul(s);
            let slope = gate.sub(silu).mul_add(s, s);
            d.mul(up).mul(slope).store(&mut d_gate_up[at..]);
            d.mul(silu).store(&mut d_gate_up[width + at..]);
            silu.mul(up).store(&mut d_out[at..]);
        }
    }
}

/// Cosines and sines of every position: `[positions][half]` each.
#[derive(Debug)]
pub(super) struct Rotation {
    pub(super) cos: Vec<f32>,
    pub(super) sin: Vec<f32>,
    /// Half the width of a head.
    pub(super) half: usize,
}

for_this_processor! {
    /// Rotates the first `n_heads` heads of each row by its position, in the half-split layout of transformers (Su et al.
    /// 2021, arXiv 2104.09864); by `sign` -1 back again, which is also how its gradient goes.
    pub(super) fn rotate = rotate_by(
        rotation: &Rotation, rows: &mut [f32], stride: usize, n_heads: usize, positions: &[i64], sign: f32,
    )
}

#[inline(always)]
fn rotate_by<V: Vector>(
    rotation: &Rotation,
    rows: &mut [f32],
    stride: usize,
    n_heads: usize,
    positions: &[i64],
    sign: f32,
) {
    let half = rotation.half;
    for (row, &position) in rows.chunks_exact_mut(stride).zip(positions) {
        let at = position as usize * half..(position as usize + 1) * half;
        let (cos, sin) = (&rotation.cos[at.clone()], &rotation.sin[at]);
        for head in row.chunks_exact_mut(2 * half).take(n_heads) {
            let (x, y) = head.split_at_mut(half);
            let mut dim = 0;
            while dim + LANES <= half {
                let (cos, sin) = (V::load(&cos[dim..]), V::load(&sin[dim..]).mul(V::splat(sign)));
                let (a, b) = (V::load(&x[dim..]), V::load(&y[dim..]));
                a.mul(cos).sub(b.mul(sin)).store(&mut x[dim..]);
                b.mul(cos).add(a.mul(sin)).store(&mut y[dim..]);
                dim += LANES;
            }
            for dim in dim..half {
                let (a, b, sin) = (x[dim], y[dim], sin[dim] * sign);
                x[dim] = a * cos[dim] - b * sin;
                y[dim] = b * cos[dim] + a * sin;
            }
        }
    }
}

for_this_processor! {
    /// The norm of each head of a query or key (Qwen3), of any width, in place.
    pub(super) fn norm_heads = norm_heads_by(weight: &[f32], eps: f32, heads: &mut [f32])
}

#[inline(always)]
fn norm_heads_by<V: Vector>(weight: &[f32], eps: f32, heads: &mut [f32]) {
    for head in heads.chunks_exact_mut(weight.len()) {
        let inverse = 1.0 / (dot::<V>(head, head) / head.len() as f32 + eps).sqrt();
        head.iter_mut().zip(weight).for_each(|(x, w)| *x = *x * inverse * w);
    }
}

for_this_processor! {
    /// As [`norm_backward`] for heads: `gradient` becomes that of `x`.
    pub(super) fn norm_heads_backward = norm_heads_backward_by(
        weight: &[f32], eps: f32, x: &[f32], gradient: &mut [f32], d_weight: &mut [f32],
    )
}

#[inline(always)]
fn norm_heads_backward_by<V: Vector>(weight: &[f32], eps: f32, x: &[f32], gradient: &mut [f32], d_weight: &mut [f32]) {
    let n = weight.len();
    for (x, gradient) in x.chunks_exact(n).zip(gradient.chunks_exact_mut(n)) {
        let inverse = 1.0 / (dot::<V>(x, x) / n as f32 + eps).sqrt();
        for ((g, w), (x, d_weight)) in gradient.iter_mut().zip(weight).zip(x.iter().zip(d_weight.iter_mut())) {
            *d_weight += *g * x * inverse;
            *g *= w;
        }
        let mean = dot::<V>(gradient, x) * inverse / n as f32;
        for (g, x) in gradient.iter_mut().zip(x) {
            *g = (*g - x * inverse * mean) * inverse;
        }
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
