//! Rewards for length and repetition, which shape what other rewards judge.
//!
//! Those that need to know whether a completion is right take the reward that says so, and add their own verdict to its:
//! what it does not apply to, they do not apply to.

mod correctness;
mod cosine;
mod kimi_length;
mod length_limits;
mod repetition;
mod soft_overlong;

use serde::{Deserialize, Serialize};

pub use cosine::{Cosine, CosineOptions};
pub use kimi_length::{KimiLength, KimiLengthOptions};
pub use length_limits::{LengthLimits, LengthLimitsOptions};
pub use repetition::{NgramUnit, Repetition, RepetitionOptions};
pub use soft_overlong::{SoftOverlong, SoftOverlongOptions};

/// Whose definition a reward follows, where definitions differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum As {
    /// The paper's definition, with what its implementations get wrong put right.
    #[default]
    Corrected,
    /// TRL 1.16, score by score.
    Trl,
    /// open-r1 (`src/open_r1/rewards.py`), score by score.
    OpenR1,
}
