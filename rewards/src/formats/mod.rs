//! The format rewards of open-r1 and TRL, each by its own definition.
//!
//! All of them are chains of plain searches, each of which begins where the one before ended: linear in the completion,
//! where the regular expressions of the originals backtrack.

mod code;
mod open_r1;
mod opening;
mod steps;
mod think;

pub use code::{CodeFormat, CodeFormatOptions};
pub use open_r1::{OpenR1Format, TagCount};
pub use steps::ReasoningSteps;
pub use think::ThinkFormat;
