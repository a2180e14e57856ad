//! Samples rewritten by a model, and looked at again: the last step of a cold start.

use std::collections::BTreeMap;

use llm_judge::{Draft, Failure, Rewriter};
use serde::{Deserialize, Serialize};

use crate::selection::{Layout, Parts, Reason, Sample, Screen};

/// What becomes of a sample that could not be rewritten, or whose new form does not pass the filters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// `keep`: it stays as it was. The default.
    #[default]
    Keep,
    /// `drop`: it is left out.
    Drop,
}

/// What became of the samples.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RewriteCounts {
    /// Samples that were handed in.
    pub n_samples: usize,
    /// Those that are rewritten.
    pub n_rewritten: usize,
    /// The others, by reason: the model's (`malformed`, `refusal`, ..), `no_layout`, `marks` (the new text holds marks of the
    /// layout), or a filter's. Those of them that stay as they were are counted here, too.
    pub failures: BTreeMap<&'static str, usize>,
}

/// What became of one sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Its new form.
    New(Box<Sample>),
    /// It stays as it was, for this reason.
    Kept(&'static str),
    /// It is left out, for this reason.
    Dropped(&'static str),
}

/// What became of samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewritten {
    /// Of each, in their order.
    pub outcomes: Vec<Outcome>,
    /// Counts, which add up: samples = rewritten + failures.
    pub counts: RewriteCounts,
}

/// Drafts that are asked for, for each request that may be in flight, before it is looked whether to stop.
const ROUNDS: usize = 8;

/// Rewrites reasoning and summary of every sample, and takes the new form where it passes `screen`. A sample that was right is
/// right in its new form, too, whatever the filters say. What is a duplicate afterwards is left out.
///
/// - `layout`: of the completions, old and new
/// - `is_to_stop`: whether the user wants to end; then there is nothing, and what was answered is in the model's cache
/// - `judged_anew`: the samples with their lengths in tokens and their verdicts (`correct`) as they are for the new completions: a
///   model that rewrites may lose the answer
///
/// # Errors
///
/// The model's, if it has failed (what it has answered is in its cache), and those of `judged_anew`.
pub fn rewrite<E: From<Failure>>(
    samples: &[Sample],
    layout: &Layout,
    screen: &Screen,
    rewriter: &Rewriter,
    on_failure: OnFailure,
    is_to_stop: impl Fn() -> bool,
    judged_anew: impl FnOnce(Vec<Sample>) -> Result<Vec<Sample>, E>,
) -> Result<Option<Rewritten>, E> {
    let Some(drafts) = drafts(samples, layout, rewriter, is_to_stop)? else { return Ok(None) };
    let model = &rewriter.client().options().model;
    let completions: Vec<Result<String, &'static str>> = samples
        .iter()
        .zip(drafts)
        .map(|(sample, draft)| draft.and_then(|draft| written(sample, &draft, layout)))
        .collect();
    let new = samples.iter().zip(&completions).filter_map(|(sample, completion)| {
        let mut new = Sample { completion: completion.clone().ok()?, n_tokens: 0, truncated: false, ..sample.clone() };
        if let Some(provenance) = &mut new.provenance {
            provenance.rewritten_by = Some(model.clone());
        }
        Some(new)
    });
    let mut judged = judged_anew(new.collect())?.into_iter();
    let passes = |old: &Sample, new: Sample| {
        if old.correct == Some(true) && new.correct != Some(true) {
            return Err(Reason::NotCorrect.name());
        }
        screen.reject(&new).map_or(Ok(new), |rejection| Err(rejection.reason.name()))
    };
    let outcomes = samples.iter().zip(completions).map(|(sample, completion)| {
        let new = completion.and_then(|_| passes(sample, judged.next().expect("each new form is judged")));
        match (new, on_failure) {
            (Ok(new), _) => Outcome::New(Box::new(new)),
            (Err(reason), OnFailure::Keep) => Outcome::Kept(reason),
            (Err(reason), OnFailure::Drop) => Outcome::Dropped(reason),
        }
    });
    let mut outcomes: Vec<Outcome> = outcomes.collect();
    drop_duplicates(samples, screen, &mut outcomes);
    let counts = RewriteCounts::of(&outcomes);
    Ok(Some(Rewritten { outcomes, counts }))
}

/// What the model makes of each sample, or why there is nothing; none if the user wants to end.
fn drafts(
    samples: &[Sample],
    layout: &Layout,
    rewriter: &Rewriter,
    is_to_stop: impl Fn() -> bool,
) -> Result<Option<Vec<Result<Draft, &'static str>>>, Failure> {
    let draft = |sample: &Sample| {
        let parts = layout.read(&sample.completion, layout.is_opened_by(&sample.prompt))?;
        Some(Draft { reasoning: parts.reasoning.to_owned(), summary: parts.summary.to_owned() })
    };
    let old: Vec<Option<Draft>> = samples.iter().map(draft).collect();
    let asked: Vec<(&str, &Draft)> = samples
        .iter()
        .zip(&old)
        .filter_map(|(sample, draft)| Some((&*sample.problem.question, draft.as_ref()?)))
        .collect();
    let mut answers = Vec::with_capacity(asked.len());
    for asked in asked.chunks(ROUNDS * rewriter.client().options().concurrency) {
        if is_to_stop() {
            return Ok(None);
        }
        answers.extend(rewriter.rewrite_all(asked));
        if let Some(failure) = rewriter.client().failure() {
            return Err(failure);
        }
    }
    let mut answers = answers.into_iter();
    let answer = |draft: &Option<Draft>| {
        draft.as_ref().map_or(Err("no_layout"), |_| answers.next().expect("an answer to each draft"))
    };
    Ok(Some(old.iter().map(answer).collect()))
}

/// Two samples may have become one.
fn drop_duplicates(samples: &[Sample], screen: &Screen, outcomes: &mut [Outcome]) {
    let now: Vec<Sample> = samples.iter().zip(&*outcomes).map(|(old, outcome)| outcome.sample(old).clone()).collect();
    let is_left = |number: &usize| !matches!(outcomes[*number], Outcome::Dropped(_));
    let left: Vec<usize> = (0..outcomes.len()).filter(is_left).collect();
    for (number, rejection) in screen.duplicates().find(&now, &left) {
        outcomes[number] = Outcome::Dropped(rejection.reason.name());
    }
}

impl Outcome {
    /// The sample as it is now: the new form of `old`, or `old` itself.
    pub fn sample<'a>(&'a self, old: &'a Sample) -> &'a Sample {
        match self {
            Self::New(new) => new,
            Self::Kept(_) | Self::Dropped(_) => old,
        }
    }
}

impl RewriteCounts {
    fn of(outcomes: &[Outcome]) -> Self {
        let mut counts = Self { n_samples: outcomes.len(), ..Self::default() };
        for outcome in outcomes {
            match outcome {
                Outcome::New(_) => counts.n_rewritten += 1,
                Outcome::Kept(reason) | Outcome::Dropped(reason) => *counts.failures.entry(reason).or_default() += 1,
            }
        }
        counts
    }
}

/// The completion with the parts of `draft`, if it reads as these.
fn written(sample: &Sample, draft: &Draft, layout: &Layout) -> Result<String, &'static str> {
    let parts = Parts { reasoning: &draft.reasoning, summary: &draft.summary };
    let is_opened = layout.is_opened_by(&sample.prompt);
    let completion = layout.write(parts, is_opened);
    if layout.read(&completion, is_opened) == Some(parts) { Ok(completion) } else { Err("marks") }
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
