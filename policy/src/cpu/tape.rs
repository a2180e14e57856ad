//! The decoder's forward and backward pass in training, block by block, each gradient by its own formula.

use rayon::prelude::*;

use super::attention::packed::{self, Backward, HeadShape, Softmax};
use super::gradients::{Gradients, Product};
use super::layer::{ROWS, Scratch, Shape, sized};
use super::panels::Panels;
use super::rows::{self, NormGradient};
use super::weights::{Layer, PackedWeights};
use crate::{Checkpointing, PackedBatch};

/// A forward pass that can be differentiated once.
pub(crate) struct Tape<'a> {
    shape: &'a Shape,
    weights: &'a PackedWeights,
    batch: &'a PackedBatch,
    kept: Vec<Kept>,
    /// `[tokens][hidden_width]`: the stream behind the last layer.
    last: Vec<f32>,
}

/// What the backward pass of a layer has of its forward pass.
struct Kept {
    /// The stream that entered it.
    x: Vec<f32>,
    /// None where it is computed again.
    inner: Option<Inner>,
}

/// What a layer computed on the way.
struct Inner {
    /// Query, key and value, as attention read them.
    heads: Vec<f32>,
    /// The same before the norms of heads, in the family that has them.
    raw_heads: Option<Vec<f32>>,
    attended: Vec<f32>,
    softmax: Softmax,
    /// The stream between attention and feed-forward layer.
    mid: Vec<f32>,
    /// Gate and up, before the gate.
    gate_up: Vec<f32>,
}

/// The stream behind the last layer, without anything for a backward pass: `[tokens][hidden_width]`.
pub(crate) fn hidden(shape: &Shape, weights: &PackedWeights, batch: &PackedBatch) -> Vec<f32> {
    let mut x = embedded(shape, weights, batch);
    for layer in &weights.layers {
        let (heads, _) = heads_of(shape, layer, &x, batch, false);
        let (attended, _) = attend(shape, &heads, batch);
        let blocks = x.par_chunks_mut(ROWS * shape.hidden_width);
        blocks.zip(attended.par_chunks(ROWS * shape.heads.out_stride)).for_each_init(
            Scratch::default,
            |scratch, (x, attended)| {
                layer.behind_attention(shape, attended, x, None, scratch);
            },
        );
    }
    x
}

fn embedded(shape: &Shape, weights: &PackedWeights, batch: &PackedBatch) -> Vec<f32> {
    let mut x = vec![0.0; batch.tokens.len() * shape.hidden_width];
    shape.embed(weights.embed.values(), &batch.tokens, &mut x);
    x
}

/// Query, key and value of every token, as attention reads them; and before the norms of heads, if `keeps_raw` and the family
/// has them.
fn heads_of(
    shape: &Shape,
    layer: &Layer,
    x: &[f32],
    batch: &PackedBatch,
    keeps_raw: bool,
) -> (Vec<f32>, Option<Vec<f32>>) {
    let stride = shape.heads.stride;
    let mut heads = vec![0.0; batch.tokens.len() * stride];
    let keeps_raw = keeps_raw && layer.qk_norm.is_some();
    x.par_chunks(ROWS * shape.hidden_width)
        .zip(heads.par_chunks_mut(ROWS * stride))
        .zip(batch.positions.par_chunks(ROWS))
        .for_each_init(Scratch::default, |scratch, ((x, heads), positions)| {
            layer.project(shape, x, heads, scratch);
            if !keeps_raw {
                layer.turn(shape, heads, positions);
            }
        });
    let raw = keeps_raw.then(|| heads.clone());
    if keeps_raw {
        let blocks = heads.par_chunks_mut(ROWS * stride).zip(batch.positions.par_chunks(ROWS));
        blocks.for_each(|(heads, positions)| layer.turn(shape, heads, positions));
    }
    (heads, raw)
}

fn attend(shape: &Shape, heads: &[f32], batch: &PackedBatch) -> (Vec<f32>, Softmax) {
    let mut attended = vec![0.0; batch.tokens.len() * shape.heads.out_stride];
    let softmax = packed::forward(shape.heads, heads, &batch.segments, &mut attended);
    (attended, softmax)
}

