//! The limits of the machine, measured once: arithmetic, libtorch's matrix product, memory.

use std::time::{Duration, Instant};

use policy::Dtype;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::peak::Loop;
use super::timing::{median, settle};

/// Both kinds that the network computes in.
pub const DTYPES: [Dtype; 2] = [Dtype::Float32, Dtype::BFloat16];

/// For how long a loop over registers runs.
const PEAK_TIME: Duration = Duration::from_millis(100);

/// Floating point operations a second that `threads` threads reach together in fused multiply-adds over registers, a
/// multiply-add counted as two: the most that arithmetic of this kind can get. Takes 0.1 s.
///
/// bfloat16 means dot products of bfloat16 summed in float32. Where the processor has no instructions for them it is the
/// rate of float32. Units for whole matrices (AMX) are not measured: there a matrix product may be faster than this.
pub fn peak_flops(dtype: Dtype, threads: usize) -> f64 {
    loop_of(dtype).flops_per_second(threads.max(1), PEAK_TIME)
}

fn loop_of(dtype: Dtype) -> Loop {
    match dtype {
        Dtype::Float32 => Loop::float32(),
        Dtype::BFloat16 => Loop::bfloat16(),
    }
}

/// What a machine can do in one of the two kinds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Arithmetic {
    /// Operations a second of fused multiply-adds over registers; on the CPU only.
    pub multiply_add_flops: Option<f64>,
    /// The instructions that they are.
    pub instructions: Option<String>,
    /// Operations a second of libtorch's product of two square matrices.
    pub matmul_flops: f64,
}

/// The limits of one machine and device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Products in float32.
    pub float32: Arithmetic,
    /// Products in bfloat16, sums in float32.
    pub bfloat16: Arithmetic,
    /// Rows of the matrices multiplied.
    pub matmul_size: i64,
    /// Bytes a second read from memory; on a GPU by a sum or a copy, whichever moves more.
    pub read_bytes: f64,
    /// Bytes a second of `a = b + s c` over arrays larger than any cache (McCalpin's STREAM triad: three bytes moved for
    /// each written); on a GPU of a copy, read and written.
    pub triad_bytes: f64,
}

impl Limits {
    /// Measures; takes a few seconds.
    pub fn measure(device: Device, threads: usize) -> Self {
        let size = if device == Device::Cpu { 2_048 } else { 8_192 };
        tch::set_num_threads(threads.max(1) as i32);
        let [float32, bfloat16] = DTYPES.map(|dtype| {
            let on_cpu = device == Device::Cpu;
            Arithmetic {
                multiply_add_flops: on_cpu.then(|| peak_flops(dtype, threads)),
                instructions: on_cpu.then(|| loop_of(dtype).instructions.to_owned()),
                matmul_flops: matmul_flops(kind(dtype), size, device),
            }
        });
        tch::set_num_threads(1);
        let (read_bytes, triad_bytes) = match device {
            Device::Cpu => (read_bandwidth(threads), triad_bandwidth(threads)),
            _ => gpu_bandwidth(device),
        };
        Self { float32, bfloat16, matmul_size: size, read_bytes, triad_bytes }
    }

    /// What is taken for the peak of a kind: multiply-adds over registers, or libtorch's matrix product where that is the
    /// faster (units for matrices) or all there is (a GPU).
    pub fn peak(&self, dtype: Dtype) -> f64 {
        let Arithmetic { multiply_add_flops, matmul_flops, .. } = self.of(dtype);
        multiply_add_flops.unwrap_or(0.0).max(*matmul_flops)
    }

    /// Of one of the kinds.
    pub fn of(&self, dtype: Dtype) -> &Arithmetic {
        match dtype {
            Dtype::Float32 => &self.float32,
            Dtype::BFloat16 => &self.bfloat16,
        }
    }
}

fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::Float32 => Kind::Float,
        Dtype::BFloat16 => Kind::BFloat16,
    }
}

/// Median of five runs behind one that warms up; each gives units of work and is timed as a whole.
fn rate(device: Device, amount: f64, mut work: impl FnMut()) -> f64 {
    let mut once = || {
        settle(device);
        let began = Instant::now();
        work();
        settle(device);
        began.elapsed().as_secs_f64()
    };
    once();
    amount / median(&mut [(); 5].map(|()| once()))
}

fn matmul_flops(kind: Kind, size: i64, device: Device) -> f64 {
    let random = || Tensor::randn([size, size], (Kind::Float, device)).to_kind(kind);
    let (a, b) = (random(), random());
    let product = Tensor::empty([size, size], (kind, device));
    rate(device, 2.0 * (size as f64).powi(3), || {
        let _ = tch::no_grad(|| a.matmul_out(&product, &b));
    })
}

/// Values in an array: 128 MiB of float32, more than caches hold.
const N_VALUES: usize = 32 << 20;

fn read_bandwidth(threads: usize) -> f64 {
    // Whole numbers, because their sums may be taken in any order and the compiler therefore uses vectors.
    let values = vec![1u32; N_VALUES];
    rate(Device::Cpu, (N_VALUES * 4) as f64, || {
        std::thread::scope(|scope| {
            for part in values.chunks(N_VALUES.div_ceil(threads)) {
                scope.spawn(|| std::hint::black_box(part.iter().fold(0u32, |sum, value| sum.wrapping_add(*value))));
            }
        });
    })
}

fn triad_bandwidth(threads: usize) -> f64 {
    let (b, c) = (vec![1.0f32; N_VALUES], vec![2.0f32; N_VALUES]);
    let mut a = vec![0.0f32; N_VALUES];
    rate(Device::Cpu, (3 * N_VALUES * 4) as f64, || {
        let part = N_VALUES.div_ceil(threads);
        std::thread::scope(|scope| {
            for ((a, b), c) in a.chunks_mut(part).zip(b.chunks(part)).zip(c.chunks(part)) {
                scope.spawn(move || {
                    for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
                        *a = b + 3.0 * c;
                    }
                });
            }
        });
        std::hint::black_box(&mut a);
    })
}

/// Bytes a second of a gibibyte read, and of one copied, which is read and written.
fn gpu_bandwidth(device: Device) -> (f64, f64) {
    let n_bytes = 1i64 << 30;
    let source = Tensor::zeros([n_bytes / 4], (Kind::Float, device));
    let mut target = source.zeros_like();
    let copy = rate(device, 2.0 * n_bytes as f64, || target.copy_(&source));
    let sum = rate(device, n_bytes as f64, || drop(source.sum(Kind::Float)));
    (sum.max(copy), copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_better_of_the_two() {
        let arithmetic =
            |multiply_add_flops, matmul_flops| Arithmetic { multiply_add_flops, instructions: None, matmul_flops };
        let limits = Limits {
            float32: arithmetic(Some(200.0), 120.0),
            bfloat16: arithmetic(Some(400.0), 1_500.0),
            matmul_size: 2_048,
            read_bytes: 1.0,
            triad_bytes: 1.0,
        };
        assert_eq!((limits.peak(Dtype::Float32), limits.peak(Dtype::BFloat16)), (200.0, 1_500.0));
        let gpu = Limits { float32: arithmetic(None, 50.0), ..limits };
        assert_eq!(gpu.peak(Dtype::Float32), 50.0);
    }

    #[test]
    fn the_peak_is_what_a_processor_may_have() {
        let peak = peak_flops(Dtype::Float32, 1);
        assert!((1e8..2e12).contains(&peak), "{peak:e}");
    }
}
