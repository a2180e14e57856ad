//! How the keys and values of a head lie in memory: as float32, or as pairs of bfloat16 that take half of it.
//!
//! Both are read as float32. What has been rounded to bfloat16 before is the same number in both.

use super::{BLOCK, write_key};
use crate::cpu::vector::{LANES, Vector};

/// Keys in blocks of sixteen positions, values position by position, both in units of 32 bits.
pub(in crate::cpu) trait Stored: Copy + Default {
    /// Numbers in a unit.
    const DEPTH: usize;

    /// Two neighbouring numbers (2i and 2i + 1) of each of sixteen keys.
    ///
    /// # Safety
    /// `block` has that many.
    unsafe fn keys<V: Vector>(block: *const u32, i: usize) -> [V; 2];

    /// 32 numbers of a value, from `dim` on, which is a multiple of 32.
    ///
    /// # Safety
    /// `value` has that many.
    unsafe fn values<V: Vector>(value: *const u32, dim: usize) -> [V; 2];

    /// Writes a position's key into its block and its value to its place.
    fn write(keys: &mut [u32], values: &mut [u32], position: usize, key: &[f32], value: &[f32]);
}

/// `[blocks][head_dim][BLOCK]` and `[positions][head_dim]`, float32.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cpu) struct Singles;

/// `[blocks][head_dim / 2][BLOCK]` and `[positions][head_dim / 2]`, pairs of bfloat16. Of keys a pair is two neighbours; of
/// values, numbers j and j + 16 of 32. The numbers that are written must be bfloat16 already; `head_dim` is a multiple of 32.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cpu) struct Pairs;

impl Stored for Singles {
    const DEPTH: usize = 1;

    #[inline(always)]
    unsafe fn keys<V: Vector>(block: *const u32, i: usize) -> [V; 2] {
        // SAFETY: the caller's promise.
        unsafe { [V::load_units(block.add(2 * i * BLOCK)), V::load_units(block.add((2 * i + 1) * BLOCK))] }
    }

    #[inline(always)]
    unsafe fn values<V: Vector>(value: *const u32, dim: usize) -> [V; 2] {
        // SAFETY: the caller's promise.
        unsafe { [V::load_units(value.add(dim)), V::load_units(value.add(dim + LANES))] }
    }

    fn write(keys: &mut [u32], values: &mut [u32], position: usize, key: &[f32], value: &[f32]) {
        write_key(keys, key.iter().map(|number| number.to_bits()), position);
        let places = &mut values[position * value.len()..][..value.len()];
        places.iter_mut().zip(value).for_each(|(place, number)| *place = number.to_bits());
    }
}

impl Stored for Pairs {
    const DEPTH: usize = 2;

    #[inline(always)]
    unsafe fn keys<V: Vector>(block: *const u32, i: usize) -> [V; 2] {
        // SAFETY: the caller's promise.
        let (low, high) = unsafe { V::load_units(block.add(i * BLOCK)) }.halves();
        [low, high]
    }

    #[inline(always)]
    unsafe fn values<V: Vector>(value: *const u32, dim: usize) -> [V; 2] {
        // SAFETY: the caller's promise.
        let (low, high) = unsafe { V::load_units(value.add(dim / 2)) }.halves();
        [low, high]
    }

    fn write(keys: &mut [u32], values: &mut [u32], position: usize, key: &[f32], value: &[f32]) {
        debug_assert!(key.iter().chain(value).all(|number| number.to_bits() & 0xffff == 0), "rounded before");
        let pair = |low: f32, high: f32| low.to_bits() >> 16 | high.to_bits() & 0xffff_0000;
        write_key(keys, key.chunks_exact(2).map(|numbers| pair(numbers[0], numbers[1])), position);
        let places = &mut values[position * value.len() / 2..][..value.len() / 2];
        for (places, numbers) in places.chunks_exact_mut(LANES).zip(value.chunks_exact(2 * LANES)) {
            let (low, high) = numbers.split_at(LANES);
            places.iter_mut().zip(low.iter().zip(high)).for_each(|(place, (&low, &high))| *place = pair(low, high));
        }
    }
}
