//! `grpo-train instructions`: general instructions as JSON lines, for the files of the two-language miniature.

use std::fmt::Write as _;

use super::Failure;
use crate::cli::InstructionsArgs;
use crate::data::instructions::rows::rows;
use crate::run::atomic;

/// Writes `n` rows of a kind.
///
/// # Errors
/// If there are not so many different ones, or the file cannot be written.
pub fn instructions(args: &InstructionsArgs) -> Result<(), Failure> {
    let rows = rows(args.kind, args.n as usize, args.seed, args.held_out);
    if (rows.len() as u64) < args.n {
        return Err(Failure::usage(format!("found only {} different rows of this kind; ask for fewer", rows.len())));
    }
    let mut output = String::new();
    for row in rows {
        let row = serde_json::to_string(&row).expect("a row is text");
        let _ = writeln!(output, "{row}");
    }
    Ok(atomic::write_file(&args.output, output.as_bytes())?)
}
