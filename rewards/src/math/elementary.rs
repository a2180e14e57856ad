//! Exponential, logarithm, circular functions and their inverses of real numbers, to the precision of the budget.

use std::sync::OnceLock;

use num_bigint::BigInt;

use super::float::{Float, NOISE_BITS, Work};

/// Bits after the point of the stored constants: the highest precision, guard bits, and room to reduce an argument.
const CONSTANT_BITS: u64 = 1024;
/// Guard bits of every series.
const GUARD: u64 = 64;
/// Largest binary exponent of an argument of `sin` or `exp`.
const MAX_ARGUMENT: i64 = 60;

/// `atanh(1/n)` or, with alternating signs, `atan(1/n)`, times `2^bits`.
fn inverse_series(n: u32, alternate: bool, bits: u64) -> BigInt {
    let square = BigInt::from(n) * n;
    let mut power = (BigInt::from(1) << bits) / n;
    let mut sum = power.clone();
    let mut k = 1_u32;
    while power != BigInt::ZERO {
        power /= &square;
        let term = &power / (2 * k + 1);
        if alternate && k % 2 == 1 {
            sum -= term;
        } else {
            sum += term;
        }
        k += 1;
    }
    sum
}

/// Pi times `2^bits`, by Machin's formula.
fn pi_fixed(bits: u64) -> BigInt {
    static PI: OnceLock<BigInt> = OnceLock::new();
    let stored = PI.get_or_init(|| {
        let bits = CONSTANT_BITS + 32;
        ((inverse_series(5, true, bits) * 16) - (inverse_series(239, true, bits) * 4)) >> 32_u32
    });
    stored >> (CONSTANT_BITS - bits)
}

/// The natural logarithm of 2 times `2^bits`.
fn ln2_fixed(bits: u64) -> BigInt {
    static LN2: OnceLock<BigInt> = OnceLock::new();
    let stored = LN2.get_or_init(|| {
        let bits = CONSTANT_BITS + 32;
        let sum = inverse_series(26, false, bits) * 18 - inverse_series(4801, false, bits) * 2
            + inverse_series(8749, false, bits) * 8;
        sum >> 32_u32
    });
    stored >> (CONSTANT_BITS - bits)
}

/// Pi.
pub(super) fn pi(work: &Work) -> Option<Float> {
    Float::from_fixed(pi_fixed(work.bits + GUARD), work.bits + GUARD, work.bits)
}

/// `e^x`; `None` where it is out of range.
pub(super) fn exp(x: &Float, work: &mut Work) -> Option<Float> {
    /// The argument is divided by `2^HALVINGS` and the result squared as often.
    const HALVINGS: u64 = 8;
    if x.top() > MAX_ARGUMENT {
        return None;
    }
    work.spend(work.bits * work.bits / 64)?;
    let bits = work.bits + GUARD;
    let long = bits + MAX_ARGUMENT as u64 + 4;
    let ln2 = ln2_fixed(long);
    let argument = x.to_fixed(long, u64::MAX / 4)?;
    let doublings = &argument / &ln2;
    let rest = (argument - &doublings * ln2) >> (long - bits);
    let small = rest >> HALVINGS;
    let one = BigInt::from(1) << bits;
    let (mut sum, mut term, mut k) = (one.clone(), one, 1_u32);
    while term.bits() > 1 {
        term = ((term * &small) >> bits) / k;
        sum += &term;
        k += 1;
    }
    for _ in 0..HALVINGS {
        sum = (&sum * &sum) >> bits;
    }
    Float::new(sum, i64::try_from(doublings).ok()? - bits as i64, work.bits)
}

