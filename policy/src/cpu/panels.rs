//! Matrices in the layouts that the products read.
//!
//! A *unit* is what the innermost step of a product takes: one float32, or two bfloat16 in 32 bits. Along the axis that is
//! summed over, 32 bfloat16 make 16 units, of which unit j holds numbers j and j + 16: two registers become one without
//! moving a number sideways.

use super::vector::{LANES, Vector};
use super::{for_this_processor, width};
use crate::Dtype;

/// Columns of a panel: four registers.
pub(super) const PANEL: usize = 4 * LANES;

impl Dtype {
    /// Numbers in a unit.
    pub(super) fn depth(self) -> usize {
        match self {
            Self::Float32 => 1,
            Self::BFloat16 => 2,
        }
    }
}

/// The right side of a product, `[steps, columns]` in units: panels of 64 columns (the last may have 32), each
/// `[steps][columns of the panel]`.
#[derive(Debug)]
pub(crate) struct Panels {
    pub(super) dtype: Dtype,
    /// Steps of the sum, in units.
    pub(super) n_steps: usize,
    /// Columns, in whole pairs of registers.
    pub(super) n_columns: usize,
    units: Vec<u32>,
}

impl Panels {
    fn zeros(dtype: Dtype, n_steps: usize, n_columns: usize) -> Self {
        Self { dtype, n_steps, n_columns, units: vec![0; n_steps * n_columns] }
    }

    /// Number of panels.
    pub(super) fn n_panels(&self) -> usize {
        self.n_columns.div_ceil(PANEL)
    }

    /// A panel's units and its columns.
    #[inline(always)]
    pub(super) fn panel(&self, index: usize) -> (&[u32], usize) {
        let n_columns = PANEL.min(self.n_columns - index * PANEL);
        (&self.units[index * PANEL * self.n_steps..][..n_columns * self.n_steps], n_columns)
    }

    fn panel_mut(&mut self, index: usize) -> &mut [u32] {
        let n_columns = PANEL.min(self.n_columns - index * PANEL);
        &mut self.units[index * PANEL * self.n_steps..][..n_columns * self.n_steps]
    }

    /// For `x W^T`: the sum runs along the rows of W.
    ///
    /// - `rows`: W `[columns, inputs]`; as many as the result has columns
    pub(super) fn of_transposed(dtype: Dtype, rows: &[&[f32]]) -> Self {
        let n_inputs = rows.first().map_or(0, |row| row.len());
        let mut panels = Self::zeros(dtype, width(n_inputs) / dtype.depth(), width(rows.len()));
        let (n_steps, n_panels) = (panels.n_steps, panels.n_panels());
        let mut units = vec![0; n_steps];
        let mut padded = vec![0.0; width(n_inputs)];
        for index in 0..n_panels {
            let n_columns = PANEL.min(panels.n_columns - index * PANEL);
            let panel = panels.panel_mut(index);
            for (column, row) in rows.iter().skip(index * PANEL).take(n_columns).enumerate() {
                padded[..n_inputs].copy_from_slice(row);
                to_units(dtype, &padded, &mut units);
                for (step, &unit) in units.iter().enumerate() {
                    panel[step * n_columns + column] = unit;
                }
            }
        }
        panels
    }

    /// For `x W`: the sum runs down the rows of W.
    ///
    /// - `rows`: W `[inputs, columns]`
    pub(super) fn of(dtype: Dtype, rows: &[&[f32]]) -> Self {
        let n_columns = rows.first().map_or(0, |row| row.len());
        let zeros = vec![0.0; n_columns];
        let row = |index: usize| rows.get(index).copied().unwrap_or(&zeros);
        Self::of_steps(dtype, width(rows.len()) / dtype.depth(), n_columns, |step| match dtype {
            Dtype::Float32 => [row(step); 2],
            Dtype::BFloat16 => {
                let first = step / LANES * 2 * LANES + step % LANES;
                [row(first), row(first + LANES)]
            }
        })
    }

    /// Activations as either side of `A^T B`: the sum runs over the tokens.
    ///
    /// - `rows`: `[n_rows][stride]`, of which `n_columns` are used
    pub(super) fn of_tokens(dtype: Dtype, rows: &[f32], stride: usize, n_columns: usize) -> Self {
        let zeros = vec![0.0; n_columns];
        let row = |index: usize| rows.get(index * stride..index * stride + n_columns).unwrap_or(&zeros);
        Self::of_steps(dtype, (rows.len() / stride).div_ceil(dtype.depth()), n_columns, |step| match dtype {
            Dtype::Float32 => [row(step); 2],
            Dtype::BFloat16 => [row(2 * step), row(2 * step + 1)],
        })
    }

