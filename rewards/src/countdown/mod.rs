//! The Countdown reward: an arithmetic expression that uses every given number once and reaches the target.

mod evaluate;
mod lex;
mod numbers;
mod parse;

use std::borrow::Cow;

use num_bigint::BigInt;
use num_rational::BigRational;

use crate::excerpt::excerpt;
use crate::tags::last_answer;
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

/// Longest answer that is read, in bytes. A legitimate one has a few dozen; the bound keeps the work of a verdict small.
pub const MAX_ANSWER_BYTES: usize = 4096;

/// Most numbers a problem may give. It bounds the digits of every value that can occur while an answer is evaluated.
pub const MAX_NUMBERS: usize = 64;

/// Longest extract that a verdict keeps, in characters.
const EXTRACT_CHARS: usize = 256;

/// Countdown with TinyZero's three tiers: 1 for a right answer, [`partial`](Countdown::new) (0.1) for an answer that is
/// wrong in any way, 0 for no answer.
///
/// The answer is the content of the last closed `<answer>...</answer>` of the completion, wherever it stands; of nested
/// tags the innermost counts, and an answer left open does not replace a closed one. It is right if it is an expression
/// over `+ - * / ( )`, signs and ASCII digits that uses every given number exactly once, as often as it is given, and whose
/// value, in exact rationals, is the target.
///
/// `rule` of the verdict is `no_answer` (tier 0), `too_long`, `unreadable`, `numbers`, `division_by_zero`, `value` (partial
/// tier), `correct` (1), or `gold` (not applicable).
///
/// # Deviations from TinyZero
///
/// `verl/utils/reward_score/countdown.py` of TinyZero is the original. As there, an unused number is wrong although the
/// prompt does not say so, `=` is refused (the expression alone is the answer), and so are signs outside ASCII such as
/// `×` and `−`. On purpose otherwise:
///
/// - TinyZero searches the completion's last line only. Here the answer may stand on any line and may span several.
/// - TinyZero pairs an opening tag with the first closing tag after it, so that a tag merely mentioned before swallows the
///   answer. Here the innermost pair counts.
/// - TinyZero's answer is evaluated as Python: `**` and `//` pass. Here they are refused, as is the decimal point, with
///   which `1.5` counted as using 1 and 5.
/// - TinyZero compares floating-point numbers within 1e-5. Here equal means equal, also for large numbers.
/// - Leading zeros are refused. Python refuses them as well, but reads `00` as zero.
/// - An answer longer than [`MAX_ANSWER_BYTES`] is wrong unread. TinyZero has no limit except those of Python's parser on
///   nesting, which do not exist here.
/// - TinyZero gets the prompt with the completion and cuts it off at the first `Assistant:`. Here there is no prompt to cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Countdown {
    partial: f32,
}

/// The tier for a wrong answer does not lie between no answer and the right one.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("partial is {0}: the score of a wrong answer must be at least 0 (no answer) and below 1 (right)")]
pub struct InvalidPartial(
    /// The refused score.
    pub f32,
);

impl Default for Countdown {
    /// TinyZero's tiers: 0, 0.1, 1.
    fn default() -> Self {
        Self { partial: 0.1 }
    }
}

impl Countdown {
    /// Tiers 0 (no answer), `partial` (a wrong answer) and 1 (right).
    ///
    /// # Errors
    ///
    /// [`InvalidPartial`] unless `0 <= partial < 1`.
    pub fn new(partial: f32) -> Result<Self, InvalidPartial> {
        if (0.0..1.0).contains(&partial) { Ok(Self { partial }) } else { Err(InvalidPartial(partial)) }
    }

