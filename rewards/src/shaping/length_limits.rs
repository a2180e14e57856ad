//! Whether a completion's length lies within limits.

use serde::{Deserialize, Serialize};

use crate::option::InvalidOption;
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

const NAME: &str = "length_limits";

/// Settings of [`LengthLimits`]. At least one limit must be given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LengthLimitsOptions {
    /// Fewest tokens, the end token included; default 0.
    pub min_tokens: usize,
    /// Most tokens, the end token included; default none.
    pub max_tokens: Option<usize>,
    /// Score within the limits; default 1.
    pub within: f32,
    /// Score of a completion that is too short or too long; default 0.
    pub outside: f32,
}

impl Default for LengthLimitsOptions {
    fn default() -> Self {
        Self { min_tokens: 0, max_tokens: None, within: 1.0, outside: 0.0 }
    }
}

/// One score for completions of `min_tokens` to `max_tokens`, both included, and one for all others.
///
/// `rule` of the verdict: `within`, `too_short`, `too_long`.
#[derive(Debug, Clone)]
pub struct LengthLimits {
    options: LengthLimitsOptions,
}

impl LengthLimits {
    /// The limits of `options`.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`] if there is no limit, no length fits, or a score is not finite.
    pub fn new(options: LengthLimitsOptions) -> Result<Self, InvalidOption> {
        match (options.min_tokens, options.max_tokens) {
            (0, None) => {
                Err(InvalidOption::new(NAME, "max_tokens", "is not given, nor is `min_tokens`: give one of them"))
            }
            (min, Some(max)) if min > max => {
                Err(InvalidOption::new(NAME, "min_tokens", format!("is {min}: it must be at most `max_tokens`, {max}")))
            }
            _ => {
                InvalidOption::unless_finite(NAME, "within", options.within)?;
                InvalidOption::unless_finite(NAME, "outside", options.outside)?;
                Ok(Self { options })
            }
        }
    }
}

impl RewardFn for LengthLimits {
    fn name(&self) -> &str {
        NAME
    }

    fn check_gold(&self, _: &Problem) -> Result<(), GoldError> {
        Ok(())
    }

    fn judge(&self, _: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let LengthLimitsOptions { min_tokens, max_tokens, within, outside } = self.options;
        let length = completion.n_tokens;
        match max_tokens {
            _ if length < min_tokens => {
                Verdict::scored(outside, "too_short", format!("{length} tokens, {min_tokens} are the least"))
            }
            Some(max) if length > max => {
                Verdict::scored(outside, "too_long", format!("{length} tokens, {max} are the most"))
            }
            _ => Verdict::scored(within, "within", format!("{length} tokens")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::correctness::tests::problem;
    use super::*;

    #[test]
    fn limits_belong_to_what_is_allowed() {
        let check = |min_tokens: usize, max_tokens: Option<usize>, n_tokens: usize, rule: &str| {
            let options = LengthLimitsOptions { min_tokens, max_tokens, within: 0.5, outside: -2.0 };
            let verdict =
                LengthLimits::new(options).unwrap().judge(&problem(), &CompletionView::new("", n_tokens, false));
            assert_eq!(verdict.rule, rule, "{n_tokens} of {min_tokens} to {max_tokens:?}");
            assert_eq!(verdict.score, Some(if rule == "within" { 0.5 } else { -2.0 }));
        };
        check(5, Some(10), 4, "too_short");
        check(5, Some(10), 5, "within");
        check(5, Some(10), 10, "within");
        check(5, Some(10), 11, "too_long");
        check(5, None, usize::MAX, "within");
        check(0, Some(0), 0, "within");
    }

    #[test]
    fn settings_are_checked() {
        let default = LengthLimitsOptions::default;
        for options in [
            default(),
            LengthLimitsOptions { min_tokens: 2, max_tokens: Some(1), ..default() },
            LengthLimitsOptions { min_tokens: 2, within: f32::NAN, ..default() },
        ] {
            assert!(LengthLimits::new(options).is_err(), "{options:?}");
        }
    }
}
