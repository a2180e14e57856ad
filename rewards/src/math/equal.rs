//! Whether an answer is the gold. The gold's type decides what is compared, and how.

use super::combine::assignment;
use super::exact;
use super::expr::Expr;
use super::float::Budget;
use super::interval;
use super::number;
use super::numerals;
use super::options::Unevaluated;
use super::same;
use super::token::{Bracket, Relation};
use super::value::{Chain, Scalar, Value};

/// How far equality reaches where conventions differ, and what it may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// Whether an inequality answers an interval.
    pub(super) inequality_for_interval: bool,
    /// Whether arithmetic that is not carried out answers a number.
    pub(super) unevaluated: Unevaluated,
    /// What all comparisons of this verdict may cost together.
    pub(super) budget: &'a Budget,
}

/// Whether `answer` is `gold`.
pub(super) fn equal(gold: &Value, answer: &Value, rules: Rules<'_>) -> bool {
    match gold {
        Value::Scalar(gold) => scalar(gold, answer, rules),
        Value::List(items) => list(items, answer, rules),
        Value::Set(items) => set(items, answer, rules),
        Value::Tuple(open, items, close) => tuple(gold, (*open, items, *close), answer, rules),
        Value::Spans(..) => spans(gold, answer, rules),
        Value::Matrix(rows) => matrix(rows, answer, rules),
        Value::Equation(chain) => equation(chain, answer, rules),
        Value::Inequality(chain) => inequality(chain, answer, rules),
        Value::Ratio(terms) => ratio(terms, answer, rules),
        Value::Congruence(name, residue, modulus) => congruent(name.as_deref(), residue, modulus, answer, rules.budget),
        Value::Based(numeral, base) => based(numeral, *base, answer),
    }
}

fn scalar(gold: &Scalar, answer: &Value, rules: Rules<'_>) -> bool {
    match answer {
        Value::Scalar(answer) => number::agree(gold, answer, rules),
        Value::Equation(chain) => stated_value(gold, chain, rules),
        // The same value written several times is no hedge: `1/2 or 0.5`.
        Value::List(items) => !items.is_empty() && items.iter().all(|item| scalar(gold, item, rules)),
        Value::Set(items) => matches!(&items[..], [only] if scalar(gold, only, rules)),
        Value::Ratio(terms) => match &terms[..] {
            [left, right] => {
                let quotient = Scalar::plain(Expr::quotient(left.clone(), right.clone()));
                number::carried_out(gold, &quotient, rules) && same::equal(&gold.expr, &quotient.expr, rules.budget)
            }
            _ => false,
        },
        Value::Based(numeral, base) if rules.unevaluated == Unevaluated::Right => {
            numerals::value_in_base(numeral, *base)
                .is_some_and(|value| same::equal(&gold.expr, &Expr::Number(value), rules.budget) && gold.unit.is_none())
        }
        _ => false,
    }
}

/// Whether a chain of equations states the value `gold`: `x = 5`, `84/2 = 42`, `1/3 \approx 0.333`.
fn stated_value(gold: &Scalar, chain: &Chain, rules: Rules<'_>) -> bool {
    let Some((last, before)) = chain.sides.split_last() else { return false };
    let first = if chain.named { 1 } else { 0 };
    let exact = |relation: &Relation| *relation == Relation::Equal;
    let computed = &before[first.min(before.len())..];
    if !chain.named && computed.iter().any(|side| side.expr.has_symbols() != gold.expr.has_symbols()) {
        return false;
    }
    if chain.relations.iter().all(exact) {
        return number::agree(gold, last, rules)
            && computed.iter().all(|side| same::equal(&side.expr, &last.expr, rules.budget));
    }
    let value = |side: &Scalar| {
        same::approximate(&side.expr, rules.budget).map(|value| if side.percent { value / 100.0 } else { value })
    };
    // Of an approximation the exact side counts, or the approximate one where the gold is as approximate.
    let near = |side: &Scalar| match (value(side), value(last)) {
        (Some(exact), Some(last)) => (exact - last).abs() <= 0.01 * exact.abs().max(last.abs()),
        _ => false,
    };
    computed.iter().all(near) && chain.sides[first..].iter().any(|side| number::agree(gold, side, rules))
}

/// Each of `golds` matched with another one of `answers`, all used up.
fn one_to_one(golds: &[Value], answers: &[Value], rules: Rules<'_>) -> bool {
    if golds.len() != answers.len() {
        return false;
    }
    let mut free: Vec<&Value> = answers.iter().collect();
    golds.iter().all(|gold| {
        let found = free.iter().position(|answer| equal(gold, answer, rules));
        found.map(|at| free.swap_remove(at)).is_some()
    })
}

fn in_order(golds: &[Value], answers: &[Value], rules: Rules<'_>) -> bool {
    golds.len() == answers.len() && golds.iter().zip(answers).all(|(gold, answer)| equal(gold, answer, rules))
}

