//! Text to token ids and back, by a Hugging Face tokenizer.json.

use crate::{ChatTemplate, Error, Result, TokenEnds};
use std::path::{Path, PathBuf};

/// A tokenizer that fits its model.
#[derive(Debug)]
pub struct Tokenizer {
    pub(crate) inner: tokenizers::Tokenizer,
    // Kept, as the folder they came from may be a checkpoint that is removed while its run goes on.
    files: Vec<(&'static str, Vec<u8>)>,
    /// Where they came from, for messages.
    folder: PathBuf,
}

const TOKENIZER: &str = "tokenizer.json";

/// The files beside tokenizer.json that say how it is meant to be used; a checkpoint takes them along.
const COMPANIONS: [&str; 5] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
    "added_tokens.json",
];

impl Tokenizer {
    /// Reads `folder/tokenizer.json`.
    ///
    /// # Errors
    /// If there is none, it is malformed, or it makes ids beyond the model's `vocab_size`.
    pub fn load(folder: &Path, vocab_size: i64) -> Result<Self> {
        let path = folder.join(TOKENIZER);
        let refuse = |reason: String| Error::Tokenizer { path: path.clone(), reason };
        let read = |name: &str| std::fs::read(folder.join(name)).map_err(|error| refuse(format!("{name}: {error}")));
        let mut files = vec![(TOKENIZER, read(TOKENIZER)?)];
        for name in COMPANIONS.into_iter().filter(|name| folder.join(name).is_file()) {
            files.push((name, read(name)?));
        }
        let inner = tokenizers::Tokenizer::from_bytes(&files[0].1).map_err(|error| refuse(error.to_string()))?;
        let largest_id = inner.get_vocab(true).into_values().max().map_or(-1, i64::from);
        // A model may have spare rows (Qwen2.5 pads its vocabulary); a tokenizer may not have spare ids.
        if largest_id >= vocab_size {
            return Err(Error::Vocabulary { path, largest_id, vocab_size });
        }
        Ok(Self { inner, files, folder: folder.to_owned() })
    }

    /// The chat template that came with the tokenizer.
    ///
    /// # Errors
    /// If there is none, or it is malformed.
    pub fn chat_template(&self) -> Result<ChatTemplate> {
        let file = |name: &str| self.files.iter().find(|(file, _)| *file == name).map(|(_, content)| content.clone());
        ChatTemplate::find(&self.folder, &file)
    }

    /// Token ids of `text`, with the special tokens that the tokenizer's own template adds (Llama's begin token).
    ///
    /// # Errors
    /// If the tokenizer cannot represent the text.
    pub fn encode(&self, text: &str) -> Result<Vec<i64>> {
        self.encode_with(text, true)
    }

    /// Token ids of `text` as it stands in the middle of others: without what the tokenizer's own template adds.
    ///
    /// # Errors
    /// If the tokenizer cannot represent the text.
    pub fn encode_within(&self, text: &str) -> Result<Vec<i64>> {
        self.encode_with(text, false)
    }

    fn encode_with(&self, text: &str, add_special_tokens: bool) -> Result<Vec<i64>> {
        let encoding = self
            .inner
            .encode_fast(text, add_special_tokens)
            .map_err(|error| Error::Encode { text: text.chars().take(40).collect(), reason: error.to_string() })?;
        Ok(encoding.get_ids().iter().map(|&id| i64::from(id)).collect())
    }

    /// The text of `ids`, without special tokens. Bytes that are not UTF-8 become U+FFFD; unknown ids vanish.
    pub fn decode(&self, ids: &[i64]) -> String {
        let ids: Vec<u32> = ids.iter().filter_map(|&id| u32::try_from(id).ok()).collect();
        self.inner.decode(&ids, true).unwrap_or_default()
    }

    /// How many of the first `ids` it takes until their text holds `end`; all of them if it never does.
    pub fn tokens_until(&self, ids: &[i64], end: &str) -> usize {
        // A longer beginning holds whatever a shorter one holds.
        let lengths: Vec<usize> = (0..ids.len()).collect();
        lengths.partition_point(|&n| !self.decode(&ids[..n]).contains(end))
    }

    /// Where each of `ids` ends in their text, as [`Tokenizer::decode`] gives it.
    pub fn token_ends(&self, ids: &[i64]) -> TokenEnds {
        TokenEnds::of(self, ids)
    }

    /// Writes tokenizer.json and its companions into a checkpoint, unchanged.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn copy_files(&self, folder: &Path) -> std::io::Result<()> {
        self.files.iter().try_for_each(|(name, content)| std::fs::write(folder.join(name), content))
    }
}
