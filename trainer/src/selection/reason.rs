//! Why a sample is not in the data: the names that are counted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a sample was dropped. Of several, the first in this order is the one that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The answer is wrong.
    NotCorrect,
    /// No reward has judged the answer, and the filter asks for right ones.
    NotJudged,
    /// The token limit cut it off.
    Truncated,
    /// Fewer tokens than asked for.
    TooShort,
    /// More tokens than allowed.
    TooLong,
    /// Nothing but white space.
    Blank,
    /// Not in the format.
    NoFormat,
    /// Nothing behind the reasoning.
    NoSummary,
    /// Too few of its words are in the language asked for.
    MixedLanguage,
    /// It says the same again and again.
    Repetition,
    /// A paragraph is too long.
    LongParagraph,
    /// It has a block of code.
    CodeBlock,
    /// It shares a run of words with an evaluation.
    Contaminated,
    /// The text of another sample of the question, but for white space and case.
    Duplicate,
    /// Nearly the text of another sample of the question.
    NearDuplicate,
    /// It passed, but another sample of the problem was better, or shorter.
    NotBest,
    /// It passed, but enough others of the problem were drawn.
    OverProblemCap,
    /// It passed, but enough others were drawn.
    OverTotalCap,
    /// It was to be rewritten, and has no new form that passes; or its new form is that of another sample.
    NotRewritten,
    /// It passed, but is in no pair.
    NotPaired,
}

impl Reason {
    /// Every reason, in the order in which they are looked at.
    pub const ALL: [Self; 20] = [
        Self::NotCorrect,
        Self::NotJudged,
        Self::Truncated,
        Self::TooShort,
        Self::TooLong,
        Self::Blank,
        Self::NoFormat,
        Self::NoSummary,
        Self::MixedLanguage,
        Self::Repetition,
        Self::LongParagraph,
        Self::CodeBlock,
        Self::Contaminated,
        Self::Duplicate,
        Self::NearDuplicate,
        Self::NotBest,
        Self::OverProblemCap,
        Self::OverTotalCap,
        Self::NotRewritten,
        Self::NotPaired,
    ];

    /// The name as it is written in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotCorrect => "not_correct",
            Self::NotJudged => "not_judged",
            Self::Truncated => "truncated",
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::Blank => "blank",
            Self::NoFormat => "no_format",
            Self::NoSummary => "no_summary",
            Self::MixedLanguage => "mixed_language",
            Self::Repetition => "repetition",
            Self::LongParagraph => "long_paragraph",
            Self::CodeBlock => "code_block",
            Self::Contaminated => "contaminated",
            Self::Duplicate => "duplicate",
            Self::NearDuplicate => "near_duplicate",
            Self::NotBest => "not_best",
            Self::OverProblemCap => "over_problem_cap",
            Self::OverTotalCap => "over_total_cap",
            Self::NotRewritten => "not_rewritten",
            Self::NotPaired => "not_paired",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A reason with what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The name to count by.
    pub reason: Reason,
    /// What was found, in plain words, such as "812 words in one paragraph, at most 400". Empty where the name says it all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Rejection {
    /// A reason with what was found.
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// A reason whose name says it all.
    pub(crate) fn plain(reason: Reason) -> Self {
        Self { reason, detail: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files_and_the_list_is_whole_and_in_order() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
        }
        assert!(Reason::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(Reason::ALL.last().map(|last| *last as usize + 1), Some(Reason::ALL.len()));
    }
}
