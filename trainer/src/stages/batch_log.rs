//! A file of rows that grows as a stage asks problems, and is cut back to what still holds when a run goes on.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;

use crate::run::{FileError, LineLog, atomic};

/// The writing end of such a file.
pub(super) struct BatchLog {
    log: LineLog,
    n_rows: u64,
    n_outdated: u64,
}

impl BatchLog {
    /// Opens the file, without what a write left that was cut short, and without the rows from the first one on that does not
    /// hold any more: those behind it may be good, but a file has the rows of one set of problems.
    ///
    /// - `problem_rows`: rows of a problem, 1 or more
    /// - `all_rows`: rows of all problems
    /// - `holds(number, line)`: whether a row is what would be written there, as far as that is known; numbers are below `all_rows`
    ///
    /// # Errors
    /// The path and the system's error.
    pub(super) fn open(
        path: &Path,
        problem_rows: u64,
        all_rows: u64,
        holds: impl Fn(u64, &[u8]) -> bool,
    ) -> Result<Self, FileError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(FileError::at(path, "read the file")(error)),
        };
        let whole = || bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        let n_whole = whole().count() as u64;
        let n_held = (0..all_rows).zip(whole()).take_while(|(number, line)| holds(*number, line)).count() as u64;
        // What lies behind the last row that is asked for may be as good as the rest.
        let n_outdated = if n_held < all_rows { n_whole - n_held } else { 0 };
        let n_rows = n_held / problem_rows * problem_rows;
        let kept: usize = whole().take(n_rows as usize).map(<[u8]>::len).sum();
        if kept < bytes.len() {
            atomic::write_file(path, &bytes[..kept])?;
        }
        Ok(Self { log: LineLog::open(path)?, n_rows, n_outdated })
    }

    /// Rows of the problems that are there.
    pub(super) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Whole rows that were cut off because they, or one before them, are not what would be written there.
    pub(super) fn n_outdated(&self) -> u64 {
        self.n_outdated
    }

    /// Appends the rows of some problems and forces them to the disk.
    ///
    /// # Errors
    /// The path and the system's error.
    pub(super) fn append(&mut self, rows: &[impl Serialize]) -> Result<(), FileError> {
        for row in rows {
            self.log.append(row)?;
        }
        self.n_rows += rows.len() as u64;
        self.log.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_short_goes_and_what_does_not_hold_with_all_behind_it() {
        // Row number n holds n + 1.
        let check = |text: &str, all_rows: u64, kept: &str, n_outdated: u64| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("samples.jsonl");
            fs::write(&path, text).unwrap();
            let holds = |number: u64, line: &[u8]| line == format!("{}\n", number + 1).as_bytes();
            let mut log = BatchLog::open(&path, 2, all_rows, holds).unwrap();
            assert_eq!(log.n_rows(), kept.lines().count() as u64, "{text:?}");
            assert_eq!(log.n_outdated(), n_outdated, "{text:?}");
            log.append(&[7, 8]).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{kept}7\n8\n"), "{text:?}");
            assert_eq!(log.n_rows(), kept.lines().count() as u64 + 2);
        };
        check("", 8, "", 0);
        check("1\n2\n", 8, "1\n2\n", 0);
        check("1\n2\n3\n", 8, "1\n2\n", 0);
        check("1\n2\n3\n4", 8, "1\n2\n", 0);
        check("1", 8, "", 0);
        check("1\n2\n7\n4\n5\n6\n", 8, "1\n2\n", 4);
        check("1\n2\n3\n7\n5\n6\n", 8, "1\n2\n", 3);
        check("1\n2\n3\n4\n", 2, "1\n2\n", 0);
    }

    #[test]
    fn a_file_that_is_not_there_begins_empty() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(BatchLog::open(&folder.path().join("new.jsonl"), 1, 1, |_, _| true).unwrap().n_rows(), 0);
    }
}
