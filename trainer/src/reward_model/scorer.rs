//! A reward model ready to score: network, weights in compute format, and what makes tokens for it.

use std::ops::Range;
use std::path::Path;

use policy::{Dtype, ModelConfig, RewardModel, Weights};
use rollout::Tokenizer;
use tch::Device;

use super::about::About;
use super::text::Reader;
use crate::config::{Over, Prompt, RewardModelOptions, Template};
use crate::prompts;
use crate::run::FileError;

/// Why a reward model cannot score.
#[derive(Debug, thiserror::Error)]
pub enum ScorerError {
    /// Its folder.
    #[error(transparent)]
    Model(#[from] policy::Error),
    /// Its tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] rollout::Error),
    /// What it says of its training.
    #[error(transparent)]
    About(#[from] FileError),
    /// A stage that is not known here.
    #[error("`model` is what a stage makes, and the stage is not at hand: name the folder of its last checkpoint")]
    NotThere,
}

/// A reward model from a folder.
#[derive(Debug)]
pub struct Scorer {
    model: RewardModel,
    weights: Weights,
    /// What makes its tokens.
    pub reader: Reader,
}

impl Scorer {
    /// Loads the model that `options` names.
    ///
    /// # Errors
    /// If its folder cannot be used.
    pub fn load(options: &RewardModelOptions, dtype: Dtype, device: Device) -> Result<Self, ScorerError> {
        let folder = options.model.path_now().ok_or(ScorerError::NotThere)?;
        let model = RewardModel::load(folder, dtype, device)?;
        let weights = model.frozen_weights();
        Ok(Self { reader: reader(folder, model.config(), options)?, weights, model })
    }

    /// Looks at a folder without its weights.
    ///
    /// # Errors
    /// If it is not that of a reward model, or its tokenizer cannot be used.
    pub fn check(folder: &Path, options: &RewardModelOptions) -> Result<(), ScorerError> {
        reader(folder, &RewardModel::check(folder)?, options).map(drop)
    }

    /// The longest sequence that it can read, in tokens.
    pub fn context(&self) -> usize {
        self.model.config().max_position_embeddings as usize
    }

    /// Whether a GPU computes its scores.
    pub fn is_on_gpu(&self) -> bool {
        self.model.device().is_cuda()
    }

    /// A score for each sequence, in order; up to `max_batch_tokens` go through the network together.
    pub fn scores(&self, sequences: &[Vec<i64>], max_batch_tokens: usize) -> Vec<f32> {
        let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
        let score = |part: Range<usize>| {
            let part: Vec<&[i64]> = sequences[part].iter().map(Vec::as_slice).collect();
            self.model.scores(&self.weights, &part)
        };
        parts(&lengths, max_batch_tokens).into_iter().flat_map(score).collect()
    }
}

fn reader(folder: &Path, config: &ModelConfig, options: &RewardModelOptions) -> Result<Reader, ScorerError> {
    let (prompt, over) = match About::read(folder)? {
        Some(about) => (about.prompt, about.over),
        None => (Prompt { template: Template::None, ..Prompt::default() }, Over::default()),
    };
    let prompt = Prompt { template: options.template.unwrap_or(prompt.template), ..prompt };
    let tokenizer = Tokenizer::load(folder, config.vocab_size)?;
    Ok(Reader {
        template: prompts::template(&prompt, &tokenizer)?,
        tokenizer,
        over: options.over.unwrap_or(over),
        end: config.eos_token_ids.first().copied(),
    })
}

/// Cuts a list into parts of at most `max_tokens` together, each of at least one.
pub fn parts(lengths: &[usize], max_tokens: usize) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut n_tokens = 0;
    for (idx, &length) in lengths.iter().enumerate() {
        n_tokens += length;
        match parts.last_mut() {
            Some(part) if n_tokens <= max_tokens => part.end = idx + 1,
            _ => {
                parts.push(idx..idx + 1);
                n_tokens = length;
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_what_fits_and_at_least_one() {
        assert_eq!(parts(&[3, 4, 2, 9, 1, 1], 7), [0..2, 2..3, 3..4, 4..6]);
        assert!(parts(&[], 7).is_empty());
        assert_eq!(parts(&[1, 1, 1], 0), [0..1, 1..2, 2..3]);
    }
}
