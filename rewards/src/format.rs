//! The strict think/answer format of R1: one `<think>` block, then one `<answer>` block, and nothing else.

use std::borrow::Cow;

use crate::excerpt::excerpt;
use crate::tags::{Tag, tags};
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

/// Longest piece of a completion that a reason quotes, in characters.
const QUOTE_CHARS: usize = 40;

/// The strict R1 format, score 1 or 0: the completion is exactly one `<think>...</think>` followed by exactly one
/// `<answer>...</answer>`.
///
/// Outside the two blocks there is nothing but white space; inside each there is something other than white space, and no
/// further tag of the four, neither nested nor mentioned. Tags are exact: case, blanks or attributes make them ordinary
/// text. Where the template has prefilled `<think>`, the completion begins inside of that block, and writing the tag again
/// is a violation; elsewhere the tag has to be in the completion itself, as the R1-Zero template (DeepSeek-R1, Table 1),
/// which prefills nothing, asks for.
///
/// The verdict names the first violation in reading order. One pass over the completion, linear in its length.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct R1Format;

impl R1Format {
    /// The strict format.
    pub fn new() -> Self {
        Self
    }
}

impl RewardFn for R1Format {
    fn name(&self) -> &str {
        "format"
    }

    fn check_gold(&self, _: &Problem) -> Result<(), GoldError> {
        Ok(())
    }

    fn judge(&self, _: &Problem, completion: &CompletionView<'_>) -> Verdict {
        match first_violation(completion.text, completion.think_prefilled) {
            None => Verdict::scored(1.0, "well_formed", "one <think> block, then one <answer> block"),
            Some(Violation { rule, reason }) => Verdict::scored(0.0, rule, reason),
        }
    }
}

/// What is wrong with a completion's format.
struct Violation {
    rule: &'static str,
    reason: Cow<'static, str>,
}

impl Violation {
    fn some(rule: &'static str, reason: impl Into<Cow<'static, str>>) -> Option<Self> {
        Some(Self { rule, reason: reason.into() })
    }
}

/// How far the format has been followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    BeforeThink,
    InThink,
    BetweenBlocks,
    InAnswer,
    AfterAnswer,
}

impl Place {
    /// Where the one tag that is right here leads to; `None` after the last.
    fn next(self) -> Option<(Tag, Place)> {
        match self {
            Place::BeforeThink => Some((Tag::ThinkOpen, Place::InThink)),
            Place::InThink => Some((Tag::ThinkClose, Place::BetweenBlocks)),
            Place::BetweenBlocks => Some((Tag::AnswerOpen, Place::InAnswer)),
            Place::InAnswer => Some((Tag::AnswerClose, Place::AfterAnswer)),
            Place::AfterAnswer => None,
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Place::BeforeThink => "before <think>",
            Place::InThink => "inside <think>",
            Place::BetweenBlocks => "between </think> and <answer>",
            Place::InAnswer => "inside <answer>",
            Place::AfterAnswer => "after </answer>",
        }
    }
}

/// The first place where `text` leaves the format; `think_prefilled` if it begins inside of `<think>`.
fn first_violation(text: &str, think_prefilled: bool) -> Option<Violation> {
    let mut place = if think_prefilled { Place::InThink } else { Place::BeforeThink };
    let mut text_start = 0;
    for found in tags(text) {
        let before = &text[text_start..found.start];
        if let Some(violation) = stray_text(place, before) {
            return Some(violation);
        }
        match place.next() {
            Some((expected, next)) if expected == found.tag => {
                if let Some(violation) = empty_block(place, before) {
                    return Some(violation);
                }
                place = next;
            }
            _ => return Some(misplaced(place, found.tag)),
        }
        text_start = found.end;
    }
    stray_text(place, &text[text_start..]).or_else(|| unfinished(place))
}

/// Text where only white space may stand.
fn stray_text(place: Place, between_tags: &str) -> Option<Violation> {
    let stray = between_tags.trim();
    if stray.is_empty() || matches!(place, Place::InThink | Place::InAnswer) {
        return None;
    }
    let rule = match place {
        Place::BeforeThink => "text_before",
        Place::AfterAnswer => "text_after",
        _ => "text_between",
    };
    Violation::some(rule, format!("text {}: {:?}", place.in_words(), excerpt(stray, QUOTE_CHARS)))
}

