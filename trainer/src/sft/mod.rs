//! Data of supervised fine-tuning: files to tokens of which some are learned, in an order, packed into micro-batches.
//!
//! Pure: what is read, in which order and how it is packed follow from files, settings and an address. `stages/sft.rs` trains.

mod examples;
mod order;
mod packing;
mod rows;

pub use examples::{Counts, Data, DataError, Example, OnLong, Reading, check_rows};
pub use order::Order;
pub use packing::pack;
pub use rows::{Asked, Row};
