//! Evaluates expressions in complex numbers of high precision, where rationals do not reach.

use num_rational::BigRational;

use super::calls;
use super::elementary;
use super::exact::{self, Point};
use super::expr::{Expr, Function};
use super::float::{Float, Work};

/// A complex number; real ones keep an imaginary part of exactly zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complex {
    pub(super) re: Float,
    pub(super) im: Float,
}

impl From<Float> for Complex {
    fn from(re: Float) -> Self {
        Self { re, im: Float::zero() }
    }
}

impl Complex {
    fn i() -> Self {
        Self { re: Float::zero(), im: Float::one() }
    }

    pub(super) fn is_real(&self) -> bool {
        self.im.is_zero()
    }

    pub(super) fn is_zero(&self) -> bool {
        self.re.is_zero() && self.im.is_zero()
    }

    pub(super) fn top(&self) -> i64 {
        self.re.top().max(self.im.top())
    }

    fn neg(&self) -> Self {
        Self { re: self.re.neg(), im: self.im.neg() }
    }

    fn half(&self) -> Self {
        Self { re: self.re.shifted(-1), im: self.im.shifted(-1) }
    }

    pub(super) fn add(&self, other: &Self, work: &mut Work) -> Option<Self> {
        Some(Self { re: self.re.add(&other.re, work)?, im: self.im.add(&other.im, work)? })
    }

    pub(super) fn sub(&self, other: &Self, work: &mut Work) -> Option<Self> {
        self.add(&other.neg(), work)
    }

    pub(super) fn mul(&self, other: &Self, work: &mut Work) -> Option<Self> {
        if self.is_real() && other.is_real() {
            return Some(self.re.mul(&other.re, work)?.into());
        }
        let (ac, bd) = (self.re.mul(&other.re, work)?, self.im.mul(&other.im, work)?);
        let (ad, bc) = (self.re.mul(&other.im, work)?, self.im.mul(&other.re, work)?);
        Some(Self { re: ac.sub(&bd, work)?, im: ad.add(&bc, work)? })
    }

    fn norm_squared(&self, work: &mut Work) -> Option<Float> {
        let (a, b) = (self.re.mul(&self.re, work)?, self.im.mul(&self.im, work)?);
        a.add(&b, work)
    }

    pub(super) fn div(&self, other: &Self, work: &mut Work) -> Option<Self> {
        if other.is_real() {
            return Some(Self { re: self.re.div(&other.re, work)?, im: self.im.div(&other.re, work)? });
        }
        let norm = other.norm_squared(work)?;
        let product = self.mul(&Self { re: other.re.clone(), im: other.im.neg() }, work)?;
        Some(Self { re: product.re.div(&norm, work)?, im: product.im.div(&norm, work)? })
    }

    fn abs(&self, work: &mut Work) -> Option<Float> {
        if self.is_real() { Some(self.re.abs()) } else { self.norm_squared(work)?.sqrt(work) }
    }

    fn ln(&self, work: &mut Work) -> Option<Self> {
        let norm = self.abs(work)?;
        Some(Self { re: elementary::ln(&norm, work)?, im: elementary::atan2(&self.im, &self.re, work)? })
    }

    fn exp(&self, work: &mut Work) -> Option<Self> {
        let size = elementary::exp(&self.re, work)?;
        if self.is_real() {
            return Some(size.into());
        }
        let (sin, cos) = elementary::sin_cos(&self.im, work)?;
        Some(Self { re: size.mul(&cos, work)?, im: size.mul(&sin, work)? })
    }

    /// The principal square root.
    fn sqrt(&self, work: &mut Work) -> Option<Self> {
        if self.is_real() {
            let root = self.re.abs().sqrt(work)?;
            return Some(if self.re.is_negative() { Self { re: Float::zero(), im: root } } else { root.into() });
        }
        let norm = self.abs(work)?;
        let re = norm.add(&self.re, work)?.shifted(-1).sqrt(work)?;
        let im = norm.sub(&self.re, work)?.shifted(-1).sqrt(work)?;
        Some(Self { re, im: if self.im.is_negative() { im.neg() } else { im } })
    }

