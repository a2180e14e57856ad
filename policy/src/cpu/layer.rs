//! One decoder block, for a block of rows: what comes before its attention, and what comes behind.

use super::attention::packed::HeadShape;
use super::cache::Cache;
use super::gemm::Products;
use super::rows::{self, Norm, Rotation};
use super::weights::Layer;
use super::width;
use crate::rope::Rope;
use crate::{Dtype, ModelConfig};

/// Rows that go through a layer together: what they need on the way stays in the cache next to the core.
pub(super) const ROWS: usize = 96;

/// The network without its weights.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(super) dtype: Dtype,
    pub(super) hidden: usize,
    /// Strides of rows: of the residual stream, and of the gate or of up.
    pub(super) hidden_width: usize,
    pub(super) gate_width: usize,
    pub(super) heads: HeadShape,
    pub(super) vocab: usize,
    pub(super) eps: f32,
    pub(super) rotation: Rotation,
}

impl Shape {
    pub(crate) fn new(config: &ModelConfig, rope: &Rope, dtype: Dtype) -> Self {
        let [hidden, vocab, n_heads, n_kv_heads, head_dim, gate] = [
            config.hidden_size,
            config.vocab_size,
            config.n_heads,
            config.n_kv_heads,
            config.head_dim,
            config.intermediate_size,
        ]
        .map(|size| size as usize);
        let (cos, sin) = rope.tables();
        let heads = HeadShape {
            n_heads,
            n_kv_heads,
            head_dim,
            stride: width((n_heads + 2 * n_kv_heads) * head_dim),
            out_stride: width(n_heads * head_dim),
        };
        Self {
            dtype,
            hidden,
            hidden_width: width(hidden),
            gate_width: width(gate),
            heads,
            vocab,
            eps: config.rms_norm_eps as f32,
            rotation: Rotation { cos, sin, half: head_dim / 2 },
        }
    }

    /// An empty cache of `n_rows`, each of up to `planned` tokens.
    pub(crate) fn cache(&self, n_layers: usize, n_rows: usize, planned: usize) -> Cache {
        Cache::new(n_layers, n_rows, planned, self.heads, self.dtype)
    }

    pub(super) fn norm<'a>(&self, weight: &'a [f32]) -> Norm<'a> {
        Norm { weight, n: self.hidden, eps: self.eps }
    }

    /// The embeddings of some tokens: `[tokens][hidden_width]`.
    pub(super) fn embed(&self, embedding: &[f32], tokens: &[i64], into: &mut [f32]) {
        for (row, &token) in into.chunks_exact_mut(self.hidden_width).zip(tokens) {
            row[..self.hidden].copy_from_slice(&embedding[token as usize * self.hidden..][..self.hidden]);
        }
    }
}

/// Working memory of one thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) products: Products,
    pub(super) rows: Vec<f32>,
    pub(super) more_rows: Vec<f32>,
    pub(super) wide: Vec<f32>,
}

/// The first `n` numbers of a memory that grows.
pub(super) fn sized(memory: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if memory.len() < n {
        memory.resize(n, 0.0);
    }
    &mut memory[..n]
}

impl Layer {
    /// Query, key and value heads from the stream that enters the layer, not yet rotated.
    ///
    /// - `x`: `[rows][hidden_width]`; `heads`: `[rows][heads.stride]`, written
    pub(super) fn project(&self, shape: &Shape, x: &[f32], heads: &mut [f32], scratch: &mut Scratch) {
        let normed = sized(&mut scratch.rows, x.len());
        rows::norm(&shape.norm(&self.input_norm), x, normed);
        scratch.products.multiply(normed, &self.qkv.forward, heads, shape.heads.stride);
        if let Some(bias) = &self.qkv_bias {
            rows::add_to_rows(heads, bias);
        }
    }

    /// Norms query and key heads where the family does, and rotates them to their positions. In bfloat16, keys and values are
    /// rounded.
    pub(super) fn turn(&self, shape: &Shape, heads: &mut [f32], positions: &[i64]) {
        let HeadShape { n_heads, n_kv_heads, head_dim, stride, .. } = shape.heads;
        if let Some([query, key]) = &self.qk_norm {
            let (n_query, n_key) = (n_heads * head_dim, n_kv_heads * head_dim);
            for row in heads.chunks_exact_mut(stride) {
                rows::norm_heads(query, shape.eps, &mut row[..n_query]);
                rows::norm_heads(key, shape.eps, &mut row[n_query..n_query + n_key]);
            }
        }
        rows::rotate(&shape.rotation, heads, stride, n_heads + n_kv_heads, positions, 1.0);
        if shape.dtype == Dtype::BFloat16 {
            // Keys and values as the cache of a sampler holds them.
            let kept = n_heads * head_dim..(n_heads + 2 * n_kv_heads) * head_dim;
            heads.chunks_exact_mut(stride).for_each(|row| rows::round(&mut row[kept.clone()]));
        }
    }

    /// Output projection and feed-forward layer, each added to the stream.
    ///
    /// - `attended`: `[rows][heads.out_stride]`; `x`: the stream, from what entered the layer to what leaves it
    /// - `kept`: where the stream between the two and the gate's inputs go, if the backward pass wants them
    pub(super) fn behind_attention(
        &self,
        shape: &Shape,
        attended: &[f32],
        x: &mut [f32],
        kept: Option<(&mut [f32], &mut [f32])>,
        scratch: &mut Scratch,
    ) {
        let (hidden_width, gate_width) = (shape.hidden_width, shape.gate_width);
        let n_rows = x.len() / hidden_width;
        let product = sized(&mut scratch.rows, n_rows * hidden_width);
        scratch.products.multiply(attended, &self.out.forward, product, hidden_width);
        rows::add(x, product);
        let gate_up = match kept {
            Some((mid, gate_up)) => {
                mid.copy_from_slice(x);
                gate_up
            }
            None => sized(&mut scratch.wide, n_rows * 2 * gate_width),
        };
        rows::norm(&shape.norm(&self.post_norm), x, product);
        scratch.products.multiply(product, &self.gate_up.forward, gate_up, 2 * gate_width);
        let gated = sized(&mut scratch.more_rows, n_rows * gate_width);
        rows::gate(gate_up, gate_width, gated);
        scratch.products.multiply(gated, &self.down.forward, product, hidden_width);
        rows::add(x, product);
    }
}
