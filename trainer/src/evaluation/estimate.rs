//! Means over problems with 95 % intervals.

use serde::{Deserialize, Serialize};

use crate::telemetry::student::two_sided;

/// The 0.975 quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Between what bounds values lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Range {
    /// Fractions, in [0, 1].
    Fraction,
    /// Anything.
    Unbounded,
}

/// A mean over problems.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Problems that it is a mean over.
    pub n: usize,
    /// The mean.
    pub mean: f64,
    /// Ends of the 95 % interval; none of a single value that is no fraction: nothing is known about the spread.
    pub interval: Option<[f64; 2]>,
}

impl Estimate {
    /// The mean of one value a problem, and how far it may be from that of all problems like these; none of no value.
    ///
    /// Problems are what is drawn at random, so they are what an interval counts, however many samples each has: samples of
    /// one problem are alike (Miller 2024, arXiv 2411.00640: standard errors clustered by problem). Where every problem is
    /// worth 0 or 1 they are so many trials, and the interval is Wilson's (1927). Otherwise it is Student's, mean ±
    /// t(0.975, n - 1) s / sqrt(n), cut to the bounds of `range`; of fractions that are all equal, whose spread would be none
    /// for lack of data, it is Wilson's too.
    pub fn of(values: &[f64], range: Range) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let are_equal = values.iter().all(|&value| value == values[0]);
        let are_trials = values.iter().all(|&value| value == 0.0 || value == 1.0);
        let interval = match n {
            _ if range == Range::Fraction && (are_trials || are_equal) => Some(wilson(mean, n)),
            1 => None,
            _ => Some(student(values, mean, range)),
        };
        Some(Self { n, mean, interval })
    }
}

/// The interval for the chance of a trial of which the fraction `p` of `n` was a success.
pub fn wilson(p: f64, n: usize) -> [f64; 2] {
    let n = n as f64;
    let middle = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    // At 0 and 1 one end is p itself; rounding must not put p outside of its own interval.
    [(middle - half).clamp(0.0, p), (middle + half).clamp(p, 1.0)]
}

fn student(values: &[f64], mean: f64, range: Range) -> [f64; 2] {
    let n = values.len();
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    let half = two_sided(0.95, (n - 1) as u32) * (variance / n as f64).sqrt();
    match range {
        Range::Fraction => [(mean - half).max(0.0), (mean + half).min(1.0)],
        Range::Unbounded => [mean - half, mean + half],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::tests::golden;

    // scripts/golden/evaluation.py: Wilson's ends as the roots of his equation by numpy, Student's quantiles by integrating
    // the density in mpmath. Tolerance: float64, and roots of a quadratic.
    #[test]
    fn intervals_are_those_of_the_reference() {
        let golden = golden();
        let cases = golden["intervals"].as_array().expect("cases");
        assert!(cases.len() >= 60, "{} cases", cases.len());
        for case in cases {
            let values: Vec<f64> =
                case["values"].as_array().expect("values").iter().map(|v| v.as_f64().expect("a number")).collect();
            let range = if case["bounded"] == true { Range::Fraction } else { Range::Unbounded };
            let estimate = Estimate::of(&values, range).expect("there are values");
            let [low, high] = estimate.interval.expect("an interval");
            for (ours, key) in [(estimate.mean, "mean"), (low, "low"), (high, "high")] {
                let theirs = case[key].as_f64().expect("a number");
                assert!(
                    (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0),
                    "{key} of {values:?}: {ours} and {theirs}"
                );
            }
        }
    }

    #[test]
    fn edges() {
        assert_eq!(Estimate::of(&[], Range::Fraction), None);
        let [low, high] = Estimate::of(&[0.5], Range::Fraction).unwrap().interval.unwrap();
        assert!(low < 0.1 && high > 0.9, "{low} {high}");
        assert_eq!(Estimate::of(&[1.0], Range::Unbounded).unwrap().interval, None);
        let [low, high] = Estimate::of(&[1.0], Range::Fraction).unwrap().interval.unwrap();
        assert!(low > 0.2 && low < 0.21 && high == 1.0, "{low} {high}");
        let [low, high] = Estimate::of(&[0.0; 100], Range::Fraction).unwrap().interval.unwrap();
        assert!(low == 0.0 && (0.03..0.04).contains(&high), "{low} {high}");
    }
}
