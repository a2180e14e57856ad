//! Reads gold answers as data sets store them.

use std::borrow::Cow;

use super::boxes::boxes;
use super::clean;
use super::collect::read;
use super::extract::joined;
use super::float::Budget;
use super::interval;
use super::value::{Scalar, Value};
use crate::tags::last_answer;

/// A gold answer, read once for all completions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GoldAnswer {
    /// The answer itself, without the rationale around it.
    pub(super) text: String,
    pub(super) kind: GoldKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum GoldKind {
    Value(Value),
    /// An option of a multiple-choice question, and what stands behind its letter.
    Choice(char, Option<Value>),
    /// Words.
    Text,
    /// Neither words nor mathematics that is understood.
    Unreadable,
}

impl GoldAnswer {
    /// Reads `source`: bare or delimited LaTeX, a boxed answer, a GSM8K rationale that ends in `#### 42`, a solution that
    /// ends in a box, words, or an option.
    pub(super) fn read(source: &str, budget: &Budget) -> Self {
        let text = statement(source).trim().to_owned();
        let kind = match option(&text) {
            // A small letter is a symbol unless it stands in brackets.
            Some((letter, rest)) if letter.is_ascii_uppercase() || text.contains('(') => {
                GoldKind::Choice(letter.to_ascii_uppercase(), read(rest, budget).ok())
            }
            _ if is_name(&text) || is_clock(&text) => GoldKind::Text,
            _ => match read(&text, budget) {
                Ok(value) => GoldKind::Value(solved(as_quantity(value, &text), &text)),
                Err(_) if clean::is_words(&text) => GoldKind::Text,
                Err(_) => GoldKind::Unreadable,
            },
        };
        Self { text, kind }
    }
}

/// An interval that `text` names an unknown for, `x \in [1, 2]`, which inequalities of that unknown answer as well.
fn solved(value: Value, text: &str) -> Value {
    let names = text.contains("\\in ") || text.contains("\\in[") || text.contains("\\in(") || text.contains('∈');
    match interval::spans(&value) {
        Some(spans) if names && matches!(value, Value::Tuple(..)) => Value::Spans(spans, true),
        _ => value,
    }
}

/// Whether `text` is a Roman numeral or a short name, which would otherwise read as a product of symbols in any order.
fn is_name(text: &str) -> bool {
    let text = clean::undelimited(text);
    let roman = text.bytes().all(|b| b"IVX".contains(&b));
    let name = text.starts_with(|c: char| c.is_ascii_uppercase()) && text[1..].bytes().all(|b| b.is_ascii_lowercase());
    text.len() > 1 && (roman || name)
}

/// Whether `text` is a time of day rather than a ratio: `7:30`, `12:05`. Ratios are stored in lowest terms.
fn is_clock(text: &str) -> bool {
    let text = clean::undelimited(text);
    let Some((hours, minutes)) = text.split_once(':') else { return false };
    let number = |part: &str, most: u32| {
        let digits = !part.is_empty() && part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse().ok().filter(|&number: &u32| digits && number <= most)
    };
    let (Some(hour), Some(minute)) = (number(hours, 24), number(minutes, 59)) else { return false };
    let common = (2..=minute.max(1)).any(|d| hour % d == 0 && minute % d == 0);
    minutes.len() == 2 && (minutes.starts_with('0') || common)
}

/// `value` as a quantity where `text` sets a unit of one letter off from its number: `4 m`, `3 h`, `5 m/s`, but not `4m`.
fn as_quantity(value: Value, text: &str) -> Value {
    let text = clean::undelimited(text).replace("\\,", " ").replace(['~', '\\'], " ");
    let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b"+-.,/".contains(&b));
    let letters = |unit: &str| {
        let power = unit.strip_suffix("^2").or_else(|| unit.strip_suffix("^3")).unwrap_or(unit);
        power.split('/').all(|letter| letter.len() == 1) && (power == unit || power.contains('/') || power == "m")
    };
    let set_off = text.trim().split_once(' ').is_some_and(|(left, right)| number(left) && letters(right.trim()));
    match value {
        Value::Scalar(Scalar { measured: Some(quantity), .. }) if set_off => Value::Scalar(*quantity),
        value => value,
    }
}

/// The part of a stored solution that states its answer.
fn statement(source: &str) -> Cow<'_, str> {
    if let Some(at) = source.rfind("####") {
        return Cow::Borrowed(&source[at + 4..]);
    }
    let boxes = boxes(source);
    if !boxes.is_empty() {
        return joined(source, &boxes);
    }
    Cow::Borrowed(last_answer(source).unwrap_or(source))
}

