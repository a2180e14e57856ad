//! The matrix products: tiles of a few rows by four registers, summed in registers, the right side streamed in panels.
//!
//! Every element is summed along one axis in one order, in runs of [`RUN`] steps, whatever the number of rows: a row has the
//! same bits in every batch.

use rayon::prelude::*;

use super::for_this_processor;
use super::panels::{PANEL, Panels, operand};
use super::vector::{LANES, Vector};
use crate::Dtype;

/// Steps that are summed in registers before the sum is put away: so much of a panel stays in the cache next to the core
/// while all rows go over it.
const RUN: usize = 256;

/// Rows of a tile.
const ROWS: usize = 6;

/// What does the products of one thread: whether it may call on others, and its working memory.
#[derive(Debug, Default)]
pub(super) struct Products {
    pub(super) on_all_threads: bool,
    units: Vec<u32>,
}

impl Products {
    /// `C = A B`, A rounded to the kind of B.
    ///
    /// - `a`: rows of as many numbers as B has steps of; `c`: as many rows of `c_stride`, of which B's columns are written
    pub(super) fn multiply(&mut self, a: &[f32], b: &Panels, c: &mut [f32], c_stride: usize) {
        let shares = self.on_all_threads && b.n_steps * b.n_columns >= SHARED;
        let by = if shares { multiply_on_all_threads } else { multiply };
        by(operand(b.dtype, a, &mut self.units), c.len() / c_stride, b, c, c_stride);
    }
}

/// `C = A B`.
///
/// - `a`: `n_rows` rows of `b.n_steps` units; `c`: `n_rows` rows of `c_stride`, of which `b.n_columns` are written
fn multiply(a: &[u32], n_rows: usize, b: &Panels, c: &mut [f32], c_stride: usize) {
    let product = Whole::new(a, n_rows, b, c, c_stride);
    for first in (0..b.n_steps).step_by(RUN) {
        (0..b.n_panels()).for_each(|index| product.panel(index, first));
    }
}

/// Units of a matrix from which on its panels are worth being shared out among threads.
const SHARED: usize = 1 << 19;

/// As [`multiply`], to the bit, on all threads: for a few rows and a large matrix.
fn multiply_on_all_threads(a: &[u32], n_rows: usize, b: &Panels, c: &mut [f32], c_stride: usize) {
    let product = Whole::new(a, n_rows, b, c, c_stride);
    (0..b.n_panels()).into_par_iter().for_each(|index| {
        (0..b.n_steps).step_by(RUN).for_each(|first| product.panel(index, first));
    });
}

/// A product whose lengths have been checked.
struct Whole<'a> {
    a: &'a [u32],
    n_rows: usize,
    b: &'a Panels,
    c: *mut f32,
    c_stride: usize,
}

// SAFETY: panels of the result do not overlap, and each is computed by one thread.
unsafe impl Sync for Whole<'_> {}

impl<'a> Whole<'a> {
    fn new(a: &'a [u32], n_rows: usize, b: &'a Panels, c: &'a mut [f32], c_stride: usize) -> Self {
        assert!(a.len() == n_rows * b.n_steps && c_stride >= b.n_columns && c.len() == n_rows * c_stride);
        Self { a, n_rows, b, c: c.as_mut_ptr(), c_stride }
    }

    /// One run of one panel.
    fn panel(&self, index: usize, first: usize) {
        if self.n_rows == 0 {
            return;
        }
        let (panel, n_columns) = self.b.panel(index);
        product_of(&Product {
            dtype: self.b.dtype,
            a: self.a[first.min(self.a.len())..].as_ptr(),
            a_strides: [self.b.n_steps, 1],
            n_rows: self.n_rows,
            b: panel[first * n_columns..].as_ptr(),
            n_columns,
            n_steps: RUN.min(self.b.n_steps - first),
            // SAFETY: the panel's columns lie inside each row.
            c: unsafe { self.c.add(index * PANEL) },
            c_stride: self.c_stride,
            adds: first > 0,
        });
    }
}

