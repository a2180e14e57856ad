//! Reads numbers written in words: "twelve", "minus one half", "twenty-five dollars".

use super::words;

const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
/// Longest text that is looked at, in bytes.
const MAX_BYTES: usize = 100;

/// `text` with the number that it says in words written in digits, and the unit behind it; `None` where it says none, or
/// more than one.
pub(super) fn in_digits(text: &str) -> Option<String> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let plain = ["\\text{", "\\textbf{", "\\mathrm{"]
        .into_iter()
        .find_map(|command| text.strip_prefix(command)?.strip_suffix('}'))
        .unwrap_or(text);
    if !plain.chars().all(|c| c.is_ascii_alphabetic() || c == ' ' || c == '-') {
        return None;
    }
    let lower = plain.to_ascii_lowercase();
    let mut words = lower.split([' ', '-']).filter(|word| !word.is_empty()).peekable();
    let negative = words.next_if(|word| matches!(*word, "minus" | "negative")).is_some();
    let mut total = 0_u64;
    let mut part = 0_u64;
    let mut any = false;
    // The place that the last word filled: 1 for ones, 10 for tens, 100 for hundreds.
    let mut place = u64::MAX;
    while let Some(&word) = words.peek() {
        let value = position(&SMALL, word);
        let tens = position(&TENS, word).map(|tens| 10 * (tens + 2));
        let filled = match (value, tens) {
            (Some(value), _) if value < 10 => 1,
            (Some(_), _) => 10,
            (None, Some(_)) => 10,
            (None, None) => 0,
        };
        if let Some(value) = value.or(tens) {
            // "seven eight" is no number, and neither is "fifteen two".
            let follows = filled < place && !(place == 10 && !part.is_multiple_of(10)) && !(any && value == 0);
            let follows = follows && !(place == 10 && part % 100 == 10);
            follows.then_some(())?;
            part += value;
            place = filled;
        } else {
            match word {
                "hundred" if any && (1..10).contains(&part) => (part, place) = (part * 100, 100),
                "thousand" | "million" if any && (1..1000).contains(&part) => {
                    total += part * if word == "thousand" { 1000 } else { 1_000_000 };
                    (part, place) = (0, u64::MAX);
                }
                "and" if any && (place == 100 || part == 0) => {}
                _ => break,
            }
        }
        any = true;
        words.next();
    }
    any.then_some(())?;
    let sign = if negative { "-" } else { "" };
    let mut digits = format!("{sign}{}", total + part);
    if let Some(denominator) = words.peek().and_then(|word| fraction(word)) {
        words.next();
        (total + part > 0).then_some(())?;
        digits = format!("{digits}/{denominator}");
    }
    let rest: Vec<&str> = words.collect();
    match rest[..] {
        [] => Some(digits),
        ["percent"] => Some(format!("{digits}%")),
        [word] if words::unit(word).is_some() || counted(word) => Some(format!("{digits} \\text{{{word}}}")),
        _ => None,
    }
}

fn position(words: &[&str], word: &str) -> Option<u64> {
    words.iter().position(|known| *known == word).map(|at| at as u64)
}

/// The denominator that `word` names.
fn fraction(word: &str) -> Option<u64> {
    const PARTS: [&str; 9] = ["half", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
    match word {
        "halves" => Some(2),
        "quarter" | "quarters" => Some(4),
        word => position(&PARTS, word.strip_suffix('s').unwrap_or(word)).map(|at| at + 2),
    }
}

/// Whether `word` may be what is counted.
fn counted(word: &str) -> bool {
    word.len() > 2 && !words::ends_a_value(word) && words::scale(word).is_none() && word.ends_with('s')
}
