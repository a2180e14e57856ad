//! Reads expressions: a Pratt parser over tokens, with a budget on nesting.

use num_bigint::BigInt;
use num_rational::BigRational;

use super::calls;
use super::exact;
use super::expr::{Expr, Function};
use super::lex::Unread;
use super::token::{Bracket, Token};

/// Deepest nesting of brackets, fractions, signs and exponents. The parser and everything that walks an expression recurse
/// at most a few calls for each, so that no answer reaches the end of a thread's stack.
const MAX_DEPTH: usize = 200;

/// The expression that `tokens` are, with nothing left over.
pub(super) fn expression(tokens: &[Token]) -> Result<Expr, Unread> {
    let mut parser = Parser { tokens: tokens.to_vec(), at: 0, depth: 0, bars: 0 };
    let expr = parser.over()?;
    if parser.at == parser.tokens.len() { Ok(expr) } else { Err(Unread) }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// How many `|` are open: inside, the next one closes.
    bars: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &Token) -> Result<(), Unread> {
        if self.take(token) { Ok(()) } else { Err(Unread) }
    }

    /// `read` one level deeper.
    fn deeper(&mut self, read: fn(&mut Self) -> Result<Expr, Unread>) -> Result<Expr, Unread> {
        if self.depth >= MAX_DEPTH {
            return Err(Unread);
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// What may stand in braces: a sum, or TeX's `a \over b` and `n \choose k`.
    fn over(&mut self) -> Result<Expr, Unread> {
        let first = self.deeper(Self::sum)?;
        if self.take(&Token::Over) {
            return Ok(Expr::quotient(first, self.deeper(Self::sum)?));
        }
        if self.take(&Token::Choose) {
            return Ok(Expr::Binomial(Box::new((first, self.deeper(Self::sum)?))));
        }
        Ok(first)
    }

    fn sum(&mut self) -> Result<Expr, Unread> {
        let mut terms = vec![self.product()?];
        loop {
            let sign: fn(Box<Expr>) -> Expr = match self.peek() {
                Some(Token::Plus) => |term| *term,
                Some(Token::Minus) => Expr::Negative,
                Some(Token::PlusMinus(false)) => |term| Expr::PlusMinus(false, term),
                Some(Token::PlusMinus(true)) => |term| Expr::PlusMinus(true, term),
                _ => break,
            };
            self.at += 1;
            let term = self.product()?;
            terms.push(sign(Box::new(term)));
        }
        Ok(if terms.len() == 1 { terms.remove(0) } else { Expr::Sum(terms) })
    }

    fn product(&mut self) -> Result<Expr, Unread> {
        let start = self.at;
        let mut result = self.deeper(Self::signed)?;
        // Whether only a whole number has been read: then a fraction behind it makes a mixed number.
        let mut whole = matches!(self.tokens.get(self.at.wrapping_sub(1)), Some(Token::Number(value, None))
            if exact::is_integer(value))
            && self.tokens[start..self.at - 1].iter().all(|token| matches!(token, Token::Minus | Token::Plus));
        loop {
            match self.peek() {
                Some(Token::Times) => {
                    self.at += 1;
                    let factor = self.deeper(Self::signed)?;
                    result = times(result, factor);
                }
                Some(Token::Cross) => {
                    self.at += 1;
                    let factor = self.deeper(Self::signed)?;
                    result = Expr::unknown("cross", vec![result, factor]);
                }
                // `i4`
                Some(Token::Number(..)) if self.tokens.get(self.at - 1) == Some(&Token::Imaginary) => {
                    let factor = self.deeper(Self::power)?;
                    result = times(result, factor);
                }
                Some(Token::Slash) => {
                    self.at += 1;
                    let divisor = self.deeper(Self::signed)?;
                    result = Expr::quotient(result, divisor);
                }
                Some(Token::Vulgar(_)) if whole => {
                    let fraction = self.deeper(Self::power)?;
                    result = mixed(result, fraction);
                }
                Some(Token::Number(..)) if whole => {
                    let fraction = self.fraction()?;
                    result = mixed(result, fraction);
                }
                Some(Token::Frac) if whole => {
                    let factor = self.deeper(Self::power)?;
                    result = if proper(&factor) { mixed(result, factor) } else { times(result, factor) };
                }
                _ if self.starts_factor() => {
                    let factor = self.deeper(Self::power)?;
                    result = times(result, factor);
                }
                _ => return Ok(result),
            }
            whole = false;
        }
    }

    /// `3/4` behind a whole number: two whole numbers and the slash, as nothing else may follow a number.
    fn fraction(&mut self) -> Result<Expr, Unread> {
        let [Token::Number(numerator, None), Token::Slash, Token::Number(denominator, None)] =
            self.tokens.get(self.at..self.at + 3).ok_or(Unread)?
        else {
            return Err(Unread);
        };
        let fraction = Expr::quotient(Expr::Number(numerator.clone()), Expr::Number(denominator.clone()));
        self.at += 3;
        if proper(&fraction) { Ok(fraction) } else { Err(Unread) }
    }

    /// Whether the next token may be a factor without a sign of multiplication.
    fn starts_factor(&self) -> bool {
        match self.peek() {
            Some(
                Token::Symbol(_)
                | Token::Pi
                | Token::Euler
                | Token::Imaginary
                | Token::Infinity
                | Token::Function(_)
                | Token::Log
                | Token::Root(_)
                | Token::Frac
                | Token::Binom,
            ) => true,
            Some(Token::Open(bracket)) => *bracket != Bracket::Set,
            Some(Token::Bar) => self.bars == 0,
            _ => false,
        }
    }

    fn signed(&mut self) -> Result<Expr, Unread> {
        let sign: fn(Box<Expr>) -> Expr = match self.peek() {
            Some(Token::Minus) => Expr::Negative,
            Some(Token::Plus) => |inner| *inner,
            Some(Token::PlusMinus(false)) => |inner| Expr::PlusMinus(false, inner),
            Some(Token::PlusMinus(true)) => |inner| Expr::PlusMinus(true, inner),
            _ => return self.power(),
        };
        self.at += 1;
        Ok(sign(Box::new(self.deeper(Self::signed)?)))
    }

    fn power(&mut self) -> Result<Expr, Unread> {
        let base = self.postfix()?;
        if !self.take(&Token::Caret) {
            return Ok(base);
        }
        let exponent = self.deeper(Self::signed)?;
        Ok(Expr::power(base, exponent))
    }

    fn postfix(&mut self) -> Result<Expr, Unread> {
        let mut inner = self.primary()?;
        for _ in 0..MAX_DEPTH {
            inner = match self.peek() {
                Some(Token::Bang) => Expr::Apply(Function::Factorial, Box::new(inner)),
                Some(Token::Percent) => Expr::quotient(inner, Expr::integer(100)),
                Some(Token::Degree) => times(inner, Expr::quotient(Expr::Pi, Expr::integer(180))),
                _ => return Ok(inner),
            };
            self.at += 1;
        }
        Err(Unread)
    }

    fn primary(&mut self) -> Result<Expr, Unread> {
        let token = self.peek().ok_or(Unread)?.clone();
        self.at += 1;
        Ok(match token {
            Token::Number(value, _) | Token::Vulgar(value) => Expr::Number(value),
            Token::Symbol(name) => return self.symbol(name),
            Token::Word(name) if name.len() == 1 => Expr::Symbol(name),
            Token::Pi => Expr::Pi,
            Token::Euler => Expr::Euler,
            Token::Imaginary => Expr::Imaginary,
            Token::Infinity => Expr::Infinity,
            Token::Open(bracket) => return self.bracketed(bracket),
            Token::Bar => {
                let bars = self.bars;
                self.bars = bars + 1;
                let inner = self.deeper(Self::sum);
                self.bars = bars;
                self.expect(&Token::Bar)?;
                Expr::Apply(Function::Abs, Box::new(inner?))
            }
            Token::Frac if self.is_derivative() => return self.derivative(),
            Token::Frac => Expr::quotient(self.argument()?, self.argument()?),
            Token::Binom => Expr::Binomial(Box::new((self.argument()?, self.argument()?))),
            Token::Root(degree) => return self.root(degree),
            Token::Log => return self.log(),
            Token::Function(function) => return self.call(function),
            _ => return Err(Unread),
        })
    }

    /// What follows an opening bracket, and the closing one.
    fn bracketed(&mut self, bracket: Bracket) -> Result<Expr, Unread> {
        let function = match bracket {
            Bracket::Paren | Bracket::Square | Bracket::Group | Bracket::Norm => None,
            Bracket::Floor => Some(Function::Floor),
            Bracket::Ceiling => Some(Function::Ceiling),
            Bracket::Bars => Some(Function::Abs),
            Bracket::Set | Bracket::Angle => return Err(Unread),
        };
        let bars = std::mem::take(&mut self.bars);
        let inner = self.deeper(Self::over);
        self.bars = bars;
        let inner = inner?;
        self.expect(&Token::Close(bracket))?;
        Ok(match function {
            Some(function) => Expr::Apply(function, Box::new(inner)),
            None if bracket == Bracket::Norm => Expr::unknown("norm", vec![inner]),
            None => inner,
        })
    }

    /// A symbol, or the function that it names where brackets follow.
    fn symbol(&mut self, name: String) -> Result<Expr, Unread> {
        if let Some(function) = name.strip_suffix("()") {
            let arguments = match self.peek() {
                Some(Token::Open(Bracket::Paren | Bracket::Group | Bracket::Set)) => self.arguments()?,
                _ => vec![self.function_argument()?],
            };
            let known = calls::KNOWN.contains(&function);
            return Ok(if known {
                Expr::Call(function.to_owned(), arguments)
            } else {
                Expr::unknown(function, arguments)
            });
        }
        let name = self.with_order(name);
        let simple = matches!(
            self.tokens.get(self.at + 1..self.at + 3),
            Some([Token::Symbol(_) | Token::Number(..), Token::Close(Bracket::Paren)])
        );
        if self.peek() == Some(&Token::Open(Bracket::Paren)) && calls::is_function(&name, simple) {
            return Ok(Expr::unknown(&name, self.arguments()?));
        }
        // `dy/dx`
        if let Some([Token::Symbol(y), Token::Slash, Token::Symbol(d), Token::Symbol(x)]) =
            self.tokens.get(self.at..self.at + 4)
            && name == "d"
            && d == "d"
        {
            let derivative = Expr::unknown(&format!("d1/d{x}1"), vec![Expr::Symbol(y.clone())]);
            self.at += 4;
            return Ok(derivative);
        }
        Ok(Expr::Symbol(name))
    }

    /// `f` with the exponent that stands between it and its argument: `f^{-1}(x)`, `f^2(x)`.
    fn with_order(&mut self, name: String) -> String {
        let (order, length) = match &self.tokens[self.at..] {
            [Token::Caret, Token::Number(n, None), Token::Open(Bracket::Paren), ..] => (n.to_string(), 2),
            [Token::Caret, Token::Open(Bracket::Group), inner @ ..] => match inner {
                [Token::Minus, Token::Number(n, None), Token::Close(_), Token::Open(Bracket::Paren), ..] => {
                    (format!("-{n}"), 5)
                }
                [Token::Number(n, None), Token::Close(_), Token::Open(Bracket::Paren), ..] => (n.to_string(), 4),
                [
                    Token::Open(Bracket::Paren),
                    Token::Number(n, None),
                    Token::Close(_),
                    Token::Close(_),
                    Token::Open(Bracket::Paren),
                    ..,
                ] => (format!("({n})"), 6),
                _ => return name,
            },
            _ => return name,
        };
        if !calls::is_function(&name, false) {
            return name;
        }
        self.at += length;
        format!("{name}^{order}")
    }

    /// What brackets hold, separated by commas.
    fn arguments(&mut self) -> Result<Vec<Expr>, Unread> {
        let Some(&Token::Open(bracket)) = self.peek() else { return Err(Unread) };
        self.at += 1;
        let bars = std::mem::take(&mut self.bars);
        let mut arguments = vec![self.deeper(Self::over)?];
        while self.take(&Token::Comma) || self.take(&Token::Semicolon) {
            arguments.push(self.deeper(Self::over)?);
        }
        self.bars = bars;
        self.expect(&Token::Close(bracket))?;
        Ok(arguments)
    }

    /// Whether the fraction that starts here is `\frac{d...}{dx}`.
    fn is_derivative(&self) -> bool {
        let tokens = &self.tokens[self.at..];
        let is_d = |token: &Token| matches!(token, Token::Symbol(name) if name == "d");
        let [Token::Open(Bracket::Group), first, ..] = tokens else { return false };
        let Some(end) = closing(tokens).filter(|_| is_d(first)) else { return false };
        match &tokens[end + 1..] {
            [Token::Open(Bracket::Group), d, Token::Symbol(_), Token::Close(_), ..]
            | [
                Token::Open(Bracket::Group),
                d,
                Token::Symbol(_),
                Token::Caret,
                Token::Number(..),
                Token::Close(_),
                ..,
            ] => is_d(d),
            _ => false,
        }
    }

    /// `\frac{dy}{dx}` and `\frac{d}{dx} y`, of any order: an unknown function of `y`.
    fn derivative(&mut self) -> Result<Expr, Unread> {
        let end = self.at + closing(&self.tokens[self.at..]).ok_or(Unread)?;
        let order = |tokens: &[Token]| match tokens {
            [Token::Caret, Token::Number(n, _), ..] => (n.to_string(), 2),
            _ => ("1".to_owned(), 0),
        };
        let Some(Token::Symbol(by)) = self.tokens.get(end + 3).cloned() else { return Err(Unread) };
        let (below, n_below) = order(&self.tokens[end + 4..]);
        let (above, n_above) = order(&self.tokens[self.at + 2..]);
        let behind = end + 5 + n_below;
        self.at += 2 + n_above;
        let of = if self.at == end {
            self.at = behind;
            self.deeper(Self::function_argument)?
        } else {
            let of = self.deeper(Self::over)?;
            self.expect(&Token::Close(Bracket::Group))?;
            self.at = behind;
            of
        };
        Ok(Expr::unknown(&format!("d{above}/d{by}{below}"), vec![of]))
    }

    /// An argument of a LaTeX command: a group, or the next token, of a number only its first digit.
    fn argument(&mut self) -> Result<Expr, Unread> {
        if let Some(Token::Number(value, None)) = self.peek() {
            let digits = value.numer().to_string();
            if digits.len() > 1 && exact::is_integer(value) {
                let (first, rest) = digits.split_at(1);
                let number = |digits: &str| digits.parse::<BigInt>().map_err(|_| Unread);
                let first = Expr::Number(BigRational::from_integer(number(first)?));
                self.tokens[self.at] = Token::Number(BigRational::from_integer(number(rest)?), None);
                return Ok(first);
            }
        }
        self.deeper(Self::primary)
    }

    fn root(&mut self, degree: Option<u8>) -> Result<Expr, Unread> {
        let degree = match degree {
            Some(degree) => Expr::integer(i64::from(degree)),
            None if self.take(&Token::Open(Bracket::Square)) => {
                let degree = self.deeper(Self::sum)?;
                self.expect(&Token::Close(Bracket::Square))?;
                degree
            }
            None => Expr::integer(2),
        };
        let inner = self.deeper(Self::primary)?;
        Ok(Expr::power(inner, Expr::quotient(Expr::integer(1), degree)))
    }

    fn log(&mut self) -> Result<Expr, Unread> {
        let base = if self.take(&Token::Underscore) { self.deeper(Self::primary)? } else { Expr::integer(10) };
        let exponent = if self.take(&Token::Caret) { Some(self.deeper(Self::primary)?) } else { None };
        let argument = self.function_argument()?;
        let log = Expr::Log(Box::new((base, argument)));
        Ok(match exponent {
            Some(exponent) => Expr::power(log, exponent),
            None => log,
        })
    }

    fn call(&mut self, function: Function) -> Result<Expr, Unread> {
        let exponent = if self.take(&Token::Caret) { Some(self.deeper(Self::signed)?) } else { None };
        let argument = Box::new(self.function_argument()?);
        let inverse = match function {
            Function::Sin => Some(Function::Asin),
            Function::Cos => Some(Function::Acos),
            Function::Tan => Some(Function::Atan),
            _ => None,
        };
        Ok(match (exponent, inverse) {
            (None, _) => Expr::Apply(function, argument),
            // sin^{-1} is the inverse function, not the reciprocal.
            (Some(Expr::Negative(one)), Some(inverse)) if *one == Expr::integer(1) => Expr::Apply(inverse, argument),
            (Some(exponent), _) => Expr::power(Expr::Apply(function, argument), exponent),
        })
    }

    /// The argument of a function: in brackets, or the product up to the next function or operator.
    fn function_argument(&mut self) -> Result<Expr, Unread> {
        if matches!(self.peek(), Some(Token::Open(_))) {
            return self.deeper(Self::primary);
        }
        let mut argument = self.deeper(Self::signed)?;
        while self.starts_factor() && !matches!(self.peek(), Some(Token::Function(_) | Token::Log)) {
            let factor = self.deeper(Self::power)?;
            argument = times(argument, factor);
        }
        Ok(argument)
    }
}

/// Where the bracket that `tokens` begin with is closed.
fn closing(tokens: &[Token]) -> Option<usize> {
    let mut level = 0_usize;
    tokens.iter().position(|token| {
        match token {
            Token::Open(_) => level += 1,
            Token::Close(_) => level = level.saturating_sub(1),
            _ => {}
        }
        level == 0
    })
}

/// The product, flat where it already is one.
fn times(left: Expr, right: Expr) -> Expr {
    match left {
        Expr::Product(mut factors) => {
            factors.push(right);
            Expr::Product(factors)
        }
        left => Expr::Product(vec![left, right]),
    }
}

/// A whole number and a fraction behind it; the sign in front holds for both.
fn mixed(whole: Expr, fraction: Expr) -> Expr {
    match whole {
        Expr::Negative(whole) => Expr::Negative(Box::new(mixed(*whole, fraction))),
        // One number as it is written, and no sum to be carried out.
        Expr::Number(whole) if let Some(part) = literal_fraction(&fraction) => Expr::Number(whole + part),
        whole => Expr::Sum(vec![whole, fraction]),
    }
}

fn literal_fraction(fraction: &Expr) -> Option<BigRational> {
    match fraction {
        Expr::Number(part) => Some(part.clone()),
        Expr::Quotient(pair) => match &**pair {
            (Expr::Number(above), Expr::Number(below)) if !exact::is_zero(below) => Some(above / below),
            _ => None,
        },
        _ => None,
    }
}

/// A fraction of two whole numbers.
fn proper(fraction: &Expr) -> bool {
    let whole =
        |expr: &Expr| matches!(expr, Expr::Number(value) if exact::is_integer(value) && !exact::is_negative(value));
    matches!(fraction, Expr::Quotient(pair) if whole(&pair.0) && whole(&pair.1))
}
