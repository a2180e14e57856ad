//! What every stage of a run shares: settings, run folder, display, logs, the clock and the wish to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use policy::Dtype;
use tch::Device;

use crate::config::Resolved;
use crate::doctor::DoctorRow;
use crate::judges::{Judges, JudgesError};
use crate::run::{FileError, LineLog, RunDirectory};
use crate::telemetry::{EvalRow, MetricsRow, Progress};

/// The run as its stages see it.
pub struct RunContext<'a> {
    /// The resolved run file.
    pub settings: &'a Resolved,
    /// Where everything is written.
    pub directory: &'a RunDirectory,
    /// Bars or lines.
    pub progress: &'a Progress,
    /// What computes.
    pub device: Device,
    /// In which kind.
    pub dtype: Dtype,
    /// Set by Ctrl-C: the step at hand is finished and saved.
    pub stop: Arc<AtomicBool>,
    /// Prompt and completion tokens since the start of the run (TRL's `num_tokens`).
    pub num_tokens: u64,
    /// Seconds spent in the run before this process took it up.
    pub earlier_seconds: f64,
    /// When this process took it up.
    pub started: Instant,
}

impl RunContext<'_> {
    /// Seconds spent in the run, all its starts together.
    pub fn wall_seconds(&self) -> f64 {
        self.earlier_seconds + self.started.elapsed().as_secs_f64()
    }

    /// Makes judges ready for work: reward models are loaded, and nobody waits for a server once the user asks to stop.
    ///
    /// # Errors
    /// If a reward model cannot be used.
    pub fn prepare(&self, judges: &Judges) -> Result<(), JudgesError> {
        judges.stop_when(&self.stop);
        judges.load_models(self.dtype, self.device)
    }

    /// Whether the user asked to stop.
    pub fn asked_to_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Appends a step to metrics.jsonl.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn log_metrics(&self, row: &MetricsRow) -> Result<(), FileError> {
        LineLog::open(&self.directory.metrics())?.append(row)
    }

    /// Forces the logs to the disk, so that no checkpoint is newer than the lines before it.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn sync_logs(&self) -> Result<(), FileError> {
        LineLog::open(&self.directory.metrics())?.sync()?;
        LineLog::open(&self.directory.evals())?.sync()?;
        let doctor = self.directory.doctor();
        // There only once something was said.
        if doctor.exists() { LineLog::open(&doctor)?.sync() } else { Ok(()) }
    }

    /// Appends an evaluation to eval.jsonl.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn log_eval(&self, row: &EvalRow) -> Result<(), FileError> {
        LineLog::open(&self.directory.evals())?.append(row)
    }

    /// Appends what the doctor said to doctor.jsonl.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn log_doctor(&self, row: &DoctorRow) -> Result<(), FileError> {
        LineLog::open(&self.directory.doctor())?.append(row)
    }
}
