//! Sixteen float32 values at once, by the instructions that a processor has.
//!
//! The compiler does not vectorise arrays of sums reliably, so the few operations needed are named. All three kinds
//! compute the same bits: each operation is exact to the last rounding, and none is reordered.

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
    /// `2^n`, for `self = n + 1.5 * 2^23` with n an integer in -126..=127: n then lies in the low bits of the number.
    fn power_of_two(self) -> Self;

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
    fn power_of_two(self) -> Self {
        let power = |n: f32| f32::from_bits(n.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
        Self(self.0.map(power))
    }
}

/// Implements [`Vector`] over `$n` registers of a kind, by the processor's instructions.
#[cfg(target_arch = "x86_64")]
macro_rules! by_registers {
    ($(#[$doc:meta])* $name:ident: $n:literal of $register:ident, $width:literal,
     $splat:ident $load:ident $store:ident $fma:ident $add:ident $sub:ident $mul:ident $max:ident
     $bits:ident $float:ident $int_splat:ident $int_sub:ident $shift:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(in crate::cpu_attention) struct $name([$register; $n]);

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
            fn power_of_two(self) -> Self {
                let mut result = self;
                for i in 0..$n {
                    // SAFETY: as above.
                    result.0[i] = unsafe { $float($shift::<23>($int_sub($bits(self.0[i]), $int_splat(ROUND.to_bits() as i32 - 127)))) };
                }
                result
            }
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
        _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_fmadd_ps _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_max_ps
        _mm512_castps_si512 _mm512_castsi512_ps _mm512_set1_epi32 _mm512_sub_epi32 _mm512_slli_epi32
    }

    by_registers! {
        /// Two registers of AVX2 with fused multiply-add.
        Avx2: 2 of __m256, 8,
        _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_fmadd_ps _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_max_ps
        _mm256_castps_si256 _mm256_castsi256_ps _mm256_set1_epi32 _mm256_sub_epi32 _mm256_slli_epi32
    }
}
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};
