//! Rewards by a language model behind an OpenAI-compatible server. Knows no tensor and no run file.
//!
//! The crate `rewards` touches nothing outside memory; asking another model does, and lives here behind the same trait:
//!
//! - [`LlmJudge`] is the reward: the model says whether an answer agrees with the gold, or gives it a mark.
//! - [`PairJudge`] says which of two answers to a question is better, by several votes (DeepSeek-R1, arXiv 2501.12948v2, B.2).
//! - [`Rewriter`] makes an answer readable (B.3.2).
//! - [`ChatClient`] asks: with retries, a cap on cost, a cache on disk, and a rule for outages.
//!
//! Invariants:
//!
//! 1. **No score by accident.** A verdict is read from a reply that is one JSON object of exactly the known keys and values.
//!    Everything else is "no verdict", with its reason, and counted.
//! 2. **The judged text is data.** It stands between fences that it cannot know, without characters that nobody sees and
//!    without the control words of chat templates.
//! 3. **Nothing is asked twice.** A reply is kept under the hash of all that was asked.
//! 4. **The key is nowhere** but in the header of a request: not in the cache, in errors or in what `Debug` prints.
#![forbid(unsafe_code)]

mod backoff;
mod budget;
mod cache;
mod clean;
mod client;
mod counts;
mod http;
mod judge;
mod options;
mod pairs;
mod prompt;
mod read;
mod request;
mod retry_after;
mod rewrite;
mod slots;

pub use client::{ChatClient, ClientError, Failure, NoReply};
pub use counts::Counts;
pub use http::{End, Reply};
pub use judge::{LlmJudge, LlmJudgeOptions, Mode, Over};
pub use options::{ClientOptions, OnOutage, ResponseFormat};
pub use pairs::{Comparison, PairJudge, PairOptions, Preference};
pub use read::{Label, NoVerdict};
pub use request::{Format, Message, Request, Role};
pub use rewrite::{Draft, RewriteOptions, Rewriter};
