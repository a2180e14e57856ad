//! Sixteen float32 values at once, by the instructions that a processor has.
//!
//! The compiler does not vectorise arrays of sums reliably, so the few operations needed are named. In float32 all kinds
//! compute the same bits: each operation is exact to the last rounding, and none is reordered. Products of bfloat16 pairs
//! are rounded in the processor's way where it has an instruction for them.

/// Values in a vector.
pub(super) const LANES: usize = 16;

/// Sixteen values.
pub(super) trait Vector: Copy {
    /// The same value everywhere.
    fn splat(value: f32) -> Self;
    /// The first sixteen values of a slice.
    ///
    /// # Panics
    /// If there are fewer.
    fn load(values: &[f32]) -> Self;
    /// Into the first sixteen places of a slice.
    ///
    /// # Panics
    /// If there are fewer.
    fn store(self, into: &mut [f32]);
    /// `self * factor + summand`, rounded once.
    fn mul_add(self, factor: Self, summand: Self) -> Self;
    /// `self + other`
    fn add(self, other: Self) -> Self;
    /// `self - other`
    fn sub(self, other: Self) -> Self;
    /// `self * other`
    fn mul(self, other: Self) -> Self;
    /// The greater of the two; `other` if either is NaN.
    fn max(self, other: Self) -> Self;
    /// `self / other`
    fn div(self, other: Self) -> Self;
    /// `2^n`, for `self = n + 1.5 * 2^23` with n an integer in -126..=127: n then lies in the low bits of the number.
    fn power_of_two(self) -> Self;

    /// Registers of sixteen that a tile of a matrix product has side by side: as many as leave room for its rows.
    const TILE: usize;

    /// Sixteen units as they lie in memory.
    ///
    /// # Safety
    /// There are sixteen.
    unsafe fn load_units(units: *const u32) -> Self;
    /// The same unit everywhere.
    fn splat_unit(unit: u32) -> Self;
    /// Into sixteen places.
    ///
    /// # Safety
    /// There are sixteen.
    unsafe fn store_units(self, into: *mut u32);
    /// Two numbers rounded to bfloat16 in one unit: `low` in its low half, `high` in its high half.
    fn pair(low: Self, high: Self) -> Self;
    /// The two numbers of each unit.
    fn halves(self) -> (Self, Self);

    /// `self + low(a) low(b) + high(a) high(b)`, of pairs of bfloat16, summed in float32.
    #[inline(always)]
    fn add_pair_products(self, a: Self, b: Self) -> Self {
        let ((a_low, a_high), (b_low, b_high)) = (a.halves(), b.halves());
        b_high.mul_add(a_high, b_low.mul_add(a_low, self))
    }

    /// All sixteen, to be summed or compared one after the other.
    #[inline(always)]
    fn lanes(self) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        self.store(&mut lanes);
        lanes
    }
}

/// The number that rounds to an integer when it is added: 1.5 * 2^23.
pub(super) const ROUND: f32 = 12_582_912.0;

/// For any processor.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; LANES]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, operation: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| operation(self.0[lane], other.0[lane])))
    }
}

impl Vector for Portable {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        Self(values[..LANES].try_into().expect("sixteen values"))
    }

    #[inline(always)]
    fn store(self, into: &mut [f32]) {
        into[..LANES].copy_from_slice(&self.0);
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane].mul_add(factor.0[lane], summand.0[lane])))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }

    const TILE: usize = 1;

    #[inline(always)]
    unsafe fn load_units(units: *const u32) -> Self {
        // SAFETY: the caller's promise.
        Self(std::array::from_fn(|lane| f32::from_bits(unsafe { *units.add(lane) })))
    }

    #[inline(always)]
    fn splat_unit(unit: u32) -> Self {
        Self([f32::from_bits(unit); LANES])
    }

    #[inline(always)]
    unsafe fn store_units(self, into: *mut u32) {
        for lane in 0..LANES {
            // SAFETY: the caller's promise.
            unsafe { *into.add(lane) = self.0[lane].to_bits() };
        }
    }

    #[inline(always)]
    fn pair(low: Self, high: Self) -> Self {
        // To the nearest, ties to the even one. What is no number stays so: arithmetic makes none with all of its low bits set.
        let round = |x: f32| x.to_bits().wrapping_add(0x7fff + (x.to_bits() >> 16 & 1));
        low.zip(high, |low, high| f32::from_bits(round(low) >> 16 | round(high) & 0xffff_0000))
    }

    #[inline(always)]
    fn halves(self) -> (Self, Self) {
        let map = |half: fn(u32) -> u32| Self(self.0.map(|unit| f32::from_bits(half(unit.to_bits()))));
        (map(|unit| unit << 16), map(|unit| unit & 0xffff_0000))
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        let power = |n: f32| f32::from_bits(n.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
        Self(self.0.map(power))
    }
}

