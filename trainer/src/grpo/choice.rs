//! What is chosen among all tokens of a minibatch before it is cut: entropy and covariance.

/// A bound on how much single tokens take from the entropy of the policy (arXiv 2505.22617): `stage.grpo.covariance`.
///
/// `Cov_t = (log pi_t - mean log pi) (A_t - mean A)`, means over the tokens of the minibatch: tokens that are likely and good
/// at once are those that make the policy surer of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Covariance {
    /// Clip-Cov: of the tokens whose covariance is within `(low, high)` and that the clip leaves alone, a fraction of all,
    /// drawn at random, leaves the policy loss.
    ClipCov {
        /// Of all tokens, in (0, 1]. Default 2e-4 (the paper).
        fraction: f64,
        /// Default 1 (the paper).
        low: f64,
        /// Default 5 (the paper).
        high: f64,
    },
    /// KL-Cov: the tokens with the greatest covariance pay `beta |log pi_theta - log pi_old|`.
    KlCov {
        /// Of all tokens, in (0, 1]. Default 2e-3 (the paper, 7B).
        fraction: f64,
        /// Nats to loss. Default 1 (the paper).
        beta: f64,
    },
}

impl Covariance {
    /// Of all tokens.
    pub fn fraction(&self) -> f64 {
        match *self {
            Self::ClipCov { fraction, .. } | Self::KlCov { fraction, .. } => fraction,
        }
    }
}

/// The entropy from which on a token is among the given fraction of the most uncertain: the `1 - fraction` quantile, linear
/// between neighbours as `torch.quantile`'s (arXiv 2506.01939; TRL's `top_entropy_quantile`). Tokens at the threshold stay.
///
/// - `entropies`: of all tokens that count, nats; `fraction`: in (0, 1]
///
/// Minus infinity where there is no token.
pub fn entropy_threshold(entropies: &[f32], fraction: f64) -> f32 {
    let mut sorted = entropies.to_vec();
    sorted.sort_by(f32::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f32::NEG_INFINITY };
    let rank = (1.0 - fraction) * last as f64;
    let (below, above) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    below + (rank - rank.floor()) as f32 * (above - below)
}

/// `Cov_t` of each token.
pub fn covariances(logprobs: &[f32], advantages: &[f32]) -> Vec<f64> {
    let mean = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len().max(1) as f64;
    let (mean_logprob, mean_advantage) = (mean(logprobs), mean(advantages));
    let of = |(&l, &a): (&f32, &f32)| (f64::from(l) - mean_logprob) * (f64::from(a) - mean_advantage);
    logprobs.iter().zip(advantages).map(of).collect()
}

/// How many of `n_tokens` a fraction is: at least one, as in the authors' code.
fn share(n_tokens: usize, fraction: f64) -> usize {
    ((n_tokens as f64 * fraction) as usize).max(1)
}

/// The tokens that KL-Cov puts a price on: those of the greatest covariance; of equal ones the first.
pub fn greatest(covariances: &[f64], fraction: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..covariances.len()).collect();
    order.sort_by(|&a, &b| covariances[b].total_cmp(&covariances[a]));
    order.truncate(share(covariances.len(), fraction));
    order
}

/// The tokens that Clip-Cov may take out of the loss, and how many it does take.
///
/// - `is_clipped`: tokens that the clip of the ratio has cut already
pub fn clippable(covariances: &[f64], is_clipped: &[bool], fraction: f64, low: f64, high: f64) -> (Vec<usize>, usize) {
    let fits = |&t: &usize| covariances[t] > low && covariances[t] < high && !is_clipped[t];
    let candidates: Vec<usize> = (0..covariances.len()).filter(fits).collect();
    let n = share(covariances.len(), fraction).min(candidates.len());
    (candidates, n)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// numpy.quantile's default, which is torch's.
    #[test]
    fn the_threshold_is_the_quantile() {
        let entropies = [0.5, 0.1, 0.4, 0.2, 0.3];
        for (fraction, expected) in [(1.0, 0.1), (0.75, 0.2), (0.5, 0.3), (0.2, 0.42), (0.1, 0.46), (1e-9, 0.5)] {
            let got = entropy_threshold(&entropies, fraction);
            assert!((got - expected).abs() < 1e-6, "{fraction}: {got}, not {expected}");
        }
        assert_eq!(entropy_threshold(&[], 0.2), f32::NEG_INFINITY);
    }

    #[test]
    fn tokens_are_chosen_by_covariance() {
        // Means -1 and 0.5.
        let covariances = covariances(&[0.0, -2.0, -1.0, -1.0], &[2.0, -1.0, 0.5, 0.5]);
        assert_eq!(covariances, [1.5, 1.5, 0.0, 0.0]);
        assert_eq!(greatest(&covariances, 0.01), [0]);
        assert_eq!(greatest(&covariances, 0.75), [0, 1, 2]);
        assert_eq!(clippable(&covariances, &[false; 4], 0.5, 1.0, 5.0), (vec![0, 1], 2));
        assert_eq!(clippable(&covariances, &[true, false, false, false], 0.5, 1.0, 5.0), (vec![1], 1));
        assert_eq!(clippable(&covariances, &[false; 4], 0.01, 1.0, 1.5), (vec![], 0));
    }
}
