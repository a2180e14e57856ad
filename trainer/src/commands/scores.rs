//! `grpo-train scores`: scores of given tokens by a reward model, for whoever checks the network against another.

use std::fmt::Write as _;

use policy::RewardModel;
use serde::Deserialize;

use super::Failure;
use crate::cli::LogprobsArgs;
use crate::data::problem_file::read_rows;
use crate::machine;
use crate::run::atomic;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    ids: Vec<i64>,
}

/// Reads lines `{"ids": [..]}`, writes lines `{"score": x}`, float32.
///
/// # Errors
/// If the model or a line cannot be used, or the output cannot be written.
pub fn scores(args: &LogprobsArgs) -> Result<(), Failure> {
    machine::set_threads(args.model.threads);
    atomic::check_writable(&args.output).map_err(Failure::usage)?;
    let config = RewardModel::check(&args.model.model).map_err(Failure::usage)?;
    let rows = read_rows(&args.input, |row: Row, _| check(row, &config)).map_err(Failure::usage)?;
    let device = machine::device(args.model.device).map_err(Failure::usage)?;
    let dtype = machine::dtype(args.model.dtype);
    let model = RewardModel::load(&args.model.model, dtype, device).map_err(Failure::usage)?;
    let weights = model.frozen_weights();
    let mut output = String::new();
    for ids in &rows {
        let _ = writeln!(output, "{}", serde_json::json!({ "score": model.scores(&weights, &[ids])[0] }));
    }
    Ok(atomic::write_file(&args.output, output.as_bytes())?)
}

fn check(row: Row, config: &policy::ModelConfig) -> Result<Vec<i64>, String> {
    let (n_tokens, context) = (row.ids.len() as i64, config.max_position_embeddings);
    if n_tokens == 0 || n_tokens > context {
        return Err(format!("`ids` has {n_tokens} tokens; expected 1 to {context}, the model's context"));
    }
    match row.ids.iter().find(|id| !(0..config.vocab_size).contains(*id)) {
        Some(id) => Err(format!("`ids` holds {id}; the model's vocabulary ends at {}", config.vocab_size)),
        None => Ok(row.ids),
    }
}
