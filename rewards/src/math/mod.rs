//! The accuracy reward: finds the answer of a completion and compares it with a mathematical gold answer.

mod boxes;
mod calls;
mod classes;
mod clean;
mod collect;
mod combine;
mod commands;
mod complex;
mod counting;
mod doubt;
mod elementary;
mod equal;
mod exact;
mod expr;
mod extract;
mod float;
mod gold;
mod interval;
mod lex;
mod number;
mod numerals;
mod options;
mod parse;
mod prose;
mod same;
mod scalar;
mod token;
mod value;
mod words;

use std::iter;

pub use options::{AccuracyOptions, OnUnreadableGold, Unevaluated};

use self::collect::read;
use self::equal::Rules;
use self::extract::Found;
use self::float::Budget;
use self::gold::{GoldAnswer, GoldKind};
use self::value::Value;
use crate::choice::hedge::offers_another;
use crate::excerpt::excerpt;
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

/// Machine words of arithmetic that one verdict may cost: a few milliseconds at the most.
const BUDGET_WORDS: u64 = 1_500_000;
/// Longest extract that a verdict keeps, in characters.
const EXTRACT_CHARS: usize = 256;
/// Longest piece of a gold that a message quotes, in characters.
const QUOTE_CHARS: usize = 60;

/// Mathematical answers: 1 if the completion's answer is the gold, 0 if it is not or there is none.
///
/// The gold is the problem's `gold` as data sets store it: bare LaTeX (MATH, NuminaMath), `$...$`, a box, a rationale that
/// ends in `#### 42` (GSM8K), a number (AIME), words, or an option. Its type decides how answers are compared.
///
/// # Where the answer is
///
/// An echoed prompt, what follows the end of the turn, and everything up to the last `</think>` are left out; reasoning that
/// is never closed has no answer. Then the first of these that is there counts, if [`AccuracyOptions`] allows it: the last
/// closed box, the last closed `<answer>`, `####`, "the answer is", the last value. The verdict's `rule` names it: `boxed`,
/// `answer_tag`, `hashes`, `cue`, `last_value`; or `no_answer`, `unclosed_think`, and `gold` where the reward does not apply.
/// Of a completion that was cut off, what reaches up to the cut without a closing box or tag is no answer.
///
/// # When it is right
///
/// - Numbers are equal as exact rationals, or to 154 digits where they are not rational; expressions are equal at several
///   fixed points. Letters that cancel (`x + 15 - x`) are no number. Arithmetic that is not carried out (`17 \times 23` for
///   391) is right unless [`AccuracyOptions::unevaluated`] says otherwise.
/// - A decimal means that very number: `3.1416`, `22/7` and `\pi` do not answer `3.14`. One exception: where one of the two is
///   a value that no decimal can write (`1/3`, `\sqrt2`), the other may be its correct rounding, not its truncation, written
///   with at least 6 significant digits and 6 decimal places, or with 9 digits. Amounts of money and percentages have no
///   exception. A gold that is marked as approximate (`\approx 3.14`) and has at least 3 digits is answered by every value
///   that rounds to it.
/// - `28`, `28\%` and `0.28` answer `28\%`; `0.28` does not answer `28`. A unit may be missing on either side, but not be
///   another one.
/// - Lists and sets are compared as sets, as Math-Verify does: in any order, and a value written twice counts once (`1, 2, 2`
///   answers `1, 2`). Tuples are compared in order, intervals by their ends and brackets. Equations may differ by a
///   factor, inequalities are solved where they are linear in one unknown, matrices agree entry by entry.
/// - Several values, "or", or several options for one gold are wrong, and so is everything that is not wholly understood.
///
/// Work is bounded: a few passes over the completion, answers of at most 4 KiB read as mathematics, nesting of at most 200,
/// and a budget on arithmetic. Model text is never evaluated by anything but this reader.
#[derive(Debug, Clone, Default)]
pub struct Accuracy {
    options: AccuracyOptions,
}

impl Accuracy {
    /// The reward with `options`.
    pub fn new(options: AccuracyOptions) -> Self {
        Self { options }
    }

    /// Whether `gold` is understood as mathematics, an option or words, so that answers are compared by meaning and not only
    /// as text.
    pub fn readable(gold: &str) -> bool {
        !gold.trim().is_empty() && GoldAnswer::read(gold, &Budget::new(BUDGET_WORDS)).kind != GoldKind::Unreadable
    }