/// Implements [`Vector`] over `$n` registers of a kind, by the processor's instructions.
#[cfg(target_arch = "x86_64")]
macro_rules! by_registers {
    ($(#[$doc:meta])* $name:ident: $n:literal of $register:ident, $width:literal,
     $splat:ident $load:ident $store:ident $fma:ident $add:ident $sub:ident $mul:ident $max:ident $div:ident
     $bits:ident $float:ident $int_splat:ident $int_sub:ident $left:ident $and:ident,
     tile $tile:literal, $($own_pairs:tt)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(in crate::cpu) struct $name([$register; $n]);

        // SAFETY (each block below): the type is used by functions that are compiled for, and called on, processors with
        // these instructions (`for_this_processor`). Loads and stores stay inside slices whose length was checked.
        impl Vector for $name {
            #[inline(always)]
            fn splat(value: f32) -> Self {
                // SAFETY: as above.
                Self([unsafe { $splat(value) }; $n])
            }

            #[inline(always)]
            fn load(values: &[f32]) -> Self {
                let mut result = Self::splat(0.0);
                for i in 0..$n {
                    // SAFETY: as above.
                    result.0[i] = unsafe { $load(values[i * $width..(i + 1) * $width].as_ptr()) };
                }
                result
            }

            #[inline(always)]
            fn store(self, into: &mut [f32]) {
                for i in 0..$n {
                    // SAFETY: as above.
                    unsafe { $store(into[i * $width..(i + 1) * $width].as_mut_ptr(), self.0[i]) };
                }
            }

            #[inline(always)]
            fn mul_add(self, factor: Self, summand: Self) -> Self {
                let mut result = self;
                for i in 0..$n {
                    // SAFETY: as above.
                    result.0[i] = unsafe { $fma(self.0[i], factor.0[i], summand.0[i]) };
                }
                result
            }

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                let mut result = self;
                for i in 0..$n {
                    // SAFETY: as above.
                    result.0[i] = unsafe { $add(self.0[i], other.0[i]) };
                }
                result
            }

            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                let mut result = self;
                for i in 0..$n {
                    // SAFETY: as above.
                    result.0[i] = unsafe { $sub(self.0[i], other.0[i]) };
                }
                result
            }

            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                let mut result = self;
                for i in 0..$n {
                    // SAFETY: as above.
                    result.0[i] = unsafe { $mul(self.0[i], other.0[i]) };
                }
                result
            }

            #[inline(always)]
            fn max(self, other: Self) -> Self {
                let mut result = self;
                for i in 0..$n {
                    // SAFETY: as above.
                    result.0[i] = unsafe { $max(self.0[i], other.0[i]) };
                }
                result
            }

            #[inline(always)]
            fn div(self, other: Self) -> Self {
                let mut result = self;
                for i in 0..$n {
                    // SAFETY: as above.
                    result.0[i] = unsafe { $div(self.0[i], other.0[i]) };
                }
                result
            }

            const TILE: usize = $tile;

            #[inline(always)]
            unsafe fn load_units(units: *const u32) -> Self {
                let mut result = Self::splat(0.0);
                for i in 0..$n {
                    // SAFETY: the caller's promise.
                    result.0[i] = unsafe { $load(units.add(i * $width).cast()) };
                }
                result
            }

            #[inline(always)]
            fn splat_unit(unit: u32) -> Self {
                // SAFETY: as above.
                Self([unsafe { $float($int_splat(unit as i32)) }; $n])
            }

            #[inline(always)]
            unsafe fn store_units(self, into: *mut u32) {
                for i in 0..$n {
                    // SAFETY: the caller's promise.
                    unsafe { $store(into.add(i * $width).cast(), self.0[i]) };
                }
            }

            #[inline(always)]
            fn halves(self) -> (Self, Self) {
                let (mut low, mut high) = (self, self);
                for i in 0..$n {
                    // SAFETY: as above.
                    unsafe {
                        low.0[i] = $float($left::<16>($bits(self.0[i])));
                        high.0[i] = $float($and($bits(self.0[i]), $int_splat(0xffff_0000_u32 as i32)));
                    }
                }
                (low, high)
            }

            $($own_pairs)*

            #[inline(always)]
            fn power_of_two(self) -> Self {
                let mut result = self;
                for i in 0..$n {
                    // SAFETY: as above.
                    result.0[i] = unsafe { $float($left::<23>($int_sub($bits(self.0[i]), $int_splat(ROUND.to_bits() as i32 - 127)))) };
                }
                result
            }
        }
    };
}

