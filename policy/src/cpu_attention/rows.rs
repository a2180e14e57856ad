//! Heads in tensor memory: read as slices by every thread, written by several threads to places of their own.

use tch::{Device, Kind, Tensor};

/// Tokens, heads and values of a head.
pub(super) fn sizes(tensor: &Tensor) -> [usize; 3] {
    let (a, b, c) = tensor.size3().expect("heads have three axes");
    [a, b, c].map(|size| size as usize)
}

/// The rows of `[tokens, heads, head_dim]`, which may be a part of a wider tensor.
pub(super) struct Rows {
    /// Keeps the memory.
    tensor: Tensor,
    head_dim: usize,
    row_stride: usize,
}

impl Rows {
    pub(super) fn new(tensor: &Tensor) -> Self {
        assert!(tensor.kind() == Kind::Float && tensor.device() == Device::Cpu);
        let head_dim = sizes(tensor)[2];
        let packed = |t: &Tensor| t.stride()[1..] == [head_dim as i64, 1];
        let tensor = if packed(tensor) { tensor.shallow_clone() } else { tensor.contiguous() };
        Self { row_stride: tensor.stride()[0] as usize, head_dim, tensor }
    }

    /// One head of one token.
    #[inline(always)]
    pub(super) fn head(&self, token: usize, head: usize) -> &[f32] {
        debug_assert!(token < sizes(&self.tensor)[0] && head < sizes(&self.tensor)[1]);
        // SAFETY: token and head lie inside the tensor (they come from its own sizes), which is float32 in this process's
        // memory, with the heads of a token side by side. Nothing writes to it while this is borrowed.
        unsafe {
            let start = self.tensor.data_ptr().cast::<f32>().add(token * self.row_stride + head * self.head_dim);
            std::slice::from_raw_parts(start, self.head_dim)
        }
    }
}

// SAFETY: the tensor is only read.
unsafe impl Sync for Rows {}

/// A contiguous output `[tokens, heads, head_dim]` (or its two last axes as one) that tasks write to side by side.
pub(super) struct Shared(*mut f32);

impl Shared {
    pub(super) fn new(tensor: &Tensor) -> Self {
        assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu);
        Self(tensor.data_ptr().cast())
    }

    /// Writes one head of one token.
    ///
    /// # Safety
    /// Token and head lie inside the tensor, and no other thread writes to the same.
    #[inline(always)]
    pub(super) unsafe fn write(&self, token: usize, n_heads: usize, head: usize, values: &[f32]) {
        // SAFETY: the caller's promise.
        unsafe {
            let start = self.0.add((token * n_heads + head) * values.len());
            std::ptr::copy_nonoverlapping(values.as_ptr(), start, values.len());
        }
    }
}

// SAFETY: every task writes to tokens of its own group and heads of its own key/value head, and to nothing else.
unsafe impl Sync for Shared {}

/// As [`Shared`], for what the softmax leaves behind: `[tokens, n_heads]`.
pub(super) struct SharedPairs(pub(super) *mut [f32; 2]);

// SAFETY: as for `Shared`.
unsafe impl Sync for SharedPairs {}
