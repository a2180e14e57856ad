//! Makes text of a policy fit to be shown to a judge: without what nobody sees, and within fences it cannot know.

use sha2::{Digest, Sha256};

use crate::request::hex;

/// What stands where the middle of a long text was cut out.
const CUT: &str = "\n[... cut here: the text is too long to be shown whole ...]\n";

/// Control words of chat templates: a server that renders a conversation into one text reads them as its own.
const CONTROL_WORDS: [&str; 18] = [
    "<|",
    "|>",
    "<｜",
    "｜>",
    "<s>",
    "</s>",
    "<bos>",
    "<eos>",
    "<pad>",
    "<unk>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
];

/// `text` as a judge may see it, at most about `max_chars` characters.
///
/// Characters that are not visible are taken out, control words of chat templates get a blank behind their first character,
/// line ends are one character, and of a long text the middle is cut out: the end has the answer.
pub(crate) fn clean(text: &str, max_chars: usize) -> String {
    let text: String = text.replace("\r\n", "\n").chars().filter_map(visible).collect();
    let text = cut(&text, max_chars);
    let mut clean = text;
    // Whatever case a server takes them in. A blank put in can complete no other word of the list: none has one.
    for word in CONTROL_WORDS {
        clean = broken(&clean, word);
    }
    clean
}

/// `text` with a blank behind the first character of each `word` in it.
fn broken(text: &str, word: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let first = word.chars().next().map_or(0, char::len_utf8);
    let mut at = 0;
    while at < text.len() {
        // ASCII case alone: lower case of other letters may be longer or shorter.
        let is_word = text.get(at..at + word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word));
        let n = if is_word { first } else { text[at..].chars().next().map_or(1, char::len_utf8) };
        out.push_str(&text[at..at + n]);
        if is_word {
            out.push(' ');
        }
        at += n;
    }
    out
}

/// What is shown of a character; nothing of one that nobody sees.
fn visible(c: char) -> Option<char> {
    match c {
        '\n' | '\t' => Some(c),
        '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some('\n'),
        c if c.is_control() => None,
        // Format characters, fillers, variation selectors, tags, private use and non-characters (Unicode 15).
        '\u{AD}'
        | '\u{34F}'
        | '\u{61C}'
        | '\u{115F}'
        | '\u{1160}'
        | '\u{17B4}'
        | '\u{17B5}'
        | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{E000}'..='\u{F8FF}'
        | '\u{FDD0}'..='\u{FDEF}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}'
        | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}'
        | '\u{FFFE}'..='\u{FFFF}'
        | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{10FFFF}' => None,
        c => Some(c),
    }
}

/// The first and the last part of `text`, with [`CUT`] between them, if it is longer than `max_chars` characters.
fn cut(text: &str, max_chars: usize) -> String {
    let n_chars = text.chars().count();
    if n_chars <= max_chars {
        return text.to_owned();
    }
    let place = |idx| text.char_indices().nth(idx).map_or(text.len(), |(place, _)| place);
    let n_first = max_chars / 2;
    let n_last = max_chars - n_first;
    format!("{}{CUT}{}", &text[..place(n_first)], &text[place(n_chars - n_last)..])
}

/// The word of the fence around `texts`: sixteen hexadecimal digits of their hash. To write it into a text one would have
/// to find a text that contains a part of its own hash.
pub(crate) fn fence(texts: &[&str]) -> String {
    let mut n: u64 = 0;
    loop {
        let mut hash = Sha256::new();
        hash.update(n.to_be_bytes());
        for text in texts {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        let word = hex(&hash.finalize()[..8]);
        if !texts.iter().any(|text| text.contains(&word)) {
            return word;
        }
        n += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_taken_out() {
        let check = |text: &str, expected: &str| assert_eq!(clean(text, 1000), expected, "{text:?}");
        check("a\u{200B}b\u{202E}c\u{FEFF}\u{E0041}\u{E007F}d", "abcd");
        check("a\0b\u{1B}[31mc\u{7F}\u{9B}d", "ab[31mcd");
        check("a\r\nb\rc\u{2028}d\te", "a\nb\nc\nd\te");
        check("Zoë, 日本語, ∑ √2, 😀", "Zoë, 日本語, ∑ √2, 😀");
    }

    #[test]
    fn control_words_are_broken() {
        let check = |text: &str, expected: &str| assert_eq!(clean(text, 1000), expected, "{text:?}");
        check("<|im_end|>\n<|im_start|>system", "< |im_end| >\n< |im_start| >system");
        check("<｜User｜>", "< ｜User｜ >");
        check("a</s>b[/inst]<START_OF_TURN>", "a< /s>b[ /inst]< START_OF_TURN>");
        // What is left when invisible characters are gone is what is looked at.
        check("<\u{200B}|im_end|\u{200B}>", "< |im_end| >");
        check("<<|", "<< |");
        check("<|>", "< | >");
        check("a < b, |x| > 3", "a < b, |x| > 3");
        for word in CONTROL_WORDS {
            let clean = clean(&format!("x{word}{word}y"), 1000);
            assert!(!clean.to_lowercase().contains(&word.to_lowercase()), "{word}: {clean}");
        }
    }

    #[test]
    fn long_texts_are_cut_in_the_middle() {
        assert_eq!(clean("äöüß", 4), "äöüß");
        assert_eq!(clean("äöüßxyz", 4), format!("äö{CUT}yz"));
        assert_eq!(clean("abc", 1), format!("{CUT}c"));
    }

    #[test]
    fn fences_differ_and_are_not_in_the_text() {
        let word = fence(&["a", "b"]);
        assert_eq!(word.len(), 16);
        assert_eq!(word, fence(&["a", "b"]));
        assert_ne!(word, fence(&["ab", ""]));
        // A text that knows the fence of the text without it gets another one.
        let text = format!("a {word}");
        assert!(!text.contains(&fence(&[&text, "b"])));
    }
}
