//! `grpo-train problems`: Countdown problems as JSON lines, such as a held-out file.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::Failure;
use crate::cli::ProblemsArgs;
use crate::config::CountdownProblems;
use crate::data::language::Language;
use crate::data::questions::{countdown_source, problem};
use crate::run::atomic;

/// Draws per problem before the ranges are held to be exhausted.
const MAX_DRAWS_PER_PROBLEM: u64 = 1_000;

/// Writes `n` problems, no two of them alike in any order of their numbers, and as many in each language.
///
/// # Errors
/// If the ranges do not hold so many, or a file cannot be used.
pub fn problems(args: &ProblemsArgs) -> Result<(), Failure> {
    let pair = |values: &[i64]| [values[0], values[1]];
    let settings = CountdownProblems {
        n_numbers: [args.n_numbers[0], args.n_numbers[1]],
        numbers: pair(&args.numbers),
        targets: pair(&args.targets),
        max_intermediate: args.max_intermediate,
        languages: args.languages.clone(),
        exclude: args.exclude.clone(),
    };
    let source = countdown_source(&settings).map_err(Failure::usage)?;
    let most_per_language = args.n.div_ceil(args.languages.len() as u64);
    let mut n_asked = [0; Language::ALL.len()];
    let (mut seen, mut output) = (HashSet::new(), String::new());
    for index in 0..args.n.saturating_mul(MAX_DRAWS_PER_PROBLEM) {
        let language = source.language(args.seed, index);
        let n_in_language = &mut n_asked[language.unwrap_or(Language::En) as usize];
        if *n_in_language == most_per_language {
            continue;
        }
        let candidate = source.problem(args.seed, index).map_err(Failure::usage)?;
        if seen.insert(candidate.key()) {
            *n_in_language += 1;
            let row = serde_json::to_string(&problem(&candidate, language)).expect("a problem is text and numbers");
            let _ = writeln!(output, "{row}");
        }
        if seen.len() as u64 == args.n {
            return Ok(atomic::write_file(&args.output, output.as_bytes())?);
        }
    }
    Err(Failure::usage(format!(
        "found only {} different problems in these ranges; widen them or ask for fewer",
        seen.len()
    )))
}
