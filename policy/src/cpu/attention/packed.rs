//! Attention over a packed stream, forward and backward.
//!
//! The work is cut by group and key/value head: a prompt's keys are laid out once for all its completions, and their
//! gradients are summed in one order, whatever the number of threads.

use rayon::prelude::*;

use super::core::{QUERIES, mix, products, softmax_gradient, softmax_numerators, spread};
use super::stored::Singles;
use super::{BLOCK, write_key};
use crate::cpu::for_this_processor;
use crate::cpu::functions::dot;
use crate::cpu::panels::as_units;
use crate::cpu::vector::{LANES, Vector};
use crate::packed::Segment;

/// How heads lie in rows: `n_heads` queries, then `n_kv_heads` keys, then as many values, each of `head_dim`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadShape {
    pub(crate) n_heads: usize,
    pub(crate) n_kv_heads: usize,
    pub(crate) head_dim: usize,
    /// From one row of query, key and value to the next.
    pub(crate) stride: usize,
    /// From one row of outputs to the next.
    pub(crate) out_stride: usize,
}

/// What the backward pass needs of the forward pass beside its inputs and outputs: per token and query head, the greatest
/// score, and one over the sum of exp(score - greatest).
pub(crate) type Softmax = Vec<[f32; 2]>;

/// Attention of each completion token to its prompt and, causally, to its completion; of a prompt, causally, to itself.
///
/// - `heads`: `[tokens][stride]`; `output`: `[tokens][out_stride]`; rows that belong to no segment are left as they are
pub(crate) fn forward(shape: HeadShape, heads: &[f32], segments: &[Segment], output: &mut [f32]) -> Softmax {
    let n_tokens = heads.len() / shape.stride;
    assert_eq!(output.len(), n_tokens * shape.out_stride);
    let mut softmax = vec![[0.0; 2]; n_tokens * shape.n_heads];
    let outputs = Shared { start: output.as_mut_ptr(), stride: shape.out_stride };
    let softmax_out = SharedPairs(softmax.as_mut_ptr());
    tasks(segments, shape.n_kv_heads).par_iter().for_each(|task| {
        forward_task(&ForwardTask { shape, task, heads }, &outputs, &softmax_out);
    });
    softmax
}

/// What went in and came out of [`forward`], and the gradient of what came out.
pub(crate) struct Backward<'a> {
    pub(crate) heads: &'a [f32],
    pub(crate) softmax: &'a [[f32; 2]],
    pub(crate) output: &'a [f32],
    pub(crate) d_output: &'a [f32],
}

/// The gradient of the heads, laid out as they are, into `d_heads`; rows that belong to no segment are left as they are.
pub(crate) fn backward(shape: HeadShape, inputs: &Backward, segments: &[Segment], d_heads: &mut [f32]) {
    assert_eq!(d_heads.len(), inputs.heads.len());
    let d_heads = Shared { start: d_heads.as_mut_ptr(), stride: shape.stride };
    tasks(segments, shape.n_kv_heads).par_iter().for_each(|task| {
        let forward = ForwardTask { shape, task, heads: inputs.heads };
        backward_task(&BackwardTask { forward, inputs }, &d_heads);
    });
}

impl HeadShape {
    #[inline(always)]
    fn query<'a>(&self, heads: &'a [f32], token: usize, head: usize) -> &'a [f32] {
        &heads[token * self.stride + head * self.head_dim..][..self.head_dim]
    }

    #[inline(always)]
    fn key<'a>(&self, heads: &'a [f32], token: usize, head: usize) -> &'a [f32] {
        self.query(heads, token, self.n_heads + head)
    }

    #[inline(always)]
    fn value<'a>(&self, heads: &'a [f32], token: usize, head: usize) -> &'a [f32] {
        self.query(heads, token, self.n_heads + self.n_kv_heads + head)
    }

    #[inline(always)]
    fn output<'a>(&self, rows: &'a [f32], token: usize, head: usize) -> &'a [f32] {
        &rows[token * self.out_stride + head * self.head_dim..][..self.head_dim]
    }
}

