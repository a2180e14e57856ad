//! The decoder on the CPU: kernels of our own for everything between token ids and log-probabilities, and back.
//!
//! A block of rows goes through a layer in one piece, from cache to cache: norm, matrix product, rotation; behind attention,
//! matrix product, norm, gate, matrix product. Sampling, reference and training call the same functions on the same packed
//! weights, and each number is computed in one order of operations whatever stands beside it. So a token has the same bits
//! when it is sampled and when it is trained on, in float32 and in bfloat16, for any batch and any number of threads.
//!
//! - [`vector`]: sixteen numbers at once; `functions`: e^x and its kin.
//! - [`panels`] and [`gemm`]: matrices laid out for the products, and the products.
//! - [`attention`]: over a cache, and over a packed stream forward and backward.
//! - [`rows`]: norm, rotation and gate, forward and backward, a block of rows at a time.
//! - [`weights`], [`layer`], [`sampling`], [`tape`], [`head`], [`score`]: the network made of these.
//!
//! In bfloat16 the inputs of every matrix product are rounded, and nothing else is: sums, the residual stream, norms,
//! attention and the master weights are float32.

pub(crate) mod attention;
pub(crate) mod cache;
mod functions;
pub(crate) mod gemm;
pub(crate) mod gradients;
pub(crate) mod head;
pub(crate) mod layer;
mod panels;
mod rows;
pub(crate) mod sampling;
pub(crate) mod score;
pub(crate) mod tape;
mod vector;
pub(crate) mod weights;

/// Compiles an always-inlined function, generic over the vector, for each set of instructions, and calls the best that
/// this machine has.
macro_rules! for_this_processor {
    ($(#[$doc:meta])* $vis:vis fn $name:ident = $generic:ident($($arg:ident: $kind:ty),* $(,)?) $(-> $result:ty)?) => {
        $(#[$doc])*
        $vis fn $name($($arg: $kind),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::cpu::vector::{Avx2, Avx512, Avx512Bf16};
                #[target_feature(enable = "avx512f,avx512bf16")]
                fn avx512_bf16($($arg: $kind),*) $(-> $result)? {
                    $generic::<Avx512Bf16>($($arg),*)
                }
                #[target_feature(enable = "avx512f")]
                fn avx512($($arg: $kind),*) $(-> $result)? {
                    $generic::<Avx512>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $kind),*) $(-> $result)? {
                    $generic::<Avx2>($($arg),*)
                }
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16") {
                    // SAFETY: the processor has the instructions.
                    return unsafe { avx512_bf16($($arg),*) };
                }
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the processor has the instructions.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has the instructions.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $generic::<$crate::cpu::vector::Portable>($($arg),*)
        }
    };
}
use for_this_processor;

/// Whether the kernels are made for this processor: not on x86-64 without AVX2 and fused multiply-add, where every one of
/// those would be a call of the C library.
pub(crate) fn is_made_for_this_processor() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

/// Numbers that a row of `n` has in memory: whole pairs of registers, zeros behind its end.
pub(crate) fn width(n: usize) -> usize {
    n.next_multiple_of(2 * vector::LANES)
}
