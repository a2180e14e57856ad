//! Counts the words of a text for and against a language.

use std::collections::BTreeMap;

use unicode_script::{Script, UnicodeScript};

use super::function_words::lists_with;
use super::mixture::share_of;
use super::prose::prose;
use super::target::{Target, Writing};

/// Letters that are counted as one word where words have no blanks between them; rough averages of running text.
const CHINESE_PER_WORD: usize = 2;
const SOUTH_EAST_ASIAN_PER_WORD: usize = 4;

/// Most Chinese characters of a sentence without kana that may as well be Japanese: a heading, a term.
const EITHER_CHARS: usize = 6;

/// Capitals of an acronym.
const ACRONYM: std::ops::RangeInclusive<usize> = 2..=5;

/// Words of mathematics in every language.
const NEUTRAL: [&str; 20] = [
    "arccos", "arcsin", "arctan", "cos", "cot", "csc", "det", "exp", "gcd", "lcm", "lim", "ln", "log", "max", "min",
    "mod", "sec", "sin", "tan", "sqrt",
];

/// How many words there are, and how many of them are the target's; estimates, hence not whole.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Counted {
    pub(super) target: f64,
    pub(super) all: f64,
}

impl Counted {
    /// The target's share of all words, 0 to 1; `None` if there is no word.
    pub(super) fn share(self) -> Option<f64> {
        (self.all > 0.0).then(|| (self.target / self.all).clamp(0.0, 1.0))
    }
}

/// The words of `text` counted for `target`.
pub(super) fn count(text: &str, target: &Target) -> Counted {
    let mut tally = Tally::new(target.writing);
    for piece in prose(text) {
        tally.piece(piece);
    }
    tally.end_sentence();
    tally.counted()
}

/// What has been counted so far.
struct Tally {
    writing: Writing,
    /// Words by script, without Chinese and Japanese.
    words: BTreeMap<&'static str, u64>,
    chinese: u64,
    japanese: u64,
    /// Words in Chinese characters that may be either.
    either: u64,
    /// How often words of the target's script were met, by the lists that have them.
    known: BTreeMap<u32, u64>,
    /// Scratch space for a word in lower case.
    lower: String,
    sentence: Sentence,
}

/// Words written in capitals from which on a sentence may be shouting, and no list of acronyms.
const MIN_SHOUTED: u64 = 4;

/// What the sentence being read holds: its Chinese characters and kana, and its words in capitals.
#[derive(Default)]
struct Sentence {
    n_words: u64,
    n_capital: u64,
    /// What would be acronyms: script, and lists that have the word.
    acronyms: Vec<(Script, u32)>,
    /// Whether one of them, of three letters or more, is a common word.
    says_words: bool,
    han_chars: usize,
    han_words: u64,
    kana_chars: usize,
    kana_words: u64,
}

impl Tally {
    fn new(writing: Writing) -> Self {
        Self {
            writing,
            words: BTreeMap::new(),
            chinese: 0,
            japanese: 0,
            either: 0,
            known: BTreeMap::new(),
            lower: String::new(),
            sentence: Sentence::default(),
        }
    }

    /// Counts the runs of letters of one script in `piece`.
    fn piece(&mut self, piece: &str) {
        let mut run: Option<(usize, Script)> = None;
        // A name with digits or underscores in it is code, whatever its letters.
        let mut is_name = false;
        for (at, c) in piece.char_indices() {
            let kind = kind(c);
            match (kind, run) {
                (Kind::Letter(script), Some((_, running))) if script == running => {}
                (Kind::Extends, Some(_)) => {}
                (Kind::Letter(script), running) => {
                    if let Some((start, running)) = running {
                        self.run(&piece[start..at], running, is_name);
                        is_name = false;
                    }
                    run = Some((at, script));
                }
                (_, running) => {
                    let joins = kind == Kind::OfName;
                    if let Some((start, running)) = running {
                        self.run(&piece[start..at], running, is_name || joins);
                    }
                    run = None;
                    is_name = joins;
                    if kind == Kind::EndsSentence {
                        self.end_sentence();
                    }
                }
            }
        }
        if let Some((start, script)) = run {
            self.run(&piece[start..], script, is_name);
        }
    }

