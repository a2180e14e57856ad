//! Reads one value with its sign of currency, percent, degree or its unit.

use num_bigint::BigInt;
use num_rational::BigRational;

use super::exact;
use super::expr::Expr;
use super::lex::Unread;
use super::parse::expression;
use super::token::{Bracket, Decimal, Token};
use super::value::Scalar;
use super::words;

/// Most words of a unit.
const MAX_UNIT_WORDS: usize = 4;

/// The value that `tokens` are.
pub(super) fn scalar(tokens: &[Token]) -> Result<Scalar, Unread> {
    if let [Token::Word(about), rest @ ..] = tokens
        && matches!(about.as_str(), "about" | "approximately" | "roughly" | "around")
    {
        return scalar(rest);
    }
    if let Some(result) = with_currency(tokens) {
        return result;
    }
    let is_percent = |token: &Token| match token {
        Token::Word(word) => matches!(word.as_str(), "percent" | "pct" | "percentage"),
        token => *token == Token::Percent,
    };
    // "18 times", as often as something is done, and "25 per cent".
    let word = |token: &Token, word: &str| matches!(token, Token::Word(other) if other == word);
    match tokens {
        [inner @ .., Token::Number(..), last] if word(last, "times") => return scalar(&tokens[..inner.len() + 1]),
        [inner @ .., per, cent] if word(per, "per") && word(cent, "cent") && !inner.is_empty() => {
            return scalar(&[inner, &[Token::Percent]].concat());
        }
        _ => {}
    }
    if let [inner @ .., last] = tokens
        && is_percent(last)
        && !inner.is_empty()
    {
        let inner = scalar(inner)?;
        return if inner.unit.is_none() && !inner.percent {
            Ok(Scalar { percent: true, measured: None, ..inner })
        } else {
            Err(Unread)
        };
    }
    let has_function = tokens.iter().any(|token| matches!(token, Token::Function(_)));
    if let [inner @ .., Token::Degree] = tokens
        && !has_function
    {
        return with_unit(number(inner)?, "degree".to_owned());
    }
    if let Some(at) = tokens.iter().position(|token| matches!(token, Token::Degree))
        && !has_function
        && at > 0
    {
        return with_unit(number(&tokens[..at])?, unit(&tokens[at..])?);
    }
    if let Some(fraction) = unit_fraction(tokens) {
        return fraction;
    }
    let Some(at) = tokens.iter().position(|token| matches!(token, Token::Word(_))).filter(|&at| at > 0) else {
        let value = number(tokens)?;
        let measured = measured(tokens).map(Box::new);
        return Ok(Scalar { measured, ..value });
    };
    let (value, mut words) = tokens.split_at(at);
    if let [Token::Word(of), whole @ ..] = words
        && of == "of"
        && !whole.is_empty()
        && whole.iter().all(|token| matches!(token, Token::Word(word) if is_whole(word)))
    {
        return number(value);
    }
    if let [Token::Word(word), rest @ ..] = words
        && let Some(power) = words::scale(word)
    {
        words = rest;
        let scaled = scaled(number(value)?, power);
        return if words.is_empty() { Ok(scaled) } else { with_unit(scaled, unit(words)?) };
    }
    // `5 / hour`
    let value = if let [value @ .., Token::Slash] = value {
        return with_unit(number(value)?, format!("/{}", unit(words)?));
    } else {
        value
    };
    with_unit(number(value)?, unit(words)?)
}

fn with_unit(value: Scalar, unit: String) -> Result<Scalar, Unread> {
    Ok(Scalar { unit: Some(unit), ..value })
}

/// Whether `word` may say what a value is a part of: "of the cake".
fn is_whole(word: &str) -> bool {
    matches!(word, "the" | "a" | "an" | "it" | "this" | "that") || !words::ends_a_value(word)
}

