//! Finds the answer in a completion: first the region that may hold it, then the statement in it.

use std::borrow::Cow;

use super::boxes::{Boxed, boxes, ends_in_open_box};
use super::options::AccuracyOptions;
use super::prose;
use crate::CompletionView;
use crate::tags::last_answer;

/// Longest text between two boxes that still joins them.
const MAX_JOINT_BYTES: usize = 48;

/// Where a completion's turn ends: what base models write behind it is another text.
const END_OF_TURN: [&str; 7] =
    ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|end|>", "</s>", "<｜end▁of▁sentence｜>"];

/// What was taken for the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// The answer as it stands in the completion, or several boxes joined.
    pub(super) text: Cow<'a, str>,
    /// Which rule found it.
    pub(super) rule: &'static str,
    /// What stands behind it.
    pub(super) behind: &'a str,
    /// Every box of the region, where the boxes are what was found: several values may be boxed one by one.
    pub(super) boxes: Vec<&'a str>,
}

/// Why there is no answer: rule and reason.
pub(super) type Missing = (&'static str, &'static str);

/// The part of the completion that may hold the answer: without an echo of the prompt, without what follows the end of the
/// turn, and behind the reasoning.
pub(super) fn region<'a>(question: &str, completion: &CompletionView<'a>) -> Result<&'a str, Missing> {
    /// A question so short may well begin an answer by chance.
    const MIN_ECHO_BYTES: usize = 16;
    let mut text = completion.text.trim_start();
    for echo in [completion.prompt.unwrap_or(""), question].map(str::trim) {
        if echo.len() >= MIN_ECHO_BYTES
            && let Some(rest) = text.strip_prefix(echo)
        {
            text = rest;
        }
    }
    let ends = text.match_indices('<').map(|(at, _)| at);
    if let Some(end) = ends.into_iter().find(|&at| END_OF_TURN.iter().any(|marker| text[at..].starts_with(marker))) {
        text = &text[..end];
    }
    let behind = match text.rfind("</think>") {
        Some(at) => &text[at + "</think>".len()..],
        None if completion.think_prefilled || text.contains("<think>") => {
            return Err(("unclosed_think", "the reasoning is never closed, so there is no answer"));
        }
        None => text,
    };
    Ok(behind.split("<think>").next().unwrap_or(behind))
}

/// The answer in `region`, by the first rule that finds one.
///
/// Where the gold is words or an option (`words`), the last value is the whole last line.
pub(super) fn answer<'a>(region: &'a str, words: bool, options: &AccuracyOptions) -> Result<Found<'a>, Missing> {
    let found = |text: &'a str, rule| {
        Ok(Found { text: Cow::Borrowed(text), rule, behind: behind(region, text), boxes: Vec::new() })
    };
    if options.boxed {
        let boxes = boxes(region);
        if !boxes.is_empty() {
            let text = joined(region, &boxes);
            let behind = boxes.last().and_then(|last| region.get(last.end..)).unwrap_or("");
            return Ok(Found { text, rule: "boxed", behind, boxes: boxes.iter().map(|found| found.content).collect() });
        }
    }
    if options.answer_tag
        && let Ok(content) = last_answer(region)
        && !content.trim().is_empty()
    {
        return found(content, "answer_tag");
    }
    // What the end of the completion cut off may be half an answer, and reads as a whole one.
    if options.answer_tag
        && let Some(at) = region.rfind("<answer>")
        && !region[at..].contains("</answer>")
    {
        return Err(("no_answer", "<answer> is never closed"));
    }
    if options.hashes
        && let Some(first) = region.find("####")
        // What a base model asks itself next is another text.
        && let end = region[first..].find("\nQuestion:").map_or(region.len(), |at| first + at)
        && let region = &region[..end]
        && let Some(at) = region.rfind("####")
    {
        let line = region[at + 4..].lines().next().unwrap_or("").trim_start_matches('#').trim();
        if !line.is_empty() {
            return found(line, "hashes");
        }
    }
    if options.cue
        && let Some(text) = prose::after_cue(region)
    {
        return found(text, "cue");
    }
    if options.boxed && ends_in_open_box(region) {
        return Err(("no_answer", "the box is never closed"));
    }
    if options.last_value
        && let region = region.trim_end().trim_end_matches("</answer>")
        && let Some(text) = if words { prose::last_line(region).map(Cow::Borrowed) } else { prose::last_value(region) }
    {
        return Ok(Found { text, rule: "last_value", behind: "", boxes: Vec::new() });
    }
    Err(("no_answer", "no answer is stated"))
}

/// What follows `part` in `region`, of which it is a part.
fn behind<'a>(region: &'a str, part: &str) -> &'a str {
    let end = (part.as_ptr() as usize + part.len()).checked_sub(region.as_ptr() as usize);
    end.and_then(|end| region.get(end..)).unwrap_or("")
}

/// The last box, together with those before it from which only a separator divides it.
pub(super) fn joined<'a>(region: &'a str, boxes: &[Boxed<'a>]) -> Cow<'a, str> {
    let Some((last, before)) = boxes.split_last() else { return Cow::Borrowed("") };
    let mut text = Cow::Borrowed(last.content);
    let mut next = last;
    for earlier in before.iter().rev().take(16) {
        let between = region.get(earlier.end..next.start).unwrap_or("");
        if between.len() > MAX_JOINT_BYTES {
            break;
        }
        let Some(alternative) = separator(between) else { break };
        if earlier.content.trim() != next.content.trim() {
            text = Cow::Owned(format!("{}{}{text}", earlier.content, if alternative { " or " } else { ", " }));
        }
        next = earlier;
    }
    text
}

/// Whether `between` only separates two values, and if so, whether it offers a choice.
fn separator(between: &str) -> Option<bool> {
    let plain = between.replace("\\text", " ").replace("\\quad", " ").to_lowercase();
    let mut any = false;
    let mut alternative = false;
    for word in plain.split(|c: char| c.is_whitespace() || "$.,;*{}\\()/".contains(c)).filter(|word| !word.is_empty()) {
        match word {
            "and" | "also" | "both" => any = true,
            "or" | "alternatively" | "maybe" | "perhaps" | "possibly" | "else" | "either" => {
                any = true;
                alternative = true;
            }
            _ => return None,
        }
    }
    (any || between.contains([',', ';']) || (between.trim().is_empty() && !between.contains('\n')))
        .then_some(alternative)
}
