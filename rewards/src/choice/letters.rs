//! Finds the letters of choices in a short text.

/// Longest text in which letters are looked for, in bytes; a choice says itself shorter.
const MAX_BYTES: usize = 4096;

/// What a text commits itself to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Committed {
    To(char),
    Several,
    No,
}

/// The letters that are choices: A to the last one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letters {
    last: char,
}

/// A letter in a text that stands for a choice.
#[derive(Debug, Clone, Copy)]
struct Mark {
    letter: char,
    /// Its place, in characters.
    at: usize,
    /// Whether it has a bracket at its side: `(B)`, `B)`, `[B]`.
    bracketed: bool,
    /// Whether it is set off from what follows: bracketed, or with a full stop or a colon behind it.
    set_off: bool,
}

/// Words that may stand between joined letters.
const JOINING: [&str; 8] = ["or", "and", "nor", "both", "either", "option", "choice", "answer"];

/// Words that may stand between a cue and its letter, or before a letter at the start of a line.
const FILLERS: [&str; 15] = [
    "option",
    "choice",
    "letter",
    "answer",
    "the",
    "is",
    "are",
    "clearly",
    "definitely",
    "therefore",
    "thus",
    "indeed",
    "probably",
    "correct",
    "final",
];

/// What may follow the letters A and I where they are choices, although it is a word in lower case.
const AFTER_CHOICE: [&str; 14] =
    ["or", "and", "nor", "is", "are", "was", "because", "since", "as", "but", "if", "not", "due", "fits"];

impl Letters {
    /// The first `n` letters.
    pub(super) fn first(n: usize) -> Self {
        Self { last: ('A'..='Z').nth(n - 1).expect("at most 26 choices") }
    }

    pub(super) fn last(self) -> char {
        self.last
    }

    /// The letter, of either case, that `text` is: alone, in brackets or with a stop behind it.
    pub(super) fn bare(self, text: &str) -> Option<char> {
        let around = |c: char| c.is_whitespace() || "()[]{}.:,;*$\"'`".contains(c);
        let mut chars = text.trim_matches(around).chars();
        let letter = chars.next()?.to_ascii_uppercase();
        (chars.next().is_none() && ('A'..=self.last).contains(&letter)).then_some(letter)
    }

    /// What a text commits itself to that is an answer as a whole: every letter counts, except inside the text of a choice
    /// that its letter introduces.
    pub(super) fn whole(self, text: &str) -> Committed {
        if text.len() > MAX_BYTES {
            return Committed::No;
        }
        let chars = plain(text);
        if let Some(letter) = self.bare(&chars.iter().collect::<String>()) {
            return Committed::To(letter);
        }
        let marks = self.marks(&chars);
        let Some((first, rest)) = marks.split_first() else { return Committed::No };
        let introduced = first.set_off && words(&chars[..first.at]).next().is_none();
        let n_joined = joined(&chars, &marks);
        let counted = rest.iter().enumerate().filter(|(i, mark)| !introduced || mark.bracketed || i + 1 < n_joined);
        one_of(*first, counted.map(|(_, mark)| *mark))
    }

    /// What `text`, which follows a cue, commits itself to: its first letter, with those joined to it.
    pub(super) fn after_cue(self, text: &str) -> Committed {
        let chars = plain(text);
        let lower = self.bare(&chars.iter().collect::<String>());
        let marks = self.marks(&chars);
        let Some(first) = marks.first() else { return lower.map_or(Committed::No, Committed::To) };
        let before: Vec<String> = words(&chars[..first.at]).collect();
        let denied = before.iter().any(|word| ["not", "neither", "cannot", "never", "no"].contains(&word.as_str()));
        if denied || !(first.bracketed || before.iter().all(|word| FILLERS.contains(&word.as_str()))) {
            return Committed::No;
        }
        let n_joined = joined(&chars, &marks);
        one_of(*first, marks[1..n_joined].iter().copied())
    }

