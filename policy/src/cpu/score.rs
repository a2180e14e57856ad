//! The head of a reward model: one number for each row, and its gradients, without a graph.

use rayon::prelude::*;

use super::gemm::Products;
use super::head::ChunkGradient;
use super::layer::{ROWS, Shape};
use super::panels::Panels;
use super::rows::{self, NormGradient};
use super::weights::PackedWeights;

/// The scores of some rows.
///
/// - `x`: `[rows][hidden_width]`, the stream behind the last layer
pub(crate) fn scores(shape: &Shape, weights: &PackedWeights, x: &[f32]) -> Vec<f32> {
    let (width, stride) = (shape.hidden_width, weights.head.forward.n_columns);
    let blocks = x.par_chunks(ROWS * width).map_init(Products::default, |products, x| {
        let mut normed = vec![0.0; x.len()];
        rows::norm(&shape.norm(&weights.norm), x, &mut normed);
        let mut columns = vec![0.0; x.len() / width * stride];
        products.multiply(&normed, &weights.head.forward, &mut columns, stride);
        columns.into_iter().step_by(stride).collect::<Vec<f32>>()
    });
    blocks.collect::<Vec<_>>().concat()
}

/// The gradients of what went in, from those of the scores.
///
/// - `x`: as of [`scores`]
pub(crate) fn backward(shape: &Shape, weights: &PackedWeights, x: &[f32], d_scores: &[f32]) -> ChunkGradient {
    let (width, stride) = (shape.hidden_width, weights.head.forward.n_columns);
    let mut result =
        ChunkGradient { d_x: vec![0.0; x.len()], d_norm: vec![0.0; width], d_logits: vec![], normed: vec![] };
    let mut products = Products::default();
    let blocks = x.chunks(ROWS * width).zip(d_scores.chunks(ROWS)).zip(result.d_x.chunks_mut(ROWS * width));
    for ((x, d_scores), d_x) in blocks {
        let mut columns = vec![0.0; d_scores.len() * stride];
        columns.iter_mut().step_by(stride).zip(d_scores).for_each(|(column, d_score)| *column = *d_score);
        let mut normed = vec![0.0; x.len()];
        products.multiply(&columns, weights.head.backward(), &mut normed, width);
        let gradient = &mut NormGradient { x, out: &mut normed, d_x, d_weight: &mut result.d_norm };
        rows::norm_backward(&shape.norm(&weights.norm), gradient);
        result.d_logits.push(Panels::of_tokens(weights.dtype, &columns, stride, stride));
        result.normed.push(Panels::of_tokens(weights.dtype, &normed, width, width));
    }
    result
}
