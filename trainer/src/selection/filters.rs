//! Settings of the filters: what a sample has to be to stay.

use serde::{Deserialize, Serialize};

/// What is asked of the verdict on the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correctness {
    /// `required`: a reward has judged the answer, and it is right (DeepSeek-R1).
    #[default]
    Required,
    /// `if_judged`: it is right, or no reward has judged it: for data whose general rows have no gold answer.
    IfJudged,
    /// `ignored`: wrong answers stay too (s1: 53.6 % of s1K's are right).
    Ignored,
}

/// What a sample has to be to stay. DeepSeek-R1 filters its samples for right answers, and drops mixed languages, long paragraphs
/// and blocks of code (arXiv 2501.12948 v1, section 2.3.3); for the cold start it drops repetition too (v2, appendix B.3.2). It
/// gives no thresholds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    /// What is asked of the answer. Default `required`.
    pub correct: Correctness,
    /// Whether samples that the token limit cut off stay. Default false.
    pub truncated: bool,
    /// Fewest tokens. Default 0.
    pub min_tokens: u64,
    /// Most tokens. Default none.
    pub max_tokens: Option<u64>,
    /// Whether the format has to be kept strictly: with think and answer tags as the reward `format` asks for it, with a special
    /// token as `summary` does. Default false.
    pub format: bool,
    /// Whether there has to be something behind the reasoning. Default false.
    pub summary: bool,
    /// The least share of words in the row's `language`, in [0, 1], as the reward `language_consistency` counts them; reasoning
    /// and summary are both looked at. A text without words passes. Default none.
    pub min_language: Option<f32>,
    /// The language of rows that name none, a BCP-47 tag. Default none, so that `min_language` drops such rows.
    pub language: Option<String>,
    /// The largest share of repeated n-grams of words, `1 - different / all`, in [0, 1]. Default none.
    pub max_repeated_fraction: Option<f64>,
    /// Words of those n-grams, 1 or more. Default 10: shorter ones come again in any long text.
    pub repeated_ngram_size: usize,
    /// Most times that a line, or a phrase of up to 64 words, is said in direct succession. Default none.
    pub max_loop: Option<u64>,
    /// Most words of a paragraph; two letters of Chinese or Japanese, or four of Thai, are one. Default none.
    pub max_paragraph_words: Option<u64>,
    /// Most characters of a paragraph that are not white space. Default none.
    pub max_paragraph_letters: Option<u64>,
    /// Whether samples with a fenced block of code stay. Default true (DeepSeek-R1: false).
    pub code_blocks: bool,
    /// Whether samples of one question may be one text but for white space and case. Default false.
    pub duplicates: bool,
    /// The share of 3-grams of words and signs, |A n B| / |A u B|, in (0, 1], from which on two samples of one question count as
    /// one. Default none.
    pub near_duplicates: Option<f64>,
}

impl Default for Filters {
    fn default() -> Self {
        Self {
            correct: Correctness::Required,
            truncated: false,
            min_tokens: 0,
            max_tokens: None,
            format: false,
            summary: false,
            min_language: None,
            language: None,
            max_repeated_fraction: None,
            repeated_ngram_size: 10,
            max_loop: None,
            max_paragraph_words: None,
            max_paragraph_letters: None,
            code_blocks: true,
            duplicates: false,
            near_duplicates: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_and_unknown_ones_are_refused() {
        let read: Filters =
            serde_json::from_str(r#"{"correct": "if_judged", "min_language": 0.9, "code_blocks": false}"#).unwrap();
        let expected = Filters {
            correct: Correctness::IfJudged,
            min_language: Some(0.9),
            code_blocks: false,
            ..Filters::default()
        };
        assert_eq!(read, expected);
        assert!(serde_json::from_str::<Filters>(r#"{"min_languages": 0.9}"#).is_err());
    }
}
