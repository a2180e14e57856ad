//! Scaled dot-product attention over the layouts that the decoder runs in: a packed stream and a cache.
//!
//! Heads come as `[..., heads, head_dim]`, results leave as `[..., heads * head_dim]`. Query heads share key and value
//! heads in consecutive groups (grouped-query attention, Ainslie et al. 2023, arXiv 2305.13245).

use crate::cpu_attention;
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

/// Attention over a packed stream, without a graph.
///
/// - `heads`: `[tokens, heads, head_dim]`; result: `[tokens, hidden]`
pub(crate) fn packed(heads: &Heads, segments: &[Segment], mask: Option<&Tensor>) -> Tensor {
    match mask {
        None => cpu_attention::packed::forward(heads, segments).output,
        Some(mask) => by_libtorch(heads, segments, mask),
    }
}

/// Whether attention runs on kernels of our own: on the CPU in float32.
pub(crate) fn is_ours(head_dim: i64, kind: Kind, device: Device) -> bool {
    device == Device::Cpu && kind == Kind::Float && head_dim <= cpu_attention::packed::MAX_HEAD_DIM as i64
}

/// Attention of one layer in training: the result, and what its backward pass needs.
pub(crate) enum Trained {
    /// By kernels of our own.
    Ours { heads: Heads, forward: cpu_attention::packed::Forward },
    /// By libtorch, as a graph between the heads and the output.
    Libtorch { heads: Heads, output: Tensor },
}

impl Trained {
    /// - `heads`: `[tokens, heads, head_dim]`, with a graph that ends here
    pub(crate) fn forward(heads: &Heads, segments: &[Segment], mask: Option<&Tensor>) -> Self {
        let detach = |t: &Tensor| t.detach();
        let heads = Heads { query: detach(&heads.query), key: detach(&heads.key), value: detach(&heads.value) };
        let Some(mask) = mask else {
            let forward = cpu_attention::packed::forward(&heads, segments);
            return Self::Ours { heads, forward };
        };
        let leaf = |t: Tensor| t.set_requires_grad(true);
        let heads = Heads { query: leaf(heads.query), key: leaf(heads.key), value: leaf(heads.value) };
        let output = by_libtorch(&heads, segments, mask);
        Self::Libtorch { heads, output }
    }

    /// `[tokens, hidden]`, without a graph.
    pub(crate) fn output(&self) -> Tensor {
        match self {
            Self::Ours { forward, .. } => forward.output.shallow_clone(),
            Self::Libtorch { output, .. } => output.detach(),
        }
    }

    /// The gradients of the heads from that of the output.
    pub(crate) fn backward(self, gradient: &Tensor, segments: &[Segment]) -> Heads {
        match self {
            Self::Ours { heads, forward } => cpu_attention::packed::backward(&heads, &forward, gradient, segments),
            Self::Libtorch { heads, output } => {
                hand_back(&[(&output, gradient)]);
                let Heads { query, key, value } = heads;
                Heads { query: query.grad(), key: key.grad(), value: value.grad() }
            }
        }
    }
}

/// Differentiates tensors whose gradients are known: they go on to the leaves of their graph.
pub(crate) fn hand_back(tensors: &[(&Tensor, &Tensor)]) {
    // The gradient of (y * g).sum() with g constant is exactly g: the way to hand an incoming gradient to tch.
    let sums = tensors.iter().map(|(tensor, gradient)| (*tensor * gradient.to_kind(tensor.kind())).sum(Kind::Float));
    sums.reduce(|total, sum| total + sum).expect("there is a gradient").backward();
}

/// The loop over sequences that libtorch's kernels need, for they know no ragged batch on every device.
fn by_libtorch(heads: &Heads, segments: &[Segment], causal: &Tensor) -> Tensor {
    let mut lengths: Vec<i64> =
        segments.iter().flat_map(|s| std::iter::once(s.n_prompt).chain(s.n_inputs.iter().copied())).collect();
    let n_tokens = heads.query.size()[0];
    let n_padding = n_tokens - lengths.iter().sum::<i64>();
    lengths.push(n_padding);
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
    if n_padding > 0 {
        let width = heads.query.size()[1..].iter().product::<i64>();
        outputs.push(Tensor::zeros([n_padding, width], (heads.query.kind(), heads.query.device())));
    }
    Tensor::cat(&outputs, 0)
}

/// The additive causal mask from which libtorch's attention cuts: 0 at and below the diagonal, minus infinity above.
/// None where attention is ours and needs none.
pub(crate) fn causal_mask(segments: &[Segment], head_dim: i64, kind: Kind, device: Device) -> Option<Tensor> {
    if is_ours(head_dim, kind, device) {
        return None;
    }
    let longest = |s: &Segment| s.n_inputs.iter().max().map(|n_inputs| s.n_prompt + n_inputs);
    let size = segments.iter().filter_map(longest).max().unwrap_or(0);
    Some(Tensor::full([size, size], f64::NEG_INFINITY, (kind, device)).triu(1))
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
