//! Penalises repeated n-grams of tokens or words.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use crate::option::InvalidOption;
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

const NAME: &str = "repetition";

/// Longest n-gram. The work of a verdict is n times the length of the completion.
const MAX_NGRAM: usize = 64;

/// What an n-gram consists of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NgramUnit {
    /// The policy's tokens (TRL, and the paper): any language. A completion whose tokens are not known has no score.
    #[default]
    Tokens,
    /// Lower-case words between white space (open-r1): for languages that write them so.
    Words,
}

/// Settings of [`Repetition`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepetitionOptions {
    /// What is compared; default `tokens`.
    pub unit: NgramUnit,
    /// Units of an n-gram, 1 to 64; default 3 (TRL, open-r1).
    pub ngram_size: usize,
    /// Score of a completion that repeats nothing else but one n-gram without end, at most 0; default -1 (TRL, open-r1).
    pub max_penalty: f32,
}

impl Default for RepetitionOptions {
    fn default() -> Self {
        Self { unit: NgramUnit::Tokens, ngram_size: 3, max_penalty: -1.0 }
    }
}

/// A penalty for repetition: `(1 - different n-grams / n-grams) max_penalty`, from `max_penalty` to 0 ("Demystifying Long
/// Chain-of-Thought Reasoning", arXiv 2502.03373, appendix C.2). A completion shorter than one n-gram has 0.
///
/// Scores are those of TRL (`unit = "tokens"`) and of open-r1 (`unit = "words"`, its language `en`). open-r1's `zh` cuts words
/// with a dictionary; here such languages are for `unit = "tokens"`.
///
/// `rule` of the verdict: `ngrams`, `too_short` (0), `no_tokens` (not applicable).
#[derive(Debug, Clone)]
pub struct Repetition {
    options: RepetitionOptions,
}

impl Repetition {
    /// The penalty for `options`.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`] unless `1 <= ngram_size <= 64` and `max_penalty` is finite and at most 0.
    pub fn new(options: RepetitionOptions) -> Result<Self, InvalidOption> {
        if !(1..=MAX_NGRAM).contains(&options.ngram_size) {
            let reason = format!("is {}: it must be 1 to {MAX_NGRAM}", options.ngram_size);
            return Err(InvalidOption::new(NAME, "ngram_size", reason));
        }
        InvalidOption::unless_finite(NAME, "max_penalty", options.max_penalty)?;
        if options.max_penalty > 0.0 {
            let reason = format!("is {}: a penalty is at most 0", options.max_penalty);
            return Err(InvalidOption::new(NAME, "max_penalty", reason));
        }
        Ok(Self { options })
    }

    fn penalty<T: Eq + Hash>(&self, units: &[T]) -> Verdict {
        let size = self.options.ngram_size;
        if units.len() < size {
            return Verdict::scored(0.0, "too_short", format!("{} units, one n-gram has {size}", units.len()));
        }
        let n_ngrams = units.len() - size + 1;
        let n_different = n_different(&dense(units), size);
        let repeated = 1.0 - n_different as f64 / n_ngrams as f64;
        // Not the product in every case: nothing repeated is 0, not -0.
        let score = if repeated > 0.0 { repeated * f64::from(self.options.max_penalty) } else { 0.0 };
        Verdict::scored(score as f32, "ngrams", format!("{n_different} different {size}-grams of {n_ngrams}"))
    }
}

/// `units` with small numbers for what is the same: 0 for the first, 1 for the next that differs, and so on.
fn dense<T: Eq + Hash>(units: &[T]) -> Vec<u32> {
    let mut numbers: HashMap<&T, u32> = HashMap::new();
    let number = |unit| {
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        *numbers.entry(unit).or_insert(next)
    };
    units.iter().map(number).collect()
}