/// A block that closes with nothing in it.
fn empty_block(place: Place, content: &str) -> Option<Violation> {
    match place {
        Place::InThink if content.trim().is_empty() => Violation::some("empty_think", "the <think> block is empty"),
        Place::InAnswer if content.trim().is_empty() => Violation::some("empty_answer", "the <answer> block is empty"),
        _ => None,
    }
}

/// A tag that is not the one expected at `place`.
fn misplaced(place: Place, tag: Tag) -> Violation {
    let rule = match (place, tag) {
        (Place::InThink | Place::InAnswer, _) => "nested_tag",
        (Place::BeforeThink, Tag::AnswerOpen) => "no_think",
        (Place::BetweenBlocks, Tag::ThinkOpen) | (Place::AfterAnswer, Tag::ThinkOpen | Tag::AnswerOpen) => {
            "repeated_block"
        }
        _ => "unopened_block",
    };
    Violation { rule, reason: format!("{} {}", tag.text(), place.in_words()).into() }
}

/// The end of the completion at a place where something is still to come.
fn unfinished(place: Place) -> Option<Violation> {
    match place {
        Place::BeforeThink => Violation::some("no_think", "no <think> block: the completion is empty"),
        Place::InThink => Violation::some("unclosed_think", "<think> is never closed"),
        Place::BetweenBlocks => Violation::some("no_answer", "no <answer> block after </think>"),
        Place::InAnswer => Violation::some("unclosed_answer", "<answer> is never closed"),
        Place::AfterAnswer => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str) -> Verdict {
        let problem = Problem { id: String::new(), question: String::new(), gold: crate::Gold::default() };
        R1Format::new().judge(&problem, &CompletionView::new(text, 1, false))
    }

    /// `rule` decides on `text`, and the score is 1 exactly where that rule is `well_formed`.
    fn check(text: &str, rule: &str) {
        let verdict = judge(text);
        assert_eq!(verdict.rule, rule, "{text:?}: {}", verdict.reason);
        assert_eq!(verdict.score, Some(if rule == "well_formed" { 1.0 } else { 0.0 }), "{text:?}");
    }

    #[test]
    fn well_formed() {
        for text in [
            "<think>a</think><answer>b</answer>",
            "<think>a</think> <answer>b</answer>",
            "<think>\na\n</think>\n<answer>\nb\n</answer>",
            "<think>a</think>\n\n\t\r\n<answer>b</answer>",
            " \n<think>a</think><answer>b</answer>\n ",
            "\u{a0}<think>a</think>\u{3000}<answer>b</answer>\u{2003}",
            "<think> 1 < 2 and <b>3</b> </think><answer> a < b </answer>",
            "<think>so </ answer> and <Think> are text</think><answer>b</answer>",
            "<think><</think><answer>></answer>",
            "<think>größer als 2²</think><answer>ß</answer>",
            "<think>. </think><answer>0</answer>",
            "<think>a < think ></think><answer><answers></answer>",
        ] {
            check(text, "well_formed");
        }
    }

    #[test]
    fn a_prefilled_think_is_open_from_the_start() {
        let problem = Problem { id: String::new(), question: String::new(), gold: crate::Gold::default() };
        for (text, rule) in [
            ("a</think><answer>b</answer>", "well_formed"),
            ("\na\n</think>\n<answer>b</answer>\n", "well_formed"),
            ("<think>a</think><answer>b</answer>", "nested_tag"),
            ("</think><answer>b</answer>", "empty_think"),
            ("a", "unclosed_think"),
            ("", "unclosed_think"),
            ("a</think>b", "text_between"),
            ("a<answer>b</answer>", "nested_tag"),
        ] {
            let view = CompletionView::new(text, 1, false).with_think_prefilled(true);
            assert_eq!(R1Format::new().judge(&problem, &view).rule, rule, "{text:?}");
        }
    }

    #[test]
    fn blocks_are_missing_or_unclosed() {
        for (text, rule) in [
            ("", "no_think"),
            (" \n\t ", "no_think"),
            ("<answer>b</answer>", "no_think"),
            ("\n<answer>b</answer><think>a</think>", "no_think"),
            ("<think>", "unclosed_think"),
            ("<think>a", "unclosed_think"),
            ("<think>a</think", "unclosed_think"),
            ("<think>a</THINK><ANSWER>b</ANSWER>", "unclosed_think"),
            ("<think>a</think>", "no_answer"),
            ("<think>a</think>\n", "no_answer"),
            ("<think>a</think><answer>", "unclosed_answer"),
            ("<think>a</think><answer>b", "unclosed_answer"),
            ("<think>a</think><answer>b</ answer>", "unclosed_answer"),
            ("<think>a</think><answer>b<answer/>", "unclosed_answer"),
        ] {
            check(text, rule);
        }
    }

    #[test]
    fn text_outside_the_blocks() {
        for (text, rule) in [
            ("x", "text_before"),
            ("24", "text_before"),
            ("Let me think. <think>a</think><answer>b</answer>", "text_before"),
            ("<THINK>a</THINK><answer>b</answer>", "text_before"),
            ("a</think><answer>b</answer>", "text_before"),
            ("\u{200b}<think>a</think><answer>b</answer>", "text_before"),
            ("<<think>a</think><answer>b</answer>", "text_before"),
            ("x<answer>b</answer>", "text_before"),
            ("<think>a</think>so<answer>b</answer>", "text_between"),
            ("<think>a</think>b", "text_between"),
            ("<think>a</think> <Answer>b</Answer>", "text_between"),
            ("<think>a</think>><answer>b</answer>", "text_between"),
            ("<think>a</think>so<think>a</think>", "text_between"),
            ("<think>a</think><answer>b</answer>.", "text_after"),
            ("<think>a</think><answer>b</answer>\nUser: again", "text_after"),
            ("<think>a</think><answer>b</answer><|im_end|>", "text_after"),
            ("<think>a</think><answer>b</answer>x<answer>c</answer>", "text_after"),
        ] {
            check(text, rule);
        }
    }

    #[test]
    fn tags_where_they_do_not_belong() {
        for (text, rule) in [
            ("<think><think>a</think></think><answer>b</answer>", "nested_tag"),
            ("<think>a<answer>b</answer></think>", "nested_tag"),
            ("<think>use <answer> tags</think><answer>b</answer>", "nested_tag"),
            ("<think>a</answer>", "nested_tag"),
            ("<think>a</think><answer><answer>b</answer></answer>", "nested_tag"),
            ("<think>a</think><answer><think>b</think></answer>", "nested_tag"),
            ("<think>a</think><answer>b</think></answer>", "nested_tag"),
            ("<think>a</think><think>a</think><answer>b</answer>", "repeated_block"),
            ("<think>a</think><answer>b</answer><answer>b</answer>", "repeated_block"),
            ("<think>a</think><answer>b</answer>\n<think>a</think><answer>b</answer>", "repeated_block"),
            ("</think><answer>b</answer>", "unopened_block"),
            ("</answer><think>a</think><answer>b</answer>", "unopened_block"),
            ("<think>a</think></think><answer>b</answer>", "unopened_block"),
            ("<think>a</think></answer>", "unopened_block"),
            ("<think>a</think><answer>b</answer></answer>", "unopened_block"),
            ("<think>a</think><answer>b</answer></think>", "unopened_block"),
        ] {
            check(text, rule);
        }
    }

    #[test]
    fn blocks_are_empty() {
        for (text, rule) in [
            ("<think></think><answer>b</answer>", "empty_think"),
            ("<think> \n </think><answer>b</answer>", "empty_think"),
            ("<think>\u{a0}</think><answer></answer>", "empty_think"),
            ("<think></think>", "empty_think"),
            ("<think>a</think><answer></answer>", "empty_answer"),
            ("<think>a</think><answer>\n</answer>", "empty_answer"),
            ("<think>a</think><answer></answer>x", "empty_answer"),
        ] {
            check(text, rule);
        }
    }

    #[test]
    fn the_reason_names_the_first_violation() {
        for (text, reason) in [
            ("Sure! <think>a</think>", "text before <think>: \"Sure!\""),
            ("<think>a</think>so\n<answer>", "text between </think> and <answer>: \"so\""),
            ("<think>a<answer>b", "<answer> inside <think>"),
            ("<answer>b</answer>", "<answer> before <think>"),
            ("<think>a</think><answer>b</answer><think>", "<think> after </answer>"),
            ("<think>a", "<think> is never closed"),
        ] {
            assert_eq!(judge(text).reason, reason, "{text:?}");
        }
        assert!(judge(&"x".repeat(1_000_000)).reason.chars().count() < 100, "a reason is bounded");
    }
}
