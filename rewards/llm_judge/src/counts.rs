//! What was asked, what came of it, and what it cost.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// Counters of one client since it was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Counts {
    /// Requests sent, retries included.
    pub n_requests: u64,
    /// Requests sent again.
    pub n_retries: u64,
    /// Replies that the server gave.
    pub n_replies: u64,
    /// Replies taken from the cache.
    pub n_cached: u64,
    /// Judged without a verdict, by reason: the `rule` of the verdict.
    pub no_verdict: BTreeMap<&'static str, u64>,
    /// Tokens of prompts, as the server counts them.
    pub tokens_in: u64,
    /// Tokens of replies, as the server counts them.
    pub tokens_out: u64,
    /// Replies without a count of tokens, and requests that were cut off: both cost the most they may have.
    pub n_unmetered: u64,
    /// Cost, in the currency of the prices.
    pub cost: f64,
}

/// [`Counts`] that threads add to.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Counts>);

impl Counters {
    pub fn add(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn so_far(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
