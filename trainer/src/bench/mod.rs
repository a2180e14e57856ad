//! `grpo-train bench`: what the machine can do, and how much of it each phase of a step gets.
//!
//! [`machine`] measures limits: multiply-adds, matrix products, memory. [`crate::flops`] counts what a phase has to do, from the
//! model's shape and the tokens computed. `sampling` and `update` run the phases of a step on a [`Subject`], through the
//! same functions as training does. [`report`] holds the one against the other.

pub mod machine;
mod peak;
mod process;
pub mod report;
mod sampling;
mod subject;
mod timing;
mod update;

pub use report::{Phase, Report};
pub use subject::{Shape, StepSize, Subject};

use machine::Limits;
use timing::Stopwatch;

/// What is measured of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PhaseKind {
    /// Prompts encoded, first tokens drawn.
    Prefill,
    /// Tokens drawn one after the other, at several numbers of rows.
    Decode,
    /// A whole rollout: both of the above.
    Sampling,
    /// Log-probabilities of the rollout, without a graph.
    Reference,
    /// Forward and backward passes over the rollout.
    Update,
    /// Clipping and one step of AdamW.
    Optimizer,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Measured runs of a phase, beside one that warms up.
    pub repetitions: usize,
    /// Seconds for a phase: when they are over no further run is begun. A first run that takes more than half of them is
    /// itself the measurement.
    pub seconds: f64,
}

/// Runs `phases` on the subject, in the order of a step.
///
/// - `decode_rows`: numbers of sequences decoded at once
/// - `on_phase`: told of each phase once it is measured
///
/// # Errors
/// If prompts and completions do not fit the model's context, or a gradient is not finite.
pub fn measure(
    subject: &mut Subject,
    phases: &[PhaseKind],
    decode_rows: &[usize],
    limits: &Limits,
    effort: Effort,
    mut on_phase: impl FnMut(Phase),
) -> Result<(), String> {
    let wants = |kind| phases.contains(&kind);
    let watch = Stopwatch::new(subject.policy.device(), effort);
    let peak = limits.peak(subject.dtype());
    let mut done = |mut phase: Phase| {
        phase.hold_against(peak);
        on_phase(phase);
    };
    if wants(PhaseKind::Prefill) {
        done(sampling::prefill(subject, &watch)?);
    }
    if wants(PhaseKind::Decode) {
        for &n_rows in decode_rows {
            done(sampling::decode(subject, n_rows, limits, &watch)?);
        }
    }
    if wants(PhaseKind::Sampling) {
        done(sampling::rollout(subject, &watch)?);
    }
    if wants(PhaseKind::Reference) {
        done(update::reference(subject, &watch));
    }
    if wants(PhaseKind::Update) {
        done(update::update(subject, &watch)?);
    }
    if wants(PhaseKind::Optimizer) {
        done(update::optimizer(subject, &watch)?);
    }
    Ok(())
}

/// Begins to watch the machine; the function given back says which share of its processor time other processes have used
/// since, where the system tells.
pub fn share_of_others() -> impl FnOnce() -> Option<f64> {
    let began = process::Ticks::now();
    move || Some(process::Ticks::now()?.share_of_others_since(&began?))
}
