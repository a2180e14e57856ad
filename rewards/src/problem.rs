//! A question with what is known about its right answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::GoldError;

/// A question `q` with its gold answer: one row of a data set.
///
/// As JSON, the gold's fields lie beside `id` and `question`:
/// `{"id": "17", "question": "Using the numbers ...", "numbers": [3, 5, 8], "target": 16}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Names the problem in logs; unique within its data set. Empty where the row has none: the loader then names it.
    #[serde(default)]
    pub id: String,
    /// The question as the user asks it, before any template.
    pub question: String,
    /// What the rewards judge against.
    #[serde(flatten)]
    pub gold: Gold,
}

/// What is known about the right answer. Each reward takes the fields it needs and refuses a problem that lacks them
/// ([`crate::RewardFn::check_gold`]), so one data set can carry several kinds of problem.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gold {
    /// The numbers to be combined (Countdown). Empty: none given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<i64>,
    /// The value to be reached (Countdown).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<i64>,
    /// The right answer as text, as data sets store it; the JSON key is `gold`.
    ///
    /// A number in the row is read as its digits.
    #[serde(default, rename = "gold", deserialize_with = "text_or_number", skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Every other field of the row: program tests, a language, choices.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

fn text_or_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        other => Err(serde::de::Error::custom(format!(
            "`gold` is {other}: it must be a text or a number (several answers as one text, such as \"1, 2\")"
        ))),
    }
}

impl Gold {
    /// The gold of a Countdown problem: combine `numbers`, each exactly once, to `target`.
    pub fn countdown(numbers: Vec<i64>, target: i64) -> Self {
        Self { numbers, target: Some(target), ..Self::default() }
    }

    /// A gold answer given as text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }
}

impl Problem {
    /// The names of the rewards that judge this problem, from the field `rewards` of its row; `None` means all of them.
    ///
    /// # Errors
    ///
    /// [`GoldError::Selection`] if the field is not a list of names.
    pub fn selected_rewards(&self) -> Result<Option<Vec<&str>>, GoldError> {
        let Some(value) = self.gold.fields.get("rewards").filter(|value| !value.is_null()) else { return Ok(None) };
        let names = value.as_array().and_then(|names| names.iter().map(Value::as_str).collect());
        let reason = || format!("is {value}: it must be a list of names of rewards");
        names.map(Some).ok_or_else(|| GoldError::Selection { reason: reason() })
    }

    /// Whether the reward `name` judges this problem.
    pub fn selects(&self, name: &str) -> bool {
        self.selected_rewards().ok().flatten().is_none_or(|names| names.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(id: &str, gold: Gold) -> Problem {
        Problem { id: id.to_owned(), question: "q".to_owned(), gold }
    }

    /// `row` reads as `expected`, and what is written for `expected` reads as `expected` again.
    fn check(row: &str, expected: &Problem) {
        let read: Problem = serde_json::from_str(row).unwrap();
        assert_eq!(&read, expected, "{row}");
        let written = serde_json::to_string(expected).unwrap();
        assert_eq!(&serde_json::from_str::<Problem>(&written).unwrap(), expected, "{written}");
    }

    #[test]
    fn rows_read_and_write() {
        check(
            r#"{"id": "a", "question": "q", "numbers": [1, 2], "target": -3}"#,
            &problem("a", Gold::countdown(vec![1, 2], -3)),
        );
        check(r#"{"question": "q", "gold": "\\frac12"}"#, &problem("", Gold::text(r"\frac12")));
        check(r#"{"question": "q"}"#, &problem("", Gold::default()));
        check(r#"{"question": "q", "gold": 18}"#, &problem("", Gold::text("18")));
        check(r#"{"question": "q", "gold": 0.5}"#, &problem("", Gold::text("0.5")));
        check(r#"{"question": "q", "gold": null}"#, &problem("", Gold::default()));
        let mut gold = Gold::text("4");
        gold.fields.insert("tests".to_owned(), serde_json::json!([{"stdin": "1", "stdout": "2"}]));
        gold.fields.insert("language".to_owned(), Value::from("de"));
        check(
            r#"{"tests": [{"stdin": "1", "stdout": "2"}], "question": "q", "gold": "4", "language": "de"}"#,
            &problem("", gold),
        );
        check(
            r#"{"question": "q", "target": 9223372036854775807}"#,
            &problem("", Gold { target: Some(i64::MAX), ..Gold::default() }),
        );
    }

    #[test]
    fn absent_fields_are_not_written() {
        let written = serde_json::to_string(&problem("a", Gold::countdown(vec![1], 1))).unwrap();
        assert_eq!(written, r#"{"id":"a","question":"q","numbers":[1],"target":1}"#);
    }

    #[test]
    fn wrong_types_are_refused() {
        for row in [
            r#"{"id": "a"}"#,
            r#"{"question": "q", "gold": ["1", "2"]}"#,
            r#"{"question": "q", "numbers": [1.5]}"#,
            r#"{"question": "q", "numbers": "1, 2"}"#,
            r#"{"question": "q", "target": "3"}"#,
            r#"{"question": "q", "target": 9223372036854775808}"#,
            r#"{"question": 3}"#,
        ] {
            assert!(serde_json::from_str::<Problem>(row).is_err(), "{row}");
        }
    }
}
