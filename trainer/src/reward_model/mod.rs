//! What a reward model learns from: the loss of pairs and of labels, and what is said of a model's scores.

mod loss;
mod stats;

pub use loss::{log_loss, margins_of_labels, margins_of_pairs};
pub use stats::MarginStats;
