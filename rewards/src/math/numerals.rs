//! Reads numbers: grouped digits, decimals, repeating decimals, scientific notation, and numerals with a base.

use num_bigint::BigInt;
use num_rational::BigRational;

use super::lex::{Lexer, Unread};
use super::token::{Decimal, Token};

/// Most digits of a number.
const MAX_DIGITS: usize = 2048;
/// Largest exponent of scientific notation.
const MAX_POWER_OF_TEN: u32 = 2048;

/// Reads the number that starts with a digit or a point.
pub(super) fn number(lexer: &mut Lexer<'_>) -> Result<(), Unread> {
    let mut digits = whole_digits(lexer);
    let n_whole = digits.len();
    let mut fraction_start = None;
    if lexer.rest().starts_with('.') {
        let after = &lexer.rest()[1..];
        let n_fraction = after.bytes().take_while(u8::is_ascii_digit).count();
        if n_fraction == 0 && n_whole == 0 {
            return Err(Unread);
        }
        let repeats = n_fraction == 0 && repeating_group(after).is_some();
        // `5.` at the end of a sentence or before a space is the whole number.
        if n_fraction == 0 && !repeats && !after.is_empty() && !after.starts_with([' ', '$', '}', ')', '\\']) {
            return Err(Unread);
        }
        fraction_start = (n_fraction > 0 || repeats).then_some(digits.len());
        digits.push_str(&after[..n_fraction]);
        lexer.at += 1 + n_fraction;
    }
    if digits.len() > MAX_DIGITS {
        return Err(Unread);
    }
    let n_fraction = fraction_start.map_or(0, |start| digits.len() - start);
    let mut value = scaled(&digits, -(n_fraction as i32))?;
    let mut decimal = fraction_start.map(|_| Decimal {
        significant: digits.trim_start_matches('0').len() as u32,
        last_place: -(n_fraction as i32),
    });
    if fraction_start.is_some() {
        if let Some((repeated, length)) = repeating_group(lexer.rest()) {
            let nines = BigInt::from(10).pow(repeated.len() as u32) - 1;
            let tail: BigInt = repeated.parse().map_err(|_| Unread)?;
            value += BigRational::new(tail, nines * BigInt::from(10).pow(n_fraction as u32));
            decimal = None;
            lexer.at += length;
        } else if let Some(length) = dots(lexer.rest()) {
            value = continued(&digits, n_fraction, &value);
            lexer.at += length;
            decimal = None;
        }
    }
    if let Some((power, length)) = scientific(lexer.rest()) {
        value *= scaled("1", power)?;
        let last_place = decimal.map_or(0, |decimal| decimal.last_place) + power;
        let significant = digits.trim_start_matches('0').len() as u32;
        decimal = (fraction_start.is_some() || power < 0).then_some(Decimal { significant, last_place });
        lexer.at += length;
    }
    if lexer.rest().starts_with('.') && lexer.rest().len() > 1 && lexer.rest().as_bytes()[1].is_ascii_digit() {
        return Err(Unread);
    }
    lexer.tokens.push(Token::Number(value, decimal));
    Ok(())
}

/// The digits before the point; `1,234`, `1{,}234`, `1\,234` and `1,\!234` are one number.
fn whole_digits(lexer: &mut Lexer<'_>) -> String {
    let count = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let n_first = count(lexer.rest());
    let mut digits = lexer.rest()[..n_first].to_owned();
    lexer.at += n_first;
    // In brackets a comma without a space separates, unless other commas there have one.
    let comma_groups = lexer.depth == 0 || lexer.source.contains(", ");
    while (1..=3).contains(&n_first) {
        let rest = lexer.rest();
        let separators = ["{,}", "{, }", ",\\! ", ",\\!", "\\!", "\\,", "\u{2009}", "\u{202f}", ","];
        let Some(separator) = separators.into_iter().find(|separator| rest.starts_with(separator)) else { break };
        if separator == "," && !comma_groups {
            break;
        }
        let group = &rest[separator.len()..];
        if count(group) != 3 {
            break;
        }
        digits.push_str(&group[..3]);
        lexer.at += separator.len() + 3;
    }
    digits
}

/// `digits * 10^power`.
fn scaled(digits: &str, power: i32) -> Result<BigRational, Unread> {
    if power.unsigned_abs() > MAX_POWER_OF_TEN {
        return Err(Unread);
    }
    let whole: BigInt = if digits.is_empty() { BigInt::ZERO } else { digits.parse().map_err(|_| Unread)? };
    if power == 0 {
        return Ok(BigRational::from_integer(whole));
    }
    let scale = BigInt::from(10).pow(power.unsigned_abs());
    Ok(if power > 0 { BigRational::from_integer(whole * scale) } else { BigRational::new(whole, scale) })
}

