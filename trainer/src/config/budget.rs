//! `[stage.set.budget]`: thinking cut short, and kept going, for a curve of accuracy against thinking tokens.

use serde::{Deserialize, Serialize};

use super::checks::Section;

/// `[stage.set.budget]`: budget forcing (s1, arXiv 2501.19393). Every number of `caps` and of `waits` is a point of the curve, beside
/// what the model does by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Thoughts are ended by `text` after so many tokens, 1 or more. Default [].
    pub caps: Vec<u64>,
    /// Thoughts that are closed are kept going so many times, 1 or more. Default [] (s1: 2, 4 and 6).
    pub waits: Vec<u64>,
    /// What ends thoughts. Default `</think> <answer>`, behind which an answer is due in R1's template.
    pub text: String,
    /// Most tokens behind it, 1 or more. Default 64.
    pub answer_tokens: u64,
    /// What closes thoughts: those that hold it are not ended, and it is taken back where they are kept going. Default
    /// `</think>`.
    pub closing: String,
    /// What is put in its place. Default `Wait` (s1).
    pub wait_text: String,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            caps: Vec::new(),
            waits: Vec::new(),
            text: "</think> <answer>".to_owned(),
            answer_tokens: 64,
            closing: "</think>".to_owned(),
            wait_text: "Wait".to_owned(),
        }
    }
}

impl Budget {
    /// What all points of the curve have in common. Where thoughts are not forced (`is_forced` false), that is what closes
    /// them, if it is not the default.
    pub(crate) fn without_points(self, is_forced: bool) -> Option<Self> {
        if is_forced {
            return Some(Self { caps: Vec::new(), waits: Vec::new(), ..self });
        }
        let default = Self::default();
        (self.closing != default.closing).then_some(Self { closing: self.closing, ..default })
    }

    /// - `max_tokens`: the longest completion
    pub(crate) fn check(&self, max_tokens: u64, at: &mut Section<'_, '_>) {
        if self.caps.is_empty() && self.waits.is_empty() {
            let help = "add numbers of tokens to `caps`, or numbers of times to `waits`";
            at.fail("", "the budget has neither `caps` nor `waits`", "nothing would be measured", help);
        }
        for (key, values) in [("caps", &self.caps), ("waits", &self.waits)] {
            if values.contains(&0) {
                at.fail(key, format!("`{key}` has a 0"), "expected 1 or more", "take it out");
            }
            if values.iter().enumerate().any(|(idx, value)| values[..idx].contains(value)) {
                at.fail(key, format!("`{key}` has a number twice"), "expected each once", "take one of them out");
            }
        }
        for (key, text) in [("text", &self.text), ("closing", &self.closing), ("wait_text", &self.wait_text)] {
            if text.is_empty() {
                at.fail(key, format!("`{key}` is empty"), "expected a text", "");
            }
        }
        if !self.closing.is_empty() && self.wait_text.contains(&self.closing) {
            let help = "it would close the thoughts that it is to keep going";
            at.fail("wait_text", "`wait_text` holds what closes thoughts", "expected a text without `closing`", help);
        }
        at.at_least("answer_tokens", self.answer_tokens, 1, "thoughts are ended for the sake of an answer");
        let longest = self.caps.iter().max().map_or(0, |cap| cap.saturating_add(self.answer_tokens));
        if longest >= max_tokens {
            let title = format!("`caps` and `answer_tokens` come to {longest}, `max_tokens` is {max_tokens}");
            let help = "cap, text and answer have to fit into `max_tokens`: raise it, or lower one of them";
            at.fail("caps", title, format!("expected less than {max_tokens} with the answer"), help);
        }
    }
}
