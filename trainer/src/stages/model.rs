//! A model as stages hand it on: policy and tokenizer, from a folder and into a folder.

use std::path::Path;

use policy::{Dtype, Policy};
use rollout::Tokenizer;
use tch::Device;

use super::StageError;
use crate::run::FileError;

/// A policy and the tokenizer it was made with.
#[derive(Debug)]
pub struct Model {
    /// The network with its weights.
    pub policy: Policy,
    /// Text to token ids and back.
    pub tokenizer: Tokenizer,
}

impl Model {
    /// Loads a Hugging Face folder.
    ///
    /// # Errors
    /// If the weights or the tokenizer cannot be used, or do not belong together.
    pub fn load(folder: &Path, dtype: Dtype, device: Device) -> Result<Self, StageError> {
        let policy = Policy::load(folder, dtype, device)?;
        let tokenizer = Tokenizer::load(folder, policy.config().vocab_size)?;
        Ok(Self { policy, tokenizer })
    }

    /// Writes a Hugging Face folder into `folder`, which exists.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), StageError> {
        self.policy.save(folder)?;
        self.tokenizer.copy_files(folder).map_err(FileError::at(folder, "write the tokenizer"))?;
        Ok(())
    }
}
