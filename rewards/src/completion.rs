//! What a judge may see of a completion.

use std::ops::Range;

/// One completion as the judges see it: its text and the facts about it that no judge can count from the text.
///
/// Built with [`CompletionView::new`]; further facts will come as further methods, so that rules and callers written
/// against this one keep compiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompletionView<'a> {
    /// The completion alone, without the prompt and without the end token.
    pub text: &'a str,
    /// Length in the policy's tokens, with the end token where one was drawn.
    pub n_tokens: usize,
    /// Whether the completion was cut off at the token limit instead of ending by itself.
    pub truncated: bool,
    /// The prompt as the policy read it, template and all, where the caller has it.
    pub prompt: Option<&'a str>,
    /// The completion's tokens as opaque numbers, where the caller has them: for rules that compare tokens, such as
    /// repetition.
    pub token_ids: Option<&'a [i64]>,
    /// Length of the thoughts in the policy's tokens, up to and with `</think>`, where the caller has counted it.
    pub n_thinking_tokens: Option<usize>,
    /// Whether the template has already written the opening `<think>`, so that the completion begins inside of it.
    pub think_prefilled: bool,
}

impl<'a> CompletionView<'a> {
    /// A view of `text`, which is `n_tokens` of the policy's tokens long; `truncated` if the token limit cut it off.
    pub fn new(text: &'a str, n_tokens: usize, truncated: bool) -> Self {
        Self {
            text,
            n_tokens,
            truncated,
            prompt: None,
            token_ids: None,
            n_thinking_tokens: None,
            think_prefilled: false,
        }
    }

    /// The same view, with the prompt as the policy read it.
    #[must_use]
    pub fn with_prompt(mut self, prompt: &'a str) -> Self {
        self.prompt = Some(prompt);
        self
    }

    /// The same view, with the completion's tokens.
    #[must_use]
    pub fn with_token_ids(mut self, token_ids: &'a [i64]) -> Self {
        self.token_ids = Some(token_ids);
        self
    }

    /// The same view, with the length of its thoughts in tokens.
    #[must_use]
    pub fn with_thinking_tokens(mut self, n_thinking_tokens: usize) -> Self {
        self.n_thinking_tokens = Some(n_thinking_tokens);
        self
    }

    /// Where the chain of thought lies in the text: from the first `<think>`, or from the start where the template has
    /// prefilled it, to the last `</think>`, or to the end if it is never closed. A completion without these tags is one
    /// chain of thought.
    pub(crate) fn thinking(&self) -> Range<usize> {
        let start = if self.think_prefilled { 0 } else { self.text.find("<think>").unwrap_or(0) };
        start..self.text.rfind("</think>").filter(|end| *end >= start).unwrap_or(self.text.len())
    }

    /// The same view, of a completion that begins inside of `<think>`.
    #[must_use]
    pub fn with_think_prefilled(mut self, think_prefilled: bool) -> Self {
        self.think_prefilled = think_prefilled;
        self
    }
}
