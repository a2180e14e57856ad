//! What a few seeds say: means with intervals, paired differences, the seeds it would take, the area under a curve.
//!
//! Pure functions. Values of different seeds are taken for independent and about normal (Student 1908).

use crate::telemetry::statistics::{mean, std};
use crate::telemetry::student::two_sided;

/// A mean over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    /// Values.
    pub n: usize,
    /// Their mean; `NaN` of none.
    pub mean: f64,
    /// Their standard deviation (Bessel); `NaN` of fewer than two.
    pub deviation: f64,
    /// Half the width of the 95 % interval; none for fewer than two values, which say nothing about their spread, and for
    /// a difference without one ([`Verdict::NoSpread`]).
    pub half: Option<f64>,
}

impl Estimate {
    /// Mean and Student's 95 % interval: mean ± t(0.975, n - 1) s / sqrt(n).
    pub fn of(values: &[f64]) -> Estimate {
        let (n, deviation) = (values.len(), std(values));
        let factor = || two_sided(0.95, (n - 1) as u32) / (n as f64).sqrt();
        Estimate { n, mean: mean(values), deviation, half: (n >= 2).then(|| factor() * deviation) }
    }

    /// The interval's ends.
    pub fn interval(&self) -> Option<[f64; 2]> {
        self.half.map(|half| [self.mean - half, self.mean + half])
    }
}

/// What paired values of two arms say about their difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// One pair or none: a difference without an interval.
    TooFew,
    /// Equal in every pair.
    Equal,
    /// The same in every pair, and not zero: the interval would have no width, but counts of a few problems tie easily, and
    /// other seeds may differ by another count.
    NoSpread,
    /// The interval is above or below 0.
    Apart,
    /// The interval holds 0; the pairs that would do by the spread seen, if they are fewer than [`MOST_SEEDS`].
    NotApart(Option<u32>),
}

/// Beyond this many seeds their number is not worth naming.
pub(super) const MOST_SEEDS: u32 = 100;

/// Differences this close, as a fraction of the values, are equal but for rounding.
const ROUNDING: f64 = 1e-9;

/// A difference between two arms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Difference {
    /// Mean over pairs of the one minus the other, with its interval.
    pub estimate: Estimate,
    /// Whether that tells them apart.
    pub verdict: Verdict,
}

impl Difference {
    /// The difference of `pairs` of (value, value of the first arm) with the same seed.
    pub fn of(pairs: &[(f64, f64)]) -> Difference {
        let differences: Vec<f64> = pairs.iter().map(|(value, of_first)| value - of_first).collect();
        let estimate = Estimate::of(&differences);
        let size = pairs.iter().fold(0.0, |size: f64, (value, of_first)| size.max(value.abs()).max(of_first.abs()));
        let all_near = |to: f64| differences.iter().all(|difference| (difference - to).abs() <= ROUNDING * size);
        let verdict = match estimate.interval() {
            None => Verdict::TooFew,
            Some(_) if all_near(0.0) => Verdict::Equal,
            Some(_) if all_near(differences[0]) => {
                return Difference { estimate: Estimate { half: None, ..estimate }, verdict: Verdict::NoSpread };
            }
            Some([low, high]) if low > 0.0 || high < 0.0 => Verdict::Apart,
            Some(_) => Verdict::NotApart(pairs_needed(estimate.mean, estimate.deviation)),
        };
        Difference { estimate, verdict }
    }
}

/// Pairs for a two-sided paired t test at level 0.05 to see a difference of `mean` with probability 0.8, if single
/// differences have the deviation `deviation`; none from [`MOST_SEEDS`] on.
///
/// Guenther (1981), "Sample size formulas for normal theory t tests", The American Statistician 35(4):
/// n = (z(0.975) + z(0.8))^2 s^2 / d^2 + z(0.975)^2 / 2.
pub(super) fn pairs_needed(mean: f64, deviation: f64) -> Option<u32> {
    const Z_LEVEL: f64 = 1.959_963_984_540_054;
    const Z_POWER: f64 = 0.841_621_233_572_914_2;
    let n = ((Z_LEVEL + Z_POWER) * deviation / mean).powi(2) + Z_LEVEL * Z_LEVEL / 2.0;
    // Not a number, or infinite, where there is no difference.
    (n < f64::from(MOST_SEEDS)).then(|| (n.ceil() as u32).max(2)).filter(|n| *n < MOST_SEEDS)
}

/// The area under a curve (trapezoids), divided by its span: the mean height, in the metric's unit. None of no point; of
/// one point its height.
///
/// - `points`: (step, value), by step
pub(super) fn area(points: &[(f64, f64)]) -> Option<f64> {
    let ((first, height), (last, _)) = (*points.first()?, *points.last()?);
    if last <= first {
        return Some(height);
    }
    let trapezoids = points.windows(2).map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0);
    Some(trapezoids.sum::<f64>() / (last - first))
}

#[cfg(test)]
#[path = "statistics_tests.rs"]
mod tests;
