//! Asks another reward whether completions are right, and lets only those be shaped that it applies to.

use crate::option::InvalidOption;
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

/// The reward that decides what is right, and the score from which on it is.
pub(super) struct Correctness {
    of: Box<dyn RewardFn>,
    correct_at: f32,
}

/// One completion with its correctness.
pub(super) struct Judged<'a> {
    pub(super) completion: CompletionView<'a>,
    pub(super) correct: bool,
}

impl Judged<'_> {
    /// `right` or `wrong`: how a reason begins.
    pub(super) fn in_words(&self) -> &'static str {
        if self.correct { "right" } else { "wrong" }
    }
}

impl Correctness {
    pub(super) fn new(name: &'static str, of: Box<dyn RewardFn>, correct_at: f32) -> Result<Self, InvalidOption> {
        InvalidOption::unless_finite(name, "correct_at", correct_at)?;
        Ok(Self { of, correct_at })
    }

    pub(super) fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        self.of.check_gold(problem)
    }

    /// Whether the inner reward's verdicts depend on other groups.
    pub(super) fn compares_groups(&self) -> bool {
        self.of.compares_groups()
    }

    /// The inner reward's verdicts on one group.
    pub(super) fn group(&self, problem: &Problem, completions: &[CompletionView<'_>]) -> Vec<Verdict> {
        self.of.judge_group(problem, completions)
    }

    /// The inner reward's verdicts on several groups, a list for each; what is missing is noticed group by group.
    pub(super) fn batch(&self, groups: &[(&Problem, &[CompletionView<'_>])]) -> Vec<Vec<Verdict>> {
        let mut verdicts = self.of.judge_batch(groups);
        verdicts.resize(groups.len(), Vec::new());
        verdicts
    }

    /// The verdict of `shape` on one completion; not applicable, for the inner reward's reason, where that one is.
    pub(super) fn shaped<'a>(
        &self,
        inner: Verdict,
        completion: &CompletionView<'a>,
        shape: impl FnOnce(&Judged<'a>) -> Verdict,
    ) -> Verdict {
        let Verdict { score, reason, extracted, .. } = inner;
        let Some(score) = score.filter(|score| score.is_finite()) else {
            return Verdict { extracted, ..Verdict::not_applicable("not_judged", reason) };
        };
        let judged = Judged { completion: *completion, correct: score >= self.correct_at };
        Verdict { extracted, ..shape(&judged) }
    }

    /// The verdicts of `shape` on a group, each completion for itself. An inner reward that lost count applies to none.
    pub(super) fn shaped_group<'a>(
        &self,
        inner: Vec<Verdict>,
        completions: &[CompletionView<'a>],
        shape: impl Fn(&Judged<'a>) -> Verdict,
    ) -> Vec<Verdict> {
        if inner.len() != completions.len() {
            let reason =
                format!("`{}` gave {} verdicts on {} completions", self.of.name(), inner.len(), completions.len());
            return vec![Verdict::not_applicable("not_judged", reason); completions.len()];
        }
        let pairs = inner.into_iter().zip(completions);
        pairs.map(|(inner, completion)| self.shaped(inner, completion, &shape)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A rule of the tests: scores by the first character, `r` 1, `w` 0, `h` 0.5; anything else is not applicable.
    pub(crate) struct FirstLetter;

    impl RewardFn for FirstLetter {
        fn name(&self) -> &str {
            "first_letter"
        }

        fn check_gold(&self, _: &Problem) -> Result<(), GoldError> {
            Ok(())
        }

        fn judge(&self, _: &Problem, completion: &CompletionView<'_>) -> Verdict {
            match completion.text.chars().next() {
                Some('r') => Verdict::scored(1.0, "letter", "r").with_extracted("r"),
                Some('w') => Verdict::scored(0.0, "letter", "w"),
                Some('h') => Verdict::scored(0.5, "letter", "h"),
                _ => Verdict::not_applicable("letter", "neither r nor w nor h"),
            }
        }
    }

    pub(crate) fn problem() -> Problem {
        Problem { id: String::new(), question: String::new(), gold: crate::Gold::default() }
    }
}
