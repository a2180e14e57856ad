//! Ends against decoding every beginning, with tokens that are words, parts of characters, and no text at all.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::Tokenizer;

fn repository(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder)
}

/// Its vocabulary has every byte, and words.
fn base() -> Tokenizer {
    Tokenizer::load(&repository("assets/countdown-base"), 850).unwrap()
}

/// A sentencepiece vocabulary, whose decoder drops the blank in front of a text.
fn with_byte_fallback() -> (tempfile::TempDir, Tokenizer) {
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
        "post_processor": null,
        "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}],
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "byte_fallback": true, "merges": [],
            "vocab": {"<s>": 0, "\u{2581}a": 1, "b": 2, "<0xC3>": 3, "<0xA9>": 4}},
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    let tokenizer = Tokenizer::load(folder.path(), 5).unwrap();
    (folder, tokenizer)
}

/// For every place in the text the least number of tokens whose text reaches it.
fn check_against_beginnings(tokenizer: &Tokenizer, ids: &[i64]) {
    let text = tokenizer.decode(ids);
    let ends = tokenizer.token_ends(ids);
    let beginnings: Vec<String> = (0..=ids.len()).map(|n| tokenizer.decode(&ids[..n])).collect();
    for end in (0..=text.len()).filter(|&end| text.is_char_boundary(end)) {
        let expected = beginnings.iter().position(|beginning| beginning.starts_with(&text[..end])).unwrap();
        assert_eq!(ends.token_index_at(end), expected, "byte {end} of {text:?}, {ids:?}");
    }
    assert_eq!(ends.token_index_at(text.len() + 1), ids.len());
}

#[test]
fn the_token_that_completes_a_character_is_found() {
    let golden = Tokenizer::load(&repository("tests/golden/models/qwen2_tied"), 128).unwrap();
    check_against_beginnings(&golden, &golden.encode("see the eaten seed = 7\n").unwrap());
    for text in [
        "",
        " <think> Let me see.\n15 + 7 = 22, too small.",
        "a\u{e4}\u{1f600}\u{20ac}b \u{202e}\u{4e8c}",
        "</answer>\n\n",
    ] {
        let mut ids = base().encode(text).unwrap();
        check_against_beginnings(&base(), &ids);
        // The end token has no text.
        ids.extend([0, 0]);
        check_against_beginnings(&base(), &ids);
        assert_eq!(base().token_ends(&ids).token_index_at(text.len()), ids.len() - 2);
    }
    let euro = base().encode("\u{20ac}").unwrap();
    assert_eq!(euro.len(), 3, "a token for each byte");
    let ends = base().token_ends(&euro);
    assert_eq!([0, 1, 2, 3, 4].map(|byte_end| ends.token_index_at(byte_end)), [0, 3, 3, 3, 3]);
}

/// By the decoder itself: it turns the characters of 256 bytes into a text of these bytes.
#[test]
fn every_byte_has_its_character() {
    let characters: Vec<(char, u8)> =
        (0..0x200).filter_map(char::from_u32).filter_map(|c| Some((c, super::byte_of(c)?))).collect();
    assert_eq!(characters.iter().map(|(_, byte)| byte).collect::<std::collections::BTreeSet<_>>().len(), 256);
    for (c, byte) in characters {
        // Behind the first byte of a character where it is another, so that it makes valid text.
        let (first, bytes) = if byte < 0x80 { (None, vec![byte]) } else { (Some('\u{c3}'), vec![0xc3, byte]) };
        let Ok(expected) = String::from_utf8(bytes) else { continue };
        let token: String = first.into_iter().chain([c]).collect();
        let decoded = tokenizers::Decoder::decode(base().inner.get_decoder().unwrap(), vec![token]);
        assert_eq!(decoded.unwrap(), expected);
    }
}

/// Bytes that are no UTF-8 are one U+FFFD for each longest beginning of a character.
#[test]
fn replaced_bytes_belong_to_their_last_token() {
    let tokenizer = base();
    let [e2, x82, xac] = tokenizer.encode("\u{20ac}").unwrap()[..] else { panic!("a token for each byte") };
    let a = tokenizer.encode("A").unwrap()[0];
    let check = |ids: &[i64], text: &str, ends: &[usize]| {
        assert_eq!(tokenizer.decode(ids), text);
        assert_eq!(tokenizer.token_ends(ids).ends, ends, "{text:?}");
    };
    check(&[e2, x82, a], "\u{fffd}A", &[0, 3, 4]);
    check(&[a, e2, x82], "A\u{fffd}", &[1, 1, 4]);
    check(&[x82, xac, a, e2], "\u{fffd}\u{fffd}A\u{fffd}", &[3, 6, 7, 10]);
    check(&[e2, e2, x82, xac, 0], "\u{fffd}\u{20ac}", &[3, 3, 3, 6, 6]);
    check(&[e2, 0, x82, 9_999, xac, -1], "\u{20ac}", &[0, 0, 0, 0, 3, 3]);
}

#[test]
fn decoders_of_other_kinds_are_asked() {
    let (_folder, tokenizer) = with_byte_fallback();
    for ids in [&[1, 1, 2, 3, 4, 1, 0][..], &[3, 4, 3, 4], &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4, 1], &[0], &[]] {
        check_against_beginnings(&tokenizer, ids);
    }
    // Two thousand bytes that are no character: ends do not go beyond the text, and what follows has its end.
    let ids: Vec<i64> = std::iter::repeat_n(4, 2000).chain([1]).collect();
    let (text, ends) = (tokenizer.decode(&ids), tokenizer.token_ends(&ids));
    assert_eq!((ends.ends.last(), ends.token_index_at(text.len())), (Some(&text.len()), ids.len()));
    assert!(ends.ends.is_sorted());
}

proptest! {
    /// Whatever tokens a policy draws, U+FFFD apart, whose beginnings look like it.
    #[test]
    fn ends_are_those_of_beginnings(ids in proptest::collection::vec(0_i64..860, 0..40)) {
        let tokenizer = base();
        let (text, ends) = (tokenizer.decode(&ids), tokenizer.token_ends(&ids));
        prop_assert_eq!(ends.ends.len(), ids.len());
        prop_assert!(ends.ends.is_sorted());
        prop_assert_eq!(ends.ends.last().copied().unwrap_or(0), text.len());
        if !text.contains('\u{fffd}') {
            check_against_beginnings(&tokenizer, &ids);
        }
    }
}
