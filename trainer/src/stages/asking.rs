//! Asks a policy problems and has its answers judged, for stages that do not learn from them.

use std::path::Path;
use std::time::Instant;

use rewards::Problem;
use rollout::{Generator, Group, SamplingParams, Template};

use super::grpo::{Judged, Panel, prompts as prompts_of, sampling_params};
use super::{Model, NonFinite, RunContext, StageError};
use crate::address::{self, Purpose};
use crate::config::{Prompt, Rewards, Sampling};
use crate::judges::Judges;
use crate::prompts;
use crate::run::{FileError, atomic};
use crate::telemetry::StepMetrics;
use crate::telemetry::metrics::names;

/// What a policy is asked with.
pub(super) struct Questioning<'a> {
    pub(super) prompt: &'a Prompt,
    pub(super) sampling: &'a Sampling,
    pub(super) rewards: &'a Rewards,
    pub(super) samples_per_problem: u64,
    pub(super) stage_idx: usize,
    /// The number of the policy within the stage.
    pub(super) model_idx: u64,
}

/// A policy that is asked, and what judges its answers.
pub(super) struct Asker<'a> {
    /// Its folder, for messages.
    name: String,
    pub(super) model: Model,
    pub(super) judges: Judges,
    with: Questioning<'a>,
    template: Template,
    params: SamplingParams,
    seed: u64,
}

/// A batch of judged groups, in the order of its problems, with what is shown of it.
pub(super) struct Answers {
    pub(super) judged: Vec<Judged>,
    pub(super) metrics: StepMetrics,
}

impl<'a> Asker<'a> {
    /// Loads the policy in `folder`.
    ///
    /// # Errors
    /// If the model or the rewards cannot be used.
    pub(super) fn open(context: &RunContext, folder: &Path, with: Questioning<'a>) -> Result<Self, StageError> {
        let judges = Judges::new(with.rewards)?;
        context.prepare(&judges)?;
        let model = Model::load(folder, context.dtype, context.device)?;
        Ok(Self {
            name: folder.display().to_string(),
            params: sampling_params(&with.sampling.as_rollout(), &model.policy, None, 1),
            template: prompts::template(with.prompt, &model.tokenizer)?,
            seed: context.settings.run.seed,
            model,
            judges,
            with,
        })
    }

    /// Samples each of `problems` and has the samples judged, with the weights of step 1.
    ///
    /// A sample is a pure function of the policy, its problem, and the numbers of problem and sample.
    ///
    /// - `batch`: for messages, counted from 1
    /// - `first`: the number of the first problem, which names its random numbers
    ///
    /// # Errors
    /// If a prompt does not fit the model, a log-probability is not finite, or a reward could not judge.
    pub(super) fn ask(
        &self,
        context: &RunContext,
        batch: u64,
        first: u64,
        problems: &[Problem],
    ) -> Result<Answers, StageError> {
        let Questioning { samples_per_problem, stage_idx, model_idx, sampling, .. } = self.with;
        let tokenizer = &self.model.tokenizer;
        let prompts = prompts_of(problems, &self.template, tokenizer)?;
        let (policy, params, max_batch) = (&self.model.policy, &self.params, sampling.max_batch as usize);
        let generator = Generator { policy, tokenizer, params, max_batch };
        let panel = Panel { judges: &self.judges, tokenizer, problems, step: 1 };
        let seed = self.seed;
        let stream = |group: usize, row: usize| {
            let path = [model_idx, first + group as u64, row as u64];
            address::stream(seed, stage_idx, Purpose::Samples, &path)
        };
        context.progress.begin_rollout(problems.len() as u64 * samples_per_problem);
        let clock = Instant::now();
        let on_progress = |done: rollout::Progress| {
            let tokens_per_second = done.n_tokens as f64 / clock.elapsed().as_secs_f64();
            context.progress.rollout(done.n_completions as u64, tokens_per_second);
        };
        let (_, judged, times) = panel.judge_while(|hand_over| {
            let on_group = |number: usize, completions| {
                hand_over(number, Group { prompt: prompts[number].clone(), completions });
            };
            generator.generate_each(&prompts, samples_per_problem as usize, stream, on_progress, on_group)
        })?;
        if let Some(failure) = self.judges.failure() {
            return Err(StageError::Judge { step: batch, failure });
        }
        NonFinite::refuse_in(judged.iter().map(|judged| &judged.group), problems, first as usize)
            .map_err(|what| StageError::Damaged { model: self.name.clone(), what: Box::new(what) })?;
        let metrics = self.metrics(&judged, times.sampling, clock.elapsed().as_secs_f64());
        Ok(Answers { judged, metrics })
    }

    /// What is shown of a batch.
    fn metrics(&self, judged: &[Judged], sampling_seconds: f64, seconds: f64) -> StepMetrics {
        let judgements = || judged.iter().flat_map(|judged| &judged.judgements);
        let completions = || judged.iter().flat_map(|judged| &judged.group.completions);
        let n_tokens: usize = completions().map(|completion| completion.ids.len()).sum();
        let rewards: Vec<f64> = judgements().filter_map(|judgement| judgement.reward).map(f64::from).collect();
        let right: Vec<bool> = judgements().filter_map(|judgement| self.judges.is_right(judgement)).collect();
        let mut metrics = StepMetrics::new();
        if !rewards.is_empty() {
            metrics.set(names::REWARD, rewards.iter().sum::<f64>() / rewards.len() as f64);
        }
        if !right.is_empty() {
            metrics.set(names::ACCURACY, right.iter().filter(|right| **right).count() as f64 / right.len() as f64);
        }
        metrics.set(names::MEAN_LENGTH, n_tokens as f64 / completions().count() as f64);
        metrics.set(names::TOKENS_PER_SECOND, n_tokens as f64 / sampling_seconds);
        metrics.set(names::STEP_TIME, seconds);
        metrics
    }
}

/// Removes `answers` in the folder of a stage unless they are those of the models as they are asked now
/// ([`crate::config::Resolved::asked_identity`]), and writes down that now they are.
///
/// # Errors
/// The path and the system's error.
pub(super) fn take_up_answers(context: &RunContext, stage_idx: usize, answers: &Path) -> Result<(), FileError> {
    let record = answers.with_file_name("asked.json");
    let text = serde_json::to_string(&context.settings.asked_identity(stage_idx)).expect("a text") + "\n";
    if std::fs::read(&record).is_ok_and(|known| known == text.as_bytes()) {
        return Ok(());
    }
    atomic::remove(answers)?;
    atomic::write_file(&record, text.as_bytes())
}
