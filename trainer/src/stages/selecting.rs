//! What `sample` and `curate` share: the screen of a run file, and the reading and writing of rows.

use std::path::Path;

use rollout::Tokenizer;
use serde_json::Value;

use super::StageError;
use crate::config::{Artifact, Decontamination, LayoutSettings};
use crate::data::problem_file::{ProblemFileError, read_rows};
use crate::run::atomic;
use crate::selection::{Contamination, EvaluationRow, Filters, Row, Screen};

/// The filters of a stage with what they compare samples to.
///
/// # Errors
/// If a file of evaluations cannot be read.
pub(crate) fn screen(
    filters: &Filters,
    layout: &LayoutSettings,
    decontamination: Option<&Decontamination>,
) -> Result<Screen, StageError> {
    let contamination = decontamination.map(contamination).transpose()?;
    // The language was looked at when the run file was read.
    let screen = Screen::new(filters.clone(), layout.sampled(), layout.written(), contamination);
    Ok(screen.expect("settings are checked when the run file is read"))
}

fn contamination(settings: &Decontamination) -> Result<Contamination, StageError> {
    let files = settings.files.iter().map(|file| evaluation(file.path()));
    Ok(Contamination::new(settings.options(), &files.collect::<Result<Vec<_>, _>>()?))
}

/// The rows of an evaluation, in the usual layouts.
///
/// # Errors
/// If the file cannot be read, or a row has no question.
pub(crate) fn evaluation(path: &Path) -> Result<Vec<EvaluationRow>, ProblemFileError> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    read_rows(path, |row: Row, line| {
        let text = |keys: &[&str]| keys.iter().find_map(|key| row.get(*key)?.as_str()).map(str::to_owned);
        let question = text(&["question", "problem", "prompt"]);
        let question = question.ok_or("expected a text `question`, `problem` or `prompt`")?;
        let solution = text(&["solution", "answer", "gold"]).unwrap_or_default();
        Ok(EvaluationRow { place: format!("{file}:{line}"), question, solution })
    })
}

/// What earlier stages and other programs have made, row by row.
///
/// # Errors
/// If the file cannot be read, or a line is no JSON object.
pub(super) fn rows(data: &Artifact) -> Result<Vec<Row>, ProblemFileError> {
    read_rows(data.path(), |row: Row, _| Ok(row))
}

/// A sample or a pair as a row, with its numbers as they are written.
pub(super) fn as_row(made: &impl serde::Serialize) -> Row {
    // By way of the text: a f32 that became a f64 would be written with digits that it does not have.
    let text = serde_json::to_string(made).expect("text, numbers and maps with text for keys");
    serde_json::from_str(&text).expect("what was just written")
}

/// Writes rows as JSON Lines, all or none.
///
/// # Errors
/// The path and the system's error.
pub(super) fn write_lines<'a, T: serde::Serialize + 'a>(
    path: &Path,
    rows: impl IntoIterator<Item = &'a T>,
) -> Result<(), StageError> {
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, row).expect("rows have text keys");
        text.push(b'\n');
    }
    Ok(atomic::write_file(path, &text)?)
}

/// Tokens of a text with an end token behind it.
///
/// # Errors
/// If it cannot be tokenized.
pub(super) fn n_tokens(text: &str, tokenizer: &Tokenizer) -> Result<u64, StageError> {
    Ok(tokenizer.encode_within(text)?.len() as u64 + 1)
}

/// Tokens of what a row of any layout has the assistant say: `n_tokens` where it is given, else counted.
///
/// # Errors
/// If it cannot be tokenized.
pub(super) fn n_tokens_of_row(row: &Row, tokenizer: &Tokenizer) -> Result<u64, StageError> {
    if let Some(n) = row.get("n_tokens").and_then(Value::as_u64).filter(|n| *n > 0) {
        return Ok(n);
    }
    let Some(messages) = row.get("messages").and_then(Value::as_array) else {
        let text = ["completion", "text"].iter().find_map(|key| row.get(*key)?.as_str());
        return n_tokens(text.unwrap_or_default(), tokenizer);
    };
    let answers = messages.iter().filter(|message| message["role"] == "assistant");
    answers.map(|message| n_tokens(message["content"].as_str().unwrap_or_default(), tokenizer)).sum()
}
