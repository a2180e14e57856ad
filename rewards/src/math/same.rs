//! Whether two expressions are the same number, or the same function of their symbols.

use std::collections::BTreeSet;

use num_bigint::BigInt;
use num_rational::BigRational;

use super::calls;
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
const N_NEGATIVE: usize = 4;

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
    let settled = calls::settled(gold, answer);
    let (gold, answer) = settled.as_ref().map_or((gold, answer), |(gold, answer)| (gold, answer));
    let Some(names) = symbols(&[gold, answer]) else { return false };
    if names.is_empty() {
        return equal_at(gold, answer, &Point::new(), true, &mut Work::new(FIRST_BITS, budget)) == Some(true);
    }
    let mut work = Work::new(FIRST_BITS, budget);
    let rounded = rounds_fractions(gold) && rounds_fractions(answer);
    let whole = needs_whole(gold) || needs_whole(answer) || rounded;
    let divides = has(gold, &is_divisor) || has(answer, &is_divisor);
    let at = match (divides, whole) {
        (true, _) => At::Divisible,
        (false, true) => At::Whole,
        (false, false) => At::Real,
    };
    // Roundings and divisors may agree at a few whole numbers by chance.
    let n_wanted = if rounded || divides { N_POINTS } else { N_AGREE };
    let mut n_agree = 0;
    for k in 0..N_POINTS {
        // Where functions agree to 57 digits at several points, more digits of the first are enough.
        match equal_at(gold, answer, &point(&names, k, at, false), n_agree == 0, &mut work) {
            Some(true) => n_agree += 1,
            Some(false) => return false,
            None => {}
        }
        if n_agree == n_wanted {
            break;
        }
    }
    let size = |part: &Expr| matches!(part, Expr::Apply(Function::Abs, inner) if inner.has_symbols());
    let sizes = gold.any(&size) && !answer.any(&size);
    // Roundings down and up part where there is nothing to round.
    let rounds = |part: &Expr| matches!(part, Expr::Apply(Function::Floor | Function::Ceiling, _));
    let differs_at_whole = || {
        !whole
            && (has(gold, &rounds) || has(answer, &rounds))
            && (0..2).any(|k| {
                equal_at(gold, answer, &point(&names, k, At::Whole, false), false, &mut Work::new(FIRST_BITS, budget))
                    == Some(false)
            })
    };
    let differs_at_negative = || {
        (N_POINTS..N_POINTS + N_NEGATIVE).any(|k| {
            let point = point(&names, k, at, true);
            let work = &mut Work::new(FIRST_BITS, budget);
            match (is_real(gold, &point, work), is_real(answer, &point, work)) {
                (true, true) => equal_at(gold, answer, &point, false, work) == Some(false),
                // `ln|x|` holds where `ln x` does not; the other way round the answer says more than the gold.
                (true, false) => sizes,
                _ => false,
            }
        })
    };
    n_agree == n_wanted && (whole || !differs_at_negative()) && !differs_at_whole()
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
        let point = point(&names, k, At::Real, false);
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

/// Whether `wanted` holds of a part of `expr` that has symbols.
fn has(expr: &Expr, wanted: &dyn Fn(&Expr) -> bool) -> bool {
    expr.any(&|part| wanted(part) && part.has_symbols())
}

fn is_divisor(part: &Expr) -> bool {
    matches!(part, Expr::Call(name, _) if matches!(name.as_str(), "gcd" | "lcm")) && part.has_symbols()
}

/// Whether `expr` has a function of its symbols that only whole numbers can be put into.
fn needs_whole(expr: &Expr) -> bool {
    let rounds = |part: &Expr| match part {
        Expr::Apply(Function::Factorial, inner) => inner.has_symbols(),
        Expr::Binomial(pair) => pair.1.has_symbols(),
        call => is_divisor(call),
    };
    expr.any(&rounds)
}

/// Whether `expr` rounds fractions of letters that mean whole numbers, as in `\lfloor n/2 \rfloor`, and nothing else.
fn rounds_fractions(expr: &Expr) -> bool {
    let rounding = |part: &Expr| matches!(part, Expr::Apply(Function::Floor | Function::Ceiling, _));
    let other = |part: &Expr| match part {
        Expr::Apply(Function::Floor | Function::Ceiling, inner) => {
            let mut names = BTreeSet::new();
            inner.symbols(&mut names);
            let whole = names.iter().all(|name| ["j", "k", "m", "n", "M", "N"].contains(name));
            !whole || !inner.any(&|part| matches!(part, Expr::Quotient(_)))
        }
        _ => false,
    };
    expr.any(&rounding) && !expr.any(&other)
}

/// What the symbols stand for at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Fractions.
    Real,
    Whole,
    /// Whole numbers with many divisors.
    Divisible,
}

/// The `k`-th point for the symbols `names`: fixed numbers without pattern, fractions between about 0.1 and 4.
fn point(names: &BTreeSet<&str>, k: usize, at: At, negative: bool) -> Point {
    let value = |j: usize| {
        // The finaliser of SplitMix64 (Steele, Lea and Flood, 2014) as a fixed source of digits.
        let mut z = ((k * 31 + j + 1) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        if at == At::Divisible {
            const RICH: [i64; 12] = [12, 18, 20, 30, 24, 36, 60, 45, 50, 16, 27, 70];
            return BigRational::from_integer(BigInt::from(RICH[(z % 12) as usize]));
        }
        if at == At::Whole {
            return BigRational::from_integer(BigInt::from(
                2 + k as i64 + if j == 0 { 0 } else { (z % 7) as i64 + j as i64 },
            ));
        }
        // An odd numerator over a power of two: fractions that are cheap to reduce.
        let numerator = (901 + (z % 30_000) as i64) | 1;
        // All negative first, then every second one.
        let below = negative && (k <= N_POINTS || (j + k).is_multiple_of(2));
        BigRational::new_raw(BigInt::from(if below { -numerator } else { numerator }), BigInt::from(8192))
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
    match expr {
        Expr::Symbol(name) => Expr::Symbol(format!("{name}{suffix}")),
        other => other.rebuilt(&|child| rename(child, suffix)),
    }
}
