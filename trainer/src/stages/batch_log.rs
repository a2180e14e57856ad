//! A file of rows that grows by whole batches, and is cut back to whole batches when a run goes on.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;

use crate::run::{FileError, LineLog, atomic};

/// The writing end of such a file.
pub(super) struct BatchLog {
    log: LineLog,
    n_rows: u64,
}

impl BatchLog {
    /// Opens the file, without what a batch left that was cut short.
    ///
    /// - `batch_rows`: rows of a batch, 1 or more; the last one may have fewer
    /// - `all_rows`: rows of all batches
    ///
    /// # Errors
    /// The path and the system's error.
    pub(super) fn open(path: &Path, batch_rows: u64, all_rows: u64) -> Result<Self, FileError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(FileError::at(path, "read the file")(error)),
        };
        let n_whole = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let n_rows = if n_whole >= all_rows { all_rows } else { n_whole / batch_rows * batch_rows };
        let kept: usize = bytes.split_inclusive(|byte| *byte == b'\n').take(n_rows as usize).map(<[u8]>::len).sum();
        if kept < bytes.len() {
            atomic::write_file(path, &bytes[..kept])?;
        }
        Ok(Self { log: LineLog::open(path)?, n_rows })
    }

    /// Rows of the batches that are there.
    pub(super) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Appends a batch and forces it to the disk.
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
    fn what_a_batch_left_that_was_cut_short_goes() {
        let check = |text: &str, all_rows: u64, kept: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("samples.jsonl");
            fs::write(&path, text).unwrap();
            let mut log = BatchLog::open(&path, 2, all_rows).unwrap();
            assert_eq!(log.n_rows(), kept.lines().count() as u64, "{text:?}");
            log.append(&[7, 8]).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{kept}7\n8\n"), "{text:?}");
            assert_eq!(log.n_rows(), kept.lines().count() as u64 + 2);
        };
        check("", 9, "");
        check("1\n2\n", 9, "1\n2\n");
        check("1\n2\n3\n", 9, "1\n2\n");
        check("1\n2\n3\n4", 9, "1\n2\n");
        check("1", 9, "");
        // The last batch may be short.
        check("1\n2\n3\n", 3, "1\n2\n3\n");
        check("1\n2\n3", 3, "1\n2\n");
    }

    #[test]
    fn a_file_that_is_not_there_begins_empty() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(BatchLog::open(&folder.path().join("new.jsonl"), 1, 1).unwrap().n_rows(), 0);
    }
}
