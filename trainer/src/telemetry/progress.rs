//! Progress while a run goes on: three bars on a terminal, one plain line a step elsewhere, and a copy in `log.txt`.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::format::{compact, duration, small};
use super::metrics::{StepMetrics, names};
use crate::run::FileError;

/// How progress is shown on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressMode {
    /// Bars that redraw themselves.
    Bars,
    /// One line a step.
    Lines,
}

impl ProgressMode {
    /// Bars if standard error is a terminal that can move its cursor, unless `no_progress`.
    pub fn detect(no_progress: bool) -> ProgressMode {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if no_progress || dumb || !io::stderr().is_terminal() { ProgressMode::Lines } else { ProgressMode::Bars }
    }
}

/// The progress display of a run. Its methods take `&self`, so that threads can share it.
pub struct Progress {
    view: View,
    state: Mutex<State>,
}

enum View {
    Bars(Bars),
    Lines(Mutex<Box<dyn Write + Send>>),
}

struct Bars {
    all: MultiProgress,
    run: ProgressBar,
    rollout: ProgressBar,
    update: ProgressBar,
}

struct State {
    log: File,
    log_path: PathBuf,
    /// The first failed write to `log.txt`, handed out by the next call that can fail.
    failure: Option<FileError>,
    stage: String,
    n_steps: u64,
    recent_step_seconds: VecDeque<f64>,
}

/// Steps whose mean duration predicts the rest: enough to even out lengths, few enough to follow their growth.
const RECENT_STEPS: usize = 20;

impl Progress {
    /// Starts a display on standard error; plain lines are appended to `log_path` in either mode.
    ///
    /// # Errors
    /// The log file cannot be opened.
    pub fn new(mode: ProgressMode, log_path: &Path) -> Result<Progress, FileError> {
        match mode {
            ProgressMode::Bars => Progress::with_view(View::Bars(Bars::new(ProgressDrawTarget::stderr())), log_path),
            ProgressMode::Lines => Progress::with_view(View::Lines(Mutex::new(Box::new(io::stderr()))), log_path),
        }
    }

    fn with_view(view: View, log_path: &Path) -> Result<Progress, FileError> {
        let log = OpenOptions::new().create(true).append(true).open(log_path);
        let state = State {
            log: log.map_err(FileError::at(log_path, "open"))?,
            log_path: log_path.to_path_buf(),
            failure: None,
            stage: String::new(),
            n_steps: 0,
            recent_step_seconds: VecDeque::new(),
        };
        Ok(Progress { view, state: Mutex::new(state) })
    }

    /// A stage begins, or goes on after `n_done` of its `n_steps` steps.
    pub fn begin_stage(&self, name: &str, n_done: u64, n_steps: u64) {
        {
            let mut state = self.state();
            state.stage = name.to_owned();
            state.n_steps = n_steps;
            state.recent_step_seconds.clear();
        }
        if let View::Bars(bars) = &self.view {
            bars.run.set_prefix(name.to_owned());
            bars.run.set_length(n_steps);
            bars.run.set_position(n_done);
            bars.run.set_message("");
        }
    }

    /// The sampling of a step begins.
    pub fn begin_rollout(&self, n_completions: u64) {
        self.begin_sampling("rollout", n_completions);
    }

    /// An evaluation begins; [`Progress::rollout`] counts its completions too.
    pub fn begin_eval(&self, n_completions: u64) {
        self.begin_sampling("evaluate", n_completions);
    }

    fn begin_sampling(&self, what: &'static str, n_completions: u64) {
        if let View::Bars(bars) = &self.view {
            // A bar shows from its first change on; before the first update there is nothing to show.
            if bars.update.length() > Some(0) {
                bars.update.set_position(0);
            }
            bars.rollout.set_prefix(what);
            restart(&bars.rollout, n_completions);
        }
    }

    /// `n_done` completions of the step are finished, at `tokens_per_second` so far.
    pub fn rollout(&self, n_done: u64, tokens_per_second: f64) {
        if let View::Bars(bars) = &self.view {
            bars.rollout.set_position(n_done);
            bars.rollout.set_message(format!("{} tok/s", compact(tokens_per_second)));
        }
    }

    /// The update of a step begins; `n_parts` is what [`Progress::update`] will count, micro-batches say.
    pub fn begin_update(&self, n_parts: u64) {
        if let View::Bars(bars) = &self.view {
            restart(&bars.update, n_parts);
        }
    }

    /// `n_done` parts of the update are done.
    pub fn update(&self, n_done: u64) {
        if let View::Bars(bars) = &self.view {
            bars.update.set_position(n_done);
        }
    }

