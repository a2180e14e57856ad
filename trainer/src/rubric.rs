//! From `[stage.rewards]` to the rubric that judges.

use rewards::{Countdown, InvalidPartial, R1Format, Rubric, Weighted};

use crate::config::Rewards;
use crate::stages::StageError;

/// Name of the component that says whether an answer is right.
pub const COUNTDOWN: &str = "countdown";

/// Name of the component that says whether the format is kept.
pub const FORMAT: &str = "format";

/// The rubric of a stage.
///
/// # Errors
/// If the settings make no sense together.
pub fn build(settings: &Rewards) -> Result<Rubric, StageError> {
    let mut components = Vec::new();
    if let Some(countdown) = &settings.countdown {
        let judge = Countdown::new(countdown.partial as f32)?;
        components.push(Weighted::new(COUNTDOWN, countdown.weight as f32, Box::new(judge)));
    }
    if let Some(format) = &settings.format {
        components.push(Weighted::new(FORMAT, format.weight as f32, Box::new(R1Format::new())));
    }
    Ok(Rubric::new(components)?)
}

/// What held-out problems are judged by, whatever a stage is rewarded for: the answer and the format, nothing else.
///
/// # Errors
/// None in practice; the signature is that of the parts.
pub fn for_evaluation() -> Result<Rubric, StageError> {
    let no_partial: Result<Countdown, InvalidPartial> = Countdown::new(0.0);
    Ok(Rubric::new(vec![
        Weighted::new(COUNTDOWN, 1.0, Box::new(no_partial?)),
        Weighted::new(FORMAT, 0.0, Box::new(R1Format::new())),
    ])?)
}
