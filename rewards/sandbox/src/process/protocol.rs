//! The lines between the trainer and a user's command: one question a line, one answer a line, both JSON.

use std::borrow::Cow;

use rewards::{CompletionView, Problem};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::text::excerpt;

/// Longest reason that is kept, in characters.
const REASON_CHARS: usize = 300;

/// One question, with its line feed.
///
/// The fields of the data row (`question`, `gold`, `numbers`, `target` and whatever else it has), the row's `id` as
/// `problem`, and over them `id`, `completion`, `n_tokens`, `truncated`, and `prompt` where it is known.
pub(crate) fn question(id: u64, problem: &Problem, completion: &CompletionView<'_>) -> String {
    let mut line = match serde_json::to_value(problem) {
        Ok(Value::Object(fields)) => fields,
        // A problem is read from a JSON object and is one.
        _ => serde_json::Map::new(),
    };
    line.insert("problem".to_owned(), json!(problem.id));
    line.insert("id".to_owned(), json!(id));
    line.insert("completion".to_owned(), json!(completion.text));
    line.insert("n_tokens".to_owned(), json!(completion.n_tokens));
    line.insert("truncated".to_owned(), json!(completion.truncated));
    if let Some(prompt) = completion.prompt {
        line.insert("prompt".to_owned(), json!(prompt));
    }
    let mut text = Value::Object(line).to_string();
    text.push('\n');
    text
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// The score, finite; `None` for "not applicable".
    pub score: Option<f32>,
    pub reason: Cow<'static, str>,
}

/// An answer as it stands on the line. Further fields are allowed and not read.
#[derive(Deserialize)]
struct Line {
    id: u64,
    /// `Some(None)` for an explicit null; a line without a score is a mistake, not "not applicable".
    #[serde(default, deserialize_with = "present")]
    score: Option<Value>,
    #[serde(default)]
    reason: Option<String>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads one line: whose answer it is, and the answer or what is wrong with it. `Err` if it is nobody's.
pub(crate) fn answer(line: &[u8]) -> Result<(u64, Result<Answer, String>), String> {
    let quoted = || excerpt(&String::from_utf8_lossy(line), 80);
    let line: Line = serde_json::from_slice(line).map_err(|error| {
        let hint = if quoted().contains("NaN") || quoted().contains("Infinity") {
            " (JSON has no NaN, no Infinity)"
        } else {
            ""
        };
        format!("it printed a line that is no answer: {}: {error}{hint}", quoted())
    })?;
    let reason = line.reason.map_or(Cow::Borrowed("as the command says"), |text| excerpt(&text, REASON_CHARS).into());
    let score = match &line.score {
        None => Err("its answer has no score; `null` says not applicable".to_owned()),
        Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => match number.as_f64().map(|number| number as f32) {
            Some(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(format!("its score {number} is no finite 32-bit number")),
        },
        Some(other) => Err(format!("its score is {}, and should be a number or null", excerpt(&other.to_string(), 40))),
    };
    Ok((line.id, score.map(|score| Answer { score, reason })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_carry_the_row_and_what_the_trainer_knows() {
        let row = r#"{"id": "p1", "question": "q", "gold": "4", "level": 5, "completion": "of the row"}"#;
        let problem: Problem = serde_json::from_str(row).unwrap();
        let view = CompletionView::new("a\nb", 7, true).with_prompt("P");
        let line = question(3, &problem, &view);
        assert!(line.ends_with('\n') && line.trim_end().lines().count() == 1);
        let expected = json!({"problem": "p1", "question": "q", "gold": "4", "level": 5, "id": 3, "completion": "a\nb",
            "n_tokens": 7, "truncated": true, "prompt": "P"});
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
    }

    #[test]
    fn answers_are_read_strictly() {
        let check = |line: &str, expected: Result<Option<f32>, &str>| {
            let found = answer(line.as_bytes()).map(|(id, answer)| (id, answer.map(|answer| answer.score)));
            match (found, expected) {
                (Ok((7, Ok(score))), Ok(wanted)) => assert_eq!(score, wanted, "{line}"),
                (Ok((7, Err(why))) | Err(why), Err(words)) => assert!(why.contains(words), "{line}: {why}"),
                other => panic!("{line}: {other:?}"),
            }
        };
        check(r#"{"id": 7, "score": 0.5}"#, Ok(Some(0.5)));
        check(r#"{"id": 7, "score": -3, "reason": "x", "more": []}"#, Ok(Some(-3.0)));
        check(r#"{"id": 7, "score": null}"#, Ok(None));
        check(r#"{"id": 7}"#, Err("no score"));
        check(r#"{"id": 7, "score": "1"}"#, Err("should be a number"));
        check(r#"{"id": 7, "score": true}"#, Err("should be a number"));
        check(r#"{"id": 7, "score": 1e300}"#, Err("no finite"));
        check(r#"{"id": 7, "score": NaN}"#, Err("JSON has no NaN"));
        check(r#"{"score": 1}"#, Err("no answer"));
        check(r#"{"id": "7", "score": 1}"#, Err("no answer"));
        check("hello", Err("no answer: hello"));
        check("\u{fffd}", Err("no answer"));
    }
}
