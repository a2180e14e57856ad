//! Whether two expressions are the same number, or the same function of their symbols.

use std::collections::BTreeSet;

use num_bigint::BigInt;
use num_rational::BigRational;

use super::complex::{self, Complex};
use super::exact::{self, Point};
use super::expr::{Expr, Function};
use super::float::{Budget, Work};

/// Precision of the first look, in bits: 57 decimal digits.
const FIRST_BITS: u64 = 192;
/// Precision that confirms equality, in bits: 154 decimal digits.
const LAST_BITS: u64 = 512;
/// Agreement asked of the last look, in bits: what is left of it is rounding.
const AGREEMENT_BITS: i64 = 448;
/// Most symbols of an expression.
const MAX_SYMBOLS: usize = 12;
/// Positive points at which functions must agree, how many are tried for it, and how many negative ones follow.
const N_AGREE: usize = 3;
const N_POINTS: usize = 6;
const N_NEGATIVE: usize = 2;

/// Whether `gold` and `answer` are equal. What cannot be decided within the budget is not equal, unless it is written alike.
///
/// Numbers are compared as exact rationals where both are rational. Otherwise both are computed to 57 and then, if they
/// agree, to 154 digits: a difference that is not zero stays as the precision grows, and rounding noise does not. Functions
/// are compared at fixed points, positive ones first; at negative ones only where both are real, so that `ln(x^2)` and
/// `2 ln(x)` are one answer and `sqrt(x^2)` and `x` are two.
pub(super) fn equal(gold: &Expr, answer: &Expr, budget: &Budget) -> bool {
    if gold == answer {
        return true;
    }
    // Letters that cancel are no part of a number: `x + 15 - x` is not 15.
    if answer.has_symbols() && !gold.has_symbols() {
        return false;
    }
    let Some(names) = symbols(&[gold, answer]) else { return false };
    if names.is_empty() {
        return equal_at(gold, answer, &Point::new(), true, &mut Work::new(FIRST_BITS, budget)) == Some(true);
    }
    let mut work = Work::new(FIRST_BITS, budget);
    let whole = needs_whole(gold) || needs_whole(answer);
    let mut n_agree = 0;
    for k in 0..N_POINTS {
        // Where functions agree to 57 digits at several points, more digits of the first are enough.
        match equal_at(gold, answer, &point(&names, k, whole, false), n_agree == 0, &mut work) {
            Some(true) => n_agree += 1,
            Some(false) => return false,
            None => {}
        }
        if n_agree == N_AGREE {
            break;
        }
    }
    let differs_at_negative = || {
        (N_POINTS..N_POINTS + N_NEGATIVE).any(|k| {
            let point = point(&names, k, whole, true);
            let work = &mut Work::new(FIRST_BITS, budget);
            is_real(gold, &point, work)
                && is_real(answer, &point, work)
                && equal_at(gold, answer, &point, false, work) == Some(false)
        })
    };
    n_agree == N_AGREE && (whole || !differs_at_negative())
}

/// `answer(x) = c * gold(x)` with one constant `c` that is not zero; its sign is returned (1 or -1). This is when two
/// equations `gold = 0` and `answer = 0` say the same by being multiples of each other.
pub(super) fn proportional(gold: &Expr, answer: &Expr, budget: &Budget) -> Option<i32> {
    let names = symbols(&[gold, answer]).filter(|names| !names.is_empty())?;
    // One product at two points: gold(p) * answer(q) = gold(q) * answer(p).
    let renamed = |expr: &Expr, suffix: &str| rename(expr, suffix);
    let left = Expr::Product(vec![renamed(gold, ""), renamed(answer, "*")]);
    let right = Expr::Product(vec![renamed(gold, "*"), renamed(answer, "")]);
    if !equal(&left, &right, budget) {
        return None;
    }
    let mut work = Work::new(FIRST_BITS, budget);
    let mut sign = None;
    for k in 0..N_POINTS {
        let point = point(&names, k, false, false);
        let (gold, answer) = (approximate_at(gold, &point, &mut work)?, approximate_at(answer, &point, &mut work)?);
        if gold == 0.0 || answer == 0.0 {
            if (gold == 0.0) != (answer == 0.0) {
                return None;
            }
            continue;
        }
        sign = Some(if (gold < 0.0) == (answer < 0.0) { 1 } else { -1 });
        break;
    }
    sign
}

/// The value of `expr`, to sort or to round by; infinities are themselves. `None` where it is not a real number.
pub(super) fn approximate(expr: &Expr, budget: &Budget) -> Option<f64> {
    match expr {
        Expr::Infinity => Some(f64::INFINITY),
        Expr::Negative(inner) if **inner == Expr::Infinity => Some(f64::NEG_INFINITY),
        expr => approximate_at(expr, &Point::new(), &mut Work::new(FIRST_BITS, budget)),
    }
}

/// The value of `expr` where it is rational and free of symbols.
pub(super) fn rational(expr: &Expr, budget: &Budget) -> Option<BigRational> {
    exact::evaluate(expr, &Point::new(), &mut Work::new(FIRST_BITS, budget))
}

fn approximate_at(expr: &Expr, point: &Point, work: &mut Work) -> Option<f64> {
    let value = complex::evaluate(expr, point, work)?;
    value.is_real().then(|| value.re.to_f64()).filter(|value| value.is_finite())
}

