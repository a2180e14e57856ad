//! Asking a policy problems and judging what it answers: the same for evaluations during training, for stages of kind `eval`,
//! and for the command.

use std::path::Path;
use std::time::Instant;

use policy::Policy;
use rewards::{CompletionView, JudgedGroup, Judgement, Problem};
use rollout::random::Stream;
use rollout::{Completion, Generator, Group, SamplingParams, Template, Tokenizer};

use super::grpo::{prompts, view};
use super::{NonFinite, StageError};
use crate::config::{Judge, Rewards};
use crate::data::{Layout, problem_file};
use crate::evaluation::{Range, Sample, Score};
use crate::judges::Judges;
use crate::telemetry::Progress;

/// A policy that is asked, as it stands.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// What it is called, for messages.
    pub name: &'a str,
    /// The policy.
    pub policy: &'a Policy,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The text around a question.
    pub template: &'a Template,
    /// Sequences decoded at once.
    pub max_batch: usize,
}

impl Candidate<'_> {
    /// Samples `n_samples` completions of each problem.
    ///
    /// - `stream(problem, sample)`: the address of a completion's random numbers
    ///
    /// # Errors
    /// If a question cannot be tokenized, or does not fit the context with its completion; if the policy's weights are no
    /// numbers.
    pub fn ask(
        &self,
        problems: &[Problem],
        n_samples: usize,
        params: &SamplingParams,
        stream: impl Fn(usize, usize) -> Stream + Sync,
        progress: Option<&Progress>,
    ) -> Result<Vec<Group>, StageError> {
        let prompts = prompts(problems, self.template, self.tokenizer)?;
        let generator = Generator { policy: self.policy, tokenizer: self.tokenizer, params, max_batch: self.max_batch };
        let clock = Instant::now();
        if let Some(progress) = progress {
            progress.begin_eval((problems.len() * n_samples) as u64);
        }
        let on_progress = |done: rollout::Progress| {
            if let Some(progress) = progress {
                progress.rollout(done.n_completions as u64, done.n_tokens as f64 / clock.elapsed().as_secs_f64());
            }
        };
        let groups = generator.generate(prompts, n_samples, stream, on_progress)?;
        NonFinite::refuse_in(&groups, problems, 0)
            .map_err(|what| StageError::Damaged { model: self.name.to_owned(), what: Box::new(what) })?;
        Ok(groups)
    }
}

/// What judges the answers of an evaluation.
pub struct Examiner<'a> {
    /// The rules.
    pub judges: &'a Judges,
    /// Counts thinking tokens.
    pub tokenizer: &'a Tokenizer,
    /// The text that closes thoughts.
    pub closing: &'a str,
    /// Rewards beside those of the answer and the format whose scores are kept.
    pub scores: &'a [(String, Range)],
    /// The reward that completions and references are compared by.
    pub win_by: Option<&'a str>,
}

/// Name of the score that says how often a completion is better than the reference.
pub const WIN_RATE: &str = "win rate";

