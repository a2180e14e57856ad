//! Reads whole answers: what stands at the top level is a value, a relation, an interval, or several of these.

use std::borrow::Cow;

use super::clean;
use super::combine;
use super::counting;
use super::expr::{Expr, Function};
use super::float::Budget;
use super::interval;
use super::lex::{Unread, lex};
use super::numerals;
use super::parse::expression;
use super::scalar::scalar;
use super::token::{Bracket, Relation, Token};
use super::value::{Chain, Scalar, Span, Value};

/// Most values of a list, rows of a matrix, sides of a chain.
pub(super) const MAX_ITEMS: usize = 64;
/// Deepest collection inside a collection.
const MAX_DEPTH: usize = 8;

/// The value that `source` states; `Err` where any part of it is not understood.
pub(super) fn read(source: &str, budget: &Budget) -> Result<Value, Unread> {
    let source = clean::undelimited(source);
    let source = clean::typed(&source);
    if source.is_empty() {
        return Err(Unread);
    }
    let source = clean::without_words(&source);
    let source = counting::in_digits(&source).map_or(source, Cow::Owned);
    if let Some((numeral, base)) = numerals::with_base(&source) {
        return Ok(Value::Based(numeral, base));
    }
    if clean::says_all_reals(&source) {
        return Ok(Value::Spans(vec![Span::everything()], false));
    }
    if clean::says_none(&source) {
        return Ok(Value::Set(vec![]));
    }
    list(&outward(lex(&source)?), 0, budget)
}

/// `]2, 5[` with the brackets that are usual elsewhere.
fn outward(mut tokens: Vec<Token>) -> Vec<Token> {
    if let [first @ Token::Close(Bracket::Square), ..] = &mut tokens[..] {
        *first = Token::Open(Bracket::Paren);
    }
    if let [_, .., last @ Token::Open(Bracket::Square)] = &mut tokens[..] {
        *last = Token::Close(Bracket::Paren);
    }
    tokens
}

/// Index behind each token's bracket level: the level before every token.
fn levels(tokens: &[Token]) -> Result<Vec<usize>, Unread> {
    let mut level = 0_usize;
    let mut levels = Vec::with_capacity(tokens.len());
    for token in tokens {
        match token {
            Token::Close(_) | Token::End => {
                level = level.checked_sub(1).ok_or(Unread)?;
                levels.push(level);
            }
            Token::Open(_) | Token::Begin => {
                levels.push(level);
                level += 1;
            }
            _ => levels.push(level),
        }
    }
    if level == 0 { Ok(levels) } else { Err(Unread) }
}

/// `tokens` cut at those of the outermost level that `cuts` takes; the tokens cut at come second.
fn split<'a>(tokens: &'a [Token], cuts: &dyn Fn(&Token) -> bool) -> Result<(Vec<&'a [Token]>, Vec<&'a Token>), Unread> {
    let levels = levels(tokens)?;
    let (mut parts, mut at, mut start) = (Vec::new(), Vec::new(), 0);
    for (i, token) in tokens.iter().enumerate() {
        if levels[i] == 0 && cuts(token) {
            parts.push(&tokens[start..i]);
            at.push(token);
            start = i + 1;
        }
    }
    parts.push(&tokens[start..]);
    if parts.len() > 2 * MAX_ITEMS { Err(Unread) } else { Ok((parts, at)) }
}

/// Values separated by commas, "and", "or".
fn list(tokens: &[Token], depth: usize, budget: &Budget) -> Result<Value, Unread> {
    let separates =
        |token: &Token| matches!(token, Token::Comma | Token::Semicolon | Token::And | Token::Or | Token::RowBreak);
    let (parts, separators) = split(tokens, &separates)?;
    if parts.len() == 1 {
        return combine::expanded(item(tokens, depth, budget)?);
    }
    let any_or = separators.contains(&&Token::Or);
    let mut values = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        if part.is_empty() {
            // ", and" is one separator; a comma at either end is not.
            let between = i > 0 && i < separators.len() && matches!(separators[i], Token::And | Token::Or);
            if between && *separators[i - 1] == Token::Comma {
                continue;
            }
            return Err(Unread);
        }
        values.push(item(part, depth, budget)?);
    }
    if values.len() > MAX_ITEMS {
        return Err(Unread);
    }
    combine::combined(values, any_or, budget)
}

