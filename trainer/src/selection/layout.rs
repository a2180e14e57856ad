//! How reasoning and summary lie in a completion, and how a completion is rewritten into another layout.

/// A layout of reasoning and summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// `<think>reasoning</think> <answer>summary</answer>`, or with the summary as it is behind `</think>`.
    ThinkAnswer,
    /// DeepSeek-R1's cold start, `|special_token|<reasoning>|special_token|<summary>` (arXiv 2501.12948 v1, section 2.3.1),
    /// with this text for the special token. It is not empty.
    SpecialToken(String),
}

/// The two parts of a completion, without white space around them; neither is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The chain of thought.
    pub reasoning: &'a str,
    /// What the user is told.
    pub summary: &'a str,
}

impl Layout {
    /// What a completion in this layout begins with, unless the prompt has ended with it.
    pub fn opening(&self) -> &str {
        match self {
            Self::ThinkAnswer => "<think>",
            Self::SpecialToken(token) => token,
        }
    }

    /// Whether `prompt` has already opened the reasoning.
    pub fn is_opened_by(&self, prompt: &str) -> bool {
        prompt.trim_end().ends_with(self.opening())
    }

    /// The parts of `completion`; `None` if one is missing or empty, an `<answer>` is not closed, or a special token is one too
    /// many.
    ///
    /// - `is_opened`: whether the prompt has ended with [`Self::opening`]
    pub fn read<'a>(&self, completion: &'a str, is_opened: bool) -> Option<Parts<'a>> {
        let text = completion.trim();
        // A policy may write the opening although the prompt has; it is no part of the reasoning.
        let inside = match text.strip_prefix(self.opening()) {
            Some(inside) => inside,
            None if is_opened => text,
            None => return None,
        };
        let (reasoning, summary) = match self {
            Self::ThinkAnswer => {
                let (reasoning, rest) = inside.rsplit_once("</think>")?;
                (reasoning, answer(rest)?)
            }
            Self::SpecialToken(token) => inside.split_once(token).filter(|(_, summary)| !summary.contains(token))?,
        };
        let (reasoning, summary) = (reasoning.trim(), summary.trim());
        (!reasoning.is_empty() && !summary.is_empty()).then_some(Parts { reasoning, summary })
    }

    /// The completion with these parts.
    ///
    /// - `is_opened`: whether the prompt ends with [`Self::opening`], which is then left out
    pub fn write(&self, parts: Parts<'_>, is_opened: bool) -> String {
        let Parts { reasoning, summary } = parts;
        let opening = if is_opened { "" } else { self.opening() };
        match self {
            Self::ThinkAnswer => format!("{opening}{reasoning}</think> <answer>{summary}</answer>"),
            Self::SpecialToken(token) => format!("{opening}{reasoning}{token}{summary}"),
        }
    }

    /// `completion` in the layout `to`; `None` if it is not in this one, or holds what would be a mark of the other.
    ///
    /// - `is_opened`: whether the prompt of the old one has ended with [`Self::opening`]; the new one has the opening itself
    pub fn rewrite(&self, completion: &str, is_opened: bool, to: &Self) -> Option<String> {
        let parts = self.read(completion, is_opened)?;
        let written = to.write(parts, false);
        (to.read(&written, false) == Some(parts)).then_some(written)
    }
}

/// The summary in a text behind `</think>`; none where an `<answer>` is not closed, closed and not opened, or not the only one.
fn answer(rest: &str) -> Option<&str> {
    let places = |tag| rest.match_indices(tag).map(|(at, _)| at).collect::<Vec<usize>>();
    let is_whole = match (&places("<answer>")[..], &places("</answer>")[..]) {
        ([open], [close]) => open < close,
        (opened, closed) => opened.is_empty() && closed.is_empty(),
    };
    is_whole.then(|| rewards::summary(rest, false)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Layout {
        Layout::SpecialToken("|special_token|".to_owned())
    }

    #[test]
    fn parts_are_found() {
        let check = |layout: &Layout, completion: &str, is_opened: bool, expected: Option<(&str, &str)>| {
            let parts = layout.read(completion, is_opened).map(|parts| (parts.reasoning, parts.summary));
            assert_eq!(parts, expected, "{completion:?}");
        };
        let tags = Layout::ThinkAnswer;
        check(&tags, "<think> a </think> <answer> b </answer>", false, Some(("a", "b")));
        check(&tags, " a</think><answer>b</answer>\n", true, Some(("a", "b")));
        check(&tags, "<think>a</think>b", true, Some(("a", "b")));
        check(&tags, "<think>a</think>\nso b", false, Some(("a", "so b")));
        check(&tags, "<think>a</think>c</think>b", false, Some(("a</think>c", "b")));
        for (completion, is_opened) in [
            ("a</think> b", false),
            ("<think>a", false),
            ("<think>a</think>", false),
            ("<think>a</think> <answer> </answer>", false),
            ("<think>a</think> <answer>b", false),
            ("<think>a</think> b</answer>", false),
            ("<think> </think> <answer>b</answer>", false),
            ("", true),
        ] {
            check(&tags, completion, is_opened, None);
        }
        check(&token(), "|special_token|a|special_token|b", false, Some(("a", "b")));
        check(&token(), "a |special_token| b", true, Some(("a", "b")));
        check(&token(), "a|special_token|b", false, None);
        check(&token(), "|special_token|a", false, None);
        check(&token(), "|special_token|a|special_token|", false, None);
        check(&token(), "|special_token|a|special_token|b|special_token|", false, None);
    }

    #[test]
    fn a_layout_is_rewritten_into_the_other_and_back() {
        let written = Layout::ThinkAnswer.rewrite("<think>a b</think>\n<answer>c</answer>", false, &token()).unwrap();
        assert_eq!(written, "|special_token|a b|special_token|c");
        let back = token().rewrite(&written, false, &Layout::ThinkAnswer).unwrap();
        assert_eq!(back, "<think>a b</think> <answer>c</answer>");
        // A text that holds the other layout's mark would be cut in the wrong place.
        let hostile = "<think>a|special_token|b</think> <answer>c</answer>";
        assert_eq!(Layout::ThinkAnswer.rewrite(hostile, false, &token()), None);
        assert_eq!(token().rewrite("|special_token|a|special_token|b</answer>c", false, &Layout::ThinkAnswer), None);
    }

    #[test]
    fn what_a_prompt_has_opened_is_not_written_again() {
        let parts = Parts { reasoning: "a", summary: "b" };
        assert!(Layout::ThinkAnswer.is_opened_by("Assistant: <think>\n"));
        assert_eq!(Layout::ThinkAnswer.write(parts, true), "a</think> <answer>b</answer>");
        assert_eq!(token().write(parts, true), "a|special_token|b");
    }
}
