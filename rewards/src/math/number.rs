//! Whether two single values are the same answer: numbers, decimals, percentages, quantities with units.

use num_bigint::BigInt;
use num_rational::BigRational;

use super::equal::Rules;
use super::exact;
use super::expr::Expr;
use super::float::Budget;
use super::options::Unevaluated;
use super::same;
use super::scalar::units_agree;
use super::token::Decimal;
use super::value::Scalar;

/// Significant digits from which a decimal may stand for a value that no decimal can write (`1/3`, `sqrt(2)`).
const MIN_DIGITS: u32 = 6;
/// Decimal places that it needs besides (Math-Verify compares after rounding to as many), unless it has many digits.
const MIN_PLACES: i32 = 6;
/// Significant digits that are many.
const MANY_DIGITS: u32 = 9;
/// Significant digits from which a gold that is marked as approximate counts as rounded.
const MIN_APPROXIMATE_DIGITS: u32 = 3;
/// Further digits that make a decimal more exact than such a gold, and not just another number.
const MORE_DIGITS: i32 = 2;

/// Whether `answer` is `gold`. Letters behind a number may be a unit in either of the two.
pub(super) fn agree(gold: &Scalar, answer: &Scalar, rules: Rules<'_>) -> bool {
    if !carried_out(gold, answer, rules) {
        return false;
    }
    let budget = rules.budget;
    if one_reading(gold, answer, budget) {
        return true;
    }
    let gold_measured = gold.measured.as_deref();
    let answer_measured = answer.measured.as_deref();
    match (gold_measured, answer_measured) {
        (Some(gold), Some(answer)) if one_reading(gold, answer, budget) => true,
        // A symbolic gold is taken for a quantity only by an answer that states one.
        (Some(gold), _) if answer.unit.is_some() => one_reading(gold, answer, budget),
        (_, Some(answer)) => !gold.expr.has_symbols() && one_reading(gold, answer, budget),
        _ => false,
    }
}

/// Whether `answer` is written out as far as `rules` ask for: to a number, where the gold is one.
pub(super) fn carried_out(gold: &Scalar, answer: &Scalar, rules: Rules<'_>) -> bool {
    let written_out = |scalar: &Scalar| {
        scalar.decimal.is_some()
            || is_literal(&scalar.expr)
            || scalar.measured.as_ref().is_some_and(|measured| measured.decimal.is_some() || is_literal(&measured.expr))
    };
    rules.unevaluated == Unevaluated::Right || !written_out(gold) || written_out(answer)
}

/// Whether `expr` is a number as one writes it: with a sign at most, or a fraction of whole numbers that is none itself.
fn is_literal(expr: &Expr) -> bool {
    let whole = |expr: &Expr| match unsigned(expr) {
        Expr::Number(value) if exact::is_integer(value) => Some(value.clone()),
        _ => None,
    };
    match unsigned(expr) {
        Expr::Number(_) => true,
        Expr::Quotient(pair) => match (whole(&pair.0), whole(&pair.1)) {
            (Some(numerator), Some(denominator)) => {
                !exact::is_zero(&denominator) && !exact::is_integer(&(numerator / denominator))
            }
            _ => false,
        },
        _ => false,
    }
}

fn unsigned(expr: &Expr) -> &Expr {
    match expr {
        Expr::Negative(inner) => inner,
        expr => expr,
    }
}

