//! The metrics of a step: TRL's names, in the order they were set, and their line in `metrics.jsonl`.

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Metric names that more than one part of the program uses. They are TRL's where TRL has one.
pub mod names {
    /// Prompt and completion tokens since the start of the run.
    pub const NUM_TOKENS: &str = "num_tokens";
    /// Seconds a step took, sampling and update together.
    pub const STEP_TIME: &str = "step_time";
    /// Mean tokens of a completion.
    pub const MEAN_LENGTH: &str = "completions/mean_length";
    /// Fraction of completions that ran into the token limit.
    pub const CLIPPED_RATIO: &str = "completions/clipped_ratio";
    /// Fraction of completions whose thoughts were ended by the program (not in TRL).
    pub const FORCED_RATIO: &str = "completions/forced_ratio";
    /// Mean reward.
    pub const REWARD: &str = "reward";
    /// Standard deviation of all rewards of the step.
    pub const REWARD_STD: &str = "reward_std";
    /// Fraction of completions whose group has equal rewards.
    pub const FRAC_REWARD_ZERO_STD: &str = "frac_reward_zero_std";
    /// Fraction of completions with a right answer (not in TRL, whose rewards need not have such a notion).
    pub const ACCURACY: &str = "accuracy";
    /// Fraction of completions in the asked format (not in TRL).
    pub const FORMAT: &str = "format";
    /// Rounds of sampling of a step with dynamic sampling; this and the next five are not in TRL.
    pub const DYNAMIC_ROUNDS: &str = "dynamic_sampling/rounds";
    /// Groups that were sampled.
    pub const DYNAMIC_SAMPLED: &str = "dynamic_sampling/groups_sampled";
    /// Groups that were learned from and are mixed.
    pub const DYNAMIC_MIXED: &str = "dynamic_sampling/groups_mixed";
    /// Prompt and completion tokens of groups that were not learned from.
    pub const DYNAMIC_LEFT_OUT_TOKENS: &str = "dynamic_sampling/left_out_tokens";
    /// Mean reward of all that was sampled.
    pub const DYNAMIC_REWARD: &str = "dynamic_sampling/reward";
    /// Fraction of right answers of all that was sampled.
    pub const DYNAMIC_ACCURACY: &str = "dynamic_sampling/accuracy";
    /// Problems of a file that have not been dropped (not in TRL).
    pub const PROBLEMS_LEFT: &str = "problems/left";
    /// Mean over the problems asked so far of the fraction of their completions that were right (not in TRL).
    pub const PROBLEMS_PASS_RATE: &str = "problems/pass_rate";
    /// Mean entropy of the next-token distribution over completion tokens, nats.
    pub const ENTROPY: &str = "entropy";
    /// Mean over completion tokens of the k3 estimate of KL(pi_theta || pi_ref), nats.
    pub const KL: &str = "kl";
    /// The loss.
    pub const LOSS: &str = "loss";
    /// Its part without the KL term.
    pub const POLICY_LOSS: &str = "policy_loss";
    /// Fraction of tokens whose ratio is outside of the clip, on either side.
    pub const CLIP_REGION_MEAN: &str = "clip_ratio/region_mean";
    /// Global L2 norm of the gradient before clipping.
    pub const GRAD_NORM: &str = "grad_norm";
    /// Learning rate of the step's last update.
    pub const LEARNING_RATE: &str = "learning_rate";
    /// Mean absolute difference of sampled and trained log-probabilities, nats (TRL:
    /// `sampling/sampling_logp_difference`).
    pub const LOGPROB_GAP_MEAN: &str = "logprob_gap/mean";
    /// The largest such difference, nats.
    pub const LOGPROB_GAP_MAX: &str = "logprob_gap/max";
    /// Completion tokens sampled in a second of sampling.
    pub const TOKENS_PER_SECOND: &str = "sampling/tokens_per_second";
    /// Matrix operations of sampling in a second of it.
    pub const SAMPLING_FLOPS: &str = "sampling/flops_per_second";
    /// Tokens that go forward and backward in a second of updating.
    pub const TRAINING_TOKENS_PER_SECOND: &str = "training/tokens_per_second";
    /// Matrix operations of the updates in a second of them.
    pub const TRAINING_FLOPS: &str = "training/flops_per_second";
    /// Matrix operations of a step, all passes, in a second of it.
    pub const FLOPS: &str = "flops_per_second";
    /// Matrix operations of sampling over the most that the machine can do in its time.
    pub const SAMPLING_PEAK_SHARE: &str = "sampling/flops_share_of_peak";
    /// The same of updates.
    pub const TRAINING_PEAK_SHARE: &str = "training/flops_share_of_peak";
    /// Seconds of encoding prompts.
    pub const TIMING_PREFILL: &str = "timing/prefill";
    /// Seconds of the network in decoding.
    pub const TIMING_DECODE_NETWORK: &str = "timing/decode_network";
    /// Seconds of choosing tokens.
    pub const TIMING_DECODE_DRAW: &str = "timing/decode_draw";
    /// Seconds of finding what has ended, and of its text.
    pub const TIMING_DECODE_TEXT: &str = "timing/decode_text";
    /// Seconds in which an engine waited for the last one.
    pub const TIMING_IDLE: &str = "timing/idle";
    /// Seconds of judging that a step waited for.
    pub const TIMING_REWARD: &str = "timing/reward";
    /// Seconds of judging while sampling went on: no part of the step's time.
    pub const TIMING_REWARD_BESIDE: &str = "timing/reward_beside";
    /// Seconds of the reference policy.
    pub const TIMING_REFERENCE: &str = "timing/reference";
    /// Seconds of computing log pi_old again.
    pub const TIMING_OLD_LOGPROBS: &str = "timing/old_logprobs";
    /// Seconds of forward passes of updates.
    pub const TIMING_FORWARD: &str = "timing/forward";
    /// Seconds of the vocabulary head and the loss, forward and backward.
    pub const TIMING_HEAD: &str = "timing/head";
    /// Times that every example has been learned so far (TRL).
    pub const EPOCH: &str = "epoch";
    /// Mean loss of held-out examples, nats a target (TRL).
    pub const EVAL_LOSS: &str = "eval_loss";
    /// Seconds of backward passes through the blocks.
    pub const TIMING_BACKWARD: &str = "timing/backward";
    /// Seconds of clipping and of the optimiser.
    pub const TIMING_OPTIMIZER: &str = "timing/optimizer";
    /// Seconds of a step that are none of its parts.
    pub const TIMING_OTHER: &str = "timing/other";
    /// Seconds of evaluations since the row before: no part of a step.
    pub const TIMING_EVALUATION: &str = "timing/evaluation";
    /// Seconds of checkpoints since the row before: no part of a step.
    pub const TIMING_CHECKPOINT: &str = "timing/checkpoint";
}

