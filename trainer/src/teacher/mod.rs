//! What another model does for data: it says which of two samples is better, and makes samples readable.
//!
//! [`pairs`] makes preference pairs (DeepSeek-R1, arXiv 2501.12948v2, B.2), [`rewrite`] is the last step of a cold start (B.3.2).
//! Both ask an OpenAI-compatible server by way of the crate `llm_judge`, whose cache makes them the same when they are run again.

mod pairs;
mod rewrite;
#[cfg(test)]
#[path = "../../../rewards/llm_judge/tests/support/mod.rs"]
mod support;

pub use pairs::{Pair, PairCounts, PairSettings, Paired, pairs};
pub use rewrite::{OnFailure, Outcome, RewriteCounts, Rewritten, rewrite};
