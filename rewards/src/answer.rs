//! Finds the part of a completion that gives its answer, for rewards that compare text.

use std::ops::Range;

use crate::tags::last_answer;

/// Where an answer was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The last closed `<answer>...</answer>`.
    Tag,
    /// The last closed `\boxed{...}` or `\fbox{...}`.
    Box,
    /// The last line that is not empty.
    Line,
}

/// The text of a completion's answer, without white space around it, and where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) text: &'a str,
    pub(crate) place: Place,
}

/// The answer of `completion`: the content of its last closed answer tag, else of its last closed box, else its last line
/// that is not empty. It is looked for behind the last `</think>`, and in the whole completion only if nothing is there.
///
/// A box that is all the tag holds is opened. Boxes with nothing but separators between them are one answer of several
/// values, from the first content to the last: `\boxed{A} or \boxed{B}` is no answer B. `None` for a completion of white space.
pub(crate) fn find_answer(completion: &str) -> Option<Answer<'_>> {
    let conclusion = conclusion(completion);
    if let Ok(content) = last_answer(conclusion) {
        return Some(Answer { text: unboxed(content.trim()), place: Place::Tag });
    }
    if let Some(content) = last_boxed(conclusion) {
        return Some(Answer { text: unboxed(content.trim()), place: Place::Box });
    }
    let line = conclusion.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(Answer { text: line, place: Place::Line })
}

/// The answer of a written solution: the content of the `\boxed{...}` or `\fbox{...}` that is closed last, as data sets like
/// MATH mark it. `None` where there is none.
pub fn boxed_answer(solution: &str) -> Option<&str> {
    last_boxed(solution).map(|content| unboxed(content.trim()))
}

/// What stands behind the last `</think>`; all of `completion` if nothing does.
pub(crate) fn conclusion(completion: &str) -> &str {
    match completion.rsplit_once("</think>") {
        Some((_, conclusion)) if !conclusion.trim().is_empty() => conclusion,
        _ => completion,
    }
}

/// The content of a box, if `text` is one box and nothing else; at most four boxes deep.
fn unboxed(text: &str) -> &str {
    let mut text = text;
    for _ in 0..4 {
        let bare = text.strip_prefix('$').and_then(|text| text.strip_suffix('$')).unwrap_or(text).trim();
        match boxes(bare).last() {
            Some(Boxed { start: 0, content }) if content.end + 1 == bare.len() => text = bare[content].trim(),
            _ => return text,
        }
    }
    text
}

/// Where the content of a box begins that `text` begins with.
fn box_start(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("\\boxed").or_else(|| text.strip_prefix("\\fbox"))?;
    let brace = rest.trim_start_matches(' ').strip_prefix('{')?;
    Some(text.len() - brace.len())
}

/// A closed box: where it begins, and what it holds.
#[derive(Clone)]
struct Boxed {
    start: usize,
    content: Range<usize>,
}

/// The content of the box of `text` that is closed last, with those that are joined to it.
fn last_boxed(text: &str) -> Option<&str> {
    let boxes: Vec<Boxed> = boxes(text).collect();
    let mut first = boxes.last()?.clone();
    let end = first.content.end;
    for earlier in boxes.iter().rev() {
        // Boxes inside of the first one close before it, and are no others.
        if earlier.content.end < first.start {
            if !is_separator(&text[earlier.content.end + 1..first.start]) {
                break;
            }
            first = earlier.clone();
        }
    }
    Some(&text[first.content.start..end])
}

/// Whether `between` two boxes joins them.
fn is_separator(between: &str) -> bool {
    let words = between.split(|c: char| c.is_whitespace() || ",;/&$".contains(c)).filter(|word| !word.is_empty());
    // Short as it is when it is a separator, no text of a megabyte is cut into words here.
    between.len() <= 32 && words.map(str::to_lowercase).all(|word| ["and", "or"].contains(&word.as_str()))
}

/// All closed boxes, in the order in which they close. One pass: open braces wait on the heap.
fn boxes(text: &str) -> impl Iterator<Item = Boxed> + '_ {
    // Each open brace, with where its box begins and its content does if it is one.
    let mut open: Vec<Option<(usize, usize)>> = Vec::new();
    let mut at = 0;
    let bytes = text.as_bytes();
    std::iter::from_fn(move || {
        while at < bytes.len() {
            match bytes[at] {
                b'\\' => {
                    if let Some(content) = box_start(&text[at..]) {
                        open.push(Some((at, at + content)));
                        at += content;
                    } else {
                        // The character behind it is part of a command, and no brace.
                        at += 2;
                    }
                }
                b'{' => {
                    open.push(None);
                    at += 1;
                }
                b'}' => {
                    at += 1;
                    if let Some(Some((start, content))) = open.pop() {
                        return Some(Boxed { start, content: content..at - 1 });
                    }
                }
                _ => at += 1,
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_found() {
        let check = |completion: &str, text: &str, place: Place| {
            assert_eq!(find_answer(completion), Some(Answer { text, place }), "{completion:?}");
        };
        check("<think>a</think><answer> b </answer> c", "b", Place::Tag);
        check("<answer>a</answer> then <answer>b", "a", Place::Tag);
        check("<answer>\\boxed{b}</answer>", "b", Place::Tag);
        check("<answer>$\\boxed {\\boxed{b}}$</answer>", "b", Place::Tag);
        check("<answer>\\boxed{a} or \\boxed{b}</answer>", "\\boxed{a} or \\boxed{b}", Place::Tag);
        check("\\boxed{a} no, \\boxed{b}.", "b", Place::Box);
        check("\\boxed{a}, $\\boxed{b}$ or \\fbox{\\boxed{c}}", "a}, $\\boxed{b}$ or \\fbox{\\boxed{c}", Place::Box);
        check("\\boxed{a} but \\boxed{b} and\n \\boxed{c}", "b} and\n \\boxed{c", Place::Box);
        check("so \\boxed{\\frac{1}{2}}", "\\frac{1}{2}", Place::Box);
        check("so \\fbox{b} and \\boxed{c", "b", Place::Box);
        check("\\boxed{a \\} b}", "a \\} b", Place::Box);
        check("{ { \\boxed{a}", "a", Place::Box);
        check("\\boxedx{a}\nb\n \n", "b", Place::Line);
        check("\\boxed a", "\\boxed a", Place::Line);
        check("ä\\ä\\", "ä\\ä\\", Place::Line);
        // A draft inside the thinking is not the answer when something follows.
        check("<think><answer>a</answer> \\boxed{a}</think>\nb", "b", Place::Line);
        check("<think><answer>a</answer></think>\n", "a", Place::Tag);
        check("<think>\\boxed{a}", "a", Place::Box);
        assert_eq!(boxed_answer("Thus $x = \\boxed{ \\frac{1}{2} }$."), Some("\\frac{1}{2}"));
        assert_eq!(boxed_answer("Thus x is 3."), None);
        assert_eq!(find_answer(" \n\t"), None);
        assert_eq!(find_answer(""), None);
    }
}