/// One value, relation or collection.
fn item(tokens: &[Token], depth: usize, budget: &Budget) -> Result<Value, Unread> {
    if depth > MAX_DEPTH {
        return Err(Unread);
    }
    let (parts, _) = split(tokens, &|token| *token == Token::In)?;
    if let [name, set] = parts[..] {
        return if is_name(name) { item(set, depth + 1, budget) } else { Err(Unread) };
    }
    let (parts, _) = split(tokens, &|token| *token == Token::Mod)?;
    if let [residue, modulus] = parts[..] {
        return congruence(residue, modulus);
    }
    let tokens = &joined_unions(tokens)[..];
    let (parts, relations) = split(tokens, &|token| matches!(token, Token::Relation(_)))?;
    if parts.len() > 1 {
        return relation(&parts, &relations, depth, budget);
    }
    let (parts, operators) = split(tokens, &|token| matches!(token, Token::Cup | Token::Cap | Token::Setminus))?;
    if parts.len() > 1 {
        let values = parts.iter().map(|part| item(part, depth + 1, budget)).collect::<Result<Vec<_>, _>>()?;
        return combine::set_operations(values, &operators, budget);
    }
    let (parts, _) = split(tokens, &|token| *token == Token::Colon || *token == Token::Word("to".to_owned()))?;
    if parts.len() > 1 {
        let terms = parts.iter().map(|part| expression(part)).collect::<Result<Vec<_>, _>>()?;
        return Ok(Value::Ratio(terms));
    }
    match tokens {
        [Token::EmptySet] => return Ok(Value::Set(vec![])),
        [Token::Reals] => return Ok(Value::Spans(vec![Span::everything()], false)),
        [Token::Begin, inner @ .., Token::End] if levels(inner).is_ok() => return matrix(inner),
        [factor @ .., Token::End] if let Some(at) = factor.iter().position(|token| *token == Token::Begin) => {
            let (factor, inner) = factor.split_at(at);
            return multiplied(factor, matrix(&inner[1..])?);
        }
        // A point with its name: `P(1, 2)`.
        [Token::Symbol(name), Token::Open(Bracket::Paren), inner @ .., Token::Close(Bracket::Paren)]
            if name.starts_with(|c: char| c.is_ascii_uppercase())
                && inner.contains(&Token::Comma)
                && levels(inner).is_ok() =>
        {
            return collection(Bracket::Paren, inner, Bracket::Paren, depth, budget)?.ok_or(Unread);
        }
        [Token::Open(open), inner @ .., Token::Close(close)] if levels(inner).is_ok() => {
            if let Some(value) = collection(*open, inner, *close, depth, budget)? {
                return Ok(value);
            }
        }
        _ => {}
    }
    Ok(Value::Scalar(scalar(tokens)?))
}

/// `x \equiv 3 \pmod 7`, or `3 \pmod 7`.
fn congruence(residue: &[Token], modulus: &[Token]) -> Result<Value, Unread> {
    let (parts, _) = split(residue, &|token| *token == Token::Equiv)?;
    let (name, residue) = match parts[..] {
        [residue] => (None, residue),
        [[Token::Symbol(name)], residue] => (Some(name.clone()), residue),
        _ => return Err(Unread),
    };
    Ok(Value::Congruence(name, expression(residue)?, expression(modulus)?))
}

/// `U` between two intervals is a union sign typed on a keyboard, and `-` before a set takes it away.
fn joined_unions(tokens: &[Token]) -> Vec<Token> {
    let mut tokens = tokens.to_vec();
    for i in 1..tokens.len().saturating_sub(1) {
        let between = matches!((&tokens[i - 1], &tokens[i + 1]), (Token::Close(_), Token::Open(_)));
        if between && tokens[i] == Token::Symbol("U".to_owned()) {
            tokens[i] = Token::Cup;
        }
        // `\mathbb{R} - \{0\}`
        let without = matches!(tokens[i - 1], Token::Reals | Token::Close(Bracket::Paren | Bracket::Square))
            && tokens[i + 1] == Token::Open(Bracket::Set);
        if without && tokens[i] == Token::Minus {
            tokens[i] = Token::Setminus;
        }
    }
    tokens
}