/// `items` without repetitions.
fn distinct(items: &[Value], rules: Rules<'_>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::with_capacity(items.len());
    for item in items {
        if !kept.iter().any(|earlier| equal(earlier, item, rules)) {
            kept.push(item.clone());
        }
    }
    kept
}

fn list(golds: &[Value], answer: &Value, rules: Rules<'_>) -> bool {
    let assigns = |items: &[Value]| items.iter().all(|item| assignment(item).is_some());
    match answer {
        // Values for several unknowns, without their names: in order.
        Value::List(answers) if assigns(golds) && !assigns(answers) => {
            in_order(&values_of(golds), &values_of(answers), rules)
        }
        Value::List(answers) => {
            one_to_one(golds, answers, rules) || one_to_one(&distinct(golds, rules), &distinct(answers, rules), rules)
        }
        Value::Set(answers) => one_to_one(&distinct(golds, rules), &distinct(answers, rules), rules),
        // Two values in brackets are a point or an interval; more are a list in brackets.
        Value::Tuple(Bracket::Paren, answers, Bracket::Paren) => {
            (answers.len() > 2 || assigns(golds)) && in_order(&values_of(golds), answers, rules)
        }
        Value::Tuple(Bracket::Square, answers, Bracket::Square) => {
            answers.len() > 2 && one_to_one(golds, answers, rules)
        }
        _ => false,
    }
}

/// The right sides of `x = 1, y = 2`; other values as they are.
fn values_of(items: &[Value]) -> Vec<Value> {
    items
        .iter()
        .map(|item| assignment(item).map_or_else(|| item.clone(), |(_, scalar)| Value::Scalar(scalar.clone())))
        .collect()
}

fn set(golds: &[Value], answer: &Value, rules: Rules<'_>) -> bool {
    let answers = match answer {
        Value::Set(answers) | Value::List(answers) => answers.clone(),
        Value::Spans(..) => return false,
        single => vec![single.clone()],
    };
    one_to_one(&distinct(golds, rules), &distinct(&answers, rules), rules)
}

fn tuple(gold: &Value, parts: (Bracket, &[Value], Bracket), answer: &Value, rules: Rules<'_>) -> bool {
    let (open, golds, close) = parts;
    match answer {
        Value::Tuple(other_open, answers, other_close) => {
            open == *other_open && close == *other_close && in_order(golds, answers, rules)
        }
        // `x = 1, y = 2` for `(1, 2)`, and three or more values without brackets.
        Value::List(answers) if open == Bracket::Paren && close == Bracket::Paren => {
            let labelled = answers.iter().all(|answer| assignment(answer).is_some());
            (labelled || answers.len() > 2) && in_order(golds, &values_of(answers), rules)
        }
        Value::Matrix(rows) if open == Bracket::Paren && close == Bracket::Paren => {
            let column: Option<Vec<Value>> = rows
                .iter()
                .map(|row| match &row[..] {
                    [entry] => Some(Value::Scalar(entry.clone())),
                    _ => None,
                })
                .collect();
            column.is_some_and(|column| in_order(golds, &column, rules))
        }
        _ => spans(gold, answer, rules),
    }
}

fn spans(gold: &Value, answer: &Value, rules: Rules<'_>) -> bool {
    let inequality_for_interval = rules.inequality_for_interval || matches!(gold, Value::Spans(..));
    let Some(gold) = interval::spans(gold) else { return false };
    let answer = match answer {
        Value::Inequality(_) | Value::Spans(_, true) if !inequality_for_interval => None,
        Value::Inequality(chain) => interval::solution(chain, rules.budget).map(|(_, spans)| spans),
        answer @ (Value::Spans(..) | Value::Tuple(..)) => interval::spans(answer),
        // The parts of a union one by one.
        Value::List(parts) if gold.len() > 1 => {
            let parts: Option<Vec<_>> = parts.iter().map(interval::spans).collect();
            parts.map(|parts| parts.concat())
        }
        _ => None,
    };
    answer.is_some_and(|answer| interval::equal(&gold, &answer, rules.budget))
}

fn matrix(golds: &[Vec<Scalar>], answer: &Value, rules: Rules<'_>) -> bool {
    match answer {
        Value::Matrix(answers) => {
            golds.len() == answers.len()
                && golds.iter().zip(answers).all(|(gold, answer)| {
                    gold.len() == answer.len()
                        && gold.iter().zip(answer).all(|(gold, answer)| number::agree(gold, answer, rules))
                })
        }
        Value::Tuple(Bracket::Paren, items, Bracket::Paren) => {
            golds.len() == items.len()
                && golds.iter().zip(items).all(|(gold, item)| match (&gold[..], item) {
                    ([gold], Value::Scalar(answer)) => number::agree(gold, answer, rules),
                    _ => false,
                })
        }
        _ => false,
    }
}

