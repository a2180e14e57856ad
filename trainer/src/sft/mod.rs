//! Data of supervised fine-tuning: files to tokens of which some are learned, packed into micro-batches.
//!
//! Pure: what is read, and how it is packed follow from files and settings. `stages/sft.rs` trains.

mod examples;
mod packing;
mod rows;

pub use examples::{Counts, Data, DataError, Example, OnLong, Reading, check_rows};
pub use packing::pack;
pub use rows::{Asked, Row};
