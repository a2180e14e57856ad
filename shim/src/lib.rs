//! What the bindings to libtorch (tch 0.24) lack, as safe functions over a little C++ in `cpp/`.
//!
//! - [`autograd`]: functions whose backward pass is a closure, and backward passes that begin at given gradients.
//! - [`optim`]: AdamW in one pass over memory, the norms of many tensors, a factor for many tensors.
//! - [`PackedLinear`]: the linear layer over weights that oneDNN has packed, for inference on the CPU.
//! - [`cuda`]: CUDA found at run time, graphs, streams, memory; [`flash_attention`]: attention over packed sequences.
//! - [`determinism`]: the same bits from the same operations on a GPU.
//!
//! Every function reports what libtorch throws as an [`Error`]; none panics for it.
//!
//! All declarations of C functions are in `ffi.rs`. There is nothing of CUDA in the build: libtorch's interfaces for any
//! accelerator serve, and the class of CUDA graphs is found by the names of its members in libtorch_cuda.so.

pub mod autograd;
pub mod cuda;
pub mod determinism;
mod ffi;
mod flash;
mod linear;
pub mod optim;

pub use flash::{Sequences, flash_attention};
pub use linear::PackedLinear;

/// Why libtorch, or this crate before it, would not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// What fallible functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// Numbers for tests, between -2 and 2 and without a pattern that matters: the same in every run, which those of
/// libtorch's one generator are not while tests run side by side.
#[cfg(test)]
fn numbers(shape: &[i64], seed: u32, kind: tch::Kind) -> tch::Tensor {
    let n = shape.iter().product::<i64>();
    let at = tch::Tensor::arange(n, (tch::Kind::Double, tch::Device::Cpu)) + f64::from(seed) * 1e-3;
    ((at.square() * 0.7).sin() + (at * 12.9898).sin()).view(shape).to_kind(kind)
}
