//! Scaled dot-product attention over the layouts that the decoder runs in: a packed stream and a cache.
//!
//! Heads come as `[..., heads, head_dim]`, results leave as `[..., heads * head_dim]`. Query heads share key and value
//! heads in consecutive groups (grouped-query attention, Ainslie et al. 2023, arXiv 2305.13245).

use crate::packed::Segment;
use tch::{Device, Kind, Tensor};

/// Query, key and value heads of one layer.
pub(crate) struct Heads {
    /// `[..., n_heads, head_dim]`
    pub(crate) query: Tensor,
    /// `[..., n_kv_heads, head_dim]`
    pub(crate) key: Tensor,
    /// `[..., n_kv_heads, head_dim]`
    pub(crate) value: Tensor,
}

/// Attention over a packed stream: a loop over sequences, because libtorch's kernels know no ragged batch on every device.
///
/// - `heads`: `[tokens, heads, head_dim]`; `causal`: from [`causal_mask`]; result: `[tokens, hidden]`
pub(crate) fn packed(heads: &Heads, segments: &[Segment], causal: &Tensor) -> Tensor {
    let lengths: Vec<i64> =
        segments.iter().flat_map(|s| std::iter::once(s.n_prompt).chain(s.n_inputs.iter().copied())).collect();
    // One split has one backward, a concatenation; slices would each allocate a gradient as long as the stream.
    let split = |t: &Tensor| t.split_with_sizes(&lengths, 0).into_iter();
    let (mut queries, mut keys, mut values) = (split(&heads.query), split(&heads.key), split(&heads.value));
    let mut take = || (queries.next().unwrap(), keys.next().unwrap(), values.next().unwrap());
    let mut outputs = Vec::with_capacity(lengths.len());
    for segment in segments {
        let (query, prompt_key, prompt_value) = take();
        outputs.push(one(&query, &prompt_key, &prompt_value, None));
        for &n_inputs in &segment.n_inputs {
            let (query, key, value) = take();
            if n_inputs == 0 {
                continue;
            }
            let key = Tensor::cat(&[&prompt_key, &key], 0);
            let value = Tensor::cat(&[&prompt_value, &value], 0);
            let n_keys = segment.n_prompt + n_inputs;
            let mask = causal.narrow(0, segment.n_prompt, n_inputs).narrow(1, 0, n_keys);
            outputs.push(one(&query, &key, &value, Some(&mask)));
        }
    }
    Tensor::cat(&outputs, 0)
}

/// The additive causal mask from which [`packed`] cuts: 0 at and below the diagonal, minus infinity above.
pub(crate) fn causal_mask(segments: &[Segment], kind: Kind, device: Device) -> Tensor {
    let longest = |s: &Segment| s.n_inputs.iter().max().map(|n_inputs| s.n_prompt + n_inputs);
    let size = segments.iter().filter_map(longest).max().unwrap_or(0);
    Tensor::full([size, size], f64::NEG_INFINITY, (kind, device)).triu(1)
}

/// Attention of one new token per row over its cache.
///
/// - `query`: `[rows, n_heads, head_dim]`; `key`, `value`: `[rows, n_kv_heads, n_keys, head_dim]`
/// - `mask`: `[rows, 1, 1, n_keys]`, additive; result: `[rows, hidden]`
pub(crate) fn cached(query: &Tensor, key: &Tensor, value: &Tensor, mask: &Tensor) -> Tensor {
    let (n_rows, n_heads, head_dim) = query.size3().expect("query heads have three axes");
    let n_kv_heads = key.size()[1];
    // The query heads that share a key head become its query rows: with one query a head, that is 2 to 8 times as fast
    // on the CPU as repeating the keys.
    let query = query.reshape([n_rows, n_kv_heads, n_heads / n_kv_heads, head_dim]);
    let none: Option<f64> = None;
    Tensor::scaled_dot_product_attention(&query, key, value, Some(mask), 0.0, false, none, false)
        .reshape([n_rows, n_heads * head_dim])
}

/// One sequence: `[seq, heads, head_dim]` in, `[seq, hidden]` out; causal unless a mask says more.
fn one(query: &Tensor, key: &Tensor, value: &Tensor, mask: Option<&Tensor>) -> Tensor {
    let [query, key, value] = [query, key, value].map(|t| t.transpose(0, 1).unsqueeze(0));
    attend(&query, &key, &value, mask).squeeze_dim(0).transpose(0, 1).flatten(1, 2)
}

/// `[batch, heads, seq, head_dim]`
fn attend(query: &Tensor, key: &Tensor, value: &Tensor, mask: Option<&Tensor>) -> Tensor {
    let grouped = query.size()[1] != key.size()[1];
    let scale: Option<f64> = None;
    Tensor::scaled_dot_product_attention(query, key, value, mask, 0.0, mask.is_none(), scale, grouped)
}
