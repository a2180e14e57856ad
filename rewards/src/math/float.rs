//! Binary floating-point numbers of a chosen precision, and the bound on the work spent with them.

use std::cell::Cell;
use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use num_rational::BigRational;

/// The machine words that one verdict may still handle in arithmetic: it costs a bounded time whatever the expressions,
/// and nothing here looks at a clock.
#[derive(Debug)]
pub(super) struct Budget(Cell<u64>);

impl Budget {
    pub(super) fn new(words: u64) -> Self {
        Self(Cell::new(words))
    }
}

/// One evaluation: its precision, what it may spend, and what it has seen.
#[derive(Debug)]
pub(super) struct Work<'a> {
    /// Precision in bits.
    pub(super) bits: u64,
    budget: &'a Budget,
    /// Whether a sum lost one of its terms entirely: `2^100000 + 1` at any affordable precision. Equality to so many
    /// digits then proves nothing.
    pub(super) absorbed: bool,
    /// Highest binary exponent that occurred: where cancellation leaves rounding noise, it lies `bits` below.
    pub(super) top: i64,
}

impl<'a> Work<'a> {
    /// An evaluation to `bits` bits, paid from `budget`.
    pub(super) fn new(bits: u64, budget: &'a Budget) -> Self {
        Self { bits, budget, absorbed: false, top: i64::MIN / 4 }
    }

    /// Takes `words` from the budget; `None` once it is spent.
    pub(super) fn spend(&mut self, words: u64) -> Option<()> {
        let left = self.budget.0.get().checked_sub(words);
        self.budget.0.set(left.unwrap_or(0));
        left.map(|_| ())
    }
}

/// `mantissa * 2^exponent`. Zero has mantissa 0 and exponent 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Float {
    pub(super) mantissa: BigInt,
    pub(super) exponent: i64,
}

/// Last bits of a sum or of a circular function that rounding may have spoilt.
pub(super) const NOISE_BITS: i64 = 20;

/// Exponents beyond this are refused: far more than any written number, far less than an `i64`.
const MAX_EXPONENT: i64 = 1 << 60;

impl Float {
    pub(super) fn zero() -> Self {
        Self { mantissa: BigInt::ZERO, exponent: 0 }
    }

    pub(super) fn one() -> Self {
        Self { mantissa: BigInt::from(1), exponent: 0 }
    }

    pub(super) fn is_zero(&self) -> bool {
        self.mantissa.sign() == Sign::NoSign
    }

    pub(super) fn is_negative(&self) -> bool {
        self.mantissa.sign() == Sign::Minus
    }

    /// Exponent of the bit above the highest one: `2^(top-1) <= |self| < 2^top`. Of zero, the least there is.
    pub(super) fn top(&self) -> i64 {
        if self.is_zero() { i64::MIN / 4 } else { self.exponent + self.mantissa.bits() as i64 }
    }

    /// `mantissa * 2^exponent`, rounded to `bits` bits; `None` out of range.
    pub(super) fn new(mantissa: BigInt, exponent: i64, bits: u64) -> Option<Self> {
        let excess = mantissa.bits().saturating_sub(bits);
        let (mantissa, exponent) = if excess > 0 {
            let half = BigInt::from(1) << (excess - 1);
            ((mantissa + half) >> excess, exponent + excess as i64)
        } else {
            (mantissa, exponent)
        };
        if mantissa.sign() == Sign::NoSign {
            return Some(Self::zero());
        }
        (exponent.abs() < MAX_EXPONENT).then_some(Self { mantissa, exponent })
    }

    /// `fixed / 2^fraction_bits`, rounded to `bits` bits.
    pub(super) fn from_fixed(fixed: BigInt, fraction_bits: u64, bits: u64) -> Option<Self> {
        Self::new(fixed, -(fraction_bits as i64), bits)
    }

    /// `self * 2^fraction_bits`, rounded down; `None` where it would be longer than `max_bits`.
    pub(super) fn to_fixed(&self, fraction_bits: u64, max_bits: u64) -> Option<BigInt> {
        if self.is_zero() {
            return Some(BigInt::ZERO);
        }
        let shift = self.exponent + fraction_bits as i64;
        if self.top() + fraction_bits as i64 > max_bits as i64 {
            return None;
        }
        Some(if shift >= 0 {
            &self.mantissa << shift as u64
        } else if -shift > self.mantissa.bits() as i64 + 1 {
            BigInt::ZERO
        } else {
            &self.mantissa >> (-shift) as u64
        })
    }

    pub(super) fn from_rational(value: &BigRational, work: &mut Work) -> Option<Self> {
        let (numer, denom) = (value.numer(), value.denom());
        work.spend((numer.bits() + denom.bits()) / 32 + work.bits / 32)?;
        if denom.bits() == 1 {
            return work.see(Self::new(numer.clone(), 0, work.bits)?);
        }
        let shift = (work.bits + 2 + denom.bits()).saturating_sub(numer.bits());
        let quotient = (numer << shift) / denom;
        let float = Self::new(quotient, -(shift as i64), work.bits)?;
        work.see(float)
    }

    pub(super) fn neg(&self) -> Self {
        Self { mantissa: -&self.mantissa, exponent: self.exponent }
    }

    pub(super) fn abs(&self) -> Self {
        if self.is_negative() { self.neg() } else { self.clone() }
    }

    /// `self * 2^shift`.
    pub(super) fn shifted(&self, shift: i64) -> Self {
        if self.is_zero() {
            Self::zero()
        } else {
            Self { mantissa: self.mantissa.clone(), exponent: self.exponent + shift }
        }
    }

