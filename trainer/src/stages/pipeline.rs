//! The order of stages, and where a resumed run goes on.

use std::path::Path;

use super::ledger::{Ledger, StageChoice};
use super::{Model, RunContext, StageError, curate, eval, finish, grpo, pretrain, reward_model, sample, sft};
use crate::config::Stage;
use crate::run::checkpoint::latest_valid;
use crate::run::{Checkpoint, ResumePoint, StageMark, atomic, completions, lines, stage_mark};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every stage that was asked for is done.
    Finished,
    /// The user asked to stop; everything up to the last finished step is saved.
    Stopped,
}

/// Runs every stage that is asked for and not done yet; when all are done, writes the summary.
///
/// A stage reads what earlier ones have made ([`Ledger::locate`]). Where it has a checkpoint already, or has written down a part
/// of its work, it goes on behind that.
///
/// # Errors
/// The first failure; checkpoints made before it are intact.
pub fn run(context: &mut RunContext, choice: &StageChoice) -> Result<Outcome, StageError> {
    let mut ledger = Ledger::read(context.settings, context.directory, choice)?;
    if !ledger.all_done() && context.directory.is_finished() {
        atomic::remove(&context.directory.summary())?;
    }
    for (stage_idx, settings) in context.settings.stages.iter().enumerate() {
        if let Some(mark) = ledger.done(stage_idx) {
            context.num_tokens = mark.num_tokens;
            context.earlier_seconds = context.earlier_seconds.max(mark.wall_seconds);
        } else if choice.only.as_deref().is_none_or(|only| only == settings.name()) {
            let again = choice.from.is_some();
            let Some(mark) = run_stage(context, &ledger, stage_idx, again)? else { return Ok(Outcome::Stopped) };
            ledger.set(stage_idx, Some(mark));
            if context.asked_to_stop() && stage_idx + 1 < context.settings.stages.len() {
                return Ok(Outcome::Stopped);
            }
        } else {
            continue;
        }
        if let Stage::Pretrain(settings) = settings {
            // Also for a stage found done: the process may have ended between its last checkpoint and this.
            pretrain::export(context, settings, &ledger.made_by(context, stage_idx))?;
        }
    }
    if ledger.all_done() {
        let last = ledger.last_policy(context);
        let model = last.map(|folder| Model::load(&folder, context.dtype, context.device)).transpose()?;
        finish::finish(context, &ledger, model.as_ref())?;
    }
    Ok(Outcome::Finished)
}

/// Runs one stage to its end; none if the user asked to stop before.
///
/// - `again`: whether what was made of it before is to be forgotten
fn run_stage(
    context: &mut RunContext,
    ledger: &Ledger,
    stage_idx: usize,
    again: bool,
) -> Result<Option<StageMark>, StageError> {
    let stage = ledger.locate(context, stage_idx)?;
    let name = stage.name().to_owned();
    take_up(context, ledger, stage_idx, again)?;
    let resumed = resume_point(context, &name)?;
    if let Some(checkpoint) = &resumed {
        context.num_tokens = checkpoint.state.num_tokens;
        context.earlier_seconds = context.earlier_seconds.max(checkpoint.state.wall_seconds);
    }
    let n_done = resumed.as_ref().map_or(0, |checkpoint| checkpoint.step);
    forget_what_follows(context, ledger, &name, n_done)?;
    if let Some(steps) = stage.steps() {
        context.progress.begin_stage(&name, n_done.min(steps), steps);
    }
    let steps = match resumed {
        Some(checkpoint) if stage.steps() == Some(checkpoint.step) => Some(checkpoint.step),
        resumed => match &stage {
            Stage::Pretrain(settings) => step_of(pretrain::run(context, settings, stage_idx, resumed)?),
            Stage::Sft(settings) => step_of(sft::run(context, settings, stage_idx, resumed)?),
            Stage::Grpo(settings) => step_of(grpo::run(context, settings, stage_idx, resumed)?),
            Stage::Sample(settings) => sample::run(context, settings, stage_idx)?,
            Stage::Curate(settings) => curate::run(context, settings, stage_idx)?,
            Stage::RewardModel(settings) => step_of(reward_model::run(context, settings, stage_idx, resumed)?),
            Stage::Eval(settings) => {
                let Stage::Eval(named) = &context.settings.stages[stage_idx] else { unreachable!("it is one stage") };
                eval::run(context, settings, named, stage_idx)?.then_some(0)
            }
        },
    };
    let Some(steps) = steps else { return Ok(None) };
    context.sync_logs()?;
    let mark = StageMark {
        finished: true,
        steps,
        num_tokens: context.num_tokens,
        wall_seconds: context.wall_seconds(),
        ..begun(context, ledger, stage_idx)
    };
    mark.write(context.directory.path())?;
    Ok(Some(mark))
}

fn step_of(last: Option<Checkpoint>) -> Option<u64> {
    last.map(|checkpoint| checkpoint.step)
}

/// The mark of a stage that has begun.
fn begun(context: &RunContext, ledger: &Ledger, stage_idx: usize) -> StageMark {
    let stage = &context.settings.stages[stage_idx];
    StageMark {
        stage: stage.name().to_owned(),
        kind: stage.kind().name().to_owned(),
        identity: ledger.identity(stage_idx).to_owned(),
        finished: false,
        steps: 0,
        num_tokens: 0,
        wall_seconds: 0.0,
    }
}

/// Makes the folder of a stage its own: what is there of another stage of this name, or of this one where it is to be run
/// again, is removed.
fn take_up(context: &RunContext, ledger: &Ledger, stage_idx: usize, again: bool) -> Result<(), StageError> {
    let (run, stage) = (context.directory.path(), &context.settings.stages[stage_idx]);
    let mark = StageMark::read(run, stage.name())?;
    let is_same = mark.as_ref().is_some_and(|mark| mark.identity == ledger.identity(stage_idx));
    // At a constant rate a stage may be made longer, not shorter.
    let is_longer = mark.as_ref().is_some_and(|mark| stage.steps().is_some_and(|steps| steps < mark.steps));
    if mark.is_some() && (again || !is_same || is_longer) {
        let why = if is_same { "" } else { ": its part of the run file, or what it starts from, has changed" };
        context.progress.say(&format!("stage {} is run again{why}", stage.name()));
        let keeps: &[&str] = if again { &[] } else { stage.keeps() };
        let is_kept = |path: &Path| keeps.iter().any(|name| path.ends_with(name));
        let made = atomic::entries(&stage_mark::folder(run, stage.name()))?;
        for path in made.iter().filter(|path| !is_kept(path)).chain([&context.directory.checkpoints(stage.name())]) {
            if path.exists() {
                atomic::remove(path)?;
            }
        }
    }
    Ok(begun(context, ledger, stage_idx).write(run)?)
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

/// Removes the lines and completions written after the point at which the run goes on, and those of stages that are neither
/// done nor at hand: these begin with something that is made anew.
fn forget_what_follows(context: &RunContext, ledger: &Ledger, stage: &str, step: u64) -> Result<(), StageError> {
    let done = ledger.names_of_done();
    let point = ResumePoint { done_stages: &done, stage, step };
    lines::truncate_after(&context.directory.metrics(), &point)?;
    lines::truncate_after(&context.directory.evals(), &point)?;
    lines::truncate_after(&context.directory.doctor(), &point)?;
    completions::remove_after(context.directory.path(), &point)?;
    Ok(())
}
