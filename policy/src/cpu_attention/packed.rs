//! Attention over a packed stream on the CPU in float32, forward and backward.
//!
//! The work is cut by group and key/value head: a prompt's keys are laid out once for all its completions, and their
//! gradients are summed in one order, whatever the number of threads.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::core::{QUERIES, mix, products, softmax_gradient, softmax_numerators, spread};
use super::rows::{Rows, Shared, SharedPairs, sizes};
use super::vector::{Portable, Vector};
use super::{BLOCK, for_this_processor, write_key};
use crate::attention::Heads;
use crate::packed::Segment;

/// What the forward pass found, and what the backward pass needs of it.
pub(crate) struct Forward {
    /// `[tokens, n_heads * head_dim]`; rows that belong to no segment are 0.
    pub(crate) output: Tensor,
    /// Per token and query head: the greatest score, and one over the sum of exp(score - greatest).
    softmax: Vec<[f32; 2]>,
}

/// Attention of each completion token to its prompt and, causally, to its completion; of a prompt, causally, to itself.
///
/// - `heads`: `[tokens, heads, head_dim]`, float32, on the CPU
pub(crate) fn forward(heads: &Heads, segments: &[Segment]) -> Forward {
    let shape = Shape::of(heads);
    let [query, key, value] = [&heads.query, &heads.key, &heads.value].map(Rows::new);
    let output = Tensor::zeros([shape.n_tokens as i64, (shape.n_heads * shape.head_dim) as i64], FLOAT);
    let mut softmax = vec![[0.0; 2]; shape.n_tokens * shape.n_heads];
    let outputs = Shared::new(&output);
    let softmax_out = SharedPairs(softmax.as_mut_ptr());
    tasks(segments, shape.n_kv_heads).par_iter().for_each(|task| {
        forward_task(&ForwardTask { shape, task, query: &query, key: &key, value: &value }, &outputs, &softmax_out);
    });
    Forward { output, softmax }
}

/// The gradients of query, key and value, each contiguous, from that of the output.
///
/// - `heads`: those of the forward pass; `gradient`: `[tokens, n_heads * head_dim]`
pub(crate) fn backward(heads: &Heads, forward: &Forward, gradient: &Tensor, segments: &[Segment]) -> Heads {
    let shape = Shape::of(heads);
    let as_heads = [shape.n_tokens as i64, shape.n_heads as i64, shape.head_dim as i64];
    let (gradient, output) = (gradient.reshape(as_heads), forward.output.reshape(as_heads));
    let [query, key, value, gradient, output] =
        [&heads.query, &heads.key, &heads.value, &gradient, &output].map(Rows::new);
    let result = Heads {
        query: Tensor::zeros(as_heads, FLOAT),
        key: Tensor::zeros(heads.key.size(), FLOAT),
        value: Tensor::zeros(heads.value.size(), FLOAT),
    };
    let softmax = forward.softmax.as_slice();
    let [d_query, d_key, d_value] = [&result.query, &result.key, &result.value].map(Shared::new);
    tasks(segments, shape.n_kv_heads).par_iter().for_each(|task| {
        let inputs = ForwardTask { shape, task, query: &query, key: &key, value: &value };
        let inputs = BackwardTask { inputs, output: &output, gradient: &gradient, softmax };
        backward_task(&inputs, &d_query, &d_key, &d_value);
    });
    result
}

const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

#[derive(Clone, Copy)]
struct Shape {
    n_tokens: usize,
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
}

impl Shape {
    fn of(heads: &Heads) -> Self {
        let [n_tokens, n_heads, head_dim] = sizes(&heads.query);
        Self { n_tokens, n_heads, n_kv_heads: sizes(&heads.key)[1], head_dim }
    }
}

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

    /// The prompt and then the completions, each as (first row in the stream, first position, rows).
    fn parts(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let n_prompt = self.segment.n_prompt as usize;
        let mut row = self.start + n_prompt;
        let completions = self.segment.n_inputs.iter().map(move |&n| {
            let part = (row, n_prompt, n as usize);
            row += n as usize;
            part
        });
        std::iter::once((self.start, 0, n_prompt)).chain(completions)
    }
}

struct ForwardTask<'a> {
    shape: Shape,
    task: &'a Task<'a>,
    query: &'a Rows,
    key: &'a Rows,
    value: &'a Rows,
}

