//! What computes: the device of a run, the number of threads, the allocator's settings.

use tch::{Cuda, Device};

use crate::config;

/// The version of libtorch that the bindings are generated for.
pub const LIBTORCH: &str = "2.11.0";

/// Why the device asked for cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "run.device is `cuda:{wanted}`, but {found}; use `auto` or `cpu`, or install libtorch with CUDA (scripts/setup --cuda)"
)]
pub struct NoDevice {
    wanted: usize,
    found: String,
}

/// Lets the allocator keep what is freed. A step allocates the same tensors again and again; handing their pages back to
/// the system and taking them again costs a tenth of its time.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: called before other threads exist; the values are in range, and a refusal changes nothing.
    unsafe {
        // The largest that the GNU allocator takes: larger tensors are pages of their own, and there are few of them.
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}

/// The device of a run.
///
/// # Errors
/// If a GPU is asked for that is not there.
pub fn device(wanted: config::Device) -> Result<Device, NoDevice> {
    let n_gpus = Cuda::device_count().max(0) as usize;
    match wanted {
        config::Device::Cpu => Ok(Device::Cpu),
        config::Device::Auto => Ok(if n_gpus > 0 { Device::Cuda(0) } else { Device::Cpu }),
        config::Device::Cuda(number) if number < n_gpus => Ok(Device::Cuda(number)),
        config::Device::Cuda(wanted) => {
            let found = match n_gpus {
                0 => no_gpu(),
                n => format!("there are {n} (the first is cuda:0)"),
            };
            Err(NoDevice { wanted, found })
        }
    }
}

/// Why there is none: CUDA's libraries are not there, with the loader's words for what is missing, or the GPU is not.
fn no_gpu() -> String {
    match shim::cuda::load() {
        Ok(()) => "no GPU was found".to_owned(),
        Err(error) => format!("libtorch's CUDA half cannot be loaded ({error})"),
    }
}

/// Sets the number of CPU threads, 0 for all cores, and gives back how many there are.
pub fn set_threads(threads: usize) -> usize {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { all } else { threads };
    // The network and the judges run on this pool. A pool that exists keeps its size.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    // libtorch's own loops are short here; who has a long one asks for more.
    tch::set_num_threads(1);
    // A second pool of libtorch's, for whole operations side by side, is not used here.
    tch::set_num_interop_threads(1);
    threads
}

/// As in logs: `cpu`, `cuda:0`.
pub fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(number) => format!("cuda:{number}"),
        _ => "cpu".to_owned(),
    }
}

/// The number format of a run.
pub fn dtype(dtype: config::Dtype) -> policy::Dtype {
    match dtype {
        config::Dtype::Float32 => policy::Dtype::Float32,
        config::Dtype::Bfloat16 => policy::Dtype::BFloat16,
    }
}