/// The natural logarithm; `None` unless `x` is positive.
pub(super) fn ln(x: &Float, work: &mut Work) -> Option<Float> {
    /// Square roots taken before the series; each halves the logarithm.
    const ROOTS: u64 = 2;
    if x.is_zero() || x.is_negative() {
        return None;
    }
    work.spend(work.bits * work.bits / 64)?;
    let bits = work.bits + GUARD;
    // x = y * 2^k with y in [3/4, 3/2), so that numbers near 1 keep k = 0.
    let mut k = x.top();
    if x.shifted(-k).cmp(&Float { mantissa: BigInt::from(3), exponent: -2 }).is_lt() {
        k -= 1;
    }
    let one = BigInt::from(1) << bits;
    let mut y = x.shifted(-k).to_fixed(bits, u64::MAX / 4)?;
    for _ in 0..ROOTS {
        y = (y << bits).sqrt();
    }
    let z = ((&y - &one) << bits) / (y + one);
    let series = odd_series(&z, bits, false);
    let sum = (series << (ROOTS + 1)) + ln2_fixed(bits) * k;
    Float::from_fixed(sum, bits, work.bits)
}

/// `z + z^3/3 + z^5/5 + ...`, with alternating signs if asked; `z` is fixed-point and well below 1.
fn odd_series(z: &BigInt, bits: u64, alternate: bool) -> BigInt {
    let square = (z * z) >> bits;
    let (mut power, mut sum, mut k) = (z.clone(), z.clone(), 1_u32);
    while power.bits() > 1 {
        power = (power * &square) >> bits;
        let term = &power / (2 * k + 1);
        if alternate && k % 2 == 1 {
            sum -= term;
        } else {
            sum += term;
        }
        k += 1;
    }
    sum
}

/// Sine and cosine of `x` in radians; `None` of an argument too large to be reduced.
pub(super) fn sin_cos(x: &Float, work: &mut Work) -> Option<(Float, Float)> {
    if x.top() > MAX_ARGUMENT {
        return None;
    }
    work.spend(work.bits * work.bits / 32)?;
    let bits = work.bits + GUARD;
    let long = bits + MAX_ARGUMENT as u64 + 4;
    let quarter = pi_fixed(long) >> 1_u32;
    let argument = x.to_fixed(long, u64::MAX / 4)?;
    // Rounded to the nearest quarter turn: numbers near a multiple keep a small rest.
    let half_quarter: BigInt = &quarter >> 1_u32;
    let shifted = argument.clone() + half_quarter;
    let mut turns = &shifted / &quarter;
    if shifted.sign() == num_bigint::Sign::Minus {
        turns -= 1;
    }
    let rest = (argument - &turns * quarter) >> (long - bits);
    let square = (&rest * &rest) >> bits;
    let one = BigInt::from(1) << bits;
    let series = |first: BigInt, mut k: u32| {
        let (mut sum, mut term) = (first.clone(), first);
        while term.bits() > 1 {
            term = -((term * &square) >> bits) / (k * (k + 1));
            sum += &term;
            k += 2;
        }
        sum
    };
    let sin = Float::from_fixed(series(rest.clone(), 2), bits, work.bits)?;
    let cos = Float::from_fixed(series(one, 1), bits, work.bits)?;
    // sin(pi) is not zero only because pi is rounded.
    let noise = x.top().max(0) - work.bits as i64 + NOISE_BITS;
    let clean = |value: Float| if x.top() > -NOISE_BITS && value.top() < noise { Float::zero() } else { value };
    let (sin, cos) = (clean(sin), clean(cos));
    let quadrant = ((turns % 4_u32) + 4_u32) % 4_u32;
    Some(match u8::try_from(quadrant).ok()? {
        0 => (sin, cos),
        1 => (cos, sin.neg()),
        2 => (sin.neg(), cos.neg()),
        _ => (cos.neg(), sin),
    })
}

/// The angle in `(-pi/2, pi/2)` whose tangent is `x`.
pub(super) fn atan(x: &Float, work: &mut Work) -> Option<Float> {
    /// Halvings of the angle before the series.
    const HALVINGS: u64 = 3;
    work.spend(work.bits * work.bits / 32)?;
    if x.top() > 1 {
        let inverse = Float::one().div(x, work)?;
        let small = atan(&inverse, work)?;
        let half_pi = pi(work)?.shifted(-1);
        let half_pi = if x.is_negative() { half_pi.neg() } else { half_pi };
        return half_pi.sub(&small, work);
    }
    let bits = work.bits + GUARD;
    let one = BigInt::from(1) << bits;
    let mut y = x.to_fixed(bits, u64::MAX / 4)?;
    for _ in 0..HALVINGS {
        // tan(a/2) = tan a / (1 + sqrt(1 + tan^2 a))
        let root = ((&one << bits) + &y * &y).sqrt();
        y = (y << bits) / (root + &one);
    }
    Float::from_fixed(odd_series(&y, bits, true) << HALVINGS, bits, work.bits)
}

