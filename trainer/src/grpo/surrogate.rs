//! The policy term of a token: ratio, clip and what takes their place in the papers after GRPO.

use tch::Tensor;

use super::loss::{MAX_LOG_RATIO, TokenBatch};
use super::objective::{Importance, ImportanceAction, ImportanceLevel, Objective, RatioLevel, Surrogate};
use super::sequences::{Sequences, only};

/// Least log of VESPO's w: TRL's, `ln 1e-8`.
const VESPO_LEAST_LOG: f64 = -18.420_680_743_952_367;

/// What every term of a token's loss reads.
pub(super) struct Terms<'a> {
    pub(super) tokens: &'a TokenBatch<'a>,
    /// `log pi_theta - log pi_old` of each token, with the graph; 0 where not counted.
    pub(super) log_ratio: Tensor,
    /// bool, `[n_tokens]`
    pub(super) counted: Tensor,
    /// The ratio at the objective's level, at each token.
    pub(super) ratio: Tensor,
}

impl<'a> Terms<'a> {
    pub(super) fn new(tokens: &'a TokenBatch<'a>, counted: Tensor, level: RatioLevel) -> Self {
        let log_ratio = tokens.logprobs - &tokens.old_logprobs.detach();
        let whole = || tokens.sequences.expect("checked");
        let at_level = match level {
            RatioLevel::Token => log_ratio.shallow_clone(),
            RatioLevel::Sequence => whole().mean(&log_ratio, &counted),
            // sg[s] r / sg[r], in logs.
            RatioLevel::SequenceToken => {
                whole().mean(&log_ratio, &counted).detach() + (&log_ratio - log_ratio.detach())
            }
            RatioLevel::Product => whole().sum(&log_ratio),
        };
        Self { tokens, log_ratio, counted, ratio: at_level.clamp_max(MAX_LOG_RATIO).exp() }
    }

    /// The policy loss of each token, to be minimised.
    pub(super) fn policy_loss(&self, objective: &Objective) -> Tensor {
        let (ratio, advantages, logprobs) = (&self.ratio, self.tokens.advantages, self.tokens.logprobs);
        match objective.surrogate {
            Surrogate::Clip { low, high, delta } => {
                let clipped_ratio = ratio.clamp(1.0 - low, 1.0 + high);
                let unclipped = match delta {
                    Some(delta) => ratio.clamp_max(delta) * advantages,
                    None => ratio * advantages,
                };
                -unclipped.minimum(&(clipped_ratio * advantages))
            }
            Surrogate::Cispo { cap } => -(ratio.detach().clamp_max(cap) * advantages * logprobs),
            Surrogate::Sapo { positive, negative } => {
                let is_positive = advantages.gt(0.0);
                let temperature = by_sign(&is_positive, positive, negative, ratio);
                let gate = ((ratio - 1.0) * &temperature).sigmoid() * 4.0 / &temperature;
                -(gate * advantages)
            }
            Surrogate::Vespo { positive, negative } => {
                -(self.vespo_weights(positive, negative, objective.importance) * advantages * logprobs)
            }
        }
    }

    /// phi(w) of the completion of each token, without a graph.
    fn vespo_weights(&self, positive: [f64; 2], negative: [f64; 2], importance: Option<Importance>) -> Tensor {
        tch::no_grad(|| {
            let whole = self.tokens.sequences.expect("checked");
            let mut log_w = whole.sum(&self.log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO));
            if let Some((importance, weights)) = importance.and_then(|given| Some((given, self.importance(given)?))) {
                // The product goes on to the sampler: log(pi_theta / pi_old) + log(pi_old / pi_sampler).
                let log_weights = weights.cut.log().clamp(VESPO_LEAST_LOG, MAX_LOG_RATIO);
                log_w += match importance.level {
                    ImportanceLevel::Token => whole.sum(&only(&log_weights, &self.counted)),
                    ImportanceLevel::Sequence => log_weights,
                };
            }
            let log_w = log_w.clamp(VESPO_LEAST_LOG, MAX_LOG_RATIO);
            let is_positive = self.tokens.advantages.ge(0.0);
            let k = by_sign(&is_positive, positive[0], negative[0], &log_w);
            let lambda = by_sign(&is_positive, positive[1], negative[1], &log_w).clamp_min(1e-4);
            (&lambda + k * &log_w - &lambda * log_w.exp()).exp()
        })
    }

    /// `pi_old / pi_sampler` of each token; none where the two are one.
    pub(super) fn importance(&self, importance: Importance) -> Option<ImportanceWeights> {
        let sampler_logprobs = self.tokens.sampler_logprobs?;
        let log_weight = self.tokens.old_logprobs.detach() - sampler_logprobs;
        let at_level = match importance.level {
            ImportanceLevel::Token => log_weight,
            ImportanceLevel::Sequence => self.tokens.sequences.expect("checked").sum(&log_weight),
        };
        let raw = at_level.clamp_max(MAX_LOG_RATIO).exp();
        let (floor, cap) = (importance.floor.unwrap_or(0.0), importance.cap);
        let cut = match importance.action {
            ImportanceAction::Truncate => raw.clamp(floor, cap),
            ImportanceAction::Mask => &raw * raw.ge(floor).logical_and(&raw.le(cap)).to_kind(raw.kind()),
        };
        Some(ImportanceWeights { raw, cut })
    }

    /// 1 for the tokens that stay, 0 for those of completions with `A < 0` that the policy has left behind.
    pub(super) fn off_policy_mask(&self, threshold: f64, whole: &Sequences) -> Tensor {
        let TokenBatch { logprobs, old_logprobs, sampler_logprobs, advantages, .. } = self.tokens;
        let drift = sampler_logprobs.unwrap_or(old_logprobs) - &logprobs.detach();
        let is_near = whole.mean(&drift, &self.counted).le(threshold);
        advantages.ge(0.0).logical_or(&is_near).to_kind(logprobs.kind())
    }
}

/// Importance weights as they are, and as they enter the loss.
pub(super) struct ImportanceWeights {
    pub(super) raw: Tensor,
    pub(super) cut: Tensor,
}

fn by_sign(is_positive: &Tensor, positive: f64, negative: f64, like: &Tensor) -> Tensor {
    like.full_like(positive).where_self(is_positive, &like.full_like(negative))
}
