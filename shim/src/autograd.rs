//! Functions whose backward pass is a Rust closure, and backward passes that begin at given gradients.

use std::any::Any;
use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::{Mutex, TryLockError};

use tch::Tensor;

use crate::Result;
use crate::ffi::{self, RawClosure, RawTensor, check, raw, raws};

/// What a backward closure may fail with; any error, and `"text".into()`.
pub type BackwardError = Box<dyn std::error::Error + Send + Sync>;

/// Gradients of the outputs in, gradients of the inputs out.
type Backward =
    dyn FnMut(Vec<Option<Tensor>>) -> std::result::Result<Vec<Option<Tensor>>, BackwardError> + Send + 'static;

/// What becomes of a graph after a backward pass through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Graph {
    /// Each node lets go of what it kept as soon as it has run. The graph serves once.
    Free,
    /// It stays for another pass.
    Keep,
}

/// Gives `outputs`, which were computed from `inputs` without a graph, a history: one node, whose backward pass is
/// `backward`.
///
/// `backward` takes the gradient of the loss for each output, `None` where it depends on the loss in no way, and
/// returns one for each input in order, `None` for zero. What it returns for inputs that require no gradient is dropped.
/// It runs without recording, on the thread of the backward pass (on a GPU: on one of libtorch's own), and is dropped
/// with all it holds after the first pass that frees the graph. An error or a panic in it is the error of the whole
/// pass: [`vjp`] and [`backward()`] return it.
///
/// The results share memory with `outputs`. If nothing is being recorded or no input requires a gradient, they have no
/// history and `backward` is dropped at once.
///
/// # Errors
/// If an output has a history already, or is of a type that has no gradient while an input requires one.
pub fn node(
    inputs: &[&Tensor],
    outputs: Vec<Tensor>,
    backward: impl FnMut(Vec<Option<Tensor>>) -> std::result::Result<Vec<Option<Tensor>>, BackwardError> + Send + 'static,
) -> Result<Vec<Tensor>> {
    let cell: Box<Cell> = Box::new(Mutex::new(Some(Box::new(backward))));
    let closure = RawClosure { data: Box::into_raw(cell).cast(), run, release, destroy };
    let (inputs, outputs) = (raws(inputs.iter().copied()), (raws(&outputs), outputs));
    let mut results = vec![null_mut(); outputs.1.len()];
    // SAFETY: pointers and lengths belong together, the tensors outlive the call, and the closure's three functions
    // take the box made above; after the call it is the other side's.
    unsafe {
        check(ffi::shim_node(
            inputs.as_ptr(),
            inputs.len(),
            outputs.0.as_ptr(),
            outputs.0.len(),
            closure,
            results.as_mut_ptr(),
        ))?;
        Ok(results.into_iter().map(|result| ffi::own(result).expect("one result for each output")).collect())
    }
}

/// Gradients for `inputs` of a function with these `outputs`, each given with the gradient that comes in at it (a
/// vector-Jacobian product). Nothing is added to the gradients that leaves hold.
///
/// - `outputs`: pairs of an output and its gradient, which has the output's shape and type
/// - result: one for each input, of its shape; `None` if no output depends on it
///
/// # Errors
/// If shapes do not fit, an output has no history, an input requires no gradient, the graph is used up, or a node
/// fails.
pub fn vjp(outputs: &[(&Tensor, &Tensor)], inputs: &[&Tensor], graph: Graph) -> Result<Vec<Option<Tensor>>> {
    if outputs.is_empty() || inputs.is_empty() {
        return Ok(inputs.iter().map(|_| None).collect());
    }
    let (outputs, gradients) = columns(outputs);
    let inputs = raws(inputs.iter().copied());
    let mut results = vec![null_mut(); inputs.len()];
    // SAFETY: pointers and lengths belong together, and the tensors outlive the call.
    unsafe {
        check(ffi::shim_vjp(
            outputs.as_ptr(),
            gradients.as_ptr(),
            outputs.len(),
            inputs.as_ptr(),
            inputs.len(),
            graph == Graph::Keep,
            results.as_mut_ptr(),
        ))?;
        Ok(results.into_iter().map(|result| ffi::own(result)).collect())
    }
}

