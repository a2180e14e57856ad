//! Files of rows to examples: token ids, and which of them are learned.

use std::path::{Path, PathBuf};

use policy::Row as Tokens;
use rayon::prelude::*;
use rollout::{ChatTemplate, Message, Template, Tokenizer};
use serde::{Deserialize, Serialize};

use super::rows::{Asked, Row, WrittenRow};
use crate::data::problem_file::{ProblemFileError, read_rows};

/// Why a file of examples cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file, or a row of it.
    #[error(transparent)]
    Rows(#[from] ProblemFileError),
    /// A row that cannot be tokenized, or not by the model's chat template.
    #[error("{}:{line}: {source}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        source: Box<rollout::Error>,
    },
    /// A row whose prompt is nothing.
    #[error("{}:{line}: the prompt has no tokens: there is nothing to predict the completion from", path.display())]
    EmptyPrompt {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A row beyond `max_tokens`, where the run file refuses such.
    #[error(
        "{}:{line}: the row has {n_tokens} tokens, more than max_tokens = {max_tokens}; shorten it, raise max_tokens, or say \
         on_long = \"drop\" or \"cut\"",
        path.display()
    )]
    Long {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Its length.
        n_tokens: usize,
        /// The longest that is allowed.
        max_tokens: usize,
    },
    /// Nothing is left to learn.
    #[error(
        "{}: every one of the {n_rows} rows is longer than max_tokens = {max_tokens}; raise it, or say on_long = \"cut\"",
        path.display()
    )]
    AllDropped {
        /// The file.
        path: PathBuf,
        /// Its rows.
        n_rows: usize,
        /// The longest that is allowed.
        max_tokens: usize,
    },
    /// A file of plain text that is too short, or not UTF-8.
    #[error("{}: {reason}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// `stage.on_long`: what becomes of rows longer than `max_tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLong {
    /// `drop`: the row is left out. A thought without its end teaches not to end.
    #[default]
    Drop,
    /// `cut`: what lies behind `max_tokens` is left out.
    Cut,
    /// `refuse`: the run does not begin.
    Refuse,
}

/// What one sequence teaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Token ids.
    pub ids: Vec<i64>,
    /// Whether each of `ids` is learned; the first is not.
    pub is_target: Vec<bool>,
}

impl Example {
    /// Tokens that are learned.
    pub fn n_targets(&self) -> usize {
        self.is_target.iter().filter(|&&is_target| is_target).count()
    }

    /// Tokens that go through the network: those before the last that is learned.
    pub fn n_inputs(&self) -> usize {
        self.is_target.iter().rposition(|&is_target| is_target).unwrap_or(0)
    }

    /// As the policy takes it.
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens { ids: &self.ids, is_target: &self.is_target }
    }

    fn new() -> Self {
        Self { ids: Vec::new(), is_target: Vec::new() }
    }

    fn extend(&mut self, ids: &[i64], is_target: bool) {
        self.ids.extend_from_slice(ids);
        self.is_target.resize(self.ids.len(), is_target);
        self.is_target.first_mut().into_iter().for_each(|first| *first = false);
    }
}

/// What became of the rows of some files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that were read.
    pub n_rows: usize,
    /// Of these, left out: longer than `max_tokens`, or without anything to learn in what is left of them.
    pub n_dropped: usize,
    /// Of these, cut.
    pub n_cut: usize,
}

/// The examples of a file.
#[derive(Debug, Default)]
pub struct Data {
    /// In the order of the file.
    pub examples: Vec<Example>,
    /// What became of its rows.
    pub counts: Counts,
}

fn is_text(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "txt")
}

/// The rows of a JSON Lines file, each with its line.
fn rows(path: &Path) -> Result<Vec<(usize, Row)>, DataError> {
    Ok(read_rows(path, |row: WrittenRow, line| Ok((line, Row::try_from(row)?)))?)
}

/// Looks at a file as far as that is possible without a tokenizer.
///
/// # Errors
/// If a row has none of the shapes.
pub fn check_rows(path: &Path) -> Result<(), DataError> {
    if is_text(path) { Ok(()) } else { rows(path).map(drop) }
}

/// How rows become tokens.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The model's.
    pub tokenizer: &'a Tokenizer,
    /// How questions are put.
    pub template: &'a Template,
    /// The token that ends a completion or a text.
    pub end: i64,
    /// The longest example, in tokens.
    pub max_tokens: usize,
    /// What becomes of longer ones.
    pub on_long: OnLong,
}