    /// A whole power, by repeated squaring.
    fn powi(&self, exponent: i64, work: &mut Work) -> Option<Self> {
        if self.is_zero() {
            return (exponent > 0).then(|| self.clone());
        }
        let mut result = Self::from(Float::one());
        let (mut square, mut n) = (self.clone(), exponent.unsigned_abs());
        while n > 0 {
            if n % 2 == 1 {
                result = result.mul(&square, work)?;
            }
            n /= 2;
            if n > 0 {
                square = square.mul(&square, work)?;
            }
        }
        if exponent < 0 { Self::from(Float::one()).div(&result, work) } else { Some(result) }
    }

    /// A fractional power. An odd root of a negative number is the negative real one, as school has it.
    fn pow_rational(&self, exponent: &BigRational, work: &mut Work) -> Option<Self> {
        if let Some(n) = exact::small(exponent) {
            return self.powi(n, work);
        }
        if self.is_zero() {
            return (!exact::is_negative(exponent)).then(|| self.clone());
        }
        if i64::try_from(exponent.denom()) == Ok(2) {
            return self.sqrt(work)?.powi(i64::try_from(exponent.numer()).ok()?, work);
        }
        let odd_root = exponent.denom().bit(0);
        if self.is_real() && self.re.is_negative() && odd_root {
            let size = Self::from(self.re.abs()).pow_rational(exponent, work)?;
            return Some(if exponent.numer().bit(0) { size.neg() } else { size });
        }
        let factor = Float::from_rational(exponent, work)?;
        self.ln(work)?.mul(&factor.into(), work)?.exp(work)
    }

    fn pow(&self, exponent: &Self, work: &mut Work) -> Option<Self> {
        if self.is_zero() {
            let positive = exponent.is_real() && !exponent.re.is_negative() && !exponent.re.is_zero();
            return positive.then(|| self.clone());
        }
        self.ln(work)?.mul(exponent, work)?.exp(work)
    }

    /// Sine and cosine.
    pub(super) fn sin_cos(&self, work: &mut Work) -> Option<(Self, Self)> {
        if self.is_real() {
            let (sin, cos) = elementary::sin_cos(&self.re, work)?;
            return Some((sin.into(), cos.into()));
        }
        let up = self.mul(&Self::i(), work)?.exp(work)?;
        let down = Self::from(Float::one()).div(&up, work)?;
        let sin = up.sub(&down, work)?.half().mul(&Self::i().neg(), work)?;
        Some((sin, up.add(&down, work)?.half()))
    }

    fn apply(&self, function: Function, work: &mut Work) -> Option<Self> {
        let one = || Self::from(Float::one());
        match function {
            Function::Sin => Some(self.sin_cos(work)?.0),
            Function::Cos => Some(self.sin_cos(work)?.1),
            Function::Tan => self.sin_cos(work).and_then(|(sin, cos)| sin.div(&cos, work)),
            Function::Cot => self.sin_cos(work).and_then(|(sin, cos)| cos.div(&sin, work)),
            Function::Sec => self.sin_cos(work).and_then(|(_, cos)| one().div(&cos, work)),
            Function::Csc => self.sin_cos(work).and_then(|(sin, _)| one().div(&sin, work)),
            Function::Sinh | Function::Cosh | Function::Tanh => {
                let up = self.exp(work)?;
                let down = one().div(&up, work)?;
                let (sinh, cosh) = (up.sub(&down, work)?.half(), up.add(&down, work)?.half());
                match function {
                    Function::Sinh => Some(sinh),
                    Function::Cosh => Some(cosh),
                    _ => sinh.div(&cosh, work),
                }
            }
            Function::Asin => self.asin(work),
            Function::Acos => {
                let quarter = Self::from(elementary::pi(work)?.shifted(-1));
                quarter.sub(&self.asin(work)?, work)
            }
            Function::Atan if self.is_real() => Some(elementary::atan(&self.re, work)?.into()),
            Function::Ln => self.ln(work),
            Function::Exp => self.exp(work),
            Function::Abs => Some(self.abs(work)?.into()),
            // Rounding of what is not known exactly may fall on either side, and the rest is not defined here.
            Function::Atan | Function::Floor | Function::Ceiling | Function::Factorial => None,
        }
    }