/// Named numbers of one step, in the order they were set. A number that does not exist (the standard deviation of one
/// value, say) is `NaN`, as in TRL, and `null` in JSON.
#[derive(Debug, Clone, Default)]
pub struct StepMetrics(Vec<(String, f64)>);

impl StepMetrics {
    /// No metrics.
    pub fn new() -> StepMetrics {
        StepMetrics::default()
    }

    /// Sets a metric; a name that is already there keeps its place.
    pub fn set(&mut self, name: impl Into<String>, value: f64) {
        let name = name.into();
        match self.0.iter_mut().find(|(existing, _)| *existing == name) {
            Some((_, slot)) => *slot = value,
            None => self.0.push((name, value)),
        }
    }

    /// Sets all metrics of `other`.
    pub fn extend(&mut self, other: StepMetrics) {
        for (name, value) in other.0 {
            self.set(name, value);
        }
    }

    /// A metric, if it was set.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(existing, _)| existing == name).map(|(_, value)| *value)
    }

    /// All metrics in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

impl<const N: usize> From<[(&str, f64); N]> for StepMetrics {
    fn from(pairs: [(&str, f64); N]) -> StepMetrics {
        let mut metrics = StepMetrics::new();
        for (name, value) in pairs {
            metrics.set(name, value);
        }
        metrics
    }
}

/// Equal if names, order and numbers are; `NaN` equals `NaN`.
impl PartialEq for StepMetrics {
    fn eq(&self, other: &StepMetrics) -> bool {
        let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
        self.0.len() == other.0.len() && self.iter().zip(other.iter()).all(|((a, x), (b, y))| a == b && same(x, y))
    }
}

/// One line of `metrics.jsonl`: `{"stage": ..., "step": ..., "reward": ..., ...}`.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsRow {
    /// The stage's name.
    pub stage: String,
    /// The step within the stage, from 1.
    pub step: u64,
    /// Its metrics.
    pub metrics: StepMetrics,
}

impl Serialize for MetricsRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("stage", &self.stage)?;
        map.serialize_entry("step", &self.step)?;
        for (name, value) in self.metrics.iter() {
            map.serialize_entry(name, &value.is_finite().then_some(value))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for MetricsRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MetricsRow, D::Error> {
        struct RowVisitor;
        impl<'de> Visitor<'de> for RowVisitor {
            type Value = MetricsRow;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object with stage, step and metrics")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MetricsRow, A::Error> {
                let (mut stage, mut step, mut metrics) = (None, None, StepMetrics::new());
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "stage" => stage = Some(map.next_value()?),
                        "step" => step = Some(map.next_value()?),
                        _ => {
                            let value: Option<f64> = map.next_value()?;
                            metrics.set(key, value.unwrap_or(f64::NAN));
                        }
                    }
                }
                let missing = serde::de::Error::missing_field;
                let stage = stage.ok_or_else(|| missing("stage"))?;
                Ok(MetricsRow { stage, step: step.ok_or_else(|| missing("step"))?, metrics })
            }
        }
        deserializer.deserialize_map(RowVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_keeps_order_and_turns_nan_into_null() {
        let mut metrics = StepMetrics::from([("reward", 0.5), ("kl", 0.25), ("reward_std", f64::NAN)]);
        metrics.set("reward", 0.75);
        let row = MetricsRow { stage: "rl".into(), step: 3, metrics };
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(text, r#"{"stage":"rl","step":3,"reward":0.75,"kl":0.25,"reward_std":null}"#);
        assert_eq!(serde_json::from_str::<MetricsRow>(&text).unwrap(), row);
        assert!(serde_json::from_str::<MetricsRow>(r#"{"step":3}"#).is_err());
    }
}