    /// Counts one run of letters.
    fn run(&mut self, run: &str, script: Script, is_name: bool) {
        let n_chars = run.chars().count();
        let chinese_words = n_chars.div_ceil(CHINESE_PER_WORD) as u64;
        let n_words = match script {
            Script::Han => {
                self.sentence.han_chars += n_chars;
                self.sentence.han_words += chinese_words;
                return;
            }
            Script::Hiragana | Script::Katakana => {
                self.sentence.kana_chars += n_chars;
                self.sentence.kana_words += chinese_words;
                return;
            }
            Script::Thai | Script::Lao | Script::Khmer | Script::Myanmar | Script::Tibetan => {
                n_chars.div_ceil(SOUTH_EAST_ASIAN_PER_WORD) as u64
            }
            Script::Latin | Script::Greek if is_name || n_chars == 1 || NEUTRAL.contains(&run) => return,
            Script::Latin | Script::Greek if ACRONYM.contains(&n_chars) && is_capital(run) => {
                let lists = lists_with(run, &mut self.lower);
                self.sentence.n_words += 1;
                self.sentence.n_capital += 1;
                self.sentence.says_words |= n_chars >= 3 && lists != 0;
                self.sentence.acronyms.push((script, lists));
                return;
            }
            _ if is_name => return,
            _ => 1,
        };
        self.sentence.n_words += n_words;
        self.sentence.n_capital += u64::from(script == Script::Latin && is_capital(run));
        *self.words.entry(script.short_name()).or_default() += n_words;
        if let Writing::Script(own, Some(_)) = self.writing
            && own == script
        {
            let lists = lists_with(run, &mut self.lower);
            *self.known.entry(lists).or_default() += 1;
        }
    }

    fn end_sentence(&mut self) {
        let sentence = std::mem::take(&mut self.sentence);
        self.shouted(&sentence);
        let Sentence { han_chars, han_words, kana_chars, kana_words, .. } = sentence;
        self.japanese += kana_words;
        if kana_chars > 0 && kana_chars * 10 >= han_chars {
            self.japanese += han_words;
        } else if kana_chars == 0 && han_chars <= EITHER_CHARS {
            self.either += han_words;
        } else {
            self.chinese += han_words;
        }
    }

    /// Counts the short words of a sentence whose words are mostly capitals: there they are no acronyms.
    fn shouted(&mut self, sentence: &Sentence) {
        let n_words = sentence.n_words + sentence.han_words + sentence.kana_words;
        if !sentence.says_words || sentence.n_capital < MIN_SHOUTED || sentence.n_capital * 2 <= n_words {
            return;
        }
        for &(script, lists) in &sentence.acronyms {
            *self.words.entry(script.short_name()).or_default() += 1;
            if matches!(self.writing, Writing::Script(own, Some(_)) if own == script) {
                *self.known.entry(lists).or_default() += 1;
            }
        }
    }

    fn counted(&self) -> Counted {
        let of_script = |script: Script| self.words.get(script.short_name()).copied().unwrap_or(0) as f64;
        let (chinese, japanese, either) = (self.chinese as f64, self.japanese as f64, self.either as f64);
        let every = self.words.values().sum::<u64>() as f64 + chinese + japanese + either;
        match self.writing {
            Writing::Chinese => Counted { target: chinese + either + of_script(Script::Bopomofo), all: every },
            Writing::Japanese => Counted { target: japanese + either, all: every },
            Writing::Script(script, list) => {
                let same = of_script(script);
                match list.map(|list| share_of(list, &self.known)) {
                    Some(Some(share)) => Counted { target: same * share, all: every },
                    // Latin words of which none is known may be any language's.
                    Some(None) if script == Script::Latin => Counted { target: 0.0, all: every - same },
                    _ => Counted { target: same, all: every },
                }
            }
        }
    }
}

/// What a character does to the run that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter(Script),
    /// Belongs to whatever run it follows: accents, joiners, apostrophes, the Japanese length mark.
    Extends,
    /// Digits and underscores.
    OfName,
    EndsSentence,
    Other,
}

fn kind(c: char) -> Kind {
    match c {
        'a'..='z' | 'A'..='Z' => Kind::Letter(Script::Latin),
        '0'..='9' | '_' => Kind::OfName,
        '\'' | '’' | '\u{200c}' | '\u{200d}' => Kind::Extends,
        '\n' | '。' | '！' | '？' | '!' | '?' | '।' => Kind::EndsSentence,
        c if c.is_ascii() => Kind::Other,
        c if c.is_numeric() && c.script() != Script::Han => Kind::OfName,
        c => match c.script() {
            Script::Common if c.is_alphabetic() => Kind::Extends,
            Script::Common | Script::Unknown => Kind::Other,
            Script::Inherited => Kind::Extends,
            script => Kind::Letter(script),
        },
    }
}

fn is_capital(word: &str) -> bool {
    word.chars().all(char::is_uppercase)
}