impl Examiner<'_> {
    /// Judges the completions of each problem, in their order.
    ///
    /// # Errors
    /// What stopped a command of the user's, or the sandbox, from judging.
    pub fn judge(&self, problems: &[Problem], groups: &[Group]) -> Result<Vec<Vec<Sample>>, StageError> {
        let thinking: Vec<Vec<usize>> = groups
            .iter()
            .map(|group| group.completions.iter().map(|c| self.tokenizer.tokens_until(&c.ids, self.closing)).collect())
            .collect();
        let views: Vec<Vec<CompletionView>> = (groups.iter().zip(&thinking))
            .map(|(group, thinking)| {
                let pairs = group.completions.iter().zip(thinking);
                pairs.map(|(completion, &n)| view(group, completion, Some(n))).collect()
            })
            .collect();
        let pairs: Vec<JudgedGroup> = problems.iter().zip(&views).map(|(p, v)| (p, v.as_slice())).collect();
        let judgements = self.judges.rubric().judge_batch(&pairs, 1);
        let references = self.reference_scores(problems);
        if let Some(failure) = self.judges.failure() {
            return Err(StageError::Judge { step: 0, failure });
        }
        let of_group = |group_idx: usize| {
            let completions = groups[group_idx].completions.iter().zip(&thinking[group_idx]);
            let judged = completions.zip(&judgements[group_idx]);
            let reference = references[group_idx];
            judged.map(|((completion, &n), judged)| self.sample(completion, n, judged, reference)).collect()
        };
        Ok((0..groups.len()).map(of_group).collect())
    }

    /// What the reward of the comparison gives to each row's `reference`.
    fn reference_scores(&self, problems: &[Problem]) -> Vec<Option<f32>> {
        let Some(name) = self.win_by else { return vec![None; problems.len()] };
        let texts: Vec<Option<&str>> = problems.iter().map(reference).collect();
        let n_tokens = |text: &str| self.tokenizer.encode_within(text).map_or(0, |ids| ids.len());
        let views: Vec<Vec<CompletionView>> = texts
            .iter()
            .map(|text| text.iter().map(|text| CompletionView::new(text, n_tokens(text), false)).collect())
            .collect();
        let pairs: Vec<JudgedGroup> = problems.iter().zip(&views).map(|(p, v)| (p, v.as_slice())).collect();
        let judged = self.judges.rubric().judge_batch(&pairs, 1);
        judged.iter().map(|group| group.first().and_then(|judgement| score_of(judgement, name))).collect()
    }

    fn sample(&self, completion: &Completion, thinking: usize, judged: &Judgement, reference: Option<f32>) -> Sample {
        let of_answer =
            judged.components.iter().filter(|component| self.judges.correctness().contains(&component.name));
        let mut scores: Vec<Score> = (self.scores.iter())
            .map(|(name, range)| Score {
                name: name.clone(),
                value: score_of(judged, name).map(f64::from),
                range: *range,
            })
            .collect();
        if let Some(name) = self.win_by {
            let win = score_of(judged, name).zip(reference).map(|(own, reference)| match own.total_cmp(&reference) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            });
            scores.push(Score { name: WIN_RATE.to_owned(), value: win, range: Range::Fraction });
        }
        Sample {
            correct: self.judges.is_right(judged),
            answer: of_answer.filter_map(|component| component.verdict.extracted.clone()).next(),
            formatted: self.judges.keeps_format(judged),
            n_tokens: completion.ids.len(),
            n_thinking_tokens: thinking,
            truncated: completion.stop_reason == rollout::StopReason::MaxTokens,
            within_budget: None,
            scores,
        }
    }
}

/// The text that a row's completions are compared with.
pub fn reference(problem: &Problem) -> Option<&str> {
    problem.gold.fields.get("reference")?.as_str()
}

fn score_of(judgement: &Judgement, name: &str) -> Option<f32> {
    judgement.components.iter().find(|component| component.name == name)?.verdict.score
}

/// What judges the problems of a file: `rewards`; where there are none the answer and the format, the answer as an equation if
/// every row has a Countdown target.
///
/// # Errors
/// If a reward cannot be built, or the file cannot be read.
pub fn judges_of(rewards: &Rewards, path: &Path, layout: Option<Layout>) -> Result<Judges, StageError> {
    if !rewards.0.is_empty() {
        return Ok(Judges::new(rewards)?);
    }
    let has_target = |problem: Problem, _| Ok(problem.gold.target.is_some());
    let targets = problem_file::read_each(path, layout, has_target)?;
    Ok(Judges::of_answers(targets.iter().all(|has_target| *has_target))?)
}

/// The rewards whose scores are figures of their own, and between what bounds they lie: all but those that say whether the
/// answer is right or the format kept.
pub fn scores_beside(rewards: &Rewards, judges: &Judges) -> Vec<(String, Range)> {
    let beside = |name: &String| !judges.correctness().contains(name) && !judges.formats().contains(name);
    let range = |judge: &Judge| match judge {
        Judge::LanguageConsistency { .. } | Judge::TagCount { .. } | Judge::Regex { .. } => Range::Fraction,
        _ => Range::Unbounded,
    };
    let named = rewards.0.iter().filter(|reward| beside(&reward.name));
    named.map(|reward| (reward.name.clone(), range(&reward.judge))).collect()
}
