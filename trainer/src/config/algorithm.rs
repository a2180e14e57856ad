//! `[stage.grpo]`: the objective of GRPO and of what came after it, and how a rollout is cut into updates.

use serde::{Deserialize, Serialize};

pub use crate::grpo::{
    AdaptiveEntropy, AdvantageScale, Aggregation, Baseline, Covariance, ImportanceAction, ImportanceLevel, KlEstimator,
    RatioLevel, RewardCombination, StdDivisor,
};

use super::by_step;
use crate::grpo::{AdvantageRule, Importance, Objective, STD_EPSILON, Surrogate};

const CISPO_CAP: f64 = 5.0;
const SAPO_TEMPERATURES: [f64; 2] = [1.0, 1.05];
const VESPO_POSITIVE: [f64; 2] = [2.0, 3.0];
const VESPO_NEGATIVE: [f64; 2] = [3.0, 2.0];

/// `[stage.grpo]`: the objective (DeepSeekMath, arXiv 2402.03300, Eq. 3) and how often it is stepped along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Algorithm {
    /// What the ratio is taken over. Default `token`.
    pub ratio: RatioLevel,
    /// What is made of ratio and advantage. Default `clip`.
    pub surrogate: SurrogateKind,
    /// ε: the ratio is clipped to [1 - ε, 1 + ε]. Default 0.2 (TRL; DeepSeekMath states none, DeepSeek-R1 3.2.1 uses
    /// 10).
    pub clip_epsilon: f64,
    /// ε above 1, if another (DAPO: 0.28). Default `clip_epsilon`; always given in a resolved file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_epsilon_high: Option<f64>,
    /// δ: the greatest ratio of the unclipped term, absolute, above 1 + ε; bounds what a token with A < 0 can pull. Default
    /// none (INTELLECT-2, arXiv 2505.07291: 4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_delta: Option<f64>,
    /// The greatest weight of `surrogate = "cispo"`, absolute. Default 5 (ScaleRL, arXiv 2510.13786; MiniMax-M1 states none).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cispo_cap: Option<f64>,
    /// τ of `surrogate = "sapo"` where A > 0, and elsewhere. Default [1, 1.05] (arXiv 2511.20347).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sapo_temperatures: Option<[f64; 2]>,
    /// k and λ of `surrogate = "vespo"` where A >= 0. Default [2, 3] (TRL).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vespo_positive: Option<[f64; 2]>,
    /// k and λ of `surrogate = "vespo"` where A < 0. Default [3, 2] (TRL).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vespo_negative: Option<[f64; 2]>,
    /// β: weight of the KL divergence from the reference policy. Default 0.001 (DeepSeek-R1 2.1); 0 needs no reference.
    pub kl_beta: f64,
    /// β from given steps on, `[[step, β], ..]`. Default none.
    pub kl_beta_from_step: Vec<(u64, f64)>,
    /// Where the divergence stands. Default `loss` (DeepSeekMath, Eq. 3).
    pub kl_in: KlPlace,
    /// How it is estimated from one token. Default `k3` (DeepSeekMath, Eq. 4).
    pub kl_estimator: KlEstimator,
    /// Whether the estimate in the loss is multiplied by the ratio, so that its gradient is unbiased (DeepSeek-V3.2,
    /// arXiv 2512.02556). Default false.
    pub kl_times_ratio: bool,
    /// The reference is renewed every so many steps; 0 (the default) keeps the first policy (DeepSeek-R1 2.1: 400 of its
    /// own steps).
    pub reference_refresh_steps: u64,
    /// α: π_ref ← α π_θ + (1 - α) π_ref, weight by weight. Default 1: it is replaced (TRL: 0.6).
    pub reference_mix: f64,
    /// What a reward is compared with. Default `group_mean`.
    pub advantage_baseline: Baseline,
    /// What a centred reward is divided by. Default `group`. With `normalize_then_sum` it is always the group's deviation.
    pub advantage_scale: AdvantageScale,
    /// What the sum of squares of a deviation is divided by. Default `sample`, n - 1 (TRL, verl).
    pub std_divisor: StdDivisor,
    /// Added to a deviation before the division. Default 1e-4 (TRL; verl 1e-6).
    pub std_epsilon: f64,
    /// Whether rewards are added up before or after they are normalised in the group. Default `sum`.
    pub reward_combination: RewardCombination,
    /// What is rewarded: whole completions or their steps. Default `outcome`.
    pub supervision: Supervision,
    /// What the sum of token losses is divided by. Default `per_completion`.
    pub aggregation: Aggregation,
    /// Completions of a block of `aggregation = "local"`: TRL's batch of one device. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_completions: Option<u64>,
    /// Whether completions that were cut off at `max_tokens` are left out of the loss. Default false (DAPO: true in one arm).
    pub mask_truncated: bool,
    /// ρ: only the tokens with the greatest entropies count, this fraction of them. Default 1, all (arXiv 2506.01939: 0.2).
    pub top_entropy_fraction: f64,
    /// α: the mean entropy of the tokens, nats, lowers the loss by this much of itself. Default 0.
    pub entropy_coefficient: f64,
    /// Lets the coefficient follow the entropy. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive_entropy: Option<AdaptiveEntropy>,
    /// Bounds on tokens that are likely and good at once. Default none.
    #[serde(with = "super::covariance", skip_serializing_if = "Option::is_none")]
    pub covariance: Option<Covariance>,
    /// Random parts, of equal size, that a rollout is cut into after the advantages. Default 1 (DeepSeek-R1 2.1: 16).
    pub minibatches: u64,
    /// μ: optimiser steps on each minibatch. Default 1 (DeepSeekMath 4.2).
    pub updates_per_batch: u64,
    /// Whose log-probabilities are log π_old. Default `sampler`.
    pub old_logprobs: OldLogprobs,
    /// Each token's policy loss is weighted by π_old / π_sampler, at most this much, with `old_logprobs = "recompute"` only.
    /// Default none (no weight). Truncated importance sampling, Yao et al. 2025 (2 in verl and slime, 3 in TRL 1.16).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importance_cap: Option<f64>,
    /// The least such weight. Default none (IcePop, arXiv 2510.18855: 0.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importance_floor: Option<f64>,
    /// What happens to a weight beyond its bounds. Default `truncate`.
    pub importance_action: ImportanceAction,
    /// Over what the weight is taken. Default `token`.
    pub importance_level: ImportanceLevel,
    /// δ: completions with A < 0 whose mean of log π_sampler - log π_θ is above it, nats a token, leave the policy loss. Default
    /// none (DeepSeek-V3.2, arXiv 2512.02556; TRL suggests 0.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_policy_threshold: Option<f64>,
    /// Tokens of one forward and backward pass. Default 4096. Changes memory, speed and rounding only.
    pub micro_batch_tokens: u64,
    /// Tokens whose logits are held at once. Default 4096. Changes memory, speed and rounding only.
    pub logits_chunk_tokens: u64,
    /// What a forward pass keeps for the backward pass. Default `none`. Changes memory and speed only.
    pub checkpointing: Checkpointing,
}