/// Adds to the gradient of every leaf behind `outputs`, each given with the gradient that comes in at it.
///
/// - `outputs`: pairs of an output and its gradient, which has the output's shape and type
///
/// # Errors
/// If shapes do not fit, an output has no history, the graph is used up, or a node fails. Leaves may have been added
/// to by then.
pub fn backward(outputs: &[(&Tensor, &Tensor)], graph: Graph) -> Result<()> {
    if outputs.is_empty() {
        return Ok(());
    }
    let (outputs, gradients) = columns(outputs);
    // SAFETY: pointers and lengths belong together, and the tensors outlive the call.
    unsafe { check(ffi::shim_backward(outputs.as_ptr(), gradients.as_ptr(), outputs.len(), graph == Graph::Keep)) }
}

/// Makes `gradient` what `leaf` holds; the next backward pass adds to it, in the same memory.
///
/// # Errors
/// If `leaf` is not a leaf that requires a gradient, or shape, type or device differ.
pub fn set_grad(leaf: &Tensor, gradient: Tensor) -> Result<()> {
    let gradient = [gradient];
    // SAFETY: both tensors outlive the call.
    unsafe { check(ffi::shim_set_grad(raw(leaf), raw(&gradient[0]))) }
}

/// Drops the gradient that `leaf` holds, and its memory; it is undefined afterwards, as before any backward pass.
///
/// # Errors
/// If `leaf` is not a leaf that requires a gradient.
pub fn drop_grad(leaf: &Tensor) -> Result<()> {
    // SAFETY: the leaf outlives the call, and null stands for no gradient.
    unsafe { check(ffi::shim_set_grad(raw(leaf), null_mut())) }
}

fn columns(pairs: &[(&Tensor, &Tensor)]) -> (Vec<RawTensor>, Vec<RawTensor>) {
    pairs.iter().map(|(output, gradient)| (raw(output), raw(gradient))).unzip()
}

// A closure on the other side of the C interface: what its `data` points to, and its three functions

/// `None` after the graph was freed. The lock is only ever tried: two passes through one node at once are a mistake, and
/// a pass within a pass would wait for itself.
type Cell = Mutex<Option<Box<Backward>>>;

extern "C" fn run(
    data: *mut c_void,
    gradients: *const RawTensor,
    n_outputs: usize,
    results: *mut RawTensor,
    n_inputs: usize,
) -> *mut c_char {
    // SAFETY: `data` is the box of `node`, which lives until `destroy`; it is only shared.
    let cell = unsafe { &*data.cast::<Cell>() };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the node lends `n_outputs` tensors for the call, null where one is undefined.
        let gradients = (0..n_outputs).map(|i| unsafe { ffi::borrow(*gradients.add(i)) }).collect();
        run_closure(cell, gradients, n_inputs)
    }));
    match outcome {
        Ok(Ok(found)) => {
            for (i, gradient) in found.into_iter().enumerate() {
                // SAFETY: `results` has `n_inputs` places, which `run_closure` has compared with what was found.
                unsafe { *results.add(i) = gradient.map_or(null_mut(), ffi::into_raw) };
            }
            null_mut()
        }
        Ok(Err(error)) => ffi::message(&error.to_string()),
        Err(panic) => ffi::message(&format!("panic in a backward pass: {}", text_of(&*panic))),
    }
}

fn run_closure(
    cell: &Cell,
    gradients: Vec<Option<Tensor>>,
    n_inputs: usize,
) -> std::result::Result<Vec<Option<Tensor>>, BackwardError> {
    let mut closure = match cell.try_lock() {
        Ok(closure) => closure,
        Err(TryLockError::WouldBlock) => return Err("a backward pass came to a node while another was in it".into()),
        Err(TryLockError::Poisoned(_)) => return Err("the backward closure of this node has panicked before".into()),
    };
    let closure = closure.as_mut().ok_or("a second backward pass through a node after the first freed the graph")?;
    let found = closure(gradients)?;
    if found.len() != n_inputs {
        return Err(format!("a backward closure returned {} gradients for {n_inputs} inputs", found.len()).into());
    }
    Ok(found)
}

extern "C" fn release(data: *mut c_void) {
    // SAFETY: as in `run`.
    let cell = unsafe { &*data.cast::<Cell>() };
    // Not held now, unless by a pass that is a mistake already; then the closure stays until the node goes.
    if let Ok(mut closure) = cell.try_lock() {
        drop_quietly(closure.take());
    }
}

extern "C" fn destroy(data: *mut c_void) {
    // SAFETY: the box of `node`, whose owner calls this once and nothing after it.
    drop_quietly(unsafe { Box::from_raw(data.cast::<Cell>()) });
}

/// Drops `value`; a panic in it must not unwind into C++ and is told on stderr by the panic hook.
fn drop_quietly<T>(value: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
#[path = "autograd_tests.rs"]
mod tests;
