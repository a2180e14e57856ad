//! What the filters count in a text: words, n-grams, paragraphs, loops.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use unicode_script::{Script, UnicodeScript};

/// Letters counted as one word where words have no blanks between them, as the language reward counts them.
const CHINESE_PER_WORD: usize = 2;
const SOUTH_EAST_ASIAN_PER_WORD: usize = 4;

/// Most words of a phrase that is looked for as a loop.
const MAX_PHRASE: usize = 64;

/// A phrase without a letter is a loop only from this many different words on: `2, 2, 2` may be a list, and `----` is a rule.
const MIN_DIFFERENT: usize = 4;

/// Letters for one word, in scripts that put no blanks between words.
fn letters_per_word(script: Script) -> Option<usize> {
    match script {
        Script::Han | Script::Hiragana | Script::Katakana => Some(CHINESE_PER_WORD),
        Script::Thai | Script::Lao | Script::Khmer | Script::Myanmar | Script::Tibetan => {
            Some(SOUTH_EAST_ASIAN_PER_WORD)
        }
        _ => None,
    }
}

/// `text` in lower case with one blank for each run of white space: what makes two texts the same.
pub(super) fn normalised(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What happens to signs that are neither letters nor digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symbols {
    /// They separate words.
    Separate,
    /// Each is a word: `3 + 5` is not `3 - 5`.
    Keep,
}

/// The words of `text` in lower case: runs of letters and digits. Where a script puts no blanks between words, each letter
/// is a word, so that an n-gram is n letters there.
pub(super) fn words(text: &str, symbols: Symbols) -> Vec<String> {
    let lower = text.to_lowercase();
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in lower.char_indices() {
        let script = c.script();
        let alone = letters_per_word(script).is_some() && c.is_alphanumeric();
        // Accents are no letters, but belong to the one before them.
        let extends = c.is_alphanumeric() || (script == Script::Inherited && start.is_some());
        if extends && !alone {
            start.get_or_insert(at);
            continue;
        }
        if let Some(start) = start.take() {
            words.push(lower[start..at].to_owned());
        }
        if alone || (symbols == Symbols::Keep && !c.is_whitespace()) {
            words.push(c.to_string());
        }
    }
    if let Some(start) = start {
        words.push(lower[start..].to_owned());
    }
    words
}

/// The hash by which n-grams are compared. Two different ones share it with a probability of 2^-64.
pub(super) fn ngram_hash(ngram: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    ngram.hash(&mut hasher);
    hasher.finish()
}

/// The n-grams of `words`, by hash; of a text shorter than one n-gram, the whole of it.
pub(super) fn ngram_set(words: &[String], size: usize) -> HashSet<u64> {
    if words.len() < size {
        return HashSet::from([ngram_hash(words)]);
    }
    words.windows(size).map(ngram_hash).collect()
}

/// `1 - different n-grams / n-grams`, in [0, 1); 0 for a text shorter than one n-gram.
pub(super) fn repeated_share(words: &[String], size: usize) -> f64 {
    let n_ngrams = (words.len() + 1).saturating_sub(size);
    if n_ngrams == 0 {
        return 0.0;
    }
    1.0 - ngram_set(words, size).len() as f64 / n_ngrams as f64
}

/// |A n B| / |A u B|.
pub(super) fn jaccard(a: &HashSet<u64>, b: &HashSet<u64>) -> f64 {
    let shared = a.intersection(b).count();
    let all = a.len() + b.len() - shared;
    if all == 0 { 1.0 } else { shared as f64 / all as f64 }
}

/// Something said several times in direct succession.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loop {
    /// How often, the first time included.
    pub(super) n_times: usize,
    /// What.
    pub(super) phrase: String,
}

/// The longest loop of `text` by its number of times: of a line, or of a phrase of up to 64 words. Signs count as words.
pub(super) fn longest_loop(text: &str) -> Option<Loop> {
    let loops = [loop_of_lines(text), loop_of_phrases(&words(text, Symbols::Keep))];
    loops.into_iter().flatten().reduce(|best, other| if other.n_times > best.n_times { other } else { best })
}

fn loop_of_lines(text: &str) -> Option<Loop> {
    let lines: Vec<String> =
        text.lines().map(normalised).filter(|line| line.chars().any(char::is_alphanumeric)).collect();
    let runs = lines.chunk_by(|a, b| a == b);
    let longest = runs.max_by_key(|run| run.len()).filter(|run| run.len() > 1)?;
    Some(Loop { n_times: longest.len(), phrase: longest[0].clone() })
}

/// For each length of a phrase one pass: how long each word has been the one a phrase's length before it.
fn loop_of_phrases(words: &[String]) -> Option<Loop> {
    let mut best: Option<Loop> = None;
    for length in 1..=MAX_PHRASE.min(words.len() / 2) {
        let mut n_same = 0;
        for end in length..words.len() {
            n_same = if words[end] == words[end - length] { n_same + 1 } else { 0 };
            let n_times = n_same / length + 1;
            if n_same % length != 0 || n_times <= best.as_ref().map_or(1, |best| best.n_times) {
                continue;
            }
            let phrase = &words[end + 1 - length..=end];
            if says_something(phrase) {
                best = Some(Loop { n_times, phrase: phrase.join(" ") });
            }
        }
    }
    best
}

fn says_something(phrase: &[String]) -> bool {
    let has_letter = phrase.iter().any(|word| word.chars().any(char::is_alphabetic));
    has_letter || phrase.iter().collect::<HashSet<_>>().len() >= MIN_DIFFERENT
}

