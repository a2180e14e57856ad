//! General instructions in two languages, with responses from rude to friendly whose quality is known: what reward models and
//! all-scenario reinforcement learning have to do with in the miniature.

mod lexicon;
mod quality;
mod responses;
mod reward;
pub mod rows;
mod task;

use rollout::random::Draws;
use serde::{Deserialize, Serialize};

pub use responses::Grade;
pub use reward::InstructionQuality;
pub use task::{Domain, Instruction, Task};

use crate::data::countdown::styles::{StyleError, usable};

/// How often general instructions occur in a corpus, and how well they are followed. `share` and `harmful` are probabilities,
/// the others relative weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InstructionWeights {
    /// A document is about a general instruction.
    pub share: f64,
    /// An instruction asks for harm.
    pub harmful: f64,
    /// [`Grade::Friendly`]
    pub friendly: f64,
    /// [`Grade::Plain`]
    pub plain: f64,
    /// [`Grade::Bare`]
    pub bare: f64,
    /// [`Grade::Wrong`]
    pub wrong: f64,
    /// [`Grade::OffTopic`]
    pub off_topic: f64,
    /// [`Grade::Rude`]
    pub rude: f64,
}

impl Default for InstructionWeights {
    fn default() -> Self {
        Self {
            share: 0.0,
            harmful: 0.25,
            friendly: 0.15,
            plain: 0.2,
            bare: 0.25,
            wrong: 0.2,
            off_topic: 0.1,
            rude: 0.1,
        }
    }
}

impl InstructionWeights {
    /// Checks every weight.
    ///
    /// # Errors
    /// Names the first key whose value cannot be used.
    pub fn validate(&self) -> Result<(), StyleError> {
        for (name, value) in [("share", self.share), ("harmful", self.harmful)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(StyleError::Probability { name, value });
            }
        }
        if usable(&self.grades()) { Ok(()) } else { Err(StyleError::Weights { name: "instructions" }) }
    }

    /// Draws a grade.
    pub fn grade(&self, draws: &mut Draws) -> Grade {
        Grade::ALL[draws.weighted(&self.grades())]
    }

    /// The weights in the order of [`Grade::ALL`].
    fn grades(&self) -> [f64; 6] {
        [self.friendly, self.plain, self.bare, self.wrong, self.off_topic, self.rude]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollout::random::Stream;

    #[test]
    fn grades_come_up_as_often_as_their_weights_say() {
        let weights = InstructionWeights::default();
        let mut draws = Stream::new(1, &[]).draws();
        let mut counts = [0; 6];
        (0..20_000).for_each(|_| counts[weights.grade(&mut draws) as usize] += 1);
        for (count, weight) in counts.into_iter().zip(weights.grades()) {
            assert!((f64::from(count) / 20_000.0 - weight).abs() < 0.015, "{counts:?}");
        }
    }

    #[test]
    fn unusable_weights_are_refused_by_name() {
        let base = InstructionWeights::default();
        let check = |weights: InstructionWeights, expected: &str| {
            let error = weights.validate().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        assert_eq!(base.validate(), Ok(()));
        check(InstructionWeights { share: 1.5, ..base }, "`share` = 1.5");
        check(InstructionWeights { harmful: f64::NAN, ..base }, "`harmful`");
        check(InstructionWeights { rude: -0.1, ..base }, "`instructions`");
    }
}