    /// The arc sine of a real number of at most 1 in size.
    fn asin(&self, work: &mut Work) -> Option<Self> {
        if !self.is_real() {
            return None;
        }
        let rest = Float::one().sub(&self.re.mul(&self.re, work)?, work)?;
        let root = rest.sqrt(work)?;
        Some(elementary::atan2(&self.re, &root, work)?.into())
    }
}

/// `n!` of a whole number too large for [`exact`].
fn factorial(n: i64, work: &mut Work) -> Option<Complex> {
    let n = u32::try_from(n).ok().filter(|&n| n <= 5_000)?;
    let mut product = Float::one();
    // Factors are gathered in a machine word first.
    let mut gathered = 1_u64;
    for i in 2..=u64::from(n) {
        gathered = match gathered.checked_mul(i) {
            Some(more) => more,
            None => {
                product = product.mul(&Float { mantissa: gathered.into(), exponent: 0 }, work)?;
                i
            }
        };
    }
    Some(product.mul(&Float { mantissa: gathered.into(), exponent: 0 }, work)?.into())
}

/// The value of `expr` with the symbols at `point`; `None` where it is not defined, or not within the budget.
pub(super) fn evaluate(expr: &Expr, point: &Point, work: &mut Work) -> Option<Complex> {
    work.spend(8)?;
    match expr {
        Expr::Number(value) => Some(Float::from_rational(value, work)?.into()),
        Expr::Symbol(name) => Some(Float::from_rational(point.get(name)?, work)?.into()),
        Expr::Pi => Some(elementary::pi(work)?.into()),
        Expr::Euler => Some(elementary::exp(&Float::one(), work)?.into()),
        Expr::Imaginary => Some(Complex::i()),
        Expr::Infinity | Expr::PlusMinus(..) => None,
        Expr::Negative(inner) => Some(evaluate(inner, point, work)?.neg()),
        Expr::Sum(terms) => {
            let mut sum = Complex::from(Float::zero());
            for term in terms {
                let term = evaluate(term, point, work)?;
                sum = sum.add(&term, work)?;
            }
            Some(sum)
        }
        Expr::Product(factors) => {
            let mut product = Complex::from(Float::one());
            for factor in factors {
                let factor = evaluate(factor, point, work)?;
                product = product.mul(&factor, work)?;
            }
            Some(product)
        }
        Expr::Quotient(pair) => {
            let (numerator, denominator) = (evaluate(&pair.0, point, work)?, evaluate(&pair.1, point, work)?);
            numerator.div(&denominator, work)
        }
        Expr::Power(pair) => {
            if let Some(exponent) = exact::evaluate(&pair.1, point, work) {
                return evaluate(&pair.0, point, work)?.pow_rational(&exponent, work);
            }
            let exponent = evaluate(&pair.1, point, work)?;
            if pair.0 == Expr::Euler {
                return exponent.exp(work);
            }
            evaluate(&pair.0, point, work)?.pow(&exponent, work)
        }
        Expr::Log(pair) => {
            let base = evaluate(&pair.0, point, work)?.ln(work)?;
            evaluate(&pair.1, point, work)?.ln(work)?.div(&base, work)
        }
        Expr::Apply(Function::Factorial, inner) => {
            let n = exact::evaluate(inner, point, work)?;
            factorial(exact::small(&n)?, work)
        }
        Expr::Call(name, arguments) => {
            if calls::KNOWN.contains(&name.as_str())
                && let Some(value) = rational(expr, point, work)
            {
                return Some(value);
            }
            let values = arguments.iter().map(|inner| evaluate(inner, point, work)).collect::<Option<Vec<_>>>()?;
            calls::complex(name, &values, work)
        }
        Expr::Binomial(_) | Expr::Apply(Function::Floor | Function::Ceiling, _) => rational(expr, point, work),
        Expr::Apply(function, inner) => evaluate(inner, point, work)?.apply(*function, work),
    }
}

/// The value of a part that is rational or nothing.
fn rational(expr: &Expr, point: &Point, work: &mut Work) -> Option<Complex> {
    let value = exact::evaluate(expr, point, work)?;
    Some(Float::from_rational(&value, work)?.into())
}