    fn read_gold(&self, problem: &Problem) -> Result<GoldAnswer, GoldError> {
        let reward = || self.name().to_owned();
        let text =
            problem.gold.text.as_deref().ok_or_else(|| GoldError::Missing { reward: reward(), field: "gold" })?;
        let invalid = |reason| GoldError::Invalid { reward: reward(), field: "gold", reason };
        let gold = GoldAnswer::read(text, &Budget::new(BUDGET_WORDS));
        if gold.text.is_empty() {
            return Err(invalid("it is empty".to_owned()));
        }
        if gold.kind == GoldKind::Unreadable && self.options.on_unreadable_gold == OnUnreadableGold::Error {
            let quoted = excerpt(&gold.text, QUOTE_CHARS);
            return Err(invalid(format!(
                "{quoted:?} is not understood: correct it, or set on_unreadable_gold to \"text\" or \"skip\""
            )));
        }
        Ok(gold)
    }

    fn judge_with(&self, gold: &GoldAnswer, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        if gold.kind == GoldKind::Unreadable && self.options.on_unreadable_gold == OnUnreadableGold::Skip {
            return Verdict::not_applicable("gold", "the gold answer is not understood");
        }
        let words = !matches!(gold.kind, GoldKind::Value(_));
        let found = extract::region(&problem.question, completion).and_then(|region| {
            let found = extract::answer(region, words, &self.options)?;
            // What ends where the token limit cut the completion off may be half a number.
            let closed = matches!(found.rule, "boxed" | "answer_tag");
            if completion.truncated && !closed && region.trim_end().ends_with(found.text.trim()) {
                return Err(("no_answer", "the completion was cut off in its answer"));
            }
            Ok(found)
        });
        match found {
            Ok(found) => self.compare(gold, &found),
            Err((rule, reason)) => Verdict::scored(0.0, rule, reason),
        }
    }

    fn compare(&self, gold: &GoldAnswer, found: &Found<'_>) -> Verdict {
        let text = found.text.trim();
        let outcome = match &gold.kind {
            _ if text.len() > lex::MAX_BYTES => {
                let reason = format!("{} bytes long, at most {} are read", text.len(), lex::MAX_BYTES);
                if text == gold.text { Ok(format!("written as the gold; {reason}")) } else { Err(reason) }
            }
            GoldKind::Choice(letter, content) => self.compare_option(*letter, content.as_ref(), gold, found),
            GoldKind::Value(value) => self.compare_value(value, gold, found),
            GoldKind::Text => {
                let gold = clean::same_words(&gold.text);
                let same = readings(found).any(|text| clean::same_words(text) == gold);
                if same { Ok("the same words".to_owned()) } else { Err("other words than the gold".to_owned()) }
            }
            GoldKind::Unreadable => {
                let same = clean::squeezed(&found.text) == clean::squeezed(&gold.text);
                let reason = "the gold is compared as text only";
                if same { Ok(format!("the same text; {reason}")) } else { Err(format!("another text; {reason}")) }
            }
        };
        let verdict = match outcome {
            Ok(reason) => Verdict::scored(1.0, found.rule, reason),
            Err(reason) => Verdict::scored(0.0, found.rule, reason),
        };
        verdict.with_extracted(excerpt(text, EXTRACT_CHARS))
    }

    /// `Ok` with the reason where the answer is right, `Err` where it is wrong.
    fn compare_option(
        &self,
        letter: char,
        content: Option<&Value>,
        gold: &GoldAnswer,
        found: &Found<'_>,
    ) -> Result<String, String> {
        for text in readings(found) {
            match gold::option(text) {
                Some((answer, rest)) if answer.eq_ignore_ascii_case(&letter) => {
                    let budget = Budget::new(BUDGET_WORDS);
                    let other = match (content, read(rest, &budget)) {
                        (Some(gold @ Value::Scalar(number)), Ok(answer @ Value::Scalar(_))) => {
                            !number.expr.has_symbols() && !equal::equal(gold, &answer, self.rules(&budget))
                        }
                        _ => false,
                    };
                    if other {
                        return Err(format!("option {letter}, with another content"));
                    }
                    return if offers_another(letter, 'H', rest) || offers_another(letter, 'H', found.behind) {
                        Err(format!("option {letter} and another one"))
                    } else {
                        Ok(format!("option {letter}"))
                    };
                }
                Some((answer, _)) => return Err(format!("option {answer}, not {letter}")),
                None => {}
            }
        }
        if found.rule != "boxed"
            && let Some(answer) = gold::stated_option(&found.text)
        {
            let reason = format!("a sentence that states option {answer}");
            return if answer == letter { Ok(reason) } else { Err(reason) };
        }
        match content {
            Some(value) => self.compare_value(value, gold, found),
            None => Err(format!("not one option, where the gold is option {letter}")),
        }
    }