    /// Each step of every panel from two rows of `n_columns` numbers, of which float32 takes the first.
    fn of_steps<'a>(dtype: Dtype, n_steps: usize, n_columns: usize, rows: impl Fn(usize) -> [&'a [f32]; 2]) -> Self {
        let padded = width(n_columns);
        let mut units: Vec<u32> = Vec::with_capacity(n_steps * padded);
        let start = units.as_mut_ptr();
        let mut ends = [[0.0; PANEL]; 2];
        for step in 0..n_steps {
            let [low, high] = rows(step);
            assert!(low.len() == n_columns && high.len() == n_columns);
            for first in (0..padded).step_by(PANEL) {
                let panel = PANEL.min(padded - first);
                // SAFETY: a panel of `panel` columns begins at `first * n_steps`, and this step of it is inside the memory.
                let into = unsafe { start.add(first * n_steps + step * panel) };
                let own = first.min(n_columns)..(first + panel).min(n_columns);
                let (low, high) = if own.len() == panel {
                    (&low[own.clone()], &high[own])
                } else {
                    ends[0][..own.len()].copy_from_slice(&low[own.clone()]);
                    ends[1][..own.len()].copy_from_slice(&high[own]);
                    (&ends[0][..panel], &ends[1][..panel])
                };
                pair_rows(dtype, low, high, into);
            }
        }
        // SAFETY: every step of every panel has been written, which is every unit.
        unsafe { units.set_len(n_steps * padded) };
        Self { dtype, n_steps, n_columns: padded, units }
    }
}

for_this_processor! {
    /// Units of two rows, column by column; `high` is not looked at in float32. There must be room for as many as `low` has.
    fn pair_rows = pair_rows_by(dtype: Dtype, low: &[f32], high: &[f32], into: *mut u32)
}

#[inline(always)]
fn pair_rows_by<V: Vector>(dtype: Dtype, low: &[f32], high: &[f32], into: *mut u32) {
    assert!(low.len() == high.len() && low.len().is_multiple_of(LANES));
    for at in (0..low.len()).step_by(LANES) {
        let numbers = V::load(&low[at..]);
        let units = match dtype {
            Dtype::Float32 => numbers,
            Dtype::BFloat16 => V::pair(numbers, V::load(&high[at..])),
        };
        // SAFETY: the caller has room for as many units as `low` has numbers.
        unsafe { units.store_units(into.add(at)) };
    }
}

for_this_processor! {
    /// Rows as the left side of a product; their length is a multiple of 32.
    pub(super) fn to_units = to_units_by(dtype: Dtype, numbers: &[f32], units: &mut [u32])
}

#[inline(always)]
fn to_units_by<V: Vector>(dtype: Dtype, numbers: &[f32], units: &mut [u32]) {
    assert!(numbers.len().is_multiple_of(2 * LANES) && units.len() == numbers.len() / dtype.depth());
    match dtype {
        Dtype::Float32 => numbers.iter().zip(units).for_each(|(number, unit)| *unit = number.to_bits()),
        Dtype::BFloat16 => {
            for block in 0..numbers.len() / (2 * LANES) {
                let numbers = &numbers[block * 2 * LANES..];
                let pairs = V::pair(V::load(numbers), V::load(&numbers[LANES..]));
                // SAFETY: there are as many blocks of units as of numbers.
                unsafe { pairs.store_units(units.as_mut_ptr().add(block * LANES)) };
            }
        }
    }
}

/// Rows of activations as the left side of a product. In float32 they are that already.
///
/// - `numbers`: rows whose length is a multiple of 32; `memory`: where units go
pub(super) fn operand<'a>(dtype: Dtype, numbers: &'a [f32], memory: &'a mut Vec<u32>) -> &'a [u32] {
    match dtype {
        Dtype::Float32 => as_units(numbers),
        Dtype::BFloat16 => {
            memory.resize(numbers.len() / 2, 0);
            to_units(dtype, numbers, memory);
            memory
        }
    }
}

/// The same memory.
pub(super) fn as_units(numbers: &[f32]) -> &[u32] {
    // SAFETY: a float32 and a unit have the same size and alignment, and any bits are either.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), numbers.len()) }
}
