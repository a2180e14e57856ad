//! The C interface of `cpp/`: its declarations, and what crosses it.
//!
//! A `*mut c_void` named like a tensor is an `at::Tensor*`, which is what a [`Tensor`] holds. Going in it is borrowed for
//! the call; coming out through a `*mut *mut c_void` it belongs to the caller. A function that returns `*mut c_char`
//! returns null, or a message that [`check`] takes over.

use std::ffi::{CStr, c_char, c_int, c_void};

use tch::Tensor;

use crate::{Error, Result};

/// An `at::Tensor*`.
pub(crate) type RawTensor = *mut c_void;

/// A closure for a node of the autograd graph. `destroy` is called once, after which no other is.
#[repr(C)]
pub(crate) struct RawClosure {
    pub(crate) data: *mut c_void,
    pub(crate) run: extern "C" fn(*mut c_void, *const RawTensor, usize, *mut RawTensor, usize) -> *mut c_char,
    pub(crate) release: extern "C" fn(*mut c_void),
    pub(crate) destroy: extern "C" fn(*mut c_void),
}

/// `AdamWNumbers` of `cpp/optim.cpp`.
#[repr(C)]
pub(crate) struct AdamWNumbers {
    pub(crate) lr: f64,
    pub(crate) beta_1: f64,
    pub(crate) beta_2: f64,
    pub(crate) weight_decay: f64,
    pub(crate) eps: f64,
    pub(crate) step: f64,
}

/// `Sequences` of `cpp/cuda.cpp`; `used_keys` may be null.
#[repr(C)]
pub(crate) struct RawSequences {
    pub(crate) query_starts: RawTensor,
    pub(crate) key_starts: RawTensor,
    pub(crate) used_keys: RawTensor,
    pub(crate) longest_query: i64,
    pub(crate) longest_key: i64,
    pub(crate) is_causal: bool,
    pub(crate) scale: f64,
}

unsafe extern "C" {
    fn shim_free(text: *mut c_char);
    fn shim_message(text: *const c_char, length: usize) -> *mut c_char;

    pub(crate) fn shim_node(
        inputs: *const RawTensor,
        n_inputs: usize,
        outputs: *const RawTensor,
        n_outputs: usize,
        closure: RawClosure,
        results: *mut RawTensor,
    ) -> *mut c_char;
    pub(crate) fn shim_vjp(
        outputs: *const RawTensor,
        gradients: *const RawTensor,
        n: usize,
        inputs: *const RawTensor,
        n_inputs: usize,
        keep_graph: bool,
        results: *mut RawTensor,
    ) -> *mut c_char;
    pub(crate) fn shim_backward(
        outputs: *const RawTensor,
        gradients: *const RawTensor,
        n: usize,
        keep_graph: bool,
    ) -> *mut c_char;
    pub(crate) fn shim_set_grad(leaf: RawTensor, gradient: RawTensor) -> *mut c_char;

    pub(crate) fn shim_adamw(
        parameters: *const RawTensor,
        gradients: *const RawTensor,
        exp_avgs: *const RawTensor,
        exp_avg_sqs: *const RawTensor,
        n: usize,
        numbers: AdamWNumbers,
    ) -> *mut c_char;
    pub(crate) fn shim_norms(tensors: *const RawTensor, n: usize, result: *mut RawTensor) -> *mut c_char;
    pub(crate) fn shim_scale(tensors: *const RawTensor, n: usize, factor: f64) -> *mut c_char;

    pub(crate) fn shim_pack(weight: RawTensor, rows: i64, result: *mut RawTensor) -> *mut c_char;
    pub(crate) fn shim_packed_linear(
        x: RawTensor,
        packed: RawTensor,
        bias: RawTensor,
        result: *mut RawTensor,
    ) -> *mut c_char;

    pub(crate) fn shim_deterministic(on: bool) -> bool;
    pub(crate) fn shim_cuda_load() -> *mut c_char;
    pub(crate) fn shim_cuda_check(device: c_int) -> *mut c_char;
    pub(crate) fn shim_cuda_synchronize(device: c_int) -> *mut c_char;
    pub(crate) fn shim_cuda_stream(device: c_int, result: *mut *mut c_void) -> *mut c_char;
    pub(crate) fn shim_cuda_memory(device: c_int, result: *mut crate::cuda::Memory) -> *mut c_char;
    pub(crate) fn shim_cuda_reset_peak(device: c_int) -> *mut c_char;
    pub(crate) fn shim_cuda_empty_cache(device: c_int) -> *mut c_char;
    pub(crate) fn shim_graph_begin(device: c_int, shared: *mut c_void, result: *mut *mut c_void) -> *mut c_char;
    pub(crate) fn shim_graph_end(graph: *mut c_void) -> *mut c_char;
    pub(crate) fn shim_graph_replay(graph: *mut c_void) -> *mut c_char;
    pub(crate) fn shim_graph_delete(graph: *mut c_void);
    pub(crate) fn shim_flash(
        query: RawTensor,
        key: RawTensor,
        value: RawTensor,
        sequences: RawSequences,
        output: *mut RawTensor,
        logsumexp: *mut RawTensor,
    ) -> *mut c_char;
}

