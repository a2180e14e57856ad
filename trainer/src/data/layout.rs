//! The layouts that problems come in: this project's, and those of GSM8K, MATH, AIME and TinyZero's Countdown.

use rewards::{Gold, Problem, boxed_answer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::countdown::problems::CountdownProblem;
use super::json_rows::on_its_line;
use super::language::Language;

/// Which keys a row has its question and its gold under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// This project's: `question`, and what rewards judge against: `gold`, or `numbers` and `target`, or keys of their own.
    Own,
    /// GSM8K (Cobbe et al. 2021): `question`, and `answer` with the rationale and `#### 42` behind it. The gold is what stands
    /// behind the last `####`, without commas; the rationale is kept as `solution`.
    Gsm8k,
    /// MATH and MATH-500 (Hendrycks et al. 2021): `problem`, and `answer`, or `solution` with the answer in its last box; `level`,
    /// as a number or as `Level 5`; `subject` or `type`; `unique_id`.
    Math,
    /// AIME: `problem` or `question`, and `answer`, a whole number; also with capitals (`Problem`, `Answer`, `ID`).
    Aime,
    /// Countdown-Tasks-3to4 (TinyZero): `nums` and `target`. The question is TinyZero's.
    Countdown,
}

/// The layouts as messages list them.
const KNOWN: &str = "a row has `question` and `gold` (or what its rewards need), or `question` and `answer` with `####` (GSM8K), \
                     or `problem` and `answer` or `solution` (MATH, AIME), or `nums` and `target` (Countdown)";

/// The problem that a row says, by its `layout`, or if none is named by its keys.
///
/// # Errors
/// What is wrong with it: malformed, or a key that its layout needs is missing or of another type.
pub(super) fn problem(text: &[u8], layout: Option<Layout>) -> Result<Problem, String> {
    let row = Row(serde_json::from_slice(text).map_err(|error| on_its_line(&error))?);
    match layout.unwrap_or_else(|| row.layout()) {
        // From the text, so that a message names the column.
        Layout::Own => serde_json::from_slice(text).map_err(|error| match row.0.contains_key("question") {
            true => on_its_line(&error),
            false => format!("{}: {KNOWN}", on_its_line(&error)),
        }),
        Layout::Gsm8k => row.gsm8k(),
        Layout::Math => row.math(),
        Layout::Aime => row.aime(),
        Layout::Countdown => row.countdown(),
    }
}

/// A row whose keys are taken out as they are understood; the rest is kept.
struct Row(Map<String, Value>);

impl Row {
    /// The layout that its keys belong to.
    fn layout(&self) -> Layout {
        let has = |key: &str| self.0.get(key).is_some_and(|value| !value.is_null());
        let is_own = has("gold") || has("numbers") || has("target") && !has("nums");
        match self.0.get("answer") {
            _ if has("nums") => Layout::Countdown,
            _ if has("Problem") => Layout::Aime,
            _ if has("problem") && !has("question") => Layout::Math,
            Some(Value::String(answer)) if has("question") && !is_own && answer.contains("####") => Layout::Gsm8k,
            Some(answer) if has("question") && !is_own && is_aime_answer(answer) => Layout::Aime,
            _ => Layout::Own,
        }
    }

    fn gsm8k(mut self) -> Result<Problem, String> {
        let question = self.text(&["question"])?;
        let solution = self.text(&["answer"])?;
        let Some((_, answer)) = solution.rsplit_once("####") else {
            return Err("`answer` has no `####`, behind which GSM8K writes the final answer".to_owned());
        };
        let answer = answer.trim().replace(',', "");
        if answer.is_empty() {
            return Err("`answer` has nothing behind its `####`".to_owned());
        }
        self.0.insert("solution".to_owned(), Value::from(solution));
        self.finish(question, Gold::text(answer))
    }

    fn math(mut self) -> Result<Problem, String> {
        let question = self.text(&["problem"])?;
        let answer = match self.optional(&["answer"])? {
            Some(answer) => answer,
            None => {
                let solution = self.0.get("solution").and_then(Value::as_str);
                let solution =
                    solution.ok_or("a row with `problem` needs `answer`, or `solution` with a boxed answer")?;
                boxed_answer(solution).ok_or(r"`solution` has no \boxed answer, and there is no `answer`")?.to_owned()
            }
        };
        if let Some(level) = self.optional(&["level"])? {
            let level = level.strip_prefix("Level ").unwrap_or(&level).trim();
            self.0.insert("level".to_owned(), Value::from(level));
        }
        if let Some(subject) = self.optional(&["subject", "type"])? {
            self.0.insert("subject".to_owned(), Value::from(subject));
        }
        self.finish(question, Gold::text(answer))
    }

    fn aime(mut self) -> Result<Problem, String> {
        let question = self.text(&["problem", "Problem", "question"])?;
        let answer = self.0.get("answer").or_else(|| self.0.get("Answer"));
        if let Some(answer) = answer.filter(|answer| !is_aime_answer(answer)) {
            return Err(format!("`answer` is {answer}: AIME's answers are whole numbers from 0 to 999"));
        }
        let answer = self.text(&["answer", "Answer"])?;
        self.finish(question, Gold::text(answer.trim()))
    }

    fn countdown(mut self) -> Result<Problem, String> {
        let numbers = self.0.shift_remove("nums").ok_or("a Countdown row needs `nums`, the numbers to be combined")?;
        let numbers: Vec<i64> =
            serde_json::from_value(numbers).map_err(|_| "`nums` is no list of whole numbers".to_owned()).and_then(
                |numbers: Vec<i64>| if numbers.is_empty() { Err("`nums` is empty".to_owned()) } else { Ok(numbers) },
            )?;
        let target =
            self.0.shift_remove("target").ok_or("a row with `nums` needs `target`, the value to be reached")?;
        let target = target.as_i64().ok_or_else(|| format!("`target` is {target}, no whole number"))?;
        let countdown = CountdownProblem { numbers, target };
        let question = countdown.question(Language::En);
        self.finish(question, Gold::countdown(countdown.numbers, target))
    }

    /// The text under the first of `keys` that is there.
    fn text(&mut self, keys: &[&str]) -> Result<String, String> {
        let missing = || format!("missing key `{}`: {KNOWN}", keys.join("` or `"));
        self.optional(keys)?.ok_or_else(missing)
    }

    /// The same; none if none is there. A number is read as its digits.
    fn optional(&mut self, keys: &[&str]) -> Result<Option<String>, String> {
        for key in keys {
            match self.0.shift_remove(*key) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => return Ok(Some(text)),
                Some(Value::Number(number)) => return Ok(Some(number.to_string())),
                Some(other) => return Err(format!("`{key}` is {other}: it must be a text or a number")),
            }
        }
        Ok(None)
    }

    fn finish(mut self, question: String, gold: Gold) -> Result<Problem, String> {
        let id = self.optional(&["id", "ID", "unique_id"])?.unwrap_or_default();
        Ok(Problem { id, question, gold: Gold { fields: self.0, ..gold } })
    }
}

/// A whole number from 0 to 999, as a number or as digits (`033`).
fn is_aime_answer(answer: &Value) -> bool {
    match answer {
        Value::Number(number) => number.as_u64().is_some_and(|number| number <= 999),
        Value::String(text) => (1..=3).contains(&text.trim().len()) && text.trim().bytes().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
