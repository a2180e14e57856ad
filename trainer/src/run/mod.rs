//! The run folder: what is where in it, and how it survives a crash.

pub mod atomic;
pub mod checkpoint;
pub mod completions;
pub mod directory;
pub mod identity;
pub mod info;
pub mod lines;
pub mod manifest;
pub mod stage_mark;

pub use atomic::{FileError, StagedFolder};
pub use checkpoint::{Checkpoint, CheckpointError, CheckpointWriter, TrainerState};
pub use completions::{CompletionRow, ComponentRow, LeftOut, StepRow};
pub use directory::{DirectoryError, OpenMode, RunDirectory};
pub use info::{Machine, RunFacts, RunInfo};
pub use lines::{LineError, LineLog, ResumePoint};
pub use stage_mark::StageMark;