/// `stage.grpo.surrogate`: what is made of ratio and advantage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SurrogateKind {
    /// The clipped ratio of DeepSeekMath, Eq. 3.
    #[default]
    Clip,
    /// log π_θ weighted by the cut ratio: CISPO (arXiv 2506.13585).
    Cispo,
    /// A smooth gate in the place of the clip: SAPO (arXiv 2511.20347).
    Sapo,
    /// log π_θ weighted by a gamma density of the ratio of the completion: VESPO (arXiv 2602.10693).
    Vespo,
}

impl SurrogateKind {
    /// As written in a run file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clip => "clip",
            Self::Cispo => "cispo",
            Self::Sapo => "sapo",
            Self::Vespo => "vespo",
        }
    }
}

/// `stage.grpo.kl_in`: where the divergence from the reference stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlPlace {
    /// In the loss, token by token: DeepSeekMath, Eq. 3.
    #[default]
    Loss,
    /// In the reward of a completion, summed over its tokens: RLOO (arXiv 2402.14740).
    Reward,
    /// In what follows each token, summed from there on, behind the baseline: REINFORCE++ (arXiv 2501.03262), PPO.
    Return,
}

/// `stage.grpo.supervision`: what is rewarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Supervision {
    /// Whole completions: DeepSeekMath, section 4.1.2.
    #[default]
    Outcome,
    /// The steps of a completion, where a reward scores steps, and what the others give at its end: section 4.1.3.
    Process,
}

/// `stage.grpo.old_logprobs`: where log π_old, the denominator of the ratio, comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OldLogprobs {
    /// What the sampler recorded when it drew the tokens: costs nothing. In float32 on the CPU it is what the trainer's
    /// own forward pass says, to the bit; where the two round differently, the ratio has that difference in it.
    #[default]
    Sampler,
    /// The trainer's forward pass, under the weights before the first update of the step and in the packing of the
    /// update: the first ratio is 1. Costs one forward pass more where a step has several updates.
    Recompute,
}

/// `stage.grpo.checkpointing`: what a forward pass keeps for the backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Checkpointing {
    /// Everything that the backward pass reads.
    #[default]
    None,
    /// What enters each block; the rest of a block is computed once more, when its turn comes in the backward pass.
    Blocks,
}

impl From<Checkpointing> for policy::Checkpointing {
    fn from(checkpointing: Checkpointing) -> Self {
        match checkpointing {
            Checkpointing::None => Self::None,
            Checkpointing::Blocks => Self::Blocks,
        }
    }
}

