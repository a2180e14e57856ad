//! Multiple choice: whether the completion commits itself to the right letter, and to that alone.

pub(crate) mod hedge;
mod letters;

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::{Place, conclusion, find_answer};
use crate::exact::gold_text;
use crate::excerpt::excerpt;
use crate::option::InvalidOption;
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};
use hedge::offers_another;
use letters::{Committed, Letters};

const NAME: &str = "choice";

/// Words that announce a choice.
static CUE: LazyLock<Regex> = LazyLock::new(|| {
    let cue = r"(?i)\b(?:answer|choice|option)(?:\s+is|\s+would\s+be|\s*[*_]*[:=])|答案(?:是|为|[:：])";
    Regex::new(cue).expect("the pattern is well-formed")
});

/// How many cues are tried, from the last one backwards.
const MAX_CUES: usize = 8;

/// How much is read behind a cue, in characters.
const CUE_CHARS: usize = 300;

/// Longest quotation in a verdict, in characters.
const QUOTE_CHARS: usize = 80;

/// Settings of [`Choice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChoiceOptions {
    /// Letters that are choices, counted from A, 2 to 26; default 5 (A to E). A row's own list `choices` goes first.
    pub n_choices: usize,
}

impl Default for ChoiceOptions {
    fn default() -> Self {
        Self { n_choices: 5 }
    }
}

/// 1 if the completion's choice is the one that `gold` names, else 0.
///
/// `gold` is a letter, also as `(B)` or `B.`, or, where the row has a list of strings `choices`, the text of one of them.
/// The completion's choice is looked for, behind the last `</think>` if something is there,
///
/// 1. in the last closed `<answer>`, else in the last `\boxed{}`: a letter by itself, in brackets, with its text behind it
///    (`B) Paris`), or the text of one choice alone;
/// 2. else behind the last words such as `the answer is`, `Answer:`, `Option:`, `答案是`;
/// 3. else in the last line, which must begin with the letter.
///
/// In a tag, a box or joined boxes more than one letter is several choices, which is wrong whatever they are; elsewhere letters
/// that are joined (`A or B`, `A, B`, `(A) (B)`) are, and so is a choice beside which another is offered: "C. But D is also
/// right", "C, though D works". "But D is wrong" changes nothing. `A` and `I` before a word in lower case are words and no choices.
///
/// `rule` of the verdict: `correct` (1), `wrong`, `several`, `no_choice` (0), `gold` (not applicable).
#[derive(Debug, Clone)]
pub struct Choice {
    n_choices: usize,
}

/// The choices of a problem: letters from A, and their texts where the row gives them.
struct Choices<'a> {
    letters: Letters,
    texts: Vec<&'a str>,
}

impl Choice {
    /// Multiple choice with `options`.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`] unless `2 <= n_choices <= 26`.
    pub fn new(options: ChoiceOptions) -> Result<Self, InvalidOption> {
        if !(2..=26).contains(&options.n_choices) {
            let reason = format!("is {}: it must be 2 to 26", options.n_choices);
            return Err(InvalidOption::new(NAME, "n_choices", reason));
        }
        Ok(Self { n_choices: options.n_choices })
    }

    fn choices<'a>(&self, problem: &'a Problem) -> Choices<'a> {
        let list = problem.gold.fields.get("choices").and_then(Value::as_array);
        let texts: Option<Vec<&str>> = list.and_then(|list| list.iter().map(Value::as_str).collect());
        let texts = texts.filter(|texts| (2..=26).contains(&texts.len())).unwrap_or_default();
        let n_choices = if texts.is_empty() { self.n_choices } else { texts.len() };
        Choices { letters: Letters::first(n_choices), texts }
    }

    /// The choices of `problem`, and the right one.
    fn read_gold<'a>(&self, problem: &'a Problem) -> Result<(Choices<'a>, char), GoldError> {
        let gold = gold_text(NAME, problem)?;
        let choices = self.choices(problem);
        let right = choices.letters.bare(gold).or_else(|| choices.by_text(gold));
        let right = right.ok_or_else(|| GoldError::Invalid {
            reward: NAME.to_owned(),
            field: "gold",
            reason: format!(
                "{:?} is neither a letter from A to {} nor the text of one entry of `choices`",
                excerpt(gold, QUOTE_CHARS),
                choices.letters.last(),
            ),
        })?;
        Ok((choices, right))
    }
}

impl Choices<'_> {
    /// The one choice whose text is `text`, apart from case and white space.
    fn by_text(&self, text: &str) -> Option<char> {
        let text = text.trim().trim_end_matches('.').to_lowercase();
        let mut same = ('A'..='Z')
            .zip(&self.texts)
            .filter(|(_, choice)| choice.trim().trim_end_matches('.').to_lowercase() == text);
        let (letter, _) = same.next()?;
        same.next().is_none().then_some(letter)
    }

    /// What `completion` commits itself to, and the text that says so.
    fn find<'a>(&self, completion: &'a str) -> (Committed, &'a str) {
        let Some(answer) = find_answer(completion) else { return (Committed::No, "") };
        if answer.place != Place::Line {
            // The text of a choice goes before the letters in it: `Vitamin C` is one text, and no C.
            let letter = self.letters.bare(answer.text).or_else(|| self.by_text(answer.text));
            let committed = letter.map_or_else(|| self.letters.whole(answer.text), Committed::To);
            let committed = if letter.is_some() { committed } else { self.unhedged(committed, answer.text) };
            return (committed, answer.text);
        }
        let conclusion = conclusion(completion);
        let mut cues: Vec<usize> = CUE.find_iter(conclusion).map(|cue| cue.end()).collect();
        for end in cues.drain(cues.len().saturating_sub(MAX_CUES)..).rev() {
            let line = conclusion[end..].trim_start().lines().next().unwrap_or_default();
            let line = line.char_indices().nth(CUE_CHARS).map_or(line, |(cut, _)| &line[..cut]);
            let committed = self.letters.after_cue(line);
            if committed != Committed::No {
                return (self.unhedged(committed, &conclusion[end..]), line);
            }
        }
        (self.unhedged(self.letters.at_line_start(answer.text), answer.text), answer.text)
    }

    /// `committed`, unless `text` offers another choice behind its letter.
    fn unhedged(&self, committed: Committed, text: &str) -> Committed {
        let Committed::To(letter) = committed else { return committed };
        let behind = text.split_once(letter).map_or("", |(_, behind)| behind);
        if offers_another(letter, self.letters.last(), behind) { Committed::Several } else { committed }
    }
}

impl RewardFn for Choice {
    fn name(&self) -> &str {
        NAME
    }

    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        self.read_gold(problem).map(|_| ())
    }

    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let (choices, right) = match self.read_gold(problem) {
            Ok(gold) => gold,
            Err(error) => return Verdict::not_applicable("gold", error.to_string()),
        };
        let (committed, text) = choices.find(completion.text);
        match committed {
            Committed::To(letter) if letter == right => {
                Verdict::scored(1.0, "correct", format!("chooses {right}")).with_extracted(letter)
            }
            Committed::To(letter) => {
                Verdict::scored(0.0, "wrong", format!("chooses {letter}, not {right}")).with_extracted(letter)
            }
            Committed::Several => {
                Verdict::scored(0.0, "several", "names more than one choice").with_extracted(excerpt(text, QUOTE_CHARS))
            }
            Committed::No => {
                Verdict::scored(0.0, "no_choice", format!("no letter from A to {}", choices.letters.last()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