    pub(super) fn add(&self, other: &Self, work: &mut Work) -> Option<Self> {
        if self.is_zero() {
            return Some(other.clone());
        }
        if other.is_zero() {
            return Some(self.clone());
        }
        work.spend(work.bits / 32)?;
        let (high, low) = if self.top() >= other.top() { (self, other) } else { (other, self) };
        if high.top() - low.top() > work.bits as i64 - 40 {
            work.absorbed = true;
            return Some(high.clone());
        }
        let exponent = high.exponent.min(low.exponent);
        let high_mantissa = &high.mantissa << (high.exponent - exponent) as u64;
        let low_mantissa = &low.mantissa << (low.exponent - exponent) as u64;
        let sum = Self::new(high_mantissa + low_mantissa, exponent, work.bits)?;
        // Terms that cancel down to the rounding of the larger one: what is left is noise. Whole terms that small have been
        // noticed above.
        if sum.top() < high.top() - work.bits as i64 + NOISE_BITS {
            return Some(Self::zero());
        }
        work.see(sum)
    }

    pub(super) fn sub(&self, other: &Self, work: &mut Work) -> Option<Self> {
        self.add(&other.neg(), work)
    }

    pub(super) fn mul(&self, other: &Self, work: &mut Work) -> Option<Self> {
        work.spend(work.bits / 16)?;
        let product = Self::new(&self.mantissa * &other.mantissa, self.exponent + other.exponent, work.bits)?;
        work.see(product)
    }

    /// `self / other`; `None` where `other` is zero.
    pub(super) fn div(&self, other: &Self, work: &mut Work) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        work.spend(work.bits / 8)?;
        let shift = (work.bits + 2 + other.mantissa.bits()).saturating_sub(self.mantissa.bits());
        let quotient = (&self.mantissa << shift) / &other.mantissa;
        let float = Self::new(quotient, self.exponent - other.exponent - shift as i64, work.bits)?;
        work.see(float)
    }

    /// The square root; `None` of a negative number.
    pub(super) fn sqrt(&self, work: &mut Work) -> Option<Self> {
        if self.is_negative() {
            return None;
        }
        work.spend(work.bits)?;
        let mut shift = (2 * work.bits + 4).saturating_sub(self.mantissa.bits());
        if (self.exponent - shift as i64) % 2 != 0 {
            shift += 1;
        }
        let root = (&self.mantissa << shift).sqrt();
        Self::new(root, (self.exponent - shift as i64) / 2, work.bits)
    }

    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        if self.is_negative() != other.is_negative() {
            return other.is_negative().cmp(&self.is_negative());
        }
        let by_size = match self.top().cmp(&other.top()) {
            Ordering::Equal => {
                let exponent = self.exponent.min(other.exponent);
                let size = |float: &Self| float.mantissa.magnitude() << (float.exponent - exponent) as u64;
                size(self).cmp(&size(other))
            }
            unequal => unequal,
        };
        if self.is_negative() { by_size.reverse() } else { by_size }
    }

    /// The nearest double, for sorting only.
    pub(super) fn to_f64(&self) -> f64 {
        let excess = self.mantissa.bits().saturating_sub(60);
        let mantissa = i64::try_from(&self.mantissa >> excess).unwrap_or(0) as f64;
        mantissa * 2_f64.powi(i32::try_from(self.exponent + excess as i64).unwrap_or(i32::MAX))
    }
}

impl Work<'_> {
    /// Records how large `value` is and hands it on.
    fn see(&mut self, value: Float) -> Option<Float> {
        self.top = self.top.max(value.top());
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(numer: i64, denom: i64) -> Float {
        Float::from_rational(&BigRational::new(numer.into(), denom.into()), &mut Work::new(192, &Budget::new(1_000)))
            .unwrap()
    }

    #[test]
    fn arithmetic_is_right_to_its_precision() {
        let budget = Budget::new(1_000_000);
        let mut work = Work::new(192, &budget);
        for (a, b, c, d) in [(1, 3, 1, 7), (-5, 11, 22, 3), (1, 1, -1, 1), (9, 1, 1, 1_000_000_007)] {
            let (x, y) = (float(a, b), float(c, d));
            let close = |got: &Float, numer: i64, denom: i64| {
                let error = got.sub(&float(numer, denom), &mut Work::new(400, &Budget::new(1_000))).unwrap();
                assert!(error.top() < -180, "{a}/{b}, {c}/{d}: {got:?} is not {numer}/{denom}");
            };
            close(&x.add(&y, &mut work).unwrap(), a * d + c * b, b * d);
            close(&x.sub(&y, &mut work).unwrap(), a * d - c * b, b * d);
            close(&x.mul(&y, &mut work).unwrap(), a * c, b * d);
            close(&x.div(&y, &mut work).unwrap(), a * d, b * c);
            close(&x.mul(&x, &mut work).unwrap().sqrt(&mut work).unwrap(), a.abs(), b);
            let (left, right) = (a * d, c * b);
            assert_eq!(x.cmp(&y), left.cmp(&right), "{a}/{b}, {c}/{d}");
        }
        assert_eq!(float(1, 1).div(&Float::zero(), &mut work), None);
        assert_eq!(float(-1, 1).sqrt(&mut work), None);
        assert!((float(-22, 7).to_f64() + 22.0 / 7.0).abs() < 1e-15);
    }

    #[test]
    fn a_lost_term_is_noticed_and_fuel_ends() {
        let budget = Budget::new(1_000);
        let mut work = Work::new(192, &budget);
        let huge = Float::one().shifted(10_000);
        assert_eq!(huge.add(&Float::one(), &mut work), Some(huge));
        assert!(work.absorbed);
        let budget = Budget::new(20);
        let mut work = Work::new(192, &budget);
        let one = Float::one();
        assert!(one.add(&one, &mut work).and_then(|two| two.mul(&two, &mut work)?.mul(&two, &mut work)).is_none());
    }
}