    /// What a line commits itself to: the letter at its beginning, if it is alone there or set off from what follows.
    pub(super) fn at_line_start(self, text: &str) -> Committed {
        if text.len() > MAX_BYTES {
            return Committed::No;
        }
        let chars = plain(text);
        if let Some(letter) = self.bare(&chars.iter().collect::<String>()) {
            return Committed::To(letter);
        }
        let marks = self.marks(&chars);
        let Some(first) = marks.first() else { return Committed::No };
        let n_joined = joined(&chars, &marks);
        let alone = words(&chars[marks[n_joined - 1].at + 1..]).next().is_none();
        let begins = words(&chars[..first.at]).all(|word| FILLERS.contains(&word.as_str()));
        if !begins || !(first.set_off || alone) {
            return Committed::No;
        }
        one_of(*first, marks[1..n_joined].iter().copied())
    }

    /// Every letter of `chars` that stands for a choice.
    fn marks(self, chars: &[char]) -> Vec<Mark> {
        let is_word = |c: char| c.is_alphanumeric() || c == '\'' || c == '’' || c == '_';
        let at = |i: usize| chars.get(i).copied();
        let mark = |(i, &letter): (usize, &char)| {
            let before = i.checked_sub(1).and_then(at);
            let after = at(i + 1);
            let free = !before.is_some_and(is_word) && !after.is_some_and(is_word);
            // `A-level`, `B+`, `C#`, `E = mc`: parts of something longer.
            let part = match after {
                Some('-' | '‐') => at(i + 2).is_some_and(char::is_alphanumeric),
                Some('+' | '#' | '=' | '^') => true,
                _ => before == Some('-') && i >= 2 && at(i - 2).is_some_and(char::is_alphanumeric),
            };
            if !('A'..=self.last).contains(&letter) || !free || part || is_article(chars, i) {
                return None;
            }
            let bracketed = matches!(before, Some('(' | '[')) || matches!(after, Some(')' | ']'));
            Some(Mark { letter, at: i, bracketed, set_off: bracketed || matches!(after, Some('.' | ':' | ',')) })
        };
        chars.iter().enumerate().filter_map(mark).collect()
    }
}

/// Whether the letter at `i` is the article `A` or the pronoun `I`: a word in lower case follows that no choice is followed by.
fn is_article(chars: &[char], i: usize) -> bool {
    let follows = chars[i + 1..].first().is_some_and(|c| c.is_whitespace());
    let rest: Vec<char> = chars[i + 1..].iter().copied().skip_while(|c| c.is_whitespace()).take(24).collect();
    let lower = rest.first().is_some_and(|c| c.is_lowercase());
    let next = words(&rest).next();
    matches!(chars[i], 'A' | 'I') && follows && lower && !next.is_some_and(|word| AFTER_CHOICE.contains(&word.as_str()))
}

/// The text without markup: emphasis, mathematics and commands such as `\text` become blanks.
fn plain(text: &str) -> Vec<char> {
    let mut chars = Vec::with_capacity(text.len());
    let mut in_command = false;
    for c in text.chars() {
        in_command = c == '\\' || (in_command && c.is_ascii_alphabetic());
        chars.push(if in_command || "*_$`{}\"".contains(c) { ' ' } else { c });
    }
    chars
}

/// The words of `chars`, in lower case.
fn words(chars: &[char]) -> impl Iterator<Item = String> + '_ {
    let pieces = chars.split(|c| !c.is_alphanumeric()).filter(|piece| !piece.is_empty());
    pieces.map(|piece| piece.iter().flat_map(|c| c.to_lowercase()).collect())
}

/// How many of `marks`, from the first on, are joined to one another: nothing but joining words and punctuation between them.
fn joined(chars: &[char], marks: &[Mark]) -> usize {
    let is_joint =
        |pair: &&[Mark]| words(&chars[pair[0].at + 1..pair[1].at]).all(|word| JOINING.contains(&word.as_str()));
    marks.len().min(1 + marks.windows(2).take_while(is_joint).count())
}

/// The choice if all marks name the same.
fn one_of(first: Mark, mut rest: impl Iterator<Item = Mark>) -> Committed {
    if rest.all(|mark| mark.letter == first.letter) { Committed::To(first.letter) } else { Committed::Several }
}
