//! Trains the tokenizer of a new base: byte-level BPE in Qwen2's form (Sennrich et al. 2016, arXiv 1508.07909).

use std::path::Path;

use serde_json::json;
use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizer::SplitDelimiterBehavior;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, TokenizerBuilder,
};

use crate::config;
use crate::run::atomic;

/// The token that ends a document: the only special one. Its id is 0.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// Its id.
pub const END_OF_TEXT_ID: i64 = 0;

/// Where the text of transcripts is cut before merging: around tags, numbers, colons and line ends, and nowhere else, so that whole
/// phrases become tokens (superword BPE: Liu et al. 2025, arXiv 2503.13423). The template around a question is then a few
/// dozen tokens and not two hundred.
const SUPERWORD_PATTERN: &str = r" ?</?[a-z]+>|[0-9]{1,3}|:|\n";

/// Why there is no tokenizer.
#[derive(Debug, thiserror::Error)]
pub enum BpeError {
    /// Training failed.
    #[error("cannot train the tokenizer: {0}")]
    Train(String),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] crate::run::FileError),
}

/// Trains a tokenizer on `documents` and writes tokenizer.json with its companions into `folder`.
///
/// - `superwords`: let tokens span words, for text that repeats itself
///
/// # Errors
/// If training fails or a file cannot be written.
pub fn train(
    documents: &[String],
    settings: &config::Tokenizer,
    superwords: bool,
    folder: &Path,
) -> Result<(), BpeError> {
    let failed = |error: tokenizers::Error| BpeError::Train(error.to_string());
    let bytes = ByteLevel::new(false, false, !superwords);
    let pre_tokenizer: PreTokenizerWrapper = if superwords {
        let pattern = SplitPattern::Regex(SUPERWORD_PATTERN.into());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(failed)?;
        Sequence::new(vec![split.into(), bytes.into()]).into()
    } else {
        bytes.into()
    };
    let mut tokenizer =
        TokenizerBuilder::<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>::new()
            .with_model(BPE::default())
            .with_pre_tokenizer(Some(pre_tokenizer))
            .with_decoder(Some(ByteLevelDecoder::default().into()))
            .build()
            .map_err(failed)?;
    let mut trainer = BpeTrainer::builder()
        .vocab_size(settings.vocab_size as usize)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
        .max_token_length(Some(settings.max_token_chars as usize))
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    tokenizer.train(&mut trainer, documents.iter()).map_err(failed)?;
    let text = tokenizer.to_string(true).map_err(failed)?;
    atomic::write_file(&folder.join("tokenizer.json"), text.as_bytes())?;
    write_companions(folder)
}

/// What transformers wants beside tokenizer.json.
fn write_companions(folder: &Path) -> Result<(), BpeError> {
    let files = [
        (
            "tokenizer_config.json",
            json!({
                "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT,
                "clean_up_tokenization_spaces": false, "add_prefix_space": false,
            }),
        ),
        ("generation_config.json", json!({"eos_token_id": END_OF_TEXT_ID, "pad_token_id": END_OF_TEXT_ID})),
    ];
    for (name, content) in files {
        let text = serde_json::to_string_pretty(&content).expect("a JSON literal can be written") + "\n";
        atomic::write_file(&folder.join(name), text.as_bytes())?;
    }
    Ok(())
}
