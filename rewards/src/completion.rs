//! What a judge may see of a completion.

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
}

impl<'a> CompletionView<'a> {
    /// A view of `text`, which is `n_tokens` of the policy's tokens long; `truncated` if the token limit cut it off.
    pub fn new(text: &'a str, n_tokens: usize, truncated: bool) -> Self {
        Self { text, n_tokens, truncated }
    }
}
