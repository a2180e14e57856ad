//! Cuts an answer in LaTeX or plain text into tokens. What it does not know makes the whole answer unreadable.

use num_rational::BigRational;

use super::commands;
use super::numerals;
use super::token::{Bracket, Relation, Token};
use super::words;

/// Longest answer that is read as mathematics, in bytes.
pub(super) const MAX_BYTES: usize = 4096;
/// Most tokens of an answer.
const MAX_TOKENS: usize = 2048;
/// Deepest `\text` inside `\text`.
const MAX_TEXT_DEPTH: usize = 4;

/// The answer is not mathematics that is understood here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unread;

/// The tokens of `source`, from which delimiters (`$`, `\(`) have been taken off.
pub(super) fn lex(source: &str) -> Result<Vec<Token>, Unread> {
    if source.len() > MAX_BYTES {
        return Err(Unread);
    }
    let mut lexer = Lexer { source, at: 0, tokens: Vec::with_capacity(16), depth: 0, text_depth: 0 };
    lexer.run()?;
    Ok(lexer.tokens)
}

pub(super) struct Lexer<'a> {
    pub(super) source: &'a str,
    pub(super) at: usize,
    pub(super) tokens: Vec<Token>,
    /// Open brackets around the current place, in which a comma separates before it groups digits.
    pub(super) depth: usize,
    pub(super) text_depth: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn run(&mut self) -> Result<(), Unread> {
        while let Some(first) = self.rest().chars().next() {
            if self.tokens.len() >= MAX_TOKENS {
                return Err(Unread);
            }
            match first {
                '\\' => commands::command(self)?,
                // The full stop of an abbreviation: "12 in."
                '.' if self.text_depth > 0 && !self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                    self.at += 1;
                }
                '0'..='9' | '.' => numerals::number(self)?,
                'a'..='z' | 'A'..='Z' => self.letters()?,
                _ => self.sign(first)?,
            }
        }
        Ok(())
    }

    pub(super) fn push(&mut self, token: Token, length: usize) {
        self.tokens.push(token);
        self.at += length;
    }

    pub(super) fn skip_spaces(&mut self) {
        self.at = self.source.len() - self.rest().trim_start().len();
    }

    /// Reads an opening bracket; `Ok`, as every reader of one sign.
    pub(super) fn open(&mut self, bracket: Bracket, length: usize) -> Result<(), Unread> {
        self.depth += usize::from(bracket != Bracket::Group);
        self.push(Token::Open(bracket), length);
        Ok(())
    }

    pub(super) fn close(&mut self, bracket: Bracket, length: usize) -> Result<(), Unread> {
        self.depth = self.depth.saturating_sub(usize::from(bracket != Bracket::Group));
        self.push(Token::Close(bracket), length);
        Ok(())
    }

    /// The content of the `{...}` that starts here, with the lexer behind it. Escaped braces do not count.
    pub(super) fn group(&mut self) -> Result<&'a str, Unread> {
        self.skip_spaces();
        let rest = self.rest();
        let inner = rest.strip_prefix('{').ok_or(Unread)?;
        let (mut depth, mut escaped) = (0_usize, false);
        for (at, byte) in inner.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'{' => depth += 1,
                b'}' if depth == 0 => {
                    self.at += at + 2;
                    return Ok(&inner[..at]);
                }
                b'}' => depth -= 1,
                _ => {}
            }
        }
        Err(Unread)
    }

    /// Reads `content` as running text: letters make words, everything else is as usual.
    pub(super) fn text(&mut self, content: &str) -> Result<(), Unread> {
        if self.text_depth >= MAX_TEXT_DEPTH {
            return Err(Unread);
        }
        let mut inner = Lexer {
            source: content,
            at: 0,
            tokens: std::mem::take(&mut self.tokens),
            depth: self.depth,
            text_depth: self.text_depth + 1,
        };
        let result = inner.run();
        self.tokens = inner.tokens;
        self.depth = inner.depth;
        result
    }

    fn letters(&mut self) -> Result<(), Unread> {
        let rest = self.rest();
        let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let run = &rest[..length];
        let leads = self.tokens.is_empty() && matches!(run, "USD" | "EUR" | "GBP" | "JPY" | "INR" | "Rs");
        if let Some(name) = words::unit(run).filter(|_| leads) {
            self.push(Token::Currency(name), length);
            return Ok(());
        }
        // `6.02 x 10^23`
        let behind = rest[length..].trim_start();
        if run == "x"
            && matches!(self.tokens.last(), Some(Token::Number(..)))
            && (behind.starts_with("10^") || behind.starts_with("10**"))
        {
            self.push(Token::Times, length);
            return Ok(());
        }
        if self.text_depth > 0 {
            return self.text_word(run);
        }
        if length == 1 {
            return self.symbol(run, length);
        }
        if let Some(token) = known_word(run) {
            self.push(token, length);
            return Ok(());
        }
        let after_number = matches!(
            self.tokens.last(),
            Some(Token::Number(..) | Token::Vulgar(_) | Token::Close(_) | Token::Slash | Token::Word(_))
        );
        // `mg` and `ms` are as often products of two symbols.
        let spaced = self.source[..self.at].ends_with([' ', '~']);
        let product = matches!(run, "mg" | "ms")
            && !(spaced && matches!(self.tokens[..], [Token::Number(..)] | [Token::Minus, Token::Number(..)]));
        if (after_number && !product && (words::unit(run).is_some() || matches!(run, "sq" | "cu" | "pct")))
            || words::is_short_word(run)
        {
            self.push(Token::Word(run.to_owned()), length);
            return Ok(());
        }
        // `sinx`, `2pir` and the like: a known name, then symbols.
        let named = ["arcsin", "arccos", "arctan", "sin", "cos", "tan", "sec", "csc", "cot", "ln", "log", "pi", "sqrt"];
        let prefix = named.into_iter().find(|name| run.starts_with(name) && length <= name.len() + 2);
        if let Some((name, token)) = prefix.and_then(|name| Some((name, known_word(name)?))) {
            self.push(token, name.len());
            return Ok(());
        }
        if length >= 4 {
            self.push(Token::Word(run.to_owned()), length);
            return Ok(());
        }
        self.symbol(&run[..1], 1)
    }

    fn text_word(&mut self, run: &str) -> Result<(), Unread> {
        let token = match run {
            "and" => Token::And,
            "or" => Token::Or,
            "infinity" => Token::Infinity,
            _ => Token::Word(run.to_owned()),
        };
        self.push(token, run.len());
        Ok(())
    }

    /// The symbol `name`, with the subscript and the primes that follow it; `length` is what `name` takes up.
    pub(super) fn symbol(&mut self, name: &str, length: usize) -> Result<(), Unread> {
        self.at += length;
        let subscript = self.subscript()?;
        let mut full = name.to_owned();
        if let Some(subscript) = subscript {
            full.push('_');
            full.push_str(&subscript);
        }
        while self.rest().starts_with('\'') {
            full.push('\'');
            self.at += 1;
        }
        let token = match full.as_str() {
            "e" => Token::Euler,
            "i" => Token::Imaginary,
            _ => Token::Symbol(full),
        };
        self.tokens.push(token);
        Ok(())
    }

    /// The subscript that starts here, if one does, without braces and spaces.
    fn subscript(&mut self) -> Result<Option<String>, Unread> {
        let Some(rest) = self.rest().strip_prefix('_') else {
            return Ok(None);
        };
        self.at += 1;
        let content = if rest.starts_with('{') {
            self.group()?
        } else {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let length = if digits > 0 { digits } else { rest.chars().next().map_or(0, char::len_utf8) };
            self.at += length;
            &rest[..length]
        };
        let plain: String = content.replace("\\text", "").chars().filter(|c| !" {}".contains(*c)).collect();
        if plain.is_empty() || !plain.chars().all(|c| c.is_ascii_alphanumeric() || ",+-".contains(c)) {
            return Err(Unread);
        }
        Ok(Some(plain))
    }

    fn sign(&mut self, first: char) -> Result<(), Unread> {
        let length = first.len_utf8();
        let rest = self.rest();
        let long = |text: &str| rest.starts_with(text);
        let (token, length) = match first {
            ' ' | '\t' | '\r' | '\n' | '~' | '\u{a0}' | '\u{2009}' | '\u{202f}' | '\u{3000}' => {
                self.at += length;
                return Ok(());
            }
            '(' | '（' => return self.open(Bracket::Paren, length),
            ')' | '）' => return self.close(Bracket::Paren, length),
            '[' => return self.open(Bracket::Square, length),
            ']' => return self.close(Bracket::Square, length),
            '{' => return self.open(Bracket::Group, length),
            '}' => return self.close(Bracket::Group, length),
            '⟨' => return self.open(Bracket::Angle, length),
            '⟩' => return self.close(Bracket::Angle, length),
            '+' if long("+/-") => (Token::PlusMinus(false), 3),
            '+' => (Token::Plus, length),
            '-' | '−' | '–' => (Token::Minus, length),
            '±' => (Token::PlusMinus(false), length),
            '∓' => (Token::PlusMinus(true), length),
            '*' if long("**") => (Token::Caret, 2),
            '*' | '·' | '×' | '⋅' | '∙' => (Token::Times, length),
            '/' | '÷' | '∕' => (Token::Slash, length),
            '^' => return self.caret(),
            '_' => (Token::Underscore, length),
            '!' if long("!=") => (Token::Relation(Relation::NotEqual), 2),
            '!' => (Token::Bang, length),
            '%' => (Token::Percent, length),
            '°' | '˚' | 'º' => (Token::Degree, length),
            '|' => (Token::Bar, length),
            ',' | '，' | '、' => (Token::Comma, length),
            ';' | '；' => (Token::Semicolon, length),
            ':' | '：' => (Token::Colon, length),
            '=' if long("==") => (Token::Relation(Relation::Equal), 2),
            '=' => (Token::Relation(Relation::Equal), length),
            '<' if long("<=") => (Token::Relation(Relation::LessEqual), 2),
            '>' if long(">=") => (Token::Relation(Relation::GreaterEqual), 2),
            '<' => (Token::Relation(Relation::Less), length),
            '>' => (Token::Relation(Relation::Greater), length),
            '≤' | '⩽' => (Token::Relation(Relation::LessEqual), length),
            '≥' | '⩾' => (Token::Relation(Relation::GreaterEqual), length),
            '≠' => (Token::Relation(Relation::NotEqual), length),
            '≈' => (Token::Relation(Relation::Approximate), length),
            '≡' => (Token::Equiv, length),
            '∈' => (Token::In, length),
            '∪' => (Token::Cup, length),
            '∩' => (Token::Cap, length),
            '∖' => (Token::Setminus, length),
            '∅' => (Token::EmptySet, length),
            '∞' => (Token::Infinity, length),
            'ℝ' => (Token::Reals, length),
            'π' | '𝜋' => (Token::Pi, length),
            '√' => (Token::Root(None), length),
            '∛' => (Token::Root(Some(3)), length),
            '∜' => (Token::Root(Some(4)), length),
            '&' => (Token::Ampersand, length),
            '$' | '€' | '£' | '¥' | '₹' | '¢' => {
                let name = words::unit(&rest[..length]).ok_or(Unread)?;
                (Token::Currency(name), length)
            }
            'Ω' | '\u{2126}' => return self.symbol("Omega", length),
            'θ' | 'α' | 'β' | 'γ' | 'δ' | 'λ' | 'μ' | 'φ' | 'ω' | 'σ' | 'τ' | 'ρ' | 'ε' => {
                let name = greek_letter(first).ok_or(Unread)?;
                return self.symbol(name, length);
            }
            _ => return self.raised_or_vulgar(first, length),
        };
        self.push(token, length);
        Ok(())
    }

    /// `^`, or `^\circ`, which is a degree sign.
    fn caret(&mut self) -> Result<(), Unread> {
        let rest = &self.rest()[1..];
        for degree in ["\\circ", "{\\circ}", "{\\degree}", "\\degree", "{ \\circ }", "{\\circ }", "°", "{°}", "∘"] {
            if rest.starts_with(degree) {
                self.push(Token::Degree, 1 + degree.len());
                return Ok(());
            }
        }
        self.push(Token::Caret, 1);
        Ok(())
    }

    /// `²` and `½`.
    fn raised_or_vulgar(&mut self, first: char, length: usize) -> Result<(), Unread> {
        const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
        let vulgar = match first {
            '½' => (1, 2),
            '⅓' => (1, 3),
            '⅔' => (2, 3),
            '¼' => (1, 4),
            '¾' => (3, 4),
            '⅕' => (1, 5),
            '⅖' => (2, 5),
            '⅗' => (3, 5),
            '⅘' => (4, 5),
            '⅙' => (1, 6),
            '⅚' => (5, 6),
            '⅛' => (1, 8),
            '⅜' => (3, 8),
            '⅝' => (5, 8),
            '⅞' => (7, 8),
            _ => (0, 0),
        };
        if vulgar.0 > 0 {
            self.push(Token::Vulgar(BigRational::new(vulgar.0.into(), vulgar.1.into())), length);
            return Ok(());
        }
        let negative = first == '⁻';
        let mut digits = String::new();
        let mut taken = if negative { length } else { 0 };
        for c in self.rest()[taken..].chars() {
            let Some(digit) = RAISED.iter().position(|&raised| raised == c) else { break };
            digits.push_str(&digit.to_string());
            taken += c.len_utf8();
        }
        let value: i64 = digits.parse().map_err(|_| Unread)?;
        self.push(Token::Caret, taken);
        self.tokens.push(Token::Open(Bracket::Group));
        let value = if negative { -value } else { value };
        self.tokens.push(Token::Number(BigRational::from_integer(value.into()), None));
        self.tokens.push(Token::Close(Bracket::Group));
        Ok(())
    }
}

fn greek_letter(letter: char) -> Option<&'static str> {
    words::greek(match letter {
        'θ' => "theta",
        'α' => "alpha",
        'β' => "beta",
        'γ' => "gamma",
        'δ' => "delta",
        'λ' => "lambda",
        'μ' => "mu",
        'φ' => "phi",
        'ω' => "omega",
        'σ' => "sigma",
        'τ' => "tau",
        'ρ' => "rho",
        _ => "epsilon",
    })
}

/// What a run of letters means in plain text.
fn known_word(run: &str) -> Option<Token> {
    Some(match run {
        "sqrt" => Token::Root(None),
        "cbrt" => Token::Root(Some(3)),
        "pi" | "Pi" => Token::Pi,
        "infinity" | "inf" | "oo" | "Infinity" => Token::Infinity,
        "log" => Token::Log,
        "and" => Token::And,
        "or" => Token::Or,
        "union" => Token::Cup,
        _ => match (words::function(run), words::greek(run)) {
            (Some(function), _) => Token::Function(function),
            (None, Some(greek)) if run.len() > 2 => Token::Symbol(greek.to_owned()),
            _ => return None,
        },
    })
}
