//! Attention over packed sequences, each at its own length, by the flash kernel for NVIDIA GPUs.

use std::ptr::null_mut;

use tch::Tensor;

use crate::Result;
use crate::ffi::{self, RawSequences, check, raw};

/// Where sequences lie in packed tensors of queries and keys.
///
/// The numbers in the tensors are not looked at, as that would wait for the GPU: a start outside of the packed tensors
/// is read and written all the same.
#[derive(Clone, Copy, Debug)]
pub struct Sequences<'a> {
    /// `[sequences + 1]`, int32: where the queries of each begin, and where the last end.
    pub query_starts: &'a Tensor,
    /// `[sequences + 1]`, int32: where the keys of each begin, and where the last end.
    pub key_starts: &'a Tensor,
    /// `[sequences]`, int32: how many keys of each are there, from its start, for a cache with room to spare. `None`: all
    /// up to the next start.
    pub used_keys: Option<&'a Tensor>,
    /// The most queries of a sequence.
    pub longest_query: i64,
    /// The most keys of a sequence, room to spare included.
    pub longest_key: i64,
    /// Whether a query sees only keys up to its own place, the last query and the last key being at the same place.
    pub is_causal: bool,
}

/// softmax(scale q k^T) v within each sequence (FlashAttention-2, arXiv 2307.08691); differentiable.
///
/// - `query`: `[queries, heads, head_dim]`; `key`, `value`: `[keys, kv_heads, head_dim]`, where `kv_heads` divides
///   `heads`; all bfloat16 or float16 on one GPU, head_dim a multiple of 8 and at most 256
/// - result: the output `[queries, heads, head_dim]`, and the logarithm of each softmax's denominator, float32,
///   `[heads, queries]`, without a graph
///
/// # Errors
/// If there is no GPU, or shapes, kinds or devices are others; if `used_keys` is given and a gradient would be asked
/// for, which the kernel's backward pass computes without it.
pub fn flash_attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    scale: f64,
    sequences: &Sequences<'_>,
) -> Result<(Tensor, Tensor)> {
    let raw_sequences = RawSequences {
        query_starts: raw(sequences.query_starts),
        key_starts: raw(sequences.key_starts),
        used_keys: sequences.used_keys.map_or(null_mut(), raw),
        longest_query: sequences.longest_query,
        longest_key: sequences.longest_key,
        is_causal: sequences.is_causal,
        scale,
    };
    let (mut output, mut logsumexp) = (null_mut(), null_mut());
    // SAFETY: all tensors outlive the call, which writes two tensors if it succeeds.
    unsafe {
        check(ffi::shim_flash(raw(query), raw(key), raw(value), raw_sequences, &mut output, &mut logsumexp))?;
        let written = "a function that succeeds writes its results";
        Ok((ffi::own(output).expect(written), ffi::own(logsumexp).expect(written)))
    }
}
