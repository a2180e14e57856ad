//! Where problems and text come from.

pub mod bpe;
pub mod countdown;
pub mod problem_file;
pub mod questions;
pub mod text;

pub use questions::{QuestionError, Questions};
