//! CUDA found at run time: whether there is a GPU, graphs, streams, memory.
//!
//! One binary serves machines with and without a GPU. libtorch_cuda.so is opened when the program begins ([`load`]); where
//! it is missing, or there is no GPU, every function here says so in its [`Error`].
//!
//! Devices are numbered as in [`tch::Device::Cuda`].

use std::ffi::{c_int, c_void};
use std::fmt::Display;
use std::ptr::{NonNull, null_mut};

use crate::ffi::{self, check};
use crate::{Error, Result};

/// Opens libtorch's CUDA half if it is installed; the second call and all later ones repeat the first one's answer.
///
/// It has to be the first thing that a process does with libtorch, before other threads begin: the answer to "is there CUDA?"
/// is remembered there, and `CUBLAS_WORKSPACE_CONFIG` is set for cuBLAS, unless it is set already.
/// Linking against the library is no way out, because the linker drops what nothing refers to.
///
/// # Errors
/// If libtorch_cuda.so or a library that it needs is not found, or it is of another version than 2.11.0. The CPU serves
/// all the same.
pub fn load() -> Result<()> {
    // SAFETY: the libraries' own start-up code runs, which is what is wanted.
    unsafe { check(ffi::shim_cuda_load()) }
}

/// Whether `device` can be used: CUDA's libraries are loaded and there is such a GPU.
pub fn available(device: usize) -> bool {
    // SAFETY: a number goes in.
    unsafe { check(ffi::shim_cuda_check(number(device))) }.is_ok()
}

/// Waits until `device` has done all that it was given.
///
/// # Errors
/// If there is no such GPU, or something it was given has failed.
pub fn synchronize(device: usize) -> Result<()> {
    // SAFETY: a number goes in.
    unsafe { check(ffi::shim_cuda_synchronize(number(device))) }
}

/// The stream that this thread's operations on `device` go to: a `cudaStream_t`, null for the default stream. It is
/// libtorch's, and is not to be destroyed.
///
/// # Errors
/// If there is no such GPU.
pub fn current_stream(device: usize) -> Result<*mut c_void> {
    let mut stream = null_mut();
    // SAFETY: the place for the result outlives the call.
    unsafe { check(ffi::shim_cuda_stream(number(device), &mut stream)) }?;
    Ok(stream)
}

/// What is in use of a GPU's memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Memory {
    /// Held by tensors.
    pub allocated: u64,
    /// The most of that since the program began, or since [`reset_peak`].
    pub peak_allocated: u64,
    /// Taken from the device by libtorch: held by tensors or kept for later ones.
    pub reserved: u64,
    /// The most of that.
    pub peak_reserved: u64,
    /// Free on the device, whoever has the rest.
    pub free: u64,
    /// All that the device has.
    pub total: u64,
}

/// What is in use of `device`'s memory.
///
/// # Errors
/// If there is no such GPU.
pub fn memory(device: usize) -> Result<Memory> {
    let mut memory = Memory::default();
    // SAFETY: the place for the result outlives the call, and has the layout of `Memory` in `cpp/cuda.cpp`.
    unsafe { check(ffi::shim_cuda_memory(number(device), &mut memory)) }?;
    Ok(memory)
}

/// Begins to measure the peaks of [`memory`] anew.
///
/// # Errors
/// If there is no such GPU.
pub fn reset_peak(device: usize) -> Result<()> {
    // SAFETY: a number goes in.
    unsafe { check(ffi::shim_cuda_reset_peak(number(device))) }
}

/// Gives back to the device what libtorch keeps for later tensors, on this and on all other GPUs.
///
/// # Errors
/// If there is no such GPU.
pub fn empty_cache(device: usize) -> Result<()> {
    // SAFETY: a number goes in.
    unsafe { check(ffi::shim_cuda_empty_cache(number(device))) }
}

/// The device's number on the other side, where it is compared with how many there are.
fn number(device: usize) -> c_int {
    c_int::try_from(device).unwrap_or(c_int::MAX)
}

/// Operations on a GPU, recorded once and started again as one (a CUDA graph).
///
/// A replay reads and writes the memory that the recording did: inputs are copied into the same tensors, outputs appear
/// in the same tensors. Tensors made while recording live in memory of the graph's own, which a replay overwrites and
/// which is given back when the graph and they are gone.
#[derive(Debug)]
pub struct Graph {
    raw: NonNull<c_void>,
}

// SAFETY: libtorch's object is bound to a device and to no thread.
unsafe impl Send for Graph {}

impl Graph {
    /// Records what `work` does on `device`; nothing of it is computed until [`Graph::replay`].
    ///
    /// `work` runs on this thread, on a stream for recordings, one at a time. It must have run once before, so that kernels are loaded; must
    /// not wait for the GPU, as reading a value does; and must not work with numbers that change from run to run.
    /// `share` is a graph whose memory this one uses too. The two must then be replayed in the order in which they were
    /// recorded, and the first one's outputs be read before the second runs.
    ///
    /// # Errors
    /// If there is no such GPU, `work` fails, or something in it cannot be recorded. A panic in `work` goes on after the
    /// recording has ended. libtorch takes a recording that broke for one that goes on: a little memory is lost, and
    /// more is kept from then on. So it is nothing to be tried again and again.
    pub fn capture<T, E: Display>(
        device: usize,
        share: Option<&Self>,
        work: impl FnOnce() -> std::result::Result<T, E>,
    ) -> Result<(Self, T)> {
        let mut raw = null_mut();
        let shared = share.map_or(null_mut(), |graph| graph.raw.as_ptr());
        // SAFETY: `shared` is null or a live graph, and the place for the result outlives the call.
        unsafe { check(ffi::shim_graph_begin(number(device), shared, &mut raw)) }?;
        let recording = Recording { raw: NonNull::new(raw) };
        let result = work();
        let graph = recording.end();
        // Of two errors the one of `work`: that the recording is broken follows from it.
        let result = result.map_err(|error| Error(error.to_string()))?;
        Ok((graph?, result))
    }

    /// Starts what was recorded, on the current stream.
    ///
    /// # Errors
    /// If the GPU refuses.
    pub fn replay(&self) -> Result<()> {
        // SAFETY: a live graph.
        unsafe { check(ffi::shim_graph_replay(self.raw.as_ptr())) }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: a live graph, used nowhere after this.
        unsafe { ffi::shim_graph_delete(self.raw.as_ptr()) };
    }
}

/// A recording that goes on; it ends, and the stream from before comes back, also when a panic passes.
struct Recording {
    /// `None` once it has ended.
    raw: Option<NonNull<c_void>>,
}

impl Recording {
    fn end(mut self) -> Result<Graph> {
        self.finish()
    }

    fn finish(&mut self) -> Result<Graph> {
        let raw = self.raw.take().expect("a function that succeeds writes its result, and this one ends once");
        // SAFETY: a live graph that is being recorded, on the thread where that began. It is not to be deleted if this
        // fails, and only becomes a `Graph` if not.
        unsafe { check(ffi::shim_graph_end(raw.as_ptr())) }?;
        Ok(Graph { raw })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.raw.is_some() {
            // What this would report is lost for the panic that passes.
            let _ = self.finish();
        }
    }
}

#[cfg(test)]
#[path = "cuda_tests.rs"]
mod tests;
