//! e^x and what is made of it, sixteen at a time.

use super::vector::{LANES, ROUND, Vector};

/// e^x for x <= 88, to two units in the last place, without a branch (Cephes' expf: reduction by ln 2 in two parts, then
/// a polynomial of degree five).
#[inline(always)]
pub(super) fn exp<V: Vector>(x: V) -> V {
    // Below this the result is no normal number any more; it is next to nothing beside the largest, which is 1.
    // In this order, because what is no number comes out of `max` only on its right.
    let x = V::splat(-87.0).max(x);
    let shifted = x.mul_add(V::splat(std::f32::consts::LOG2_E), V::splat(ROUND));
    let n = shifted.sub(V::splat(ROUND));
    let r = n.mul_add(V::splat(-0.693_359_4), x);
    let r = n.mul_add(V::splat(2.121_944_4e-4), r);
    let mut p = V::splat(1.987_569_2e-4);
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p.mul_add(r, V::splat(coefficient));
    }
    p.mul_add(r.mul(r), r).add(V::splat(1.0)).mul(shifted.power_of_two())
}

/// 1 / (1 + e^-x)
#[inline(always)]
pub(super) fn sigmoid<V: Vector>(x: V) -> V {
    let negated = V::splat(0.0).sub(V::splat(-87.0).max(x));
    V::splat(1.0).div(exp(negated).add(V::splat(1.0)))
}

/// The sum of products of two rows of one length.
#[inline(always)]
pub(super) fn dot<V: Vector>(a: &[f32], b: &[f32]) -> f32 {
    // Two sums side by side, because one waits for itself.
    let (mut even, mut odd) = (V::splat(0.0), V::splat(0.0));
    let mut at = 0;
    while at + 2 * LANES <= a.len() {
        even = V::load(&a[at..]).mul_add(V::load(&b[at..]), even);
        odd = V::load(&a[at + LANES..]).mul_add(V::load(&b[at + LANES..]), odd);
        at += 2 * LANES;
    }
    let mut sum = total(even.add(odd).lanes());
    for at in at..a.len() {
        sum = a[at].mul_add(b[at], sum);
    }
    sum
}

/// The sum of a vector's numbers, by halves: a fraction of the time that one after the other takes.
#[inline(always)]
pub(super) fn total(mut lanes: [f32; LANES]) -> f32 {
    let mut n = LANES / 2;
    while n > 0 {
        for lane in 0..n {
            lanes[lane] += lanes[lane + n];
        }
        n /= 2;
    }
    lanes[0]
}

/// The greatest of a vector's numbers, by halves; what is no number stays so.
#[inline(always)]
pub(super) fn greatest(mut lanes: [f32; LANES]) -> f32 {
    let mut n = LANES / 2;
    while n > 0 {
        for lane in 0..n {
            // In this order, for what is no number.
            lanes[lane] = if lanes[lane + n] <= lanes[lane] { lanes[lane] } else { lanes[lane + n] };
        }
        n /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::super::vector::Portable;
    use super::*;

    fn exp_of(x: f32) -> f32 {
        exp(Portable::splat(x)).lanes()[7]
    }

    #[test]
    fn exp_is_exact_to_two_units() {
        for i in 0..200_000 {
            let x = 87.0 - 173.9 * i as f32 / 200_000.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp_of(x)) / expected - 1.0).abs() < 2.5e-7, "{x}");
        }
        assert!(exp_of(f32::NEG_INFINITY) < 1e-37);
        assert!(exp_of(f32::NAN).is_nan());
        assert_eq!(exp_of(0.0), 1.0);
    }

    #[test]
    fn sigmoid_is_exact_at_both_ends() {
        let sigmoid_of = |x: f32| f64::from(sigmoid(Portable::splat(x)).lanes()[3]);
        for i in 0..20_000 {
            let x = 100.0 - i as f32 / 100.0;
            let expected = 1.0 / (1.0 + (-f64::from(x)).exp());
            assert!((sigmoid_of(x) - expected).abs() <= 3e-7 * expected + 2e-38, "{x}");
        }
        assert!(sigmoid_of(f32::NAN).is_nan());
    }
}