fn is_real(expr: &Expr, point: &Point, work: &mut Work) -> bool {
    exact::evaluate(expr, point, work).is_some()
        || complex::evaluate(expr, point, work).is_some_and(|value| value.is_real())
}

fn symbols<'a>(exprs: &[&'a Expr]) -> Option<BTreeSet<&'a str>> {
    let mut names = BTreeSet::new();
    exprs.iter().for_each(|expr| expr.symbols(&mut names));
    (names.len() <= MAX_SYMBOLS).then_some(names)
}

/// Whether `expr` has a function of its symbols that only whole numbers can be put into.
fn needs_whole(expr: &Expr) -> bool {
    let rounds = |part: &Expr| match part {
        Expr::Apply(Function::Factorial, inner) => inner.has_symbols(),
        Expr::Binomial(pair) => pair.1.has_symbols(),
        _ => false,
    };
    expr.any(&rounds)
}

/// The `k`-th point for the symbols `names`: fixed numbers without pattern, between about 0.1 and 4, or whole ones.
fn point(names: &BTreeSet<&str>, k: usize, whole: bool, negative: bool) -> Point {
    let value = |j: usize| {
        // The finaliser of SplitMix64 (Steele, Lea and Flood, 2014) as a fixed source of digits.
        let mut z = ((k * 31 + j + 1) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        if whole {
            return BigRational::from_integer(BigInt::from(2 + (z % 7) as i64 + j as i64));
        }
        // An odd numerator over a power of two: fractions that are cheap to reduce.
        let numerator = (901 + (z % 30_000) as i64) | 1;
        BigRational::new_raw(BigInt::from(if negative { -numerator } else { numerator }), BigInt::from(8192))
    };
    names.iter().enumerate().map(|(j, name)| ((*name).to_owned(), value(j))).collect()
}

/// Whether both are equal at `point`, to all digits if `thorough`; `None` where either is not defined, or the budget does not reach.
fn equal_at(gold: &Expr, answer: &Expr, point: &Point, thorough: bool, work: &mut Work) -> Option<bool> {
    let exact_gold = exact::evaluate(gold, point, work);
    let exact_answer = exact::evaluate(answer, point, work);
    if let (Some(gold), Some(answer)) = (&exact_gold, &exact_answer) {
        return Some(gold == answer);
    }
    work.bits = FIRST_BITS;
    work.top = i64::MIN / 4;
    let first = difference(gold, answer, point, work)?;
    // Above the rounding of every number that occurred: different beyond doubt.
    if !first.size.is_zero()
        && first.size.top() > first.scale - 64
        && first.size.top() > work.top - FIRST_BITS as i64 + 64
    {
        return Some(false);
    }
    if !thorough {
        return Some(first.size.is_zero() || first.size.top() < first.scale - FIRST_BITS as i64 / 2);
    }
    (work.bits, work.top, work.absorbed) = (LAST_BITS, i64::MIN / 4, false);
    let last = difference(gold, answer, point, work)?;
    if work.absorbed {
        return Some(false);
    }
    let shrunk = first.size.top() > i64::MIN / 8 && last.size.top() < first.size.top() - 250;
    let agrees = last.size.is_zero() || last.size.top() < last.scale - AGREEMENT_BITS;
    Some(agrees || shrunk)
}

struct Difference {
    size: Complex,
    /// Binary exponent of the larger of the two.
    scale: i64,
}

fn difference(gold: &Expr, answer: &Expr, point: &Point, work: &mut Work) -> Option<Difference> {
    let gold = complex::evaluate(gold, point, work)?;
    let answer = complex::evaluate(answer, point, work)?;
    let scale = gold.top().max(answer.top());
    let (absorbed, top) = (work.absorbed, work.top);
    let size = gold.sub(&answer, work)?;
    // One side may well vanish beside the other: that is a difference, not a lost term.
    (work.absorbed, work.top) = (absorbed, top);
    Some(Difference { size, scale })
}

/// `expr` with `suffix` behind every symbol.
fn rename(expr: &Expr, suffix: &str) -> Expr {
    let pair = |pair: &(Expr, Expr)| Box::new((rename(&pair.0, suffix), rename(&pair.1, suffix)));
    let all = |terms: &[Expr]| terms.iter().map(|term| rename(term, suffix)).collect();
    match expr {
        Expr::Symbol(name) => Expr::Symbol(format!("{name}{suffix}")),
        Expr::Negative(inner) => Expr::Negative(Box::new(rename(inner, suffix))),
        Expr::PlusMinus(opposite, inner) => Expr::PlusMinus(*opposite, Box::new(rename(inner, suffix))),
        Expr::Apply(function, inner) => Expr::Apply(*function, Box::new(rename(inner, suffix))),
        Expr::Sum(terms) => Expr::Sum(all(terms)),
        Expr::Product(factors) => Expr::Product(all(factors)),
        Expr::Quotient(inner) => Expr::Quotient(pair(inner)),
        Expr::Power(inner) => Expr::Power(pair(inner)),
        Expr::Log(inner) => Expr::Log(pair(inner)),
        Expr::Binomial(inner) => Expr::Binomial(pair(inner)),
        Expr::Number(_) | Expr::Pi | Expr::Euler | Expr::Imaginary | Expr::Infinity => expr.clone(),
    }
}
