//! open-r1's `reasoning_steps`: marks of a text that proceeds step by step.

use std::sync::LazyLock;

use regex::Regex;

use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

/// open-r1's pattern. `^` is the start of the completion.
static STEP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"Step \d+:|^\d+\.|\n-|\n\*|First,|Second,|Next,|Finally,").expect("the pattern is well-formed")
});

/// Marks from which on the score is full.
const ENOUGH: usize = 3;

/// open-r1's `reasoning_steps` reward: a third for each mark of step-by-step reasoning, at most 1.
///
/// Marks are `Step N:`, a number with a full stop at the very start of the completion, a line that begins with `-` or `*`,
/// and `First,` `Second,` `Next,` `Finally,`. The original says that numbered lines count, but its pattern sees only the
/// first line; so does this one, and every score is the original's. The reward asks for the form of a list and is easily
/// had: give it a small weight.
///
/// `rule` of the verdict: `steps`.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ReasoningSteps;

impl ReasoningSteps {
    /// open-r1's step count.
    pub fn new() -> Self {
        Self
    }
}

impl RewardFn for ReasoningSteps {
    fn name(&self) -> &str {
        "reasoning_steps"
    }

    fn check_gold(&self, _: &Problem) -> Result<(), GoldError> {
        Ok(())
    }

    fn judge(&self, _: &Problem, completion: &CompletionView<'_>) -> Verdict {
        // No more than needed: a bullet list of a megabyte costs nothing.
        let marks = STEP.find_iter(completion.text).take(ENOUGH).count();
        let score = (marks as f64 / ENOUGH as f64) as f32;
        Verdict::scored(score, "steps", format!("{marks} of {ENOUGH} marks of steps"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_up_to_three() {
        let problem = Problem { id: String::new(), question: String::new(), gold: crate::Gold::default() };
        let check = |text: &str, marks: f32| {
            let verdict = ReasoningSteps::new().judge(&problem, &CompletionView::new(text, 1, false));
            assert_eq!(verdict.score, Some(marks / 3.0), "{text:?}");
        };
        check("", 0.0);
        check("Step 1: a. Step 2: b", 2.0);
        check("1. a\n2. b\n3. c", 1.0);
        check("\n- a\n* b\n- c\n- d", 3.0);
        check("First, a. Second, b", 2.0);
        check("first, a", 0.0);
    }
}
