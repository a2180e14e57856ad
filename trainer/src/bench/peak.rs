//! Loops of fused multiply-adds over registers: the most that the processor's arithmetic units give.
//!
//! No operand comes from memory, and there are more independent sums than the units have stages; so nothing else can bound
//! the rate. Instructions are chosen at run time.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// A loop over registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loop {
    /// The instructions in it, for reports: `AVX-512`.
    pub(super) instructions: &'static str,
    /// Floating point operations of one round; a multiply-add counts as two.
    flops_per_round: f64,
    /// # Safety
    /// The processor must have the instructions.
    rounds: unsafe fn(u64) -> f32,
}

/// Rounds between two looks at the clock: some ten microseconds.
const ROUNDS: u64 = 1 << 12;
/// The shortest time over which a rate is taken.
const WINDOW: Duration = Duration::from_millis(5);

impl Loop {
    /// The fastest loop that this processor has for float32.
    pub(super) fn float32() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return Self { instructions: "AVX-512", flops_per_round: 512.0, rounds: x86::avx512 };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self { instructions: "AVX2", flops_per_round: 192.0, rounds: x86::avx2 };
            }
        }
        Self { instructions: "portable", flops_per_round: 2.0 * PORTABLE_LANES as f64, rounds: portable }
    }

    /// The fastest loop for products of bfloat16 summed in float32: that of float32 where there are no such instructions.
    pub(super) fn bfloat16() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512bf16") {
            return Self { instructions: "AVX512_BF16", flops_per_round: 1024.0, rounds: x86::avx512_bf16 };
        }
        Self::float32()
    }

    /// Floating point operations a second on `threads` threads at once, for about `time`: each thread's best five
    /// milliseconds, summed. The best and not the mean, because whatever else the machine does only takes away.
    pub(super) fn flops_per_second(self, threads: usize, time: Duration) -> f64 {
        let start = Barrier::new(threads);
        std::thread::scope(|scope| {
            let run = || {
                start.wait();
                self.best_rate(time)
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|thread| thread.join().expect("the loop does not panic")).sum()
        })
    }

    fn best_rate(self, time: Duration) -> f64 {
        let began = Instant::now();
        let mut best = 0.0f64;
        while began.elapsed() < time {
            let window = Instant::now();
            let mut n_rounds = 0u64;
            while window.elapsed() < WINDOW {
                // SAFETY: the constructors looked for the instructions.
                black_box(unsafe { (self.rounds)(black_box(ROUNDS)) });
                n_rounds += ROUNDS;
            }
            best = best.max(n_rounds as f64 * self.flops_per_round / window.elapsed().as_secs_f64());
        }
        best
    }
}

const PORTABLE_LANES: usize = 64;

/// # Safety
/// None is needed; it is `unsafe` to have the type of the others.
unsafe fn portable(n_rounds: u64) -> f32 {
    let mut sums = [black_box(1.0f32); PORTABLE_LANES];
    let (factor, summand) = (black_box(0.5f32), black_box(0.25f32));
    for _ in 0..n_rounds {
        for sum in &mut sums {
            // Without instructions for it, a fused multiply-add is a call of the C library.
            *sum = if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
                sum.mul_add(factor, summand)
            } else {
                *sum * factor + summand
            };
        }
    }
    sums.iter().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    /// A loop over sums that each have a name, so that each is in a register whatever the compiler makes of loops.
    macro_rules! rounds {
        ($n_rounds:ident, $start:expr, |$sum:ident| $next:expr, $total:expr, $($name:ident)*) => {{
            $(let mut $name = $start;)*
            for _ in 0..$n_rounds {
                $($name = { let $sum = $name; $next };)*
            }
            let mut total = 0.0;
            $(total += $total($name);)*
            total
        }};
    }

    /// 16 sums of 16 values: `16 * 16 * 2` operations a round.
    ///
    /// # Safety
    /// The processor must have AVX-512.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn avx512(n_rounds: u64) -> f32 {
        let (factor, summand) = (_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(black_box(0.25)));
        let start = _mm512_set1_ps(black_box(1.0));
        rounds!(n_rounds, start, |sum| _mm512_fmadd_ps(sum, factor, summand), _mm512_reduce_add_ps,
            a b c d e f g h i j k l m n o p)
    }

    /// 12 sums of 8 values: `12 * 8 * 2` operations a round. There are 16 registers.
    ///
    /// # Safety
    /// The processor must have AVX2 and fused multiply-add.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2(n_rounds: u64) -> f32 {
        let (factor, summand) = (_mm256_set1_ps(black_box(0.5)), _mm256_set1_ps(black_box(0.25)));
        let start = _mm256_set1_ps(black_box(1.0));
        let total = |sum: __m256| {
            let half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
            let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
        };
        rounds!(n_rounds, start, |sum| _mm256_fmadd_ps(sum, factor, summand), total, a b c d e f g h i j k l)
    }

    /// 16 sums of 16 dot products of 2: `16 * 16 * 4` operations a round.
    ///
    /// # Safety
    /// The processor must have AVX512_BF16.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) unsafe fn avx512_bf16(n_rounds: u64) -> f32 {
        let small = _mm512_set1_ps(black_box(1e-3));
        let factors = _mm512_cvtne2ps_pbh(small, small);
        rounds!(n_rounds, _mm512_setzero_ps(), |sum| _mm512_dpbf16_ps(sum, factors, factors), _mm512_reduce_add_ps,
            a b c d e f g h i j k l m n o p)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loop whose work the compiler took away would show a rate that no processor has.
    #[test]
    fn every_loop_does_its_work() {
        for one in [Loop::float32(), Loop::bfloat16()] {
            let rate = one.flops_per_second(1, Duration::from_millis(20));
            assert!(rate > 1e8, "{}: {rate:e}", one.instructions);
            assert!(rate < 2e12, "{}: {rate:e} operations a second in one thread", one.instructions);
        }
    }

    #[test]
    fn the_sums_are_those_of_the_arithmetic() {
        // x <- x / 2 + 1 / 4 goes to 1/2 from any start.
        for one in [Loop::float32(), Loop { rounds: portable, ..Loop::float32() }] {
            // SAFETY: `float32` looked for the instructions, and `portable` needs none.
            let total = unsafe { (one.rounds)(64) };
            assert_eq!(total % 2.0, 0.0, "{total}");
            assert!(total > 0.0);
        }
    }
}