/// Whether `tokens` only name what is asked: symbols, words, signs and brackets, and numbers only as arguments: `x`,
/// `(x, y)`, `f(2)`, `m + n`.
fn is_name(tokens: &[Token]) -> bool {
    let mut level = 0_usize;
    let mut any = false;
    for (i, token) in tokens.iter().enumerate() {
        match token {
            Token::Open(Bracket::Paren) if i > 0 && matches!(tokens[i - 1], Token::Symbol(_) | Token::Word(_)) => {
                level += 1;
            }
            Token::Open(_) if level > 0 => level += 1,
            Token::Close(_) if level > 0 => level -= 1,
            _ if level > 0 => {}
            Token::Symbol(_) | Token::Word(_) => any = true,
            Token::Open(_)
            | Token::Close(_)
            | Token::Bar
            | Token::Comma
            | Token::Plus
            | Token::Minus
            | Token::Imaginary
            | Token::Euler => {}
            _ => return false,
        }
    }
    any
}

/// Whether `tokens` name what is asked in a formula without numbers: `\cos\theta`, `\frac{a}{b}`.
fn is_quantity(tokens: &[Token]) -> bool {
    let part = |token: &Token| match token {
        Token::Function(function) => matches!(
            function,
            Function::Sin | Function::Cos | Function::Tan | Function::Cot | Function::Sec | Function::Csc
        ),
        Token::Symbol(_) | Token::Frac | Token::Slash | Token::Open(_) | Token::Close(_) => true,
        _ => false,
    };
    tokens.iter().all(part) && tokens.iter().any(|token| matches!(token, Token::Symbol(_)))
}

fn relation(parts: &[&[Token]], relations: &[&Token], depth: usize, budget: &Budget) -> Result<Value, Unread> {
    let relations: Vec<Relation> = relations
        .iter()
        .map(|token| match token {
            Token::Relation(relation) => Ok(*relation),
            _ => Err(Unread),
        })
        .collect::<Result<_, _>>()?;
    if parts.len() > MAX_ITEMS {
        return Err(Unread);
    }
    let equation = !relations.iter().any(|relation| relation.is_inequality());
    // `= 5` and `\approx 5`, as when a formula is cut out of a sentence.
    if equation && parts[0].is_empty() {
        return match parts[1..] {
            [only] => Ok(match item(only, depth + 1, budget)? {
                Value::Scalar(scalar) => {
                    Value::Scalar(Scalar { approximate: relations[0] == Relation::Approximate, ..scalar })
                }
                value => value,
            }),
            _ => relation_of(&parts[1..], &relations[1..], equation),
        };
    }
    let last = parts[parts.len() - 1];
    if equation && parts.len() == 2 && is_name(parts[0]) {
        // A name for a set, a tuple, a matrix or an interval says no more than its right side.
        let value = item(last, depth + 1, budget)?;
        if !matches!(value, Value::Scalar(_)) {
            return Ok(value);
        }
    }
    relation_of(parts, &relations, equation)
}

fn relation_of(parts: &[&[Token]], relations: &[Relation], equation: bool) -> Result<Value, Unread> {
    let named = is_name(parts[0]) || equation && is_quantity(parts[0]);
    let side = |(i, part): (usize, &&[Token])| match scalar(part) {
        Ok(scalar) => Ok(scalar),
        // A name in words: "area = 5".
        Err(Unread) if i == 0 && named && equation => Ok(Scalar::plain(Expr::Symbol("name".to_owned()))),
        Err(Unread) => Err(Unread),
    };
    let mut sides = parts.iter().enumerate().map(side).collect::<Result<Vec<_>, _>>()?;
    for (side, relation) in sides[1..].iter_mut().zip(relations) {
        side.approximate = *relation == Relation::Approximate;
    }
    let chain = Chain { sides, relations: relations.to_vec(), named };
    Ok(if equation { Value::Equation(chain) } else { Value::Inequality(chain) })
}

