//! Scaled dot-product attention over the layouts that the decoder runs in: a packed stream and a cache.
//!
//! Heads come as `[..., heads, head_dim]`, results leave as `[..., heads * head_dim]`. Query heads share key and value
//! heads in consecutive groups (grouped-query attention, Ainslie et al. 2023, arXiv 2305.13245).

use crate::network::Kernels;
use crate::packed::Segment;
use shim::{Sequences, flash_attention};
use tch::{Device, Kind, Tensor};

/// Why the flash kernel does not fail where it is used.
const TRIED: &str = "the kernel was tried on this device when the network was made";

/// Query, key and value heads of one layer.
pub(crate) struct Heads {
    /// `[..., n_heads, head_dim]`
    pub(crate) query: Tensor,
    /// `[..., n_kv_heads, head_dim]`
    pub(crate) key: Tensor,
    /// `[..., n_kv_heads, head_dim]`
    pub(crate) value: Tensor,
}

/// How a packed stream is attended over; made once for all layers.
pub(crate) enum Packing<'a> {
    /// A loop over sequences, because libtorch's kernels know no ragged batch on every device.
    Loop {
        segments: &'a [Segment],
        /// Additive: 0 at and below the diagonal, minus infinity above.
        causal: Tensor,
    },
    /// All sequences in one call.
    Flash(Ragged),
}

impl<'a> Packing<'a> {
    pub(crate) fn new(segments: &'a [Segment], kernels: Kernels, kind: Kind, device: Device) -> Self {
        match kernels {
            Kernels::Portable => Self::Loop { segments, causal: causal_mask(segments, kind, device) },
            Kernels::Flash => Self::Flash(Ragged::new(segments, device)),
        }
    }

    /// - `heads`: `[tokens, heads, head_dim]`; result: `[tokens, hidden]`
    pub(crate) fn attend(&self, heads: &Heads) -> Tensor {
        self.try_attend(heads).expect(TRIED)
    }

    /// Fails where the device has no flash kernel.
    pub(crate) fn try_attend(&self, heads: &Heads) -> shim::Result<Tensor> {
        match self {
            Self::Loop { segments, causal } => Ok(by_sequence(heads, segments, causal)),
            Self::Flash(ragged) => ragged.attend(heads),
        }
    }
}

/// The sequences of a packed stream as the flash kernel takes them: each prompt by itself, each completion against the
/// keys of its prompt and its own.
///
/// The kernel wants the keys of a sequence side by side. So a prompt's keys and values are written once more for each of
/// its completions, in every layer: of n completions, `n * n_prompt * n_kv_heads * head_dim` numbers each, which is what the
/// kernel reads anyway, and little beside the scores. Queries, and everything outside of attention, are computed once.
pub(crate) struct Ragged {
    /// `[keys]`, int64: the token of the stream that each key is of; none where every token is one key, in order.
    key_tokens: Option<Tensor>,
    /// `[sequences + 1]`, int32.
    query_starts: Tensor,
    /// `[sequences + 1]`, int32.
    key_starts: Tensor,
    longest_query: i64,
    longest_key: i64,
}

impl Ragged {
    fn new(segments: &[Segment], device: Device) -> Self {
        let mut key_tokens = Vec::new();
        let (mut query_starts, mut key_starts) = (vec![0_i32], vec![0_i32]);
        let (mut longest_query, mut longest_key, mut first) = (0, 0, 0);
        for segment in segments {
            let prompt = first..first + segment.n_prompt;
            first = prompt.end;
            // The prompt is a sequence with no keys but its own.
            let own = std::iter::once((0, prompt.start, segment.n_prompt));
            let completions = segment.n_inputs.iter().map(|&n_inputs| {
                first += n_inputs;
                (segment.n_prompt, first - n_inputs, n_inputs)
            });
            for (n_shared, start, n_queries) in own.chain(completions).filter(|&(_, _, n_queries)| n_queries > 0) {
                key_tokens.extend(prompt.start..prompt.start + n_shared);
                key_tokens.extend(start..start + n_queries);
                let end = |tokens: i64| i32::try_from(tokens).expect("fewer than 2^31 keys in a batch");
                query_starts.push(end(start + n_queries));
                key_starts.push(end(key_tokens.len() as i64));
                longest_query = longest_query.max(n_queries);
                longest_key = longest_key.max(n_shared + n_queries);
            }
        }
        let shares = segments.iter().any(|segment| !segment.n_inputs.is_empty());
        let tensor = |starts: &[i32]| Tensor::from_slice(starts).to_device(device);
        Self {
            key_tokens: shares.then(|| Tensor::from_slice(&key_tokens).to_device(device)),
            query_starts: tensor(&query_starts),
            key_starts: tensor(&key_starts),
            longest_query,
            longest_key,
        }
    }

    fn attend(&self, heads: &Heads) -> shim::Result<Tensor> {
        let sequences = Sequences {
            query_starts: &self.query_starts,
            key_starts: &self.key_starts,
            used_keys: None,
            longest_query: self.longest_query,
            longest_key: self.longest_key,
            is_causal: true,
        };
        flash(&heads.query, &self.repeated(&heads.key), &self.repeated(&heads.value), &sequences)
    }

