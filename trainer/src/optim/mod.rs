//! AdamW with a state that can be saved, the clipping of the global gradient norm, and learning-rate schedules.

mod adamw;
mod clip;
mod schedule;
mod state;

pub use adamw::{AdamW, AdamWConfig, DecayScope};
pub use clip::{NonFiniteGradient, clip_grad_norm};
pub use schedule::{Decay, Schedule};
pub use state::StateError;
