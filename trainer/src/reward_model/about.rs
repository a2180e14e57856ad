//! What a trained reward model's folder says of its training: `reward_model.json`, beside transformers' files.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::{Over, Prompt, RewardObjective};
use crate::run::{FileError, atomic};

const FILE: &str = "reward_model.json";

/// How a reward model was trained, as far as whoever asks it has to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// What it learned from.
    pub objective: RewardObjective,
    /// What stood around questions.
    pub prompt: Prompt,
    /// What of a response it read.
    pub over: Over,
}

impl About {
    /// What a folder says; none if it was not made by a stage of this program.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>, FileError> {
        let path = folder.join(FILE);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| FileError::at(&path, "read the file")(error.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::at(&path, "read the file")(error)),
        }
    }

    /// Writes the file into a folder.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn write(&self, folder: &Path) -> Result<(), FileError> {
        let text = serde_json::to_vec_pretty(self).expect("names and a text can be written");
        atomic::write_file(&folder.join(FILE), &text)
    }
}
