//! Rewards that need a process: a model's program, run shut in, and a user's own command.
//!
//! The crate `rewards` touches nothing outside memory; what does lives here, behind the same trait:
//!
//! - [`Code`] runs the program of a completion against the tests of its problem.
//! - [`Sandbox`] is where it runs: a program in it can do nothing but compute and print.
//! - [`Process`] asks a command of the user's, which is trusted and runs in no sandbox.
//!
//! # Tests on a machine without a sandbox
//!
//! Where the kernel gives no namespaces, the tests of this crate look at the refusal, say `SKIPPED` with its text on standard
//! error (`cargo test -- --nocapture` shows it) and run no program. With the environment variable `SANDBOX_REQUIRED` set to
//! anything, the refusal is a failed test: for machines that are known to have what it takes.
mod code;
mod interpreter;
mod isolation;
mod limits;
mod pipes;
mod process;
mod sandbox;
mod slots;
mod text;

pub use code::{Code, CodeError, CodeFailure, CodeOptions, Fence, Language, Scoring};
pub use interpreter::{Interpreter, InterpreterError};
pub use limits::{InvalidLimit, Limits};
pub use process::{OnError, Process, ProcessError, ProcessFailure, ProcessOptions};
pub use sandbox::{End, Job, Missing, Outcome, RunError, Sandbox};
