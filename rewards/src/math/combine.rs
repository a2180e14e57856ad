//! Puts several values together: lists of solutions, unions of intervals, rows of matrices, both signs of `±`.

use super::expr::Expr;
use super::float::Budget;
use super::interval;
use super::lex::Unread;
use super::token::{Bracket, Token};
use super::value::{Chain, Scalar, Value};

/// `value` with `±` written out as two values.
pub(super) fn expanded(value: Value) -> Result<Value, Unread> {
    let has_both = |expr: &Expr| expr.any(&|part| matches!(part, Expr::PlusMinus(..)));
    let both = |scalar: &Scalar| {
        [true, false]
            .map(|plus| Value::Scalar(Scalar { expr: scalar.expr.with_sign(plus), measured: None, ..scalar.clone() }))
    };
    match value {
        Value::Scalar(scalar) if has_both(&scalar.expr) => Ok(Value::List(both(&scalar).to_vec())),
        Value::Equation(chain) if chain.sides.iter().any(|side| has_both(&side.expr)) => match &chain.sides[..] {
            [name, scalar] if chain.named && !has_both(&name.expr) => Ok(Value::List(both(scalar).to_vec())),
            _ => Err(Unread),
        },
        Value::Inequality(chain) if chain.sides.iter().any(|side| has_both(&side.expr)) => Err(Unread),
        value => Ok(value),
    }
}

/// The symbol that a chain gives a value to, and the value: `x = 2`.
pub(super) fn assignment(value: &Value) -> Option<(&str, &Scalar)> {
    match value {
        Value::Equation(Chain { sides, named: true, .. }) => match &sides[..] {
            [Scalar { expr: Expr::Symbol(name), .. }, value] => Some((name, value)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether two names are one unknown: `x` and `x`, and its solutions `x_1` and `x_2`.
fn same_unknown(name: &str, other: &str) -> bool {
    let solution = |name: &str| name.split_once('_').is_some_and(|(base, _)| base == "x");
    name == other || (solution(name) && solution(other))
}

/// Several values side by side, as one.
pub(super) fn combined(values: Vec<Value>, any_or: bool, budget: &Budget) -> Result<Value, Unread> {
    if values.iter().all(|value| matches!(value, Value::Inequality(_) | Value::Spans(..)))
        && values.iter().any(|value| matches!(value, Value::Inequality(_)))
    {
        return inequalities(&values, any_or, budget);
    }
    // Of two brackets alone nobody can tell whether they are intervals: (1, 2) or (2, 1) may be two points.
    if any_or && values.iter().all(interval::is_certain) {
        let spans = values.iter().filter_map(interval::spans).flatten().collect();
        return Ok(Value::Spans(spans, false));
    }
    let first_name = assignment(&values[0]).map(|(name, _)| name.to_owned());
    let mut items = Vec::with_capacity(values.len());
    // `x = 2 or x = 3` and `x = 2, 3` are the values 2 and 3.
    let one_name = first_name.as_ref().is_some_and(|name| {
        values.iter().all(|value| match value {
            Value::Scalar(_) => true,
            value => assignment(value).is_some_and(|(other, _)| same_unknown(name, other)),
        })
    });
    for value in values {
        let value = match assignment(&value) {
            Some((_, scalar)) if one_name => Value::Scalar(scalar.clone()),
            _ => value,
        };
        match expanded(value)? {
            Value::List(both) => items.extend(both),
            single => items.push(single),
        }
    }
    Ok(Value::List(items))
}

/// Inequalities of one unknown: joined by "or" their union, otherwise their intersection, or the union where nothing would
/// be left.
fn inequalities(values: &[Value], any_or: bool, budget: &Budget) -> Result<Value, Unread> {
    let mut unknown: Option<String> = None;
    let mut solved = Vec::with_capacity(values.len());
    for value in values {
        let Value::Inequality(chain) = value else {
            solved.push(interval::spans(value).ok_or(Unread)?);
            continue;
        };
        let (name, spans) = interval::solution(chain, budget).ok_or(Unread)?;
        if *unknown.get_or_insert_with(|| name.clone()) != name {
            return Err(Unread);
        }
        solved.push(spans);
    }
    if !any_or {
        let (first, rest) = solved.split_first().ok_or(Unread)?;
        let common = rest.iter().try_fold(first.clone(), |common, next| interval::intersection(&common, next, budget));
        if let Some(common) = common
            && !common.is_empty()
        {
            return Ok(Value::Spans(common, true));
        }
    }
    Ok(Value::Spans(solved.into_iter().flatten().collect(), true))
}

/// Values joined by `∪`, `∩` and `∖`, from left to right.
pub(super) fn set_operations(values: Vec<Value>, operators: &[&Token], budget: &Budget) -> Result<Value, Unread> {
    let mut values = values.into_iter();
    let mut result = values.next().ok_or(Unread)?;
    for (operator, value) in operators.iter().zip(values) {
        result = match (operator, &result, value) {
            (Token::Cup, Value::Set(left), Value::Set(right)) => Value::Set([left.clone(), right].concat()),
            (Token::Cup, left, right) => {
                let mut spans = interval::spans(left).ok_or(Unread)?;
                spans.extend(interval::spans(&right).ok_or(Unread)?);
                Value::Spans(spans, false)
            }
            (Token::Cap, left, right) => {
                let (left, right) = (interval::spans(left).ok_or(Unread)?, interval::spans(&right).ok_or(Unread)?);
                Value::Spans(interval::intersection(&left, &right, budget).ok_or(Unread)?, false)
            }
            (Token::Setminus, left, Value::Set(points)) => {
                let spans = interval::spans(left).ok_or(Unread)?;
                Value::Spans(interval::without(spans, &points, budget).ok_or(Unread)?, false)
            }
            (Token::Setminus, left, right) => {
                let (spans, removed) = (interval::spans(left).ok_or(Unread)?, interval::spans(&right).ok_or(Unread)?);
                let kept = removed
                    .iter()
                    .try_fold(spans, |kept, one| interval::intersection(&kept, &interval::outside(one), budget));
                Value::Spans(kept.ok_or(Unread)?, false)
            }
            _ => return Err(Unread),
        };
    }
    Ok(result)
}

/// The matrix whose rows are `items`, written as lists in square brackets.
pub(super) fn rows(items: &[Value]) -> Option<Vec<Vec<Scalar>>> {
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        let Value::Tuple(Bracket::Square, entries, Bracket::Square) = item else { return None };
        let row = entries.iter().map(|entry| match entry {
            Value::Scalar(scalar) => Some(scalar.clone()),
            _ => None,
        });
        rows.push(row.collect::<Option<Vec<_>>>()?);
    }
    let width = rows.first()?.len();
    rows.iter().all(|row| row.len() == width).then_some(rows)
}
