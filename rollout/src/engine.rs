//! Continuous batching: rows of the cache are filled as they fall free, and no step is spent on a finished sequence.

use crate::generate::{Progress, SamplingSeconds};
use crate::random::Stream;
use crate::sampling::Draws;
use crate::{Completion, Forced, ForcedWait, Prompt, SamplingParams, StopReason, Tokenizer};
use policy::{KvCache, PromptKv, Sampler};
use std::collections::VecDeque;
use std::time::Instant;
use tch::Tensor;

/// What an engine tells while it works.
pub(crate) enum News {
    /// Tokens drawn and completions ended since it was last told.
    Progress(Progress),
    /// The completions of a prompt, by its index, in the order of rows: the last of them has ended.
    Group(usize, Vec<Completion>),
}

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
    /// Tokens after which its thoughts are to have ended.
    budget: usize,
    /// The longest that it becomes.
    limit: usize,
    /// Tokens to be put in next, before any is drawn.
    put_in: VecDeque<i64>,
    /// Positions of all that are put in.
    forced: Forced,
    /// Whether it may still be kept from closing its thoughts, and how often it has been.
    may_wait: bool,
    n_waits: usize,
    /// Tokens that were drawn and taken back.
    n_taken_back: usize,
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
    /// Encoded prompts with their groups, the next first. Sequences wait in the order of their groups, so a prompt is
    /// not needed once a later one is.
    encoded: VecDeque<(usize, PromptKv)>,
    /// By group and row.
    done: Vec<Vec<Option<Completion>>>,
    /// Groups that have ended since this was last looked at.
    ended: Vec<usize>,
    seconds: SamplingSeconds,
}

