//! The vocabulary head: log-probabilities of given tokens, in chunks, so that logits of a large vocabulary never exist
//! all at once.

use crate::Tape;
use crate::attention::hand_back;
use crate::linear::linear;
use tch::{Kind, Tensor};

/// What the head says of each token asked about.
#[derive(Debug)]
pub struct TokenStats {
    /// `[tokens]`, float32, nats, at most 0: log-probability of the token under softmax(logits / temperature).
    pub logprobs: Tensor,
    /// `[tokens]`, float32, nats, no gradient: entropy of that distribution.
    pub entropy: Tensor,
}

/// Log-probabilities of `targets`.
///
/// - `hidden`: `[tokens, hidden]`; `head`: `[vocab, hidden]`; `targets`: `[tokens]`, int64
/// - `temperature`: divides the logits; positive
pub(crate) fn token_stats(hidden: &Tensor, head: &Tensor, targets: &Tensor, temperature: f64) -> TokenStats {
    // In float32 from the logits on: bfloat16 rounds a log-prob near -10 to steps of 1/16, and the ratio exponentiates it.
    let mut logits = linear(hidden, head, None).to_kind(Kind::Float);
    if temperature != 1.0 {
        logits /= temperature;
    }
    let distribution = logits.log_softmax(-1, Kind::Float);
    let logprobs = distribution.gather(1, &targets.unsqueeze(1), false).squeeze_dim(1);
    let entropy = tch::no_grad(|| {
        let detached = distribution.detach();
        // A token with probability 0 has log-probability minus infinity, and adds nothing.
        -(detached.exp() * detached.clamp_min(f64::from(f32::MIN))).sum_dim_intlist(-1, false, Kind::Float)
    });
    TokenStats { logprobs, entropy }
}

/// Log-probabilities without a graph, `chunk_tokens` at a time; the whole result.
pub fn logprobs_in_chunks(
    hidden: &Tensor,
    head: &Tensor,
    targets: &Tensor,
    temperature: f64,
    chunk_tokens: i64,
) -> TokenStats {
    let stats: Vec<TokenStats> = tch::no_grad(|| {
        chunks(targets.size()[0], chunk_tokens)
            .map(|(start, len)| {
                token_stats(&hidden.narrow(0, start, len), head, &targets.narrow(0, start, len), temperature)
            })
            .collect()
    });
    let cat = |pick: fn(&TokenStats) -> &Tensor| Tensor::cat(&stats.iter().map(pick).collect::<Vec<_>>(), 0);
    TokenStats { logprobs: cat(|s| &s.logprobs), entropy: cat(|s| &s.entropy) }
}

/// Differentiates a loss that is a sum over tokens, through the head, chunk by chunk, and then through the decoder.
///
/// Each chunk's logits live only until its part of the loss has been differentiated; gradients of `head` and of the hidden
/// states are added up. The result is the gradient of the whole sum, to rounding.
///
/// - `loss(start, stats)`: the part of the loss that belongs to the tokens from `start` on, a scalar with a graph.
///
/// # Errors
/// The first error of `loss`; gradients are incomplete then.
pub fn backward_in_chunks<E>(
    tape: Tape<'_>,
    head: &Tensor,
    targets: &Tensor,
    temperature: f64,
    chunk_tokens: i64,
    mut loss: impl FnMut(i64, &TokenStats) -> Result<Tensor, E>,
) -> Result<(), E> {
    // The head may be a cast of the master weights: its gradient, too, is collected, in float32, and sent on once.
    let head_leaf = head.detach().to_kind(Kind::Float).set_requires_grad(head.requires_grad());
    for (start, len) in chunks(targets.size()[0], chunk_tokens) {
        let stats = {
            let head = head_leaf.to_kind(head.kind());
            token_stats(&tape.hidden().narrow(0, start, len), &head, &targets.narrow(0, start, len), temperature)
        };
        loss(start, &stats)?.backward();
    }
    if head.requires_grad() {
        hand_back(&[(head, &head_leaf.grad())]);
    }
    tape.backward();
    Ok(())
}

/// `(start, length)` of consecutive chunks.
fn chunks(n_tokens: i64, chunk_tokens: i64) -> impl Iterator<Item = (i64, i64)> {
    let step = chunk_tokens.max(1);
    (0..n_tokens).step_by(step as usize).map(move |start| (start, step.min(n_tokens - start)))
}
