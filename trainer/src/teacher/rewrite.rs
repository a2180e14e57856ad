//! Samples rewritten by a model, and looked at again: the last step of a cold start.

use std::collections::BTreeMap;

use llm_judge::{Draft, Failure, Rewriter};
use serde::{Deserialize, Serialize};

use crate::selection::{Layout, Parts, Sample, Screen};

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
    /// layout), or a filter's.
    pub failures: BTreeMap<&'static str, usize>,
}

/// Samples as they are after rewriting, in their order; fewer where failures are dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewritten {
    /// The samples.
    pub samples: Vec<Sample>,
    /// What became of them.
    pub counts: RewriteCounts,
}

/// Rewrites reasoning and summary of every sample, and takes the new form where it passes `screen`.
///
/// - `layout`: of the completions, old and new
/// - `judged_anew`: the sample with its length in tokens and its verdicts (`correct`) as they are for the new completion: a model that
///   rewrites may lose the answer
///
/// # Errors
///
/// The model's, if it has failed. What it has answered is in its cache.
pub fn rewrite(
    samples: Vec<Sample>,
    layout: &Layout,
    screen: &Screen,
    rewriter: &Rewriter,
    on_failure: OnFailure,
    judged_anew: impl Fn(Sample) -> Sample,
) -> Result<Rewritten, Failure> {
    let draft = |sample: &Sample| {
        let parts = layout.read(&sample.completion, layout.is_opened_by(&sample.prompt))?;
        Some(Draft { reasoning: parts.reasoning.to_owned(), summary: parts.summary.to_owned() })
    };
    let drafts: Vec<Option<Draft>> = samples.iter().map(draft).collect();
    let asked: Vec<(&str, &Draft)> = samples
        .iter()
        .zip(&drafts)
        .filter_map(|(sample, draft)| Some((&*sample.problem.question, draft.as_ref()?)))
        .collect();
    let mut answers = rewriter.rewrite_all(&asked).into_iter();
    if let Some(failure) = rewriter.client().failure() {
        return Err(failure);
    }
    let mut counts = RewriteCounts { n_samples: samples.len(), ..RewriteCounts::default() };
    let mut kept = Vec::with_capacity(samples.len());
    for (sample, draft) in samples.into_iter().zip(&drafts) {
        let answer = draft.as_ref().map_or(Err("no_layout"), |_| answers.next().expect("an answer to each draft"));
        let written = answer.and_then(|draft| written(&sample, &draft, layout));
        let passing = written.and_then(|completion| {
            let new = judged_anew(Sample { completion, n_tokens: 0, ..sample.clone() });
            screen.reject(&new).map_or(Ok(new), |rejection| Err(rejection.reason.name()))
        });
        match passing {
            Ok(new) => {
                counts.n_rewritten += 1;
                kept.push(new);
            }
            Err(reason) => {
                *counts.failures.entry(reason).or_default() += 1;
                if on_failure == OnFailure::Keep {
                    kept.push(sample);
                }
            }
        }
    }
    Ok(Rewritten { samples: kept, counts })
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