fn one_reading(gold: &Scalar, answer: &Scalar, budget: &Budget) -> bool {
    let hundredth = |scalar: &Scalar| Scalar {
        expr: Expr::quotient(scalar.expr.clone(), Expr::integer(100)),
        decimal: scalar.decimal.map(|decimal| Decimal { last_place: decimal.last_place - 2, ..decimal }),
        ..scalar.clone()
    };
    match (gold.unit.as_deref(), answer.unit.as_deref()) {
        (Some("dollar"), Some("cent")) => return values(gold, &hundredth(answer), budget),
        (Some("cent"), Some("dollar")) => return values(&hundredth(gold), answer, budget),
        (gold, answer) if !units_agree(gold, answer) => return false,
        // Money is exact as it is written.
        (Some("dollar" | "euro" | "sterling" | "cent"), _) if !answer.percent => {
            return same::equal(&gold.expr, &answer.expr, budget);
        }
        _ => {}
    }
    // A percentage is no quantity with a unit, not even of the same number.
    if (gold.percent && answer.unit.is_some()) || (answer.percent && gold.unit.is_some()) {
        return false;
    }
    match (gold.percent, answer.percent) {
        (true, true) | (false, false) => values(gold, answer, budget),
        // "28" for "28%" by convention, and 0.28 because it is the same number; but never 28 for 0.28, and "0.28%" for 0.28
        // neither: a gold that may be a share is one.
        (true, false) => values(gold, answer, budget) || values(&hundredth(gold), answer, budget),
        (false, true) => {
            let share = || same::approximate(&gold.expr, budget).is_none_or(|value| value.abs() <= 1.0);
            values(gold, &hundredth(answer), budget) || (!share() && values(gold, answer, budget))
        }
    }
}

/// Whether the numbers are equal, or one is the correct rounding of the other, which no decimal can write.
fn values(gold: &Scalar, answer: &Scalar, budget: &Budget) -> bool {
    if same::equal(&gold.expr, &answer.expr, budget) {
        return true;
    }
    // Amounts of money and percentages are what is written.
    let counted = |scalar: &Scalar| scalar.percent || scalar.unit.as_deref().is_some_and(is_money);
    if counted(gold) || counted(answer) {
        return false;
    }
    if let Some(decimal) = gold.decimal.filter(|_| gold.approximate) {
        let more_exact = answer.decimal.is_none_or(|answer| answer.last_place <= decimal.last_place - MORE_DIGITS);
        return decimal.significant >= MIN_APPROXIMATE_DIGITS
            && more_exact
            && rounds_to(&answer.expr, &gold.expr, decimal.last_place, budget);
    }
    let (exact, rounded, decimal) = match (gold.decimal, answer.decimal) {
        (Some(decimal), None) => (answer, gold, decimal),
        (None, Some(decimal)) => (gold, answer, decimal),
        _ => return false,
    };
    decimal.significant >= MIN_DIGITS
        && (decimal.last_place <= -MIN_PLACES || decimal.significant >= MANY_DIGITS)
        && !terminates(&exact.expr, budget)
        && rounds_to(&exact.expr, &rounded.expr, decimal.last_place, budget)
}

fn is_money(unit: &str) -> bool {
    ["dollar", "cent", "euro", "sterling", "yen", "rupee", "yuan"].iter().any(|money| unit.starts_with(money))
}

/// `value - decimal`, counted in units of the last place of `decimal`.
fn error(value: &Expr, decimal: &Expr, last_place: i32, budget: &Budget) -> Option<f64> {
    if last_place.abs() > 400 || value.has_symbols() {
        return None;
    }
    let ten = BigRational::from_integer(BigInt::from(10));
    let scale = Expr::Number(ten.pow(-last_place));
    same::approximate(&Expr::Product(vec![Expr::difference(value.clone(), decimal.clone()), scale]), budget)
}

/// Whether `value` is `decimal` after rounding to the place of its last digit.
fn rounds_to(value: &Expr, decimal: &Expr, last_place: i32, budget: &Budget) -> bool {
    error(value, decimal, last_place, budget).is_some_and(|error| error.abs() <= 0.5)
}

/// Whether some decimal is exactly `expr`.
fn terminates(expr: &Expr, budget: &Budget) -> bool {
    same::rational(expr, budget).is_some_and(|value| {
        let mut denominator = value.denom().clone();
        for prime in [2_u32, 5] {
            while (&denominator % prime) == BigInt::ZERO {
                denominator /= prime;
            }
        }
        denominator == BigInt::from(1)
    })
}
