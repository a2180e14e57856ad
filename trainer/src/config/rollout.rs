//! `[stage.prompt]` and `[stage.rollout]`: what the policy is asked, and how its completions are sampled.

use serde::{Deserialize, Serialize};

use super::by_step;
use super::checks::Section;
use super::dynamic_sampling::DynamicSampling;
use super::forced_end::ForcedEnd;
use super::rewards::Rewards;

/// `[stage.prompt]`: the text around a question.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prompt {
    /// Default `r1_zero`.
    pub template: Template,
    /// What the system says before every question in a chat template. Default none; then the template may have words of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
}

impl Prompt {
    pub(crate) fn check(&self, at: &mut Section<'_, '_>) {
        if self.system.is_some() && self.template != Template::Chat {
            let title = "`system` is given, but the template has no place for it";
            at.fail("system", title, "expected only beside `template = \"chat\"`", "");
        }
    }
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
    /// `chat`: the question as the user's message in the model's own chat template, and the beginning of the assistant's turn.
    Chat,
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
    /// `[step, temperature]`: from this step on the temperature is another. Default none (DeepSeek-R1 3.2.2: 1, then 0.7).
    pub temperature_from_step: Vec<(u64, f64)>,
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
    /// `[step, tokens]`: from this step on the longest completion is another. Default none (DeepSeek-R1 2.1: 65,536 tokens
    /// from step 8,200 of its counting on).
    pub max_tokens_from_step: Vec<(u64, u64)>,
    /// Texts that end a completion, which keeps them. Default none.
    pub stop_strings: Vec<String>,
    /// Tokens that end a completion, beside the end tokens of the model. Default none.
    pub stop_token_ids: Vec<u32>,
    /// Rows decoded at once; a finished row makes room for the next. Default 256. Changes memory and speed only.
    pub max_batch: u64,
    /// Groups that teach nothing are replaced; without the table (the default) they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dynamic_sampling: Option<DynamicSampling>,
    /// Thoughts that are too long are ended by a phrase; without the table (the default) they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forced_end: Option<ForcedEnd>,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            prompts_per_step: 32,
            group_size: 16,
            temperature: 1.0,
            temperature_from_step: Vec::new(),
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            min_tokens: 0,
            max_tokens: 1024,
            max_tokens_from_step: Vec::new(),
            stop_strings: Vec::new(),
            stop_token_ids: Vec::new(),
            max_batch: 256,
            dynamic_sampling: None,
            forced_end: None,
        }
    }
}

impl Rollout {
    /// Completions of one step: questions times G.
    pub fn completions_per_step(&self) -> u64 {
        self.prompts_per_step.saturating_mul(self.group_size)
    }

    /// The temperature of a step, counted from 1.
    pub fn temperature_at(&self, step: u64) -> f64 {
        by_step::value_at(self.temperature, &self.temperature_from_step, step)
    }

    /// The longest completion of a step, counted from 1, in tokens.
    pub fn max_tokens_at(&self, step: u64) -> u64 {
        by_step::value_at(self.max_tokens, &self.max_tokens_from_step, step)
    }

    /// The longest completion of any step, in tokens: what memory and context have to hold.
    pub fn most_tokens(&self) -> u64 {
        by_step::values(self.max_tokens, &self.max_tokens_from_step).max().unwrap_or(self.max_tokens)
    }

    /// The shortest that the longest completion of a step can be, in tokens.
    pub fn least_max_tokens(&self) -> u64 {
        by_step::values(self.max_tokens, &self.max_tokens_from_step).min().unwrap_or(self.max_tokens)
    }

    /// The longest completion that training comes to in the end, in tokens: that of every evaluation, as two of them are to
    /// differ by the policy alone.
    pub fn last_max_tokens(&self) -> u64 {
        self.max_tokens_at(u64::MAX)
    }

    pub(crate) fn check(&self, at: &mut Section<'_, '_>) {
        at.at_least("prompts_per_step", self.prompts_per_step, 1, "a step needs a question");
        let why = "an advantage compares a completion with the others of its group: a group of one has none";
        at.at_least("group_size", self.group_size, 2, why);
        let why = "at 0 all completions of a group are the same, and nothing can be learned from them";
        at.positive("temperature", self.temperature, why);
        let fine = |temperature: f64| temperature.is_finite() && temperature > 0.0;
        by_step::check(
            "temperature_from_step",
            &self.temperature_from_step,
            fine,
            ["expected finite numbers above 0", why],
            at,
        );
        check_top_p(self.top_p, at);
        let fine = (0.0..1.0).contains(&self.min_p);
        at.holds("min_p", self.min_p, fine, "expected 0 (off) or more, and less than 1", "");
        let why = "a completion needs a token";
        at.at_least("max_tokens", self.max_tokens, 1, why);
        let fine = |tokens| tokens > 0;
        by_step::check("max_tokens_from_step", &self.max_tokens_from_step, fine, ["expected 1 or more", why], at);
        if self.min_tokens > self.max_tokens {
            let title = format!("`min_tokens` is {}, more than `max_tokens`", self.min_tokens);
            at.fail("min_tokens", title, format!("expected {} at most", self.max_tokens), "");
        } else if self.min_tokens > self.least_max_tokens() {
            let title = format!("`min_tokens` is {}, more than `max_tokens_from_step` allows", self.min_tokens);
            at.fail("min_tokens", title, format!("expected {} at most", self.least_max_tokens()), "");
        }
        if self.stop_strings.iter().any(String::is_empty) {
            at.fail("stop_strings", "an empty stop string", "would end every completion at once", "remove it");
        }
        if let Some(forced_end) = &self.forced_end {
            forced_end.check(self.least_max_tokens(), &self.stop_strings, &mut at.table("forced_end"));
        }
        at.at_least("max_batch", self.max_batch, 1, "rows have to be decoded somewhere");
    }

    /// What can be said only when the rewards are known.
    pub(crate) fn check_with(&self, rewards: &Rewards, at: &mut Section<'_, '_>) {
        if let Some(dynamic) = self.dynamic_sampling {
            dynamic.check(rewards, &mut at.table("dynamic_sampling"));
        }
    }
}

/// The nucleus of sampling, here and in `[stage.eval]`.
pub(crate) fn check_top_p(top_p: f64, at: &mut Section<'_, '_>) {
    let fine = top_p > 0.0 && top_p <= 1.0;
    at.holds("top_p", top_p, fine, "expected more than 0, and 1 at most", "1 samples among all tokens");
}
