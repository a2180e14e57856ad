//! What the program does: a run, or one of the commands beside it.

mod ablate;
mod bench;
mod eval;
mod inputs;
mod instructions;
mod logprobs;
mod problems;
mod sample;
mod score;
mod scores;
mod train;

pub use ablate::ablate;
pub use bench::bench;
pub use eval::eval;
pub use instructions::instructions;
pub use logprobs::logprobs;
pub use problems::problems;
pub use sample::sample;
pub use score::{reward_test, score};
pub use scores::scores;
pub use train::{Ended, train};

use crate::run::{DirectoryError, FileError};

/// Why a command failed, and with it the exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line, the run file or what they name is wrong; nothing was begun. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It failed on the way. Exit code 1.
    #[error("{0}")]
    Run(String),
}

impl Failure {
    /// What is wrong with what the user gave.
    pub fn usage(error: impl std::fmt::Display) -> Self {
        Self::Usage(error.to_string())
    }

    /// What went wrong on the way.
    pub fn run(error: impl std::fmt::Display) -> Self {
        Self::Run(error.to_string())
    }

    /// 2 for what the user gave, 1 for what happened.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Run(_) => 1,
        }
    }
}

impl From<DirectoryError> for Failure {
    /// A folder that cannot be used is a wrong argument; so is one that belongs to somebody else.
    fn from(error: DirectoryError) -> Self {
        Self::usage(error)
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::run(error)
    }
}
