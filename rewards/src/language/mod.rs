//! Language consistency: the share of a chain of thought that is written in the language asked for.

mod count;
mod function_words;
mod mixture;
mod prose;
mod target;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::excerpt::excerpt;
use crate::option::InvalidOption;
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};
use count::count;
use target::Target;

const NAME: &str = "language_consistency";

/// Longest quotation in a message, in characters.
const QUOTE_CHARS: usize = 40;

/// What part of a completion is judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LanguageOver {
    /// The chain of thought: from the first `<think>`, or from the start where the template has prefilled it, to the last
    /// `</think>`, or to the end if it is never closed. A completion without these tags is one chain of thought.
    #[default]
    Thinking,
    /// The whole completion.
    Completion,
}

/// Settings of [`LanguageConsistency`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageConsistencyOptions {
    /// The language of problems whose row has no field `language`, as a BCP-47 tag; default none, so that each row must have
    /// one.
    pub language: Option<String>,
    /// What is judged; default the thinking.
    pub over: LanguageOver,
    /// Score where there is no word to judge; default 0, so that nothing is earned by saying nothing.
    pub no_words: f32,
}

/// DeepSeek-R1's language consistency reward, from 0 to 1: words in the target language divided by all words of the chain of
/// thought (arXiv 2501.12948 v2, eq. 7).
///
/// The target is the row's field `language`, else the setting of that name: a BCP-47 tag such as `zh`, `pt-BR`, `sr-Cyrl`.
/// Regions and variants change nothing; a script does.
///
/// # What is a word
///
/// A run of letters of one script. Code in back-ticks or fences, LaTeX, addresses, numbers and names with digits, tags,
/// acronyms of 2 to 5 capitals (not in a sentence that is mostly capitals and has a common word among four or more), single Latin or Greek letters and names of functions such as `sin` are neutral. Scripts that
/// put no blanks between words are counted by their letters: two of Chinese or Japanese are one word, four of Thai, Lao,
/// Khmer, Burmese or Tibetan, rounded up for each run.
///
/// # Whose word it is
///
/// - A word in a script that the target does not use is another language's.
/// - Chinese characters are Japanese in a sentence whose kana are at least a tenth as many, and Chinese elsewhere; up to six of
///   them alone in a sentence count for either.
/// - Where languages share a script, common words decide. Languages are taken to be there, the one that explains most first,
///   as long as they explain words that the target's list does not have. The words of the target that none of them has stand
///   against their words that the target does not have; words in no list or on both sides are shared out in the same
///   proportion. There are lists for Latin (cs, da, de, en, es, fi, fr, hu, id, it, nb, nl, pl, pt, ro, sv, tr, vi), Cyrillic (bg, ru, sr, uk), Arabic
///   (ar, fa, ur) and Devanagari (hi, mr).
/// - Without a single such word, Latin words are neutral, and words of another script are the target's.
///
/// # Limits
///
/// The lists estimate a share; they are sure for paragraphs and rough for a dozen words. On paragraphs of the message catalogues
/// of GNU programs, which the lists were not made from, the Latin languages found 0.94 to 0.99 of themselves and at most 0.1 of
/// one another, except that Danish found 0.28 of Norwegian. A language in Latin letters without a list is refused. One
/// in another script without a list cannot be told from its neighbours (Kazakh from Russian), and its text may pass for theirs
/// (Belarusian for Ukrainian); nor is simplified told from traditional Chinese. Foreign text in code or LaTeX goes unseen; a
/// chain of thought that is nothing else has no words.
///
/// `rule` of the verdict: `words`, `no_words`, `gold` (not applicable).
#[derive(Debug, Clone)]
pub struct LanguageConsistency {
    language: Option<Target>,
    over: LanguageOver,
    no_words: f32,
}

impl LanguageConsistency {
    /// The reward for `options`.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`] if the language is not known or cannot be told from others, or `no_words` is not finite.
    pub fn new(options: LanguageConsistencyOptions) -> Result<Self, InvalidOption> {
        let LanguageConsistencyOptions { language, over, no_words } = options;
        InvalidOption::unless_finite(NAME, "no_words", no_words)?;
        let invalid = |reason| InvalidOption::new(NAME, "language", reason);
        let language = language.map(|tag| Target::read(&tag)).transpose().map_err(invalid)?;
        Ok(Self { language, over, no_words })
    }

    /// The language that `problem` asks for.
    fn target(&self, problem: &Problem) -> Result<Cow<'_, Target>, GoldError> {
        let invalid = |reason| GoldError::Invalid { reward: NAME.to_owned(), field: "language", reason };
        match problem.gold.fields.get("language") {
            None => {
                let missing = || GoldError::Missing { reward: NAME.to_owned(), field: "language" };
                self.language.as_ref().map(Cow::Borrowed).ok_or_else(missing)
            }
            Some(tag) => {
                let tag = tag.as_str().ok_or_else(|| invalid("it must be a string such as \"en\"".to_owned()))?;
                Target::read(tag).map(Cow::Owned).map_err(invalid)
            }
        }
    }
}

impl RewardFn for LanguageConsistency {
    fn name(&self) -> &str {
        NAME
    }

    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        self.target(problem).map(|_| ())
    }

    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let target = match self.target(problem) {
            Ok(target) => target,
            Err(error) => return Verdict::not_applicable("gold", error.to_string()),
        };
        let text = match self.over {
            LanguageOver::Thinking => &completion.text[completion.thinking()],
            LanguageOver::Completion => completion.text,
        };
        let counted = count(text, &target);
        match counted.share() {
            Some(share) => Verdict::scored(
                share as f32,
                "words",
                format!(
                    "{:.0} of {:.0} words are `{}`",
                    counted.target,
                    counted.all,
                    excerpt(&target.tag, QUOTE_CHARS)
                ),
            ),
            None => Verdict::scored(self.no_words, "no_words", "no word whose language could be told"),
        }
    }
}

#[cfg(test)]
mod tests;
