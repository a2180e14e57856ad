//! TRL's `think_format`: one think block at the start, and anything behind it.

use super::opening::with_opening;
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

/// TRL's `think_format_reward`, 1 or 0: the completion matches `^<think>(?!.*<think>)(.*?)</think>.*$`, where `.` is any
/// character.
///
/// So it begins with `<think>`, has no second one, and closes it; the block may be empty, `</think>` may be repeated, and
/// anything may follow, also nothing. A `<think>` prefilled by the template counts as written, so that a completion which
/// writes it again has two; TRL 1.16 gives 0 to every completion there. Apart from that every score is the original's.
///
/// `rule` of the verdict: `well_formed` (1), `no_opening`, `repeated_opening`, `no_closing` (0).
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ThinkFormat;

impl ThinkFormat {
    /// TRL's think format.
    pub fn new() -> Self {
        Self
    }
}

impl RewardFn for ThinkFormat {
    fn name(&self) -> &str {
        "think_format"
    }

    fn check_gold(&self, _: &Problem) -> Result<(), GoldError> {
        Ok(())
    }

    fn judge(&self, _: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let text = with_opening(completion);
        let Some(rest) = text.strip_prefix("<think>") else {
            return Verdict::scored(0.0, "no_opening", "does not begin with <think>");
        };
        if rest.contains("<think>") {
            Verdict::scored(0.0, "repeated_opening", "<think> is there more than once")
        } else if rest.contains("</think>") {
            Verdict::scored(1.0, "well_formed", "one <think> block at the start")
        } else {
            Verdict::scored(0.0, "no_closing", "<think> is never closed")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_block_at_the_start() {
        let problem = Problem { id: String::new(), question: String::new(), gold: crate::Gold::default() };
        let check = |text: &str, prefilled: bool, rule: &str| {
            let view = CompletionView::new(text, 1, false).with_think_prefilled(prefilled);
            let verdict = ThinkFormat::new().judge(&problem, &view);
            assert_eq!(verdict.rule, rule, "{text:?}");
            assert_eq!(verdict.score, Some(if rule == "well_formed" { 1.0 } else { 0.0 }), "{text:?}");
        };
        check("<think>a</think>b", false, "well_formed");
        check("<think></think>", false, "well_formed");
        check("<think>a</think>b</think>", false, "well_formed");
        check("\n<think>a</think>b", false, "no_opening");
        check("a</think>b", false, "no_opening");
        check("a</think>b", true, "well_formed");
        check("<think>a</think>b", true, "repeated_opening");
        check("<think>a</think>b <think>", false, "repeated_opening");
        check("<think>a", false, "no_closing");
        check("", true, "no_closing");
    }
}
