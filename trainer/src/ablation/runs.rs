//! Which runs an ablation consists of, where each one is, and how far it has come.

use std::fs::File;
use std::path::PathBuf;

use crate::config::{AblationFile, Resolved};
use crate::run::atomic::{self, FileError};
use crate::run::directory::{self, DirectoryError, lock};
use crate::run::{OpenMode, RunFacts};
use crate::telemetry::Summary;

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Nothing is there.
    Missing,
    /// It was begun and can be resumed.
    Begun,
    /// It has ended.
    Done,
}

/// Why the runs of an ablation cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum RunsError {
    /// The folder of a run holds another one: most often that of the same arm with other settings.
    #[error("arm `{arm}`, seed {seed}: {source} (that folder follows from `dir` of [ablation], the arm and the seed)")]
    Folder {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
        /// What is wrong with it.
        source: DirectoryError,
    },
    /// A finished run has more steps than are asked for.
    #[error(
        "arm `{arm}`, seed {seed}: {}: the run there has {done} steps and {wanted} are asked for; delete the folder, or \
         set `dir` of [ablation] to another one", folder.display()
    )]
    TooLong {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
        /// The run folder.
        folder: PathBuf,
        /// Steps of its last stage.
        done: u64,
        /// Those of the run file now.
        wanted: u64,
    },
    /// The folder of the ablation is a run folder.
    #[error("{}: is the folder of a run; set `dir` of [ablation] to another one", path.display())]
    RunFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The folder of the ablation is in use, or its lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] DirectoryError),
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

/// One arm with one seed.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// Number of the arm.
    pub arm: usize,
    /// `base seed 1`, for people.
    pub label: String,
    /// The seed.
    pub seed: u64,
    /// What is run.
    pub resolved: Resolved,
    /// The run folder, `DIR/ARM/seed_S`.
    pub folder: PathBuf,
    /// The run file, `DIR/ARM/seed_S.toml`.
    pub file: PathBuf,
    /// What the process says, `DIR/ARM/seed_S.out`.
    pub output: PathBuf,
    /// How far it has come.
    pub state: RunState,
}

impl PlannedRun {
    /// Steps of its last stage.
    pub fn n_steps(&self) -> u64 {
        self.resolved.stages.last().and_then(|stage| stage.steps()).unwrap_or(0)
    }

    /// Its figures, if it has ended.
    pub fn summary(&self) -> Option<Summary> {
        summary(&self.folder)
    }

    /// Writes its run file.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn write_file(&self) -> Result<(), FileError> {
        atomic::create_folder(self.file.parent().expect("the folder of the arm"))?;
        atomic::write_file(&self.file, self.resolved.to_toml().as_bytes())
    }
}

/// All runs, the first seed of every arm before the second: so that arms can be compared as soon as possible.
///
/// # Errors
/// If a folder holds something else than the run that belongs there, with what differs.
pub fn planned(file: &AblationFile) -> Result<Vec<PlannedRun>, RunsError> {
    if file.dir.join("run.json").exists() {
        return Err(RunsError::RunFolder { path: file.dir.clone() });
    }
    let mut runs = Vec::new();
    for &seed in &file.seeds {
        for (arm_idx, arm) in file.arms.iter().enumerate() {
            let of_arm = file.dir.join(&arm.name);
            let folder = of_arm.join(format!("seed_{seed}"));
            let mut run = PlannedRun {
                arm: arm_idx,
                label: format!("{} seed {seed}", arm.name),
                seed,
                resolved: arm.resolved(folder.clone(), seed),
                folder,
                file: of_arm.join(format!("seed_{seed}.toml")),
                output: of_arm.join(format!("seed_{seed}.out")),
                state: RunState::Missing,
            };
            run.state = state(&run, &arm.name)?;
            runs.push(run);
        }
    }
    Ok(runs)
}

/// Takes the folder of the ablation for this process alone, until the result is dropped or the process ends.
///
/// # Errors
/// If another process has it, or it cannot be made.
pub fn hold(file: &AblationFile) -> Result<File, RunsError> {
    atomic::create_folder(&file.dir)?;
    Ok(lock(&file.dir)?)
}

fn state(run: &PlannedRun, arm: &str) -> Result<RunState, RunsError> {
    let facts = RunFacts {
        run_file: run.file.clone(),
        resolved: run.resolved.to_toml(),
        identity: run.resolved.identity(),
        stages: Vec::new(),
        // Not looked at: they may change between two starts.
        libtorch: String::new(),
        device: String::new(),
        threads: 0,
    };
    let found = match directory::inspect(&run.folder, OpenMode::Resume, &facts) {
        Err(DirectoryError::NothingToResume { .. }) => directory::inspect(&run.folder, OpenMode::Either, &facts),
        found => found,
    };
    match found {
        Err(source) => Err(RunsError::Folder { arm: arm.to_owned(), seed: run.seed, source }),
        Ok(None) => Ok(RunState::Missing),
        Ok(Some(_)) => {
            let Some(done) = summary(&run.folder).and_then(|summary| Some(summary.stages.last()?.steps)) else {
                return Ok(RunState::Begun);
            };
            let (wanted, folder) = (run.n_steps(), run.folder.clone());
            match done.cmp(&wanted) {
                std::cmp::Ordering::Less => Ok(RunState::Begun),
                std::cmp::Ordering::Equal => Ok(RunState::Done),
                std::cmp::Ordering::Greater => {
                    Err(RunsError::TooLong { arm: arm.to_owned(), seed: run.seed, folder, done, wanted })
                }
            }
        }
    }
}

/// `summary.json`, which is written last.
fn summary(folder: &std::path::Path) -> Option<Summary> {
    let text = std::fs::read(folder.join("summary.json")).ok()?;
    serde_json::from_slice(&text).ok()
}