/// `\overline{3}`, `\bar3` and `\dot{3}` behind a decimal point: the repeated digits, and how much they take up.
fn repeating_group(rest: &str) -> Option<(&str, usize)> {
    let command = ["\\overline", "\\bar", "\\dot"].into_iter().find(|command| rest.starts_with(command))?;
    let after = &rest[command.len()..];
    if let Some(inner) = after.trim_start().strip_prefix('{') {
        let end = inner.find('}')?;
        let digits = inner[..end].trim();
        let length = rest.len() - inner.len() + end + 1;
        let sensible = !digits.is_empty() && digits.len() <= 64 && digits.bytes().all(|b| b.is_ascii_digit());
        return sensible.then_some((digits, length));
    }
    let trimmed = after.trim_start();
    let digit = trimmed.get(..1).filter(|digit| digit.as_bytes()[0].is_ascii_digit())?;
    Some((digit, rest.len() - trimmed.len() + 1))
}

/// `...` in any spelling: how much it takes up.
fn dots(rest: &str) -> Option<usize> {
    ["...", "…", "\\ldots", "\\dots", "\\cdots"].into_iter().find(|dots| rest.starts_with(dots)).map(str::len)
}

/// `0.333...` and `0.1666...`: the last digit goes on where it has been written three times. Otherwise the digits are all
/// that is known, and they are taken as they stand.
fn continued(digits: &str, n_fraction: usize, value: &BigRational) -> BigRational {
    let bytes = digits.as_bytes();
    let Some(&last) = bytes.last() else { return value.clone() };
    let run = bytes.iter().rev().take_while(|&&digit| digit == last).count();
    if run < 3 || n_fraction < 3 {
        return value.clone();
    }
    let ninth = BigRational::new(BigInt::from(last - b'0'), BigInt::from(9) * BigInt::from(10).pow(n_fraction as u32));
    value + ninth
}

/// `e-5` or `E+5` directly behind digits.
fn scientific(rest: &str) -> Option<(i32, usize)> {
    let after = rest.strip_prefix(['e', 'E'])?;
    let digits = after.trim_start_matches(['+', '-']);
    let signs = after.len() - digits.len();
    let n_digits = digits.bytes().take_while(u8::is_ascii_digit).count();
    if signs > 1 || n_digits == 0 || n_digits > 4 {
        return None;
    }
    let power: i32 = digits[..n_digits].parse().ok()?;
    let power = if after.starts_with('-') { -power } else { power };
    Some((power, 1 + signs + n_digits))
}

/// A numeral with its base, if that is all `source` holds: `1011_2`, `(2A)_{16}`, `1011_{\text{two}}`, `1011 (base 2)`.
pub(super) fn with_base(source: &str) -> Option<(String, u32)> {
    let source = source.trim();
    let (numeral, base) = if let Some((numeral, base)) = source.split_once('_') {
        (numeral, base)
    } else {
        let at = source.find("base")?;
        let numeral = source[..at].trim_end();
        (numeral.strip_suffix(" in").unwrap_or(numeral), &source[at..])
    };
    // Only wrappings are taken off: `\frac{1}{\log_3 2}` is no numeral.
    let strip = |text: &str| -> String {
        let plain = text.replace("\\text", "").replace("\\mathrm", "").replace("\\left", "").replace("\\right", "");
        plain.trim_matches([' ', '(', ')', '{', '}', ',']).replace([' ', ',', '{', '}'], "")
    };
    let base = strip(base);
    let base = match base.trim_start_matches("base").trim_start_matches('-') {
        "two" => 2,
        "three" => 3,
        "four" => 4,
        "five" => 5,
        "six" => 6,
        "seven" => 7,
        "eight" => 8,
        "nine" => 9,
        "ten" => 10,
        "twelve" => 12,
        "sixteen" => 16,
        digits => digits.parse().ok().filter(|base| (2..=36).contains(base) && digits.len() <= 2)?,
    };
    let numeral = strip(numeral).to_ascii_uppercase();
    let digits = numeral.strip_prefix('-').unwrap_or(&numeral);
    let valid =
        (1..=256).contains(&digits.len()) && digits.chars().all(|c| c.is_digit(base) && !c.is_ascii_lowercase());
    // `x_2` is a symbol, not a numeral of one letter.
    (valid && digits.bytes().any(|b| b.is_ascii_digit())).then_some((numeral, base))
}

/// The value of a numeral that [`with_base`] has accepted.
pub(super) fn value_in_base(numeral: &str, base: u32) -> Option<BigRational> {
    BigInt::parse_bytes(numeral.as_bytes(), base).map(BigRational::from_integer)
}

/// Whether `text` is the numeral `gold` without its base, as in `2E` or `\text{2E}`.
pub(super) fn is_numeral(gold: &str, text: &str) -> bool {
    let plain = text.replace("\\text", "").replace("\\mathrm", "").replace([' ', '{', '}', '$', ','], "");
    plain.trim_end_matches('.').eq_ignore_ascii_case(gold)
}
