//! The aggregation weight of a token: what the double sum of the objective divides by, counted on a whole minibatch.

use serde::{Deserialize, Serialize};

/// How the losses of the tokens are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Mean over completions of the mean over tokens, `1 / (n |o_i|)`: GRPO (DeepSeekMath, Eq. 3).
    #[default]
    PerCompletion,
    /// Mean over all tokens, `1 / sum_i |o_i|`: DAPO (arXiv 2503.14476, Eq. 8). A token weighs the same in a long
    /// completion as in a short one.
    PerToken,
    /// Sum over a constant budget, `1 / (n max_tokens)`: Dr. GRPO (arXiv 2503.20783). Free of the bias towards long
    /// wrong and short right completions, and of a divisor that depends on the batch.
    Constant,
    /// Mean over the tokens of a block of completions, then over blocks, `1 / (n_blocks sum_{j in block} |o_j|)`: TRL's `bnpo`,
    /// whose block is the micro-batch of a device. Here it is [`Shares::block`] completions, in the order of the rollout,
    /// whatever is computed at a time.
    Local,
    /// Mean over completions of the sum over tokens, `1 / n`: LUSPO (with the ratio of sequences), and plain REINFORCE.
    Sum,
}

/// What an aggregation reads beside the lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// The generation budget of one completion, for [`Aggregation::Constant`].
    pub max_tokens: usize,
    /// Completions of a block, for [`Aggregation::Local`].
    pub block: usize,
}

/// The weight `w_i` of *each* token of completion i, so that the loss is `sum_i w_i sum_t loss_it`.
///
/// - `lengths`: counted tokens of every completion of the minibatch, those that are not computed included (a completion whose
///   gradient is zero still counts in `n` and in the tokens), in the order of the rollout.
///
/// The denominator is fixed here, before anything is cut: micro-batches and chunks of tokens only ever add up.
/// An empty completion has no token to weigh and gets 0.
///
/// # Panics
/// If `max_tokens` is 0 with [`Aggregation::Constant`], or `block` with [`Aggregation::Local`].
pub fn token_weights(lengths: &[usize], aggregation: Aggregation, shares: Shares) -> Vec<f64> {
    if aggregation == Aggregation::Local {
        assert!(shares.block > 0, "a block of 0 completions weighs nothing");
        let blocks = lengths.chunks(shares.block);
        let n_blocks = blocks.len() as f64;
        let of = |block: &[usize]| token_weights(block, Aggregation::PerToken, shares);
        return blocks.flat_map(of).map(|weight| weight / n_blocks).collect();
    }
    let Shares { max_tokens, .. } = shares;
    let n_completions = lengths.len() as f64;
    let n_tokens: usize = lengths.iter().sum();
    let weight = |length: usize| match aggregation {
        Aggregation::PerCompletion => 1.0 / (n_completions * length as f64),
        Aggregation::PerToken => 1.0 / n_tokens as f64,
        Aggregation::Constant => 1.0 / (n_completions * max_tokens as f64),
        Aggregation::Sum => 1.0 / n_completions,
        Aggregation::Local => unreachable!("cut into blocks above"),
    };
    assert!(aggregation != Aggregation::Constant || max_tokens > 0, "a budget of 0 tokens weighs nothing");
    lengths.iter().map(|&length| if length == 0 { 0.0 } else { weight(length) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: Shares = Shares { max_tokens: 10, block: 2 };

    fn check(lengths: &[usize], aggregation: Aggregation, expected: &[f64]) {
        assert_eq!(token_weights(lengths, aggregation, SHARES), expected, "{lengths:?} {aggregation:?}");
    }

    #[test]
    fn weights_of_the_aggregations() {
        check(&[1, 4], Aggregation::PerCompletion, &[0.5, 0.125]);
        check(&[1, 4], Aggregation::PerToken, &[0.2, 0.2]);
        check(&[1, 4], Aggregation::Constant, &[0.05, 0.05]);
        check(&[1, 4], Aggregation::Sum, &[0.5, 0.5]);
        // Blocks of two: 5 tokens, and 2.
        check(&[1, 4, 2], Aggregation::Local, &[0.1, 0.1, 0.25]);
        check(&[1, 4], Aggregation::Local, &[0.2, 0.2]);
        use Aggregation::{Constant, Local, PerCompletion, PerToken, Sum};
        // An empty completion counts as a completion, as in TRL, where its mean over no tokens is 0.
        check(&[0, 4], Aggregation::PerCompletion, &[0.0, 0.125]);
        check(&[0, 4], Aggregation::PerToken, &[0.0, 0.25]);
        check(&[0, 4], Aggregation::Constant, &[0.0, 0.05]);
        for aggregation in [PerCompletion, PerToken, Constant, Local, Sum] {
            check(&[], aggregation, &[]);
            check(&[0, 0], aggregation, &[0.0, 0.0]);
        }
    }

    #[test]
    fn a_loss_of_one_everywhere_averages_to_one() {
        let lengths = [3, 1, 7, 2];
        for aggregation in [Aggregation::PerCompletion, Aggregation::PerToken, Aggregation::Local] {
            let total: f64 = token_weights(&lengths, aggregation, SHARES)
                .iter()
                .zip(lengths)
                .map(|(w, length)| w * length as f64)
                .sum();
            assert!((total - 1.0).abs() < 1e-15, "{aggregation:?}: {total}");
        }
    }

    #[test]
    #[should_panic(expected = "budget of 0 tokens")]
    fn a_budget_of_nothing_is_refused() {
        token_weights(&[1], Aggregation::Constant, Shares { max_tokens: 0, ..SHARES });
    }
}
