//! The rollout of a step: questions to prompts, prompts to groups of completions.

use std::time::Instant;

use policy::Policy;
use rewards::Problem;
use rollout::{ForcedEnd, Generator, Group, Prompt, SamplingParams, SamplingSeconds, Template, Tokenizer};

use super::super::StageError;
use super::super::exam::Candidate;
use super::super::held_out::Examined;
use super::learner::Learner;
use crate::address::{self, Purpose};
use crate::config::Rollout;
use crate::telemetry::Progress;

impl Learner<'_> {
    /// Samples G completions of each question from the policy as it stands, and hands over each group by its number when it
    /// has ended.
    ///
    /// - `first_group`: the number within the step of the first question's group; what is handed over is counted from 0
    pub(super) fn sample(
        &self,
        step: u64,
        first_group: usize,
        questions: &[Problem],
        progress: &Progress,
        hand_over: &mut dyn FnMut(usize, Group),
    ) -> Result<SamplingSeconds, StageError> {
        let settings = &self.settings.rollout;
        let prompts = prompts(questions, &self.template, &self.tokenizer)?;
        let params = self.sampling_params(step);
        let generator = Generator {
            policy: &self.policy,
            tokenizer: &self.tokenizer,
            params: &params,
            max_batch: settings.max_batch as usize,
        };
        progress.begin_rollout(questions.len() as u64 * settings.group_size);
        let clock = Instant::now();
        let (seed, stage_idx) = (self.seed, self.stage_idx);
        let stream = |group: usize, row: usize| {
            address::stream(seed, stage_idx, Purpose::Sampling, &[step, (first_group + group) as u64, row as u64])
        };
        let on_progress = |done: rollout::Progress| {
            progress.rollout(done.n_completions as u64, done.n_tokens as f64 / clock.elapsed().as_secs_f64());
        };
        let on_group = |number: usize, completions| {
            hand_over(number, Group { prompt: prompts[number].clone(), completions });
        };
        Ok(generator.generate_each(&prompts, settings.group_size as usize, stream, on_progress, on_group)?)
    }

    /// Samples nothing: makes sure, before the first step, that its prompts fit the model.
    pub(super) fn check_first_prompts(&self, step: u64) -> Result<(), StageError> {
        let mut course = self.course.clone();
        course.begin_step(step);
        let questions = course.next(&self.questions, self.settings.rollout.prompts_per_step)?;
        let questions: Vec<Problem> = questions.into_iter().map(|question| question.problem).collect();
        let prompts = prompts(&questions, &self.template, &self.tokenizer)?;
        let context = self.policy.config().max_position_embeddings;
        let max_tokens = self.settings.rollout.most_tokens() as usize;
        let longest = prompts.iter().enumerate().max_by_key(|(_, prompt)| prompt.ids.len());
        match longest {
            Some((group_idx, prompt)) if (prompt.ids.len() + max_tokens) as i64 > context => {
                Err(rollout::Error::Context { group_idx, n_prompt_tokens: prompt.ids.len(), max_tokens, context }
                    .into())
            }
            _ => Ok(()),
        }
    }

    /// The policy as it stands, for an evaluation: its completions may be as long as they come to be in the end, so that two
    /// evaluations differ by the policy alone.
    pub(super) fn examined(&self, step: u64) -> Examined<'_> {
        let rollout = &self.settings.rollout;
        let candidate = Candidate {
            name: &self.settings.name,
            policy: &self.policy,
            tokenizer: &self.tokenizer,
            template: &self.template,
            max_batch: rollout.max_batch as usize,
        };
        let params = SamplingParams { max_tokens: rollout.last_max_tokens() as usize, ..self.sampling_params(step) };
        Examined { stage: (&self.settings.name, self.stage_idx), candidate, params }
    }

    /// How this stage samples in `step`, counted from 1.
    pub(super) fn sampling_params(&self, step: u64) -> SamplingParams {
        sampling_params(&self.settings.rollout, &self.policy, self.forced_end.clone(), step)
    }
}

/// How `policy` is sampled in `step`, counted from 1.
pub(in super::super) fn sampling_params(
    rollout: &Rollout,
    policy: &Policy,
    forced_end: Option<ForcedEnd>,
    step: u64,
) -> SamplingParams {
    let Rollout { top_k, top_p, min_p, min_tokens, stop_strings, stop_token_ids, .. } = rollout;
    let mut stops = policy.config().eos_token_ids.clone();
    stops.extend(stop_token_ids.iter().map(|&id| i64::from(id)));
    SamplingParams {
        temperature: rollout.temperature_at(step),
        top_k: *top_k as usize,
        top_p: *top_p,
        min_p: *min_p,
        max_tokens: rollout.max_tokens_at(step) as usize,
        min_tokens: *min_tokens as usize,
        stop_token_ids: stops,
        stop_strings: stop_strings.clone(),
        forced_end,
        forced_wait: None,
    }
}

/// What ends thoughts that are too long, in tokens.
///
/// # Errors
/// If the phrase cannot be tokenized, or is so long that budget, phrase and answer do not fit into a completion of any step.
pub(crate) fn forced_end(rollout: &Rollout, tokenizer: &Tokenizer) -> Result<Option<ForcedEnd>, rollout::Error> {
    let Some(settings) = &rollout.forced_end else { return Ok(None) };
    let forced_end = ForcedEnd {
        ids: tokenizer.encode_within(&settings.text)?,
        after_tokens: settings.after_tokens.map(|n| n as usize),
        answer_tokens: settings.answer_tokens as usize,
        unless: settings.unless.clone(),
    };
    let max_tokens = rollout.least_max_tokens() as usize;
    let params = SamplingParams { max_tokens, forced_end: Some(forced_end), ..SamplingParams::default() };
    params.check()?;
    Ok(params.forced_end)
}

/// Questions as the policy reads them.
pub(in super::super) fn prompts(
    questions: &[Problem],
    template: &Template,
    tokenizer: &Tokenizer,
) -> Result<Vec<Prompt>, StageError> {
    let prompt = |problem: &Problem| Ok(template.prompt(&problem.question, tokenizer)?);
    questions.iter().map(prompt).collect()
}
