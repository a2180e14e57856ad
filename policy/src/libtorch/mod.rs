//! The decoder by libtorch's operations, for every device it has kernels for: what GPUs run, and what the kernels of
//! [`crate::cpu`] are compared with.
//!
//! [`gpu`] decides what a device gets beyond plain operations. [`attention`] has both kinds of attention, [`cache`] the memory
//! of a decoding step, and [`graphs`] records steps.

pub(crate) mod attention;
pub(crate) mod cache;
pub(crate) mod decoder;
pub(crate) mod gpu;
mod graphs;
pub(crate) mod head;
pub(crate) mod sampling;
pub(crate) mod score;
pub(crate) mod tape;
pub(crate) mod weights;
