//! Problems in a JSON Lines file: one object a line, checked against the rewards that will judge them.

use std::path::{Path, PathBuf};

use rewards::{Problem, Rubric};
use serde::de::DeserializeOwned;

/// Why a file of problems cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProblemFileError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file has no row.
    #[error("{}: the file is empty; every line of it is to be a JSON object", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line cannot be used.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads every problem of `path`: rows `{"id"?, "question", "numbers"?, "target"?, "gold"?, ...}`, where keys beyond these
/// are kept for rewards that know them. A row without an `id` is called by its line.
///
/// # Errors
/// If the file cannot be read, has no row, or a row is malformed or lacks what a reward of `rubric` needs.
pub fn read(path: &Path, rubric: &Rubric) -> Result<Vec<Problem>, ProblemFileError> {
    read_rows(path, |mut problem: Problem, line| {
        if problem.question.trim().is_empty() {
            return Err("`question` is empty".to_owned());
        }
        rubric.check_gold(&problem).map_err(|error| error.to_string())?;
        if problem.id.is_empty() {
            problem.id = format!("line-{line}");
        }
        Ok(problem)
    })
}

/// Reads the rows of a JSON Lines file; blank lines are passed over.
///
/// - `accept(row, line)`: looks at a row and its line number, counted from 1, and keeps or refuses it.
///
/// # Errors
/// If the file cannot be read, has no row, or a row is malformed or refused.
pub fn read_rows<R: DeserializeOwned, T>(
    path: &Path,
    accept: impl Fn(R, usize) -> Result<T, String>,
) -> Result<Vec<T>, ProblemFileError> {
    let bytes = std::fs::read(path).map_err(|source| ProblemFileError::Io { path: path.into(), source })?;
    let mut rows = Vec::new();
    for (line, text) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        if text.trim_ascii().is_empty() {
            continue;
        }
        let refuse = |reason: String| ProblemFileError::Line { path: path.into(), line, reason };
        let row = serde_json::from_slice(text).map_err(|error| refuse(error.to_string()))?;
        rows.push(accept(row, line).map_err(refuse)?);
    }
    if rows.is_empty() {
        return Err(ProblemFileError::Empty { path: path.into() });
    }
    Ok(rows)
}
