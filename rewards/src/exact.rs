//! Whether the answer is the gold text, character by character.

use serde::{Deserialize, Serialize};

use crate::answer::{Place, find_answer};
use crate::excerpt::excerpt;
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

const NAME: &str = "exact";

/// Longest quotation in a verdict, in characters.
const QUOTE_CHARS: usize = 80;

/// Settings of [`Exact`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExactOptions {
    /// Whether upper and lower case are the same; default false. Both sides are put into lower case (Unicode).
    pub ignore_case: bool,
    /// Whether any run of white space is the same as one blank; default false.
    pub collapse_white_space: bool,
}

/// 1 if the answer equals the field `gold`, else 0.
///
/// The answer is the content of the last closed `<answer>`, else of the last `\boxed{}`, else the last line that is not
/// empty, all of it behind the last `</think>` if something is there. White space at both ends of answer and gold does not
/// count, and neither does what the settings name; nothing else is normalised.
///
/// `rule` of the verdict: `equal` (1), `different`, `no_answer` (0), `gold` (not applicable).
#[derive(Debug, Clone, Default)]
pub struct Exact {
    options: ExactOptions,
}

impl Exact {
    /// The comparison for `options`.
    pub fn new(options: ExactOptions) -> Self {
        Self { options }
    }

    fn normal(&self, text: &str) -> String {
        let mut text = text.trim().to_owned();
        if self.options.collapse_white_space {
            text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        if self.options.ignore_case { text.to_lowercase() } else { text }
    }
}

/// The gold text of `problem`, trimmed.
pub(crate) fn gold_text<'a>(reward: &str, problem: &'a Problem) -> Result<&'a str, GoldError> {
    let missing = || GoldError::Missing { reward: reward.to_owned(), field: "gold" };
    let gold = problem.gold.text.as_deref().ok_or_else(missing)?.trim();
    if gold.is_empty() {
        let reason = "it is empty: give the right answer".to_owned();
        return Err(GoldError::Invalid { reward: reward.to_owned(), field: "gold", reason });
    }
    Ok(gold)
}

impl RewardFn for Exact {
    fn name(&self) -> &str {
        NAME
    }

    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        gold_text(NAME, problem).map(|_| ())
    }

    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let gold = match gold_text(NAME, problem) {
            Ok(gold) => gold,
            Err(error) => return Verdict::not_applicable("gold", error.to_string()),
        };
        let Some(answer) = find_answer(completion.text) else {
            return Verdict::scored(0.0, "no_answer", "the completion is empty");
        };
        let place = match answer.place {
            Place::Tag => "<answer>",
            Place::Box => "the box",
            Place::Line => "the last line",
        };
        if self.normal(answer.text) == self.normal(gold) {
            Verdict::scored(1.0, "equal", format!("{place} is the gold answer"))
        } else {
            Verdict::scored(0.0, "different", format!("{place} is not {:?}", excerpt(gold, QUOTE_CHARS)))
        }
        .with_extracted(excerpt(answer.text, QUOTE_CHARS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(options: ExactOptions, gold: &str, text: &str) -> Verdict {
        let problem = Problem { id: String::new(), question: String::new(), gold: crate::Gold::text(gold) };
        Exact::new(options).judge(&problem, &CompletionView::new(text, 1, false))
    }

    #[test]
    fn equal_means_equal() {
        let check = |options: ExactOptions, gold: &str, text: &str, rule: &str| {
            let verdict = judge(options, gold, text);
            let score = match rule {
                "gold" => None,
                "equal" => Some(1.0),
                _ => Some(0.0),
            };
            assert_eq!((verdict.rule.as_ref(), verdict.score), (rule, score), "{gold:?}, {text:?}");
        };
        let plain = ExactOptions::default();
        check(plain, "Paris", "<think>x</think><answer> Paris\n</answer>", "equal");
        check(plain, " Paris ", "It is\nParis\n", "equal");
        check(plain, "Paris", "\\boxed{Paris}", "equal");
        check(plain, "Paris", "<answer>paris</answer>", "different");
        check(plain, "Paris", "It is Paris", "different");
        check(plain, "Paris", "Paris.", "different");
        check(plain, "a b", "a  b", "different");
        check(plain, "Paris", " ", "no_answer");
        check(plain, "", "", "gold");
        let loose = ExactOptions { ignore_case: true, collapse_white_space: true };
        check(loose, "Straße ÖL", "<answer>straße\n öl</answer>", "equal");
        check(loose, "Strasse", "Straße", "different");
    }

    #[test]
    fn the_gold_is_checked() {
        let check = |gold: crate::Gold, message: &str| {
            let problem = Problem { id: String::new(), question: String::new(), gold };
            assert_eq!(Exact::default().check_gold(&problem).unwrap_err().to_string(), message);
        };
        check(
            crate::Gold::default(),
            "reward `exact` needs the field `gold`, and the problem has none: add it, or take the reward out",
        );
        check(
            crate::Gold::text("\n"),
            "reward `exact` cannot use the field `gold`: it is empty: give the right answer",
        );
    }
}