fn equation(gold: &Chain, answer: &Value, rules: Rules<'_>) -> bool {
    let answer = match answer {
        Value::Equation(answer) => answer,
        // The value alone answers `x = 5`, `y = 2x + 1`, `f(x) = ...`.
        Value::Scalar(answer) => {
            return gold.named && gold.sides.last().is_some_and(|last| number::agree(last, answer, rules));
        }
        _ => return false,
    };
    let ([gold_left, gold_right], [answer_left, answer_right]) = (&gold.sides[..], &answer.sides[..]) else {
        return gold.sides.len() == answer.sides.len()
            && gold.sides.iter().zip(&answer.sides).all(|(gold, answer)| number::agree(gold, answer, rules));
    };
    if number::agree(gold_left, answer_left, rules) && number::agree(gold_right, answer_right, rules) {
        return true;
    }
    let gold_zero = Expr::difference(gold_left.expr.clone(), gold_right.expr.clone());
    let answer_zero = Expr::difference(answer_left.expr.clone(), answer_right.expr.clone());
    same::proportional(&gold_zero, &answer_zero, rules.budget).is_some()
}

fn inequality(gold: &Chain, answer: &Value, rules: Rules<'_>) -> bool {
    if let Some((name, gold)) = interval::solution(gold, rules.budget) {
        return match answer {
            Value::Inequality(answer) => interval::solution(answer, rules.budget)
                .is_some_and(|(other, answer)| name == other && interval::equal(&gold, &answer, rules.budget)),
            answer => interval::spans(answer).is_some_and(|answer| interval::equal(&gold, &answer, rules.budget)),
        };
    }
    let Value::Inequality(answer) = answer else { return false };
    let ([gold_left, gold_right], [answer_left, answer_right]) = (&gold.sides[..], &answer.sides[..]) else {
        return gold.relations == answer.relations
            && gold.sides.len() == answer.sides.len()
            && gold.sides.iter().zip(&answer.sides).all(|(gold, answer)| number::agree(gold, answer, rules));
    };
    let gold_zero = Expr::difference(gold_left.expr.clone(), gold_right.expr.clone());
    let answer_zero = Expr::difference(answer_left.expr.clone(), answer_right.expr.clone());
    match same::proportional(&gold_zero, &answer_zero, rules.budget) {
        Some(1) => gold.relations == answer.relations,
        Some(_) => gold.relations[0] == answer.relations[0].flipped(),
        None => false,
    }
}

fn ratio(golds: &[Expr], answer: &Value, rules: Rules<'_>) -> bool {
    let answers = match answer {
        Value::Ratio(answers) => answers.clone(),
        Value::Scalar(Scalar { expr, .. }) if golds.len() == 2 => vec![expr.clone(), Expr::integer(1)],
        _ => return false,
    };
    if golds.len() != answers.len()
        || golds.iter().chain(&answers).any(|term| same::equal(term, &Expr::integer(0), rules.budget))
    {
        return false;
    }
    // What may as well be a time of day, 7:15, is no other time: 14:30.
    if may_be_time(golds) && matches!(answer, Value::Ratio(_)) {
        return golds.iter().zip(&answers).all(|(gold, answer)| same::equal(gold, answer, rules.budget));
    }
    let times = |left: &Expr, right: &Expr| Expr::Product(vec![left.clone(), right.clone()]);
    golds
        .iter()
        .zip(&answers)
        .all(|(gold, answer)| same::equal(&times(gold, &answers[0]), &times(answer, &golds[0]), rules.budget))
}

/// The same modulus, and residues that differ by a multiple of it. The name may be left out.
fn congruent(name: Option<&str>, residue: &Expr, modulus: &Expr, answer: &Value, budget: &Budget) -> bool {
    let Value::Congruence(other, answer_residue, answer_modulus) = answer else { return false };
    if name.is_some_and(|name| other.as_ref().is_some_and(|other| other != name))
        || !same::equal(modulus, answer_modulus, budget)
    {
        return false;
    }
    let turns = Expr::quotient(Expr::difference(residue.clone(), answer_residue.clone()), modulus.clone());
    same::equal(residue, answer_residue, budget)
        || same::rational(&turns, budget).is_some_and(|turns| exact::is_integer(&turns))
}

fn may_be_time(terms: &[Expr]) -> bool {
    let small = |term: &Expr| match term {
        Expr::Number(value) => exact::small(value),
        _ => None,
    };
    match terms {
        [hour, minute] => {
            small(hour).is_some_and(|hour| (1..=24).contains(&hour))
                && small(minute).is_some_and(|minute| (10..60).contains(&minute))
        }
        _ => false,
    }
}

/// A numeral with a base: the same numeral without it, or another base that makes the same number.
fn based(gold: &str, base: u32, answer: &Value) -> bool {
    match answer {
        Value::Based(numeral, other) => numerals::value_in_base(gold, base) == numerals::value_in_base(numeral, *other),
        Value::Scalar(Scalar { expr: Expr::Number(value), unit: None, percent: false, .. }) => {
            value.to_string() == gold.trim_start_matches('0')
        }
        _ => false,
    }
}
