//! Held-out problems: how the policy does on questions it never trained on.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use rewards::{CompletionView, JudgedGroup, Problem};
use rollout::{Generator, Group, SamplingParams, Template};

use super::super::{RunContext, StageError};
use super::judging::view;
use super::learner::{Learner, template};
use super::sampling::prompts;
use crate::address::{self, Purpose};
use crate::config::{Eval, GrpoStage};
use crate::data::problem_file;
use crate::judges::Judges;
use crate::telemetry::report::EvalSample;
use crate::telemetry::{EvalRow, EvalSummary};

/// A set of held-out problems and how they are asked.
pub(super) struct HeldOut<'a> {
    settings: &'a Eval,
    template: Template,
    problems: Vec<Problem>,
    judges: Judges,
}

impl<'a> HeldOut<'a> {
    pub(super) fn open(settings: &'a Eval, stage: &GrpoStage) -> Result<Self, StageError> {
        let judges = Judges::for_evaluation(&stage.rewards, &stage.problems)?;
        let mut problems = problem_file::read(settings.problems.path(), judges.rubric())?;
        if settings.max_problems > 0 {
            problems.truncate(settings.max_problems as usize);
        }
        Ok(Self { settings, template: template(stage), problems, judges })
    }

    /// Once `flag` is true, its judges wait for no server.
    pub(super) fn stop_when(&self, flag: &Arc<AtomicBool>) {
        self.judges.stop_when(flag);
    }

    pub(super) fn every_steps(&self) -> u64 {
        self.settings.every_steps
    }

    /// Samples every problem and logs the result as that of `step` (0: before the stage).
    ///
    /// The random numbers are those of every other evaluation of the stage, so that two of them differ by the policy alone.
    pub(super) fn evaluate(&self, context: &RunContext, learner: &Learner, step: u64) -> Result<(), StageError> {
        let clock = Instant::now();
        let n_samples = self.settings.samples_per_problem as usize;
        context.progress.say(&format!("evaluating {} held-out problems", self.problems.len()));
        let groups = self.sample(context, learner, step, n_samples)?;
        let samples = self.judge(&groups);
        if let Some(failure) = self.judges.failure() {
            return Err(StageError::Judge { step, failure });
        }
        let result = EvalSummary::new(&samples, n_samples);
        let row =
            EvalRow { stage: learner.settings.name.clone(), step, result, seconds: clock.elapsed().as_secs_f64() };
        context.progress.say(&format!(
            "step {step}: held-out pass@1 {:.3}  format {:.3}  mean tokens {:.1}",
            row.result.pass_at_1, row.result.format, row.result.mean_tokens
        ));
        Ok(context.log_eval(&row)?)
    }

    fn sample(
        &self,
        context: &RunContext,
        learner: &Learner,
        step: u64,
        n_samples: usize,
    ) -> Result<Vec<Group>, StageError> {
        let params = SamplingParams {
            temperature: self.settings.temperature,
            top_p: self.settings.top_p,
            top_k: 0,
            min_p: 0.0,
            // The same at every step: two evaluations differ by the policy alone.
            max_tokens: learner.settings.rollout.last_max_tokens() as usize,
            ..learner.sampling_params(step)
        };
        let generator = Generator {
            policy: &learner.policy,
            tokenizer: &learner.tokenizer,
            params: &params,
            max_batch: learner.settings.rollout.max_batch as usize,
        };
        let prompts = prompts(&self.problems, self.template, &learner.tokenizer)?;
        let n_completions = prompts.len() * n_samples;
        let clock = Instant::now();
        let (seed, stage_idx) = (learner.seed, learner.stage_idx);
        let stream = |problem: usize, sample: usize| {
            address::stream(seed, stage_idx, Purpose::Evaluation, &[problem as u64, sample as u64])
        };
        context.progress.begin_eval(n_completions as u64);
        let groups = generator.generate(prompts, n_samples, stream, |done| {
            context.progress.rollout(done.n_completions as u64, done.n_tokens as f64 / clock.elapsed().as_secs_f64());
        })?;
        Ok(groups)
    }

    /// Right or wrong, in the format or not, sample by sample.
    fn judge(&self, groups: &[Group]) -> Vec<EvalSample> {
        let views: Vec<Vec<CompletionView>> = (groups.iter())
            .map(|group| group.completions.iter().map(|completion| view(group, completion, None)).collect())
            .collect();
        let pairs: Vec<JudgedGroup> = self.problems.iter().zip(&views).map(|(p, v)| (p, v.as_slice())).collect();
        let judgements = self.judges.rubric().judge_batch(&pairs, 1);
        let samples = judgements.iter().flatten().zip(views.iter().flatten());
        samples
            .map(|(judgement, view)| EvalSample {
                correct: self.judges.is_right(judgement) == Some(true),
                formatted: self.judges.keeps_format(judgement) == Some(true),
                n_tokens: view.n_tokens,
            })
            .collect()
    }
}