/// What a C function returned, as a result.
///
/// # Safety
/// `text` is null or comes from a function of the C interface, and is used nowhere else.
pub(crate) unsafe fn check(text: *mut c_char) -> Result<()> {
    if text.is_null() {
        return Ok(());
    }
    // SAFETY: a message of the C interface ends in NUL; it is freed once, after the copy.
    let copy = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: as above.
    unsafe { shim_free(text) };
    Err(Error(copy))
}

/// A message for the C++ side, which frees it.
pub(crate) fn message(text: &str) -> *mut c_char {
    // SAFETY: the pointer and the length are of one string; the text is copied.
    unsafe { shim_message(text.as_ptr().cast(), text.len()) }
}

/// The tensor's pointer, lent for a call.
pub(crate) fn raw(tensor: &Tensor) -> RawTensor {
    tensor.as_ptr().cast_mut().cast()
}

/// The pointers of many tensors, lent for a call.
pub(crate) fn raws<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<RawTensor> {
    tensors.into_iter().map(raw).collect()
}

/// The tensor's pointer, given away.
pub(crate) fn into_raw(tensor: Tensor) -> RawTensor {
    let pointer = raw(&tensor);
    std::mem::forget(tensor);
    pointer
}

/// A tensor that the C++ side gave away; none for null.
///
/// # Safety
/// `pointer` is null or an `at::Tensor*` that nobody else owns.
pub(crate) unsafe fn own(pointer: RawTensor) -> Option<Tensor> {
    // SAFETY: a `Tensor` is the owner of such a pointer.
    (!pointer.is_null()).then(|| unsafe { Tensor::from_ptr(pointer.cast()) })
}

/// A second handle of a tensor that the C++ side has lent; none for null.
///
/// # Safety
/// `pointer` is null or a live `at::Tensor*`.
pub(crate) unsafe fn borrow(pointer: RawTensor) -> Option<Tensor> {
    // SAFETY: the handle is a new one; `pointer` is only read.
    (!pointer.is_null()).then(|| unsafe { Tensor::clone_from_ptr(pointer.cast()) })
}

/// The one tensor that a function writes.
///
/// # Safety
/// `call` fails, or writes an `at::Tensor*` that nobody else owns.
pub(crate) unsafe fn one(call: impl FnOnce(*mut RawTensor) -> *mut c_char) -> Result<Tensor> {
    let mut result = std::ptr::null_mut();
    // SAFETY: `call` returns what a function of the C interface returned, and by the contract wrote a tensor.
    unsafe {
        check(call(&mut result))?;
        Ok(own(result).expect("a function that succeeds writes its result"))
    }
}