/// `$5`, `-$5`, `5€`, `US$ 5`.
fn with_currency(tokens: &[Token]) -> Option<Result<Scalar, Unread>> {
    let at = tokens.iter().position(|token| matches!(token, Token::Currency(_)))?;
    let Token::Currency(name) = tokens[at] else { return None };
    let sign_only = |tokens: &[Token]| matches!(tokens, [] | [Token::Minus | Token::Plus]);
    let rest = if at + 1 == tokens.len() {
        tokens[..at].to_vec()
    } else if sign_only(&tokens[..at]) {
        [&tokens[..at], &tokens[at + 1..]].concat()
    } else {
        return Some(Err(Unread));
    };
    Some(scalar(&rest).and_then(|value| match value.unit.as_deref() {
        // "$5 dollars" says it twice; "$5 per hour" adds to it.
        None => with_unit(Scalar { measured: None, ..value }, name.to_owned()),
        Some(unit) if unit == name => Ok(value),
        Some(unit) if unit.starts_with('/') => {
            let unit = format!("{name}{unit}");
            with_unit(value, unit)
        }
        Some(_) => Err(Unread),
    }))
}

/// An expression without a unit.
fn number(tokens: &[Token]) -> Result<Scalar, Unread> {
    Ok(Scalar { decimal: decimal(tokens), ..Scalar::plain(expression(tokens)?) })
}

/// How `tokens` are written as a decimal, if all they are is one: `-1.50`, `3.0 \times 10^8`.
fn decimal(tokens: &[Token]) -> Option<Decimal> {
    let tokens = match tokens {
        [Token::Minus | Token::Plus, rest @ ..] => rest,
        all => all,
    };
    let (mantissa, written, exponent) = match tokens {
        [Token::Number(_, decimal)] => return *decimal,
        [Token::Number(value, decimal), Token::Times, Token::Number(ten, None), Token::Caret, exponent @ ..]
            if exact::small(ten) == Some(10) =>
        {
            (value, *decimal, exponent)
        }
        _ => return None,
    };
    let exponent = match exponent {
        [Token::Open(Bracket::Group), inner @ .., Token::Close(Bracket::Group)] => inner,
        all => all,
    };
    let power = match exponent {
        [Token::Number(power, None)] => exact::small(power)?,
        [Token::Minus, Token::Number(power, None)] => -exact::small(power)?,
        _ => return None,
    };
    let power = i32::try_from(power).ok()?;
    let written = written.unwrap_or(Decimal { significant: mantissa.numer().to_string().len() as u32, last_place: 0 });
    Some(Decimal { last_place: written.last_place.checked_add(power)?, ..written })
}

/// The value times a power of ten, as "million" says.
fn scaled(value: Scalar, power: u32) -> Scalar {
    let factor = BigRational::from_integer(BigInt::from(10).pow(power));
    let decimal = value.decimal.map(|decimal| Decimal { last_place: decimal.last_place + power as i32, ..decimal });
    let expr = match value.expr {
        Expr::Number(number) => Expr::Number(number * factor),
        expr => Expr::Product(vec![expr, Expr::Number(factor)]),
    };
    Scalar { expr, decimal, ..value }
}

/// A number and `\frac{\text{m}}{\text{s}}`.
fn unit_fraction(tokens: &[Token]) -> Option<Result<Scalar, Unread>> {
    let at = tokens.iter().rposition(|token| *token == Token::Frac).filter(|&at| at > 0)?;
    let [Token::Frac, Token::Open(Bracket::Group), words @ .., Token::Close(Bracket::Group)] = &tokens[at..] else {
        return None;
    };
    let between =
        words.windows(2).position(|pair| pair == [Token::Close(Bracket::Group), Token::Open(Bracket::Group)])?;
    let (above, below) = (&words[..between], &words[between + 2..]);
    matches!((above, below), ([Token::Word(_), ..], [Token::Word(_), ..])).then(|| {
        let unit = format!("{}/{}", unit(above)?, unit(below)?);
        with_unit(number(&tokens[..at])?, unit)
    })
}

