//! Numbers in English words: "twelve", "forty-two", "three hundred and five".

/// `text` with a number in words as digits, if there is one at its beginning, or one that repeats its digits in brackets.
pub(super) fn in_digits(text: &str) -> Option<String> {
    with_digits(text).or_else(|| said_once(text).map(str::to_owned))
}

/// `text` with the number in words that it begins with in digits; `None` where it begins with none.
fn with_digits(text: &str) -> Option<String> {
    let inner = text.strip_prefix("\\text{").and_then(|rest| rest.strip_suffix('}')).unwrap_or(text).trim();
    let signless = ["minus ", "negative "].into_iter().find_map(|sign| inner.strip_prefix(sign));
    let (number, rest) = leading(signless.unwrap_or(inner))?;
    let sign = if signless.is_some() { "-" } else { "" };
    if let Some(denominator) = rest.strip_prefix([' ', '-']).and_then(denominator).filter(|_| number > 0) {
        return Some(format!("{sign}{number}/{denominator}"));
    }
    let rest = rest.trim();
    // "seven eight" is no number.
    if leading_word(rest).is_some() {
        return None;
    }
    let number = format!("{sign}{number}");
    // "forty-two (42)" says it twice; "one of them" counts nothing.
    if rest == format!("({number})") || rest.is_empty() {
        return Some(number);
    }
    let separate = inner.len() > rest.len() && !rest.starts_with("of ") && !rest.starts_with('-');
    separate.then(|| format!("{number} {rest}"))
}

/// `text` without a number in words that repeats it in brackets: "18 (eighteen)".
fn said_once(text: &str) -> Option<&str> {
    let (digits, words) = text.strip_suffix(')')?.split_once(" (")?;
    let (number, rest) = leading(words)?;
    (rest.trim().is_empty() && digits == number.to_string()).then_some(digits)
}

/// The number of equal parts that `word` names: "half", "thirds".
fn denominator(word: &str) -> Option<u64> {
    const PARTS: [&str; 9] = ["half", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
    match word {
        "halves" => Some(2),
        "quarter" | "quarters" => Some(4),
        word => {
            let singular = word.strip_suffix('s').unwrap_or(word);
            PARTS.into_iter().zip(2..).find(|(name, _)| *name == singular).map(|(_, parts)| parts)
        }
    }
}

/// The number that `text` begins with in words, and what follows it.
fn leading(text: &str) -> Option<(u64, &str)> {
    let (mut whole, mut part, mut rest) = (0_u64, 0_u64, text);
    let mut last: Option<u64> = None;
    loop {
        let trimmed = if last.is_some() { rest.strip_prefix([' ', '-']).unwrap_or(rest) } else { rest };
        let length = trimmed.bytes().take_while(u8::is_ascii_alphabetic).count();
        let word = trimmed[..length].to_ascii_lowercase();
        let after = &trimmed[length..];
        let joined = after.strip_prefix(' ').filter(|_| word == "and" && matches!(last, Some(100 | 1000)));
        if let Some(joined) = joined
            && leading_word(joined).is_some_and(|value| value < 100)
        {
            rest = joined;
            continue;
        }
        match (value(&word), last) {
            (Some(value @ 0..=99), None | Some(100 | 1000)) => part += value,
            (Some(value @ 1..=9), Some(20..=90)) if last.is_some_and(|tens| tens % 10 == 0) => part += value,
            (Some(100), Some(1..=9)) if part < 100 => part *= 100,
            (Some(1000), Some(_)) if whole == 0 && part > 0 => (whole, part) = (part * 1000, 0),
            _ => break,
        }
        last = value(&word);
        rest = after;
    }
    last.map(|_| (whole + part, rest))
}

fn leading_word(text: &str) -> Option<u64> {
    let length = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    value(&text[..length].to_ascii_lowercase())
}

fn value(word: &str) -> Option<u64> {
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
    let small = SMALL.into_iter().zip(0..).find(|(name, _)| *name == word);
    let tens = || TENS.into_iter().zip(2..).find(|(name, _)| *name == word).map(|(_, tens)| tens * 10);
    let large = || match word {
        "hundred" => Some(100),
        "thousand" => Some(1000),
        _ => None,
    };
    small.map(|(_, value)| value).or_else(tens).or_else(large)
}

#[cfg(test)]
mod tests {
    use super::{said_once, with_digits};

    #[test]
    fn numbers_in_words_and_what_is_none() {
        for (text, digits) in [
            ("twelve", Some("12")),
            ("Zero", Some("0")),
            ("\\text{twelve}", Some("12")),
            ("forty-two", Some("42")),
            ("forty two (42)", Some("42")),
            ("forty-two (43)", Some("42 (43)")),
            ("three hundred and five", Some("305")),
            ("two thousand one hundred", Some("2100")),
            ("five dollars", Some("5 dollars")),
            ("ten times 6", Some("10 times 6")),
            ("two thirds", Some("2/3")),
            ("minus three", Some("-3")),
            ("seven eight", None),
            ("one of them", None),
            ("nine-point circle", None),
            ("one-half", Some("1/2")),
            ("tenth", None),
            ("hundred", None),
            ("often", None),
            ("", None),
        ] {
            assert_eq!(with_digits(text).as_deref(), digits, "{text:?}");
        }
        assert_eq!(said_once("18 (eighteen)"), Some("18"));
        assert_eq!(said_once("18 (nineteen)"), None);
    }
}
