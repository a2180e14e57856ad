//! open-r1's `format` and `tag_count`: think and answer blocks with their tags on lines of their own.

use super::opening::with_opening;
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

/// What opens the format.
const OPENING: &str = "<think>\n";
/// What stands between the two blocks.
const MIDDLE: &str = "\n</think>\n<answer>\n";
/// What closes it, at the end of a line.
const CLOSING: &str = "\n</answer>";

/// The part of `text` behind `<answer>\n`, if it begins as open-r1's format does. `Err` names what is missing.
pub(super) fn after_answer_tag(text: &str) -> Result<&str, Missing> {
    let inside =
        text.strip_prefix(OPENING).ok_or(Missing("no_opening", "does not begin with <think> and a line break"))?;
    let (_, answer) = inside
        .split_once(MIDDLE)
        .ok_or(Missing("no_middle", "no </think> and <answer> on lines of their own, one right after the other"))?;
    Ok(answer)
}

/// Whether `answer` holds a `</answer>` that begins and ends a line. It need not be the last line.
pub(super) fn closes(answer: &str) -> Result<(), Missing> {
    let at_line_end = |(at, _): (usize, &str)| matches!(answer.as_bytes().get(at + CLOSING.len()), None | Some(b'\n'));
    if answer.match_indices(CLOSING).any(at_line_end) {
        Ok(())
    } else {
        Err(Missing("no_closing", "no </answer> on a line of its own"))
    }
}

/// A part of the format that is not there: the rule that decides, and why in words.
#[derive(Clone, Copy)]
pub(super) struct Missing(pub(super) &'static str, pub(super) &'static str);

/// The verdict of a format that is either kept or not.
pub(super) fn verdict(found: Result<(), Missing>, well_formed: &'static str) -> Verdict {
    match found {
        Ok(()) => Verdict::scored(1.0, "well_formed", well_formed),
        Err(Missing(rule, reason)) => Verdict::scored(0.0, rule, reason),
    }
}

/// open-r1's `format` reward, 1 or 0: the completion matches
/// `^<think>\n.*?\n</think>\n<answer>\n.*?\n</answer>$` from its start, where `.` is any character and `$` the end of any
/// line.
///
/// So each tag has a line of its own; either block may hold anything, tags included, and even nothing but an empty line;
/// and whatever follows a line `</answer>` is not looked at, a second answer neither (which is why open-r1 added
/// [`TagCount`]). [`R1Format`](crate::R1Format) is the definition that leaves nothing out.
///
/// A `<think>` prefilled by the template counts as written, with what the prompt has behind it; where the prompt is not
/// known, with a line break. open-r1 gives 0 there (its issue 560). Apart from that every score is the original's.
///
/// `rule` of the verdict: `well_formed` (1), `no_opening`, `no_middle`, `no_closing` (0).
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct OpenR1Format;

impl OpenR1Format {
    /// open-r1's format.
    pub fn new() -> Self {
        Self
    }
}

impl RewardFn for OpenR1Format {
    fn name(&self) -> &str {
        "open_r1_format"
    }

    fn check_gold(&self, _: &Problem) -> Result<(), GoldError> {
        Ok(())
    }

    fn judge(&self, _: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let found = after_answer_tag(&with_opening(completion)).and_then(closes);
        verdict(found, "a <think> and an <answer> block with their tags on lines of their own")
    }
}

/// open-r1's `tag_count` reward: 0.25 for each of `<think>\n`, `\n</think>\n`, `\n<answer>\n` and `\n</answer>` that the
/// completion has exactly once, so 0 to 1. Order and place do not matter.
///
/// A `<think>` prefilled by the template counts as written, like that of [`OpenR1Format`].
///
/// `rule` of the verdict: `all_tags` (1), `some_tags`, `no_tags` (0).
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct TagCount;

/// A tag as the reward wants it, with its name in reasons.
const TAGS: [(&str, &str); 4] = [
    ("<think>\n", "<think>"),
    ("\n</think>\n", "</think>"),
    ("\n<answer>\n", "<answer>"),
    ("\n</answer>", "</answer>"),
];

impl TagCount {
    /// open-r1's tag count.
    pub fn new() -> Self {
        Self
    }
}

impl RewardFn for TagCount {
    fn name(&self) -> &str {
        "tag_count"
    }

    fn check_gold(&self, _: &Problem) -> Result<(), GoldError> {
        Ok(())
    }

    fn judge(&self, _: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let text = with_opening(completion);
        let counts = TAGS.map(|(tag, name)| (name, text.matches(tag).count()));
        let wrong: Vec<String> =
            counts.iter().filter(|(_, n)| *n != 1).map(|(name, n)| format!("{name} {n} times")).collect();
        match wrong.len() {
            0 => Verdict::scored(1.0, "all_tags", "each tag once, on a line of its own"),
            4 => Verdict::scored(0.0, "no_tags", "no tag is there exactly once on a line of its own"),
            n => Verdict::scored(0.25 * (4 - n) as f32, "some_tags", format!("not exactly once: {}", wrong.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(reward: &dyn RewardFn, text: &str, prefilled: bool) -> Verdict {
        let problem = Problem { id: String::new(), question: String::new(), gold: crate::Gold::default() };
        reward.judge(&problem, &CompletionView::new(text, 1, false).with_think_prefilled(prefilled))
    }

    #[test]
    fn the_format_names_what_is_missing() {
        let check = |text: &str, prefilled: bool, rule: &str| {
            let verdict = judge(&OpenR1Format::new(), text, prefilled);
            assert_eq!(verdict.rule, rule, "{text:?}");
            assert_eq!(verdict.score, Some(if rule == "well_formed" { 1.0 } else { 0.0 }), "{text:?}");
        };
        let good = "<think>\na\n</think>\n<answer>\nb\n</answer>";
        check(good, false, "well_formed");
        check(&format!("{good}\nand more"), false, "well_formed");
        check(&format!("{good} and more"), false, "no_closing");
        check(&format!(" {good}"), false, "no_opening");
        check("<think>\n</think>\n<answer>\nb\n</answer>", false, "no_middle");
        check("<think>\n\n</think>\n<answer>\n\n</answer>", false, "well_formed");
        check("<think>\na\n</think>\n<answer>\n</answer>", false, "no_closing");
        check("<think>\na\n</think>\n\n<answer>\nb\n</answer>", false, "no_middle");
        // Prefilled, the opening counts as written.
        check("a\n</think>\n<answer>\nb\n</answer>", true, "well_formed");
        check("a\n</think>\n<answer>\nb\n</answer>", false, "no_opening");
        check("a</think>\n<answer>\nb\n</answer>", true, "no_middle");
    }

    #[test]
    fn tags_count_a_quarter_each() {
        let check = |text: &str, prefilled: bool, score: f32, reason: &str| {
            let verdict = judge(&TagCount::new(), text, prefilled);
            assert_eq!((verdict.score, verdict.reason.as_ref()), (Some(score), reason), "{text:?}");
        };
        let good = "<think>\na\n</think>\n<answer>\nb\n</answer>";
        check(good, false, 1.0, "each tag once, on a line of its own");
        check(good, true, 0.75, "not exactly once: <think> 2 times");
        check("a\n</think>\n<answer>\nb\n</answer>", true, 1.0, "each tag once, on a line of its own");
        check("\n</answer>", false, 0.25, "not exactly once: <think> 0 times, </think> 0 times, <answer> 0 times");
        check("", false, 0.0, "no tag is there exactly once on a line of its own");
    }
}