/// The angle of the point `(x, y)` in `(-pi, pi]`; `None` of the origin.
pub(super) fn atan2(y: &Float, x: &Float, work: &mut Work) -> Option<Float> {
    let pi = pi(work)?;
    if x.is_zero() {
        let half = pi.shifted(-1);
        return if y.is_zero() { None } else { Some(if y.is_negative() { half.neg() } else { half }) };
    }
    if y.is_zero() {
        return Some(if x.is_negative() { pi } else { Float::zero() });
    }
    let angle = atan(&y.div(x, work)?, work)?;
    match (x.is_negative(), y.is_negative()) {
        (false, _) => Some(angle),
        (true, false) => angle.add(&pi, work),
        (true, true) => angle.sub(&pi, work),
    }
}

#[cfg(test)]
mod tests {
    use num_rational::BigRational;

    use super::super::float::Budget;
    use super::*;

    fn float(numer: i64, denom: i64, work: &mut Work) -> Float {
        Float::from_rational(&BigRational::new(numer.into(), denom.into()), work).unwrap()
    }

    #[test]
    fn functions_undo_each_other_at_both_precisions() {
        for bits in [192, 512] {
            let budget = Budget::new(u64::MAX);
            let work = &mut Work::new(bits, &budget);
            for (numer, denom) in [(1, 3), (5, 2), (1, 1), (-7, 4), (22, 7), (1_000_001, 1_000_000), (40, 1), (-1, 9)] {
                let x = float(numer, denom, work);
                let small = |left: &Float, right: &Float, work: &mut Work| {
                    let error = left.sub(right, work).unwrap();
                    assert!(error.top() < 10 - bits as i64, "{numer}/{denom} at {bits} bits: 2^{}", error.top());
                };
                let back = exp(&x, work).and_then(|y| ln(&y, work)).unwrap();
                small(&back, &x, work);
                let (sin, cos) = sin_cos(&x, work).unwrap();
                let one = sin.mul(&sin, work).unwrap().add(&cos.mul(&cos, work).unwrap(), work).unwrap();
                small(&one, &Float::one(), work);
                let angle = atan(&x, work).unwrap();
                let (sin, cos) = sin_cos(&angle, work).unwrap();
                small(&sin.div(&cos, work).unwrap(), &x, work);
            }
        }
    }

    #[test]
    fn values_agree_with_double_precision() {
        let budget = Budget::new(u64::MAX);
        let work = &mut Work::new(192, &budget);
        for value in [0.125_f64, 1.0, 3.25, -2.5, 100.0, -0.001953125] {
            let x = float((value * 1024.0) as i64, 1024, work);
            let close = |got: f64, expected: f64| {
                assert!((got - expected).abs() <= 1e-13 * expected.abs().max(1.0), "{value}: {got} is not {expected}");
            };
            let (sin, cos) = sin_cos(&x, work).unwrap();
            close(sin.to_f64(), value.sin());
            close(cos.to_f64(), value.cos());
            close(exp(&x, work).unwrap().to_f64(), value.exp());
            close(atan(&x, work).unwrap().to_f64(), value.atan());
            if value > 0.0 {
                close(ln(&x, work).unwrap().to_f64(), value.ln());
            }
            let y = float(-3, 4, work);
            close(atan2(&y, &x, work).unwrap().to_f64(), (-0.75_f64).atan2(value));
        }
        assert!((pi(work).unwrap().to_f64() - std::f64::consts::PI).abs() < 1e-15);
    }
}
