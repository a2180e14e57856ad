//! A run: its stages in order, each handing a model on to the next, each resumable where it stopped.

mod asking;
mod batch_log;
mod context;
mod curate;
mod descent;
mod error;
mod eval;
mod exam;
mod finish;
mod grpo;
mod held_out;
mod language_model;
mod ledger;
mod model;
mod pipeline;
mod pretrain;
mod reward_model;
mod sample;
mod selecting;
mod sft;
mod supervised;

pub use context::RunContext;
pub use error::{NonFinite, StageError};
pub(crate) use eval::read_sets;
pub(crate) use exam::{Candidate, Examiner, judges_of, scores_beside};
pub(crate) use grpo::forced_end;
pub use ledger::{Ledger, StageChoice};
pub use model::Model;
pub use pipeline::{Outcome, run};
pub(crate) use selecting::evaluation;
pub(crate) use sft::read as read_examples;
