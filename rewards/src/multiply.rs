//! The multiplication reward of TinyZero: a whole number that equals the product.

use num_bigint::BigInt;
use serde::{Deserialize, Serialize};

use crate::excerpt::excerpt;
use crate::option::InvalidOption;
use crate::tags::last_answer;
use crate::{CompletionView, GoldError, MAX_NUMBERS, Problem, RewardFn, Verdict};

const NAME: &str = "multiply";

/// Most digits of a number, Python's own limit, with which the original reads its answers.
const MAX_DIGITS: usize = 4300;

/// Longest quotation in a verdict, in characters.
const QUOTE_CHARS: usize = 80;

/// Settings of [`Multiply`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiplyOptions {
    /// Score of a whole number that is the wrong one, from 0 to below 1; default 0.1 (TinyZero).
    pub partial: f32,
}

impl Default for MultiplyOptions {
    fn default() -> Self {
        Self { partial: 0.1 }
    }
}

/// TinyZero's three tiers for multiplication: 1 for the product, `partial` (0.1) for another whole number, 0 for none.
///
/// The answer is the content of the last closed `<answer>...</answer>`, read as a whole number: an optional sign and ASCII
/// digits, between two of which one `_` may stand, with white space around them. The product is the problem's `target`, else
/// its `gold`, else the product of its `numbers`.
///
/// `rule` of the verdict: `correct` (1), `wrong` (partial), `no_number`, `no_answer` (0), `gold` (not applicable).
///
/// # Deviations from TinyZero
///
/// `verl/utils/reward_score/multiply.py` is the original, which reads the answer by Python's `int`. Otherwise than there:
///
/// - An answer may have line breaks in its tags, and of nested tags the innermost pair counts, as in
///   [`Countdown`](crate::Countdown).
/// - Digits outside ASCII are no number.
/// - TinyZero gets the prompt with the completion and cuts it off at the first `Assistant:`. Here there is no prompt to cut.
#[derive(Debug, Clone)]
pub struct Multiply {
    partial: f32,
}

/// A whole number: whether it is below 0, and its digits without leading zeros.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    negative: bool,
    digits: String,
}

impl Whole {
    /// `text` as Python's `int` reads it, ASCII digits only.
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        // Groups of digits, none of them empty: so no `_` at either end and no two in a row.
        if unsigned.split('_').any(|group| group.is_empty() || !group.bytes().all(|byte| byte.is_ascii_digit())) {
            return None;
        }
        let n_digits = unsigned.bytes().filter(u8::is_ascii_digit).count();
        if n_digits > MAX_DIGITS {
            return None;
        }
        let digits = unsigned.replace('_', "").trim_start_matches('0').to_owned();
        Some(Self { negative: text.starts_with('-') && !digits.is_empty(), digits })
    }
}

impl Multiply {
    /// The tiers of `options`.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`] unless `0 <= partial < 1`.
    pub fn new(options: MultiplyOptions) -> Result<Self, InvalidOption> {
        if (0.0..1.0).contains(&options.partial) {
            Ok(Self { partial: options.partial })
        } else {
            let reason = format!("is {}: it must be at least 0 (no number) and below 1 (right)", options.partial);
            Err(InvalidOption::new(NAME, "partial", reason))
        }
    }

    /// The product that `problem` asks for.
    fn product(problem: &Problem) -> Result<String, GoldError> {
        let gold = &problem.gold;
        let invalid = |field, reason| GoldError::Invalid { reward: NAME.to_owned(), field, reason };
        if let Some(target) = gold.target {
            return Ok(target.to_string());
        }
        if let Some(text) = &gold.text {
            return match Whole::read(text) {
                Some(_) => Ok(text.trim().to_owned()),
                None => Err(invalid("gold", format!("{:?} is not a whole number", excerpt(text, QUOTE_CHARS)))),
            };
        }
        match gold.numbers.len() {
            0 => Err(GoldError::Missing { reward: NAME.to_owned(), field: "target" }),
            n if n > MAX_NUMBERS => {
                Err(invalid("numbers", format!("{n} numbers are given, at most {MAX_NUMBERS} are allowed")))
            }
            _ => Ok(gold.numbers.iter().map(|&number| BigInt::from(number)).product::<BigInt>().to_string()),
        }
    }
}

impl RewardFn for Multiply {
    fn name(&self) -> &str {
        NAME
    }

    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        Self::product(problem).map(|_| ())
    }

    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let product = match Self::product(problem) {
            Ok(product) => product,
            Err(error) => return Verdict::not_applicable("gold", error.to_string()),
        };
        let answer = match last_answer(completion.text) {
            Ok(answer) => answer.trim(),
            Err(reason) => return Verdict::scored(0.0, "no_answer", reason),
        };
        let shown = excerpt(&product, QUOTE_CHARS);
        match Whole::read(answer) {
            None => Verdict::scored(0.0, "no_number", "the answer is not a whole number"),
            number if number == Whole::read(&product) => Verdict::scored(1.0, "correct", format!("equals {shown}")),
            Some(_) => Verdict::scored(self.partial, "wrong", format!("a whole number, but not {shown}")),
        }
        .with_extracted(excerpt(answer, QUOTE_CHARS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Gold;

    fn problem(gold: Gold) -> Problem {
        Problem { id: String::new(), question: String::new(), gold }
    }

    #[test]
    fn three_tiers() {
        let check = |gold: Gold, answer: &str, score: Option<f32>, rule: &str| {
            let text = format!("<think>a</think><answer>{answer}</answer>");
            let reward = Multiply::new(MultiplyOptions::default()).unwrap();
            let verdict = reward.judge(&problem(gold), &CompletionView::new(&text, 1, false));
            assert_eq!((verdict.score, verdict.rule.as_ref()), (score, rule), "{answer:?}: {}", verdict.reason);
        };
        let gold = || Gold { target: Some(-42), ..Gold::default() };
        check(gold(), "-42", Some(1.0), "correct");
        check(gold(), "\n-0_42 ", Some(1.0), "correct");
        check(gold(), "42", Some(0.1), "wrong");
        check(gold(), "-42.0", Some(0.0), "no_number");
        check(gold(), "-42 </answer><answer>x", Some(0.0), "no_number");
        check(gold(), "", Some(0.0), "no_number");
        check(gold(), "<answer", Some(0.0), "no_number");
        check(Gold::text(" 007 "), "+7", Some(1.0), "correct");
        check(Gold::text("0"), "-0", Some(1.0), "correct");
        check(Gold::text("7.0"), "7", None, "gold");
        check(Gold::default(), "7", None, "gold");
        let numbers = Gold { numbers: vec![-3_000_000_000, 5_000_000_000, 7], ..Gold::default() };
        check(numbers, "-105000000000000000000", Some(1.0), "correct");
        check(gold(), &"9".repeat(MAX_DIGITS), Some(0.1), "wrong");
        check(gold(), &"9".repeat(MAX_DIGITS + 1), Some(0.0), "no_number");
        check(gold(), "1__0", Some(0.0), "no_number");
        check(gold(), "_10", Some(0.0), "no_number");
        check(gold(), "+-10", Some(0.0), "no_number");
        check(gold(), "٣", Some(0.0), "no_number");
    }

    #[test]
    fn settings_are_checked() {
        for partial in [-0.1, 1.0, f32::NAN] {
            assert!(Multiply::new(MultiplyOptions { partial }).is_err(), "{partial}");
        }
    }
}
