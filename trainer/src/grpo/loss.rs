//! The GRPO objective over a flat list of completion tokens (DeepSeekMath, Eq. 3 and 4).

use tch::{Kind, Tensor};

use super::stats::{LossStats, measure};

/// Bound on a log-ratio before it is exponentiated, in nats: `e^20 = 4.9e8`.
///
/// Below it nothing changes, to the bit. Above it the ratio is cut and the token has no gradient through it, instead of
/// an infinity that autograd turns into NaN (`0 * inf` behind the clip). verl bounds the same two differences at the
/// same value. How many tokens were cut is in [`LossStats::n_saturated`].
pub const MAX_LOG_RATIO: f64 = 20.0;

/// The constants of the objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Lower epsilon of Eq. 3: the ratio is clipped at `1 - clip_epsilon_low`.
    pub clip_epsilon_low: f64,
    /// Upper epsilon: the ratio is clipped at `1 + clip_epsilon_high`. Eq. 3 has one for both; DAPO raises this one.
    pub clip_epsilon_high: f64,
    /// beta of Eq. 3, the weight of the KL term.
    pub kl_beta: f64,
    /// Whether `D_t` is multiplied by `r_t`, which makes its gradient that of the KL divergence itself when the tokens
    /// are drawn from pi_old (DeepSeek-V3.2, arXiv 2512.02556; TRL's `use_bias_correction_kl`). Eq. 3 does not.
    pub kl_times_ratio: bool,
    /// C of truncated importance sampling: the policy loss of a token is multiplied by
    /// `min(pi_old / pi_sampler, C)`, a constant to the gradient (Yao et al. 2025, "Your efficient RL framework secretly
    /// brings you off-policy RL training"; TRL's `vllm_importance_sampling_mode = "token_truncate"` with `clip_max = C`).
    /// `None` multiplies by nothing.
    pub importance_cap: Option<f64>,
}

/// Completion tokens of any number of trajectories, one after the other, without padding.
///
/// All tensors are `[n_tokens]`, of one floating kind (float32 or float64) and on one device.
#[derive(Clone, Copy, Debug)]
pub struct TokenBatch<'a> {
    /// `log pi_theta(o_it | q, o_i<t)`, nats; carries the graph.
    pub logprobs: &'a Tensor,
    /// `log pi_old`, nats: the sampler's, or those that the trainer has computed itself. No gradient goes through them.
    pub old_logprobs: &'a Tensor,
    /// `log pi_sampler`, nats, where `pi_old` is not the sampler's. Read for the importance weight and for the gap.
    pub sampler_logprobs: Option<&'a Tensor>,
    /// `log pi_ref`, nats. Needed if `kl_beta` is not 0; if it is 0, the divergence is measured and not trained on.
    pub ref_logprobs: Option<&'a Tensor>,
    /// `A_it`: the advantage of the trajectory, at each of its tokens.
    pub advantages: &'a Tensor,
    /// `w_it`: the aggregation weight, from [`super::token_weights`] over the *whole* minibatch.
    pub weights: &'a Tensor,
}

/// Why a loss could not be computed. Nothing has changed then: there is no gradient yet.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LossError {
    /// The tensors do not belong together.
    #[error(
        "`{name}` is {got_kind:?} {got:?}, but `logprobs` is {expected_kind:?} {expected:?}; both must be \
             one-dimensional and of one kind, float32 or float64"
    )]
    Mismatch {
        /// Field of [`TokenBatch`].
        name: &'static str,
        /// Its shape.
        got: Vec<i64>,
        /// Its kind.
        got_kind: Kind,
        /// The shape of `logprobs`.
        expected: Vec<i64>,
        /// The kind of `logprobs`.
        expected_kind: Kind,
    },
    /// The objective has a KL term and the batch no reference.
    #[error("kl_beta is {kl_beta}, which needs the reference policy's log-probabilities, and there are none")]
    MissingReference {
        /// beta of Eq. 3.
        kl_beta: f64,
    },
    /// The objective has an importance weight and the batch no sampler beside pi_old.
    #[error("importance_cap is {cap}, which needs the sampler's log-probabilities beside pi_old's, and there are none")]
    MissingSampler {
        /// C.
        cap: f64,
    },
    /// An input or the loss of a token is NaN or infinite.
    #[error("`{name}` of token {token_idx} is {value}")]
    NonFinite {
        /// Field of [`TokenBatch`], or a term of the loss: `ratio`, `policy_loss`, `importance`, `kl`.
        name: &'static str,
        /// Index of the token in the batch.
        token_idx: usize,
        /// The value, as float64.
        value: f64,
    },
}

