//! What a GRPO stage saves, and how it takes it up again to the same bits.

use std::io::Write;
use std::path::Path;

use policy::{Dtype, Policy, write_tensors};
use serde_json::Map;

use super::super::{Model, RunContext, StageError};
use super::learner::Learner;
use crate::data::pass_rates::{PassRateRow, Place};
use crate::data::{Course, Questions};
use crate::grpo::EntropyControl;
use crate::optim::AdamW;
use crate::run::{Checkpoint, CheckpointWriter, FileError, TrainerState, atomic, lines};

const OPTIMIZER: &str = "optimizer.safetensors";
const REFERENCE: &str = "reference.safetensors";
const REFERENCE_STEP: &str = "reference_step";
const ENTROPY_CONTROL: &str = "entropy_control";
const QUESTIONS_ASKED: &str = "questions_asked";
const EPOCH: &str = "epoch";
const ASKED_IN_EPOCH: &str = "questions_asked_in_epoch";
const PASS_RATES: &str = "pass_rates.jsonl";

impl Learner<'_> {
    /// Saves the stage after `step`: a Hugging Face folder with the optimiser's state beside it.
    pub(super) fn save(&self, step: u64, context: &RunContext) -> Result<Checkpoint, StageError> {
        context.sync_logs()?;
        let writer = CheckpointWriter::create(&context.directory.checkpoints(&self.settings.name), step)?;
        let folder = writer.path();
        self.policy.save(folder)?;
        self.tokenizer.copy_files(folder).map_err(FileError::at(folder, "write the tokenizer"))?;
        self.optimizer.save(&folder.join(OPTIMIZER))?;
        // Until it is first refreshed, the reference is the model the stage began with, which lies in its own folder.
        if let Some(reference) = self.reference.as_ref().filter(|_| self.reference_step > 0) {
            let tensors = reference.parameters().iter().map(|(name, tensor)| (name.as_str(), tensor));
            write_tensors(&folder.join(REFERENCE), tensors)?;
        }
        let mut extra = Map::new();
        extra.insert(REFERENCE_STEP.into(), self.reference_step.into());
        if self.settings.grpo.has_entropy_bonus() {
            extra.insert(ENTROPY_CONTROL.into(), self.entropy_control.to_bits().into());
        }
        extra.insert(QUESTIONS_ASKED.into(), self.course.asked().to_vec().into());
        if let (Some(pass_rates), Questions::File { problems, .. }) = (self.course.pass_rates(), &self.questions) {
            let place = pass_rates.place();
            extra.insert(EPOCH.into(), place.epoch.into());
            extra.insert(ASKED_IN_EPOCH.into(), place.n_asked.into());
            write_rows(&folder.join(PASS_RATES), &pass_rates.rows(problems))?;
        }
        let state = TrainerState {
            stage: self.settings.name.clone(),
            step,
            num_tokens: context.num_tokens,
            n_updates: step * self.settings.grpo.updates_per_step(),
            wall_seconds: context.wall_seconds(),
            extra,
        };
        state.write(folder)?;
        Ok(writer.commit()?)
    }

    /// Takes up a checkpoint: policy, optimiser, reference, questions.
    pub(super) fn restore(&mut self, checkpoint: &Checkpoint, context: &RunContext) -> Result<(), StageError> {
        let Model { policy, tokenizer } = Model::load(&checkpoint.path, context.dtype, context.device)?;
        self.optimizer = AdamW::new(policy.parameters(), super::learner::adamw(&self.settings.optimizer));
        self.optimizer.load(&checkpoint.path.join(OPTIMIZER))?;
        self.policy = policy;
        self.tokenizer = tokenizer;
        let counter = |name: &str| checkpoint.state.extra.get(name).and_then(serde_json::Value::as_u64);
        self.reference_step = counter(REFERENCE_STEP).unwrap_or(0);
        if let Some(control) = checkpoint.state.extra.get(ENTROPY_CONTROL) {
            let bits = control.as_array().into_iter().flatten().filter_map(serde_json::Value::as_u64);
            self.entropy_control = EntropyControl::from_bits(bits).unwrap_or(self.entropy_control);
        }
        // A checkpoint without the counter is of a program that asked as many questions at every step.
        let n_asked = checkpoint.step * self.settings.rollout.prompts_per_step;
        let mut pass_rates = self.course.pass_rates().cloned();
        if let (Some(pass_rates), Questions::File { problems, .. }) = (&mut pass_rates, &self.questions) {
            let path = checkpoint.path.join(PASS_RATES);
            let count = |name| counter(name).unwrap_or(0);
            let place = Place { epoch: count(EPOCH), n_asked: count(ASKED_IN_EPOCH) };
            let restored = pass_rates.restore(place, &lines::read_whole(&path)?, problems);
            restored.map_err(|source| StageError::PassRates { path, source })?;
        }
        let asked = checkpoint.state.extra.get(QUESTIONS_ASKED).and_then(serde_json::Value::as_array);
        let asked = asked.map(|asked| asked.iter().filter_map(serde_json::Value::as_u64).collect());
        self.course = Course::after(asked.unwrap_or_else(|| vec![n_asked]), pass_rates);
        if self.reference.is_some() && self.reference_step > 0 {
            self.reference = Some(self.read_reference(checkpoint, context.dtype)?.reference());
        }
        Ok(())
    }

    /// The saved reference, as a policy of the same shape.
    fn read_reference(&self, checkpoint: &Checkpoint, dtype: Dtype) -> Result<Policy, StageError> {
        let path = checkpoint.path.join(REFERENCE);
        let stored = policy::read_tensors(&path)?;
        let config = self.policy.config();
        Ok(Policy::from_tensors(&path, config.clone(), stored, dtype, self.policy.device())?)
    }
}

/// One line a problem.
fn write_rows(path: &Path, rows: &[PassRateRow]) -> Result<(), FileError> {
    atomic::write_file_with(path, |file| {
        for row in rows {
            serde_json::to_writer(&mut *file, row)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    })
}
