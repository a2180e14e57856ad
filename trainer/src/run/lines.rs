//! JSON-lines files that grow while a run goes on (`metrics.jsonl`, `eval.jsonl`), and how a resume cuts them.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::atomic::{self, FileError};

/// What went wrong with a JSON-lines file.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line that is not what the file should hold.
    #[error("{}:{line}: malformed line: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The parser's message.
        reason: String,
    },
}

/// The writing end of a JSON-lines file.
#[derive(Debug)]
pub struct LineLog {
    path: PathBuf,
    file: File,
}

impl LineLog {
    /// Opens `path` for appending and creates it if it is missing.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn open(path: &Path) -> Result<LineLog, FileError> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(FileError::at(path, "open"))?;
        Ok(LineLog { path: path.to_path_buf(), file })
    }

    /// Appends one line. It reaches the system at once, so that it survives the end of the process and `tail -f` shows
    /// it; [`LineLog::sync`] lets it survive a power cut.
    ///
    /// # Errors
    /// The path and the system's error.
    ///
    /// # Panics
    /// If `row` cannot be expressed in JSON (a map with keys that are not text).
    pub fn append(&mut self, row: &impl Serialize) -> Result<(), FileError> {
        let mut line = serde_json::to_vec(row).expect("rows have text keys");
        line.push(b'\n');
        self.file.write_all(&line).map_err(FileError::at(&self.path, "append a line"))
    }

    /// Forces the lines to the disk; to be called before a checkpoint that counts on them.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn sync(&self) -> Result<(), FileError> {
        self.file.sync_data().map_err(FileError::at(&self.path, "sync the file"))
    }
}

/// Where a run goes on: after `step` of `stage`, and everything of the `kept_stages` stays.
#[derive(Debug, Clone, Copy)]
pub struct ResumePoint<'a> {
    /// Other stages of which all is kept, wherever they stand.
    pub kept_stages: &'a [String],
    /// The stage that goes on.
    pub stage: &'a str,
    /// The step of the checkpoint; 0 if the stage starts anew.
    pub step: u64,
}

impl ResumePoint<'_> {
    /// Whether something logged at `step` of `stage` lies before this point.
    pub fn keeps(&self, stage: &str, step: u64) -> bool {
        // A stage that starts anew also makes the evaluation before its first step again, which is logged as step 0.
        (stage == self.stage && self.step > 0 && step <= self.step) || self.kept_stages.iter().any(|done| done == stage)
    }
}

/// What every line of these files has.
#[derive(Deserialize)]
struct Position {
    stage: String,
    step: u64,
}

/// Removes the lines that lie after `point`, and a torn last line, and rewrites the file at once. A missing file is
/// left missing. Returns the number of lines removed.
///
/// # Errors
/// The system's error, or a malformed line that is not the last one, with its number.
pub fn truncate_after(path: &Path, point: &ResumePoint<'_>) -> Result<usize, LineError> {
    let text = read_or_empty(path)?;
    let (mut kept, mut n_removed) = (String::with_capacity(text.len()), 0);
    for (line, parsed) in numbered::<Position>(&text) {
        match parsed {
            Ok(position) if point.keeps(&position.stage, position.step) => {
                kept.push_str(line.text);
                kept.push('\n');
            }
            Ok(_) => n_removed += 1,
            Err(_) if line.is_last => n_removed += 1,
            Err(reason) => return Err(malformed(path, line.number, &reason)),
        }
    }
    // Also when only the line end of the last line was torn off: the next line must not be glued to it.
    if kept != text {
        atomic::write_file(path, kept.as_bytes())?;
    }
    Ok(n_removed)
}

/// The rows of a file, without a torn last line; none if the file is missing.
///
/// # Errors
/// The system's error, or a malformed line that is not the last one, with its number.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, LineError> {
    let text = read_or_empty(path)?;
    let mut rows = Vec::new();
    for (line, parsed) in numbered::<T>(&text) {
        match parsed {
            Ok(row) => rows.push(row),
            Err(_) if line.is_last => {}
            Err(reason) => return Err(malformed(path, line.number, &reason)),
        }
    }
    Ok(rows)
}

/// The rows of a file that was written whole, in which even the last line must be right.
///
/// # Errors
/// The system's error, or a malformed line with its number.
pub fn read_whole<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, LineError> {
    let text = String::from_utf8_lossy(&fs::read(path).map_err(FileError::at(path, "read the file"))?).into_owned();
    numbered::<T>(&text).map(|(line, parsed)| parsed.map_err(|reason| malformed(path, line.number, &reason))).collect()
}

struct Line<'a> {
    number: usize,
    text: &'a str,
    /// The last one, and without a line end: what a write that was cut short leaves.
    is_last: bool,
}