/// The loss of these tokens, to be minimised: the negative of Eq. 3, restricted to them.
///
/// ```text
/// loss    = sum_t w_t ( -c_t min(r_t A_t, clip(r_t, 1 - eps_low, 1 + eps_high) A_t) + beta D_t )
/// r_t     = pi_theta / pi_old                                 Eq. 3
/// c_t     = min(pi_old / pi_sampler, C), or 1 without a C     as in TRL, not on the KL term
/// D_t     = pi_ref / pi_theta - log(pi_ref / pi_theta) - 1    Eq. 4; with kl_times_ratio r_t times that
/// ```
///
/// Result: a scalar of the kind of the inputs with the graph of `logprobs`, and sums for the log. Every term depends on
/// one token alone and the weights are given, so the losses and gradients of any cut of a minibatch add up to those of
/// the whole, and [`LossStats::merge`] does the same for the sums.
///
/// # Errors
/// If the tensors do not fit each other, the reference is missing, or a token's input or loss is not finite. A NaN is
/// never clamped away.
pub fn grpo_loss(tokens: &TokenBatch<'_>, objective: &Objective) -> Result<(Tensor, LossStats), LossError> {
    tokens.check(objective)?;
    let TokenBatch { logprobs, old_logprobs, advantages, weights, .. } = tokens;

    let ratio = (*logprobs - *old_logprobs).clamp_max(MAX_LOG_RATIO).exp();
    let clipped_ratio = ratio.clamp(1.0 - objective.clip_epsilon_low, 1.0 + objective.clip_epsilon_high);
    let policy_loss = -(&ratio * *advantages).minimum(&(clipped_ratio * *advantages));
    let importance = objective.importance_cap.and_then(|cap| Some((tokens.importance()?, cap)));
    let policy_loss = match &importance {
        Some((importance, cap)) => policy_loss * importance.clamp_max(*cap),
        None => policy_loss,
    };

    let kl = tokens.ref_logprobs.map(|ref_logprobs| {
        let log_ref_ratio = (ref_logprobs - *logprobs).clamp_max(MAX_LOG_RATIO);
        // expm1, not exp - 1: near the reference the terms cancel, and float32 would keep no digit of the difference.
        let kl = log_ref_ratio.expm1() - log_ref_ratio;
        if objective.kl_times_ratio { kl * &ratio } else { kl }
    });

    let token_loss = match &kl {
        Some(kl) if objective.kl_beta != 0.0 => &policy_loss + kl * objective.kl_beta,
        _ => policy_loss.shallow_clone(),
    };
    let mut terms: Vec<(&'static str, &Tensor)> = tokens.fields().collect();
    terms.extend([("ratio", &ratio), ("policy_loss", &policy_loss)]);
    terms.extend(importance.as_ref().map(|(importance, _)| ("importance", importance)));
    terms.extend(kl.as_ref().map(|kl| ("kl", kl)));
    let stats = measure(&terms, objective)?;
    Ok(((token_loss * *weights).sum(logprobs.kind()), stats))
}

impl TokenBatch<'_> {
    /// `pi_old / pi_sampler`, without a graph; 1 by definition, and not computed, where the two are one.
    fn importance(&self) -> Option<Tensor> {
        let sampler_logprobs = self.sampler_logprobs?;
        Some((self.old_logprobs.detach() - sampler_logprobs).clamp_max(MAX_LOG_RATIO).exp())
    }

    fn check(&self, objective: &Objective) -> Result<(), LossError> {
        if self.ref_logprobs.is_none() && objective.kl_beta != 0.0 {
            return Err(LossError::MissingReference { kl_beta: objective.kl_beta });
        }
        if let (Some(cap), None) = (objective.importance_cap, self.sampler_logprobs) {
            return Err(LossError::MissingSampler { cap });
        }
        let (expected, expected_kind) = (self.logprobs.size(), self.logprobs.kind());
        let well_formed = expected.len() == 1 && matches!(expected_kind, Kind::Float | Kind::Double);
        for (name, tensor) in self.fields() {
            let (got, got_kind) = (tensor.size(), tensor.kind());
            if !well_formed || got != expected || got_kind != expected_kind {
                return Err(LossError::Mismatch { name, got, got_kind, expected, expected_kind });
            }
        }
        Ok(())
    }

    fn fields(&self) -> impl Iterator<Item = (&'static str, &Tensor)> {
        [
            ("logprobs", self.logprobs),
            ("old_logprobs", self.old_logprobs),
            ("advantages", self.advantages),
            ("weights", self.weights),
        ]
        .into_iter()
        .chain(self.sampler_logprobs.map(|tensor| ("sampler_logprobs", tensor)))
        .chain(self.ref_logprobs.map(|tensor| ("ref_logprobs", tensor)))
    }
}

#[cfg(test)]
#[path = "loss_tests.rs"]
mod tests;
