//! `grpo-train logprobs`: log-probabilities of given tokens, for whoever checks the network against another.

use std::fmt::Write as _;

use policy::{PackedBatch, Policy, SharedPrompt};
use serde::Deserialize;

use super::Failure;
use crate::cli::LogprobsArgs;
use crate::data::problem_file::read_rows;
use crate::machine;
use crate::run::atomic;

/// Tokens whose logits are held at once.
const CHUNK_TOKENS: i64 = 1_024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    ids: Vec<i64>,
}

/// Reads lines `{"ids": [..]}`, writes lines `{"logprobs": [..]}`: nats, float32, of `ids[1..]`.
///
/// # Errors
/// If the model or a line cannot be used, or the output cannot be written.
pub fn logprobs(args: &LogprobsArgs) -> Result<(), Failure> {
    machine::set_threads(args.model.threads);
    atomic::check_writable(&args.output).map_err(Failure::usage)?;
    let config = policy::ModelConfig::load(&args.model.model).map_err(Failure::usage)?;
    let rows = read_rows(&args.input, |row: Row, _| check(row, &config)).map_err(Failure::usage)?;
    let device = machine::device(args.model.device).map_err(Failure::usage)?;
    let policy = Policy::load(&args.model.model, machine::dtype(args.model.dtype), device).map_err(Failure::usage)?;
    let weights = policy.frozen_weights();
    let mut output = String::new();
    for ids in &rows {
        let (prompt, completion) = ids.split_at(1);
        let batch = PackedBatch::new(&[SharedPrompt { prompt, completions: vec![completion] }]);
        let logprobs = policy.packed_logprobs(&weights, &batch, 1.0, CHUNK_TOKENS).logprobs;
        let logprobs = Vec::<f32>::try_from(&logprobs).map_err(Failure::run)?;
        let _ = writeln!(output, "{}", serde_json::json!({ "logprobs": logprobs }));
    }
    Ok(atomic::write_file(&args.output, output.as_bytes())?)
}

fn check(row: Row, config: &policy::ModelConfig) -> Result<Vec<i64>, String> {
    let (n_tokens, context) = (row.ids.len() as i64, config.max_position_embeddings);
    if n_tokens < 2 {
        return Err(format!("`ids` has {n_tokens} tokens; the first predicts the second, so there have to be two"));
    }
    if n_tokens > context {
        return Err(format!("`ids` has {n_tokens} tokens, the model's context is {context}"));
    }
    match row.ids.iter().find(|id| !(0..config.vocab_size).contains(*id)) {
        Some(id) => Err(format!("`ids` holds {id}; the model's vocabulary ends at {}", config.vocab_size)),
        None => Ok(row.ids),
    }
}
