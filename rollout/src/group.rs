//! The nouns of sampling: a prompt, its completions, and the group they make.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A question as the policy reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Token ids; at least one.
    pub ids: Vec<i64>,
    /// The rendered text.
    pub text: String,
}

/// Why a completion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The policy drew an end token.
    EndToken,
    /// The text came to contain a stop string.
    StopString,
    /// The completion reached its longest length: it is truncated.
    MaxTokens,
}

/// One output o_i of the policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The tokens, the end token included: drawn, but for those of `forced`.
    pub ids: Vec<i64>,
    /// Positions of the tokens that the program has put in ([`crate::ForcedEnd`]); empty if there are none. Their
    /// log-probabilities are what the policy says of them, as those of the others.
    pub forced: Range<usize>,
    /// Per token, nats: log-probability under softmax(logits / temperature), before any truncation by top-k, top-p or
    /// min-p. This is log pi_old, and what the trainer computes again. At temperature 0 (greedy) it is that of temperature 1.
    pub logprobs: Vec<f32>,
    /// Per token, nats: log-probability under softmax(logits), whatever the temperature.
    pub untempered_logprobs: Vec<f32>,
    /// The tokens as text, without special tokens.
    pub text: String,
    /// Why it ended.
    pub stop_reason: StopReason,
}

/// The G completions of one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What they continue.
    pub prompt: Prompt,
    /// In the order of their rows, not of their finishing.
    pub completions: Vec<Completion>,
}