/// One layer; `x` goes from what entered it to what leaves it.
fn forward(shape: &Shape, layer: &Layer, x: &mut [f32], batch: &PackedBatch) -> Inner {
    let (heads, raw_heads) = heads_of(shape, layer, x, batch, true);
    let (attended, softmax) = attend(shape, &heads, batch);
    let mut mid = vec![0.0; x.len()];
    let mut gate_up = vec![0.0; batch.tokens.len() * 2 * shape.gate_width];
    let kept = mid.par_chunks_mut(ROWS * shape.hidden_width).zip(gate_up.par_chunks_mut(ROWS * 2 * shape.gate_width));
    x.par_chunks_mut(ROWS * shape.hidden_width)
        .zip(attended.par_chunks(ROWS * shape.heads.out_stride))
        .zip(kept)
        .for_each_init(Scratch::default, |scratch, ((x, attended), kept)| {
            layer.behind_attention(shape, attended, x, Some(kept), scratch);
        });
    Inner { heads, raw_heads, attended, softmax, mid, gate_up }
}

impl<'a> Tape<'a> {
    /// Runs the decoder over a packed batch. `weights` are packed for training.
    pub(crate) fn record(
        shape: &'a Shape,
        weights: &'a PackedWeights,
        batch: &'a PackedBatch,
        checkpointing: Checkpointing,
    ) -> Self {
        let mut x = embedded(shape, weights, batch);
        let mut kept = Vec::with_capacity(weights.layers.len());
        for layer in &weights.layers {
            let entered = x.clone();
            let inner = forward(shape, layer, &mut x, batch);
            kept.push(Kept { x: entered, inner: (checkpointing == Checkpointing::None).then_some(inner) });
        }
        Self { shape, weights, batch, kept, last: x }
    }

    /// What it runs on.
    pub(crate) fn network(&self) -> (&'a Shape, &'a PackedWeights) {
        (self.shape, self.weights)
    }

    /// The stream behind the last layer at the rows that predict: `[completion_tokens][hidden_width]`.
    pub(crate) fn predictors(&self) -> Vec<f32> {
        at_rows(&self.last, &self.batch.predictors, self.shape)
    }

    /// Adds to the gradients of the weights, from the gradient of [`Self::predictors`].
    pub(crate) fn backward(self, d_predictors: &[f32], gradients: &mut Gradients) {
        let Self { shape, weights, batch, kept, last } = self;
        let width = shape.hidden_width;
        let mut d_x = vec![0.0; last.len()];
        drop(last);
        for (gradient, &row) in d_predictors.chunks_exact(width).zip(&batch.predictors) {
            rows::add(&mut d_x[row as usize * width..][..width], gradient);
        }
        for (index, (layer, Kept { x, inner })) in weights.layers.iter().zip(kept).enumerate().rev() {
            let inner = inner.unwrap_or_else(|| forward(shape, layer, &mut x.clone(), batch));
            let pass = LayerBackward { shape, layer, index, batch, x: &x, inner: &inner };
            pass.run(&mut d_x, gradients);
        }
        gradients.add_embedding(&batch.tokens, &d_x, width);
    }
}

/// Some rows of many.
pub(crate) fn at_rows(x: &[f32], rows: &[i64], shape: &Shape) -> Vec<f32> {
    let width = shape.hidden_width;
    let mut picked = Vec::with_capacity(rows.len() * width);
    rows.iter().for_each(|&row| picked.extend_from_slice(&x[row as usize * width..][..width]));
    picked
}

/// The backward pass of one layer.
struct LayerBackward<'a> {
    shape: &'a Shape,
    layer: &'a Layer,
    index: usize,
    batch: &'a PackedBatch,
    x: &'a [f32],
    inner: &'a Inner,
}

/// What a block of rows leaves for the gradients of the weights behind attention.
struct Behind {
    d_out: Panels,
    gated: Panels,
    d_gate_up: Panels,
    normed: Panels,
    d_mid: Panels,
    attended: Panels,
    d_post_norm: Vec<f32>,
}

/// What a block of rows leaves for the gradients of the weights before attention.
struct Before {
    d_heads: Panels,
    normed: Panels,
    d_input_norm: Vec<f32>,
    d_bias: Vec<f32>,
    d_qk_norm: [Vec<f32>; 2],
}

