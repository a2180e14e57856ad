//! What a GRPO stage saves, and how it takes it up again to the same bits.

use policy::{Dtype, Policy, write_tensors};
use serde_json::Map;

use super::super::{Model, RunContext, StageError};
use super::learner::Learner;
use crate::grpo::EntropyControl;
use crate::optim::AdamW;
use crate::run::{Checkpoint, CheckpointWriter, FileError, TrainerState};

const OPTIMIZER: &str = "optimizer.safetensors";
const REFERENCE: &str = "reference.safetensors";
const REFERENCE_STEP: &str = "reference_step";
const ENTROPY_CONTROL: &str = "entropy_control";

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

    /// Takes up a checkpoint: policy, optimiser, reference.
    pub(super) fn restore(&mut self, checkpoint: &Checkpoint, context: &RunContext) -> Result<(), StageError> {
        let Model { policy, tokenizer } = Model::load(&checkpoint.path, context.dtype, context.device)?;
        self.optimizer = AdamW::new(policy.parameters(), super::learner::adamw(&self.settings.optimizer));
        self.optimizer.load(&checkpoint.path.join(OPTIMIZER))?;
        self.policy = policy;
        self.tokenizer = tokenizer;
        self.reference_step =
            checkpoint.state.extra.get(REFERENCE_STEP).and_then(serde_json::Value::as_u64).unwrap_or(0);
        if let Some(control) = checkpoint.state.extra.get(ENTROPY_CONTROL) {
            let bits = control.as_array().into_iter().flatten().filter_map(serde_json::Value::as_u64);
            self.entropy_control = EntropyControl::from_bits(bits).unwrap_or(self.entropy_control);
        }
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
