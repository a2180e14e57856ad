//! What a run folder says of each of its stages (`stages/NAME/stage.json`): which stage it is, and whether it is done.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::atomic::{self, FileError};

/// The file in the folder of a stage that has its mark.
pub const STAGE_JSON: &str = "stage.json";

/// The record of one stage. It is written when the stage begins, and again when it is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageMark {
    /// Name of the stage.
    pub stage: String,
    /// Its kind, as in the run file.
    pub kind: String,
    /// Hash of what decides its results ([`crate::config::Resolved::stage_identities`]).
    pub identity: String,
    /// Whether everything that it makes is there.
    pub finished: bool,
    /// Steps that it has, as far as they are known.
    #[serde(default)]
    pub steps: u64,
    /// Prompt and completion tokens since the start of the run, at the end of the stage.
    #[serde(default)]
    pub num_tokens: u64,
    /// Time spent in the run until the end of the stage, all starts together.
    #[serde(default)]
    pub wall_seconds: f64,
}

/// `stages/NAME` of a run folder: the mark, and what the stage makes beside checkpoints and logs.
pub fn folder(run: &Path, stage: &str) -> PathBuf {
    run.join("stages").join(stage)
}

impl StageMark {
    /// The mark of a stage; none if it has not begun, or if what is there cannot be read.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn read(run: &Path, stage: &str) -> Result<Option<Self>, FileError> {
        let path = folder(run, stage).join(STAGE_JSON);
        match fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::at(&path, "read the file")(error)),
        }
    }

    /// Writes the mark into the run folder, whole or not at all.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn write(&self, run: &Path) -> Result<(), FileError> {
        let folder = folder(run, &self.stage);
        atomic::create_folder(&folder)?;
        let text = serde_json::to_string_pretty(self).expect("strings and numbers serialise");
        atomic::write_file(&folder.join(STAGE_JSON), (text + "\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(StageMark::read(run.path(), "dev1").unwrap(), None);
        let mark = StageMark {
            stage: "dev1".to_owned(),
            kind: "grpo".to_owned(),
            identity: "abc".to_owned(),
            finished: true,
            steps: 3,
            num_tokens: 17,
            wall_seconds: 1.5,
        };
        mark.write(run.path()).unwrap();
        assert_eq!(StageMark::read(run.path(), "dev1").unwrap(), Some(mark));
        fs::write(folder(run.path(), "dev1").join(STAGE_JSON), "{").unwrap();
        assert_eq!(StageMark::read(run.path(), "dev1").unwrap(), None);
    }
}