impl Engine<'_> {
    /// Samples `group_size` completions of each prompt and tells of each group as it ends; gives back where the time went.
    pub(crate) fn run(
        &self,
        prompts: &[Prompt],
        group_size: usize,
        stream: impl Fn(usize, usize) -> Stream,
        mut news: impl FnMut(News),
    ) -> SamplingSeconds {
        let mut batch = self.begin(prompts, group_size, stream);
        loop {
            for group_idx in std::mem::take(&mut batch.ended) {
                let group = std::mem::take(&mut batch.done[group_idx]);
                news(News::Group(group_idx, group.into_iter().flatten().collect()));
            }
            if batch.waiting.is_empty() && batch.active.is_empty() {
                return batch.seconds;
            }
            let mut progress = Progress::default();
            if !batch.active.is_empty() {
                let last: Vec<i64> = batch.active.iter().map(|sequence| sequence.last(prompts)).collect();
                let draws = self.draws(&mut batch.active);
                let clock = Instant::now();
                let logits = self.sampler.decode(&last, &mut batch.cache);
                batch.seconds.network += clock.elapsed().as_secs_f64();
                Self::extend(&logits, &draws, &mut batch, 0);
                progress.n_tokens += last.len();
                self.keep_thinking(prompts, &mut batch, 0);
                progress.n_completions += self.retire(&mut batch);
            }
            while batch.active.len() < self.max_batch && !batch.waiting.is_empty() {
                progress.n_tokens += self.admit(prompts, &mut batch);
                // A first token may already be the last, and makes room again.
                progress.n_completions += self.retire(&mut batch);
            }
            news(News::Progress(progress));
        }
    }

    fn begin(&self, prompts: &[Prompt], group_size: usize, stream: impl Fn(usize, usize) -> Stream) -> Batch {
        let addresses =
            (0..prompts.len()).flat_map(|group_idx| (0..group_size).map(move |row_idx| (group_idx, row_idx)));
        Batch {
            cache: self
                .sampler
                .kv_cache(self.max_batch.min(prompts.len() * group_size), self.params.n_positions(prompts)),
            active: Vec::new(),
            waiting: addresses.map(|(group, row)| self.sequence(group, row, stream(group, row))).collect(),
            encoded: VecDeque::new(),
            done: prompts.iter().map(|_| (0..group_size).map(|_| None).collect()).collect(),
            // Groups of nothing have ended before they begin.
            ended: (0..prompts.len()).filter(|_| group_size == 0).collect(),
            seconds: SamplingSeconds::default(),
        }
    }

    /// Fills free rows from the queue and draws their first tokens; gives back how many.
    fn admit(&self, prompts: &[Prompt], batch: &mut Batch) -> usize {
        let clock = Instant::now();
        let first_new = batch.active.len();
        let mut logits = Vec::new();
        while batch.active.len() < self.max_batch {
            let Some(sequence) = batch.waiting.pop_front() else { break };
            while batch.encoded.front().is_some_and(|(idx, _)| *idx != sequence.group_idx) {
                batch.encoded.pop_front();
            }
            if batch.encoded.is_empty() {
                batch.encoded = self.encode(prompts, sequence.group_idx, batch);
            }
            let (_, prompt) = batch.encoded.front().expect("just encoded");
            batch.cache.admit(batch.active.len(), prompt);
            logits.push(prompt.logits.shallow_clone());
            batch.active.push(sequence);
        }
        let logits = Tensor::stack(&logits, 0);
        batch.seconds.prefill += clock.elapsed().as_secs_f64();
        let draws = self.draws(&mut batch.active[first_new..]);
        Self::extend(&logits, &draws, batch, first_new);
        self.keep_thinking(prompts, batch, first_new);
        batch.active.len() - first_new
    }

    /// Encodes the prompt of a group and, where that is faster, of those whose sequences find a row too.
    fn encode(&self, prompts: &[Prompt], group_idx: usize, batch: &Batch) -> VecDeque<(usize, PromptKv)> {
        let n_free = self.max_batch - batch.active.len();
        let mut groups = vec![group_idx];
        let mut n_tokens = prompts[group_idx].ids.len();
        for next in batch.waiting.iter().take(n_free - 1).map(|sequence| sequence.group_idx) {
            if groups.last() != Some(&next) {
                n_tokens += prompts[next].ids.len();
                if n_tokens > self.sampler.prefill_tokens() {
                    break;
                }
                groups.push(next);
            }
        }
        let ids: Vec<&[i64]> = groups.iter().map(|&idx| prompts[idx].ids.as_slice()).collect();
        groups.into_iter().zip(self.sampler.prefill_all(&ids)).collect()
    }

    /// What it takes to choose the next token of each sequence; begins the forced end of those whose budget is used up.
    fn draws(&self, sequences: &mut [Sequence]) -> Draws<'_> {
        sequences.iter_mut().for_each(|sequence| self.end_thoughts(sequence));
        let given = sequences.iter().map(|sequence| sequence.put_in.front().copied()).collect();
        let uniforms = sequences.iter().map(Sequence::uniform).collect();
        let suppress = sequences.iter().map(|s| s.ids.len() + 1 < self.params.min_tokens).collect();
        Draws::new(uniforms, suppress, given, self.params, self.sampler.device())
    }

    /// From here on the next tokens of a sequence are those of the phrase, if it has used up its budget and still thinks.
    fn end_thoughts(&self, sequence: &mut Sequence) {
        let Some(forced_end) = &self.params.forced_end else { return };
        let n_tokens = sequence.ids.len();
        if n_tokens == sequence.budget && !self.tokenizer.decode(&sequence.ids).contains(&forced_end.unless) {
            let behind = sequence.put_in(&forced_end.ids);
            sequence.limit = sequence.limit.min(behind + forced_end.answer_tokens);
            sequence.may_wait = false;
        }
    }

    /// Takes back what closes the thoughts of the sequences from `first` on, where they are to go on.
    fn keep_thinking(&self, prompts: &[Prompt], batch: &mut Batch, first: usize) {
        let Some(wait) = &self.params.forced_wait else { return };
        for (row, sequence) in batch.active.iter_mut().enumerate().skip(first) {
            let Some(n_kept) = self.closed_after(wait, sequence) else { continue };
            // Behind the phrase there is to be room for a thought.
            let room = sequence.limit.min(sequence.budget);
            sequence.may_wait =
                n_kept < wait.until_tokens && sequence.n_waits < wait.most_times && n_kept + wait.ids.len() < room;
            if sequence.may_wait {
                sequence.take_back(n_kept);
                sequence.put_in(&wait.ids);
                sequence.n_waits += 1;
                // The last token that is kept is read once more: what comes behind it is to be said anew.
                batch.cache.truncate(row, prompts[sequence.group_idx].ids.len() + n_kept - 1);
            }
        }
    }

    /// The tokens before what closes a sequence's thoughts, if its last token, a drawn one, does.
    fn closed_after(&self, wait: &ForcedWait, sequence: &Sequence) -> Option<usize> {
        let ids = &sequence.ids;
        let last = ids.len().checked_sub(1)?;
        if !sequence.may_wait || sequence.forced.contains(last) {
            return None;
        }
        if self.params.stop_token_ids.contains(&ids[last]) {
            return Some(last);
        }
        if !self.ends_with(ids, &wait.closing) {
            return None;
        }
        let closed_at = self.tokenizer.decode(ids).rfind(&wait.closing)?;
        Some(self.tokenizer.token_ends(ids).n_tokens_before(closed_at))
    }

    /// Draws the next token of each active sequence from `first` on.
    ///
    /// - `logits`: `[sequences, vocab]`; `draws`: from [`Self::draws`] of these sequences
    fn extend(logits: &Tensor, draws: &Draws, batch: &mut Batch, first: usize) {
        let clock = Instant::now();
        let drawn = draws.draw(logits);
        for (idx, sequence) in batch.active[first..].iter_mut().enumerate() {
            sequence.put_in.pop_front();
            sequence.ids.push(drawn.ids[idx]);
            sequence.logprobs.push(drawn.logprobs[idx]);
            sequence.untempered_logprobs.push(drawn.untempered_logprobs[idx]);
        }
        batch.seconds.draw += clock.elapsed().as_secs_f64();
    }

    /// Takes finished sequences out of the batch and closes the gaps; gives back how many there were.
    fn retire(&self, batch: &mut Batch) -> usize {
        let clock = Instant::now();
        let before = batch.active.len();
        for row in (0..before).rev() {
            let Some(stop_reason) = self.finished(&batch.active[row]) else { continue };
            let sequence = batch.active.swap_remove(row);
            if row < batch.active.len() {
                batch.cache.move_row(batch.active.len(), row);
            }
            let (group_idx, row_idx) = (sequence.group_idx, sequence.row_idx);
            let group = &mut batch.done[group_idx];
            group[row_idx] = Some(Completion {
                text: self.tokenizer.decode(&sequence.ids),
                ids: sequence.ids,
                forced: sequence.forced,
                logprobs: sequence.logprobs,
                untempered_logprobs: sequence.untempered_logprobs,
                stop_reason,
            });
            if group.iter().all(Option::is_some) {
                batch.ended.push(group_idx);
            }
        }
        batch.seconds.text += clock.elapsed().as_secs_f64();
        before - batch.active.len()
    }

    fn finished(&self, sequence: &Sequence) -> Option<StopReason> {
        let Sequence { ids, forced, .. } = sequence;
        let last = ids.last()?;
        // A phrase ends no completion: what is in it was not the policy's choice.
        let was_drawn = !forced.contains(ids.len() - 1);
        if was_drawn && self.params.stop_token_ids.contains(last) {
            return Some(StopReason::EndToken);
        }
        let stops = || self.params.stop_strings.iter().any(|stop| self.ends_with(ids, stop));
        if was_drawn && ids.len() >= self.params.min_tokens && stops() {
            return Some(StopReason::StopString);
        }
        (ids.len() >= sequence.limit).then_some(StopReason::MaxTokens)
    }

    fn sequence(&self, group_idx: usize, row_idx: usize, stream: Stream) -> Sequence {
        let budget = self.params.forced_end.as_ref().map_or(usize::MAX, |forced_end| forced_end.budget(&stream));
        Sequence {
            group_idx,
            row_idx,
            stream,
            budget,
            limit: self.params.max_tokens,
            put_in: VecDeque::new(),
            forced: Forced::default(),
            may_wait: self.params.forced_wait.is_some(),
            n_waits: 0,
            n_taken_back: 0,
            ids: Vec::new(),
            logprobs: Vec::new(),
            untempered_logprobs: Vec::new(),
        }
    }

    /// Whether the text of `ids` came to hold `end` by its last token.
    fn ends_with(&self, ids: &[i64], end: &str) -> bool {
        // A token is at least one byte of text, so the text lies within as many tokens as it has bytes; the rest of the
        // completion was looked at when it was drawn.
        let tail = &ids[ids.len().saturating_sub(end.len() + 1)..];
        self.tokenizer.decode(tail).contains(end)
    }
}

impl Sequence {
    /// The token that a decoding step appends: the last one, of the prompt where there is none yet.
    fn last(&self, prompts: &[Prompt]) -> i64 {
        let last = self.ids.last().or(prompts[self.group_idx].ids.last());
        *last.expect("a prompt has tokens")
    }

    /// The number that its next token is drawn by. What was taken back had numbers of its own: those that are left were not
    /// chosen by how it ended.
    fn uniform(&self) -> f64 {
        self.stream.uniform((self.ids.len() + self.n_taken_back) as u64)
    }

    /// Puts tokens in from here on; gives back the position behind them.
    fn put_in(&mut self, ids: &[i64]) -> usize {
        let range = self.ids.len()..self.ids.len() + ids.len();
        self.put_in = ids.iter().copied().collect();
        self.forced.push(range.clone());
        range.end
    }

    /// Goes back to its first `n_kept` tokens.
    fn take_back(&mut self, n_kept: usize) {
        self.n_taken_back += self.ids.len() - n_kept;
        self.ids.truncate(n_kept);
        self.logprobs.truncate(n_kept);
        self.untempered_logprobs.truncate(n_kept);
        self.forced.truncate(n_kept);
    }
}
