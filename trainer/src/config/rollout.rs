//! `[stage.prompt]` and `[stage.rollout]`: what the policy is asked, and how its completions are sampled.

use serde::{Deserialize, Serialize};

use super::checks::Section;

/// `[stage.prompt]`: the text around a question.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prompt {
    /// Default `r1_zero`.
    pub template: Template,
}

/// `stage.prompt.template`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// `r1_zero`: DeepSeek-R1's Table 1 around the question.
    #[default]
    R1Zero,
    /// `none`: the question alone.
    None,
}

/// `[stage.rollout]`: how groups of completions are sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rollout {
    /// Questions per step, each with a group of its own. Default 32 (DeepSeek-R1 2.1).
    pub prompts_per_step: u64,
    /// G: completions per question, 2 or more. Default 16 (DeepSeek-R1 2.1).
    pub group_size: u64,
    /// Divides the logits before sampling, above 0. Default 1 (DeepSeek-R1 2.1).
    pub temperature: f64,
    /// Samples among the k likeliest tokens only; 0 (the default) means among all.
    pub top_k: u64,
    /// Samples among the likeliest tokens that together have this probability, in (0, 1]. Default 1 (all).
    pub top_p: f64,
    /// Samples among tokens at least this fraction as likely as the likeliest, in [0, 1). Default 0 (all).
    pub min_p: f64,
    /// End tokens are suppressed before this many tokens. Default 0.
    pub min_tokens: u64,
    /// The longest completion, in tokens. Default 1024 (DeepSeekMath 4.2).
    pub max_tokens: u64,
    /// Texts that end a completion, which keeps them. Default none.
    pub stop_strings: Vec<String>,
    /// Tokens that end a completion, beside the end tokens of the model. Default none.
    pub stop_token_ids: Vec<u32>,
    /// Rows decoded at once; a finished row makes room for the next. Default 256. Changes memory and speed only.
    pub max_batch: u64,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            prompts_per_step: 32,
            group_size: 16,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            min_tokens: 0,
            max_tokens: 1024,
            stop_strings: Vec::new(),
            stop_token_ids: Vec::new(),
            max_batch: 256,
        }
    }
}

impl Rollout {
    /// Completions of one step: questions times G.
    pub fn completions_per_step(&self) -> u64 {
        self.prompts_per_step.saturating_mul(self.group_size)
    }

    pub(crate) fn check(&self, at: &mut Section<'_, '_>) {
        at.at_least("prompts_per_step", self.prompts_per_step, 1, "a step needs a question");
        let why = "an advantage compares a completion with the others of its group: a group of one has none";
        at.at_least("group_size", self.group_size, 2, why);
        at.positive(
            "temperature",
            self.temperature,
            "at 0 all completions of a group are the same, and nothing can be learned from them",
        );
        check_top_p(self.top_p, at);
        let fine = (0.0..1.0).contains(&self.min_p);
        at.holds("min_p", self.min_p, fine, "expected 0 (off) or more, and less than 1", "");
        at.at_least("max_tokens", self.max_tokens, 1, "a completion needs a token");
        if self.min_tokens > self.max_tokens {
            let title = format!("`min_tokens` is {}, more than `max_tokens`", self.min_tokens);
            at.fail("min_tokens", title, format!("expected {} at most", self.max_tokens), "");
        }
        if self.stop_strings.iter().any(String::is_empty) {
            at.fail("stop_strings", "an empty stop string", "would end every completion at once", "remove it");
        }
        at.at_least("max_batch", self.max_batch, 1, "rows have to be decoded somewhere");
    }
}

/// The nucleus of sampling, here and in `[stage.eval]`.
pub(crate) fn check_top_p(top_p: f64, at: &mut Section<'_, '_>) {
    let fine = top_p > 0.0 && top_p <= 1.0;
    at.holds("top_p", top_p, fine, "expected more than 0, and 1 at most", "1 samples among all tokens");
}
