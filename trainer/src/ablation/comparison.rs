//! The arms of an ablation held against the first: for each metric what it ended at and the area under its curve.

use super::results::RunResult;
use super::statistics::{Difference, Estimate};
use crate::telemetry::curves::Curve;

/// One metric over all arms.
pub(super) struct Comparison {
    /// Its name.
    pub metric: String,
    /// The arms in order.
    pub arms: Vec<ArmFigures>,
}

/// One metric of one arm.
pub(super) struct ArmFigures {
    /// What it ended at.
    pub last: Figure,
    /// The area under its curve.
    pub area: Figure,
}

/// One figure of one arm.
pub(super) struct Figure {
    /// The value of each seed that has it, in the order of seeds.
    pub values: Vec<(u64, f64)>,
    /// Their mean.
    pub estimate: Estimate,
    /// Against the first arm, by seed; none for the first.
    pub difference: Option<Difference>,
}

impl Figure {
    /// The figure of one arm; `of_first` is that of the arm it is compared with, if it is.
    pub fn of(values: Vec<(u64, f64)>, of_first: Option<&Figure>) -> Figure {
        let plain: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
        let paired = |first: &Figure| {
            let partner = |seed: u64| first.values.iter().find(|(other, _)| *other == seed).map(|(_, value)| *value);
            let pairs: Vec<(f64, f64)> =
                values.iter().filter_map(|&(seed, value)| Some((value, partner(seed)?))).collect();
            Difference::of(&pairs)
        };
        let difference = of_first.map(paired);
        Figure { estimate: Estimate::of(&plain), difference, values }
    }
}

impl Comparison {
    /// Compares `n_arms` arms by `metric`.
    pub fn of(metric: &str, n_arms: usize, results: &[RunResult]) -> Comparison {
        let mut arms: Vec<ArmFigures> = Vec::new();
        for arm in 0..n_arms {
            let values = |value: fn(&RunResult, &str) -> Option<f64>| -> Vec<(u64, f64)> {
                let of_arm = results.iter().filter(|result| result.arm == arm);
                of_arm.filter_map(|result| Some((result.seed, value(result, metric)?))).collect()
            };
            let first = arms.first();
            let last = Figure::of(values(RunResult::last), first.map(|first| &first.last));
            let area = Figure::of(values(RunResult::area), first.map(|first| &first.area));
            arms.push(ArmFigures { last, area });
        }
        Comparison { metric: metric.to_owned(), arms }
    }

    /// Whether any run has the metric.
    pub fn has_data(&self) -> bool {
        self.arms.iter().any(|arm| !arm.last.values.is_empty())
    }

    /// The mean over seeds at each step that every curve has, with the 95 % interval.
    pub fn band(curves: &[Vec<(f64, f64)>]) -> Curve {
        let Some((first, others)) = curves.split_first() else { return Curve::default() };
        let at = |curve: &[(f64, f64)], step: f64| curve.iter().find(|(other, _)| *other == step).map(|(_, y)| *y);
        let point = |&(step, value): &(f64, f64)| {
            let others: Option<Vec<f64>> = others.iter().map(|curve| at(curve, step)).collect();
            let values: Vec<f64> = std::iter::once(value).chain(others?).collect();
            let estimate = Estimate::of(&values);
            Some((step, estimate.mean, estimate.interval()))
        };
        Curve(first.iter().filter_map(point).collect())
    }
}
