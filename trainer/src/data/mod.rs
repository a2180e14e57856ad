//! Where problems and text come from.

pub mod bpe;
pub mod countdown;
mod course;
pub mod instructions;
mod json_rows;
pub mod language;
mod layout;
mod order;
pub mod pass_rates;
pub mod problem_file;
pub mod questions;
pub mod text;

pub use course::{Course, Question};
pub use layout::Layout;
pub use order::Order;
pub use pass_rates::PassRates;
pub use questions::{QuestionError, Questions};
