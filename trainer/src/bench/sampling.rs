//! The sampling half of a step, through the same generator as in training.

use std::time::Instant;

use rollout::random::Stream;
use rollout::{Generator, Progress, SamplingParams};

use super::machine::Limits;
use super::report::{Floor, Phase};
use super::subject::Subject;
use super::timing::Stopwatch;
use crate::flops::{Load, cache_bytes, forward_flops, weight_bytes};

/// Prompts, completions of each, tokens of a completion, sequences decoded at once.
#[derive(Clone, Copy)]
struct Batch {
    n_prompts: usize,
    group_size: usize,
    n_tokens: usize,
    max_batch: usize,
}

impl Batch {
    fn of_step(subject: &Subject) -> Self {
        let step = subject.step;
        Self {
            n_prompts: step.prompts,
            group_size: step.group_size,
            n_tokens: step.completion_tokens,
            max_batch: step.max_batch,
        }
    }

    fn n_rows(&self) -> usize {
        self.n_prompts * self.group_size
    }

    fn load(&self, subject: &Subject) -> Load {
        let lengths = vec![self.n_tokens; self.group_size];
        (0..self.n_prompts).map(|_| Load::sampled(subject.step.prompt_tokens, &lengths)).sum()
    }
}

/// Encodes the prompts of a step and draws the first token of every completion.
pub(super) fn prefill(subject: &Subject, watch: &Stopwatch) -> Result<Phase, String> {
    let step = subject.step;
    let batch = Batch { n_tokens: 1, max_batch: step.prompts * step.group_size, ..Batch::of_step(subject) };
    let timed = watch.repeat(|| {
        let began = Instant::now();
        generate(subject, batch, |_| ())?;
        Ok::<_, String>(watch.since(began))
    })?;
    let flops = forward_flops(subject.policy.config(), &batch.load(subject));
    Ok(Phase::new("prefill", None, timed, (step.prompts * step.prompt_tokens) as f64, flops))
}

/// Decodes `n_rows` sequences at once; counted from the moment at which each has its first token.
pub(super) fn decode(subject: &Subject, n_rows: usize, limits: &Limits, watch: &Stopwatch) -> Result<Phase, String> {
    let group_size = subject.step.group_size.min(n_rows);
    let n_prompts = n_rows.div_ceil(group_size);
    let n_tokens = subject.step.completion_tokens;
    if n_tokens < 2 {
        return Err("a completion of one token has nothing to decode: give --tokens 2 or more".to_owned());
    }
    let batch = Batch { n_prompts, group_size, n_tokens, max_batch: n_prompts * group_size };
    let n_rows = batch.n_rows();
    let timed = watch.repeat(|| {
        let mut encoded = None;
        generate(subject, batch, |progress| {
            if progress.n_tokens >= n_rows && encoded.is_none() {
                encoded = Some((Instant::now(), progress.n_tokens));
            }
        })?;
        let (began, n_drawn) = encoded.ok_or("no token was drawn")?;
        // Engines run side by side: one may be some tokens ahead by then. The time is scaled to all that were to come.
        let (all, counted) = (n_rows * (n_tokens - 1), n_rows * n_tokens - n_drawn);
        Ok::<_, String>(watch.since(began) * all as f64 / counted.max(1) as f64)
    })?;
    let prompt = Load { predictions: 1, ..Load::packed(subject.step.prompt_tokens, &[]) };
    let config = subject.policy.config();
    let flops = forward_flops(config, &batch.load(subject)) - n_prompts as f64 * forward_flops(config, &prompt);
    let mut phase = Phase::new("decode", Some(n_rows), timed, (n_rows * (n_tokens - 1)) as f64, flops);
    // On average half of a completion lies behind its prompt.
    let mean_length = subject.step.prompt_tokens as f64 + n_tokens as f64 / 2.0;
    let cache = n_rows as f64 * mean_length * cache_bytes(config, subject.dtype());
    phase.floor = Some(Floor {
        step_seconds: timed.seconds / (n_tokens - 1) as f64,
        bytes_seconds: (weight_bytes(config, subject.dtype()) + cache) / limits.read_bytes,
        flops_seconds: flops / (n_tokens - 1) as f64 / limits.peak(subject.dtype()),
    });
    Ok(phase)
}

/// A whole rollout.
pub(super) fn rollout(subject: &Subject, watch: &Stopwatch) -> Result<Phase, String> {
    let batch = Batch::of_step(subject);
    let timed = watch.repeat(|| {
        let began = Instant::now();
        generate(subject, batch, |_| ())?;
        Ok::<_, String>(watch.since(began))
    })?;
    let flops = forward_flops(subject.policy.config(), &batch.load(subject));
    Ok(Phase::new("sampling", Some(batch.n_rows()), timed, (batch.n_rows() * batch.n_tokens) as f64, flops))
}

fn generate(subject: &Subject, batch: Batch, on_progress: impl FnMut(Progress)) -> Result<(), String> {
    let params = SamplingParams {
        max_tokens: batch.n_tokens,
        // Every completion gets its length, whatever the weights would rather say.
        min_tokens: batch.n_tokens,
        stop_token_ids: subject.policy.config().eos_token_ids.clone(),
        ..SamplingParams::default()
    };
    let generator = Generator {
        policy: &subject.policy,
        tokenizer: &subject.tokenizer,
        params: &params,
        max_batch: batch.max_batch,
    };
    let stream = |group: usize, row: usize| Stream::new(1, &[1, group as u64, row as u64]);
    let groups = generator.generate(subject.prompts(batch.n_prompts), batch.group_size, stream, on_progress);
    let groups = groups.map_err(|error| error.to_string())?;
    let lengths = groups.iter().flat_map(|group| &group.completions).map(|completion| completion.ids.len());
    match lengths.into_iter().find(|&length| length != batch.n_tokens) {
        Some(length) => Err(format!("a completion has {length} tokens, not {}", batch.n_tokens)),
        None => Ok(()),
    }
}
