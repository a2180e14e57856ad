//! What the doctor sees of one step.

use crate::telemetry::StepMetrics;
use crate::telemetry::metrics::names;

/// Completions on one side of right and wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Side {
    /// How many.
    pub n: f64,
    /// Sum of their advantages.
    pub advantage_sum: f64,
}

/// One step in numbers. A share is of the step's completions; what is not known, or not a number, is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// From 1, within the stage.
    pub step: u64,
    /// Groups of the step; none where only metrics.jsonl is left of it.
    pub n_groups: Option<f64>,
    /// Share of completions whose group has equal rewards.
    pub equal_groups: Option<f64>,
    /// Mean reward.
    pub reward: Option<f64>,
    /// Standard deviation of all rewards of the step.
    pub reward_std: Option<f64>,
    /// Share of right answers.
    pub accuracy: Option<f64>,
    /// Share of kept formats.
    pub format: Option<f64>,
    /// Share cut off at the token limit.
    pub truncated: Option<f64>,
    /// Mean tokens of a completion.
    pub mean_length: Option<f64>,
    /// Mean entropy of the next token, nats.
    pub entropy: Option<f64>,
    /// Mean divergence from the reference, nats a token.
    pub kl: Option<f64>,
    /// Share of tokens whose ratio is outside of the clip.
    pub clipped: Option<f64>,
    /// Mean absolute difference of sampled and trained log-probabilities, nats.
    pub gap: Option<f64>,
    /// Loss of the policy, without the KL term, mean over updates.
    pub policy_loss: Option<f64>,
    /// Norm of the gradient before clipping.
    pub grad_norm: Option<f64>,
    /// Share in which no answer was found, by the rewards that look for one.
    pub unanswered: Option<f64>,
    /// Of the format rewards and patterns, the least share of completions that earn anything by one.
    pub formed: Option<f64>,
    /// Share that opens `<think>` again; none where the prompts leave no `<think>` open.
    pub reopened: Option<f64>,
    /// The right answers.
    pub right: Option<Side>,
    /// The wrong ones.
    pub wrong: Option<Side>,
}

impl Observation {
    /// What a line of metrics.jsonl has of a step.
    pub fn of_metrics(step: u64, metrics: &StepMetrics) -> Self {
        let get = |name: &str| metrics.get(name).filter(|value| value.is_finite());
        Self {
            step,
            equal_groups: get(names::FRAC_REWARD_ZERO_STD),
            reward: get(names::REWARD),
            reward_std: get(names::REWARD_STD),
            accuracy: get(names::ACCURACY),
            format: get(names::FORMAT),
            truncated: get(names::CLIPPED_RATIO),
            mean_length: get(names::MEAN_LENGTH),
            entropy: get(names::ENTROPY),
            kl: get(names::KL),
            clipped: get(names::CLIP_REGION_MEAN),
            gap: get(names::LOGPROB_GAP_MEAN),
            policy_loss: get(names::POLICY_LOSS),
            grad_norm: get(names::GRAD_NORM),
            ..Self::default()
        }
    }
}
