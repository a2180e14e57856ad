//! Evaluates expressions in exact rationals, as far as these reach.

use std::collections::BTreeMap;

use num_bigint::{BigInt, Sign};
use num_rational::BigRational;

use super::calls;
use super::expr::{Expr, Function};
use super::float::Work;

/// Longest numerator or denominator that is computed, in bits; what is longer is left to floating point.
const MAX_BITS: u64 = 8192;
/// Largest number whose factorial is multiplied out.
const MAX_FACTORIAL: u64 = 900;

/// Values of the symbols.
pub(super) type Point = BTreeMap<String, BigRational>;

pub(super) fn is_integer(value: &BigRational) -> bool {
    value.denom().bits() == 1
}

pub(super) fn is_zero(value: &BigRational) -> bool {
    value.numer().sign() == Sign::NoSign
}

pub(super) fn is_negative(value: &BigRational) -> bool {
    value.numer().sign() == Sign::Minus
}

/// An integer as a machine number.
pub(super) fn small(value: &BigRational) -> Option<i64> {
    if is_integer(value) { i64::try_from(value.numer()).ok() } else { None }
}

fn length(value: &BigRational) -> u64 {
    value.numer().bits() + value.denom().bits()
}

/// Pays for one operation whose result is up to `bits` long; reducing a fraction costs the square.
fn pay(bits: u64, work: &mut Work) -> Option<()> {
    if bits > 2 * MAX_BITS {
        return None;
    }
    work.spend(40 + bits * bits / 512)
}

fn add(a: &BigRational, b: &BigRational, work: &mut Work) -> Option<BigRational> {
    if is_integer(a) && is_integer(b) {
        work.spend(4 + (length(a) + length(b)) / 32)?;
        return Some(BigRational::from_integer(a.numer() + b.numer()));
    }
    pay(length(a) + length(b), work)?;
    Some(a + b)
}

pub(super) fn mul(a: &BigRational, b: &BigRational, work: &mut Work) -> Option<BigRational> {
    if is_integer(a) && is_integer(b) && length(a) + length(b) <= 2 * MAX_BITS {
        work.spend(4 + length(a) * length(b) / 4096)?;
        return Some(BigRational::from_integer(a.numer() * b.numer()));
    }
    pay(length(a) + length(b), work)?;
    Some(a * b)
}

pub(super) fn div(a: &BigRational, b: &BigRational, work: &mut Work) -> Option<BigRational> {
    if is_zero(b) {
        return None;
    }
    pay(length(a) + length(b), work)?;
    Some(a / b)
}

/// `base^exponent` of a whole exponent.
fn power(base: &BigRational, exponent: i64, work: &mut Work) -> Option<BigRational> {
    if is_zero(base) {
        return (exponent > 0).then(|| base.clone());
    }
    let n = exponent.unsigned_abs();
    let bits = base.numer().bits().max(base.denom().bits());
    if bits > 1 && bits.checked_mul(n)? > MAX_BITS {
        return None;
    }
    // Of a number of one bit, which is 1 or -1, only the parity counts.
    let n = u32::try_from(if bits == 1 { n % 2 } else { n }).ok()?;
    work.spend(16 + (bits * u64::from(n)).pow(2) / 4096)?;
    let (numer, denom) = (base.numer().pow(n), base.denom().pow(n));
    Some(match (exponent < 0, numer.sign()) {
        (false, _) => BigRational::new_raw(numer, denom),
        (true, Sign::Minus) => BigRational::new_raw(-denom, -numer),
        (true, _) => BigRational::new_raw(denom, numer),
    })
}

/// The exact `degree`-th root, where there is one; of negative numbers only odd ones.
fn root(value: &BigRational, degree: u32, work: &mut Work) -> Option<BigRational> {
    if is_negative(value) && degree.is_multiple_of(2) {
        return None;
    }
    work.spend(256 + length(value) * u64::from(degree) / 4)?;
    let whole_root = |n: &BigInt| {
        let root = n.nth_root(degree);
        (root.pow(degree) == *n).then_some(root)
    };
    Some(BigRational::new_raw(whole_root(value.numer())?, whole_root(value.denom())?))
}