    fn rules<'a>(&self, budget: &'a Budget) -> Rules<'a> {
        Rules {
            inequality_for_interval: self.options.inequality_answers_interval,
            unevaluated: self.options.unevaluated,
            budget,
        }
    }

    fn compare_value(&self, value: &Value, gold: &GoldAnswer, found: &Found<'_>) -> Result<String, String> {
        let budget = Budget::new(BUDGET_WORDS);
        let rules = self.rules(&budget);
        if clean::undelimited(&found.text) == clean::undelimited(&gold.text) {
            return Ok(format!("written as the gold, {}", value.kind()));
        }
        if let Value::Based(numeral, _) = value
            && numerals::is_numeral(numeral, &found.text)
        {
            return Ok("the digits of the gold, without its base".to_owned());
        }
        let Some(answer) = readings(found).find_map(|text| read(text, &budget).ok()) else {
            return Err(format!("not understood as mathematics, where the gold is {}", value.kind()));
        };
        if equal::equal(value, &answer, rules) {
            return Ok(format!("equal to the gold, {}", value.kind()));
        }
        // `3,14` for 3.14: a list by its look, a number where the gold is a decimal.
        if let (Value::Scalar(scalar), Some(decimal)) = (value, clean::decimal_comma(&found.text))
            && scalar.decimal.is_some()
            && read(&decimal, &budget).is_ok_and(|answer| equal::equal(value, &answer, rules))
        {
            return Ok(format!("equal to the gold, {}, with a decimal comma", value.kind()));
        }
        if let Some(answer) = boxed_one_by_one(value, found, &budget)
            && equal::equal(value, &answer, rules)
        {
            return Ok(format!("equal to the gold, {}, boxed value by value", value.kind()));
        }
        Err(format!("{}, not equal to the gold, {}", answer.kind(), value.kind()))
    }
}

/// What the answer found may say, from the whole of it to its main clause to the only value in it. The first that can be read
/// counts. A box holds no sentence: there the whole counts, or what it says behind "the answer is".
fn readings<'a>(found: &'a Found<'_>) -> impl Iterator<Item = &'a str> {
    let text = found.text.trim();
    let sentence = found.rule != "boxed";
    // Each is looked for only when those before it could not be read.
    let cue = move || if text.len() > 8 { prose::after_cue(text) } else { None };
    let from_cue = iter::once_with(cue).flatten().flat_map(|cue| [cue, prose::main_clause(cue)]);
    let shorter: [fn(&str) -> &str; 2] = [prose::main_clause, prose::without_lead];
    let shorter = shorter.into_iter().filter(move |_| sentence).map(move |shorten| shorten(text));
    let verb = iter::once_with(move || if sentence { prose::after_verb(text) } else { None }).flatten();
    let only =
        iter::once_with(move || if sentence { prose::only_value(cue().unwrap_or(text)) } else { None }).flatten();
    iter::once(text).chain(from_cue).chain(shorter).chain(verb).chain(only)
}

/// The values of all boxes as a list, where there are as many boxes as the gold has values.
fn boxed_one_by_one(gold: &Value, found: &Found<'_>, budget: &Budget) -> Option<Value> {
    let (Value::List(items) | Value::Set(items)) = gold else { return None };
    if items.len() < 2 || items.len() != found.boxes.len() {
        return None;
    }
    let values: Option<Vec<Value>> = found.boxes.iter().map(|text| read(text, budget).ok()).collect();
    values.map(Value::List)
}

impl RewardFn for Accuracy {
    fn name(&self) -> &str {
        "accuracy"
    }

    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        self.read_gold(problem).map(|_| ())
    }

    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        match self.read_gold(problem) {
            Ok(gold) => self.judge_with(&gold, problem, completion),
            Err(error) => Verdict::not_applicable("gold", error.to_string()),
        }
    }

    fn judge_group(&self, problem: &Problem, completions: &[CompletionView<'_>]) -> Vec<Verdict> {
        match self.read_gold(problem) {
            Ok(gold) => completions.iter().map(|completion| self.judge_with(&gold, problem, completion)).collect(),
            Err(error) => vec![Verdict::not_applicable("gold", error.to_string()); completions.len()],
        }
    }
}