/// What brackets hold: a collection, or `None` where they only group.
fn collection(
    open: Bracket,
    inner: &[Token],
    close: Bracket,
    depth: usize,
    budget: &Budget,
) -> Result<Option<Value>, Unread> {
    let is_set = open == Bracket::Set && close == Bracket::Set;
    if is_set {
        if inner.is_empty() {
            return Ok(Some(Value::Set(vec![])));
        }
        let (parts, _) = split(inner, &|token| matches!(token, Token::Mid | Token::Bar | Token::Colon))?;
        if let [name, conditions] = parts[..] {
            let (name, _) = split(name, &|token| *token == Token::In)?;
            return match list(conditions, depth + 1, budget)? {
                _ if !is_name(name[0]) => Err(Unread),
                // The name of a set's element says nothing about the set.
                Value::Inequality(chain) if interval::solution(&chain, budget).is_some() => {
                    Ok(interval::solution(&chain, budget).map(|(_, spans)| Value::Spans(spans, true)))
                }
                value => Ok(Some(value)),
            };
        }
    }
    let (parts, _) = split(inner, &|token| matches!(token, Token::Comma | Token::Semicolon))?;
    if parts.len() == 1 && !is_set {
        // Redundant brackets around a whole value; those of a scalar are the expression's own.
        let value = if open == close && open != Bracket::Angle && !inner.is_empty() {
            list(inner, depth + 1, budget)
        } else {
            Err(Unread)
        };
        return Ok(match value {
            Ok(
                value @ (Value::Tuple(..)
                | Value::Set(_)
                | Value::Spans(..)
                | Value::Matrix(_)
                | Value::List(_)
                | Value::Ratio(_)),
            ) if open != Bracket::Square || matches!(value, Value::Matrix(_)) => Some(value),
            _ => None,
        });
    }
    if parts.len() > MAX_ITEMS {
        return Err(Unread);
    }
    let mut items = Vec::with_capacity(parts.len());
    for part in parts {
        match combine::expanded(item(part, depth + 1, budget)?)? {
            Value::List(values) if is_set => items.extend(values),
            value => items.push(value),
        }
    }
    Ok(Some(match (open, close) {
        (Bracket::Set, Bracket::Set) | (Bracket::Group, Bracket::Group) => Value::Set(items),
        (Bracket::Angle, Bracket::Angle) => Value::Tuple(Bracket::Paren, items, Bracket::Paren),
        (Bracket::Paren | Bracket::Square, Bracket::Paren | Bracket::Square) => {
            combine::rows(&items).map_or_else(|| Value::Tuple(open, items, close), Value::Matrix)
        }
        _ => return Err(Unread),
    }))
}

/// A matrix with a factor in front.
fn multiplied(factor: &[Token], value: Value) -> Result<Value, Unread> {
    let Value::Matrix(mut rows) = value else { return Err(Unread) };
    let factor = match factor {
        [Token::Minus] => Expr::integer(-1),
        [factor @ .., Token::Times] | factor => expression(factor)?,
    };
    for entry in rows.iter_mut().flatten() {
        *entry = Scalar::plain(Expr::Product(vec![factor.clone(), entry.expr.clone()]));
    }
    Ok(Value::Matrix(rows))
}

fn matrix(inner: &[Token]) -> Result<Value, Unread> {
    let (mut rows, _) = split(inner, &|token| *token == Token::RowBreak)?;
    if rows.len() > 1 && rows.last().is_some_and(|row| row.is_empty()) {
        rows.pop();
    }
    let mut matrix = Vec::new();
    for row in rows {
        let (entries, _) = split(row, &|token| *token == Token::Ampersand)?;
        matrix.push(entries.into_iter().map(scalar).collect::<Result<Vec<Scalar>, _>>()?);
    }
    let width = matrix[0].len();
    let regular = matrix.len() <= MAX_ITEMS && width <= MAX_ITEMS && matrix.iter().all(|row| row.len() == width);
    if regular { Ok(Value::Matrix(matrix)) } else { Err(Unread) }
}