/// How many of the n-grams of `units`, which [`dense`] has made, are different.
fn n_different(units: &[u32], size: usize) -> usize {
    let bits = units.iter().max().map_or(0, |max| (u32::BITS - max.leading_zeros()) as usize);
    if bits * size > 128 {
        return units.windows(size).collect::<HashSet<_>>().len();
    }
    // Side by side in one number, an n-gram is sorted faster than it is hashed.
    let pack = |ngram: &[u32]| ngram.iter().fold(0_u128, |packed, &unit| packed << bits | u128::from(unit));
    let mut ngrams: Vec<u128> = units.windows(size).map(pack).collect();
    ngrams.sort_unstable();
    ngrams.dedup();
    ngrams.len()
}

/// White space as Python's `str.split` sees it, which has the four information separators as well.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

impl RewardFn for Repetition {
    fn name(&self) -> &str {
        NAME
    }

    fn check_gold(&self, _: &Problem) -> Result<(), GoldError> {
        Ok(())
    }

    fn judge(&self, _: &Problem, completion: &CompletionView<'_>) -> Verdict {
        match (self.options.unit, completion.token_ids) {
            (NgramUnit::Tokens, Some(token_ids)) => self.penalty(token_ids),
            (NgramUnit::Tokens, None) => Verdict::not_applicable("no_tokens", "the completion's tokens are not known"),
            (NgramUnit::Words, _) => {
                let text = completion.text.to_lowercase();
                let words: Vec<&str> = text.split(is_separator).filter(|word| !word.is_empty()).collect();
                self.penalty(&words)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::correctness::tests::problem;
    use super::*;

    fn judge(options: RepetitionOptions, completion: &CompletionView<'_>) -> Verdict {
        Repetition::new(options).unwrap().judge(&problem(), completion)
    }

    #[test]
    fn repeated_ngrams_are_counted() {
        let check = |ngram_size: usize, token_ids: &[i64], score: f32| {
            let options = RepetitionOptions { ngram_size, ..RepetitionOptions::default() };
            let verdict = judge(options, &CompletionView::new("", 1, false).with_token_ids(token_ids));
            assert_eq!(
                verdict.score.map(f32::to_bits),
                Some(score.to_bits()),
                "{ngram_size}, {token_ids:?}: {verdict:?}"
            );
        };
        check(2, &[1, 2, 3, 4], 0.0);
        check(2, &[5, 5, 5, 5, 5], -0.75);
        check(3, &[5, 5], 0.0);
        check(3, &[], 0.0);
        check(1, &[1, 1, 2, 2], -0.5);
        check(3, &[1, 2, 3, 1, 2, 3, 1], -0.4);

        let words = |text: &str, score: f32| {
            let options = RepetitionOptions { unit: NgramUnit::Words, ngram_size: 2, ..RepetitionOptions::default() };
            assert_eq!(judge(options, &CompletionView::new(text, 1, false)).score, Some(score), "{text:?}");
        };
        words("So it is so IT\u{1f}is", -0.4);
        words(" one ", 0.0);
        words("a b c d", 0.0);
    }

    #[test]
    fn packed_and_hashed_ngrams_are_the_same() {
        // 64 units of 3 bits do not fit into one number; runs of length 7 repeat from the eighth on.
        let token_ids: Vec<i64> = (0..140).map(|i| i % 7).collect();
        for ngram_size in [1, 5, 42, 43, 64] {
            let options = RepetitionOptions { ngram_size, ..RepetitionOptions::default() };
            let verdict = judge(options, &CompletionView::new("", 1, false).with_token_ids(&token_ids));
            assert_eq!(verdict.reason, format!("7 different {ngram_size}-grams of {}", 141 - ngram_size));
        }
    }

    #[test]
    fn unknown_tokens_are_not_guessed() {
        let verdict = judge(RepetitionOptions::default(), &CompletionView::new("a a a a a", 5, false));
        assert_eq!((verdict.score, verdict.rule.as_ref()), (None, "no_tokens"));
    }

    #[test]
    fn settings_are_checked() {
        for (ngram_size, max_penalty) in [(0, -1.0), (65, -1.0), (3, 0.5), (3, f32::NAN)] {
            let options = RepetitionOptions { ngram_size, max_penalty, ..RepetitionOptions::default() };
            assert!(Repetition::new(options).is_err(), "{ngram_size}, {max_penalty}");
        }
    }
}
