//! Sampling many completions: the prompts shared out among engines, each with its own rows.

use crate::engine::{Engine, News};
use crate::random::Stream;
use crate::{Completion, Error, Group, Prompt, Result, SamplingParams, Tokenizer};
use policy::Policy;
use std::sync::{Once, mpsc};
use tch::Device;

/// Rows for which a second engine is worth reading the weights a second time.
const ROWS_PER_ENGINE: usize = 32;
/// The same where the weights stay in the processor's caches.
const ROWS_PER_ENGINE_IF_SMALL: usize = 8;
/// Weights that do.
const SMALL: i64 = 8 << 20;

/// Where sampling stands, after each decoding step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Tokens drawn so far.
    pub n_tokens: usize,
    /// Completions that have ended.
    pub n_completions: usize,
}

/// Where the time of sampling went, in seconds of wall time: the mean over the engines, which work side by side. What is
/// missing to the duration of the whole is engines waiting for the last of them, and their start.
///
/// A GPU works behind the processor's back: there `network` and `prefill` are the time to launch the work, and `draw`,
/// which needs its result, has the waiting in it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SamplingSeconds {
    /// Encoding prompts, and giving their keys and values to the rows of a group.
    pub prefill: f64,
    /// The network, one token of every row at a time.
    pub network: f64,
    /// Choosing tokens and their log-probabilities.
    pub draw: f64,
    /// Finding what has ended, and turning it into text.
    pub text: f64,
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
    /// Sequences decoded at once, all engines together.
    pub max_batch: usize,
}

impl Generator<'_> {
    /// Samples `group_size` completions of each prompt.
    ///
    /// - `stream(group_idx, row_idx)`: the address of a completion's random numbers, one for each position
    /// - `on_progress`: called as decoding goes on
    ///
    /// # Errors
    /// If a prompt is empty, holds an unknown id, or leaves no room for `max_tokens`; if `max_tokens` leaves none for a forced
    /// end; or if a GPU has no memory for a single sequence. Nothing is sampled then.
    pub fn generate(
        &self,
        prompts: Vec<Prompt>,
        group_size: usize,
        stream: impl Fn(usize, usize) -> Stream + Sync,
        on_progress: impl FnMut(Progress),
    ) -> Result<Vec<Group>> {
        let mut all: Vec<Vec<Completion>> = prompts.iter().map(|_| Vec::new()).collect();
        self.generate_each(&prompts, group_size, stream, on_progress, |group_idx, group| all[group_idx] = group)?;
        Ok(prompts.into_iter().zip(all).map(|(prompt, completions)| Group { prompt, completions }).collect())
    }

    /// The same, group by group: `on_group(group_idx, completions)` gets the completions of a prompt, in the order of rows,
    /// when the last of them has ended; groups end in any order. Gives back where the time went.
    ///
    /// # Errors
    /// As [`Self::generate`].
    pub fn generate_each(
        &self,
        prompts: &[Prompt],
        group_size: usize,
        stream: impl Fn(usize, usize) -> Stream + Sync,
        mut on_progress: impl FnMut(Progress),
        mut on_group: impl FnMut(usize, Vec<Completion>),
    ) -> Result<SamplingSeconds> {
        self.check(prompts)?;
        let n_threads = rayon::current_num_threads();
        if prompts.is_empty() {
            return Ok(SamplingSeconds::default());
        }
        let mut sampler = self.policy.sampler();
        let max_batch = self.max_batch.min(sampler.most_rows(self.params.n_positions(prompts))?);
        self.tell_if_bounded(max_batch, prompts.len() * group_size);
        let n_engines = self.n_engines(prompts.len(), group_size, n_threads);
        let share_size = prompts.len().div_ceil(n_engines);
        if n_engines < n_threads {
            sampler = sampler.on_all_threads();
        }
        let (sender, receiver) = mpsc::channel();
        let seconds = std::thread::scope(|scope| {
            let mut engines = Vec::new();
            for (share_idx, prompts) in prompts.chunks(share_size).enumerate() {
                let engine = Engine {
                    sampler: sampler.share(),
                    tokenizer: self.tokenizer,
                    params: self.params,
                    max_batch: max_batch.div_ceil(n_engines).max(1),
                };
                let (stream, sender, first_group) = (&stream, sender.clone(), share_idx * share_size);
                engines.push(scope.spawn(move || {
                    let stream = |group_idx, row_idx| stream(first_group + group_idx, row_idx);
                    // The receiver lives as long as this scope; if it were gone, nobody would want the news.
                    engine.run(prompts, group_size, stream, |news| {
                        let _ = sender.send((first_group, news));
                    })
                }));
            }
            drop(sender);
            let mut progress = Progress::default();
            for (first_group, news) in receiver {
                match news {
                    News::Group(group_idx, completions) => on_group(first_group + group_idx, completions),
                    News::Progress(news) => {
                        progress.n_tokens += news.n_tokens;
                        progress.n_completions += news.n_completions;
                        on_progress(progress);
                    }
                }
            }
            let join = |engine: std::thread::ScopedJoinHandle<'_, _>| {
                engine.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            SamplingSeconds::mean(&engines.into_iter().map(join).collect::<Vec<_>>())
        });
        Ok(seconds)
    }

    /// On the CPU, engines side by side with a thread each beat one engine whose every operation is shared among threads:
    /// the operations of a decoding step are too small to be cut. A GPU is one engine's alone.
    fn n_engines(&self, n_prompts: usize, group_size: usize, n_threads: usize) -> usize {
        if self.policy.device() != Device::Cpu {
            return 1;
        }
        let n_rows = self.max_batch.min(n_prompts * group_size);
        let is_small = self.policy.config().n_parameters() <= SMALL;
        let rows_per_engine = if is_small { ROWS_PER_ENGINE_IF_SMALL } else { ROWS_PER_ENGINE };
        n_threads.min(n_prompts).min(n_rows / rows_per_engine).max(1)
    }

    /// Says, once for a process, that memory holds fewer rows than were asked for and would be used.
    fn tell_if_bounded(&self, max_batch: usize, n_completions: usize) {
        static ONCE: Once = Once::new();
        let asked = self.max_batch.min(n_completions);
        if max_batch < asked {
            ONCE.call_once(|| {
                eprintln!(
                    "warning: {:?} has memory for {max_batch} sequences at once, not for {asked}: sampling takes longer. \
                     A lower max_tokens makes room for more",
                    self.policy.device()
                );
            });
        }
    }

    fn check(&self, prompts: &[Prompt]) -> Result<()> {
        self.params.check()?;
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

impl SamplingSeconds {
    fn mean(engines: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| engines.iter().map(of).sum::<f64>() / engines.len().max(1) as f64;
        Self {
            prefill: mean(|s| s.prefill),
            network: mean(|s| s.network),
            draw: mean(|s| s.draw),
            text: mean(|s| s.text),
        }
    }
}
