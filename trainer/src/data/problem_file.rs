//! Problems in a file of JSON, one object a row, checked against the rewards that will judge them.

use std::path::{Path, PathBuf};

use rewards::{GoldError, Problem, Rubric};
use serde::de::DeserializeOwned;

use super::json_rows;
use super::layout::{self, Layout};

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
    #[error("{}: the file is empty; every line of it is to be a JSON object, or all of it one array of them", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Several lines cannot be used.
    #[error("{}: {} lines cannot be used:{}", path.display(), lines.len(), listed(lines))]
    Lines {
        /// The file.
        path: PathBuf,
        /// Each line, counted from 1, and what is wrong with it.
        lines: Vec<(usize, String)>,
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

/// Faults that a message lists.
const LISTED: usize = 10;

fn listed(lines: &[(usize, String)]) -> String {
    let mut text: String =
        lines.iter().take(LISTED).map(|(line, reason)| format!("\n  line {line}: {reason}")).collect();
    if lines.len() > LISTED {
        text.push_str(&format!("\n  and {} more", lines.len() - LISTED));
    }
    text
}

/// Reads every problem of `path`, in the layout of this project or in another that is known ([`Layout`]); keys beyond those of
/// the layout are kept for rewards that know them. A row without an `id` is called by its line.
///
/// # Errors
/// If the file cannot be read, has no row, or a row is malformed or lacks what a reward of `rubric` needs.
pub fn read(path: &Path, rubric: &Rubric) -> Result<Vec<Problem>, ProblemFileError> {
    read_checked(path, None, None, rubric)
}

/// The same of a file whose rows are of `domain` where they do not say of which they are.
///
/// # Errors
/// As [`read`]; what a reward needs of the domain is asked of these rows too.
pub fn read_of(path: &Path, domain: Option<&str>, rubric: &Rubric) -> Result<Vec<Problem>, ProblemFileError> {
    read_checked(path, None, domain, rubric)
}

/// The same of a file whose layout is named; where it is not, every row is recognised by its keys.
///
/// # Errors
/// As [`read`], and if a row is not of the layout.
pub fn read_as(path: &Path, layout: Option<Layout>, rubric: &Rubric) -> Result<Vec<Problem>, ProblemFileError> {
    read_checked(path, layout, None, rubric)
}

fn read_checked(
    path: &Path,
    layout: Option<Layout>,
    domain: Option<&str>,
    rubric: &Rubric,
) -> Result<Vec<Problem>, ProblemFileError> {
    read_each(path, layout, |mut problem, line| {
        if problem.question.trim().is_empty() {
            return Err("`question` is empty".to_owned());
        }
        // Before the check: rewards of some domains ask nothing of other problems.
        set_domain(&mut problem, domain);
        rubric.check_gold(&problem).map_err(|error| explain(&error, &problem))?;
        if problem.id.is_empty() {
            problem.id = format!("line-{line}");
        }
        Ok(problem)
    })
}

/// Gives a problem the field `domain`, unless its row has one.
pub(super) fn set_domain(problem: &mut Problem, domain: Option<&str>) {
    if let Some(domain) = domain {
        problem.gold.fields.entry("domain").or_insert_with(|| domain.into());
    }
}

/// The same, where no reward has a say in what is kept.
///
/// - `accept(problem, line)`: looks at a problem and its line number, counted from 1, and keeps or refuses it.
///
/// # Errors
/// If the file cannot be read, has no row, or a row is malformed, not of the layout, or refused.
pub fn read_each<T>(
    path: &Path,
    layout: Option<Layout>,
    accept: impl Fn(Problem, usize) -> Result<T, String>,
) -> Result<Vec<T>, ProblemFileError> {
    each_row(path, |text, line| accept(layout::problem(text, layout)?, line))
}

/// What is wrong with a row's gold, and which of its fields may have been meant.
pub fn explain(error: &GoldError, problem: &Problem) -> String {
    const OTHER_NAMES: [&str; 5] = ["answer", "solution", "ground_truth", "reference", "target_answer"];
    let meant = OTHER_NAMES.iter().find(|name| problem.gold.fields.contains_key(**name));
    match (error, meant) {
        (GoldError::Missing { field: "gold", .. }, Some(name)) => {
            format!("{error} (the row has `{name}`: rename it to `gold`)")
        }
        _ => error.to_string(),
    }
}

/// Reads the rows of a file of JSON Lines, or of one JSON array.
///
/// - `accept(row, line)`: looks at a row and its line number, counted from 1, and keeps or refuses it.
///
/// # Errors
/// If the file cannot be read, has no row, or a row is malformed or refused.
pub fn read_rows<R: DeserializeOwned, T>(
    path: &Path,
    accept: impl Fn(R, usize) -> Result<T, String>,
) -> Result<Vec<T>, ProblemFileError> {
    each_row(path, |text, line| {
        let row = serde_json::from_slice(text).map_err(|error| json_rows::on_its_line(&error))?;
        accept(row, line)
    })
}

fn each_row<T>(path: &Path, accept: impl Fn(&[u8], usize) -> Result<T, String>) -> Result<Vec<T>, ProblemFileError> {
    let bytes = std::fs::read(path).map_err(|source| ProblemFileError::Io { path: path.into(), source })?;
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for (line, text) in json_rows::rows(&bytes) {
        match text.and_then(|text| accept(text, line)) {
            Ok(row) => rows.push(row),
            Err(reason) => faults.push((line, reason)),
        }
    }
    let path = || path.to_owned();
    match faults.len() {
        0 if rows.is_empty() => Err(ProblemFileError::Empty { path: path() }),
        0 => Ok(rows),
        1 => {
            let (line, reason) = faults.remove(0);
            Err(ProblemFileError::Line { path: path(), line, reason })
        }
        _ => Err(ProblemFileError::Lines { path: path(), lines: faults }),
    }
}
