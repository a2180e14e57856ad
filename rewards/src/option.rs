//! What is wrong with a setting of a reward.

/// A setting that a reward cannot work with; found when the reward is built, never while it judges.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reward `{reward}`: `{option}` {reason}")]
pub struct InvalidOption {
    /// Name of the reward, as run files spell it.
    pub reward: &'static str,
    /// The setting.
    pub option: &'static str,
    /// What it is and what it must be, as the rest of a sentence: "is 0: it must be at least 1".
    pub reason: String,
}

impl InvalidOption {
    pub(crate) fn new(reward: &'static str, option: &'static str, reason: impl Into<String>) -> Self {
        Self { reward, option, reason: reason.into() }
    }

    /// An error unless `value` is finite.
    pub(crate) fn unless_finite(reward: &'static str, option: &'static str, value: f32) -> Result<(), Self> {
        if value.is_finite() {
            Ok(())
        } else {
            Err(Self::new(reward, option, format!("is {value}: it must be a finite number")))
        }
    }
}