    /// A step is done. `step` counts from 1. Shows reward, accuracy, length, KL (or the loss, without rewards), speed
    /// and time left, as far as the metrics have them.
    ///
    /// # Errors
    /// `log.txt` could not be written, now or since the last call.
    pub fn step_done(&self, step: u64, metrics: &StepMetrics) -> Result<(), FileError> {
        let mut state = self.state();
        let left = state.seconds_left(step, metrics.get(names::STEP_TIME));
        let (stage, n_steps) = (state.stage.clone(), state.n_steps);
        let mut fields = describe(metrics);
        fields.extend(left.map(|seconds| format!("left {}", duration(seconds))));
        let line = format!("step {step}/{n_steps}  {}", fields.join("  "));
        state.log(&line);
        match &self.view {
            View::Bars(bars) => {
                bars.run.set_prefix(stage);
                bars.run.set_position(step);
                bars.run.set_message(fields.join("  "));
            }
            View::Lines(out) => print(out, &line),
        }
        state.failure.take().map_or(Ok(()), Err)
    }

    /// Prints a message above the bars, or as a line. A failing write to `log.txt` is reported by the next call that
    /// can fail.
    pub fn say(&self, message: &str) {
        self.state().log(message);
        match &self.view {
            // Without a terminal there is nobody to tell; the log has it.
            View::Bars(bars) => drop(bars.all.println(message)),
            View::Lines(out) => print(out, message),
        }
    }

    /// Ends the display: the bars vanish, what was said stays.
    ///
    /// # Errors
    /// `log.txt` could not be written since the last call.
    pub fn finish(&self) -> Result<(), FileError> {
        if let View::Bars(bars) = &self.view {
            for bar in [&bars.run, &bars.rollout, &bars.update] {
                bar.finish_and_clear();
            }
        }
        self.state().failure.take().map_or(Ok(()), Err)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked while printing leaves nothing behind that could be half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn log(&mut self, line: &str) {
        if let Err(error) = self.log.write_all(format!("{line}\n").as_bytes()) {
            self.failure.get_or_insert_with(|| FileError::at(&self.log_path, "append a line")(error));
        }
    }

    fn seconds_left(&mut self, step: u64, step_seconds: Option<f64>) -> Option<f64> {
        self.recent_step_seconds.push_back(step_seconds?);
        if self.recent_step_seconds.len() > RECENT_STEPS {
            self.recent_step_seconds.pop_front();
        }
        let mean = self.recent_step_seconds.iter().sum::<f64>() / self.recent_step_seconds.len() as f64;
        Some(mean * self.n_steps.saturating_sub(step) as f64)
    }
}

impl Bars {
    fn new(target: ProgressDrawTarget) -> Bars {
        let all = MultiProgress::with_draw_target(target);
        let bar = |prefix: &'static str, template: &str| {
            let style = ProgressStyle::with_template(template).expect("the template is constant and tested");
            all.add(ProgressBar::new(0).with_style(style.progress_chars("━╸─")).with_prefix(prefix))
        };
        let run = bar("run", "{prefix:>8.bold} {bar:24.cyan/white.dim} {pos:>5}/{len}  {msg}");
        let rollout = bar("rollout", "{prefix:>8.dim} {bar:24.blue/white.dim} {pos:>5}/{len}  {msg}");
        let update = bar("update", "{prefix:>8.dim} {bar:24.magenta/white.dim} {pos:>5}/{len}  {msg}");
        Bars { all, run, rollout, update }
    }
}

fn restart(bar: &ProgressBar, length: u64) {
    bar.set_length(length);
    bar.set_position(0);
    bar.set_message("");
}

fn print(out: &Mutex<Box<dyn Write + Send>>, line: &str) {
    // Standard error may be closed; that is no reason to stop a training run.
    let _ = writeln!(out.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
}

/// The metrics worth a place on one line, as far as they are there.
fn describe(metrics: &StepMetrics) -> Vec<String> {
    let field = |name: &str, show: fn(f64) -> String| metrics.get(name).map(show);
    let mut fields = vec![
        field(names::REWARD, |value| format!("reward {value:.3}")),
        field(names::ACCURACY, |value| format!("accuracy {value:.2}")),
        field(names::MEAN_LENGTH, |value| format!("length {value:.1}")),
        field(names::KL, |value| format!("kl {}", small(value))),
    ];
    if fields[0].is_none() {
        // GRPO's loss says nothing (its value is near zero by construction); a language model's loss is all there is.
        fields.push(field(names::LOSS, |value| format!("loss {value:.4}")));
    }
    fields.push(field(names::TOKENS_PER_SECOND, |value| format!("{} tok/s", compact(value))));
    fields.push(field(names::STEP_TIME, |value| format!("{value:.1} s/step")));
    fields.into_iter().flatten().collect()
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