impl LayerBackward<'_> {
    /// `d_x`: the gradient of what left the layer, becomes that of what entered it.
    fn run(&self, d_x: &mut [f32], gradients: &mut Gradients) {
        let (shape, Inner { heads, attended, softmax, .. }) = (self.shape, self.inner);
        let mut d_attended = vec![0.0; attended.len()];
        let behind = self.behind_attention(d_x, &mut d_attended);
        self.add_behind(&behind, gradients);
        drop(behind);
        let mut d_heads = vec![0.0; heads.len()];
        let inputs = Backward { heads, softmax, output: attended, d_output: &d_attended };
        packed::backward(shape.heads, &inputs, &self.batch.segments, &mut d_heads);
        let before = self.before_attention(d_x, &mut d_heads);
        self.add_before(&before, gradients);
    }

    fn behind_attention(&self, d_x: &mut [f32], d_attended: &mut [f32]) -> Vec<Behind> {
        let Shape { hidden_width, gate_width, heads, .. } = *self.shape;
        let Inner { mid, gate_up, attended, .. } = self.inner;
        let kept = mid.par_chunks(ROWS * hidden_width).zip(gate_up.par_chunks(ROWS * 2 * gate_width));
        let attended = attended.par_chunks(ROWS * heads.out_stride);
        d_x.par_chunks_mut(ROWS * hidden_width)
            .zip(kept)
            .zip(attended.zip(d_attended.par_chunks_mut(ROWS * heads.out_stride)))
            .map_init(Scratch::default, |scratch, ((d_x, (mid, gate_up)), (attended, d_attended))| {
                self.block_behind(d_x, mid, gate_up, attended, d_attended, scratch)
            })
            .collect()
    }

    /// - `d_x`: the gradient of what left the layer, becomes that of the stream behind attention
    fn block_behind(
        &self,
        d_x: &mut [f32],
        mid: &[f32],
        gate_up: &[f32],
        attended: &[f32],
        d_attended: &mut [f32],
        scratch: &mut Scratch,
    ) -> Behind {
        let (shape, layer) = (self.shape, self.layer);
        let Shape { dtype, hidden_width, gate_width, heads, .. } = *shape;
        let n_rows = d_x.len() / hidden_width;
        let panels = |rows: &[f32], stride| Panels::of_tokens(dtype, rows, stride, stride);
        let gated = sized(&mut scratch.more_rows, n_rows * gate_width);
        let d_gate_up = sized(&mut scratch.wide, n_rows * 2 * gate_width);
        let normed = sized(&mut scratch.rows, n_rows * hidden_width);

        let d_out = panels(d_x, hidden_width);
        scratch.products.multiply(d_x, layer.down.backward(), gated, gate_width);
        rows::gate_backward(gate_up, gate_width, gated, d_gate_up);
        scratch.products.multiply(d_gate_up, layer.gate_up.backward(), normed, hidden_width);
        let mut d_post_norm = vec![0.0; hidden_width];
        let gradient = &mut NormGradient { x: mid, out: normed, d_x, d_weight: &mut d_post_norm };
        rows::norm_backward(&shape.norm(&layer.post_norm), gradient);
        scratch.products.multiply(d_x, layer.out.backward(), d_attended, heads.out_stride);
        Behind {
            d_out,
            gated: panels(gated, gate_width),
            d_gate_up: panels(d_gate_up, 2 * gate_width),
            normed: panels(normed, hidden_width),
            d_mid: panels(d_x, hidden_width),
            attended: panels(attended, heads.out_stride),
            d_post_norm,
        }
    }

    fn add_behind(&self, blocks: &[Behind], gradients: &mut Gradients) {
        let all = |pick: fn(&Behind) -> &Panels| blocks.iter().map(pick).collect::<Vec<_>>();
        let gate_width = self.shape.gate_width;
        let name = |name: &str| format!("model.layers.{}.{name}.weight", self.index);
        gradients.add_products(&[
            Product { left: all(|b| &b.d_out), right: all(|b| &b.gated), into: vec![(0, name("mlp.down_proj"))] },
            Product {
                left: all(|b| &b.d_gate_up),
                right: all(|b| &b.normed),
                into: vec![(0, name("mlp.gate_proj")), (gate_width, name("mlp.up_proj"))],
            },
            Product { left: all(|b| &b.d_mid), right: all(|b| &b.attended), into: vec![(0, name("self_attn.o_proj"))] },
        ]);
        for block in blocks {
            gradients.add(&name("post_attention_layernorm"), &block.d_post_norm);
        }
    }

    fn before_attention(&self, d_x: &mut [f32], d_heads: &mut [f32]) -> Vec<Before> {
        let (width, stride) = (self.shape.hidden_width, self.shape.heads.stride);
        let blocks = d_x.par_chunks_mut(ROWS * width).zip(d_heads.par_chunks_mut(ROWS * stride));
        blocks
            .zip(self.x.par_chunks(ROWS * width))
            .enumerate()
            .map_init(Scratch::default, |scratch, (block, ((d_x, d_heads), x))| {
                self.block_before(block * ROWS, d_x, d_heads, x, scratch)
            })
            .collect()
    }

    /// - `d_x`: the gradient of the stream behind attention, becomes that of what entered the layer
    fn block_before(
        &self,
        first: usize,
        d_x: &mut [f32],
        d_heads: &mut [f32],
        x: &[f32],
        scratch: &mut Scratch,
    ) -> Before {
        let (shape, layer) = (self.shape, self.layer);
        let (dtype, width) = (shape.dtype, shape.hidden_width);
        let HeadShape { n_heads, n_kv_heads, stride, .. } = shape.heads;
        let n_rows = d_x.len() / width;
        let positions = &self.batch.positions[first..first + n_rows];
        rows::rotate(&shape.rotation, d_heads, stride, n_heads + n_kv_heads, positions, -1.0);
        let d_qk_norm = self.through_head_norms(first, d_heads);
        let mut d_bias = vec![0.0; stride];
        if layer.qkv_bias.is_some() {
            rows::add_rows(&mut d_bias, d_heads);
        }
        let normed = sized(&mut scratch.rows, n_rows * width);
        scratch.products.multiply(d_heads, layer.qkv.backward(), normed, width);
        let mut d_input_norm = vec![0.0; width];
        let gradient = &mut NormGradient { x, out: normed, d_x, d_weight: &mut d_input_norm };
        rows::norm_backward(&shape.norm(&layer.input_norm), gradient);
        let panels = |rows: &[f32], stride| Panels::of_tokens(dtype, rows, stride, stride);
        Before { d_heads: panels(d_heads, stride), normed: panels(normed, width), d_input_norm, d_bias, d_qk_norm }
    }

    /// The gradient of heads behind their norms becomes that before; gives back the gradients of the norms' weights.
    fn through_head_norms(&self, first: usize, d_heads: &mut [f32]) -> [Vec<f32>; 2] {
        let (Some(norms), Some(raw)) = (&self.layer.qk_norm, &self.inner.raw_heads) else { return [vec![], vec![]] };
        let HeadShape { n_heads, n_kv_heads, head_dim, stride, .. } = self.shape.heads;
        let mut d_weights = [vec![0.0; head_dim], vec![0.0; head_dim]];
        let parts = [0..n_heads * head_dim, n_heads * head_dim..(n_heads + n_kv_heads) * head_dim];
        let raw = raw[first * stride..].chunks_exact(stride);
        for (d_heads, raw) in d_heads.chunks_exact_mut(stride).zip(raw) {
            for ((part, weight), d_weight) in parts.iter().zip(norms).zip(&mut d_weights) {
                let (raw, gradient) = (&raw[part.clone()], &mut d_heads[part.clone()]);
                rows::norm_heads_backward(weight, self.shape.eps, raw, gradient, d_weight);
            }
        }
        d_weights
    }

    fn add_before(&self, blocks: &[Before], gradients: &mut Gradients) {
        let HeadShape { n_heads, n_kv_heads, head_dim, .. } = self.shape.heads;
        let name = |name: &str| format!("model.layers.{}.{name}", self.index);
        let starts = [0, n_heads * head_dim, (n_heads + n_kv_heads) * head_dim];
        let projections = ["q_proj", "k_proj", "v_proj"].map(|p| format!("self_attn.{p}"));
        let parts = || starts.into_iter().zip(&projections);
        gradients.add_products(&[Product {
            left: blocks.iter().map(|b| &b.d_heads).collect(),
            right: blocks.iter().map(|b| &b.normed).collect(),
            into: parts().map(|(start, p)| (start, name(&format!("{p}.weight")))).collect(),
        }]);
        for block in blocks {
            gradients.add(&name("input_layernorm.weight"), &block.d_input_norm);
            if self.layer.qkv_bias.is_some() {
                parts().for_each(|(start, p)| gradients.add(&name(&format!("{p}.bias")), &block.d_bias[start..]));
            }
            if self.layer.qk_norm.is_some() {
                gradients.add(&name("self_attn.q_norm.weight"), &block.d_qk_norm[0]);
                gradients.add(&name("self_attn.k_norm.weight"), &block.d_qk_norm[1]);
            }
        }
    }
}