    /// Keys or values of the stream as the kernel reads them: `[keys, n_kv_heads, head_dim]`.
    fn repeated(&self, heads: &Tensor) -> Tensor {
        match &self.key_tokens {
            None => heads.shallow_clone(),
            // A prompt's gradient is a sum over its completions, which bfloat16 would round at every summand.
            Some(tokens) if heads.requires_grad() => {
                heads.to_kind(Kind::Float).index_select(0, tokens).to_kind(heads.kind())
            }
            Some(tokens) => heads.index_select(0, tokens),
        }
    }
}

/// The flash kernel with the scale of every decoder here.
///
/// - `query`: `[queries, n_heads, head_dim]`; `key`, `value`: `[keys, n_kv_heads, head_dim]`; result: `[queries, hidden]`
fn flash(query: &Tensor, key: &Tensor, value: &Tensor, sequences: &Sequences) -> shim::Result<Tensor> {
    let head_dim = query.size()[2];
    let (output, _) = flash_attention(query, key, value, (head_dim as f64).powf(-0.5), sequences)?;
    Ok(output.flatten(1, 2))
}

/// A loop over the sequences of a packed stream.
fn by_sequence(heads: &Heads, segments: &[Segment], causal: &Tensor) -> Tensor {
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

/// As large as the longest sequence of a completion needs.
fn causal_mask(segments: &[Segment], kind: Kind, device: Device) -> Tensor {
    let longest = |s: &Segment| s.n_inputs.iter().max().map(|n_inputs| s.n_prompt + n_inputs);
    let size = segments.iter().filter_map(longest).max().unwrap_or(0);
    Tensor::full([size, size], f64::NEG_INFINITY, (kind, device)).triu(1)
}

/// What each row of a cache sees in one decoding step; made once for all layers.
pub(crate) enum Span {
    /// `[rows, 1, 1, n_keys]`, additive: a row sees its own keys, the new one included, and nothing of what lies behind.
    Masked(Tensor),
    /// The rows at their own lengths, `capacity` places apart.
    Flash { query_starts: Tensor, key_starts: Tensor, used_keys: Tensor, capacity: i64 },
}

impl Span {
    /// - `positions`: `[rows]`, int64: where each row's new token stands
    /// - `n_keys`: more than any position in use, at most `capacity`; `capacity`: places that a row has in the cache
    pub(crate) fn new(kernels: Kernels, positions: &Tensor, n_keys: i64, capacity: i64, kind: Kind) -> Self {
        let (n_rows, device) = (positions.size()[0], positions.device());
        match kernels {
            Kernels::Portable => {
                let keys = Tensor::arange(n_keys, (Kind::Int64, device));
                let hidden = keys.unsqueeze(0).gt_tensor(&positions.unsqueeze(1));
                let mask = Tensor::zeros(hidden.size(), (kind, device)).masked_fill_(&hidden, f64::NEG_INFINITY);
                Self::Masked(mask.unsqueeze(1).unsqueeze(1))
            }
            Kernels::Flash => {
                let starts = Tensor::arange(n_rows + 1, (Kind::Int, device));
                let key_starts = &starts * capacity;
                Self::Flash {
                    query_starts: starts,
                    key_starts,
                    used_keys: (positions + 1).to_kind(Kind::Int),
                    capacity,
                }
            }
        }
    }

    /// Attention of one new token per row.
    ///
    /// - `query`: `[rows, n_heads, head_dim]`; `key`, `value`: `[rows, capacity, n_kv_heads, head_dim]`, contiguous
    /// - result: `[rows, hidden]`
    pub(crate) fn attend(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> Tensor {
        self.try_attend(query, key, value).expect(TRIED)
    }

    /// Fails where the device has no flash kernel.
    pub(crate) fn try_attend(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> shim::Result<Tensor> {
        match self {
            Self::Masked(mask) => Ok(cached(query, key, value, mask)),
            Self::Flash { query_starts, key_starts, used_keys, capacity } => {
                let sequences = Sequences {
                    query_starts,
                    key_starts,
                    used_keys: Some(used_keys),
                    longest_query: 1,
                    longest_key: *capacity,
                    // One query, the last: it sees all keys in use.
                    is_causal: false,
                };
                flash(query, &key.flatten(0, 1), &value.flatten(0, 1), &sequences)
            }
        }
    }
}

fn cached(query: &Tensor, key: &Tensor, value: &Tensor, mask: &Tensor) -> Tensor {
    let (n_rows, n_heads, head_dim) = query.size3().expect("query heads have three axes");
    let (n_keys, n_kv_heads) = (mask.size()[3], key.size()[2]);
    let [key, value] = [key, value].map(|cache| cache.narrow(1, 0, n_keys).transpose(1, 2));
    // The query heads that share a key head become its query rows: with one query a head, that is 2 to 8 times as fast
    // on the CPU as repeating the keys.
    let query = query.reshape([n_rows, n_kv_heads, n_heads / n_kv_heads, head_dim]);
    let none: Option<f64> = None;
    Tensor::scaled_dot_product_attention(&query, &key, &value, Some(mask), 0.0, false, none, false)
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

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
