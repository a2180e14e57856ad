//! Checkpoints of a stage: written whole or not at all, verified when read, the oldest removed.
//!
//! A checkpoint is the folder `step_000020` with a Hugging Face model, the trainer's own state beside it, and a
//! manifest. It counts only if the manifest is there and every file is as the manifest says.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::atomic::{self, FileError, StagedFolder};
use super::manifest::{self, Depth, MANIFEST};

/// The file with the [`TrainerState`].
pub const TRAINER_STATE: &str = "trainer_state.json";

/// What went wrong with a checkpoint folder.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The caller left out the state file.
    #[error("{}: {TRAINER_STATE} was not written, so the checkpoint could not be resumed from", path.display())]
    NoTrainerState {
        /// The unfinished folder.
        path: PathBuf,
    },
}

/// The counters a run goes on with (`trainer_state.json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerState {
    /// Name of the stage.
    pub stage: String,
    /// Steps done in this stage; the next one is `step + 1`.
    pub step: u64,
    /// Prompt and completion tokens since the start of the run (TRL's `num_tokens`).
    pub num_tokens: u64,
    /// Optimiser updates since the start of the stage.
    pub n_updates: u64,
    /// Time spent in the run so far, all starts together.
    pub wall_seconds: f64,
    /// Anything else a stage needs. Numbers with a fraction pass through decimal text here: keep what must stay the
    /// same to the bit in a safetensors file.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

impl TrainerState {
    /// Writes the state into a checkpoint that is being written.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn write(&self, folder: &Path) -> Result<(), FileError> {
        let text = serde_json::to_string_pretty(self).expect("a state of strings and numbers serialises");
        atomic::write_file(&folder.join(TRAINER_STATE), (text + "\n").as_bytes())
    }

    fn read(folder: &Path) -> Result<TrainerState, String> {
        let text = fs::read_to_string(folder.join(TRAINER_STATE))
            .map_err(|error| format!("{TRAINER_STATE} cannot be read: {error}"))?;
        serde_json::from_str(&text).map_err(|error| format!("{TRAINER_STATE} is malformed: {error}"))
    }
}

/// The folder name of a step: `step_000020`.
pub fn step_name(step: u64) -> String {
    format!("step_{step:06}")
}

/// The step of a folder or file stem named by [`step_name`].
pub fn parse_step(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("step_")?;
    let step = digits.parse().ok()?;
    (step_name(step) == name).then_some(step)
}

/// A checkpoint in the making.
#[derive(Debug)]
pub struct CheckpointWriter {
    staged: StagedFolder,
    target: PathBuf,
    step: u64,
}

impl CheckpointWriter {
    /// An empty temporary folder in `stage_dir`.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn create(stage_dir: &Path, step: u64) -> Result<CheckpointWriter, CheckpointError> {
        let target = stage_dir.join(step_name(step));
        Ok(CheckpointWriter { staged: StagedFolder::create(&target)?, target, step })
    }

    /// Where to write model, tokenizer, optimiser state and [`TrainerState`]; files only, no folders.
    pub fn path(&self) -> &Path {
        self.staged.path()
    }

    /// Writes the manifest, forces everything to the disk and gives the folder its final name. A checkpoint of the
    /// same step (one that was found damaged and trained again) is replaced.
    ///
    /// # Errors
    /// What failed; the checkpoints before this one are untouched.
    pub fn commit(self) -> Result<Checkpoint, CheckpointError> {
        let CheckpointWriter { staged, target, step } = self;
        let state = TrainerState::read(staged.path())
            .map_err(|_| CheckpointError::NoTrainerState { path: staged.path().to_path_buf() })?;
        manifest::write(staged.path())?;
        staged.commit()?;
        Ok(Checkpoint { path: target, step, state })
    }
}

/// A checkpoint whose files are known to be whole: just written, or verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The folder.
    pub path: PathBuf,
    /// The step after which it was taken.
    pub step: u64,
    /// Its counters.
    pub state: TrainerState,
}

impl Checkpoint {
    /// Removes older checkpoints of the stage so that `keep` remain, this one among them, which is never removed: as
    /// only a verified folder is a `Checkpoint`, the last valid one cannot be lost. Damaged older ones do not count and
    /// go; newer ones are left alone.
    ///
    /// Returns the folders removed.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn prune_older(&self, keep: usize) -> Result<Vec<PathBuf>, CheckpointError> {
        let stage_dir = self.path.parent().unwrap_or(Path::new("."));
        let mut kept = 1;
        let mut removed = Vec::new();
        for (step, path) in list(stage_dir)?.into_iter().rev() {
            if step >= self.step {
                continue;
            }
            // Sizes only: reading every old checkpoint each time would cost more than writing the new one.
            if kept < keep && manifest::check(&path, Depth::Sizes).is_ok() {
                kept += 1;
                continue;
            }
            // The manifest first: a folder that a crash leaves half removed must not look whole.
            atomic::remove(&path.join(MANIFEST))?;
            atomic::sync_folder(&path)?;
            atomic::remove(&path)?;
            removed.push(path);
        }
        Ok(removed)
    }
}

/// A checkpoint folder that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: checkpoint not usable: {}", self.path.display(), self.reason)
    }
}

/// What [`latest_valid`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The newest checkpoint that verifies, if any.
    pub checkpoint: Option<Checkpoint>,
    /// The newer ones that do not, newest first: to be told to the user.
    pub rejected: Vec<Rejected>,
}

/// Verifies the checkpoints of a stage, newest first, and returns the first whole one. A missing folder has none.
///
/// # Errors
/// Only if `stage_dir` cannot be listed; an unreadable checkpoint is a rejected one.
pub fn latest_valid(stage_dir: &Path) -> Result<Found, CheckpointError> {
    let mut rejected = Vec::new();
    for (step, path) in list(stage_dir)?.into_iter().rev() {
        match verify(&path, step) {
            Ok(state) => return Ok(Found { checkpoint: Some(Checkpoint { path, step, state }), rejected }),
            Err(reason) => rejected.push(Rejected { path, reason }),
        }
    }
    Ok(Found { checkpoint: None, rejected })
}

fn verify(path: &Path, step: u64) -> Result<TrainerState, String> {
    let manifest = manifest::check(path, Depth::Content)?;
    if !manifest.files.contains_key(TRAINER_STATE) {
        return Err(format!("its manifest does not name {TRAINER_STATE}"));
    }
    let state = TrainerState::read(path)?;
    if state.step != step {
        return Err(format!("{TRAINER_STATE} is of step {}", state.step));
    }
    Ok(state)
}

/// The checkpoint folders of a stage, oldest first, valid or not.
fn list(stage_dir: &Path) -> Result<Vec<(u64, PathBuf)>, FileError> {
    let mut found: Vec<(u64, PathBuf)> = atomic::entries(stage_dir)?
        .into_iter()
        .filter_map(|path| Some((parse_step(path.file_name()?.to_str()?)?, path)))
        .filter(|(_, path)| path.is_dir())
        .collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