/// `base^exponent` where the result is rational.
fn rational_power(base: &BigRational, exponent: &BigRational, work: &mut Work) -> Option<BigRational> {
    if let Some(exponent) = small(exponent) {
        return power(base, exponent, work);
    }
    let degree = u32::try_from(exponent.denom()).ok().filter(|&degree| degree <= 64)?;
    let root = root(base, degree, work)?;
    power(&root, i64::try_from(exponent.numer()).ok()?, work)
}

/// The value of `expr` with the symbols at `point`; `None` where it is not rational, not defined or too long.
pub(super) fn evaluate(expr: &Expr, point: &Point, work: &mut Work) -> Option<BigRational> {
    work.spend(8)?;
    match expr {
        Expr::Number(value) => Some(value.clone()),
        Expr::Symbol(name) => point.get(name).cloned(),
        Expr::Negative(inner) => Some(-evaluate(inner, point, work)?),
        Expr::Sum(terms) => {
            let (first, rest) = terms.split_first()?;
            let mut sum = evaluate(first, point, work)?;
            for term in rest {
                let term = evaluate(term, point, work)?;
                sum = add(&sum, &term, work)?;
            }
            Some(sum)
        }
        Expr::Product(factors) => {
            let (first, rest) = factors.split_first()?;
            let mut product = evaluate(first, point, work)?;
            for factor in rest {
                let factor = evaluate(factor, point, work)?;
                product = mul(&product, &factor, work)?;
            }
            Some(product)
        }
        Expr::Quotient(pair) => {
            let (numerator, denominator) = (evaluate(&pair.0, point, work)?, evaluate(&pair.1, point, work)?);
            div(&numerator, &denominator, work)
        }
        Expr::Power(pair) => {
            let (base, exponent) = (evaluate(&pair.0, point, work)?, evaluate(&pair.1, point, work)?);
            rational_power(&base, &exponent, work)
        }
        Expr::Binomial(pair) => {
            let (n, k) = (evaluate(&pair.0, point, work)?, evaluate(&pair.1, point, work)?);
            binomial(&n, small(&k)?, work)
        }
        Expr::Apply(function, inner) => {
            let value = evaluate(inner, point, work)?;
            match function {
                Function::Abs => Some(if is_negative(&value) { -value } else { value }),
                Function::Floor => Some(value.floor()),
                Function::Ceiling => Some(value.ceil()),
                Function::Factorial => factorial(small(&value)?, work),
                _ => None,
            }
        }
        Expr::Call(name, arguments) => {
            let values = arguments.iter().map(|inner| evaluate(inner, point, work)).collect::<Option<Vec<_>>>()?;
            calls::rational(name, &values, work)
        }
        Expr::Pi | Expr::Euler | Expr::Imaginary | Expr::Infinity | Expr::PlusMinus(..) | Expr::Log(_) => None,
    }
}

fn factorial(n: i64, work: &mut Work) -> Option<BigRational> {
    let n = u64::try_from(n).ok().filter(|&n| n <= MAX_FACTORIAL)?;
    work.spend(n * n / 8)?;
    Some(BigRational::from_integer((1..=n).map(BigInt::from).product()))
}

/// `n (n-1) ... (n-k+1) / k!`, for any `n`.
fn binomial(n: &BigRational, mut k: i64, work: &mut Work) -> Option<BigRational> {
    if let Some(n) = small(n) {
        if n >= 0 && k > n {
            return Some(BigRational::from_integer(BigInt::ZERO));
        }
        if n >= 0 {
            k = k.min(n - k);
        }
    }
    if !(0..=1000).contains(&k) {
        return None;
    }
    let mut value = BigRational::from_integer(BigInt::from(1));
    for i in 0..k {
        let factor = add(n, &BigRational::from_integer(BigInt::from(-i)), work)?;
        value = mul(&value, &factor, work)?;
        value = div(&value, &BigRational::from_integer(BigInt::from(i + 1)), work)?;
    }
    Some(value)
}
