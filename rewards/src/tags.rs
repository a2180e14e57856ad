//! Finds the think and answer tags of a completion in one linear pass.

/// A tag of the R1 format. Tags are exact: case, blanks and attributes make them ordinary text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    ThinkOpen,
    ThinkClose,
    AnswerOpen,
    AnswerClose,
}

impl Tag {
    const ALL: [Tag; 4] = [Tag::ThinkOpen, Tag::ThinkClose, Tag::AnswerOpen, Tag::AnswerClose];

    /// The tag as it is written.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Tag::ThinkOpen => "<think>",
            Tag::ThinkClose => "</think>",
            Tag::AnswerOpen => "<answer>",
            Tag::AnswerClose => "</answer>",
        }
    }
}

/// A tag and where it stands: bytes `start..end` of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) tag: Tag,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Every tag of `text`, from left to right. No tag contains a second `<`, so none can overlap another.
pub(crate) fn tags(text: &str) -> impl Iterator<Item = Found> + '_ {
    text.match_indices('<').filter_map(|(start, _)| {
        let rest = &text.as_bytes()[start..];
        let tag = Tag::ALL.into_iter().find(|tag| rest.starts_with(tag.text().as_bytes()))?;
        Some(Found { tag, start, end: start + tag.text().len() })
    })
}

/// The content of the last closed answer of `text`: what lies between an `<answer>` and the `</answer>` that is the next
/// answer tag after it.
///
/// So of nested tags the innermost counts, a repeated `<answer>` starts anew, a repeated `</answer>` changes nothing, and
/// an answer left open at the end does not replace a closed one before it. `Err` says in words why there is none.
pub(crate) fn last_answer(text: &str) -> Result<&str, &'static str> {
    let mut last = None;
    let mut open = None;
    let mut stray_close = false;
    for found in tags(text) {
        match found.tag {
            Tag::AnswerOpen => open = Some(found.end),
            Tag::AnswerClose => match open.take() {
                Some(content) => last = Some(&text[content..found.start]),
                None => stray_close = true,
            },
            Tag::ThinkOpen | Tag::ThinkClose => {}
        }
    }
    match last {
        Some(content) => Ok(content),
        None if open.is_some() => Err("<answer> is never closed"),
        None if stray_close => Err("</answer> without <answer> before it"),
        None => Err("no <answer>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_exact() {
        use Tag::{AnswerClose, AnswerOpen, ThinkClose, ThinkOpen};
        let check = |text: &str, expected: &[Tag]| {
            let found: Vec<Found> = tags(text).collect();
            assert_eq!(found.iter().map(|found| found.tag).collect::<Vec<_>>(), expected, "{text:?}");
            for found in found {
                assert_eq!(&text[found.start..found.end], found.tag.text(), "{text:?}");
            }
        };
        check("", &[]);
        check("<think></think><answer></answer>", &[ThinkOpen, ThinkClose, AnswerOpen, AnswerClose]);
        check("ä<<think>ö</think", &[ThinkOpen]);
        check("<Think> < think> <think > <think a=1> </ think> <thinking>", &[]);
        check("<<<answer>>></answer>", &[AnswerOpen, AnswerClose]);
        check("<answer", &[]);
        check("<answer<answer>", &[AnswerOpen]);
        check("\u{ff1c}think\u{ff1e}", &[]);
    }

    #[test]
    fn the_last_closed_answer_counts() {
        let check = |text: &str, expected: Result<&str, &str>| assert_eq!(last_answer(text), expected, "{text:?}");
        check("<answer>1</answer>", Ok("1"));
        check("<answer></answer>", Ok(""));
        check("<answer>1</answer> no: <answer>2</answer> end", Ok("2"));
        check("<answer>1</answer> <answer>2", Ok("1"));
        check("<answer>1</answer></answer>", Ok("1"));
        check("</answer><answer>1</answer>", Ok("1"));
        check("<answer>1<answer>2</answer>", Ok("2"));
        check("<answer>1<answer>2</answer>3</answer>", Ok("2"));
        check("<answer>1<think>2</think>3</answer>", Ok("1<think>2</think>3"));
        check("<think><answer>1</answer>", Ok("1"));
        check("<answer>a\nb</answer>", Ok("a\nb"));
        check("1", Err("no <answer>"));
        check("<answer>1", Err("<answer> is never closed"));
        check("1</answer>", Err("</answer> without <answer> before it"));
        check("</answer>1<answer>", Err("<answer> is never closed"));
        check("<ANSWER>1</ANSWER>", Err("no <answer>"));
    }
}
