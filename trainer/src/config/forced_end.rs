//! `[stage.rollout.forced_end]`: thoughts that are too long are ended by a phrase.

use serde::{Deserialize, Serialize};

use super::checks::Section;

/// `[stage.rollout.forced_end]`: a completion that has used up its budget and still thinks gets the phrase `text`, and goes
/// on for some tokens more (ScaleRL, arXiv 2510.13786; budget forcing, s1, arXiv 2501.19393). Without the table thoughts end
/// where the policy ends them, or at `max_tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForcedEnd {
    /// The phrase. Required (ScaleRL: "Okay, time is up. Let me stop thinking and formulate a final answer now. `</think>`").
    pub text: String,
    /// A completion whose text holds this has ended its thoughts by itself. Default `</think>`.
    #[serde(default = "end_of_thoughts")]
    pub unless: String,
    /// The budget in tokens, from and to (inclusive), drawn for each completion. Required (ScaleRL: 10,000 to 12,000).
    pub after_tokens: [u64; 2],
    /// Most tokens behind the phrase, 1 or more. Required (ScaleRL: 2,000).
    pub answer_tokens: u64,
}

fn end_of_thoughts() -> String {
    "</think>".to_owned()
}

impl ForcedEnd {
    /// - `max_tokens`: the longest completion of the step in which it is shortest
    pub(crate) fn check(&self, max_tokens: u64, stop_strings: &[String], at: &mut Section<'_, '_>) {
        if self.text.is_empty() {
            at.fail("text", "`text` is empty", "expected a phrase", "it tells the policy that its time is up");
        }
        if self.unless.is_empty() {
            let help = "every completion holds the empty text: name what ends thoughts, such as \"</think>\"";
            at.fail("unless", "`unless` is empty", "no thoughts would ever be ended", help);
        }
        if let Some(stop) = stop_strings.iter().find(|stop| !stop.is_empty() && self.text.contains(stop.as_str())) {
            let title = format!("`text` of `forced_end` holds \"{stop}\", which is one of `stop_strings`");
            at.fail("text", title, "the completion would end with it, before its answer", "take it out of one of them");
        }
        at.at_least("answer_tokens", self.answer_tokens, 1, "the phrase is there for the sake of the answer behind it");
        at.range("after_tokens", self.after_tokens, 1, max_tokens);
        let [low, high] = self.after_tokens;
        let n_tokens = high.saturating_add(self.answer_tokens);
        if low <= high && high <= max_tokens && n_tokens >= max_tokens {
            let title = format!("`after_tokens` and `answer_tokens` come to {n_tokens}, `max_tokens` is {max_tokens}");
            let help =
                "budget, phrase and answer have to fit into `max_tokens`: lower `after_tokens` or `answer_tokens`";
            at.fail("after_tokens", title, format!("expected less than {max_tokens} with the answer"), help);
        }
    }
}