/// Rows that tasks write to side by side.
struct Shared {
    start: *mut f32,
    stride: usize,
}

impl Shared {
    /// Writes one head of one token.
    ///
    /// # Safety
    /// Token and head lie inside the rows, and no other thread writes to the same.
    #[inline(always)]
    unsafe fn write<V: Vector>(&self, token: usize, head: usize, values: &[f32]) {
        // SAFETY: the caller's promise.
        let into = unsafe {
            let start = self.start.add(token * self.stride + head * values.len());
            std::slice::from_raw_parts_mut(start, values.len())
        };
        copy::<V>(values, into);
    }
}

// SAFETY: every task writes to tokens of its own group and heads of its own key/value head, and to nothing else.
unsafe impl Sync for Shared {}

/// As [`Shared`], for what the softmax leaves behind: `[tokens, n_heads]`.
struct SharedPairs(*mut [f32; 2]);

// SAFETY: as for `Shared`.
unsafe impl Sync for SharedPairs {}

/// One group and one key/value head.
struct Task<'a> {
    segment: &'a Segment,
    /// Row of the stream in which the group begins.
    start: usize,
    kv_head: usize,
}

fn tasks(segments: &[Segment], n_kv_heads: usize) -> Vec<Task<'_>> {
    let mut tasks = Vec::new();
    let mut start = 0;
    for segment in segments {
        tasks.extend((0..n_kv_heads).map(|kv_head| Task { segment, start, kv_head }));
        start += (segment.n_prompt + segment.n_inputs.iter().sum::<i64>()) as usize;
    }
    tasks
}

impl Task<'_> {
    /// Positions that the longest sequence of the group has, in whole blocks.
    fn capacity(&self) -> usize {
        let longest = self.segment.n_inputs.iter().max().copied().unwrap_or(0);
        ((self.segment.n_prompt + longest) as usize).next_multiple_of(BLOCK)
    }

    /// The prompt and then the completions.
    fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        let n_prompt = self.segment.n_prompt as usize;
        let mut row = self.start + n_prompt;
        let completions = self.segment.n_inputs.iter().map(move |&n| {
            let part = Part { row, position: n_prompt, n_rows: n as usize };
            row += n as usize;
            part
        });
        std::iter::once(Part { row: self.start, position: 0, n_rows: n_prompt }).chain(completions)
    }
}

struct ForwardTask<'a> {
    shape: HeadShape,
    task: &'a Task<'a>,
    heads: &'a [f32],
}

/// Rows of the stream that belong to one sequence, and the position of the first.
#[derive(Clone, Copy)]
struct Part {
    row: usize,
    position: usize,
    n_rows: usize,
}

impl Part {
    /// Query vectors from the `first` on, as many as are taken together: their number, and for each its row, its head and
    /// the keys it sees.
    #[inline(always)]
    fn vectors(self, shape: HeadShape, kv_head: usize, first: usize) -> (usize, [(usize, usize, usize); QUERIES]) {
        let n_shared = shape.n_heads / shape.n_kv_heads;
        let n = QUERIES.min(self.n_rows * n_shared - first);
        let mut vectors = [(0, 0, 0); QUERIES];
        let (mut row, mut shared) = (first / n_shared, first % n_shared);
        for vector in vectors.iter_mut().take(n) {
            *vector = (self.row + row, kv_head * n_shared + shared, self.position + row + 1);
            shared += 1;
            if shared == n_shared {
                (row, shared) = (row + 1, 0);
            }
        }
        (n, vectors)
    }

    /// Where groups of query vectors begin.
    fn firsts(self, shape: HeadShape) -> impl Iterator<Item = usize> {
        (0..self.n_rows * shape.n_heads / shape.n_kv_heads).step_by(QUERIES)
    }
}

