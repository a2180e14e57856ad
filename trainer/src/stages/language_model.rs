//! Updates that make given tokens likelier: what pre-training and supervised fine-tuning have in common.

use std::path::Path;
use std::time::Instant;

use policy::{Checkpointing, PackedBatch, TokenStats, Weights};
use tch::Kind;

use super::descent::descend;
use super::grpo::{adamw, schedule};
use super::{Model, NonFinite, StageError};
use crate::config::Optimizer;
use crate::optim::{AdamW, Schedule};
use crate::run::Checkpoint;
use crate::telemetry::metrics::names;
use crate::telemetry::{StepMetrics, Stopwatch, UpdateSeconds};

const OPTIMIZER: &str = "optimizer.safetensors";

/// A policy that learns text by maximum likelihood.
#[derive(Debug)]
pub struct LanguageModel {
    /// What learns.
    pub model: Model,
    optimizer: AdamW,
    schedule: Schedule,
    settings: Optimizer,
    /// What of a forward pass is kept for the backward pass.
    checkpointing: Checkpointing,
    /// Tokens whose logits are held at once.
    logits_chunk_tokens: i64,
}

impl LanguageModel {
    /// `model` before the first of `steps` steps, or as `resumed` has saved it.
    ///
    /// # Errors
    /// If the saved state of the optimiser cannot be used.
    pub fn new(
        model: Model,
        settings: &Optimizer,
        steps: u64,
        (checkpointing, logits_chunk_tokens): (Checkpointing, u64),
        resumed: Option<&Checkpoint>,
    ) -> Result<Self, StageError> {
        let mut optimizer = AdamW::new(model.policy.parameters(), adamw(settings));
        if let Some(checkpoint) = resumed {
            optimizer.load(&checkpoint.path.join(OPTIMIZER))?;
        }
        Ok(Self {
            model,
            optimizer,
            schedule: schedule(settings, steps),
            settings: settings.clone(),
            checkpointing,
            logits_chunk_tokens: logits_chunk_tokens as i64,
        })
    }

    /// One update on the mean over `n_targets` tokens, which are all targets of `parts` together: -1/n Σ log π(token).
    ///
    /// The denominator is that of the whole update, so how it is cut into parts changes rounding only.
    ///
    /// - `step`: counted from 1
    ///
    /// # Errors
    /// If the loss or a gradient is not finite; the update is not made then.
    pub fn update(
        &mut self,
        step: u64,
        parts: impl IntoIterator<Item = PackedBatch>,
        n_targets: u64,
    ) -> Result<StepMetrics, StageError> {
        let clock = Instant::now();
        let mut seconds = UpdateSeconds::default();
        self.optimizer.zero_grad();
        let weights = self.model.policy.trainable_weights();
        let loss: f64 = parts.into_iter().map(|part| self.backward(&weights, &part, n_targets, &mut seconds)).sum();
        drop(weights);
        if !loss.is_finite() {
            return Err(StageError::NonFinite { step, what: NonFinite::TextLoss { value: loss } });
        }
        let mut watch = Stopwatch::start(self.model.policy.device());
        let parameters = self.model.policy.parameters();
        let (grad_norm, learning_rate) =
            descend(parameters, &mut self.optimizer, &self.schedule, &self.settings, step)?;
        seconds.optimizer += watch.lap();
        let mut metrics = StepMetrics::from([
            (names::LOSS, loss),
            (names::GRAD_NORM, grad_norm),
            (names::LEARNING_RATE, learning_rate),
            (names::TRAINING_TOKENS_PER_SECOND, n_targets as f64 / clock.elapsed().as_secs_f64()),
        ]);
        metrics.extend(seconds.metrics());
        Ok(metrics)
    }

    /// Adds the gradient of the mean loss over `n_targets`, of which these are a part; gives back that part, in nats.
    fn backward(&self, weights: &Weights, part: &PackedBatch, n_targets: u64, seconds: &mut UpdateSeconds) -> f64 {
        let policy = &self.model.policy;
        let mut watch = Stopwatch::start(policy.device());
        let tape = policy.forward(weights, part, self.checkpointing);
        seconds.forward += watch.lap();
        let mut total = 0.0;
        let loss = |_: i64, chunk: &TokenStats| {
            let loss = -chunk.logprobs.sum(Kind::Float) / n_targets as f64;
            total += loss.double_value(&[]);
            Ok::<_, StageError>(loss)
        };
        let behind_head = tape.loss_in_chunks(1.0, self.logits_chunk_tokens, loss).expect("this loss has no error");
        seconds.head += watch.lap();
        behind_head.backward();
        seconds.backward += watch.lap();
        total
    }

    /// Writes a Hugging Face folder with the optimiser's state beside it.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), StageError> {
        self.model.save(folder)?;
        Ok(self.optimizer.save(&folder.join(OPTIMIZER))?)
    }
}
