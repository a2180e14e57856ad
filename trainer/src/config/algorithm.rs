//! `[stage.grpo]`: the objective of GRPO and how a rollout is cut into updates.

use serde::{Deserialize, Serialize};

pub use crate::grpo::{AdvantageScale, Aggregation, RewardCombination};

use super::checks::Section;
use super::rollout::Rollout;

/// `[stage.grpo]`: the objective (DeepSeekMath, arXiv 2402.03300, Eq. 3) and how often it is stepped along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Algorithm {
    /// ε: the ratio is clipped to [1 - ε, 1 + ε]. Default 0.2 (TRL; DeepSeekMath states none, DeepSeek-R1 3.2.1 uses
    /// 10).
    pub clip_epsilon: f64,
    /// ε above 1, if another (DAPO: 0.28). Default `clip_epsilon`; always given in a resolved file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_epsilon_high: Option<f64>,
    /// β: weight of the KL divergence from the reference policy. Default 0.001 (DeepSeek-R1 2.1); 0 needs no reference.
    pub kl_beta: f64,
    /// π_ref ← π_θ every so many steps; 0 (the default) keeps the first policy (DeepSeek-R1 2.1: 400 of its own steps).
    pub reference_refresh_steps: u64,
    /// Random parts, of equal size, that a rollout is cut into after the advantages. Default 1 (DeepSeek-R1 2.1: 16).
    pub minibatches: u64,
    /// μ: optimiser steps on each minibatch. Default 1 (DeepSeekMath 4.2).
    pub updates_per_batch: u64,
    /// Whose log-probabilities are log π_old. Default `sampler`.
    pub old_logprobs: OldLogprobs,
    /// C: each token's policy loss is weighted by min(π_old / π_sampler, C), with `old_logprobs = "recompute"` only.
    /// Default none (no weight). Truncated importance sampling, Yao et al. 2025 (C = 2 in verl and slime, 3 in TRL 1.16).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importance_cap: Option<f64>,
    /// What the sum of token losses is divided by. Default `per_completion`.
    pub aggregation: Aggregation,
    /// What a centred reward is divided by. Default `group`. With `normalize_then_sum` it is always the group's deviation.
    pub advantage_scale: AdvantageScale,
    /// Whether rewards are added up before or after they are normalised in the group. Default `sum`.
    pub reward_combination: RewardCombination,
    /// Tokens of one forward and backward pass. Default 4096. Changes memory, speed and rounding only.
    pub micro_batch_tokens: u64,
    /// Tokens whose logits are held at once. Default 4096. Changes memory, speed and rounding only.
    pub logits_chunk_tokens: u64,
    /// What a forward pass keeps for the backward pass. Default `none`. Changes memory and speed only.
    pub checkpointing: Checkpointing,
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
            clip_epsilon: 0.2,
            clip_epsilon_high: None,
            kl_beta: 0.001,
            reference_refresh_steps: 0,
            minibatches: 1,
            updates_per_batch: 1,
            old_logprobs: OldLogprobs::Sampler,
            importance_cap: None,
            aggregation: Aggregation::PerCompletion,
            advantage_scale: AdvantageScale::Group,
            reward_combination: RewardCombination::Sum,
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

    pub(crate) fn resolve(self) -> Self {
        Self { clip_epsilon_high: Some(self.clip_range().1), ..self }
    }

    pub(crate) fn check(&self, rollout: &Rollout, at: &mut Section<'_, '_>) {
        let why = "a ratio clipped to exactly 1 has no gradient";
        at.positive("clip_epsilon", self.clip_epsilon, why);
        if let Some(high) = self.clip_epsilon_high {
            at.positive("clip_epsilon_high", high, why);
        }
        at.not_negative("kl_beta", self.kl_beta, "a negative weight would reward leaving the reference policy");
        at.at_least("minibatches", self.minibatches, 1, "1 keeps a rollout whole");
        let completions = rollout.completions_per_step();
        if self.minibatches > 0 && completions > 0 && !completions.is_multiple_of(self.minibatches) {
            let title = format!("{completions} completions cannot be cut into {} equal minibatches", self.minibatches);
            let label = format!("expected a divisor of {completions}");
            let help = format!(
                "a step has prompts_per_step * group_size = {} * {} = {completions} completions",
                rollout.prompts_per_step, rollout.group_size
            );
            at.fail("minibatches", title, label, &help);
        }
        at.at_least("updates_per_batch", self.updates_per_batch, 1, "0 would learn nothing");
        self.check_importance(at);
        at.at_least("micro_batch_tokens", self.micro_batch_tokens, 1, "tokens of one forward and backward pass");
        at.at_least("logits_chunk_tokens", self.logits_chunk_tokens, 1, "tokens whose logits are held at once");
    }

    fn check_importance(&self, at: &mut Section<'_, '_>) {
        let Some(cap) = self.importance_cap else { return };
        let why = "the weight is cut from above: below 1 it would shrink tokens on which sampler and trainer agree";
        at.holds("importance_cap", cap, cap.is_finite() && cap >= 1.0, "expected a finite number, 1 or more", why);
        if self.old_logprobs == OldLogprobs::Sampler {
            let title = "`importance_cap` is set, but `old_logprobs` is \"sampler\"";
            let help = "without recomputed log-probabilities there is no ratio of the trainer's to the sampler's: set \
                        `old_logprobs` to \"recompute\", or take `importance_cap` out";
            at.fail("importance_cap", title, "the weight would be 1 by definition", help);
        }
    }
}
