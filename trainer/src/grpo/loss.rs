//! The GRPO objective over a flat list of completion tokens (DeepSeekMath, Eq. 3 and 4).

use tch::{Kind, Tensor};

use super::objective::{KlEstimator, Objective, Scope};
use super::sequences::{Sequences, counted, only};
use super::stats::{LossStats, measure};
use super::surrogate::Terms;

/// Bound on a log-ratio before it is exponentiated, in nats: `e^20 = 4.9e8`.
///
/// Below it nothing changes, to the bit. Above it the ratio is cut and the token has no gradient through it, instead of
/// an infinity that autograd turns into NaN (`0 * inf` behind the clip). verl bounds the same two differences at the
/// same value. How many tokens were cut is in [`LossStats::n_saturated`].
pub const MAX_LOG_RATIO: f64 = 20.0;

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
    /// `H_t` of pi_theta, nats; carries the graph. Needed with [`Chosen::entropy`], else measured where it is given.
    pub entropies: Option<&'a Tensor>,
    /// `A_it`: the advantage of the trajectory, at each of its tokens.
    pub advantages: &'a Tensor,
    /// `w_it`: the aggregation weight, from [`super::token_weights`] over the *whole* minibatch. A token of weight 0 takes no
    /// part in anything: whatever else is given for it is not read.
    pub weights: &'a Tensor,
    /// What was chosen over the whole minibatch before it was cut; none where every token is treated alike.
    pub chosen: Chosen<'a>,
    /// Which completion each token belongs to, all of whose tokens are here. Needed where [`Objective::scope`] says so.
    pub sequences: Option<&'a Sequences>,
}

/// What depends on all tokens of a minibatch (the module `choice`); each `[n_tokens]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chosen<'a> {
    /// 1 for tokens whose policy loss counts, 0 for others.
    pub kept: Option<&'a Tensor>,
    /// Weight of `|log pi_theta - log pi_old|`, added to the policy loss (KL-Cov).
    pub covariance_kl: Option<&'a Tensor>,
    /// Weight of the entropy of each token in the loss, which it lowers: the coefficient over the number of tokens.
    pub entropy: Option<&'a Tensor>,
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
        /// The greatest weight.
        cap: f64,
    },
    /// The objective looks at whole completions and the batch does not say which they are.
    #[error("the objective is one of whole completions, and the batch does not say which token belongs to which")]
    MissingSequences,
    /// There is a bonus for entropy and the batch has none.
    #[error("there is an entropy bonus, which needs entropies, and there are none")]
    MissingEntropies,
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

/// The loss of these tokens, to be minimised: the negative of Eq. 3, restricted to them, with what later papers put in the
/// place of its parts.
///
/// ```text
/// loss    = sum_t w_t ( k_t m_t c_t P_t + v_t |log r_t| + beta D_t ) - h_t H_t
/// P_t     = -min(r_t A_t, clip(r_t, 1 - eps_low, 1 + eps_high) A_t)    Eq. 3, or another `Surrogate`
/// r_t     = pi_theta / pi_old                                         Eq. 3, at its `RatioLevel`
/// c_t     = pi_old / pi_sampler, bounded, or 1                        `Importance`
/// m_t     = 0 for completions left behind, else 1                     `off_policy_threshold`
/// D_t     = pi_ref / pi_theta - log(pi_ref / pi_theta) - 1            Eq. 4, or another `KlEstimator`; times r_t if asked for
/// k, v, h = `Chosen`: 1, 0 and 0 in GRPO
/// ```
///
/// Result: a scalar of the kind of the inputs with the graph of `logprobs` and `entropies`, and sums for the log. Every term
/// depends on one token alone, or on its completion ([`Objective::scope`]), and the weights are given, so the losses and
/// gradients of any such cut of a minibatch add up to those of the whole, and [`LossStats::merge`] does the same for the
/// sums.
///
/// # Errors
/// If the tensors do not fit each other, something that the objective needs is missing, or a token's input or loss is not
/// finite. A NaN is never clamped away.
pub fn grpo_loss(tokens: &TokenBatch<'_>, objective: &Objective) -> Result<(Tensor, LossStats), LossError> {
    tokens.check(objective)?;
    let counted = counted(tokens.weights);
    let inputs = Inputs::of(tokens, &counted);
    let tokens = &inputs.batch(tokens);

    let terms = Terms::new(tokens, counted, objective.ratio);
    let policy_loss = terms.policy_loss(objective);
    let policy_loss = match (objective.off_policy_threshold, tokens.sequences) {
        (Some(threshold), Some(whole)) => policy_loss * terms.off_policy_mask(threshold, whole),
        _ => policy_loss,
    };
    let importance = objective.importance.and_then(|importance| terms.importance(importance));
    let policy_loss = match &importance {
        // VESPO has the weights within phi.
        Some(weights) if !matches!(objective.surrogate, super::Surrogate::Vespo { .. }) => policy_loss * &weights.cut,
        _ => policy_loss,
    };
    let policy_loss = tokens.chosen.apply(&policy_loss, &terms.log_ratio);

    let kl = tokens.ref_logprobs.map(|ref_logprobs| {
        let kl = divergence(&(ref_logprobs - tokens.logprobs), objective.kl_estimator);
        if objective.kl_times_ratio { kl * &terms.ratio } else { kl }
    });
    let token_loss = match &kl {
        Some(kl) if objective.kl_beta != 0.0 => &policy_loss + kl * objective.kl_beta,
        _ => policy_loss.shallow_clone(),
    };

    let mut named: Vec<(&'static str, &Tensor)> = tokens.fields().collect();
    named.extend([("ratio", &terms.ratio), ("policy_loss", &policy_loss)]);
    named.extend(importance.iter().flat_map(|weights| [("importance", &weights.raw), ("weighted", &weights.cut)]));
    named.extend(kl.as_ref().map(|kl| ("kl", kl)));
    let stats = measure(&named, objective)?;
    let loss = (token_loss * tokens.weights).sum(tokens.logprobs.kind());
    Ok((tokens.bonus().map_or_else(|| loss.shallow_clone(), |bonus| &loss - bonus), stats))
}

/// `D_t` of one token by `d = log pi_ref - log pi_theta`, which is bounded.
fn divergence(log_ref_ratio: &Tensor, estimator: KlEstimator) -> Tensor {
    let d = log_ref_ratio.clamp_max(MAX_LOG_RATIO);
    match estimator {
        KlEstimator::K1 => -d,
        KlEstimator::K2 => d.square() * 0.5,
        // expm1, not exp - 1: near the reference the terms cancel, and float32 would keep no digit of the difference.
        KlEstimator::K3 => d.expm1() - d,
    }
}

impl Chosen<'_> {
    fn apply(&self, policy_loss: &Tensor, log_ratio: &Tensor) -> Tensor {
        let policy_loss = self.kept.map_or_else(|| policy_loss.shallow_clone(), |kept| policy_loss * kept);
        match self.covariance_kl {
            Some(weight) => policy_loss + log_ratio.abs() * weight,
            None => policy_loss,
        }
    }
}

