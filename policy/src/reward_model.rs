//! The reward model: the policy's decoder with one number for a sequence in place of logits.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::config::SCORE;
use crate::cpu::gradients::Gradients;
use crate::model::{self, Model};
use crate::network::Engine;
use crate::weights::Form;
use crate::{Checkpointing, Dtype, Error, ModelConfig, PackedBatch, Result, Weights, cpu, libtorch};
use crate::{safetensors_io, tape};

/// Deviation of a fresh head where config.json names none: transformers' `initializer_range`, with which TRL's RewardTrainer
/// begins too.
const INITIALIZER_RANGE: f64 = 0.02;

/// A network that scores whole sequences: transformers' `*ForSequenceClassification` with one label.
///
/// The score is a product of `score.weight` with the last state of the sequence, which is that of its last token other than
/// the pad token of config.json, as in transformers.
#[derive(Debug)]
pub struct RewardModel {
    model: Model,
}

impl RewardModel {
    /// Loads a Hugging Face folder of a `*ForSequenceClassification` model.
    ///
    /// # Errors
    /// If it has no `score.weight`, or scores for several labels, or config.json asks for something the decoder does not do,
    /// or a tensor is missing, spare, misshapen or not finite.
    pub fn load(folder: &Path, dtype: Dtype, device: Device) -> Result<Self> {
        let config = Self::check(folder)?;
        let stored = model::stored_tensors(folder)?;
        Ok(Self { model: Model::from_tensors(folder, config.with_score(), stored, dtype, device)? })
    }

    /// Whether a folder is that of a reward model, without reading its weights: its config.json.
    ///
    /// # Errors
    /// If it has no `score.weight`, or scores for several labels, or config.json asks for something the decoder does not do.
    pub fn check(folder: &Path) -> Result<ModelConfig> {
        let config = ModelConfig::load(folder)?;
        if !safetensors_io::names(folder)?.contains(SCORE) {
            return Err(Error::NotARewardModel { path: folder.into() });
        }
        match config.n_labels() {
            1 => Ok(config),
            n_labels => Err(Error::Labels { path: folder.into(), n_labels }),
        }
    }

    /// The decoder of a policy's folder, with a fresh head.
    ///
    /// - `normal(n)`: `n` standard normal numbers for the head, which become `initializer_range` of config.json times as large,
    ///   or 0.02 times. The caller owns the randomness.
    ///
    /// # Errors
    /// As [`Policy::load`](crate::Policy::load).
    pub fn from_policy(
        folder: &Path,
        dtype: Dtype,
        device: Device,
        normal: impl FnOnce(usize) -> Vec<f32>,
    ) -> Result<Self> {
        let config = ModelConfig::load(folder)?;
        let mut stored = model::stored_tensors(folder)?;
        if stored.contains_key(SCORE) {
            return Err(Error::NotAPolicy { path: folder.into() });
        }
        stored.remove("lm_head.weight");
        let range =
            config.json.get("initializer_range").and_then(serde_json::Value::as_f64).unwrap_or(INITIALIZER_RANGE);
        let head = Tensor::from_slice(&normal(config.hidden_size as usize)) * range;
        stored.insert(SCORE.to_owned(), head.reshape([1, -1]));
        Ok(Self { model: Model::from_tensors(folder, config.with_score(), stored, dtype, device)? })
    }

    /// The same model, computed by libtorch's plain operations: to be compared with.
    #[must_use]
    pub fn by_libtorch(self) -> Self {
        Self { model: self.model.by_libtorch() }
    }