/// A square of `A^T B` that is being summed: 64 columns of A by 64 of B.
pub(super) type Square = [f32; PANEL * PANEL];

/// `C += A^T B` for one panel of each.
///
/// - `a`, `b`: of the same number of steps; `c`: `[columns of a's panel][PANEL]`
pub(super) fn multiply_transposed(a: (&Panels, usize), b: (&Panels, usize), c: &mut Square) {
    assert_eq!(a.0.n_steps, b.0.n_steps, "both sides have the same tokens");
    let ((a_panel, n_rows), (b_panel, n_columns)) = (a.0.panel(a.1), b.0.panel(b.1));
    product_of(&Product {
        dtype: b.0.dtype,
        a: a_panel.as_ptr(),
        a_strides: [1, n_rows],
        n_rows,
        b: b_panel.as_ptr(),
        n_columns,
        n_steps: b.0.n_steps,
        c: c.as_mut_ptr(),
        c_stride: PANEL,
        adds: true,
    });
}

/// One panel's product. The pointers reach as far as the counts and strides say.
struct Product {
    dtype: Dtype,
    a: *const u32,
    /// From one row to the next, from one step to the next.
    a_strides: [usize; 2],
    n_rows: usize,
    /// `[n_steps][n_columns]`
    b: *const u32,
    n_columns: usize,
    n_steps: usize,
    c: *mut f32,
    c_stride: usize,
    /// Whether C is added to.
    adds: bool,
}

for_this_processor! {
    fn product_of = product_by(product: &Product)
}

#[inline(always)]
fn product_by<V: Vector>(product: &Product) {
    match product.dtype {
        Dtype::Float32 => rows_of_tiles::<V, false>(product),
        Dtype::BFloat16 => rows_of_tiles::<V, true>(product),
    }
}

#[inline(always)]
fn rows_of_tiles<V: Vector, const PAIRS: bool>(product: &Product) {
    let mut row = 0;
    while row < product.n_rows {
        match product.n_rows - row {
            1 => tiles::<V, PAIRS, 1>(product, row),
            2 => tiles::<V, PAIRS, 2>(product, row),
            3 => tiles::<V, PAIRS, 3>(product, row),
            4 => tiles::<V, PAIRS, 4>(product, row),
            5 => tiles::<V, PAIRS, 5>(product, row),
            _ => tiles::<V, PAIRS, ROWS>(product, row),
        }
        row += ROWS;
    }
}

#[inline(always)]
fn tiles<V: Vector, const PAIRS: bool, const M: usize>(product: &Product, row: usize) {
    let mut column = 0;
    while column < product.n_columns {
        // SAFETY: rows and columns of the tile are within the product's; its maker has checked the lengths.
        unsafe {
            if V::TILE == 4 && product.n_columns - column >= 4 * LANES {
                tile::<V, PAIRS, M, 4>(product, row, column);
                column += 4 * LANES;
            } else if V::TILE == 4 {
                tile::<V, PAIRS, M, 2>(product, row, column);
                column += 2 * LANES;
            } else {
                tile::<V, PAIRS, M, 1>(product, row, column);
                column += LANES;
            }
        }
    }
}

