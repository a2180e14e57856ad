//! Chat templates: a conversation to the text that a model was, or is to be, trained on.
//!
//! A template is a Jinja2 program that comes with a model. It is rendered as transformers renders it (`environment`), and
//! by the same rules it is found (`source`).

mod environment;
mod python;
mod source;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use minijinja::{Environment, Value};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::{Error, Result};
pub(crate) use source::Files;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, or what the template knows besides.
    pub role: String,
    /// What is said; none where the message has something else, such as calls of tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Everything else that the template may know: `tool_calls`, `reasoning_content`, `name`.
    #[serde(flatten)]
    pub other: Map<String, serde_json::Value>,
}

/// The role of the model itself.
pub const ASSISTANT: &str = "assistant";

impl Message {
    /// A message that is a text.
    pub fn new(role: &str, content: &str) -> Self {
        Self { role: role.to_owned(), content: Some(content.to_owned()), other: Map::new() }
    }
}

/// A whole conversation as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The text.
    pub text: String,
    /// What of it the assistant writes, in bytes, ascending: with the end of each turn, as far as the template writes one.
    pub replies: Vec<Range<usize>>,
}

/// The chat template of a model.
pub struct ChatTemplate {
    environment: Environment<'static>,
    path: PathBuf,
    /// `bos_token`, `eos_token` and the others, which templates read as variables.
    special_tokens: BTreeMap<String, String>,
    marks_generation: bool,
    asks_for_the_date: bool,
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Marks in the text around what a template calls generated; private characters, which no tokenizer was trained on.
const MARKS: [char; 2] = ['\u{10fff0}', '\u{10fff1}'];

impl ChatTemplate {
    /// The template of a model folder: `chat_template.jinja`, or else `chat_template` of tokenizer_config.json (a text, or a
    /// list with one that is named `default`).
    ///
    /// # Errors
    /// If there is none, or it is malformed.
    pub fn load(folder: &Path) -> Result<Self> {
        Self::find(folder, &|name| std::fs::read(folder.join(name)).ok())
    }

    /// The same from files that are in memory; `folder` is where they came from, for messages.
    pub(crate) fn find(folder: &Path, files: &Files) -> Result<Self> {
        let (path, text) = source::template(folder, files)?;
        Self::new(&path, &text, source::special_tokens(folder, files)?)
    }

    /// A template from its text.
    ///
    /// - `path`: where it came from, for messages; `special_tokens`: variables such as `bos_token`
    ///
    /// # Errors
    /// If the text is no template.
    pub fn new(path: &Path, text: &str, special_tokens: BTreeMap<String, String>) -> Result<Self> {
        let environment = environment::new(text).map_err(|error| failed(path, &error))?;
        let marks_generation = environment::marks_generation(text);
        let asks_for_the_date = environment::asks_for_the_date(text);
        Ok(Self { environment, path: path.to_owned(), special_tokens, marks_generation, asks_for_the_date })
    }

    /// The text of a conversation.
    ///
    /// - `add_generation_prompt`: whether the beginning of the assistant's next turn stands at the end
    ///
    /// # Errors
    /// If the template refuses the conversation (many want the roles to alternate), or fails.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.render_with_marks(messages, add_generation_prompt, ["", ""])
    }

    fn render_with_marks(&self, messages: &[Message], add_generation_prompt: bool, marks: [&str; 2]) -> Result<String> {
        let template = self.environment.get_template(environment::NAME).map_err(|error| failed(&self.path, &error))?;
        let mut context: BTreeMap<&str, Value> = BTreeMap::new();
        context.extend(self.special_tokens.iter().map(|(name, token)| (name.as_str(), Value::from(token.as_str()))));
        context.insert("messages", Value::from_serialize(messages));
        context.insert("add_generation_prompt", Value::from(add_generation_prompt));
        context.insert("tools", Value::from(()));
        context.insert("documents", Value::from(()));
        context.insert(environment::BEGINS, Value::from(marks[0]));
        context.insert(environment::ENDS, Value::from(marks[1]));
        template.render(context).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &minijinja::Error) -> Error {
        match failed(&self.path, error) {
            Error::ChatTemplate { path, mut reason } if self.asks_for_the_date => {
                reason.push_str(
                    " (the template calls strftime_now, which is left out so that prompts do not change with the day; write a date \
                     in its place)",
                );
                Error::ChatTemplate { path, reason }
            }
            error => error,
        }
    }

    /// The text of a conversation, and where in it the assistant speaks.
    ///
    /// A template that marks what is generated (`{% generation %}`) says so itself. Of any other it is what a turn adds to
    /// the prompt that sampling would have had: the text of the messages before it, with the generation prompt.
    ///
    /// # Errors
    /// Those of [`Self::render`]; and if the template does not mark, and writes earlier turns in another way once later ones
    /// follow (some leave out their thoughts), so that no prompt is the beginning of the whole.
    pub fn conversation(&self, messages: &[Message]) -> Result<Conversation> {
        if self.marks_generation { self.by_marks(messages) } else { self.by_prefix(messages) }
    }

    fn by_marks(&self, messages: &[Message]) -> Result<Conversation> {
        let refuse = |reason: String| Error::ChatTemplate { path: self.path.clone(), reason };
        if let Some(place) = self.render(messages, false)?.find(MARKS) {
            let reason = format!("the text holds U+10FFF0 or U+10FFF1 at byte {place}; remove it from the messages");
            return Err(refuse(reason));
        }
        let [begin, end] = MARKS.map(String::from);
        let marked = self.render_with_marks(messages, false, [&begin, &end])?;
        let (mut text, mut replies) = (String::with_capacity(marked.len()), Vec::new());
        let mut begun = None;
        for piece in marked.split_inclusive(MARKS) {
            text.push_str(piece.strip_suffix(MARKS).unwrap_or(piece));
            if piece.ends_with(MARKS[0]) {
                begun = Some(text.len());
            } else if piece.ends_with(MARKS[1]) {
                let unpaired = || refuse("an {% endgeneration %} comes without its {% generation %}".to_owned());
                replies.push(begun.take().ok_or_else(unpaired)?..text.len());
            }
        }
        replies.retain(|reply| !reply.is_empty());
        Ok(Conversation { text, replies })
    }

    fn by_prefix(&self, messages: &[Message]) -> Result<Conversation> {
        let text = self.render(messages, false)?;
        let mut replies = Vec::new();
        for (index, _) in messages.iter().enumerate().filter(|(_, message)| message.role == ASSISTANT) {
            let prompt = self.render(&messages[..index], true)?;
            let with_reply = self.render(&messages[..=index], false)?;
            if !with_reply.starts_with(&prompt) || !text.starts_with(&with_reply) {
                return Err(Error::UnstableChatTemplate { path: self.path.clone(), message: index });
            }
            replies.push(prompt.len()..with_reply.len());
        }
        Ok(Conversation { text, replies })
    }
}

/// What minijinja says, with its causes and the line.
fn failed(path: &Path, error: &minijinja::Error) -> Error {
    let mut reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        reason.push_str(&format!(": {error}"));
        cause = error.source();
    }
    match error.line() {
        Some(line) => Error::ChatTemplate { path: path.to_owned(), reason: format!("line {line}: {reason}") },
        None => Error::ChatTemplate { path: path.to_owned(), reason },
    }
}