/// The query vectors of a part, a few at a time: their number, and for each its row, its head and the keys it sees.
#[inline(always)]
fn chunks(
    shape: Shape,
    kv_head: usize,
    (row, position, n_rows): (usize, usize, usize),
) -> impl Iterator<Item = (usize, [(usize, usize, usize); QUERIES])> {
    let n_shared = shape.n_heads / shape.n_kv_heads;
    let n_vectors = n_rows * n_shared;
    (0..n_vectors).step_by(QUERIES).map(move |first| {
        let of = |n: usize| {
            let vector = (first + n).min(n_vectors - 1);
            (row + vector / n_shared, kv_head * n_shared + vector % n_shared, position + vector / n_shared + 1)
        };
        (QUERIES.min(n_vectors - first), std::array::from_fn(of))
    })
}

for_this_processor! {
    fn forward_task = forward_by(task: &ForwardTask<'_>, outputs: &Shared, softmax: &SharedPairs)
}

#[inline(always)]
fn forward_by<V: Vector>(inputs: &ForwardTask<'_>, outputs: &Shared, softmax: &SharedPairs) {
    let ForwardTask { shape, task, key, value, .. } = inputs;
    let (head_dim, capacity) = (shape.head_dim, task.capacity());
    let (mut keys, mut values) = (vec![0.0; capacity * head_dim], vec![0.0; capacity * head_dim]);
    let mut work = vec![0.0; QUERIES * capacity];
    for part in task.parts() {
        for i in 0..part.2 {
            write_key(&mut keys, key.head(part.0 + i, task.kv_head), part.1 + i);
            values[(part.1 + i) * head_dim..][..head_dim].copy_from_slice(value.head(part.0 + i, task.kv_head));
        }
        for (n, vectors) in chunks(*shape, task.kv_head, part) {
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

/// Largest head that fits the working memory of a few vectors.
pub(crate) const MAX_HEAD_DIM: usize = 256;

#[inline(always)]
fn attend<V: Vector, const N: usize>(
    inputs: &ForwardTask<'_>,
    vectors: &[(usize, usize, usize); QUERIES],
    (keys, values): (&[f32], &[f32]),
    scores: &mut [f32],
    outputs: &Shared,
    softmax: &SharedPairs,
) {
    let Shape { n_heads, head_dim, .. } = inputs.shape;
    let len = vectors[N - 1].2;
    let stride = len.next_multiple_of(BLOCK);
    let queries: [&[f32]; N] = std::array::from_fn(|n| inputs.query.head(vectors[n].0, vectors[n].1));
    products::<V, N>(queries, keys, stride / BLOCK, (head_dim as f32).sqrt().recip(), scores, stride);
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
    let mut mixed = [0.0; QUERIES * MAX_HEAD_DIM];
    let mixed = &mut mixed[..N * head_dim];
    mix::<V, N>(scores, stride, values, head_dim, len, normalisers, mixed);
    for (&(token, head, _), values) in vectors.iter().zip(mixed.chunks_exact(head_dim)) {
        // SAFETY: token and head are this task's.
        unsafe { outputs.write(token, n_heads, head, values) };
    }
}

struct BackwardTask<'a> {
    inputs: ForwardTask<'a>,
    output: &'a Rows,
    gradient: &'a Rows,
    softmax: &'a [[f32; 2]],
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
}

for_this_processor! {
    fn backward_task = backward_by(
        inputs: &BackwardTask<'_>, d_query: &Shared, d_key: &Shared, d_value: &Shared,
    )
}

#[inline(always)]
fn backward_by<V: Vector>(inputs: &BackwardTask<'_>, d_query: &Shared, d_key: &Shared, d_value: &Shared) {
    let ForwardTask { shape, task, key, value, .. } = &inputs.inputs;
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
    };
    let write = |memory: &Memory, (row, position, n_rows): (usize, usize, usize)| {
        for i in 0..n_rows {
            let at = (position + i) * head_dim..(position + i + 1) * head_dim;
            // SAFETY: the rows are of this task's group, the head is its own.
            unsafe {
                d_key.write(row + i, shape.n_kv_heads, task.kv_head, &memory.d_keys[at.clone()]);
                d_value.write(row + i, shape.n_kv_heads, task.kv_head, &memory.d_values[at]);
            }
        }
    };
    for part in task.parts() {
        let (row, position, n_rows) = part;
        for i in 0..n_rows {
            let (key, value) = (key.head(row + i, task.kv_head), value.head(row + i, task.kv_head));
            write_key(&mut memory.blocked_keys, key, position + i);
            write_key(&mut memory.blocked_values, value, position + i);
            memory.keys[(position + i) * head_dim..][..head_dim].copy_from_slice(key);
        }
        memory.d_keys[position * head_dim..][..n_rows * head_dim].fill(0.0);
        memory.d_values[position * head_dim..][..n_rows * head_dim].fill(0.0);
        for (n, vectors) in chunks(*shape, task.kv_head, part) {
            match n {
                1 => differentiate::<V, 1>(inputs, &vectors, &mut memory, d_query),
                2 => differentiate::<V, 2>(inputs, &vectors, &mut memory, d_query),
                3 => differentiate::<V, 3>(inputs, &vectors, &mut memory, d_query),
                _ => differentiate::<V, QUERIES>(inputs, &vectors, &mut memory, d_query),
            }
        }
        // The prompt's gradients grow until its last completion has been through.
        if position > 0 {
            write(&memory, part);
        }
    }
    write(&memory, (task.start, 0, task.segment.n_prompt as usize));
}

/// With P = softmax(s), s = q K^T / sqrt(d), o = P V and the gradient g of o:
/// dV = P^T g, ds = P (g V^T - g o), dq = ds K / sqrt(d), dK = ds^T q / sqrt(d).
#[inline(always)]
fn differentiate<V: Vector, const N: usize>(
    inputs: &BackwardTask<'_>,
    vectors: &[(usize, usize, usize); QUERIES],
    memory: &mut Memory,
    d_query: &Shared,
) {
    let Shape { n_heads, head_dim, .. } = inputs.inputs.shape;
    let scale = (head_dim as f32).sqrt().recip();
    let len = vectors[N - 1].2;
    let stride = len.next_multiple_of(BLOCK);
    let mut gathered = [[0.0; QUERIES * MAX_HEAD_DIM]; 2];
    let [queries, gradients] = &mut gathered;
    for (n, &(token, head, _)) in vectors[..N].iter().enumerate() {
        queries[n * head_dim..][..head_dim].copy_from_slice(inputs.inputs.query.head(token, head));
        gradients[n * head_dim..][..head_dim].copy_from_slice(inputs.gradient.head(token, head));
    }
    let (queries, gradients) = (&queries[..N * head_dim], &gradients[..N * head_dim]);
    let queries_apart: [&[f32]; N] = std::array::from_fn(|n| slice(queries, n, head_dim));
    let gradients_apart: [&[f32]; N] = std::array::from_fn(|n| slice(gradients, n, head_dim));
    products::<V, N>(queries_apart, &memory.blocked_keys, stride / BLOCK, scale, &mut memory.weights, stride);
    products::<V, N>(gradients_apart, &memory.blocked_values, stride / BLOCK, 1.0, &mut memory.d_scores, stride);
    let rows = memory.weights.chunks_exact_mut(stride).zip(memory.d_scores.chunks_exact_mut(stride));
    for (n, (weights, d_scores)) in rows.take(N).enumerate() {
        let (token, head, own_len) = vectors[n];
        let softmax = inputs.softmax[token * n_heads + head];
        let output = inputs.output.head(token, head);
        let mean: f32 = slice(gradients, n, head_dim).iter().zip(output).map(|(g, o)| g * o).sum();
        softmax_gradient::<V>(weights, d_scores, own_len, softmax, mean, scale);
    }
    let mut d_queries = [0.0; QUERIES * MAX_HEAD_DIM];
    let d_queries = &mut d_queries[..N * head_dim];
    mix::<V, N>(&memory.d_scores, stride, &memory.keys, head_dim, len, [1.0; N], d_queries);
    spread::<V, N>(&memory.d_scores, stride, queries, head_dim, len, &mut memory.d_keys);
    spread::<V, N>(&memory.weights, stride, gradients, head_dim, len, &mut memory.d_values);
    for (&(token, head, _), values) in vectors.iter().zip(d_queries.chunks_exact(head_dim)) {
        // SAFETY: token and head are this task's.
        unsafe { d_query.write(token, n_heads, head, values) };
    }
}

#[inline(always)]
fn slice(rows: &[f32], n: usize, head_dim: usize) -> &[f32] {
    &rows[n * head_dim..(n + 1) * head_dim]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Softmax attention of each sequence by plain tensor operations in float64, with a graph.
    fn reference(heads: &Heads, segments: &[Segment]) -> Tensor {
        let [n_tokens, n_heads, head_dim] = sizes(&heads.query).map(|size| size as i64);
        let n_shared = n_heads / sizes(&heads.key)[1] as i64;
        let one = |first: i64, n: i64, prompt: (i64, i64)| {
            let with_prompt = |t: &Tensor| {
                let own = t.narrow(0, first, n);
                Tensor::cat(&[t.narrow(0, prompt.0, prompt.1), own], 0).repeat_interleave_self_int(n_shared, 1, None)
            };
            let query = heads.query.narrow(0, first, n).transpose(0, 1);
            let [key, value] = [&heads.key, &heads.value].map(|t| with_prompt(t).transpose(0, 1));
            let hidden = Tensor::ones([n, prompt.1 + n], (Kind::Bool, Device::Cpu)).triu(prompt.1 + 1);
            let scores = query.matmul(&key.transpose(1, 2)) / (head_dim as f64).sqrt();
            let weights = scores.masked_fill(&hidden, f64::NEG_INFINITY).softmax(-1, Kind::Double);
            weights.matmul(&value).transpose(0, 1).reshape([n, n_heads * head_dim])
        };
        let (mut outputs, mut row) = (Vec::new(), 0);
        for segment in segments {
            let prompt = (row, segment.n_prompt);
            outputs.push(one(row, segment.n_prompt, (row, 0)));
            row += segment.n_prompt;
            for &n_inputs in segment.n_inputs.iter().filter(|&&n| n > 0) {
                outputs.push(one(row, n_inputs, prompt));
                row += n_inputs;
            }
        }
        outputs.push(Tensor::zeros([n_tokens - row, n_heads * head_dim], (Kind::Double, Device::Cpu)));
        Tensor::cat(&outputs, 0)
    }

    #[test]
    fn values_and_gradients_are_those_of_float64() {
        tch::manual_seed(3);
        let segments = [
            Segment { n_prompt: 21, n_inputs: vec![5, 0, 40, 17] },
            Segment { n_prompt: 1, n_inputs: vec![2] },
            Segment { n_prompt: 33, n_inputs: vec![] },
        ];
        // Some rows behind the last segment belong to none.
        let n_tokens = 21 + 62 + 3 + 33 + 9;
        for (n_heads, n_kv_heads, head_dim) in [(4, 2, 32), (3, 3, 16), (7, 1, 64), (2, 1, 12), (4, 1, 48)] {
            let random = |n: i64| Tensor::randn([n_tokens, n, head_dim], (Kind::Double, Device::Cpu));
            let leaf = |n: i64| random(n).set_requires_grad(true);
            let exact = Heads { query: leaf(n_heads), key: leaf(n_kv_heads), value: leaf(n_kv_heads) };
            // Values as a part of a wider tensor, as the decoder hands them over.
            let float = |t: &Tensor| t.detach().to_kind(Kind::Float);
            let wide = Tensor::cat(&[float(&exact.value), float(&exact.value)], 1);
            let heads =
                Heads { query: float(&exact.query), key: float(&exact.key), value: wide.narrow(1, 0, n_kv_heads) };
            let expected = reference(&exact, &segments);
            let gradient = random(n_heads).reshape([n_tokens, n_heads * head_dim]);
            (&expected * &gradient).sum(Kind::Double).backward();
            let found = forward(&heads, &segments);
            let d = backward(&heads, &found, &float(&gradient), &segments);
            let pairs = [
                ("output", &found.output, &expected),
                ("query", &d.query, &exact.query.grad()),
                ("key", &d.key, &exact.key.grad()),
                ("value", &d.value, &exact.value.grad()),
            ];
            for (name, got, expected) in pairs {
                let difference = (got - expected).abs().max().double_value(&[]);
                assert!(difference < 2e-5, "{n_heads} {n_kv_heads} {head_dim}, {name}: {difference}");
            }
        }
    }
}