/// What is given for each token, and 0 where it is not counted.
struct Inputs {
    logprobs: Tensor,
    old_logprobs: Tensor,
    sampler_logprobs: Option<Tensor>,
    ref_logprobs: Option<Tensor>,
    entropies: Option<Tensor>,
    advantages: Tensor,
    kept: Option<Tensor>,
    covariance_kl: Option<Tensor>,
    entropy_weights: Option<Tensor>,
}

impl Inputs {
    fn of(tokens: &TokenBatch<'_>, counted: &Tensor) -> Self {
        let of = |tensor: &Tensor| only(tensor, counted);
        Self {
            logprobs: of(tokens.logprobs),
            old_logprobs: of(tokens.old_logprobs),
            sampler_logprobs: tokens.sampler_logprobs.map(of),
            ref_logprobs: tokens.ref_logprobs.map(of),
            entropies: tokens.entropies.map(of),
            advantages: of(tokens.advantages),
            kept: tokens.chosen.kept.map(of),
            covariance_kl: tokens.chosen.covariance_kl.map(of),
            entropy_weights: tokens.chosen.entropy.map(of),
        }
    }

    fn batch<'a>(&'a self, tokens: &TokenBatch<'a>) -> TokenBatch<'a> {
        TokenBatch {
            logprobs: &self.logprobs,
            old_logprobs: &self.old_logprobs,
            sampler_logprobs: self.sampler_logprobs.as_ref(),
            ref_logprobs: self.ref_logprobs.as_ref(),
            entropies: self.entropies.as_ref(),
            advantages: &self.advantages,
            chosen: Chosen {
                kept: self.kept.as_ref(),
                covariance_kl: self.covariance_kl.as_ref(),
                entropy: self.entropy_weights.as_ref(),
            },
            ..*tokens
        }
    }
}

impl TokenBatch<'_> {
    /// What the loss is lowered by for entropy.
    fn bonus(&self) -> Option<Tensor> {
        let (weights, entropies) = (self.chosen.entropy?, self.entropies?);
        Some((entropies * weights).sum(self.logprobs.kind()))
    }

    fn check(&self, objective: &Objective) -> Result<(), LossError> {
        if self.ref_logprobs.is_none() && objective.kl_beta != 0.0 {
            return Err(LossError::MissingReference { kl_beta: objective.kl_beta });
        }
        if let (Some(importance), None) = (objective.importance, self.sampler_logprobs) {
            return Err(LossError::MissingSampler { cap: importance.cap });
        }
        if self.chosen.entropy.is_some() && self.entropies.is_none() {
            return Err(LossError::MissingEntropies);
        }
        let (expected, expected_kind) = (self.logprobs.size(), self.logprobs.kind());
        let well_formed = expected.len() == 1 && matches!(expected_kind, Kind::Float | Kind::Double);
        for (name, tensor) in self.fields() {
            let (got, got_kind) = (tensor.size(), tensor.kind());
            if !well_formed || got != expected || got_kind != expected_kind {
                return Err(LossError::Mismatch { name, got, got_kind, expected, expected_kind });
            }
        }
        let fits = |whole: &Sequences| whole.n_tokens() == expected[0];
        if objective.scope() == Scope::Sequence && !self.sequences.is_some_and(fits) {
            return Err(LossError::MissingSequences);
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
        .chain(self.entropies.map(|tensor| ("entropies", tensor)))
        .chain(self.chosen.kept.map(|tensor| ("kept", tensor)))
        .chain(self.chosen.covariance_kl.map(|tensor| ("covariance_kl", tensor)))
        .chain(self.chosen.entropy.map(|tensor| ("entropy_weights", tensor)))
    }
}

#[cfg(test)]
#[path = "loss_tests/mod.rs"]
mod tests;
