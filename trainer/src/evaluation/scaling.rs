//! Accuracy against thinking tokens: s1's measures of test-time scaling (arXiv 2501.19393, section 3.2).

use serde::{Deserialize, Serialize};

/// Whether thinking kept to what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// Completions.
    pub n: usize,
    /// The fraction of them whose thinking tokens lie within their bounds, in [0, 1] (s1, Eq. 1).
    pub fraction: f64,
}

impl Control {
    /// Of completions, each by whether it keeps to its bounds; none of none.
    pub fn of(kept: impl IntoIterator<Item = bool>) -> Option<Self> {
        let (mut n, mut n_kept) = (0, 0);
        for is_kept in kept {
            n += 1;
            n_kept += usize::from(is_kept);
        }
        (n > 0).then(|| Self { n, fraction: n_kept as f64 / n as f64 })
    }
}

/// What more thinking is worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// The mean slope over all pairs of points: accuracy, in [0, 1], gained by 1,000 thinking tokens (s1, Eq. 2). None of
    /// points that all lie at one number of tokens.
    pub slope: Option<f64>,
    /// The greatest accuracy of a point (s1, Eq. 3).
    pub performance: f64,
}

impl Scaling {
    /// Of points (mean thinking tokens, accuracy), in any order; none of none. Pairs at the same number of tokens have no slope
    /// and are left out.
    pub fn of(points: &[(f64, f64)]) -> Option<Self> {
        let performance = points.iter().map(|&(_, accuracy)| accuracy).reduce(f64::max)?;
        let (mut sum, mut n) = (0.0, 0);
        for (index, (a, at_a)) in points.iter().enumerate() {
            for (b, at_b) in &points[index + 1..] {
                if a != b {
                    sum += (at_b - at_a) / (b - a) * 1000.0;
                    n += 1;
                }
            }
        }
        Some(Self { slope: (n > 0).then(|| sum / f64::from(n)), performance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::tests::golden;

    // scripts/golden/evaluation.py: numpy over all combinations of two points. Tolerance: float64.
    #[test]
    fn slopes_are_those_of_the_reference() {
        let golden = golden();
        let curves = golden["curves"].as_array().expect("curves");
        assert!(curves.len() >= 20, "{} curves", curves.len());
        for curve in curves {
            let pair =
                |point: &serde_json::Value| (point[0].as_f64().expect("tokens"), point[1].as_f64().expect("accuracy"));
            let points: Vec<(f64, f64)> = curve["points"].as_array().expect("points").iter().map(pair).collect();
            let Scaling { slope, performance } = Scaling::of(&points).expect("points");
            let (slope, theirs) = (slope.expect("a slope"), curve["slope"].as_f64().expect("a number"));
            assert!((slope - theirs).abs() <= 1e-10 * theirs.abs().max(1.0), "{points:?}: {slope} and {theirs}");
            assert_eq!(performance, curve["performance"].as_f64().expect("a number"), "{points:?}");
        }
    }

    #[test]
    fn by_hand() {
        assert_eq!(Scaling::of(&[]), None);
        assert_eq!(Scaling::of(&[(10.0, 0.5)]), Some(Scaling { slope: None, performance: 0.5 }));
        // Slopes 10, 0 and 5 in thousands of tokens.
        let curve = Scaling::of(&[(50.0, 0.7), (0.0, 0.2), (100.0, 0.7), (100.0, 0.7)]).unwrap();
        assert_eq!(curve.performance, 0.7);
        // Pairs: 50-0 10, 50-100 0 twice, 0-100 5 twice, 100-100 none.
        assert!((curve.slope.unwrap() - 4.0).abs() < 1e-12, "{curve:?}");
        assert_eq!(Control::of([]), None);
        assert_eq!(Control::of([true, false, true, true]), Some(Control { n: 4, fraction: 0.75 }));
    }
}
