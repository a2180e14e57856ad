//! From places in a text to the tokens that the text was made of.

use tokenizers::DecoderWrapper;

use crate::Tokenizer;

/// Tokens that are decoded together at the most before their text is taken as it is. No character takes more than four bytes,
/// so a longer run without a whole character is no text.
const MAX_WINDOW: usize = 8;

/// Where each token of a completion ends in its text.
///
/// A character can be made of several tokens, and belongs to the last of them. U+FFFD, in place of bytes that are no UTF-8,
/// belongs to the token with the last of these bytes. Special tokens have no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEnds {
    /// For each token, the bytes of text that are whole when it is there; ascending.
    ends: Vec<usize>,
}

impl TokenEnds {
    pub(crate) fn of(tokenizer: &Tokenizer, ids: &[i64]) -> Self {
        let ends = match tokenizer.inner.get_decoder() {
            Some(DecoderWrapper::ByteLevel(_)) => ends_in_bytes(tokenizer, ids),
            _ => ends_by_decoding(tokenizer, ids),
        };
        Self { ends }
    }

    /// How many of the first tokens lie wholly before the byte at `byte_start`.
    pub fn n_tokens_before(&self, byte_start: usize) -> usize {
        self.ends.partition_point(|&end| end <= byte_start)
    }

    /// How many tokens it takes until their text reaches `byte_end`: the index behind the token that completes the byte before
    /// it. All of them if the text ends earlier.
    pub fn token_index_at(&self, byte_end: usize) -> usize {
        if byte_end == 0 {
            return 0;
        }
        (self.ends.partition_point(|&end| end < byte_end) + 1).min(self.ends.len())
    }
}

/// The ends of tokens that stand for bytes, whatever characters these make: in one pass, and exact for any bytes.
fn ends_in_bytes(tokenizer: &Tokenizer, ids: &[i64]) -> Vec<usize> {
    let (mut bytes, mut byte_ends) = (Vec::new(), Vec::with_capacity(ids.len()));
    for &id in ids {
        bytes.extend(bytes_of(tokenizer, id));
        byte_ends.push(bytes.len());
    }
    let mut ends = Vec::with_capacity(ids.len());
    let mut tokens = byte_ends.into_iter().peekable();
    // Up to here: bytes, and bytes of text.
    let (mut begin, mut text_end) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        while let Some(byte_end) = tokens.next_if(|&byte_end| byte_end <= begin + valid.len()) {
            let whole = (0..=byte_end - begin).rev().find(|&at| valid.is_char_boundary(at));
            ends.push(text_end + whole.unwrap_or(0));
        }
        begin += valid.len();
        text_end += valid.len();
        let n_invalid = chunk.invalid().len();
        while tokens.next_if(|&byte_end| byte_end < begin + n_invalid).is_some() {
            ends.push(text_end);
        }
        if n_invalid > 0 {
            begin += n_invalid;
            text_end += char::REPLACEMENT_CHARACTER.len_utf8();
        }
    }
    // A token that ends with the last of invalid bytes, and those without text behind it.
    ends.extend(tokens.map(|_| text_end));
    ends
}

/// The bytes of one token under a byte-level decoder; none of special and unknown tokens.
fn bytes_of(tokenizer: &Tokenizer, id: i64) -> Vec<u8> {
    let inner = &tokenizer.inner;
    let token = u32::try_from(id).ok().and_then(|id| inner.id_to_token(id));
    let Some(token) = token.filter(|token| !inner.get_added_vocabulary().is_special_token(token)) else {
        return Vec::new();
    };
    // As the decoder itself: a token with a character that stands for no byte is its own text.
    let bytes: Option<Vec<u8>> = token.chars().map(byte_of).collect();
    bytes.unwrap_or_else(|| token.into_bytes())
}

/// The byte that a character of a byte-level vocabulary stands for (GPT-2's `bytes_to_unicode`): printable ones stand for
/// themselves, the others in order for the characters from U+0100 on.
fn byte_of(c: char) -> Option<u8> {
    let byte = match u32::from(c) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => code,
        code @ 0x100..=0x120 => code - 0x100,
        code @ 0x121..=0x142 => code - 0x121 + 0x7f,
        0x143 => 0xad,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// The ends by what more each token makes of the text, for decoders of other kinds: exact for whole characters. U+FFFD may
/// be counted to a token behind it.
fn ends_by_decoding(tokenizer: &Tokenizer, ids: &[i64]) -> Vec<usize> {
    let (mut ends, mut text_end) = (Vec::with_capacity(ids.len()), 0);
    // Tokens before `from` are settled. Those since `context` go along, as a decoder may treat the first one otherwise.
    let (mut context, mut from, mut settled) = (0, 0, 0);
    for n in 1..=ids.len() {
        let text = tokenizer.decode(&ids[context..n]);
        let is_whole = text.len() > settled && !text.ends_with(char::REPLACEMENT_CHARACTER);
        if is_whole || n - from >= MAX_WINDOW {
            text_end += text.len().saturating_sub(settled);
            (context, from) = (from, n);
            settled = tokenizer.decode(&ids[context..n]).len();
        }
        ends.push(text_end);
    }
    ends
}

#[cfg(test)]
#[path = "token_ends_tests.rs"]
mod tests;