/// A number followed by letters that are all names of units: `5 m`, `3 m/s^2`.
fn measured(tokens: &[Token]) -> Option<Scalar> {
    let at = tokens.iter().position(|token| matches!(token, Token::Symbol(_)))?;
    if at == 0 {
        return None;
    }
    let unit = unit(&tokens[at..]).ok()?;
    let known = tokens[at..].iter().all(|token| match token {
        Token::Symbol(name) => words::unit(name).is_some(),
        _ => true,
    });
    let value = number(&tokens[..at]).ok()?;
    known.then_some(Scalar { unit: Some(unit), ..value })
}

/// The unit that `tokens` name, in one spelling: `m/s^2`, `cm^2`, `apple`.
fn unit(tokens: &[Token]) -> Result<String, Unread> {
    let mut unit = String::new();
    let (mut power, mut n_words) = (None, 0);
    let mut rest = tokens;
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            Token::Word(word) | Token::Symbol(word) => {
                let lower = word.to_lowercase();
                match lower.as_str() {
                    "square" | "sq" => power = Some("^2"),
                    "cubic" | "cu" => power = Some("^3"),
                    "squared" | "cubed" if unit.is_empty() => return Err(Unread),
                    "squared" => unit.push_str("^2"),
                    "cubed" => unit.push_str("^3"),
                    "per" => unit.push('/'),
                    _ => {
                        n_words += 1;
                        let inches = lower == "in" && matches!(rest, [] | [Token::Caret, ..]);
                        if n_words > MAX_UNIT_WORDS
                            || (words::ends_a_value(&lower) && !inches)
                            || words::scale(&lower).is_some()
                        {
                            return Err(Unread);
                        }
                        if !unit.is_empty() && !unit.ends_with('/') {
                            unit.push(' ');
                        }
                        unit.push_str(&one_unit(word, &lower));
                        unit.push_str(power.take().unwrap_or_default());
                    }
                }
            }
            Token::Degree => unit.push_str("degree"),
            Token::Slash => unit.push('/'),
            Token::Times => unit.push(' '),
            Token::Caret => {
                let (exponent, after) = exponent(rest)?;
                let negative = exponent.starts_with('-');
                let digits = exponent.trim_start_matches('-');
                // `m s^{-1}` is `m/s`.
                if let Some(at) = unit.rfind(' ').filter(|_| negative) {
                    unit.replace_range(at..=at, "/");
                } else if negative {
                    unit.insert(0, '/');
                }
                if digits != "1" {
                    unit.push('^');
                    unit.push_str(digits);
                }
                rest = after;
            }
            _ => return Err(Unread),
        }
    }
    if unit.is_empty() { Err(Unread) } else { Ok(unit) }
}

/// The whole exponent behind a caret, braces taken off, and what follows it.
fn exponent(tokens: &[Token]) -> Result<(String, &[Token]), Unread> {
    let (inner, after) = match tokens {
        [Token::Open(Bracket::Group), rest @ ..] => {
            let end = rest.iter().position(|token| *token == Token::Close(Bracket::Group)).ok_or(Unread)?;
            (&rest[..end], &rest[end + 1..])
        }
        [Token::Minus, _, ..] => tokens.split_at(2),
        _ => tokens.split_at_checked(1).ok_or(Unread)?,
    };
    match inner {
        [Token::Number(digits, None)] => Ok((digits.to_string(), after)),
        [Token::Minus, Token::Number(digits, None)] => Ok((format!("-{digits}"), after)),
        _ => Err(Unread),
    }
}

/// One spelling for one unit: known ones by table, others without the plural.
fn one_unit(word: &str, lower: &str) -> String {
    // Of one letter the case counts: `M` is no metre.
    if word.len() == 1 {
        return words::unit(word).unwrap_or(word).to_owned();
    }
    let known = words::unit(word).or_else(|| words::unit(lower));
    known.map_or_else(|| lower.strip_suffix('s').unwrap_or(lower).to_owned(), str::to_owned)
}

/// Whether `gold` and `answer` may be the same unit. A unit that is not written is no other unit.
pub(super) fn units_agree(gold: Option<&str>, answer: Option<&str>) -> bool {
    let (Some(gold), Some(answer)) = (gold, answer) else { return true };
    let extends = |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with(' '));
    gold == answer || extends(gold, answer) || extends(answer, gold)
}
