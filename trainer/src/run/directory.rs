//! Opening a run folder: who owns it, who may write to it, and where things are in it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::atomic::{self, FileError};
use super::checkpoint::step_name;
use super::identity::{OtherRun, first_difference};
use super::info::{Resumption, RunFacts, RunInfo};
use super::stage_mark::{self, StageMark};

const RUN_JSON: &str = "run.json";
const RUN_TOML: &str = "run.toml";
const LOCK: &str = "lock";

/// Why a run folder could not be opened. All of these are found before anything of a run is changed.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something else lives there.
    #[error("{}: is not a run folder, it contains `{found}`; set run.dir to a new or an empty folder", path.display())]
    NotARunFolder {
        /// The folder.
        path: PathBuf,
        /// One of the things in it.
        found: String,
    },
    /// `--resume` is given and no run was begun there.
    #[error("{}: contains no run to resume; leave out --resume to start one", path.display())]
    NothingToResume {
        /// The folder.
        path: PathBuf,
    },
    /// The run there was started from other settings.
    #[error(transparent)]
    OtherRun(#[from] Box<OtherRun>),
    /// Another process is using the folder.
    #[error("{}: another grpo-train{holder} is using this run folder; wait for it, or stop it", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// ` (process 123)`, or nothing.
        holder: String,
    },
    /// `run.json` cannot be understood.
    #[error("{}: {reason}; restore the file, or delete the run folder", path.display())]
    MalformedInfo {
        /// The file.
        path: PathBuf,
        /// The parser's message.
        reason: String,
    },
}

/// Whether a run begins or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Begin a run, or go on with the one in the folder if it is of the same run file.
    Either,
    /// Go on with the run in the folder, which has to be there (`--resume`).
    Resume,
}

/// A run folder that this process alone writes to, until it is dropped or the process ends in whatever way.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    info: RunInfo,
    // Never read: the system releases the lock when the file is closed.
    _lock: File,
}

impl RunDirectory {
    /// Opens `path`, writes `run.toml` and `run.json`, and removes what an interrupted write left behind.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub fn open(path: &Path, mode: OpenMode, facts: &RunFacts) -> Result<RunDirectory, DirectoryError> {
        inspect(path, mode, facts)?;
        atomic::create_folder(path)?;
        let lock = lock(path)?;
        // Once more, now that nobody else can change the answer.
        let info = match inspect(path, mode, facts)? {
            None => RunInfo::now(facts),
            Some(mut info) => {
                info.identity.clone_from(&facts.identity);
                info.resumed.push(Resumption::now());
                info
            }
        };
        // The same again where the run goes on, unless parts of a chain have changed.
        atomic::write_file(&path.join(RUN_TOML), facts.resolved.as_bytes())?;
        let text = serde_json::to_string_pretty(&info).expect("strings and numbers serialise");
        // Last, as its presence is what makes this a begun run.
        atomic::write_file(&path.join(RUN_JSON), (text + "\n").as_bytes())?;
        let directory = RunDirectory { path: path.to_path_buf(), info, _lock: lock };
        directory.remove_leftovers()?;
        Ok(directory)
    }

    fn remove_leftovers(&self) -> Result<(), FileError> {
        atomic::remove_temporaries(&self.path)?;
        for group in ["checkpoints", "completions", "stages"] {
            for stage in atomic::entries(&self.path.join(group))?.iter().filter(|path| path.is_dir()) {
                atomic::remove_temporaries(stage)?;
            }
        }
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content of `run.json`.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// Whether the run has ended: its summary is written last.
    pub fn is_finished(&self) -> bool {
        self.summary().exists()
    }

    /// `checkpoints/STAGE`, with one folder per checkpoint.
    pub fn checkpoints(&self, stage: &str) -> PathBuf {
        self.path.join("checkpoints").join(stage)
    }

    /// `metrics.jsonl`, one line a step.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// `eval.jsonl`, one line an evaluation.
    pub fn evals(&self) -> PathBuf {
        self.path.join("eval.jsonl")
    }

    /// `doctor.jsonl`, one line for each thing said of the run.
    pub fn doctor(&self) -> PathBuf {
        self.path.join("doctor.jsonl")
    }

    /// `completions/STAGE/step_000001.jsonl`, one line a completion.
    pub fn completions(&self, stage: &str, step: u64) -> PathBuf {
        completions_file(&self.path, stage, step)
    }

    /// `stages/STAGE/data.jsonl`, the rows that a stage makes.
    pub fn data(&self, stage: &str) -> PathBuf {
        self.stage(stage).join("data.jsonl")
    }

    /// `stages/STAGE`: the mark of a stage, and what it makes beside checkpoints and logs.
    pub fn stage(&self, stage: &str) -> PathBuf {
        stage_mark::folder(&self.path, stage)
    }

    /// `tokenizer/STAGE`, which a stage of kind `pretrain` has trained.
    pub fn tokenizer(&self, stage: &str) -> PathBuf {
        self.path.join("tokenizer").join(stage)
    }

    /// `final`, the last weights as a Hugging Face folder; write it with [`super::StagedFolder`].
    pub fn final_model(&self) -> PathBuf {
        self.path.join("final")
    }

    /// `summary.json`.
    pub fn summary(&self) -> PathBuf {
        self.path.join("summary.json")
    }

    /// `report.md`.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.md")
    }

    /// `curves.svg`.
    pub fn curves(&self) -> PathBuf {
        self.path.join("curves.svg")
    }

    /// `log.txt`.
    pub fn log(&self) -> PathBuf {
        self.path.join("log.txt")
    }
}