for_this_processor! {
    fn forward_task = forward_by(task: &ForwardTask<'_>, outputs: &Shared, softmax: &SharedPairs)
}

#[inline(always)]
fn forward_by<V: Vector>(inputs: &ForwardTask<'_>, outputs: &Shared, softmax: &SharedPairs) {
    let ForwardTask { shape, task, heads } = *inputs;
    let (head_dim, capacity) = (shape.head_dim, task.capacity());
    let (mut keys, mut values) = (vec![0.0; capacity * head_dim], vec![0.0; capacity * head_dim]);
    let mut work = Work { scores: vec![0.0; QUERIES * capacity], mixed: vec![0.0; QUERIES * head_dim] };
    for part in task.parts() {
        for i in 0..part.n_rows {
            write_key(&mut keys, shape.key(heads, part.row + i, task.kv_head).iter().copied(), part.position + i);
            values[(part.position + i) * head_dim..][..head_dim].copy_from_slice(shape.value(
                heads,
                part.row + i,
                task.kv_head,
            ));
        }
        for first in part.firsts(shape) {
            let (n, vectors) = part.vectors(shape, task.kv_head, first);
            let cached = (keys.as_slice(), values.as_slice());
            match n {
                1 => attend::<V, 1>(inputs, &vectors, cached, &mut work, outputs, softmax),
                2 => attend::<V, 2>(inputs, &vectors, cached, &mut work, outputs, softmax),
                3 => attend::<V, 3>(inputs, &vectors, cached, &mut work, outputs, softmax),
                _ => attend::<V, QUERIES>(inputs, &vectors, cached, &mut work, outputs, softmax),
            }
        }
    }
}

/// Of a few query vectors: their scores, and what they attend to.
struct Work {
    scores: Vec<f32>,
    mixed: Vec<f32>,
}

#[inline(always)]
fn attend<V: Vector, const N: usize>(
    inputs: &ForwardTask<'_>,
    vectors: &[(usize, usize, usize); QUERIES],
    (keys, values): (&[f32], &[f32]),
    work: &mut Work,
    outputs: &Shared,
    softmax: &SharedPairs,
) {
    let HeadShape { n_heads, head_dim, .. } = inputs.shape;
    let Work { scores, mixed } = work;
    let len = vectors[N - 1].2;
    let stride = len.next_multiple_of(BLOCK);
    let queries: [&[f32]; N] = std::array::from_fn(|n| inputs.shape.query(inputs.heads, vectors[n].0, vectors[n].1));
    products::<V, Singles, N>(
        queries,
        as_units(keys),
        stride / BLOCK,
        (head_dim as f32).sqrt().recip(),
        scores,
        stride,
    );
    let mut normalisers = [0.0; N];
    for (n, scores) in scores.chunks_exact_mut(stride).take(N).enumerate() {
        let (token, head, own_len) = vectors[n];
        let (own, behind) = scores.split_at_mut(own_len.next_multiple_of(BLOCK));
        let (max, total) = softmax_numerators::<V>(own, own_len);
        behind.fill(0.0);
        normalisers[n] = total.recip();
        // SAFETY: token and head are this task's.
        unsafe { softmax.0.add(token * n_heads + head).write([max, normalisers[n]]) };
    }
    mix::<V, Singles, N>(scores, stride, as_units(values), head_dim, len, normalisers, mixed);
    for (&(token, head, _), values) in vectors[..N].iter().zip(mixed.chunks_exact(head_dim)) {
        // SAFETY: token and head are this task's.
        unsafe { outputs.write::<V>(token, head, values) };
    }
}

struct BackwardTask<'a> {
    forward: ForwardTask<'a>,
    inputs: &'a Backward<'a>,
}

