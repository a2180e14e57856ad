//! The trait that every rule implements, and what may be wrong with a gold answer.

use rayon::prelude::*;

use crate::{CompletionView, Problem, Verdict};

/// One rule that judges completions.
///
/// A rule is shared by all threads and must answer the same for the same problem and completion. It never fails and never
/// panics on what a model wrote; what a problem must bring for it is stated and checked by
/// [`check_gold`](RewardFn::check_gold).
pub trait RewardFn: Send + Sync {
    /// The rule's own name, as run files spell it.
    fn name(&self) -> &str;

    /// Whether `problem` brings what this rule judges against. Called once for each problem, when the data is loaded.
    ///
    /// # Errors
    ///
    /// [`GoldError`] names the field that is missing or cannot be used. The caller knows file and line and adds them.
    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError>;

    /// The verdict on one completion. A problem that [`check_gold`](RewardFn::check_gold) refuses is "not applicable"
    /// here: judged against nothing, no completion is right or wrong.
    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict;

    /// The verdicts on a whole group, in its order. A rule that compares the completions of a group, or that reads the
    /// gold once for all of them, does it here; by default each completion is judged by itself.
    fn judge_group(&self, problem: &Problem, completions: &[CompletionView<'_>]) -> Vec<Verdict> {
        completions.iter().map(|completion| self.judge(problem, completion)).collect()
    }

    /// Whether a verdict depends on completions of other problems, as far as they are judged in the same batch. Only then
    /// does it matter what is judged together; other groups may be judged as they come.
    fn compares_groups(&self) -> bool {
        false
    }

    /// The verdicts on several groups, in their order. Only a rule that compares completions of different problems, or has
    /// workers of its own, does it itself; by default each group is judged by itself, on all threads.
    fn judge_batch(&self, groups: &[(&Problem, &[CompletionView<'_>])]) -> Vec<Vec<Verdict>> {
        groups.par_iter().map(|(problem, completions)| self.judge_group(problem, completions)).collect()
    }
}

/// Why a problem cannot be judged by a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GoldError {
    /// The problem lacks a field.
    #[error("reward `{reward}` needs the field `{field}`, and the problem has none: add it, or take the reward out")]
    Missing {
        /// Name of the rule.
        reward: String,
        /// The field of the data row.
        field: &'static str,
    },
    /// The problem's list of rewards cannot be used.
    #[error("the field `rewards` {reason}")]
    Selection {
        /// What is wrong with it, as the rest of a sentence.
        reason: String,
    },
    /// The problem has the field, with a content the rule cannot use.
    #[error("reward `{reward}` cannot use the field `{field}`: {reason}")]
    Invalid {
        /// Name of the rule.
        reward: String,
        /// The field of the data row.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
}
