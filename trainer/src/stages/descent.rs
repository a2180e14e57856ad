//! The end of every update: gradients are scaled down, and the weights are moved at the rate of their step.

use tch::Tensor;

use super::StageError;
use crate::config::Optimizer;
use crate::optim::{AdamW, Schedule, clip_grad_norm};

/// Moves `parameters` by the gradients they hold; gives back the norm of these before it was clipped, and the learning rate.
///
/// - `step`: of the stage, counted from 1
///
/// # Errors
/// If a gradient is not finite; the weights are what they were then.
pub fn descend(
    parameters: &[(String, Tensor)],
    optimizer: &mut AdamW,
    schedule: &Schedule,
    settings: &Optimizer,
    step: u64,
) -> Result<(f64, f64), StageError> {
    let norm = clip_grad_norm(parameters, settings.clip_norm())
        .map_err(|error| StageError::NonFinite { step, what: error.into() })?;
    let learning_rate = schedule.with_peak(settings.learning_rate_at(step)).lr(step - 1);
    optimizer.step(learning_rate);
    Ok((norm, learning_rate))
}
