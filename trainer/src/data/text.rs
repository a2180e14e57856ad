//! Text for pre-training: documents to rows of tokens, each row a pure function of its address.

use std::path::{Path, PathBuf};

use rollout::Tokenizer;
use rollout::random::Stream;

use super::QuestionError;
use super::countdown::corpus::{Corpus as Transcripts, CorpusError};
use super::questions::countdown_source;
use crate::config::Corpus;

/// Documents that one row can draw from at most: their numbers are `row * this + k`.
const DOCUMENTS_PER_ROW: u64 = 1 << 12;

/// Documents that a tokenizer is trained on.
const TOKENIZER_DOCUMENTS: u64 = 5_000;

/// Why a corpus cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The generator of transcripts.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The problems of the transcripts.
    #[error(transparent)]
    Problems(#[from] QuestionError),
    /// A file of text.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file that is not UTF-8.
    #[error("{}: byte {offset} is not UTF-8; convert the file first", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: usize,
    },
    /// A file with too little text for one row.
    #[error("{}: the text has {n_tokens} tokens, and a row needs {needed}; give more text or a smaller seq_len", path.display())]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Its length.
        n_tokens: usize,
        /// Tokens of a row and the one behind it.
        needed: usize,
    },
    /// Tokenizing failed.
    #[error(transparent)]
    Tokenize(#[from] rollout::Error),
}

/// A corpus before it is tokenized.
#[derive(Debug)]
pub enum Text {
    /// Countdown transcripts without end.
    Countdown(Box<Transcripts>),
    /// The text of a file.
    File {
        /// The file.
        path: PathBuf,
        /// What is in it.
        text: String,
    },
}

impl Text {
    /// Opens the corpus of a stage.
    ///
    /// # Errors
    /// If a file cannot be used, or the generator's settings are contradictory.
    pub fn open(settings: &Corpus, seed: u64) -> Result<Self, TextError> {
        match settings {
            Corpus::Countdown(corpus) => {
                let source = countdown_source(&corpus.problems)?;
                Ok(Self::Countdown(Box::new(Transcripts::new(source, corpus.weights(), seed)?)))
            }
            Corpus::Text(corpus) => {
                let path = corpus.path.path();
                Ok(Self::File { path: path.to_owned(), text: read_utf8(path)? })
            }
        }
    }

    /// What a tokenizer is trained on.
    ///
    /// # Errors
    /// If a document cannot be made.
    pub fn sample(&self) -> Result<Vec<String>, TextError> {
        match self {
            Self::Countdown(transcripts) => {
                (0..TOKENIZER_DOCUMENTS).map(|index| document(transcripts, index)).collect()
            }
            Self::File { text, .. } => Ok(text.lines().map(str::to_owned).collect()),
        }
    }

    /// The corpus as rows of tokens.
    ///
    /// - `end`: the id of the token that ends a document; `seq_len`: inputs of a row
    ///
    /// # Errors
    /// If a file has too little text.
    pub fn rows<'a>(
        &'a self,
        tokenizer: &'a Tokenizer,
        end: i64,
        seq_len: usize,
        order: Stream,
    ) -> Result<Rows<'a>, TextError> {
        let source = match self {
            Self::Countdown(transcripts) => Source::Documents { transcripts, tokenizer, end },
            Self::File { path, text } => {
                let ids = tokenizer.encode(text)?;
                if ids.len() <= seq_len {
                    return Err(TextError::TooShort { path: path.clone(), n_tokens: ids.len(), needed: seq_len + 1 });
                }
                Source::Tokens { ids, order }
            }
        };
        Ok(Rows { source, len: seq_len + 1 })
    }
}

/// Rows of `seq_len + 1` tokens: the inputs, and the last target.
#[derive(Debug)]
pub struct Rows<'a> {
    source: Source<'a>,
    len: usize,
}

#[derive(Debug)]
enum Source<'a> {
    Documents { transcripts: &'a Transcripts, tokenizer: &'a Tokenizer, end: i64 },
    Tokens { ids: Vec<i64>, order: Stream },
}

impl Rows<'_> {
    /// Row number `index`.
    ///
    /// Documents lie one after the other from the row's beginning, each with the end token behind it; the last is cut
    /// off at the row's end. A file gives a stretch from a random place.
    ///
    /// # Errors
    /// If a document cannot be made or tokenized.
    pub fn row(&self, index: u64) -> Result<Vec<i64>, TextError> {
        match &self.source {
            Source::Documents { transcripts, tokenizer, end } => {
                let mut row = Vec::with_capacity(self.len + 256);
                for number in (0..DOCUMENTS_PER_ROW).map(|k| TOKENIZER_DOCUMENTS + index * DOCUMENTS_PER_ROW + k) {
                    row.extend(tokenizer.encode(&document(transcripts, number)?)?);
                    row.push(*end);
                    if row.len() >= self.len {
                        break;
                    }
                }
                row.truncate(self.len);
                Ok(row)
            }
            Source::Tokens { ids, order } => {
                let n_places = ids.len() - self.len + 1;
                let place = (order.uniform(index) * n_places as f64) as usize;
                Ok(ids[place.min(n_places - 1)..][..self.len].to_vec())
            }
        }
    }
}

fn document(transcripts: &Transcripts, index: u64) -> Result<String, TextError> {
    let document = transcripts.document(index)?;
    Ok(document.prompt + &document.completion)
}

fn read_utf8(path: &Path) -> Result<String, TextError> {
    let bytes = std::fs::read(path).map_err(|source| TextError::Io { path: path.into(), source })?;
    String::from_utf8(bytes)
        .map_err(|error| TextError::NotUtf8 { path: path.into(), offset: error.utf8_error().valid_up_to() })
}
