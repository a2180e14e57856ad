//! What can go wrong before or while sampling.

use std::path::PathBuf;

/// A [`std::result::Result`] whose error is this crate's [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// An error of tokenizing or of asking for the impossible. Sampling itself cannot fail once it has begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// tokenizer.json is missing or cannot be read.
    #[error("{path}: not a readable tokenizer: {reason}", path = path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What the tokenizers library says.
        reason: String,
    },
    /// The tokenizer makes ids that the model has no embedding for.
    #[error(
        "{path}: the tokenizer has ids up to {largest_id}, the model's vocabulary ends at {vocab_size}: \
         they do not belong together",
        path = path.display()
    )]
    Vocabulary {
        /// The tokenizer.json.
        path: PathBuf,
        /// The largest id of the tokenizer.
        largest_id: i64,
        /// `vocab_size` of the model's config.json.
        vocab_size: i64,
    },
    /// A text cannot be tokenized.
    #[error("cannot tokenize {text:?}: {reason}")]
    Encode {
        /// The beginning of the text.
        text: String,
        /// What the tokenizers library says.
        reason: String,
    },
    /// The model has no chat template.
    #[error(
        "{folder}: the model has no chat template: neither chat_template.jinja nor `chat_template` in \
         tokenizer_config.json; add the file, or choose another `template`",
        folder = folder.display()
    )]
    NoChatTemplate {
        /// The model's folder.
        folder: PathBuf,
    },
    /// A chat template is malformed, or refuses a conversation.
    #[error("{path}: the chat template: {reason}", path = path.display())]
    ChatTemplate {
        /// The file that it stands in.
        path: PathBuf,
        /// What the template or its interpreter says, with the line.
        reason: String,
    },
    /// Where the assistant speaks cannot be said of a conversation.
    #[error(
        "{path}: the chat template does not mark what the assistant writes, and the prompt of message {message} (counted \
         from 0) is not the beginning of the conversation: put {{% generation %}} and {{% endgeneration %}} around the \
         assistant's text in the template, or train on rows of `question` and `completion`",
        path = path.display()
    )]
    UnstableChatTemplate {
        /// The file of the template.
        path: PathBuf,
        /// The message of the assistant.
        message: usize,
    },
    /// A prompt has no tokens.
    #[error("prompt {group_idx} is empty: there is nothing to continue")]
    EmptyPrompt {
        /// Which prompt.
        group_idx: usize,
    },
    /// A token id lies outside the vocabulary.
    #[error("prompt {group_idx} holds token id {id}, the model's vocabulary ends at {vocab_size}")]
    TokenId {
        /// Which prompt.
        group_idx: usize,
        /// The id.
        id: i64,
        /// `vocab_size` of the model's config.json.
        vocab_size: i64,
    },
    /// Prompt and completion together are longer than the model's context.
    #[error(
        "prompt {group_idx} has {n_prompt_tokens} tokens; with max_tokens = {max_tokens} that exceeds the model's context \
         of {context}: shorten the prompt or lower max_tokens"
    )]
    Context {
        /// Which prompt.
        group_idx: usize,
        /// Its length in tokens.
        n_prompt_tokens: usize,
        /// Longest completion asked for, in tokens.
        max_tokens: usize,
        /// `max_position_embeddings` of the model's config.json.
        context: i64,
    },
    /// A completion with a forced end would be longer than the longest.
    #[error(
        "a completion with a forced end has up to {n_tokens} tokens, {n_phrase_tokens} of them the phrase; max_tokens is \
         {max_tokens}: lower after_tokens or answer_tokens, or raise max_tokens"
    )]
    ForcedEnd {
        /// The most tokens that it comes to.
        n_tokens: usize,
        /// Of these, tokens of the phrase.
        n_phrase_tokens: usize,
        /// Longest completion asked for, in tokens.
        max_tokens: usize,
    },
    /// A GPU is too small to sample on.
    #[error(transparent)]
    Policy(#[from] policy::Error),
}
