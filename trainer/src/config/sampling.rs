//! `[stage.sampling]`: how completions are sampled by stages that do not learn from them.

use serde::{Deserialize, Serialize};

use super::checks::Section;
use super::rollout::Rollout;

/// `[stage.sampling]`: how completions are sampled; the keys are those of `[stage.rollout]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits before sampling, above 0. Default 1 (DeepSeek-R1 B.3.2).
    pub temperature: f64,
    /// Samples among the k likeliest tokens only; 0 (the default) means among all.
    pub top_k: u64,
    /// Samples among the likeliest tokens that together have this probability, in (0, 1]. Default 1 (all).
    pub top_p: f64,
    /// Samples among tokens at least this fraction as likely as the likeliest, in [0, 1). Default 0 (all).
    pub min_p: f64,
    /// End tokens are suppressed before this many tokens. Default 0.
    pub min_tokens: u64,
    /// The longest completion, in tokens. Default 1024.
    pub max_tokens: u64,
    /// Texts that end a completion, which keeps them. Default none.
    pub stop_strings: Vec<String>,
    /// Tokens that end a completion, beside the end tokens of the model. Default none.
    pub stop_token_ids: Vec<u32>,
    /// Rows decoded at once; a finished row makes room for the next. Default 256. Changes memory and speed only.
    pub max_batch: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        let Rollout {
            temperature,
            top_k,
            top_p,
            min_p,
            min_tokens,
            max_tokens,
            stop_strings,
            stop_token_ids,
            max_batch,
            ..
        } = Rollout::default();
        Self { temperature, top_k, top_p, min_p, min_tokens, max_tokens, stop_strings, stop_token_ids, max_batch }
    }
}

impl Sampling {
    /// The same as a rollout without schedules.
    pub fn as_rollout(&self) -> Rollout {
        let Self { temperature, top_k, top_p, min_p, min_tokens, max_tokens, max_batch, .. } = *self;
        let (stop_strings, stop_token_ids) = (self.stop_strings.clone(), self.stop_token_ids.clone());
        Rollout {
            temperature,
            top_k,
            top_p,
            min_p,
            min_tokens,
            max_tokens,
            stop_strings,
            stop_token_ids,
            max_batch,
            ..Rollout::default()
        }
    }

    pub(crate) fn check(&self, at: &mut Section<'_, '_>) {
        self.as_rollout().check(at);
    }

    /// Without what changes memory and speed only.
    pub(crate) fn forget_speed(&mut self) {
        self.max_batch = Self::default().max_batch;
    }
}
