//! Held-out problems during training: how the policy does on questions it never trained on.

use std::time::Instant;

use rewards::Problem;
use rollout::SamplingParams;

use super::exam::{Candidate, Examiner};
use super::{RunContext, StageError};
use crate::address::{self, Purpose};
use crate::config::Eval;
use crate::data::problem_file;
use crate::judges::Judges;
use crate::telemetry::report::EvalSample;
use crate::telemetry::{EvalRow, EvalSummary};

/// A set of held-out problems and what judges the answers.
pub(super) struct HeldOut<'a> {
    settings: &'a Eval,
    problems: Vec<Problem>,
    judges: Judges,
}

/// What of a stage an evaluation needs.
pub(super) struct Examined<'a> {
    /// Name and number of the stage.
    pub(super) stage: (&'a str, usize),
    /// The policy as it stands.
    pub(super) candidate: Candidate<'a>,
    /// How the stage samples: its longest completion, what ends completions and thoughts. The rest is the evaluation's.
    pub(super) params: SamplingParams,
}

impl<'a> HeldOut<'a> {
    pub(super) fn open(settings: &'a Eval, judges: Judges) -> Result<Self, StageError> {
        let mut problems = problem_file::read(settings.problems.path(), judges.rubric())?;
        if settings.max_problems > 0 {
            problems.truncate(settings.max_problems as usize);
        }
        Ok(Self { settings, problems, judges })
    }

    pub(super) fn every_steps(&self) -> u64 {
        self.settings.every_steps
    }

    /// Samples every problem and logs the result as that of `step` (0: before the stage).
    ///
    /// The random numbers are those of every other evaluation of the stage, so that two of them differ by the policy alone.
    pub(super) fn evaluate(&self, context: &RunContext, examined: &Examined, step: u64) -> Result<(), StageError> {
        let clock = Instant::now();
        let n_samples = self.settings.samples_per_problem as usize;
        context.progress.say(&format!("evaluating {} held-out problems", self.problems.len()));
        let (stage, stage_idx) = examined.stage;
        let params = SamplingParams {
            temperature: self.settings.temperature,
            top_p: self.settings.top_p,
            top_k: 0,
            min_p: 0.0,
            ..examined.params.clone()
        };
        let seed = context.settings.run.seed;
        let stream = |problem: usize, sample: usize| {
            address::stream(seed, stage_idx, Purpose::Evaluation, &[problem as u64, sample as u64])
        };
        let Candidate { tokenizer, .. } = examined.candidate;
        let in_step = |error| match error {
            StageError::Damaged { what, .. } => StageError::NonFinite { step, what: *what },
            StageError::Judge { failure, .. } => StageError::Judge { step, failure },
            error => error,
        };
        let groups = examined.candidate.ask(&self.problems, n_samples, &params, stream, Some(context.progress));
        let groups = groups.map_err(in_step)?;
        let closing = params.forced_end.as_ref().map_or("</think>", |forced_end| &forced_end.unless);
        let examiner = Examiner { judges: &self.judges, tokenizer, closing, scores: &[], win_by: None };
        let samples = examiner.judge(&self.problems, &groups).map_err(in_step)?;
        let samples: Vec<EvalSample> = (samples.iter().flatten())
            .map(|sample| EvalSample {
                correct: sample.correct == Some(true),
                formatted: sample.formatted == Some(true),
                n_tokens: sample.n_tokens,
            })
            .collect();
        let result = EvalSummary::new(&samples, n_samples);
        let row = EvalRow { stage: stage.to_owned(), step, result, seconds: clock.elapsed().as_secs_f64() };
        context.progress.say(&format!(
            "step {step}: held-out pass@1 {:.3}  format {:.3}  mean tokens {:.1}",
            row.result.pass_at_1, row.result.format, row.result.mean_tokens
        ));
        Ok(context.log_eval(&row)?)
    }
}
