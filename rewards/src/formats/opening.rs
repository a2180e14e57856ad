//! Gives a completion the opening `<think>` back that its template has already written.

use std::borrow::Cow;

use crate::CompletionView;

/// What templates write when they prefill the tag (DeepSeek-R1, Qwen3), for callers who do not hand in the prompt.
const USUAL_OPENING: &str = "<think>\n";

/// The assistant's text from its opening tag on: the completion itself, or, if the template has prefilled `<think>`, the
/// end of the prompt from that tag on with the completion behind it. Where the prompt is not known, `<think>` and a line
/// break stand for it.
pub(super) fn with_opening<'a>(completion: &CompletionView<'a>) -> Cow<'a, str> {
    if !completion.think_prefilled {
        return Cow::Borrowed(completion.text);
    }
    let opening = completion
        .prompt
        .and_then(|prompt| prompt.rfind("<think>").map(|start| &prompt[start..]))
        // Anything but white space behind the tag: it belongs to the question, and the template's own is not to be seen.
        .filter(|opening| opening["<think>".len()..].trim().is_empty())
        .unwrap_or(USUAL_OPENING);
    Cow::Owned(format!("{opening}{}", completion.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefilled_tag_comes_back() {
        let check = |prefilled: bool, prompt: Option<&str>, expected: &str| {
            let mut view = CompletionView::new("a</think>", 1, false).with_think_prefilled(prefilled);
            view.prompt = prompt;
            assert_eq!(with_opening(&view), expected, "{prefilled}, {prompt:?}");
        };
        check(false, Some("q <think>\n"), "a</think>");
        check(true, None, "<think>\na</think>");
        check(true, Some("q <think>"), "<think>a</think>");
        check(true, Some("use <think> tags. <think> \n"), "<think> \na</think>");
        check(true, Some("use <think> tags."), "<think>\na</think>");
        check(true, Some(""), "<think>\na</think>");
    }
}
