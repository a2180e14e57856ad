//! The lines between the trainer and a user's command: one question a line, one answer a line, both JSON.

use std::borrow::Cow;

use rewards::{CompletionView, Problem, StepScore, Verdict, mean_of_steps};
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

/// One answer, which has not been held against the completion yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// The score, finite; `None` for "not applicable".
    score: Option<f32>,
    reason: Cow<'static, str>,
    /// Steps, each with its score; ends are counted in characters.
    steps: Vec<StepScore>,
}

impl Answer {
    /// The verdict on `text`, the completion that was asked about; an error says what is wrong with the steps.
    pub fn verdict(self, text: &str) -> Result<Verdict, String> {
        let steps = in_bytes(self.steps, text)?;
        Ok(match self.score {
            Some(score) => Verdict::scored(score, "process", self.reason).with_steps(steps),
            None => Verdict::not_applicable("process", self.reason),
        })
    }
}

/// `steps` with their ends in bytes of `text` instead of characters, in one pass over it.
fn in_bytes(mut steps: Vec<StepScore>, text: &str) -> Result<Vec<StepScore>, String> {
    let ends = text.char_indices().map(|(start, c)| start + c.len_utf8());
    let (mut ends, mut n_characters) = (ends, 0);
    for (idx, step) in steps.iter_mut().enumerate() {
        let nth = idx + 1;
        if step.end <= n_characters {
            let end = step.end;
            return Err(format!("its step {nth} ends at character {end}, and the one before it at {n_characters}"));
        }
        let skip = step.end - n_characters - 1;
        n_characters = step.end;
        step.end = ends
            .nth(skip)
            .ok_or_else(|| format!("its step {nth} ends at character {n_characters} of {}", text.chars().count()))?;
    }
    Ok(steps)
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
    #[serde(default)]
    steps: Option<Value>,
}

/// A step as it stands on the line: its end in characters of the completion.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineStep {
    end: usize,
    score: f64,
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
    let reason = line.reason.as_ref();
    let reason = reason.map_or(Cow::Borrowed("as the command says"), |text| excerpt(text, REASON_CHARS).into());
    let id = line.id;
    Ok((id, score_and_steps(&line).map(|(score, steps)| Answer { score, reason, steps })))
}

fn score_and_steps(line: &Line) -> Result<(Option<f32>, Vec<StepScore>), String> {
    let steps = line.steps.as_ref().map_or_else(|| Ok(Vec::new()), steps)?;
    let score = match &line.score {
        None if !steps.is_empty() => Ok(mean_of_steps(&steps)),
        None => Err("its answer has no score; `null` says not applicable".to_owned()),
        Some(Value::Null) if !steps.is_empty() => Err("it has steps, and a score of null: not applicable".to_owned()),
        Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => match number.as_f64().map(|number| number as f32) {
            Some(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(format!("its score {number} is no finite 32-bit number")),
        },
        Some(other) => Err(format!("its score is {}, and should be a number or null", excerpt(&other.to_string(), 40))),
    };
    Ok((score?, steps))
}

/// Steps as a command writes them, `[{"end": 17, "score": 0.5}, ..]`; `null` is none.
fn steps(written: &Value) -> Result<Vec<StepScore>, String> {
    let steps: Option<Vec<LineStep>> = Deserialize::deserialize(written).map_err(|error| {
        let written = excerpt(&written.to_string(), 40);
        format!("its steps are {written}, and should be [{{\"end\": 17, \"score\": 0.5}}, ..]: {error}")
    })?;
    let step = |(idx, LineStep { end, score }): (usize, LineStep)| match score as f32 {
        finite if finite.is_finite() => Ok(StepScore { end, score: finite }),
        _ => Err(format!("the score {score} of its step {} is no finite 32-bit number", idx + 1)),
    };
    steps.unwrap_or_default().into_iter().enumerate().map(step).collect()
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
    fn steps_end_at_characters() {
        type Expected<'a> = Result<(Option<f32>, &'a [(usize, f32)]), &'a str>;
        let check = |line: &str, expected: Expected| {
            let answer = answer(line.as_bytes()).unwrap().1;
            match (answer.and_then(|answer| answer.verdict("a\u{e4}\u{1f600}b")), expected) {
                (Ok(verdict), Ok((score, steps))) => {
                    let found: Vec<(usize, f32)> = verdict.steps.iter().map(|step| (step.end, step.score)).collect();
                    assert_eq!((verdict.score, found.as_slice()), (score, steps), "{line}");
                }
                (Err(why), Err(words)) => assert!(why.contains(words), "{line}: {why}"),
                other => panic!("{line}: {other:?}"),
            }
        };
        let steps = |steps: &str| format!("{{\"id\": 7, \"steps\": {steps}}}");
        check(&steps(r#"[{"end": 1, "score": 0}]"#), Ok((Some(0.0), &[(1, 0.0)])));
        check(
            &steps(r#"[{"end": 2, "score": 1}, {"end": 3, "score": -0.5}, {"end": 4, "score": 1}]"#),
            Ok((Some(0.5), &[(3, 1.0), (7, -0.5), (8, 1.0)])),
        );
        check(r#"{"id": 7, "score": 3, "steps": [{"end": 4, "score": 1}]}"#, Ok((Some(3.0), &[(8, 1.0)])));
        check(r#"{"id": 7, "score": 3, "steps": []}"#, Ok((Some(3.0), &[])));
        check(r#"{"id": 7, "score": null, "steps": null}"#, Ok((None, &[])));
        check(&steps("[]"), Err("no score"));
        check(r#"{"id": 7, "score": null, "steps": [{"end": 4, "score": 1}]}"#, Err("a score of null"));
        check(&steps(r#"[{"end": 5, "score": 1}]"#), Err("step 1 ends at character 5 of 4"));
        check(&steps(r#"[{"end": 0, "score": 1}]"#), Err("step 1 ends at character 0"));
        check(
            &steps(r#"[{"end": 2, "score": 1}, {"end": 2, "score": 1}]"#),
            Err("step 2 ends at character 2, and the one"),
        );
        check(&steps(r#"[{"end": 18446744073709551615, "score": 1}]"#), Err("of 4"));
        check(&steps(r#"[{"end": -1, "score": 1}]"#), Err("its steps are"));
        check(&steps(r#"[{"end": 1.5, "score": 1}]"#), Err("its steps are"));
        check(&steps(r#"[{"end": 1}]"#), Err("missing field `score`"));
        check(&steps(r#"[{"end": 1, "score": "1"}]"#), Err("its steps are"));
        check(&steps(r#"[{"end": 1, "score": 1, "text": "a"}]"#), Err("unknown field"));
        check(&steps(r#"[{"end": 1, "score": 1e300}]"#), Err("no finite"));
        check(&steps(r#"{"end": 1, "score": 1}"#), Err("its steps are"));
        check(&steps("7"), Err("its steps are 7"));
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
