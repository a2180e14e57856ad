//! Reward models outside of the network: what they learn from, what they read of a response, and how they judge.

mod about;
mod judge;
mod loss;
mod rows;
mod scorer;
mod stats;
mod text;

pub use about::About;
pub use judge::ModelJudge;
pub use loss::{log_loss, margins_of_labels, margins_of_pairs};
pub use rows::{Example, Examples, Row, RowsError, read};
pub use scorer::{Scorer, ScorerError, parts};
pub use stats::MarginStats;
pub use text::Reader;