/// [`Vector::pair`] by whole numbers: to the nearest, ties to the even one.
#[cfg(target_arch = "x86_64")]
macro_rules! pair_by_integers {
    ($n:literal $bits:ident $float:ident $int_splat:ident $int_add:ident $right:ident $and:ident $or:ident) => {
        #[inline(always)]
        fn pair(low: Self, high: Self) -> Self {
            let mut result = low;
            for i in 0..$n {
                // SAFETY: as for the other operations of this type.
                unsafe {
                    let one = $int_splat(1);
                    let half = $int_splat(0x7fff);
                    let (low, high) = ($bits(low.0[i]), $bits(high.0[i]));
                    let low = $int_add(low, $int_add(half, $and($right::<16>(low), one)));
                    let high = $int_add(high, $int_add(half, $and($right::<16>(high), one)));
                    let high = $and(high, $int_splat(0xffff_0000_u32 as i32));
                    result.0[i] = $float($or($right::<16>(low), high));
                }
            }
            result
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{ROUND, Vector};
    use std::arch::x86_64::*;

    by_registers! {
        /// One register of AVX-512.
        Avx512: 1 of __m512, 16,
        _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_fmadd_ps _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_max_ps _mm512_div_ps
        _mm512_castps_si512 _mm512_castsi512_ps _mm512_set1_epi32 _mm512_sub_epi32 _mm512_slli_epi32 _mm512_and_si512,
        tile 4,
        pair_by_integers! { 1 _mm512_castps_si512 _mm512_castsi512_ps _mm512_set1_epi32 _mm512_add_epi32 _mm512_srli_epi32 _mm512_and_si512 _mm512_or_si512 }
    }

    by_registers! {
        /// The same on a processor that multiplies pairs of bfloat16.
        Avx512Bf16: 1 of __m512, 16,
        _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_fmadd_ps _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_max_ps _mm512_div_ps
        _mm512_castps_si512 _mm512_castsi512_ps _mm512_set1_epi32 _mm512_sub_epi32 _mm512_slli_epi32 _mm512_and_si512,
        tile 4,
        #[inline(always)]
        fn pair(low: Self, high: Self) -> Self {
            // SAFETY: as above; both halves are sixteen numbers of sixteen bits.
            unsafe {
                let low = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(low.0[0]));
                let high = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(high.0[0]));
                let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high));
                Self([_mm512_castsi512_ps(_mm512_or_si512(_mm512_cvtepu16_epi32(low), high))])
            }
        }
        #[inline(always)]
        fn add_pair_products(self, a: Self, b: Self) -> Self {
            // SAFETY: as above; any bits are pairs of bfloat16.
            unsafe {
                let pairs = |x: Self| std::mem::transmute::<__m512, __m512bh>(x.0[0]);
                Self([_mm512_dpbf16_ps(self.0[0], pairs(a), pairs(b))])
            }
        }
    }

    by_registers! {
        /// Two registers of AVX2 with fused multiply-add.
        Avx2: 2 of __m256, 8,
        _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_fmadd_ps _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_max_ps _mm256_div_ps
        _mm256_castps_si256 _mm256_castsi256_ps _mm256_set1_epi32 _mm256_sub_epi32 _mm256_slli_epi32 _mm256_and_si256,
        tile 1,
        pair_by_integers! { 2 _mm256_castps_si256 _mm256_castsi256_ps _mm256_set1_epi32 _mm256_add_epi32 _mm256_srli_epi32 _mm256_and_si256 _mm256_or_si256 }
    }
}
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512, Avx512Bf16};
