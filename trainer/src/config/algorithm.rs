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
            aggregation: Aggregation::PerCompletion,
            advantage_scale: AdvantageScale::Group,
            reward_combination: RewardCombination::Sum,
            micro_batch_tokens: 4_096,
            logits_chunk_tokens: 4_096,
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
        at.at_least("micro_batch_tokens", self.micro_batch_tokens, 1, "tokens of one forward and backward pass");
        at.at_least("logits_chunk_tokens", self.logits_chunk_tokens, 1, "tokens whose logits are held at once");
    }
}
