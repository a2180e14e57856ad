//! A stage of kind `grpo`: steps, evaluations, checkpoints and logs around [`Learner::step`].

mod checkup;
mod flat;
mod gathering;
mod judging;
pub(super) mod learner;
mod logprobs;
mod report;
mod sampling;
mod state;
mod token_choice;
mod trajectories;
mod update;

use std::time::Instant;

use super::held_out::HeldOut;
use super::{Model, RunContext, StageError};
use crate::config::GrpoStage;
use crate::judges::Judges;
use crate::run::{Checkpoint, completions};
use crate::telemetry::MetricsRow;
use checkup::Checkup;
pub(super) use judging::{Judged, Panel, view};
use learner::{Learner, StepFailure};
pub(super) use learner::{adamw, schedule};
use report::Between;
pub(crate) use sampling::forced_end;
pub(super) use sampling::{prompts, sampling_params};

/// Runs the stage to its end, or until the user asks to stop (then there is no checkpoint of the last step to give back).
///
/// The model folder that the stage starts from is read also when it is resumed: the first reference policy is in it.
///
/// # Errors
/// The first failure.
pub fn run(
    context: &mut RunContext,
    settings: &GrpoStage,
    stage_idx: usize,
    resumed: Option<Checkpoint>,
) -> Result<Option<Checkpoint>, StageError> {
    let held_out = settings.eval.as_ref().map(|eval| -> Result<_, StageError> {
        let judges = Judges::for_evaluation(&settings.rewards, &settings.problems)?;
        context.prepare(&judges)?;
        HeldOut::open(eval, judges)
    });
    let held_out = held_out.transpose()?;
    let model = Model::load(settings.init.folder(), context.dtype, context.device)?;
    let mut learner = Learner::new(settings, model, context.settings.run.seed, stage_idx)?;
    context.prepare(&learner.judges)?;
    let first = match &resumed {
        Some(checkpoint) => {
            learner.restore(checkpoint, context)?;
            checkpoint.step + 1
        }
        None => 1,
    };
    context.progress.begin_stage(&settings.name, first - 1, settings.steps);
    learner.check_first_prompts(first)?;
    let mut checkup = Checkup::open(context, settings, &learner.judges)?;
    let mut between = Between::default();
    if let Some(held_out) = held_out.as_ref().filter(|_| first == 1) {
        timed(&mut between.evaluation, || held_out.evaluate(context, &learner.examined(1), 0))?;
    }
    let mut last = resumed;
    for step in first..=settings.steps {
        let began = Instant::now();
        let record = match learner.step(step, context.progress) {
            Ok(record) => record,
            Err(failure) => {
                let unsaved = last.as_ref().map_or(0, |checkpoint| checkpoint.step) + 1 < step;
                return Err(keep_what_is_good(&learner, context, step, failure, unsaved)?);
            }
        };
        let step_time = began.elapsed().as_secs_f64();
        context.num_tokens += record.n_tokens();
        let metrics = record.metrics(context.num_tokens, step_time, std::mem::take(&mut between));
        completions::write(context.directory.path(), &settings.name, step, &record.rows(step))?;
        context.log_metrics(&MetricsRow { stage: settings.name.clone(), step, metrics: metrics.clone() })?;
        context.progress.step_done(step, &metrics)?;
        let look = |checkup: &mut Checkup| checkup.visit(context, &learner, &record, step, &metrics);
        let is_dead = checkup.as_mut().map(look).transpose()? == Some(true);

        let due = |every: u64| every > 0 && step % every == 0;
        let ends = step == settings.steps;
        if let Some(held_out) = held_out.as_ref().filter(|held_out| ends || due(held_out.every_steps())) {
            timed(&mut between.evaluation, || held_out.evaluate(context, &learner.examined(step), step))?;
        }
        let stops = context.asked_to_stop() && !ends;
        let dead = is_dead && !ends;
        if ends || stops || dead || due(settings.checkpoint.every_steps) {
            let checkpoint = timed(&mut between.checkpoint, || learner.save(step, context))?;
            checkpoint.prune_older(settings.checkpoint.keep as usize)?;
            last = Some(checkpoint);
        }
        if dead {
            return Err(StageError::Dead { stage: settings.name.clone(), step });
        }
        if stops {
            return Ok(None);
        }
    }
    Ok(last)
}

/// Does `work` and adds the time it took.
fn timed<T>(seconds: &mut f64, work: impl FnOnce() -> T) -> T {
    let clock = Instant::now();
    let result = work();
    *seconds += clock.elapsed().as_secs_f64();
    result
}

/// Before a run ends with an error in the middle of a step: writes the completions that led to it, and saves the steps
/// before it if they are `unsaved` and the policy is still theirs. Gives the error back.
fn keep_what_is_good(
    learner: &Learner,
    context: &RunContext,
    step: u64,
    failure: Box<StepFailure>,
    unsaved: bool,
) -> Result<StageError, StageError> {
    let StepFailure { error, record } = *failure;
    if let Some(record) = &record {
        completions::write(context.directory.path(), &learner.settings.name, step, &record.rows(step))?;
    }
    // Not if it failed in sampling: weights that are no numbers any more would be found damaged by whoever reads them.
    let untouched = record.is_some_and(|record| record.report.n_updates == 0);
    if unsaved && untouched {
        learner.save(step - 1, context)?;
    }
    Ok(error)
}