/// Where the completions of a step are, in a run folder that need not be open for writing.
pub fn completions_file(run: &Path, stage: &str, step: u64) -> PathBuf {
    run.join("completions").join(stage).join(step_name(step) + ".jsonl")
}

/// Whether [`RunDirectory::open`] would accept the folder, changing nothing; the record of the run in it, if any.
///
/// # Errors
/// See [`DirectoryError`]; whether the folder is writable and unlocked is left to `open`.
pub fn inspect(path: &Path, mode: OpenMode, facts: &RunFacts) -> Result<Option<RunInfo>, DirectoryError> {
    let Some(info) = read_info(path)? else {
        if mode == OpenMode::Resume {
            return Err(DirectoryError::NothingToResume { path: path.to_path_buf() });
        }
        return refuse_foreign(path).map(|()| None);
    };
    let ours = facts.identity.clone();
    if info.identity != ours && !shares_a_stage(path, facts)? {
        let difference = fs::read_to_string(path.join(RUN_TOML))
            .map_or_else(|_| String::new(), |theirs| first_difference(&theirs, &facts.resolved));
        let (theirs, their_identity) = (info.run_file, info.identity);
        let other = OtherRun {
            path: path.to_path_buf(),
            theirs,
            their_identity,
            ours: facts.run_file.clone(),
            our_identity: ours,
            difference,
        };
        return Err(Box::new(other).into());
    }
    Ok(Some(info))
}

/// Whether a stage of these facts is done in the folder: then it is the same chain with a part of it changed.
fn shares_a_stage(path: &Path, facts: &RunFacts) -> Result<bool, FileError> {
    for (stage, identity) in &facts.stages {
        let mark = StageMark::read(path, stage)?;
        if mark.is_some_and(|mark| mark.finished && mark.identity == *identity) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read_info(path: &Path) -> Result<Option<RunInfo>, DirectoryError> {
    let file = path.join(RUN_JSON);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::at(&file, "read the file")(error).into()),
    };
    let malformed = |error: serde_json::Error| DirectoryError::MalformedInfo { path: file, reason: error.to_string() };
    serde_json::from_str(&text).map(Some).map_err(malformed)
}

/// A folder without `run.json` may hold only what a start leaves behind that was cut short.
fn refuse_foreign(path: &Path) -> Result<(), DirectoryError> {
    for entry in atomic::entries(path)? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ours = name == LOCK || name == RUN_TOML || atomic::is_temporary(&entry) && name.starts_with("run.");
        if !ours {
            return Err(DirectoryError::NotARunFolder { path: path.to_path_buf(), found: name });
        }
    }
    Ok(())
}

/// Whether another process writes to the run folder at this moment.
///
/// # Errors
/// If the lock file cannot be asked.
pub fn is_in_use(path: &Path) -> Result<bool, DirectoryError> {
    if !path.join(LOCK).exists() {
        return Ok(false);
    }
    match lock(path) {
        Ok(_) => Ok(false),
        Err(DirectoryError::Locked { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Takes the lock of the folder `path`, until the file is closed.
pub(crate) fn lock(path: &Path) -> Result<File, DirectoryError> {
    let name = path.join(LOCK);
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&name);
    let mut file = open.map_err(FileError::at(&name, "open the lock file"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&name).unwrap_or_default();
            let holder = holder.trim().parse::<u32>().map_or_else(|_| String::new(), |id| format!(" (process {id})"));
            return Err(DirectoryError::Locked { path: path.to_path_buf(), holder });
        }
        // Some network file systems have no locks; there the user has to see to it.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(FileError::at(&name, "lock")(error).into()),
    }
    write_process_id(&mut file).map_err(FileError::at(&name, "write the file"))?;
    Ok(file)
}

fn write_process_id(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
