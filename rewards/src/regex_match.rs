//! Whether a completion, or its answer, matches a pattern of the user's.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::answer::find_answer;
use crate::excerpt::excerpt;
use crate::option::InvalidOption;
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

const NAME: &str = "regex";

/// Largest compiled pattern, in bytes. It bounds the work for each byte of a completion.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// Deepest nesting of a pattern.
const MAX_PATTERN_DEPTH: u32 = 64;

/// Longest extract that a verdict keeps, in characters.
const EXTRACT_CHARS: usize = 80;

/// What is matched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchOver {
    /// The whole completion.
    #[default]
    Completion,
    /// Its answer: the last closed `<answer>`, else the last `\boxed{}`, else the last line that is not empty.
    Answer,
}

/// Settings of [`RegexMatch`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegexMatchOptions {
    /// The pattern, in the syntax of Rust's `regex`: no look-around and no back-references. It may match anywhere: `\A` and
    /// `\z` tie it to the ends, and `(?s)` lets `.` be a line break too.
    pub pattern: String,
    /// What is matched; default the whole completion.
    #[serde(default)]
    pub over: MatchOver,
}

/// 1 where the pattern matches, else 0. Linear in the completion, whatever the pattern: a finite automaton, not a search that
/// backtracks.
///
/// A completion that the template opened with `<think>` is matched as the policy wrote it, without that tag.
///
/// `rule` of the verdict: `match` (1), `no_match`, `no_answer` (0).
#[derive(Debug, Clone)]
pub struct RegexMatch {
    pattern: Regex,
    over: MatchOver,
}

impl RegexMatch {
    /// The match for `options`.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`] if the pattern is empty, cannot be read, or is too large when compiled (256 KiB) or too deep (64).
    pub fn new(options: RegexMatchOptions) -> Result<Self, InvalidOption> {
        let RegexMatchOptions { pattern, over } = options;
        if pattern.is_empty() {
            return Err(InvalidOption::new(NAME, "pattern", "is empty, which matches everything: give a pattern"));
        }
        let pattern = RegexBuilder::new(&pattern)
            .size_limit(MAX_PATTERN_BYTES)
            .nest_limit(MAX_PATTERN_DEPTH)
            .build()
            .map_err(|error| InvalidOption::new(NAME, "pattern", format!("cannot be used: {error}")))?;
        Ok(Self { pattern, over })
    }
}

impl RewardFn for RegexMatch {
    fn name(&self) -> &str {
        NAME
    }

    fn check_gold(&self, _: &Problem) -> Result<(), GoldError> {
        Ok(())
    }

    fn judge(&self, _: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let text = match self.over {
            MatchOver::Completion => completion.text,
            MatchOver::Answer => match find_answer(completion.text) {
                Some(answer) => answer.text,
                None => return Verdict::scored(0.0, "no_answer", "the completion is empty"),
            },
        };
        match self.pattern.find(text) {
            Some(found) => Verdict::scored(1.0, "match", "the pattern matches")
                .with_extracted(excerpt(found.as_str(), EXTRACT_CHARS)),
            None => Verdict::scored(0.0, "no_match", "the pattern does not match"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_the_completion_or_its_answer() {
        let problem = Problem { id: String::new(), question: String::new(), gold: crate::Gold::default() };
        let check = |pattern: &str, over: MatchOver, text: &str, rule: &str| {
            let reward = RegexMatch::new(RegexMatchOptions { pattern: pattern.to_owned(), over }).unwrap();
            let verdict = reward.judge(&problem, &CompletionView::new(text, 1, false));
            assert_eq!(verdict.rule, rule, "{pattern}, {text:?}");
            assert_eq!(verdict.score, Some(if rule == "match" { 1.0 } else { 0.0 }));
        };
        check("b+", MatchOver::Completion, "abba", "match");
        check("b+", MatchOver::Completion, "a", "no_match");
        check(r"\Ab", MatchOver::Completion, "ab", "no_match");
        check("a.b", MatchOver::Completion, "a\nb", "no_match");
        check("(?s)a.b", MatchOver::Completion, "a\nb", "match");
        check(r"\A\d+\z", MatchOver::Answer, "so <answer> 42 </answer>.", "match");
        check(r"\A\d+\z", MatchOver::Answer, "42 or\n43 ", "match");
        check(r"\A\d+\z", MatchOver::Answer, "it is 42", "no_match");
        check("a", MatchOver::Answer, "\n", "no_answer");
        // Where a search that backtracks would not end.
        check(r"\A(a+)+\z", MatchOver::Completion, &("a".repeat(100_000) + "b"), "no_match");
    }

    #[test]
    fn bad_patterns_are_refused() {
        let depth = "(".repeat(100) + &")".repeat(100);
        for pattern in ["", "(", r"(?=a)", r"(a)\1", "(a{1000}){1000}", &depth] {
            let options = RegexMatchOptions { pattern: pattern.to_owned(), over: MatchOver::Completion };
            assert!(RegexMatch::new(options).is_err(), "{pattern}");
        }
        let read: RegexMatchOptions = serde_json::from_str(r#"{"pattern": "a", "over": "answer"}"#).unwrap();
        assert_eq!(read, RegexMatchOptions { pattern: "a".to_owned(), over: MatchOver::Answer });
        assert!(serde_json::from_str::<RegexMatchOptions>(r#"{"pattern": "a", "flags": "i"}"#).is_err());
    }
}
