//! Student's t distribution with a whole number of degrees of freedom: its quantiles.

use std::f64::consts::PI;

/// P(|T| <= t) for `t >= 0` and `df >= 1` degrees of freedom.
///
/// The finite sums of Abramowitz and Stegun (1964), 26.7.3 and 26.7.4, with theta = arctan(t / sqrt(df)).
fn within(t: f64, df: u32) -> f64 {
    let theta = (t / f64::from(df).sqrt()).atan();
    let (sin, cos) = theta.sin_cos();
    let odd = df % 2 == 1;
    // Odd: cos + 2/3 cos^3 + (2 4)/(3 5) cos^5 + ...; even: 1 + 1/2 cos^2 + (1 3)/(2 4) cos^4 + ..., up to cos^(df-2).
    let (mut term, mut sum) = (if odd { cos } else { 1.0 }, 0.0);
    let mut power = u32::from(odd);
    while power + 2 <= df {
        sum += term;
        term *= cos * cos * f64::from(power + 1) / f64::from(power + 2);
        power += 2;
    }
    if odd { 2.0 / PI * (theta + sin * sum) } else { sin * sum }
}

/// The t with P(|T| <= t) = `confidence`, in (0, 1): the factor of a two-sided interval.
pub(crate) fn two_sided(confidence: f64, df: u32) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while within(high, df) < confidence {
        high *= 2.0;
    }
    // 100 halvings are more than a float64 has digits.
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if within(middle, df) < confidence { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}
