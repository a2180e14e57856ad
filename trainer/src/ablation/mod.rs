//! Many runs that differ in one thing each, and what can be said about the difference.
//!
//! An ablation is a run file, arms that each change some keys of it, and seeds ([`crate::config::AblationFile`]). Every pair
//! of an arm and a seed is a run like any other, in a process of its own, with its own run folder:
//!
//! - `runs`: which runs there are, and which of them are done;
//! - `jobs`: runs what is missing, some at once, and `board` shows it;
//! - `results`: what the finished runs have measured;
//! - `statistics`: means, intervals, paired differences, seeds needed;
//! - `comparison`: the arms held against the first, `comparable`: by which metrics that means nothing, and `table` and
//!   `report`: how it is written down.

mod board;
mod comparable;
mod comparison;
mod jobs;
mod report;
mod results;
mod runs;
mod statistics;
mod table;

pub use board::Board;
pub use jobs::{Ending, Jobs};
pub use report::Report;
pub use runs::{PlannedRun, RunState, RunsError, hold, planned};
