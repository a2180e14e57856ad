//! The `step_sums` reward: every sum that the thoughts write down is a step, right or wrong.

mod equations;

use std::collections::HashSet;

use crate::excerpt::excerpt;
use crate::{CompletionView, GoldError, Problem, RewardFn, StepScore, Verdict, mean_of_steps};
use equations::equations;

/// Longest quotation in a verdict, in characters.
const QUOTE_CHARS: usize = 80;

/// Scores for the steps of a calculation, for process supervision (DeepSeekMath, arXiv 2402.03300, section 4.1.3): each
/// equation in the chain of thought that computes something (`15 + 7 = 22`) is a step that ends where the equation ends,
/// worth 1 if it is right and 0 if it is wrong. The score of the whole is the mean of the steps.
///
/// The chain of thought is all between `<think>` and the last `</think>`; a completion without these tags is one. An equation
/// has whole numbers, `+ - * /` (also `× · ÷ −`), signs and parentheses on both sides, on one line, with at least one
/// operation, and is compared in exact fractions; `a = b = c` is two equations. What is written a second time is no step: it
/// computes nothing. Numbers with decimals or units, unknowns and words are no equations of this reward, and what may belong to
/// something longer is not judged.
///
/// It knows nothing of the problem: a right sum may lead nowhere. Beside a reward of the answer it needs little weight.
///
/// `rule` of the verdict: `right` (all steps), `wrong` (at least one is wrong, the first of them is extracted), `no_sums` (not
/// applicable).
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct StepSums;

impl StepSums {
    /// The reward; it has no settings.
    pub fn new() -> Self {
        Self
    }
}

impl RewardFn for StepSums {
    fn name(&self) -> &str {
        "step_sums"
    }

    fn check_gold(&self, _: &Problem) -> Result<(), GoldError> {
        Ok(())
    }

    fn judge(&self, _: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let thoughts = completion.thinking();
        let (mut steps, mut seen, mut first_wrong) = (Vec::new(), HashSet::new(), None);
        for equation in equations(&completion.text[thoughts.clone()]) {
            if seen.contains(&equation.text) {
                continue;
            }
            let score = if equation.holds { 1.0 } else { 0.0 };
            steps.push(StepScore { end: thoughts.start + equation.end, score });
            if !equation.holds && first_wrong.is_none() {
                first_wrong = Some(excerpt(&equation.text, QUOTE_CHARS));
            }
            seen.insert(equation.text);
        }
        let Some(score) = mean_of_steps(&steps) else {
            return Verdict::not_applicable("no_sums", "the thoughts write down no sum");
        };
        let n_right = steps.iter().filter(|step| step.score == 1.0).count();
        let rule = if first_wrong.is_none() { "right" } else { "wrong" };
        let reason = format!("{n_right} of {} sums are right", steps.len());
        Verdict { extracted: first_wrong, ..Verdict::scored(score, rule, reason).with_steps(steps) }
    }
}

#[cfg(test)]
mod tests;
