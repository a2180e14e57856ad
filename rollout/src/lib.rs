//! Samples groups of completions from a policy. Knows no reward, advantage, gradient or step.
//!
//! [`Generator::generate`] takes prompts and gives back [`Group`]s: every prompt is encoded once, a finished row makes room for the
//! next at once, and each completion is a pure function of the weights, its prompt and the address of its random numbers.

mod chat;
mod engine;
mod error;
mod forced_end;
mod forced_wait;
mod generate;
mod group;
pub mod random;
mod sampling;
mod template;
mod token_ends;
mod tokenizer;

pub use chat::{ASSISTANT, ChatTemplate, Conversation, Message};
pub use error::{Error, Result};
pub use forced_end::ForcedEnd;
pub use forced_wait::ForcedWait;
pub use generate::{Generator, Progress, SamplingSeconds};
pub use group::{Completion, Forced, Group, Prompt, StopReason};
pub use sampling::{Drawn, Draws, SamplingParams};
pub use template::{Chat, Template, r1_zero};
pub use token_ends::TokenEnds;
pub use tokenizer::Tokenizer;
