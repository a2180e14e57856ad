//! Judges completions: rules, verdicts and rubrics. Knows no tensor, token, model or file.
//!
//! A [`RewardFn`] is one rule. It reads a [`Problem`] (the question with its gold answer) and a [`CompletionView`] (what
//! the policy wrote) and returns a [`Verdict`]: a score, or "not applicable", with the reason in plain words. A [`Rubric`]
//! is the weighted sum of several rules and keeps every verdict beside the sum, so that a reward can always be explained.
//!
//! Invariants, for every rule in this crate:
//!
//! 1. **Judging never fails.** A hopeless completion is a low score, not an error and not a panic. A malformed *gold*
//!    answer is an error, and [`RewardFn::check_gold`] finds it when the data is loaded.
//! 2. **Judging is a pure function** of problem, completion and the rule's own settings: no clock, no random number, no
//!    state, the same verdict on every thread.
//! 3. **Work is bounded by design**, not by a timer: one linear pass over the completion, no recursion on its content, no
//!    number that grows beyond what the gold allows.
//! 4. **Nothing the model wrote is run** by a host language.
//! 5. A score is finite. "Not applicable" is `None` and leaves the sum and the group's baseline; it is not zero.
#![forbid(unsafe_code)]

mod answer;
mod choice;
mod completion;
mod countdown;
mod domains;
mod exact;
mod excerpt;
mod expression;
mod format;
mod formats;
mod language;
mod math;
mod multiply;
mod option;
mod problem;
mod regex_match;
mod reward_fn;
mod rubric;
mod shaping;
mod step_sums;
mod steps;
mod summary;
mod tags;
mod verdict;

pub use answer::boxed_answer;
pub use choice::{Choice, ChoiceOptions};
pub use completion::CompletionView;
pub use countdown::{Countdown, InvalidPartial, MAX_ANSWER_BYTES, MAX_NUMBERS};
pub use domains::InDomains;
pub use exact::{Exact, ExactOptions};
pub use expression::{Expression, ExpressionError, FEATURES};
pub use format::R1Format;
pub use formats::{CodeFormat, CodeFormatOptions, OpenR1Format, ReasoningSteps, TagCount, ThinkFormat};
pub use language::{LanguageConsistency, LanguageConsistencyOptions, LanguageOver};
pub use math::{Accuracy, AccuracyOptions, OnUnreadableGold, Unevaluated};
pub use multiply::{Multiply, MultiplyOptions};
pub use option::InvalidOption;
pub use problem::{Gold, Problem};
pub use regex_match::{MatchOver, RegexMatch, RegexMatchOptions};
pub use reward_fn::{GoldError, RewardFn};
pub use rubric::{Component, JudgedGroup, Judgement, Rubric, RubricError, Weight, WeightOrder, Weighted};
pub use shaping::{
    As, Cosine, CosineOptions, KimiLength, KimiLengthOptions, LengthLimits, LengthLimitsOptions, NgramUnit, Repetition,
    RepetitionOptions, SoftOverlong, SoftOverlongOptions,
};
pub use step_sums::StepSums;
pub use steps::{StepScore, ends_in_characters, mean_of_steps};
pub use summary::summary;
pub use verdict::Verdict;