/// M rows by N registers.
///
/// # Safety
/// The tile lies within the product.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // A closure is not compiled for the caller's instructions.
unsafe fn tile<V: Vector, const PAIRS: bool, const M: usize, const N: usize>(
    product: &Product,
    row: usize,
    column: usize,
) {
    let [row_stride, step_stride] = product.a_strides;
    // Pointers and not indices in the loop: the arithmetic of indices is checked for overflow.
    let mut a = product.a.wrapping_add(row * row_stride);
    let mut b = product.b.wrapping_add(column);
    let c = product.c.wrapping_add(row * product.c_stride + column);
    let mut offsets = [0; M];
    for m in 1..M {
        offsets[m] = offsets[m - 1] + row_stride;
    }
    let mut sums = [[V::splat(0.0); N]; M];
    // SAFETY: the caller's promise. Past the last step `a` and `b` point behind the end and are not looked at.
    unsafe {
        for _ in 0..product.n_steps {
            let mut right = [V::splat(0.0); N];
            for n in 0..N {
                right[n] = V::load_units(b.add(n * LANES));
            }
            for m in 0..M {
                let left = V::splat_unit(*a.add(offsets[m]));
                for n in 0..N {
                    sums[m][n] = if PAIRS {
                        sums[m][n].add_pair_products(left, right[n])
                    } else {
                        right[n].mul_add(left, sums[m][n])
                    };
                }
            }
            a = a.wrapping_add(step_stride);
            b = b.wrapping_add(product.n_columns);
        }
        for m in 0..M {
            for n in 0..N {
                let into = c.add(m * product.c_stride + n * LANES).cast();
                let sum = if product.adds { sums[m][n].add(V::load_units(into)) } else { sums[m][n] };
                sum.store_units(into);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::width;
    use super::*;

    /// Numbers without pattern in about [-1, 1].
    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        let number = |i: usize| ((i + 7919 * seed) as u32).wrapping_mul(2_654_435_761) >> 8;
        (0..n).map(|i| number(i) as f32 / 8_388_608.0 - 1.0).collect()
    }

    /// As a product rounds its inputs.
    fn rounded(dtype: Dtype, x: f32) -> f64 {
        let bits = x.to_bits();
        match dtype {
            Dtype::Float32 => f64::from(x),
            Dtype::BFloat16 => f64::from(f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)),
        }
    }

    fn rows(matrix: &[f32], n_columns: usize) -> Vec<&[f32]> {
        matrix.chunks(n_columns).collect()
    }

    /// Each row padded to a whole width.
    fn padded(matrix: &[f32], n_columns: usize) -> Vec<f32> {
        let mut result = Vec::new();
        for row in matrix.chunks(n_columns) {
            result.extend_from_slice(row);
            result.resize(result.len() + width(n_columns) - n_columns, 0.0);
        }
        result
    }

    const KINDS: [Dtype; 2] = [Dtype::Float32, Dtype::BFloat16];

    #[test]
    fn products_are_those_of_float64() {
        for dtype in KINDS {
            for (m, k, n) in [(1, 32, 64), (6, 64, 32), (7, 48, 99), (13, 700, 160), (96, 352, 128), (5, 33, 1)] {
                let (a, w) = (numbers(m * k, 1), numbers(n * k, 2));
                let exact = |row: usize, column: usize| -> f64 {
                    let product = |i: usize| rounded(dtype, a[row * k + i]) * rounded(dtype, w[column * k + i]);
                    (0..k).map(product).sum()
                };
                let transposed: Vec<f32> = (0..n * k).map(|i| w[i % n * k + i / n]).collect();
                for panels in [Panels::of_transposed(dtype, &rows(&w, k)), Panels::of(dtype, &rows(&transposed, n))] {
                    let mut c = vec![f32::NAN; m * panels.n_columns];
                    let n_columns = panels.n_columns;
                    multiply(operand(dtype, &padded(&a, k), &mut Vec::new()), m, &panels, &mut c, n_columns);
                    for row in 0..m {
                        for column in 0..n_columns {
                            let expected = if column < n { exact(row, column) } else { 0.0 };
                            let got = f64::from(c[row * n_columns + column]);
                            assert!((got - expected).abs() < 1e-6 * k as f64, "{m} {k} {n}: {got}, {expected}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn products_over_tokens_are_those_of_float64() {
        for dtype in KINDS {
            for (tokens, m, n) in [(1, 64, 64), (17, 40, 100), (96, 128, 32)] {
                let (a, b) = (numbers(tokens * m, 3), numbers(tokens * n, 4));
                let of = |x: &[f32], columns: usize| Panels::of_tokens(dtype, x, columns, columns);
                let (left, right) = (of(&a, m), of(&b, n));
                for (i, j) in (0..left.n_panels()).flat_map(|i| (0..right.n_panels()).map(move |j| (i, j))) {
                    let mut square = [1.0; PANEL * PANEL];
                    multiply_transposed((&left, i), (&right, j), &mut square);
                    for (row, column) in (0..PANEL).flat_map(|row| (0..PANEL).map(move |column| (row, column))) {
                        let (x, y) = (i * PANEL + row, j * PANEL + column);
                        if x >= m || y >= n {
                            continue;
                        }
                        let product = |t: usize| rounded(dtype, a[t * m + x]) * rounded(dtype, b[t * n + y]);
                        let expected = 1.0 + (0..tokens).map(product).sum::<f64>();
                        let got = f64::from(square[row * PANEL + column]);
                        assert!((got - expected).abs() < 1e-4, "{tokens} {m} {n}: {got}, {expected}");
                    }
                }
            }
        }
    }

    /// What sampling and training rely on: a row's bits do not depend on its company.
    #[test]
    fn a_row_is_the_same_in_every_batch() {
        for dtype in KINDS {
            for (k, n) in [(128, 704), (352, 128), (896, 96)] {
                let (a, w) = (numbers(64 * k, 5), numbers(n * k, 6));
                let panels = Panels::of_transposed(dtype, &rows(&w, k));
                let product = |first: usize, m: usize| {
                    let mut c = vec![0.0; m * panels.n_columns];
                    let a = padded(&a[first * k..(first + m) * k], k);
                    multiply(operand(dtype, &a, &mut Vec::new()), m, &panels, &mut c, panels.n_columns);
                    c
                };
                let whole = product(0, 64);
                let mut shared = vec![0.0; whole.len()];
                let all = padded(&a, k);
                let mut memory = Vec::new();
                let all = operand(dtype, &all, &mut memory);
                multiply_on_all_threads(all, 64, &panels, &mut shared, panels.n_columns);
                assert_eq!(shared, whole);
                for (first, m) in [(0, 1), (3, 2), (11, 5), (20, 6), (30, 34)] {
                    assert_eq!(product(first, m), whole[first * panels.n_columns..][..m * panels.n_columns]);
                }
            }
        }
    }

    /// A machine's kind of processor changes nothing in float32; in bfloat16 the order of sums within a pair.
    #[test]
    fn portable_products_are_those_of_this_processor() {
        for (dtype, tolerance) in [(Dtype::Float32, 0.0), (Dtype::BFloat16, 1e-4)] {
            let (m, k, n) = (13, 300, 96);
            let (a, w) = (padded(&numbers(m * k, 7), k), numbers(n * k, 8));
            let panels = Panels::of_transposed(dtype, &rows(&w, k));
            let mut memory = Vec::new();
            let a = operand(dtype, &a, &mut memory);
            let (mut own, mut portable) = (vec![0.0; m * n], vec![0.0; m * n]);
            for index in 0..panels.n_panels() {
                let (panel, n_columns) = panels.panel(index);
                let product = |c: &mut [f32]| Product {
                    dtype,
                    a: a.as_ptr(),
                    a_strides: [panels.n_steps, 1],
                    n_rows: m,
                    b: panel.as_ptr(),
                    n_columns,
                    n_steps: panels.n_steps,
                    c: c[index * PANEL..].as_mut_ptr(),
                    c_stride: n,
                    adds: true,
                };
                product_of(&product(&mut own));
                product_by::<super::super::vector::Portable>(&product(&mut portable));
            }
            let difference = own.iter().zip(&portable).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference <= tolerance, "{dtype:?}: {difference}");
        }
    }
}
