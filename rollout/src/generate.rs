//! Continuous batching: rows of the cache are filled as they fall free, and no step is spent on a finished sequence.

use crate::random::Stream;
use crate::sampling::draw;
use crate::{Completion, Error, Group, Prompt, Result, SamplingParams, StopReason, Tokenizer};
use policy::{KvCache, Policy, PromptKv, Weights};
use std::collections::VecDeque;
use tch::Tensor;

/// Where sampling stands, after each decoding step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Tokens drawn so far.
    pub n_tokens: usize,
    /// Completions that have ended.
    pub n_completions: usize,
}

/// Samples completions from a policy.
#[derive(Debug)]
pub struct Generator<'a> {
    /// The policy as it stands.
    pub policy: &'a Policy,
    /// Turns drawn tokens into text.
    pub tokenizer: &'a Tokenizer,
    /// How tokens are drawn and when completions end.
    pub params: &'a SamplingParams,
    /// Sequences decoded at once.
    pub max_batch: usize,
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

impl Generator<'_> {
    /// Samples `group_size` completions of each prompt.
    ///
    /// - `stream(group_idx, row_idx)`: the address of a completion's random numbers, one for each position
    /// - `on_progress`: called after each decoding step
    ///
    /// # Errors
    /// If a prompt is empty, holds an unknown id, or leaves no room for `max_tokens`. Nothing is sampled then.
    pub fn generate(
        &self,
        prompts: Vec<Prompt>,
        group_size: usize,
        stream: impl Fn(usize, usize) -> Stream,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Vec<Group>> {
        self.check(&prompts)?;
        let weights = self.policy.frozen_weights();
        let n_sequences = prompts.len() * group_size;
        let mut cache = self.policy.kv_cache(self.max_batch.clamp(1, n_sequences.max(1)));
        let mut waiting: VecDeque<Sequence> = (0..prompts.len())
            .flat_map(|group_idx| (0..group_size).map(move |row_idx| (group_idx, row_idx)))
            .map(|(group_idx, row_idx)| Sequence::new(group_idx, row_idx, stream(group_idx, row_idx)))
            .collect();
        // The rows of the cache in use are always its first ones, in the order of `active`.
        let mut active: Vec<Sequence> = Vec::new();
        let mut done: Vec<Vec<Option<Completion>>> = prompts.iter().map(|_| vec![None; group_size]).collect();
        let mut encoded: Option<(usize, PromptKv)> = None;
        let mut progress = Progress { n_tokens: 0, n_completions: 0 };
        while !(waiting.is_empty() && active.is_empty()) {
            if !active.is_empty() {
                let last: Vec<i64> = active.iter().map(|sequence| sequence.ids[sequence.ids.len() - 1]).collect();
                let logits = self.policy.decode(&weights, &last, &mut cache);
                self.extend(&logits, &mut active);
                progress.n_tokens += active.len();
                progress.n_completions += self.retire(&mut active, &mut cache, &mut done);
            }
            while active.len() < self.max_batch.max(1) && !waiting.is_empty() {
                let n_new = self.admit(&weights, &prompts, &mut waiting, &mut active, &mut cache, &mut encoded);
                progress.n_tokens += n_new;
                // A first token may already be the last, and makes room again.
                progress.n_completions += self.retire(&mut active, &mut cache, &mut done);
            }
            on_progress(progress);
        }
        let whole = |completions: Vec<Option<Completion>>| completions.into_iter().flatten().collect();
        Ok(prompts.into_iter().zip(done).map(|(prompt, completions)| Group { prompt, completions: whole(completions) }).collect())
    }

    /// Fills free rows from the queue and draws their first tokens; gives back how many.
    fn admit(
        &self,
        weights: &Weights,
        prompts: &[Prompt],
        waiting: &mut VecDeque<Sequence>,
        active: &mut Vec<Sequence>,
        cache: &mut KvCache,
        encoded: &mut Option<(usize, PromptKv)>,
    ) -> usize {
        let first_new = active.len();
        let mut logits = Vec::new();
        while active.len() < cache.n_rows().min(self.max_batch.max(1)) {
            let Some(sequence) = waiting.pop_front() else { break };
            let group_idx = sequence.group_idx;
            // Sequences wait in the order of their groups, so one encoded prompt at a time is enough.
            if encoded.as_ref().is_none_or(|(idx, _)| *idx != group_idx) {
                *encoded = Some((group_idx, self.policy.prefill(weights, &prompts[group_idx].ids)));
            }
            let (_, prompt) = encoded.as_ref().expect("just encoded");
            cache.admit(active.len(), prompt);
            logits.push(prompt.logits.shallow_clone());
            active.push(sequence);
        }
        self.extend(&Tensor::stack(&logits, 0), &mut active[first_new..]);
        active.len() - first_new
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
    fn retire(
        &self,
        active: &mut Vec<Sequence>,
        cache: &mut KvCache,
        done: &mut [Vec<Option<Completion>>],
    ) -> usize {
        let before = active.len();
        for row in (0..before).rev() {
            let Some(stop_reason) = self.finished(&active[row].ids) else { continue };
            let sequence = active.swap_remove(row);
            if row < active.len() {
                cache.move_row(active.len(), row);
            }
            done[sequence.group_idx][sequence.row_idx] = Some(Completion {
                text: self.tokenizer.decode(&sequence.ids),
                ids: sequence.ids,
                logprobs: sequence.logprobs,
                untempered_logprobs: sequence.untempered_logprobs,
                stop_reason,
            });
        }
        before - active.len()
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

    fn check(&self, prompts: &[Prompt]) -> Result<()> {
        let config = self.policy.config();
        let (vocab_size, context) = (config.vocab_size, config.max_position_embeddings);
        for (group_idx, prompt) in prompts.iter().enumerate() {
            if prompt.ids.is_empty() {
                return Err(Error::EmptyPrompt { group_idx });
            }
            if let Some(&id) = prompt.ids.iter().find(|id| !(0..vocab_size).contains(*id)) {
                return Err(Error::TokenId { group_idx, id, vocab_size });
            }
            let (n_prompt_tokens, max_tokens) = (prompt.ids.len(), self.params.max_tokens);
            if (n_prompt_tokens + max_tokens) as i64 > context {
                return Err(Error::Context { group_idx, n_prompt_tokens, max_tokens, context });
            }
        }
        Ok(())
    }
}

impl Sequence {
    fn new(group_idx: usize, row_idx: usize, stream: Stream) -> Self {
        Self { group_idx, row_idx, stream, ids: vec![], logprobs: vec![], untempered_logprobs: vec![] }
    }
}
