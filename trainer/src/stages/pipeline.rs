//! The order of stages, and where a resumed run goes on.

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
    // Before anything is made again: a run that is cut short must not find the old beside the new.
    remove_stale(context, &mut ledger)?;
    for (stage_idx, settings) in context.settings.stages.iter().enumerate() {
        if let Some(mark) = ledger.done(stage_idx) {
            context.num_tokens = mark.num_tokens;
            context.earlier_seconds = context.earlier_seconds.max(mark.wall_seconds);
        } else if choice.only.as_deref().is_none_or(|only| only == settings.name()) {
            let Some(mark) = run_stage(context, &ledger, stage_idx)? else { return Ok(Outcome::Stopped) };
            ledger.note_done(stage_idx, mark);
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

/// Removes what is there of stages that are to be made again, but for what a stage that has itself changed can still use.
fn remove_stale(context: &RunContext, ledger: &mut Ledger) -> Result<(), StageError> {
    for (stage_idx, stage) in context.settings.stages.iter().enumerate() {
        let Some(stale) = ledger.stale(stage_idx) else { continue };
        let why =
            if stale.has_changed { ": its part of the run file, or what it was made from, has changed" } else { "" };
        context.progress.say(&format!("stage {} is run again{why}", stage.name()));
        let directory = context.directory;
        for folder in [directory.checkpoints(stage.name()), directory.tokenizer(stage.name())] {
            if folder.exists() {
                atomic::remove(&folder)?;
            }
        }
        let keeps: &[&str] = if stale.is_asked_for { &[] } else { stage.keeps(stale.rests_on_done) };
        let mut made = atomic::entries(&directory.stage(stage.name()))?;
        made.retain(|path| !keeps.iter().any(|name| path.ends_with(name)));
        // A mark of no stage, removed last: as long as it is there, a run that is cut short here finds the stage stale again.
        if let Some(mark) = StageMark::read(directory.path(), stage.name())? {
            StageMark { identity: String::new(), finished: false, ..mark }.write(directory.path())?;
        }
        made.sort_by_key(|path| path.ends_with(stage_mark::STAGE_JSON));
        made.iter().try_for_each(|path| atomic::remove(path))?;
        ledger.note_removed(stage_idx);
    }
    Ok(())
}

/// Runs one stage to its end; none if the user asked to stop before.
fn run_stage(context: &mut RunContext, ledger: &Ledger, stage_idx: usize) -> Result<Option<StageMark>, StageError> {
    let stage = ledger.locate(context, stage_idx)?;
    let name = stage.name().to_owned();
    begun(context, ledger, stage_idx).write(context.directory.path())?;
    let resumed = resume_point(context, &name)?;
    if let Some(checkpoint) = &resumed {
        context.num_tokens = checkpoint.state.num_tokens;
        context.earlier_seconds = context.earlier_seconds.max(checkpoint.state.wall_seconds);
    }
    forget_what_follows(context, ledger, stage_idx, resumed.as_ref().map_or(0, |checkpoint| checkpoint.step))?;
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

/// Removes the lines and completions that a stage wrote after the point at which it goes on, and those of stages of which
/// nothing else is left.
fn forget_what_follows(context: &RunContext, ledger: &Ledger, stage_idx: usize, step: u64) -> Result<(), StageError> {
    let stages = &context.settings.stages;
    let others = (0..stages.len()).filter(|&other| other != stage_idx && ledger.is_kept(other));
    let kept_stages: Vec<String> = others.map(|other| stages[other].name().to_owned()).collect();
    let point = ResumePoint { kept_stages: &kept_stages, stage: stages[stage_idx].name(), step };
    lines::truncate_after(&context.directory.metrics(), &point)?;
    lines::truncate_after(&context.directory.evals(), &point)?;
    lines::truncate_after(&context.directory.doctor(), &point)?;
    completions::remove_after(context.directory.path(), &point)?;
    Ok(())
}