    /// Writes config.json and model.safetensors (float32) into `folder`, as transformers reads them.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        self.model.save(folder)
    }

    /// The decoder's shape; its head is [`Head::Score`](crate::Head::Score).
    pub fn config(&self) -> &ModelConfig {
        &self.model.network.config
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.model.network.device
    }

    /// The master weights: what the optimiser updates, under their Hugging Face names.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        &self.model.parameters
    }

    /// Weights for forward and backward passes; stale once the master weights change.
    pub fn trainable_weights(&self) -> Weights {
        self.model.weights(true)
    }

    /// Weights for forward passes alone; stale once the master weights change.
    pub fn frozen_weights(&self) -> Weights {
        self.model.weights(false)
    }

    /// The score of each sequence, in order, without a graph. On the CPU a score has the same bits whatever else is in the
    /// batch.
    ///
    /// - `sequences`: token ids, all of which lie in memory together
    ///
    /// # Panics
    /// If a sequence is empty, or the weights were made by another engine.
    pub fn scores(&self, weights: &Weights, sequences: &[&[i64]]) -> Vec<f32> {
        if sequences.is_empty() {
            return Vec::new();
        }
        let batch = self.batch(sequences);
        match (&self.model.network.engine, &weights.0) {
            (Engine::Cpu(shape), Form::Packed(weights)) => {
                let x = cpu::tape::hidden(shape, weights, &batch);
                cpu::score::scores(shape, weights, &cpu::tape::at_rows(&x, &batch.predictors, shape))
            }
            (Engine::Libtorch, Form::Tensors(weights)) => {
                let hidden = libtorch::head::predictors(&self.model.network, weights, &batch);
                vector(&libtorch::score::scores(&hidden, &weights.head))
            }
            _ => panic!("weights are made for their engine"),
        }
    }

    /// Differentiates a loss of scores: adds to the gradients of the parameters.
    ///
    /// - `weights`: [`Self::trainable_weights`]; `sequences`: token ids, at least one sequence
    /// - `loss(scores)`: a scalar that depends on `scores`, `[sequences]`, float32, a leaf of its graph
    ///
    /// # Errors
    /// That of `loss`; no gradient has been added then.
    ///
    /// # Panics
    /// If a sequence is empty, or the weights were made by another engine.
    pub fn differentiate<E>(
        &self,
        weights: &Weights,
        sequences: &[&[i64]],
        checkpointing: Checkpointing,
        loss: impl FnOnce(&Tensor) -> std::result::Result<Tensor, E>,
    ) -> std::result::Result<(), E> {
        let batch = self.batch(sequences);
        match self.model.record(weights, &batch, checkpointing) {
            tape::Form::Cpu(tape) => {
                let ((shape, weights), x) = (tape.network(), tape.predictors());
                let d_scores = slopes(&Tensor::from_slice(&cpu::score::scores(shape, weights, &x)), loss)?;
                let mut gradients = Gradients::of(&self.model.parameters);
                let chunk = cpu::score::backward(shape, weights, &x, &vector(&d_scores));
                let d_x = gradients.add_head(weights, chunk);
                tape.backward(&d_x, &mut gradients);
            }
            tape::Form::Libtorch(tape) => {
                let (hidden, head) = (tape.hidden(), tape.weights().head.detach());
                let d_scores = slopes(&libtorch::score::scores(&hidden, &head), loss)?;
                let (d_hidden, d_head) = libtorch::score::backward(&hidden, &head, &d_scores);
                tape.backward(&d_hidden, &d_head);
            }
        }
        Ok(())
    }

    /// The sequences side by side, each asked at its last token that is not the pad token.
    fn batch(&self, sequences: &[&[i64]]) -> PackedBatch {
        let pad = self.config().pad_token_id();
        let read = |sequence: &&'_ [i64]| {
            assert!(!sequence.is_empty(), "a sequence has at least one token");
            // One that is nothing else is read at its first token, as in transformers.
            1 + sequence.iter().rposition(|&id| Some(id) != pad).unwrap_or(0)
        };
        PackedBatch::to_last_tokens(sequences.iter().map(|sequence| &sequence[..read(sequence)]))
    }
}

/// The gradient of a loss with respect to scores.
fn slopes<E>(
    scores: &Tensor,
    loss: impl FnOnce(&Tensor) -> std::result::Result<Tensor, E>,
) -> std::result::Result<Tensor, E> {
    let scores = scores.set_requires_grad(true);
    let loss = loss(&scores)?;
    if loss.requires_grad() {
        loss.backward();
    }
    Ok(Some(scores.grad()).filter(Tensor::defined).unwrap_or_else(|| tch::no_grad(|| scores.zeros_like())))
}

fn vector(tensor: &Tensor) -> Vec<f32> {
    Vec::<f32>::try_from(tensor.to_device(Device::Cpu).to_kind(Kind::Float)).expect("a vector of float32")
}
