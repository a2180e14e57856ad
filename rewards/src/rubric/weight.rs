//! The weight of a component, which may change as training goes on.

/// A weight as a function of the step.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    first: f32,
    changes: Vec<(u64, f32)>,
}

/// Steps that do not follow each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {step} does not come after step {after}: list the steps in order, from step 2 on")]
pub struct WeightOrder {
    step: u64,
    after: u64,
}

impl Weight {
    /// `first`, and from each step of `changes` on the weight beside it. DeepSeek-R1 adds its general reward for the last
    /// 400 of 1,700 steps: `Weight::new(0.0, vec![(1301, 1.0)])`.
    ///
    /// # Errors
    ///
    /// [`WeightOrder`] if the steps do not rise, or begin with the first.
    pub fn new(first: f32, changes: Vec<(u64, f32)>) -> Result<Self, WeightOrder> {
        let mut after = 1;
        for &(step, _) in &changes {
            if step <= after {
                return Err(WeightOrder { step, after });
            }
            after = step;
        }
        Ok(Self { first, changes })
    }

    /// The weight at `step`, counted from 1.
    pub fn at(&self, step: u64) -> f32 {
        self.changes.iter().rev().find(|(from, _)| *from <= step).map_or(self.first, |(_, weight)| *weight)
    }

    /// Every weight there is.
    pub(super) fn values(&self) -> impl Iterator<Item = f32> {
        std::iter::once(self.first).chain(self.changes.iter().map(|(_, weight)| *weight))
    }
}

impl From<f32> for Weight {
    fn from(weight: f32) -> Self {
        Self { first: weight, changes: Vec::new() }
    }
}