fn numbered<'a, T: DeserializeOwned>(text: &'a str) -> impl Iterator<Item = (Line<'a>, Result<T, serde_json::Error>)> {
    text.split_inclusive('\n').enumerate().map(|(line_idx, raw)| {
        let is_last = !raw.ends_with('\n');
        let text = raw.trim_end_matches('\n');
        (Line { number: line_idx + 1, text, is_last }, serde_json::from_str(text))
    })
}

fn malformed(path: &Path, line: usize, reason: &serde_json::Error) -> LineError {
    // The parser counts lines within this one line; only its column means something here.
    let message = reason.to_string();
    let reason = match message.rsplit_once(" at line ") {
        Some((cause, _)) => format!("{cause} (column {})", reason.column()),
        None => message,
    };
    LineError::Malformed { path: path.to_path_buf(), line, reason }
}

fn read_or_empty(path: &Path) -> Result<String, FileError> {
    match fs::read(path) {
        // A line can be torn in the middle of a character; the rest of the file is still good.
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(FileError::at(path, "read the file")(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        stage: String,
        step: u64,
        reward: f64,
    }

    fn row(stage: &str, step: u64) -> Row {
        Row { stage: stage.into(), step, reward: 0.25 * step as f64 }
    }

    fn written(folder: &Path, rows: &[(&str, u64)]) -> PathBuf {
        let path = folder.join("metrics.jsonl");
        let mut log = LineLog::open(&path).unwrap();
        for (stage, step) in rows {
            log.append(&row(stage, *step)).unwrap();
        }
        log.sync().unwrap();
        path
    }

    fn tear(path: &Path, rest: &[u8]) {
        OpenOptions::new().append(true).open(path).unwrap().write_all(rest).unwrap();
    }

    #[test]
    fn a_resume_keeps_kept_stages_and_the_steps_up_to_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &[("sft", 1), ("sft", 90), ("rl", 1), ("rl", 2), ("rl", 3), ("late", 1)]);
        let earlier = ["sft".to_owned()];
        let point = ResumePoint { kept_stages: &earlier, stage: "rl", step: 2 };
        assert_eq!(truncate_after(&path, &point).unwrap(), 2);
        let kept: Vec<Row> = read(&path).unwrap();
        assert_eq!(kept, [row("sft", 1), row("sft", 90), row("rl", 1), row("rl", 2)]);
        // Appending goes on where the file was cut.
        LineLog::open(&path).unwrap().append(&row("rl", 3)).unwrap();
        assert_eq!(read::<Row>(&path).unwrap().len(), 5);
    }

    #[test]
    fn a_torn_last_line_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &[("rl", 1), ("rl", 2)]);
        tear(&path, b"{\"stage\":\"rl\",\"step\":3,\"rew\xc3");
        assert_eq!(read::<Row>(&path).unwrap().len(), 2);
        let point = ResumePoint { kept_stages: &[], stage: "rl", step: 9 };
        assert_eq!(truncate_after(&path, &point).unwrap(), 1);
        assert!(fs::read_to_string(&path).unwrap().ends_with("\"step\":2,\"reward\":0.5}\n"));
    }

    #[test]
    fn a_torn_off_line_end_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &[("rl", 1)]);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let point = ResumePoint { kept_stages: &[], stage: "rl", step: 1 };
        assert_eq!(truncate_after(&path, &point).unwrap(), 0);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_malformed_line_in_the_middle_is_an_error_with_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &[("rl", 1)]);
        tear(&path, b"{\"stage\":\"rl\",\"step\":x}\n");
        LineLog::open(&path).unwrap().append(&row("rl", 3)).unwrap();
        let point = ResumePoint { kept_stages: &[], stage: "rl", step: 9 };
        for message in [truncate_after(&path, &point).unwrap_err(), read::<Row>(&path).unwrap_err()] {
            let message = message.to_string();
            assert!(message.ends_with("metrics.jsonl:2: malformed line: expected value (column 22)"), "{message}");
        }
    }

    #[test]
    fn nothing_is_cut_from_a_file_that_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("eval.jsonl");
        let point = ResumePoint { kept_stages: &[], stage: "rl", step: 0 };
        assert_eq!(truncate_after(&path, &point).unwrap(), 0);
        assert!(!path.exists());
    }

    #[test]
    fn appending_to_a_full_disk_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        symlink("/dev/full", &path).unwrap();
        let error = LineLog::open(&path).unwrap().append(&row("rl", 1)).unwrap_err();
        assert!(error.is_disk_full() && error.to_string().contains("metrics.jsonl: cannot append a line"));
    }
}
