//! Intervals of the real line: from brackets, from inequalities, and whether two unions are the same set.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::expr::{Expr, Function};
use super::float::Budget;
use super::same;
use super::token::{Bracket, Relation};
use super::value::{Chain, Scalar, Span, Value};

/// The intervals that `value` may be read as: brackets around two numbers, a union, a set of points.
pub(super) fn spans(value: &Value) -> Option<Vec<Span>> {
    match value {
        Value::Spans(spans, _) => Some(spans.clone()),
        Value::Tuple(open, items, close) => match &items[..] {
            [Value::Scalar(low), Value::Scalar(high)] => Some(vec![Span {
                low: low.expr.clone(),
                high: high.expr.clone(),
                low_closed: *open == Bracket::Square,
                high_closed: *close == Bracket::Square,
            }]),
            _ => None,
        },
        Value::Set(points) => points.iter().map(point).collect(),
        _ => None,
    }
}

/// Whether `value` can be nothing but intervals: it has unlike brackets, an infinite end, or is a union of others.
pub(super) fn is_certain(value: &Value) -> bool {
    let infinite =
        |item: &Value| matches!(item, Value::Scalar(scalar) if scalar.expr.any(&|part| *part == Expr::Infinity));
    match value {
        Value::Spans(..) => true,
        Value::Tuple(open, items, close) => items.len() == 2 && (open != close || items.iter().any(infinite)),
        _ => false,
    }
}

fn point(value: &Value) -> Option<Span> {
    match value {
        Value::Scalar(Scalar { expr, .. }) => {
            Some(Span { low: expr.clone(), high: expr.clone(), low_closed: true, high_closed: true })
        }
        _ => None,
    }
}

/// The only unknown of an inequality, and where it holds; `None` where it has several or is not linear in it.
pub(super) fn solution(chain: &Chain, budget: &Budget) -> Option<(String, Vec<Span>)> {
    let mut names = BTreeSet::new();
    chain.sides.iter().for_each(|side| side.expr.symbols(&mut names));
    let name = match names.iter().collect::<Vec<_>>()[..] {
        [name] => (*name).to_owned(),
        _ => return None,
    };
    let mut result = vec![Span::everything()];
    for (pair, &relation) in chain.sides.windows(2).zip(&chain.relations) {
        let one = one_relation(&pair[0].expr, relation, &pair[1].expr, &name, budget)?;
        result = intersection(&result, &one, budget)?;
    }
    Some((name, result))
}

fn one_relation(left: &Expr, relation: Relation, right: &Expr, name: &str, budget: &Budget) -> Option<Vec<Span>> {
    if let Expr::Apply(Function::Abs, inner) = left
        && !right.has_symbols()
    {
        let minus = Expr::Negative(Box::new(right.clone()));
        let below = one_relation(inner, relation, right, name, budget)?;
        let above = one_relation(inner, relation.flipped(), &minus, name, budget)?;
        return match relation {
            Relation::Less | Relation::LessEqual => intersection(&below, &above, budget),
            Relation::Greater | Relation::GreaterEqual => Some([below, above].concat()),
            _ => None,
        };
    }
    let (a, b) = Expr::difference(left.clone(), right.clone()).linear(name)?;
    let slope = same::approximate(&a, budget)?;
    // A bare unknown keeps its bound as it is written, which may be infinite.
    let bound = match (left, right) {
        (Expr::Symbol(_), bound) | (bound, Expr::Symbol(_)) if !bound.has_symbols() => bound.clone(),
        _ => Expr::quotient(Expr::Negative(Box::new(b)), a),
    };
    same::approximate(&bound, budget)?;
    let relation = match slope.partial_cmp(&0.0)? {
        Ordering::Greater => relation,
        Ordering::Less => relation.flipped(),
        Ordering::Equal => return None,
    };
    let minus_infinity = || Expr::Negative(Box::new(Expr::Infinity));
    let closed = relation.allows_equality();
    let below = Span { low: minus_infinity(), high: bound.clone(), low_closed: false, high_closed: closed };
    let above = Span { low: bound, high: Expr::Infinity, low_closed: closed, high_closed: false };
    Some(match relation {
        Relation::Less | Relation::LessEqual => vec![below],
        Relation::Greater | Relation::GreaterEqual => vec![above],
        Relation::NotEqual => vec![below, above],
        Relation::Equal | Relation::Approximate => return None,
    })
}

