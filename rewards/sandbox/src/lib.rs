//! Rewards that need a process: a model's program, run shut in, and a user's own command.
//!
//! The crate `rewards` touches nothing outside memory; what does lives here, behind the same trait:
//!
//! - [`Sandbox`] runs a program of the model's so that it can do nothing but compute and print.
mod interpreter;
mod isolation;
mod limits;
mod sandbox;

pub use interpreter::{Interpreter, InterpreterError};
pub use limits::{InvalidLimit, Limits};
pub use sandbox::{End, Job, Missing, Outcome, RunError, Sandbox};
