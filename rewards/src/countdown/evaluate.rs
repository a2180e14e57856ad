//! Computes a Countdown answer in exact rationals.

use num_bigint::BigInt;
use num_rational::BigRational;

use super::parse::{Binary, Step};

/// The value of `steps`; `None` where a divisor is zero. Steps come from [`super::parse::parse`], which leaves none without
/// its operands.
///
/// No digit is wasted on a wrong answer: the numbers have been checked or their text is short, so there are at most some
/// hundred ([`super::MAX_NUMBERS`]) of 64 bits each, and what sums, products and quotients make of them stays within a few thousand bits.
pub(super) fn evaluate(steps: &[Step]) -> Option<BigRational> {
    let zero = BigInt::from(0);
    let mut values: Vec<BigRational> = Vec::new();
    for step in steps {
        let value = match step {
            Step::Number(number) => BigRational::from_integer(BigInt::from(*number)),
            Step::Negate => -values.pop()?,
            Step::Apply(binary) => {
                let right = values.pop()?;
                let left = values.pop()?;
                match binary {
                    Binary::Add => left + right,
                    Binary::Subtract => left - right,
                    Binary::Multiply => left * right,
                    Binary::Divide if *right.numer() == zero => return None,
                    Binary::Divide => left / right,
                }
            }
        };
        values.push(value);
    }
    values.pop()
}
