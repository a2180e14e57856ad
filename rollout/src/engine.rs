//! Continuous batching: rows of the cache are filled as they fall free, and no step is spent on a finished sequence.

use crate::generate::Progress;
use crate::random::Stream;
use crate::sampling::draw;
use crate::{Completion, Prompt, SamplingParams, StopReason, Tokenizer};
use policy::{KvCache, PromptKv, Sampler};
use std::collections::VecDeque;
use tch::Tensor;

/// Samples the completions of some prompts, in one thread.
pub(crate) struct Engine<'a> {
    pub(crate) sampler: Sampler,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) params: &'a SamplingParams,
    /// Sequences decoded at once; at least one.
    pub(crate) max_batch: usize,
}

/// A completion in the making.
struct Sequence {
    group_idx: usize,
    row_idx: usize,
    stream: Stream,
    ids: Vec<i64>,
    logprobs: Vec<f32>,
    untempered_logprobs: Vec<f32>,
}

/// Where the engine stands.
struct Batch {
    cache: KvCache,
    /// The rows of the cache in use are always its first ones, in this order.
    active: Vec<Sequence>,
    waiting: VecDeque<Sequence>,
    /// Sequences wait in the order of their groups, so one encoded prompt at a time is enough.
    encoded: Option<(usize, PromptKv)>,
    /// By group and row.
    done: Vec<Vec<Option<Completion>>>,
}

impl Engine<'_> {
    /// Samples `group_size` completions of each prompt: a list for each, in the order of rows.
    ///
    /// - `news`: told of the tokens drawn and completions ended since it was last told
    pub(crate) fn run(
        &self,
        prompts: &[Prompt],
        group_size: usize,
        stream: impl Fn(usize, usize) -> Stream,
        mut news: impl FnMut(Progress),
    ) -> Vec<Vec<Completion>> {
        let addresses =
            (0..prompts.len()).flat_map(|group_idx| (0..group_size).map(move |row_idx| (group_idx, row_idx)));
        let mut batch = Batch {
            cache: self.sampler.kv_cache(self.max_batch.min(prompts.len() * group_size)),
            active: Vec::new(),
            waiting: addresses.map(|(group, row)| Sequence::new(group, row, stream(group, row))).collect(),
            encoded: None,
            done: prompts.iter().map(|_| (0..group_size).map(|_| None).collect()).collect(),
        };
        while !(batch.waiting.is_empty() && batch.active.is_empty()) {
            let mut progress = Progress::default();
            if !batch.active.is_empty() {
                let last: Vec<i64> = batch.active.iter().map(|sequence| sequence.ids[sequence.ids.len() - 1]).collect();
                let logits = self.sampler.decode(&last, &mut batch.cache);
                self.extend(&logits, &mut batch.active);
                progress.n_tokens += last.len();
                progress.n_completions += self.retire(&mut batch);
            }
            while batch.active.len() < self.max_batch && !batch.waiting.is_empty() {
                progress.n_tokens += self.admit(prompts, &mut batch);
                // A first token may already be the last, and makes room again.
                progress.n_completions += self.retire(&mut batch);
            }
            news(progress);
        }
        batch.done.into_iter().map(|group| group.into_iter().flatten().collect()).collect()
    }

    /// Fills free rows from the queue and draws their first tokens; gives back how many.
    fn admit(&self, prompts: &[Prompt], batch: &mut Batch) -> usize {
        let first_new = batch.active.len();
        let mut logits = Vec::new();
        while batch.active.len() < self.max_batch {
            let Some(sequence) = batch.waiting.pop_front() else { break };
            let group_idx = sequence.group_idx;
            if batch.encoded.as_ref().is_none_or(|(idx, _)| *idx != group_idx) {
                batch.encoded = Some((group_idx, self.sampler.prefill(&prompts[group_idx].ids)));
            }
            let (_, prompt) = batch.encoded.as_ref().expect("just encoded");
            batch.cache.admit(batch.active.len(), prompt);
            logits.push(prompt.logits.shallow_clone());
            batch.active.push(sequence);
        }
        self.extend(&Tensor::stack(&logits, 0), &mut batch.active[first_new..]);
        batch.active.len() - first_new
    }

    /// Draws the next token of each sequence.
    ///
    /// - `logits`: `[sequences, vocab]`
    fn extend(&self, logits: &Tensor, sequences: &mut [Sequence]) {
        let uniforms: Vec<f64> = sequences.iter().map(|s| s.stream.uniform(s.ids.len() as u64)).collect();
        let suppress: Vec<bool> = sequences.iter().map(|s| s.ids.len() + 1 < self.params.min_tokens).collect();
        let drawn = draw(logits, &uniforms, &suppress, self.params);
        for (idx, sequence) in sequences.iter_mut().enumerate() {
            sequence.ids.push(drawn.ids[idx]);
            sequence.logprobs.push(drawn.logprobs[idx]);
            sequence.untempered_logprobs.push(drawn.untempered_logprobs[idx]);
        }
    }

    /// Takes finished sequences out of the batch and closes the gaps; gives back how many there were.
    fn retire(&self, batch: &mut Batch) -> usize {
        let before = batch.active.len();
        for row in (0..before).rev() {
            let Some(stop_reason) = self.finished(&batch.active[row].ids) else { continue };
            let sequence = batch.active.swap_remove(row);
            if row < batch.active.len() {
                batch.cache.move_row(batch.active.len(), row);
            }
            batch.done[sequence.group_idx][sequence.row_idx] = Some(Completion {
                text: self.tokenizer.decode(&sequence.ids),
                ids: sequence.ids,
                logprobs: sequence.logprobs,
                untempered_logprobs: sequence.untempered_logprobs,
                stop_reason,
            });
        }
        before - batch.active.len()
    }

    fn finished(&self, ids: &[i64]) -> Option<StopReason> {
        let last = ids.last()?;
        if self.params.stop_token_ids.contains(last) {
            return Some(StopReason::EndToken);
        }
        if ids.len() >= self.params.min_tokens && self.ends_with_a_stop_string(ids) {
            return Some(StopReason::StopString);
        }
        (ids.len() >= self.params.max_tokens).then_some(StopReason::MaxTokens)
    }

    fn ends_with_a_stop_string(&self, ids: &[i64]) -> bool {
        self.params.stop_strings.iter().any(|stop| {
            // A token is at least one byte of text, so the stop string lies within as many tokens as it has bytes; the
            // rest of the completion was looked at when it was drawn.
            let tail = &ids[ids.len().saturating_sub(stop.len() + 1)..];
            self.tokenizer.decode(tail).contains(stop.as_str())
        })
    }
}

impl Sequence {
    fn new(group_idx: usize, row_idx: usize, stream: Stream) -> Self {
        Self { group_idx, row_idx, stream, ids: vec![], logprobs: vec![], untempered_logprobs: vec![] }
    }
}
