//! Cuts a Countdown answer into numbers, operators and parentheses.

use std::borrow::Cow;

/// A word of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Number(u64),
    Plus,
    Minus,
    Times,
    Divide,
    Open,
    Close,
}

impl Token {
    /// The token as it is written.
    pub(super) fn text(self) -> Cow<'static, str> {
        match self {
            Token::Number(number) => number.to_string().into(),
            Token::Plus => "+".into(),
            Token::Minus => "-".into(),
            Token::Times => "*".into(),
            Token::Divide => "/".into(),
            Token::Open => "(".into(),
            Token::Close => ")".into(),
        }
    }
}

/// The tokens of `answer`; ASCII white space separates them and means nothing else. `Err` says what cannot be read.
pub(super) fn lex(answer: &str) -> Result<Vec<Token>, Cow<'static, str>> {
    let mut tokens = Vec::new();
    let mut rest = answer;
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        match first {
            '0'..='9' => {
                length = rest.bytes().take_while(u8::is_ascii_digit).count();
                tokens.push(Token::Number(number(&rest[..length])?));
            }
            '*' if rest.starts_with("**") => return Err("`**` is not allowed: only + - * / ( )".into()),
            '/' if rest.starts_with("//") => return Err("`//` is not allowed: only + - * / ( )".into()),
            '+' => tokens.push(Token::Plus),
            '-' => tokens.push(Token::Minus),
            '*' => tokens.push(Token::Times),
            '/' => tokens.push(Token::Divide),
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
            '=' => return Err("contains `=`: the expression alone is the answer".into()),
            '.' => return Err("contains a decimal point: only whole numbers are allowed".into()),
            first if first.is_ascii_whitespace() => {}
            first => return Err(format!("contains {first:?}: only digits and + - * / ( ) are allowed").into()),
        }
        rest = &rest[length..];
    }
    Ok(tokens)
}

/// The value of a run of ASCII digits.
fn number(digits: &str) -> Result<u64, Cow<'static, str>> {
    if digits.len() > 1 && digits.starts_with('0') {
        return Err("writes a number with leading zeros".into());
    }
    // No problem gives a number beyond 63 bits, so nothing is lost by not reading one.
    digits.parse().map_err(|_| format!("uses a number of {} digits, which is not given", digits.len()).into())
}
