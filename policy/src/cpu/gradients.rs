//! Where gradients go: the float32 gradients of the master weights.

use std::collections::HashMap;

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::gemm::{Square, multiply_transposed};
use super::head::ChunkGradient;
use super::panels::{PANEL, Panels};
use super::weights::PackedWeights;
use crate::config::EMBEDDING;

/// The gradients of the master weights, by name.
pub(crate) struct Gradients {
    /// Each a contiguous float32 tensor that shares its memory with the parameter's gradient.
    by_name: HashMap<String, Tensor>,
}

/// A gradient that is a sum over tokens, A^T B, block by block.
pub(super) struct Product<'a> {
    /// A: the gradient of what the matrix gave.
    pub(super) left: Vec<&'a Panels>,
    /// B: what it read.
    pub(super) right: Vec<&'a Panels>,
    /// The parameters that are its rows, and the row at which each begins.
    pub(super) into: Vec<(usize, String)>,
}

/// A gradient's memory, `[rows, columns]`, from `first` of the product's rows on.
struct Rows {
    first: usize,
    n_rows: usize,
    n_columns: usize,
    memory: *mut f32,
}

// SAFETY: squares of a product do not overlap, and each is added by one task.
unsafe impl Sync for Rows {}

impl Gradients {
    /// Of these leaves; one that has no gradient yet gets zeros.
    pub(crate) fn of(parameters: &[(String, Tensor)]) -> Self {
        let gradient = |parameter: &Tensor| {
            if !parameter.grad().defined() {
                let zeros = tch::no_grad(|| parameter.zeros_like());
                shim::autograd::set_grad(parameter, zeros).expect("a leaf takes a gradient of its own shape and kind");
            }
            let gradient = parameter.grad();
            assert!(gradient.is_contiguous() && gradient.kind() == Kind::Float && gradient.device() == Device::Cpu);
            gradient
        };
        Self { by_name: parameters.iter().map(|(name, parameter)| (name.clone(), gradient(parameter))).collect() }
    }

    fn values(&mut self, name: &str) -> &mut [f32] {
        let gradient = &self.by_name[name];
        // SAFETY: contiguous float32 in this process's memory (checked when it was taken); borrowed mutably from `self`,
        // and nothing else reads or writes gradients during a backward pass.
        unsafe { std::slice::from_raw_parts_mut(gradient.data_ptr().cast(), gradient.numel()) }
    }

    /// Adds a vector; `values` may be longer than the parameter.
    pub(super) fn add(&mut self, name: &str, values: &[f32]) {
        self.values(name).iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }

    /// Adds what a chunk of the head gives; gives back the gradient of the stream behind the last layer.
    pub(crate) fn add_head(&mut self, weights: &PackedWeights, chunk: ChunkGradient) -> Vec<f32> {
        let (left, right) = (chunk.d_logits.iter().collect(), chunk.normed.iter().collect());
        self.add_products(&[Product { left, right, into: vec![(0, weights.head_name.to_owned())] }]);
        self.add("model.norm.weight", &chunk.d_norm);
        chunk.d_x
    }

    /// Adds the gradients of embedded tokens, `[tokens][stride]`.
    pub(super) fn add_embedding(&mut self, tokens: &[i64], d_x: &[f32], stride: usize) {
        let n = self.by_name[EMBEDDING].size()[1] as usize;
        let sums = self.values(EMBEDDING);
        for (&token, d_x) in tokens.iter().zip(d_x.chunks_exact(stride)) {
            sums[token as usize * n..][..n].iter_mut().zip(d_x).for_each(|(sum, value)| *sum += value);
        }
    }

    /// Adds products over tokens, cut into squares, on all threads. Each square is summed in the order of the blocks.
    pub(super) fn add_products(&mut self, products: &[Product]) {
        let rows: Vec<Vec<Rows>> = products.iter().map(|product| self.rows_of(product)).collect();
        let mut squares = Vec::new();
        for (product, rows) in products.iter().zip(&rows) {
            let (Some(left), Some(right)) = (product.left.first(), product.right.first()) else { continue };
            for i in 0..left.n_panels() {
                squares.extend((0..right.n_panels()).map(|j| (product, rows, i, j)));
            }
        }
        squares.into_par_iter().for_each(|(product, rows, i, j)| {
            let mut square: Square = [0.0; PANEL * PANEL];
            for (left, right) in product.left.iter().zip(&product.right) {
                multiply_transposed((left, i), (right, j), &mut square);
            }
            add_square(&square, (i, j), rows);
        });
    }

    fn rows_of(&mut self, product: &Product) -> Vec<Rows> {
        let rows = |(first, name): &(usize, String)| {
            let (n_rows, n_columns) = self.by_name[name].size2().expect("a matrix has two axes");
            Rows {
                first: *first,
                n_rows: n_rows as usize,
                n_columns: n_columns as usize,
                memory: self.values(name).as_mut_ptr(),
            }
        };
        product.into.iter().map(rows).collect()
    }
}

/// Adds what of a square lies inside the parameters.
fn add_square(square: &Square, (i, j): (usize, usize), parts: &[Rows]) {
    for (row, values) in square.chunks_exact(PANEL).enumerate() {
        let row = i * PANEL + row;
        let Some(part) = parts.iter().find(|part| (part.first..part.first + part.n_rows).contains(&row)) else {
            continue;
        };
        let columns = j * PANEL..(j * PANEL + PANEL).min(part.n_columns);
        for (column, value) in columns.zip(values) {
            // SAFETY: row and column are inside the parameter, and this square is this task's alone.
            unsafe { *part.memory.add((row - part.first) * part.n_columns + column) += value };
        }
    }
}