/// What a paragraph measures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Measure {
    /// Words: runs without white space, and where a script puts no blanks between words, 2 letters of Chinese or Japanese
    /// and 4 of Thai, Lao, Khmer, Burmese or Tibetan for one.
    pub(super) n_words: usize,
    /// Characters that are not white space.
    pub(super) n_letters: usize,
}

/// Of all paragraphs, the most words and the most letters. A blank line ends a paragraph.
pub(super) fn longest_paragraph(text: &str) -> Measure {
    let (mut longest, mut paragraph) = (Measure::default(), Measure::default());
    for line in text.lines() {
        if line.trim().is_empty() {
            paragraph = Measure::default();
            continue;
        }
        paragraph.n_words += line.split_whitespace().map(n_words).sum::<usize>();
        paragraph.n_letters += line.chars().filter(|c| !c.is_whitespace()).count();
        longest.n_words = longest.n_words.max(paragraph.n_words);
        longest.n_letters = longest.n_letters.max(paragraph.n_letters);
    }
    longest
}

/// Words of a piece without white space.
fn n_words(piece: &str) -> usize {
    let chars: Vec<Option<usize>> = piece.chars().map(|c| letters_per_word(c.script())).collect();
    let run = |run: &[Option<usize>]| run[0].map_or(1, |per_word| run.len().div_ceil(per_word));
    chars.chunk_by(|a, b| a == b).map(run).sum()
}

/// Whether `text` has a fenced block of code.
pub(super) fn has_code_block(text: &str) -> bool {
    text.contains("```") || text.lines().any(|line| line.trim_start().starts_with("~~~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_single_letters_of_scripts_without_blanks() {
        let check = |text: &str, symbols: Symbols, expected: &[&str]| {
            assert_eq!(words(text, symbols), expected, "{text:?}");
        };
        check("The cat's 2nd hat.", Symbols::Separate, &["the", "cat", "s", "2nd", "hat"]);
        check("3+5 = 8!", Symbols::Separate, &["3", "5", "8"]);
        check("3+5 = 8!", Symbols::Keep, &["3", "+", "5", "=", "8", "!"]);
        check("求x的值", Symbols::Separate, &["求", "x", "的", "值"]);
        check("Привет, мир", Symbols::Separate, &["привет", "мир"]);
        check("cafe\u{301} au", Symbols::Separate, &["cafe\u{301}", "au"]);
        check(" \n", Symbols::Keep, &[]);
    }

    #[test]
    fn the_share_of_repeated_ngrams() {
        let check = |text: &str, size: usize, expected: f64| {
            let share = repeated_share(&words(text, Symbols::Separate), size);
            assert!((share - expected).abs() < 1e-12, "{text:?}: {share}");
        };
        check("a b c d", 2, 0.0);
        check("a b a b a", 2, 0.5);
        check("a a a a a", 1, 0.8);
        check("a b", 3, 0.0);
        check("", 1, 0.0);
    }

    #[test]
    fn overlap_of_ngrams() {
        let set = |text: &str| ngram_set(&words(text, Symbols::Keep), 2);
        assert_eq!(jaccard(&set("a b c"), &set("a b c")), 1.0);
        assert_eq!(jaccard(&set("a b c"), &set("a b d")), 1.0 / 3.0);
        assert_eq!(jaccard(&set("a"), &set("b")), 0.0);
    }

    #[test]
    fn loops_are_found() {
        let check = |text: &str, expected: Option<(usize, &str)>| {
            let found = longest_loop(text);
            assert_eq!(found.as_ref().map(|found| (found.n_times, found.phrase.as_str())), expected, "{text:?}");
        };
        check("", None);
        check("one two three", None);
        check("wait wait wait, no", Some((3, "wait")));
        check("let me see let me see let me see", Some((3, "let me see")));
        check("a b c a b c a b", Some((2, "a b c")));
        check("So 1 + 2 = 3.\nSo 1 + 2 = 3.\n\nSo  1 + 2 = 3.\n", Some((3, "so 1 + 2 = 3.")));
        // A list of equal numbers or a rule of dashes is no loop, an equation said again and again is.
        check("2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2", None);
        check("--------------------", None);
        check("1 + 2 = 3, 1 + 2 = 3, 1 + 2 = 3,", Some((3, "1 + 2 = 3 ,")));
        check("他说他说他说", Some((3, "他 说")));
        let line: Vec<String> = (0..2 * MAX_PHRASE).map(|n| format!("w{n}")).collect();
        let line = line.join(" ");
        check(&format!("{line}\n\n{line}\n"), Some((2, &line)));
    }

    #[test]
    fn paragraphs_are_measured() {
        let check = |text: &str, n_words: usize, n_letters: usize| {
            assert_eq!(longest_paragraph(text), Measure { n_words, n_letters }, "{text:?}");
        };
        check("", 0, 0);
        check("one two\nthree\n\nfour", 3, 11);
        check("a b c\n \t\nlongletters", 3, 11);
        check("我们来看 x", 3, 5);
        check("我们来看这", 3, 5);
        check("ไทยไท", 2, 5);
    }

    #[test]
    fn fences_are_code() {
        for (text, expected) in [
            ("```python\nx\n```", true),
            ("so ```x```", true),
            ("  ~~~\nx\n~~~", true),
            ("`x` and a ~~~ b", false),
            ("", false),
        ] {
            assert_eq!(has_code_block(text), expected, "{text:?}");
        }
    }
}
