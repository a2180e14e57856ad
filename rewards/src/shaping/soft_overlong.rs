//! Penalises completions that come close to the length limit, more and more.

use serde::{Deserialize, Serialize};

use crate::option::InvalidOption;
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

const NAME: &str = "soft_overlong";

/// Settings of [`SoftOverlong`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SoftOverlongOptions {
    /// `L_max`, tokens; default 20480 (DAPO; open-r1 16384). Called `max_completion_len` by TRL and open-r1.
    pub max_tokens: usize,
    /// `L_cache`, tokens before `L_max` in which the penalty grows; default 4096 (DAPO, open-r1). 0 is a hard limit. Called
    /// `soft_punish_cache` by TRL and open-r1.
    pub buffer_tokens: usize,
}

impl Default for SoftOverlongOptions {
    fn default() -> Self {
        Self { max_tokens: 20_480, buffer_tokens: 4096 }
    }
}

/// Soft overlong punishment (DAPO, arXiv 2503.14476, eq. 13), from -1 to 0, of a completion of `L` tokens:
///
/// - 0 up to `L_max - L_cache`,
/// - `(L_max - L_cache - L) / L_cache` from there up to `L_max`,
/// - -1 beyond.
///
/// Scores are TRL's and open-r1's. They accept a buffer longer than the limit, with which even an empty completion is
/// punished; here that is refused.
///
/// `rule` of the verdict: `within`, `in_buffer`, `beyond`.
#[derive(Debug, Clone)]
pub struct SoftOverlong {
    options: SoftOverlongOptions,
}

impl SoftOverlong {
    /// The punishment for `options`.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`] if the buffer is longer than the limit.
    pub fn new(options: SoftOverlongOptions) -> Result<Self, InvalidOption> {
        let SoftOverlongOptions { max_tokens, buffer_tokens } = options;
        if buffer_tokens > max_tokens {
            let reason = format!("is {buffer_tokens}: it must be at most `max_tokens`, {max_tokens}");
            return Err(InvalidOption::new(NAME, "buffer_tokens", reason));
        }
        Ok(Self { options })
    }
}

impl RewardFn for SoftOverlong {
    fn name(&self) -> &str {
        NAME
    }

    fn check_gold(&self, _: &Problem) -> Result<(), GoldError> {
        Ok(())
    }

    fn judge(&self, _: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let SoftOverlongOptions { max_tokens, buffer_tokens } = self.options;
        let length = completion.n_tokens;
        let free = max_tokens - buffer_tokens;
        if length <= free {
            Verdict::scored(0.0, "within", format!("{length} tokens of {free} without penalty"))
        } else if length <= max_tokens {
            let score = -((length - free) as f64 / buffer_tokens as f64);
            Verdict::scored(score as f32, "in_buffer", format!("{length} tokens, {free} are without penalty"))
        } else {
            Verdict::scored(-1.0, "beyond", format!("{length} tokens, {max_tokens} are the limit"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::correctness::tests::problem;
    use super::*;

    #[test]
    fn the_penalty_grows_in_the_buffer() {
        let check = |max_tokens: usize, buffer_tokens: usize, n_tokens: usize, score: f32, rule: &str| {
            let reward = SoftOverlong::new(SoftOverlongOptions { max_tokens, buffer_tokens }).unwrap();
            let verdict = reward.judge(&problem(), &CompletionView::new("", n_tokens, true));
            assert_eq!((verdict.score, verdict.rule.as_ref()), (Some(score), rule), "{n_tokens} of {max_tokens}");
        };
        check(100, 20, 0, 0.0, "within");
        check(100, 20, 80, 0.0, "within");
        check(100, 20, 81, -0.05, "in_buffer");
        check(100, 20, 90, -0.5, "in_buffer");
        check(100, 20, 100, -1.0, "in_buffer");
        check(100, 20, 101, -1.0, "beyond");
        check(100, 0, 100, 0.0, "within");
        check(100, 0, 101, -1.0, "beyond");
        check(100, 100, 1, -0.01, "in_buffer");
        check(0, 0, 0, 0.0, "within");
        check(20_480, 4096, usize::MAX, -1.0, "beyond");
        assert!(SoftOverlong::new(SoftOverlongOptions { max_tokens: 10, buffer_tokens: 11 }).is_err());
    }
}