/// The one option that `text` names, as its letter, and what stands behind it: `B`, `(B)`, `B. 12`,
/// `\textbf{(B)}\ 12`, `option B`. `None` where it names none or several.
pub(super) fn option(text: &str) -> Option<(char, &str)> {
    let mut rest = text.trim().trim_matches(['$', '*', '"', '\'', '`', ' ']);
    rest = rest.strip_suffix(['.', ',']).unwrap_or(rest);
    for lead in ["option ", "Option ", "choice ", "Choice ", "answer ", "Answer: ", "the answer is ", "The answer is "]
    {
        rest = rest.strip_prefix(lead).unwrap_or(rest);
    }
    let mut depth = 0;
    for _ in 0..4 {
        for wrap in ["\\textbf{", "\\text{", "\\mathrm{", "\\mathbf{", "\\textrm{", "\\textit{", "\\mbox{", "{"] {
            if let Some(inner) = rest.strip_prefix(wrap) {
                rest = inner.trim_start_matches([' ', '*']);
                depth += 1;
            }
        }
    }
    // `(\text{C})`
    for wrap in ["(\\text{", "(\\textbf{", "(\\mathrm{", "(\\mathbf{"] {
        if let Some(inner) = rest.strip_prefix(wrap)
            && let Some(letter) = inner.chars().next().filter(|&letter| is_letter(letter))
            && let Some(behind) = inner[1..].strip_prefix("})")
        {
            let plain = behind.replace("\\text", "").replace(['{', '}'], " ");
            let behind = behind.trim_matches([' ', '~', '\\', '*', '$', ':', '.', '}']);
            return (!names_another(&plain)).then_some((letter, behind));
        }
    }
    let (paren, inner) = match rest.strip_prefix('(') {
        Some(inner) => (true, inner.trim_start()),
        None => (false, rest),
    };
    let letter = inner.chars().next().filter(char::is_ascii_alphabetic)?;
    let mut behind = inner[1..].trim_start_matches('*');
    let closed = behind.trim_start().strip_prefix([')', ']']);
    let marked = behind.strip_prefix(['.', ':']).filter(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
    if paren || closed.is_some() {
        behind = closed?;
    } else if let Some(rest) = marked {
        behind = rest;
    } else if !behind.trim_matches(['}', ' ', '*', '$']).is_empty() {
        return None;
    }
    for _ in 0..depth {
        behind = behind.trim_start().strip_prefix('}').unwrap_or(behind);
    }
    let behind = behind.trim_matches([' ', '~', '\\', '*', '$', ':', '.']).trim_matches(['}', '{']);
    (is_letter(letter) && !names_another(behind)).then_some((letter, behind))
}

fn is_letter(letter: char) -> bool {
    ('A'..='H').contains(&letter.to_ascii_uppercase())
}

/// The option that a sentence states, if it names one only and neither hedges nor denies: "the correct choice is (D)".
pub(super) fn stated_option(sentence: &str) -> Option<char> {
    const DOUBTS: [&str; 16] = [
        "not",
        "or",
        "either",
        "neither",
        "nor",
        "isn't",
        "and",
        "wrong",
        "incorrect",
        "false",
        "eliminate",
        "but",
        "though",
        "although",
        "maybe",
        "perhaps",
    ];
    let raw: Vec<&str> = sentence.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).collect();
    let words: Vec<&str> =
        raw.iter().map(|word| word.trim_matches(['(', ')', '.', ':', ',', '*', '$', '"', '\''])).collect();
    if words.iter().any(|word| DOUBTS.contains(&word.to_lowercase().as_str())) {
        return None;
    }
    let single = |word: &str| word.len() == 1 && word.chars().all(|c| ('A'..='H').contains(&c));
    // "A" may be an article.
    let named = |i: usize| {
        let introduced = i > 0 && matches!(words[i - 1].to_lowercase().as_str(), "option" | "choice" | "answer" | "is");
        let follows = words.get(i + 1).is_some_and(|next| next.starts_with(char::is_lowercase));
        single(words[i]) && (words[i] != "A" || !follows || raw[i].len() > 1 || introduced)
    };
    let mut options = (0..words.len()).filter(|&i| named(i)).map(|i| words[i]);
    let option = options.next()?.chars().next();
    if options.next().is_none() { option } else { None }
}

/// Whether further options are named in `text`: "(B)", "or C".
fn names_another(text: &str) -> bool {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || ",;/&".contains(c)).filter(|word| !word.is_empty()).collect();
    let separates = text.trim_start().starts_with([',', ';', '/', '&']);
    words.iter().enumerate().any(|(i, word)| {
        let bare = word.trim_matches(['(', ')', '.', ':', '*', '$', '{', '}']);
        let single = bare.len() == 1 && ('A'..='H').contains(&bare.chars().next().unwrap_or(' '));
        let joins = matches!(bare.to_lowercase().as_str(), "or" | "and");
        (single && (word.starts_with('(') || separates || i > 0 && matches!(words[i - 1], "or" | "and")))
            || (joins && i == 0)
    })
}
