//! The switches of the objective: what stands in the loss, each independent of the others and each with its paper.

use serde::{Deserialize, Serialize};

/// At which level `pi_theta / pi_old` is taken: `stage.grpo.ratio`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RatioLevel {
    /// `r_it` of each token: DeepSeekMath, Eq. 3.
    #[default]
    Token,
    /// `s_i = (prod_t r_it)^(1/|o_i|)` for every token of a completion: GSPO (arXiv 2507.18071, Eq. 7).
    Sequence,
    /// The value of `s_i` with the gradient of `r_it`: `sg[s_i] r_it / sg[r_it]`, GSPO-token (the same, Eq. 14).
    SequenceToken,
    /// `prod_t r_it`: the whole completion is one action, as in RLOO (arXiv 2402.14740) and TRL's `RLOOTrainer`.
    Product,
}

impl RatioLevel {
    /// As written in a run file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Sequence => "sequence",
            Self::SequenceToken => "sequence_token",
            Self::Product => "product",
        }
    }
}

/// What is made of ratio and advantage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Surrogate {
    /// `min(r A, clip(r, 1 - low, 1 + high) A)`: DeepSeekMath, Eq. 3. With a `delta` the first r is at most delta, so that a
    /// token with `A < 0` cannot pull without bound (two-sided clip, INTELLECT-2, arXiv 2505.07291).
    Clip {
        /// Lower epsilon.
        low: f64,
        /// Upper epsilon; DAPO (arXiv 2503.14476) raises this one.
        high: f64,
        /// Bound of the unclipped ratio, absolute.
        delta: Option<f64>,
    },
    /// `sg[min(r, cap)] A log pi_theta`: CISPO (arXiv 2506.13585, Eq. 4), without a lower bound. The cap is absolute, as in TRL
    /// and ScaleRL.
    Cispo {
        /// Bound of the ratio.
        cap: f64,
    },
    /// `4 / tau * sigmoid(tau (r - 1)) A`: SAPO (arXiv 2511.20347).
    Sapo {
        /// tau where `A > 0`.
        positive: f64,
        /// tau elsewhere.
        negative: f64,
    },
    /// `sg[phi(w)] A log pi_theta`, `phi(w) = e^lambda w^k e^(-lambda w)`, w the product of the ratios of a completion: VESPO
    /// (arXiv 2602.10693), as TRL computes it.
    Vespo {
        /// k and lambda where `A >= 0`.
        positive: [f64; 2],
        /// k and lambda where `A < 0`.
        negative: [f64; 2],
    },
}

impl Surrogate {
    /// The clip of GRPO with one epsilon for both sides.
    pub const fn clip(epsilon: f64) -> Self {
        Self::Clip { low: epsilon, high: epsilon, delta: None }
    }

    /// Least ratio at which a token with `A < 0`, and greatest at which one with `A > 0`, is not cut; infinite where nothing
    /// is cut.
    pub fn bounds(&self) -> (f64, f64) {
        match *self {
            Self::Clip { low, high, .. } => (1.0 - low, 1.0 + high),
            Self::Cispo { cap } => (f64::NEG_INFINITY, cap),
            Self::Sapo { .. } | Self::Vespo { .. } => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }
}

/// Estimator of the KL divergence from the reference at one token, `d = log pi_ref - log pi_theta`
/// (Schulman 2020, "Approximating KL divergence"): `stage.grpo.kl_estimator`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlEstimator {
    /// `-d`: unbiased as a value. As a loss its gradient is zero on average.
    K1,
    /// `d^2 / 2`: biased as a value; as a loss its gradient is that of the divergence, on policy.
    K2,
    /// `e^d - d - 1`: unbiased, never negative. DeepSeekMath, Eq. 4.
    #[default]
    K3,
}

/// Over what an importance weight `pi_old / pi_sampler` is taken: `stage.grpo.importance_level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportanceLevel {
    /// Each token by itself: small variance, biased.
    #[default]
    Token,
    /// The product over the completion: unbiased, large variance.
    Sequence,
}

/// What happens to an importance weight beyond its bounds: `stage.grpo.importance_action`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportanceAction {
    /// It is set to the bound: truncated importance sampling (Yao et al. 2025).
    #[default]
    Truncate,
    /// It is set to 0: IcePop (arXiv 2510.18855).
    Mask,
}

/// The weight `pi_old / pi_sampler` of a token's policy loss, a constant to the gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Importance {
    /// Over what it is taken.
    pub level: ImportanceLevel,
    /// What happens beyond the bounds.
    pub action: ImportanceAction,
    /// Least weight.
    pub floor: Option<f64>,
    /// Greatest weight.
    pub cap: f64,
}

impl Importance {
    /// Token by token, cut at `cap`.
    pub const fn capped(cap: f64) -> Self {
        Self { level: ImportanceLevel::Token, action: ImportanceAction::Truncate, floor: None, cap }
    }
}

/// The objective without what is given with each token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// What the ratio is taken over.
    pub ratio: RatioLevel,
    /// What is made of it.
    pub surrogate: Surrogate,
    /// beta of Eq. 3, the weight of the KL term in the loss.
    pub kl_beta: f64,
    /// `D_t`.
    pub kl_estimator: KlEstimator,
    /// Whether `D_t` is multiplied by the ratio, which makes its gradient that of the KL divergence itself when the tokens
    /// are drawn from pi_old (DeepSeek-V3.2, arXiv 2512.02556; TRL's `use_bias_correction_kl`). Eq. 3 does not.
    pub kl_times_ratio: bool,
    /// Weights between sampler and pi_old; `None` multiplies by nothing.
    pub importance: Option<Importance>,
    /// Completions with `A < 0` whose mean of `log pi_sampler - log pi_theta` is above this leave the policy loss: DeepSeek-V3.2's
    /// off-policy sequence mask.
    pub off_policy_threshold: Option<f64>,
}

/// How many tokens the loss of one token depends on: what has to be known before it can be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Itself.
    Token,
    /// Its completion.
    Sequence,
}

impl Objective {
    /// GRPO with one epsilon and nothing else.
    pub const fn grpo(epsilon: f64) -> Self {
        Self {
            ratio: RatioLevel::Token,
            surrogate: Surrogate::clip(epsilon),
            kl_beta: 0.0,
            kl_estimator: KlEstimator::K3,
            kl_times_ratio: false,
            importance: None,
            off_policy_threshold: None,
        }
    }

    /// Whether whole completions have to be seen at once.
    pub fn scope(&self) -> Scope {
        let by_sequence = self.ratio != RatioLevel::Token
            || matches!(self.surrogate, Surrogate::Vespo { .. })
            || self.off_policy_threshold.is_some()
            || self.importance.is_some_and(|importance| importance.level == ImportanceLevel::Sequence);
        if by_sequence { Scope::Sequence } else { Scope::Token }
    }
}
