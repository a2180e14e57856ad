//! The loop of every stage that learns from data it is given: steps, evaluations, metrics and checkpoints.

use std::time::Instant;

use super::{RunContext, StageError};
use crate::config;
use crate::run::{Checkpoint, CheckpointWriter, TrainerState};
use crate::telemetry::metrics::names;
use crate::telemetry::{MetricsRow, StepMetrics};

/// What is done in a step, and what is saved after it.
pub trait Lesson {
    /// The stage's name.
    fn name(&self) -> &str;

    /// Steps of the stage.
    fn steps(&self) -> u64;

    /// When its state is saved.
    fn checkpoint(&self) -> &config::Checkpoint;

    /// One update, the `step`-th counted from 1: its metrics, and the tokens that went through the network.
    ///
    /// # Errors
    /// If data cannot be read, or a loss or gradient is not finite: that update is not made.
    fn step(&mut self, step: u64) -> Result<(StepMetrics, u64), StageError>;

    /// Looks at what is held out, where that is due: before the first step (`step` 0), and after each.
    ///
    /// # Errors
    /// If it cannot be computed or written down.
    fn evaluate(&mut self, _context: &mut RunContext, _step: u64) -> Result<(), StageError> {
        Ok(())
    }

    /// Writes model and optimiser into a folder.
    ///
    /// # Errors
    /// If a file cannot be written.
    fn save(&self, folder: &std::path::Path) -> Result<(), StageError>;
}

/// Says so if the stage ends before its learning rate is reached: how many steps the data give is known only now.
pub fn warn_of_warmup(context: &RunContext, optimizer: &config::Optimizer, steps: u64) {
    let warmup_steps = optimizer.warmup_steps;
    if warmup_steps > steps {
        let warning = format!(
            "warning: warmup_steps is {warmup_steps}, but the data give {steps} steps: the learning rate is not reached"
        );
        context.progress.say(&warning);
    }
}

/// Takes the steps that are left, until the last or until the user asks to stop (then there is no checkpoint of the last step
/// to give back).
///
/// # Errors
/// The first failure; checkpoints made before it are intact.
pub fn learn(
    context: &mut RunContext,
    lesson: &mut impl Lesson,
    resumed: Option<Checkpoint>,
) -> Result<Option<Checkpoint>, StageError> {
    let first = resumed.as_ref().map_or(1, |checkpoint| checkpoint.step + 1);
    context.progress.begin_stage(lesson.name(), first - 1, lesson.steps());
    if first == 1 {
        lesson.evaluate(context, 0)?;
    }
    let mut last = resumed;
    for step in first..=lesson.steps() {
        let began = Instant::now();
        let (mut metrics, n_tokens) = lesson.step(step)?;
        context.num_tokens += n_tokens;
        let step_time = began.elapsed().as_secs_f64();
        complete(&mut metrics, context.num_tokens, step_time);
        context.log_metrics(&MetricsRow { stage: lesson.name().to_owned(), step, metrics: metrics.clone() })?;
        context.progress.step_done(step, &metrics)?;
        lesson.evaluate(context, step)?;
        let ends = step == lesson.steps();
        let stops = context.asked_to_stop() && !ends;
        let checkpoint = lesson.checkpoint();
        let due = checkpoint.every_steps > 0 && step % checkpoint.every_steps == 0;
        if ends || stops || due {
            let saved = save(context, lesson, step)?;
            saved.prune_older(lesson.checkpoint().keep as usize)?;
            last = Some(saved);
        }
        if stops {
            return Ok(None);
        }
    }
    Ok(last)
}

/// What every step has: tokens so far, its time, and what of that is in none of its parts.
fn complete(metrics: &mut StepMetrics, num_tokens: u64, step_time: f64) {
    let parts = [names::TIMING_FORWARD, names::TIMING_HEAD, names::TIMING_BACKWARD, names::TIMING_OPTIMIZER];
    let parts: f64 = parts.iter().filter_map(|name| metrics.get(name)).sum();
    metrics.set(names::NUM_TOKENS, num_tokens as f64);
    metrics.set(names::TIMING_OTHER, step_time - parts);
    metrics.set(names::STEP_TIME, step_time);
}

fn save(context: &RunContext, lesson: &impl Lesson, step: u64) -> Result<Checkpoint, StageError> {
    context.sync_logs()?;
    let writer = CheckpointWriter::create(&context.directory.checkpoints(lesson.name()), step)?;
    lesson.save(writer.path())?;
    let state = TrainerState {
        stage: lesson.name().to_owned(),
        step,
        num_tokens: context.num_tokens,
        n_updates: step,
        wall_seconds: context.wall_seconds(),
        extra: serde_json::Map::new(),
    };
    state.write(writer.path())?;
    Ok(writer.commit()?)
}