/// A group's keys and values in the layouts that the backward pass reads, and their gradients.
struct Memory {
    /// `[blocks][head_dim][BLOCK]`
    blocked_keys: Vec<f32>,
    blocked_values: Vec<f32>,
    /// `[capacity][head_dim]`
    keys: Vec<f32>,
    d_keys: Vec<f32>,
    d_values: Vec<f32>,
    /// Softmax and its gradient, of a few query vectors.
    weights: Vec<f32>,
    d_scores: Vec<f32>,
    /// Those vectors, the gradients of what they attended to, and their own: `[QUERIES][head_dim]`
    queries: Vec<f32>,
    gradients: Vec<f32>,
    d_queries: Vec<f32>,
}

for_this_processor! {
    fn backward_task = backward_by(task: &BackwardTask<'_>, d_heads: &Shared)
}

#[inline(always)]
fn backward_by<V: Vector>(inputs: &BackwardTask<'_>, d_heads: &Shared) {
    let ForwardTask { shape, task, heads } = inputs.forward;
    let (head_dim, capacity) = (shape.head_dim, task.capacity());
    let zeros = |n| vec![0.0; n];
    let mut memory = Memory {
        blocked_keys: zeros(capacity * head_dim),
        blocked_values: zeros(capacity * head_dim),
        keys: zeros(capacity * head_dim),
        d_keys: zeros(capacity * head_dim),
        d_values: zeros(capacity * head_dim),
        weights: zeros(QUERIES * capacity),
        d_scores: zeros(QUERIES * capacity),
        queries: zeros(QUERIES * head_dim),
        gradients: zeros(QUERIES * head_dim),
        d_queries: zeros(QUERIES * head_dim),
    };
    let write = |memory: &Memory, Part { row, position, n_rows }: Part| {
        for i in 0..n_rows {
            let at = (position + i) * head_dim..(position + i + 1) * head_dim;
            // SAFETY: the rows are of this task's group, the head is its own.
            unsafe {
                d_heads.write::<V>(row + i, shape.n_heads + task.kv_head, &memory.d_keys[at.clone()]);
                d_heads.write::<V>(row + i, shape.n_heads + shape.n_kv_heads + task.kv_head, &memory.d_values[at]);
            }
        }
    };
    for part in task.parts() {
        let Part { row, position, n_rows } = part;
        for i in 0..n_rows {
            let key = shape.key(heads, row + i, task.kv_head);
            let value = shape.value(heads, row + i, task.kv_head);
            prefetch(
                heads,
                (row + i) * shape.stride + (shape.n_heads + task.kv_head) * head_dim,
                AHEAD * shape.stride,
                head_dim,
            );
            write_key(&mut memory.blocked_keys, key.iter().copied(), position + i);
            write_key(&mut memory.blocked_values, value.iter().copied(), position + i);
            memory.keys[(position + i) * head_dim..][..head_dim].copy_from_slice(key);
        }
        memory.d_keys[position * head_dim..][..n_rows * head_dim].fill(0.0);
        memory.d_values[position * head_dim..][..n_rows * head_dim].fill(0.0);
        for first in part.firsts(shape) {
            let (n, vectors) = part.vectors(shape, task.kv_head, first);
            match n {
                1 => differentiate::<V, 1>(inputs, &vectors, &mut memory, d_heads),
                2 => differentiate::<V, 2>(inputs, &vectors, &mut memory, d_heads),
                3 => differentiate::<V, 3>(inputs, &vectors, &mut memory, d_heads),
                _ => differentiate::<V, QUERIES>(inputs, &vectors, &mut memory, d_heads),
            }
        }
        // The prompt's gradients grow until its last completion has been through.
        if position > 0 {
            write(&memory, part);
        }
    }
    write(&memory, Part { row: task.start, position: 0, n_rows: task.segment.n_prompt as usize });
}

/// With P = softmax(s), s = q K^T / sqrt(d), o = P V and the gradient g of o:
/// dV = P^T g, ds = P (g V^T - g o), dq = ds K / sqrt(d), dK = ds^T q / sqrt(d).
#[inline(always)]
fn differentiate<V: Vector, const N: usize>(
    inputs: &BackwardTask<'_>,
    vectors: &[(usize, usize, usize); QUERIES],
    memory: &mut Memory,
    d_heads: &Shared,
) {
    let BackwardTask { forward: ForwardTask { shape, heads, .. }, inputs } = inputs;
    let HeadShape { n_heads, head_dim, .. } = *shape;
    let scale = (head_dim as f32).sqrt().recip();
    let len = vectors[N - 1].2;
    let stride = len.next_multiple_of(BLOCK);
    let Memory {
        blocked_keys,
        blocked_values,
        keys,
        d_keys,
        d_values,
        weights,
        d_scores,
        queries,
        gradients,
        d_queries,
    } = memory;
    for (n, &(token, head, _)) in vectors[..N].iter().enumerate() {
        copy::<V>(shape.query(heads, token, head), &mut queries[n * head_dim..][..head_dim]);
        copy::<V>(shape.output(inputs.d_output, token, head), &mut gradients[n * head_dim..][..head_dim]);
        prefetch(heads, token * shape.stride + head * head_dim, AHEAD * shape.stride, head_dim);
        let at = token * shape.out_stride + head * head_dim;
        prefetch(inputs.d_output, at, AHEAD * shape.out_stride, head_dim);
        prefetch(inputs.output, at, AHEAD * shape.out_stride, head_dim);
    }
    let apart: [&[f32]; N] = std::array::from_fn(|n| slice(queries, n, head_dim));
    products::<V, Singles, N>(apart, as_units(blocked_keys), stride / BLOCK, scale, weights, stride);
    let apart: [&[f32]; N] = std::array::from_fn(|n| slice(gradients, n, head_dim));
    products::<V, Singles, N>(apart, as_units(blocked_values), stride / BLOCK, 1.0, d_scores, stride);
    let rows = weights.chunks_exact_mut(stride).zip(d_scores.chunks_exact_mut(stride));
    for (n, (weights, d_scores)) in rows.take(N).enumerate() {
        let (token, head, own_len) = vectors[n];
        let softmax = inputs.softmax[token * n_heads + head];
        let mean = dot::<V>(slice(gradients, n, head_dim), shape.output(inputs.output, token, head));
        softmax_gradient::<V>(weights, d_scores, own_len, softmax, mean, scale);
    }
    mix::<V, Singles, N>(d_scores, stride, as_units(keys), head_dim, len, [1.0; N], d_queries);
    spread::<V, N>(d_scores, stride, queries, head_dim, len, d_keys);
    spread::<V, N>(weights, stride, gradients, head_dim, len, d_values);
    for (&(token, head, _), values) in vectors[..N].iter().zip(d_queries.chunks_exact(head_dim)) {
        // SAFETY: token and head are this task's.
        unsafe { d_heads.write::<V>(token, head, values) };
    }
}

/// Rows that are asked for before their turn comes: they are far apart, and the processor does not guess them.
const AHEAD: usize = 8;

/// Asks for `n` numbers that lie `ahead` behind `at`.
#[inline(always)]
fn prefetch(rows: &[f32], at: usize, ahead: usize, n: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..n).step_by(16) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint may point anywhere.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(rows.as_ptr().wrapping_add(at + ahead + line).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (rows, at, ahead, n);
}

/// A head's numbers, without a call for so few.
#[inline(always)]
fn copy<V: Vector>(from: &[f32], into: &mut [f32]) {
    let whole = from.len() / LANES * LANES;
    for (from, into) in from[..whole].chunks_exact(LANES).zip(into[..whole].chunks_exact_mut(LANES)) {
        V::load(from).store(into);
    }
    into[whole..].copy_from_slice(&from[whole..]);
}

#[inline(always)]
fn slice(rows: &[f32], n: usize, head_dim: usize) -> &[f32] {
    &rows[n * head_dim..(n + 1) * head_dim]
}

#[cfg(test)]
#[path = "packed_tests.rs"]
mod tests;