/// An end of an interval, placed on the line.
#[derive(Clone)]
struct End {
    at: f64,
    closed: bool,
    expr: Expr,
}

fn ends(span: &Span, budget: &Budget) -> Option<(End, End)> {
    let low = End { at: same::approximate(&span.low, budget)?, closed: span.low_closed, expr: span.low.clone() };
    let high = End { at: same::approximate(&span.high, budget)?, closed: span.high_closed, expr: span.high.clone() };
    // Infinity is never reached, whatever the bracket says.
    let open = |end: End| End { closed: end.closed && end.at.is_finite(), ..end };
    Some((open(low), open(high)))
}

/// Where both unions hold; `None` if an end is not a number.
pub(super) fn intersection(left: &[Span], right: &[Span], budget: &Budget) -> Option<Vec<Span>> {
    let mut common = Vec::new();
    for a in left {
        for b in right {
            let ((a_low, a_high), (b_low, b_high)) = (ends(a, budget)?, ends(b, budget)?);
            let low = if (a_low.at, !a_low.closed) >= (b_low.at, !b_low.closed) { a_low } else { b_low };
            let high = if (a_high.at, a_high.closed) <= (b_high.at, b_high.closed) { a_high } else { b_high };
            if low.at < high.at || (low.at == high.at && low.closed && high.closed) {
                common.push(Span { low: low.expr, high: high.expr, low_closed: low.closed, high_closed: high.closed });
            }
        }
    }
    Some(common)
}

/// What lies on both sides of `span`.
pub(super) fn outside(span: &Span) -> [Span; 2] {
    let low = Expr::Negative(Box::new(Expr::Infinity));
    [
        Span { low, high: span.low.clone(), low_closed: false, high_closed: !span.low_closed },
        Span { low: span.high.clone(), high: Expr::Infinity, low_closed: !span.high_closed, high_closed: false },
    ]
}

/// `spans` without single points.
pub(super) fn without(spans: Vec<Span>, points: &[Value], budget: &Budget) -> Option<Vec<Span>> {
    let minus_infinity = || Expr::Negative(Box::new(Expr::Infinity));
    points.iter().try_fold(spans, |spans, value| {
        let Value::Scalar(Scalar { expr, .. }) = value else { return None };
        let below = Span { low: minus_infinity(), high: expr.clone(), low_closed: false, high_closed: false };
        let above = Span { low: expr.clone(), high: Expr::Infinity, low_closed: false, high_closed: false };
        intersection(&spans, &[below, above], budget)
    })
}

/// The same set as disjoint intervals in order; `None` if an end is not a number or an interval runs backwards.
fn merged(spans: &[Span], budget: &Budget) -> Option<Vec<(End, End)>> {
    let mut sorted = spans.iter().map(|span| ends(span, budget)).collect::<Option<Vec<_>>>()?;
    // An empty interval must not vanish beside others: `(1, 2) \cup (2, 1)` is no way to write (1, 2).
    if sorted.iter().any(|(low, high)| low.at > high.at || (low.at == high.at && !(low.closed && high.closed))) {
        return None;
    }
    sorted.sort_by(|(a, _), (b, _)| a.at.total_cmp(&b.at).then(b.closed.cmp(&a.closed)));
    let mut merged: Vec<(End, End)> = Vec::new();
    for (low, high) in sorted {
        match merged.last_mut() {
            Some((_, last)) if low.at < last.at || (low.at == last.at && (low.closed || last.closed)) => {
                if (high.at, high.closed) > (last.at, last.closed) {
                    *last = high;
                }
            }
            _ => merged.push((low, high)),
        }
    }
    Some(merged)
}

/// Whether two unions of intervals are the same set.
pub(super) fn equal(gold: &[Span], answer: &[Span], budget: &Budget) -> bool {
    let (Some(gold), Some(answer)) = (merged(gold, budget), merged(answer, budget)) else { return false };
    let same_end = |a: &End, b: &End| a.closed == b.closed && same::equal(&a.expr, &b.expr, budget);
    gold.len() == answer.len()
        && gold
            .iter()
            .zip(&answer)
            .all(|((low, high), (other_low, other_high))| same_end(low, other_low) && same_end(high, other_high))
}
