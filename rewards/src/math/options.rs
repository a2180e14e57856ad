//! What the accuracy reward can be told.

use serde::{Deserialize, Serialize};

/// What happens to a problem whose gold answer cannot be read. It never counts as answered rightly without a comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnreadableGold {
    /// [`check_gold`](crate::RewardFn::check_gold) refuses the problem, with the reason.
    #[default]
    Error,
    /// An answer is right if it is the same text, white space aside.
    Text,
    /// The reward does not apply to the problem.
    Skip,
}

/// Whether an answer may leave its arithmetic to the reader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unevaluated {
    /// `17 \times 23` answers 391, as Math-Verify and most public graders have it.
    #[default]
    Right,
    /// Where the gold is a number written out (an integer, a decimal, a fraction, a mixed number), the answer must be one too:
    /// `17 \times 23`, `\frac{782}{2}`, `\sqrt{152881}` do not answer 391, while `\frac24` and `0.5` answer `\frac12`. For
    /// computation tasks, whose question is itself a right answer otherwise.
    Wrong,
}

/// Settings of [`Accuracy`](crate::Accuracy). As TOML or JSON, every field may be left out; unknown ones are refused.
///
/// The five first fields say where an answer may stand. They are tried in this order, and the first that finds something
/// decides, whether or not it is right. Switching the weaker ones off teaches a policy to state its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccuracyOptions {
    /// The last closed `\boxed{...}` or `\fbox{...}`. Default: true.
    pub boxed: bool,
    /// The last closed `<answer>...</answer>`. Default: true.
    pub answer_tag: bool,
    /// The rest of the line behind the last `####` (GSM8K). Default: true.
    pub hashes: bool,
    /// What follows the last "answer is", "answer:" or 答案. Default: true.
    pub cue: bool,
    /// The last line if it is no sentence, otherwise the last formula or number. Default: true.
    pub last_value: bool,
    /// What happens to golds that cannot be read. Default: `error`.
    pub on_unreadable_gold: OnUnreadableGold,
    /// Whether `2 < x \le 5` answers the gold `(2, 5]`. The reverse always holds. Math-Verify, too, takes relations and
    /// intervals for the same in one direction only. Default: false.
    pub inequality_answers_interval: bool,
    /// Whether arithmetic that is not carried out answers a number. Default: `right`.
    pub unevaluated: Unevaluated,
}

impl Default for AccuracyOptions {
    fn default() -> Self {
        Self {
            boxed: true,
            answer_tag: true,
            hashes: true,
            cue: true,
            last_value: true,
            on_unreadable_gold: OnUnreadableGold::Error,
            inequality_answers_interval: false,
            unevaluated: Unevaluated::Right,
        }
    }
}
