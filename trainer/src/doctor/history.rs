//! The steps of a stage, and means over stretches of them.

use super::observation::Observation;

/// Steps of a stretch that is compared with another: enough to even out what one step's questions do.
pub(super) const STRETCH: usize = 5;

/// All steps of a stage so far.
#[derive(Debug, Default)]
pub struct History(Vec<Observation>);

impl History {
    /// Adds the next step.
    pub fn push(&mut self, observation: Observation) {
        self.0.push(observation);
    }

    /// The newest `n` steps, if there are so many.
    pub(super) fn newest(&self, n: usize) -> Option<&[Observation]> {
        (n > 0).then(|| self.0.len().checked_sub(n).map(|from| &self.0[from..])).flatten()
    }

    /// The first `n` steps, if there are so many.
    pub(super) fn first(&self, n: usize) -> Option<&[Observation]> {
        self.0.get(..n)
    }

    /// The first stretch and the newest one, if they do not overlap.
    pub(super) fn ends(&self) -> Option<(&[Observation], &[Observation])> {
        (self.0.len() >= 2 * STRETCH).then(|| (&self.0[..STRETCH], &self.0[self.0.len() - STRETCH..]))
    }

    /// The stretches before the newest one, first to last, side by side.
    pub(super) fn earlier(&self) -> impl Iterator<Item = &[Observation]> {
        self.0[..self.0.len().saturating_sub(STRETCH)].chunks_exact(STRETCH)
    }
}

/// The mean of `of` over `steps`; none if one of them does not have it.
pub(super) fn mean(steps: &[Observation], of: impl Fn(&Observation) -> Option<f64>) -> Option<f64> {
    let values: Option<Vec<f64>> = steps.iter().map(of).collect();
    values.filter(|values| !values.is_empty()).map(|values| values.iter().sum::<f64>() / values.len() as f64)
}

/// Whether `of` is at least `bound` in each of `steps`.
pub(super) fn all_at_least(steps: &[Observation], bound: f64, of: impl Fn(&Observation) -> Option<f64>) -> bool {
    steps.iter().all(|step| of(step).is_some_and(|value| value >= bound))
}