impl Default for Algorithm {
    fn default() -> Self {
        Self {
            ratio: RatioLevel::Token,
            surrogate: SurrogateKind::Clip,
            clip_epsilon: 0.2,
            clip_epsilon_high: None,
            clip_delta: None,
            cispo_cap: None,
            sapo_temperatures: None,
            vespo_positive: None,
            vespo_negative: None,
            kl_beta: 0.001,
            kl_beta_from_step: Vec::new(),
            kl_in: KlPlace::Loss,
            kl_estimator: KlEstimator::K3,
            kl_times_ratio: false,
            reference_refresh_steps: 0,
            reference_mix: 1.0,
            advantage_baseline: Baseline::GroupMean,
            advantage_scale: AdvantageScale::Group,
            std_divisor: StdDivisor::Sample,
            std_epsilon: STD_EPSILON,
            reward_combination: RewardCombination::Sum,
            supervision: Supervision::Outcome,
            aggregation: Aggregation::PerCompletion,
            local_completions: None,
            mask_truncated: false,
            top_entropy_fraction: 1.0,
            entropy_coefficient: 0.0,
            adaptive_entropy: None,
            covariance: None,
            minibatches: 1,
            updates_per_batch: 1,
            old_logprobs: OldLogprobs::Sampler,
            importance_cap: None,
            importance_floor: None,
            importance_action: ImportanceAction::Truncate,
            importance_level: ImportanceLevel::Token,
            off_policy_threshold: None,
            micro_batch_tokens: 4_096,
            logits_chunk_tokens: 4_096,
            checkpointing: Checkpointing::None,
        }
    }
}

impl Algorithm {
    /// (ε below 1, ε above 1): the ratio is clipped to [1 - ε_low, 1 + ε_high].
    pub fn clip_range(&self) -> (f64, f64) {
        (self.clip_epsilon, self.clip_epsilon_high.unwrap_or(self.clip_epsilon))
    }

    /// Optimiser steps in one step of the stage.
    pub fn updates_per_step(&self) -> u64 {
        self.minibatches.saturating_mul(self.updates_per_batch)
    }

    /// β at a step, counted from 1.
    pub fn kl_beta_at(&self, step: u64) -> f64 {
        by_step::value_at(self.kl_beta, &self.kl_beta_from_step, step)
    }

    /// Whether any step asks for a reference policy.
    pub fn needs_reference(&self) -> bool {
        by_step::values(self.kl_beta, &self.kl_beta_from_step).any(|beta| beta != 0.0)
    }

    /// Whether there is a bonus for entropy.
    pub fn has_entropy_bonus(&self) -> bool {
        self.entropy_coefficient != 0.0 || self.adaptive_entropy.is_some()
    }

    /// Whether tokens are chosen over a whole minibatch, which takes a forward pass over it before each update.
    pub fn surveys(&self) -> bool {
        self.top_entropy_fraction < 1.0 || self.covariance.is_some()
    }

    /// Whether a token without advantage has a gradient at `step`.
    pub fn always_has_gradient(&self, step: u64) -> bool {
        let has_kl = self.kl_in == KlPlace::Loss && self.kl_beta_at(step) != 0.0;
        // KL-Cov puts its price on tokens of any advantage.
        has_kl || self.has_entropy_bonus() || matches!(self.covariance, Some(Covariance::KlCov { .. }))
    }

    /// The objective of a step, counted from 1.
    pub fn objective(&self, step: u64) -> Objective {
        let (low, high) = self.clip_range();
        let importance = |cap| Importance {
            level: self.importance_level,
            action: self.importance_action,
            floor: self.importance_floor,
            cap,
        };
        let [positive, negative] = self.sapo_temperatures.unwrap_or(SAPO_TEMPERATURES);
        Objective {
            ratio: self.ratio,
            surrogate: match self.surrogate {
                SurrogateKind::Clip => Surrogate::Clip { low, high, delta: self.clip_delta },
                SurrogateKind::Cispo => Surrogate::Cispo { cap: self.cispo_cap.unwrap_or(CISPO_CAP) },
                SurrogateKind::Sapo => Surrogate::Sapo { positive, negative },
                SurrogateKind::Vespo => Surrogate::Vespo {
                    positive: self.vespo_positive.unwrap_or(VESPO_POSITIVE),
                    negative: self.vespo_negative.unwrap_or(VESPO_NEGATIVE),
                },
            },
            kl_beta: if self.kl_in == KlPlace::Loss { self.kl_beta_at(step) } else { 0.0 },
            kl_estimator: self.kl_estimator,
            kl_times_ratio: self.kl_times_ratio,
            importance: self.importance_cap.map(importance),
            off_policy_threshold: self.off_policy_threshold,
        }
    }

    /// How rewards become advantages.
    pub fn advantage_rule(&self) -> AdvantageRule {
        AdvantageRule {
            baseline: self.advantage_baseline,
            scale: self.advantage_scale,
            divisor: self.std_divisor,
            epsilon: self.std_epsilon,
        }
    }

    pub(crate) fn resolve(self) -> Self {
        let of = |kind| self.surrogate == kind;
        Self {
            clip_epsilon_high: Some(self.clip_range().1),
            cispo_cap: self.cispo_cap.or(of(SurrogateKind::Cispo).then_some(CISPO_CAP)),
            sapo_temperatures: self.sapo_temperatures.or(of(SurrogateKind::Sapo).then_some(SAPO_TEMPERATURES)),
            vespo_positive: self.vespo_positive.or(of(SurrogateKind::Vespo).then_some(VESPO_POSITIVE)),
            vespo_negative: self.vespo_negative.or(of(SurrogateKind::Vespo).then_some(VESPO_NEGATIVE)),
            ..self
        }
    }
}
