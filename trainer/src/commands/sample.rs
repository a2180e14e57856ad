//! `grpo-train sample`: completions of given prompts.

use std::fmt::Write as _;

use rollout::random::Stream;
use rollout::{Generator, Prompt, SamplingParams};
use serde::Deserialize;
use serde_json::json;

use super::Failure;
use crate::cli::SampleArgs;
use crate::data::problem_file::read_rows;
use crate::machine;
use crate::run::atomic;
use crate::stages::{Model, StageError};

/// Sequences decoded at once.
const MAX_BATCH: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    prompt: Option<String>,
    ids: Option<Vec<i64>>,
}

enum Source {
    Text(String),
    Ids(Vec<i64>),
}

/// Reads lines `{"prompt": ".."}` or `{"ids": [..]}` and writes a line for each of the `n` completions of each:
/// `{"text", "ids", "logprobs", "stop_reason", "prompt_idx", "sample_idx"}`.
///
/// `logprobs` are those of softmax(logits): untempered and untruncated. A completion is a pure function of the model, its
/// prompt, the seed, and the indices of prompt and sample.
///
/// # Errors
/// If the model or a line cannot be used, or the output cannot be written.
pub fn sample(args: &SampleArgs) -> Result<(), Failure> {
    machine::set_threads(args.model.threads);
    atomic::check_writable(&args.output).map_err(Failure::usage)?;
    let rows = read_rows(&args.input, |row: Row, line| match (row.prompt, row.ids) {
        (Some(text), None) => Ok((line, Source::Text(text))),
        (None, Some(ids)) => Ok((line, Source::Ids(ids))),
        _ => Err("expected `prompt` (a text) or `ids` (a list of token ids), one of them".to_owned()),
    })
    .map_err(Failure::usage)?;
    let device = machine::device(args.model.device).map_err(Failure::usage)?;
    let model = Model::load(&args.model.model, machine::dtype(args.model.dtype), device).map_err(Failure::usage)?;
    let params = params(args, &model);
    let mut prompts = Vec::with_capacity(rows.len());
    for (line, source) in rows {
        let prompt = prompt(&model, source).map_err(Failure::usage)?;
        check_prompt(&prompt, &params, &model)
            .map_err(|reason| Failure::usage(format!("{}:{line}: {reason}", args.input.display())))?;
        prompts.push(prompt);
    }
    let generator =
        Generator { policy: &model.policy, tokenizer: &model.tokenizer, params: &params, max_batch: MAX_BATCH };
    let stream = |prompt_idx: usize, sample_idx: usize| Stream::new(args.seed, &[prompt_idx as u64, sample_idx as u64]);
    let groups = generator.generate(prompts, args.n as usize, stream, |_| ()).map_err(Failure::usage)?;
    let mut output = String::new();
    for (prompt_idx, group) in groups.iter().enumerate() {
        for (sample_idx, completion) in group.completions.iter().enumerate() {
            let row = json!({
                "text": completion.text,
                "ids": completion.ids,
                "logprobs": completion.untempered_logprobs,
                "stop_reason": completion.stop_reason,
                "prompt_idx": prompt_idx,
                "sample_idx": sample_idx,
            });
            let _ = writeln!(output, "{row}");
        }
    }
    Ok(atomic::write_file(&args.output, output.as_bytes())?)
}

fn prompt(model: &Model, source: Source) -> Result<Prompt, StageError> {
    Ok(match source {
        Source::Text(text) => Prompt { ids: model.tokenizer.encode(&text)?, text },
        Source::Ids(ids) => Prompt { text: model.tokenizer.decode(&ids), ids },
    })
}

/// A prompt has tokens, all of them known, and fits the context with the longest completion.
fn check_prompt(prompt: &Prompt, params: &SamplingParams, model: &Model) -> Result<(), String> {
    let config = model.policy.config();
    let (n_prompt_tokens, max_tokens, context) = (prompt.ids.len(), params.max_tokens, config.max_position_embeddings);
    if prompt.ids.is_empty() {
        return Err("the prompt is empty; there is nothing to go on from".to_owned());
    }
    if let Some(id) = prompt.ids.iter().find(|id| !(0..config.vocab_size).contains(*id)) {
        return Err(format!("`ids` holds {id}; the model's vocabulary ends at {}", config.vocab_size));
    }
    if (n_prompt_tokens + max_tokens) as i64 > context {
        return Err(format!(
            "the prompt has {n_prompt_tokens} tokens; with --max-tokens {max_tokens} that exceeds the model's context of \
             {context}"
        ));
    }
    Ok(())
}

fn params(args: &SampleArgs, model: &Model) -> SamplingParams {
    SamplingParams {
        temperature: args.temperature,
        top_k: args.top_k as usize,
        top_p: args.top_p,
        min_p: args.min_p,
        max_tokens: args.max_tokens as usize,
        min_tokens: 0,
        stop_token_ids: model.policy.config().eos_token_ids.clone(),
        stop_strings: args.stop.clone(),
        forced_end: None,
        forced_wait: None,
    }
}

#[cfg(test)]
mod tests {
    use rollout::StopReason;

    use super::*;

    #[test]
    fn stop_reasons_are_spelled_as_in_the_run_folder() {
        for (reason, spelled) in [
            (StopReason::EndToken, "end_token"),
            (StopReason::StopString, "stop_string"),
            (StopReason::MaxTokens, "max_tokens"),
        ] {
            assert_eq!(json!(reason), spelled);
        }
    }
}