impl Reading<'_> {
    /// Reads a file: JSON Lines, or plain text where its name ends in `.txt`.
    ///
    /// The examples follow from the file alone: each row is tokenized by itself, on as many threads as there are.
    ///
    /// # Errors
    /// The first row that cannot be used, with file and line.
    pub fn read(&self, path: &Path) -> Result<Data, DataError> {
        if is_text(path) {
            return self.read_text(path);
        }
        let rows = rows(path)?;
        let needs_chat = rows.iter().find(|(_, row)| matches!(row, Row::Messages(_)));
        let at = |line: usize| {
            move |source| {
                let source = Box::new(source);
                DataError::Row { path: path.to_owned(), line, source }
            }
        };
        let chat = match needs_chat {
            Some((line, _)) => Some(self.tokenizer.chat_template().map_err(at(*line))?),
            None => None,
        };
        let n_rows = rows.len();
        let examples: Vec<(usize, Example)> = rows
            .into_par_iter()
            .map(|(line, row)| {
                let example = self.example(&row, chat.as_ref()).map_err(at(line))?;
                let example = example.ok_or_else(|| DataError::EmptyPrompt { path: path.to_owned(), line })?;
                Ok((line, example))
            })
            .collect::<Result<_, DataError>>()?;
        let mut data = Data { counts: Counts { n_rows, ..Counts::default() }, ..Data::default() };
        for (line, example) in examples {
            self.add(&mut data, example, path, line)?;
        }
        if data.examples.is_empty() {
            return Err(DataError::AllDropped { path: path.to_owned(), n_rows, max_tokens: self.max_tokens });
        }
        Ok(data)
    }

    /// The tokens of a row; none if its prompt has none.
    fn example(&self, row: &Row, chat: Option<&ChatTemplate>) -> Result<Option<Example>, rollout::Error> {
        let mut example = Example::new();
        match row {
            Row::Completion { asked, completion } => {
                // The boundary that sampling has: a prompt is encoded by itself, and tokens are put behind it.
                let prompt = match asked {
                    Asked::Prompt(text) => self.template.encode(text, self.tokenizer)?,
                    Asked::Question(question) => self.template.prompt(question, self.tokenizer)?.ids,
                };
                if prompt.is_empty() {
                    return Ok(None);
                }
                example.extend(&prompt, false);
                example.extend(&self.ended(self.tokenizer.encode_within(completion)?), true);
            }
            Row::Messages(messages) => {
                let chat = chat.expect("read where a row needs it");
                self.conversation(messages, chat, &mut example)?;
            }
            Row::Text(text) => example.extend(&self.ended(self.tokenizer.encode(text)?), true),
        }
        Ok(Some(example))
    }

    /// With the end token behind, where it is not the last already.
    fn ended(&self, mut ids: Vec<i64>) -> Vec<i64> {
        if ids.last() != Some(&self.end) {
            ids.push(self.end);
        }
        ids
    }

    /// A conversation, piece by piece: a turn begins at the boundary that its prompt would have in sampling. Of what the
    /// assistant writes, that behind the end token is never sampled and not learned (ChatML puts a new line there).
    fn conversation(
        &self,
        messages: &[Message],
        chat: &ChatTemplate,
        example: &mut Example,
    ) -> Result<(), rollout::Error> {
        let conversation = chat.conversation(messages)?;
        let mut done = 0;
        for reply in conversation.replies {
            example.extend(&self.tokenizer.encode_within(&conversation.text[done..reply.start])?, false);
            done = reply.end;
            let ids = self.tokenizer.encode_within(&conversation.text[reply])?;
            let n_learned = ids.iter().rposition(|&id| id == self.end).map_or(ids.len(), |place| place + 1);
            example.extend(&ids[..n_learned], true);
            example.extend(&ids[n_learned..], false);
        }
        example.extend(&self.tokenizer.encode_within(&conversation.text[done..])?, false);
        Ok(())
    }

    fn add(&self, data: &mut Data, mut example: Example, path: &Path, line: usize) -> Result<(), DataError> {
        let (n_tokens, max_tokens) = (example.ids.len(), self.max_tokens);
        if n_tokens > max_tokens {
            match self.on_long {
                OnLong::Refuse => return Err(DataError::Long { path: path.to_owned(), line, n_tokens, max_tokens }),
                OnLong::Drop => {
                    data.counts.n_dropped += 1;
                    return Ok(());
                }
                OnLong::Cut => {
                    example.ids.truncate(max_tokens);
                    example.is_target.truncate(max_tokens);
                }
            }
        }
        if example.n_targets() == 0 {
            data.counts.n_dropped += 1;
        } else {
            data.counts.n_cut += usize::from(n_tokens > max_tokens);
            data.examples.push(example);
        }
        Ok(())
    }

    /// A file of plain text: one document, in stretches of `max_tokens`, each of which begins with the last token of the one
    /// before, so that every token but the first is learned once.
    fn read_text(&self, path: &Path) -> Result<Data, DataError> {
        let refuse = |reason: String| DataError::Text { path: path.to_owned(), reason };
        let bytes = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
        let text = String::from_utf8(bytes)
            .map_err(|error| refuse(format!("byte {} is not UTF-8", error.utf8_error().valid_up_to())))?;
        let ids = self.tokenizer.encode(&text);
        let ids = self.ended(ids.map_err(|error| refuse(error.to_string()))?);
        let mut data = Data::default();
        let mut start = 0;
        while start + 1 < ids.len() {
            let stretch = &ids[start..ids.len().min(start + self.max_tokens)];
            let mut example = Example::new();
            example.extend(stretch, true);
            data.examples.push(example);
            start += stretch.len() - 1;
        }
        if data.examples.is_empty() {
            return Err(refuse("the text is empty".to_owned()));
        }
        data.counts.n_rows = data.examples.len();
        Ok(data)
    }
}

#[cfg(test)]
#[path = "examples_tests.rs"]
mod tests;
