//! The rows that a reward model learns from: pairs, or labelled responses, as text and as tokens.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;

use super::text::Reader;
use crate::config::RewardObjective;
use crate::data::problem_file::{ProblemFileError, read_rows};

/// Why rows cannot be learned from.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The file.
    #[error(transparent)]
    File(#[from] ProblemFileError),
    /// A text.
    #[error(transparent)]
    Tokens(#[from] rollout::Error),
    /// Every row was left out.
    #[error(
        "{}: none of {n_rows} rows can be used: {n_long} are longer than {max_tokens} tokens, {n_empty} have no summary \
         (raise max_tokens, or set over = \"response\")",
        path.display()
    )]
    NothingLeft {
        /// The file.
        path: PathBuf,
        /// Rows of the file.
        n_rows: usize,
        /// Those that are too long.
        n_long: usize,
        /// Those without what is to be read.
        n_empty: usize,
        /// The limit.
        max_tokens: usize,
    },
}

/// One row as text.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    prompt: Asked,
    /// Chosen and rejected, or one response.
    responses: Vec<String>,
    /// Of one response whether it is good.
    label: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Asked {
    /// As the model reads it.
    Prompt(String),
    /// Before any template.
    Question(String),
}

/// A row as written; other keys are passed over.
#[derive(Deserialize)]
struct Written {
    prompt: Option<String>,
    question: Option<String>,
    chosen: Option<String>,
    rejected: Option<String>,
    completion: Option<String>,
    label: Option<bool>,
}

/// Reads every row of a file. Where a row has both, `question` is taken and not `prompt`: a question is what the model will be
/// asked with when it judges.
///
/// # Errors
/// If the file cannot be read, has no row, or a row lacks what the objective needs.
pub fn read(path: &Path, objective: RewardObjective) -> Result<Vec<Row>, ProblemFileError> {
    read_rows(path, |row: Written, _| accept(row, objective))
}

fn accept(row: Written, objective: RewardObjective) -> Result<Row, String> {
    let prompt = match (row.prompt, row.question) {
        (_, Some(question)) => Asked::Question(question),
        (Some(prompt), None) => Asked::Prompt(prompt),
        (None, None) => return Err("neither `prompt` nor `question` is there".to_owned()),
    };
    let need = |value: Option<String>, key: &str| {
        let kind = match objective {
            RewardObjective::Pairwise => "a pair has `chosen` and `rejected`",
            RewardObjective::Pointwise => "a labelled row has `completion` and `label`",
        };
        value.ok_or_else(|| format!("`{key}` is missing: {kind}"))
    };
    match objective {
        RewardObjective::Pairwise => {
            let (chosen, rejected) = (need(row.chosen, "chosen")?, need(row.rejected, "rejected")?);
            if chosen == rejected {
                return Err("`chosen` and `rejected` are the same text: neither is better".to_owned());
            }
            Ok(Row { prompt, responses: vec![chosen, rejected], label: true })
        }
        RewardObjective::Pointwise => {
            let completion = need(row.completion, "completion")?;
            let label = row.label.ok_or("`label` is missing: true (good) or false")?;
            Ok(Row { prompt, responses: vec![completion], label })
        }
    }
}

/// One row as tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Prompt and response, with the end token: of the chosen and of the rejected, or of one response.
    pub sequences: Vec<Vec<i64>>,
    /// Of one response whether it is good.
    pub label: bool,
}

impl Example {
    /// Tokens of all its sequences.
    pub fn n_tokens(&self) -> usize {
        self.sequences.iter().map(Vec::len).sum()
    }
}

/// The rows of a file as tokens.
#[derive(Debug)]
pub struct Examples {
    /// Those that can be used, in the order of the file.
    pub rows: Vec<Example>,
    /// How many are left out because a sequence is longer than the limit.
    pub n_long: usize,
    /// How many are left out because a response has no summary.
    pub n_empty: usize,
}

impl Examples {
    /// Reads a file and leaves out what is longer than `max_tokens`, or has nothing to be read.
    ///
    /// # Errors
    /// As [`read`]; or if nothing is left.
    pub fn open(
        path: &Path,
        objective: RewardObjective,
        reader: &Reader,
        max_tokens: usize,
    ) -> Result<Self, RowsError> {
        let written = read(path, objective)?;
        let made: Vec<Option<Example>> =
            written.par_iter().map(|row| tokens(row, reader)).collect::<rollout::Result<_>>()?;
        let n_empty = made.iter().filter(|row| row.is_none()).count();
        let fits = |row: &Example| row.sequences.iter().all(|sequence| sequence.len() <= max_tokens);
        let rows: Vec<Example> = made.into_iter().flatten().filter(fits).collect();
        let (n_rows, n_long) = (written.len(), written.len() - n_empty - rows.len());
        if rows.is_empty() {
            return Err(RowsError::NothingLeft { path: path.into(), n_rows, n_long, n_empty, max_tokens });
        }
        Ok(Self { rows, n_long, n_empty })
    }

    /// What is left out, in words; none if that is nothing.
    pub fn left_out(&self, max_tokens: usize) -> Option<String> {
        if self.n_long + self.n_empty == 0 {
            return None;
        }
        let (n_long, n_empty) = (self.n_long, self.n_empty);
        Some(format!("left out: {n_long} rows longer than {max_tokens} tokens, {n_empty} without a summary"))
    }
}

fn tokens(row: &Row, reader: &Reader) -> rollout::Result<Option<Example>> {
    let prompt = match &row.prompt {
        Asked::Prompt(prompt) => prompt.clone(),
        Asked::Question(question) => reader.prompt(question)?,
    };
    let sequences: Option<Vec<Vec<i64>>> = row
        .responses
        .iter()
        .map(|response| reader.sequence(&prompt, response, false))
        .collect::<rollout::Result<_>>()?;
    Ok(sequences.map(|sequences| Example { sequences, label: row.label }))
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
