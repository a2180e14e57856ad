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

/// Positions of the tokens of a completion that were put in and not drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forced(Vec<Range<usize>>);

impl Forced {
    /// Whether the token at `position` was put in.
    pub fn contains(&self, position: usize) -> bool {
        self.0.iter().any(|range| range.contains(&position))
    }

    /// Whether every token was drawn.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many tokens were put in.
    pub fn n_tokens(&self) -> usize {
        self.0.iter().map(ExactSizeIterator::len).sum()
    }

    /// Runs of them, ascending, none empty.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.0
    }

    /// Adds a run behind all others.
    pub(crate) fn push(&mut self, range: Range<usize>) {
        debug_assert!(!range.is_empty() && self.0.last().is_none_or(|last| last.end <= range.start));
        self.0.push(range);
    }

    /// Forgets the positions from `n_tokens` on.
    pub(crate) fn truncate(&mut self, n_tokens: usize) {
        self.0.retain(|range| range.start < n_tokens);
        if let Some(last) = self.0.last_mut() {
            last.end = last.end.min(n_tokens);
        }
    }
}

impl FromIterator<Range<usize>> for Forced {
    /// Runs in ascending order; empty ones are left out.
    fn from_iter<I: IntoIterator<Item = Range<usize>>>(ranges: I) -> Self {
        let mut forced = Self::default();
        ranges.into_iter().filter(|range| !range.is_empty()).for_each(|range| forced.push(range));
        forced
    }
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
    /// The tokens that the program has put in ([`crate::ForcedEnd`], [`crate::ForcedWait`]). Their log-probabilities are what the
    /// policy says of them, as those of the others.
    pub forced: Forced,
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