    /// The numbers (sorted) and the target of `problem`.
    fn read_gold(&self, problem: &Problem) -> Result<(Vec<u64>, i64), GoldError> {
        let missing = |field| GoldError::Missing { reward: self.name().to_owned(), field };
        let invalid = |reason| GoldError::Invalid { reward: self.name().to_owned(), field: "numbers", reason };
        let given = &problem.gold.numbers;
        if given.is_empty() {
            return Err(missing("numbers"));
        }
        if given.len() > MAX_NUMBERS {
            return Err(invalid(format!("{} numbers are given, at most {MAX_NUMBERS} are allowed", given.len())));
        }
        let non_negative = |&number: &i64| {
            u64::try_from(number)
                .map_err(|_| invalid(format!("{number} is negative, and an answer can only write numbers from 0 on")))
        };
        let mut numbers = given.iter().map(non_negative).collect::<Result<Vec<u64>, GoldError>>()?;
        numbers.sort_unstable();
        Ok((numbers, problem.gold.target.ok_or_else(|| missing("target"))?))
    }

    fn judge_answer(&self, answer: &str, numbers: &[u64], target: i64) -> Verdict {
        match first_error(answer, numbers, target) {
            None => Verdict::scored(1.0, "correct", format!("equals {target}")),
            Some(Wrong { rule, reason }) => Verdict::scored(self.partial, rule, reason),
        }
        .with_extracted(excerpt(answer, EXTRACT_CHARS))
    }
}

impl RewardFn for Countdown {
    fn name(&self) -> &str {
        "countdown"
    }

    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        self.read_gold(problem).map(|_| ())
    }

    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let (numbers, target) = match self.read_gold(problem) {
            Ok(gold) => gold,
            Err(error) => return Verdict::not_applicable("gold", error.to_string()),
        };
        match last_answer(completion.text) {
            Ok(answer) => self.judge_answer(answer.trim(), &numbers, target),
            Err(reason) => Verdict::scored(0.0, "no_answer", reason),
        }
    }
}

/// An expression in the syntax of an answer.
pub(crate) struct Computed {
    /// Operations on two numbers; signs are none.
    pub(crate) n_operations: usize,
    /// In exact rationals; `None` where it divides by zero.
    pub(crate) value: Option<BigRational>,
}

/// Reads and computes `expression`, of a length that the caller bounds; `None` if it is none.
pub(crate) fn read(expression: &str) -> Option<Computed> {
    let steps = parse::parse(&lex::lex(expression).ok()?).ok()?;
    let n_operations = steps.iter().filter(|step| matches!(step, parse::Step::Apply(_))).count();
    Some(Computed { n_operations, value: evaluate::evaluate(&steps) })
}

/// What is wrong with an answer.
struct Wrong {
    rule: &'static str,
    reason: Cow<'static, str>,
}

impl Wrong {
    fn some(rule: &'static str, reason: impl Into<Cow<'static, str>>) -> Option<Self> {
        Some(Self { rule, reason: reason.into() })
    }
}

/// The first thing wrong with `answer`. `numbers` is sorted.
fn first_error(answer: &str, numbers: &[u64], target: i64) -> Option<Wrong> {
    if answer.len() > MAX_ANSWER_BYTES {
        return Wrong::some("too_long", format!("{} bytes long, at most {MAX_ANSWER_BYTES} are read", answer.len()));
    }
    let steps = match lex::lex(answer).and_then(|tokens| parse::parse(&tokens)) {
        Ok(steps) => steps,
        Err(reason) => return Wrong::some("unreadable", reason),
    };
    // Before the evaluation, so that only values made of the given numbers are ever computed.
    if let Some(reason) = numbers::misuse(&steps, numbers) {
        return Wrong::some("numbers", reason);
    }
    match evaluate::evaluate(&steps) {
        None => Wrong::some("division_by_zero", "divides by zero"),
        Some(value) if *value.denom() == BigInt::from(1) && *value.numer() == BigInt::from(target) => None,
        Some(value) => Wrong::some("value", format!("equals {}, not {target}", excerpt(&value.to_string(), 40))),
    }
}

#[cfg(test)]
mod tests;
