//! Functions that are called by name: `max`, `gcd` and their kin, and unknown ones such as `f`.

use num_bigint::BigInt;
use num_rational::BigRational;

use super::complex::Complex;
use super::exact;
use super::expr::Expr;
use super::float::{Float, Work};

/// Names whose values are known here.
pub(super) const KNOWN: [&str; 5] = ["max", "min", "gcd", "lcm", "sgn"];
/// Letters that name a function wherever a bracket follows.
const LETTERS: [&str; 5] = ["f", "g", "h", "F", "G"];
/// Letters that name one where the bracket holds one symbol or number: `P(x)`, but not `P(1 + r)`.
const POLYNOMIALS: [&str; 3] = ["P", "Q", "H"];
/// Longest whole number that a divisor is looked for of, in bits.
const MAX_BITS: u64 = 1024;

/// Whether `name` in front of a bracket is a function; `simple` where the bracket holds one symbol or number.
pub(super) fn is_function(name: &str, simple: bool) -> bool {
    let base = name.split(['_', '^', '\'']).next().unwrap_or(name);
    LETTERS.contains(&base) || (simple && POLYNOMIALS.contains(&base))
}

/// Whether `name` of `arguments` may yet be a product, as in `g(m + M)`: a letter that also names a quantity, and one sum or
/// product in the bracket.
fn may_be_product(name: &str, arguments: &[Expr]) -> bool {
    let simple = matches!(arguments, [Expr::Symbol(_) | Expr::Number(_) | Expr::Call(..)]);
    arguments.len() == 1 && !simple && name != "f" && LETTERS.contains(&name)
}

/// `gold` and `answer` with what may be a product read as one, where either has its letter alone; `None` where they are
/// as they stand.
pub(super) fn settled(gold: &Expr, answer: &Expr) -> Option<(Expr, Expr)> {
    let is_call = |part: &Expr| matches!(part, Expr::Call(..));
    if !gold.any(&is_call) && !answer.any(&is_call) {
        return None;
    }
    let product = |name: &str| {
        let alone = |part: &Expr| matches!(part, Expr::Symbol(symbol) if symbol == name);
        let function = |part: &Expr| matches!(part, Expr::Call(other, arguments) if other == name && !may_be_product(name, &arguments[1..]));
        (gold.any(&alone) || answer.any(&alone)) && !gold.any(&function) && !answer.any(&function)
    };
    Some((multiplied(gold, &product), multiplied(answer, &product)))
}

/// `expr` with the calls of the names that `wanted` takes written as products.
fn multiplied(expr: &Expr, wanted: &dyn Fn(&str) -> bool) -> Expr {
    let taken = |name: &str, arguments: &[Expr]| LETTERS.contains(&name) && arguments.len() == 2 && wanted(name);
    match expr {
        // The exponent behind the bracket is the bracket's.
        Expr::Power(pair)
            if let Expr::Call(name, arguments) = &pair.0
                && taken(name, arguments) =>
        {
            let power = Expr::power(multiplied(&arguments[1], wanted), multiplied(&pair.1, wanted));
            Expr::Product(vec![Expr::Symbol(name.clone()), power])
        }
        Expr::Call(name, arguments) if taken(name, arguments) => {
            Expr::Product(vec![Expr::Symbol(name.clone()), multiplied(&arguments[1], wanted)])
        }
        other => other.rebuilt(&|child| multiplied(child, wanted)),
    }
}

/// The value of a known function at rational arguments.
pub(super) fn rational(name: &str, values: &[BigRational], work: &mut Work) -> Option<BigRational> {
    work.spend(values.iter().map(|value| 64 + value.numer().bits() + value.denom().bits()).sum())?;
    match (name, values) {
        ("max", _) => values.iter().max().cloned(),
        ("min", _) => values.iter().min().cloned(),
        ("sgn", [value]) => {
            let sign = if exact::is_zero(value) { 0 } else { 1 - 2 * i64::from(exact::is_negative(value)) };
            Some(BigRational::from_integer(BigInt::from(sign)))
        }
        ("gcd" | "lcm", [first, rest @ ..]) => {
            let whole = |value: &BigRational| {
                exact::is_integer(value) && value.numer().bits() <= MAX_BITS && !exact::is_zero(value)
            };
            values.iter().all(whole).then_some(())?;
            rest.iter().try_fold(first.clone(), |so_far, next| {
                work.spend(MAX_BITS)?;
                // What the fraction of both is reduced by.
                let divisor = so_far.numer() / BigRational::new(so_far.numer().clone(), next.numer().clone()).numer();
                let value = if name == "gcd" { divisor } else { so_far.numer() * next.numer() / divisor };
                let value = BigRational::from_integer(value);
                let value = if exact::is_negative(&value) { -value } else { value };
                (value.numer().bits() <= 2 * MAX_BITS).then_some(value)
            })
        }
        _ => None,
    }
}

/// The value of a known function at real arguments, or of an unknown one: a fixed function that satisfies no equation that
/// an answer would state, `sin(a_0 + c_1 a_1 + d_1 a_1^2 + ...)` with the symbol of the function itself as `a_0`.
pub(super) fn complex(name: &str, values: &[Complex], work: &mut Work) -> Option<Complex> {
    let (first, rest) = values.split_first()?;
    match name {
        "max" | "min" => {
            values.iter().all(Complex::is_real).then_some(())?;
            rest.iter().try_fold(first.clone(), |best, next| {
                let less = next.re.sub(&best.re, work)?.is_negative();
                Some(if less == (name == "min") { next.clone() } else { best })
            })
        }
        _ if KNOWN.contains(&name) => None,
        _ => {
            let factor = |numerator: i64, work: &mut Work| {
                let factor = BigRational::new(BigInt::from(numerator), BigInt::from(8192));
                Some(Complex::from(Float::from_rational(&factor, work)?))
            };
            let mut sum = first.clone();
            for (i, value) in (1_i64..).zip(rest) {
                let (linear, square) = (factor(6_007 + 1_234 * i, work)?, factor(2_357 + 346 * i, work)?);
                let slope = square.mul(value, work)?.add(&linear, work)?;
                sum = sum.add(&slope.mul(value, work)?, work)?;
            }
            Some(sum.sin_cos(work)?.0)
        }
    }
}
