//! The order of stages, and where a resumed run goes on.

use std::path::PathBuf;

use super::{Model, RunContext, StageError, finish, grpo, pretrain};
use crate::config::Stage;
use crate::run::checkpoint::latest_valid;
use crate::run::{Checkpoint, ResumePoint, atomic, completions, lines};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every stage is done.
    Finished,
    /// The user asked to stop; everything up to the last finished step is saved.
    Stopped,
}

/// Runs every stage that is not done yet, then writes the summary.
///
/// A stage hands its last checkpoint on to the next. Where a stage has a checkpoint already, the run goes on behind it.
///
/// # Errors
/// The first failure; checkpoints made before it are intact.
pub fn run(context: &mut RunContext) -> Result<Outcome, StageError> {
    let stages = &context.settings.stages;
    let mut init: Option<PathBuf> = context.settings.model.as_ref().map(|model| model.path.clone());
    for (stage_idx, stage) in stages.iter().enumerate() {
        let name = stage.name();
        let resumed = resume_point(context, name)?;
        if let Some(checkpoint) = &resumed {
            context.num_tokens = checkpoint.state.num_tokens;
            context.earlier_seconds = checkpoint.state.wall_seconds;
        }
        let n_done = resumed.as_ref().map_or(0, |checkpoint| checkpoint.step);
        let last = if n_done >= stage.steps() {
            resumed
        } else {
            forget_what_follows(context, stage_idx, n_done)?;
            context.progress.begin_stage(name, n_done, stage.steps());
            match stage {
                Stage::Pretrain(settings) => pretrain::run(context, settings, stage_idx, resumed)?,
                Stage::Grpo(settings) => {
                    let folder = init.as_deref().expect("a checked run file says what its first stage starts from");
                    grpo::run(context, settings, stage_idx, folder, resumed)?
                }
            }
        };
        let Some(last) = last else { return Ok(Outcome::Stopped) };
        if context.asked_to_stop() && stage_idx + 1 < stages.len() {
            return Ok(Outcome::Stopped);
        }
        if let Stage::Pretrain(settings) = stage {
            // Also for a stage found done: the process may have ended between its last checkpoint and this.
            pretrain::export(context, settings, &last.path)?;
        }
        init = Some(last.path);
    }
    let last = init.expect("a run has a stage");
    finish::finish(context, &Model::load(&last, context.dtype, context.device)?)?;
    Ok(Outcome::Finished)
}

/// The newest whole checkpoint of a stage; damaged ones are told of. If all are damaged nothing is removed: that is for the
/// user to decide.
fn resume_point(context: &RunContext, stage: &str) -> Result<Option<Checkpoint>, StageError> {
    let folder = context.directory.checkpoints(stage);
    let found = latest_valid(&folder)?;
    if found.checkpoint.is_none() && !found.rejected.is_empty() {
        let reasons: Vec<String> = found.rejected.iter().map(ToString::to_string).collect();
        return Err(StageError::NoWholeCheckpoint { stage: stage.to_owned(), folder, reasons: reasons.join("; ") });
    }
    for rejected in &found.rejected {
        context.progress.say(&format!("warning: {rejected}; going back to the one before"));
    }
    if let Some(checkpoint) = &found.checkpoint {
        context.progress.say(&format!("stage {stage}: going on after step {}", checkpoint.step));
    }
    Ok(found.checkpoint)
}

/// Removes what was written after the point at which the run goes on: lines and completions, and the checkpoints of later
/// stages, which began with a model that is made anew.
fn forget_what_follows(context: &RunContext, stage_idx: usize, step: u64) -> Result<(), StageError> {
    let names: Vec<String> = context.settings.stages.iter().map(|stage| stage.name().to_owned()).collect();
    let point = ResumePoint { earlier_stages: &names[..stage_idx], stage: &names[stage_idx], step };
    lines::truncate_after(&context.directory.metrics(), &point)?;
    lines::truncate_after(&context.directory.evals(), &point)?;
    lines::truncate_after(&context.directory.doctor(), &point)?;
    completions::remove_after(context.directory.path(), &point)?;
    for later in &names[stage_idx + 1..] {
        let folder = context.directory.checkpoints(later);
        if folder.exists() {
            atomic::remove(&folder)?;
        }
    }
    Ok(())
}
