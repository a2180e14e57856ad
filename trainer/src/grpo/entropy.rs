//! The bonus for entropy, and a coefficient that follows what it does.

use serde::{Deserialize, Serialize};

/// A coefficient of the entropy bonus that follows the entropy (Skywork-OR1, arXiv 2505.22312; TRL's
/// `use_adaptive_entropy`): `stage.grpo.adaptive_entropy`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveEntropy {
    /// Nats a token: the coefficient rises while the entropy is not above it. Default 0.2 (TRL).
    #[serde(default = "entropy_target")]
    pub target: f64,
    /// What the coefficient rises or falls by at an update. Default 0.005 (TRL).
    #[serde(default = "entropy_delta")]
    pub delta: f64,
    /// Least coefficient. Default 0 (TRL).
    #[serde(default)]
    pub min: f64,
    /// Greatest coefficient. Default 1 (TRL).
    #[serde(default = "entropy_max")]
    pub max: f64,
}

fn entropy_target() -> f64 {
    0.2
}

fn entropy_delta() -> f64 {
    0.005
}

fn entropy_max() -> f64 {
    1.0
}

/// Where the coefficient of the entropy bonus stands; part of what a checkpoint holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EntropyControl {
    /// alpha
    pub coefficient: f64,
    /// Mean over the tokens of the last update, nats; none before the first.
    pub last_entropy: Option<f64>,
}

impl EntropyControl {
    /// Before the first update.
    pub fn new(coefficient: f64) -> Self {
        Self { coefficient, last_entropy: None }
    }

    /// The numbers to be saved, bit by bit: a decimal might come back as its neighbour.
    pub fn to_bits(self) -> Vec<u64> {
        [Some(self.coefficient), self.last_entropy].into_iter().flatten().map(f64::to_bits).collect()
    }

    /// What [`Self::to_bits`] gave; none of nothing.
    pub fn from_bits(bits: impl Iterator<Item = u64>) -> Option<Self> {
        let mut numbers = bits.map(f64::from_bits);
        Some(Self { coefficient: numbers.next()?, last_entropy: numbers.next() })
    }

    /// The coefficient of the next update: with a target only where the entropy of the last update was not above it.
    pub fn applied(&self, adaptive: Option<&AdaptiveEntropy>) -> f64 {
        let is_low = |adaptive: &AdaptiveEntropy| self.last_entropy.is_some_and(|entropy| entropy <= adaptive.target);
        if adaptive.is_none_or(is_low) { self.coefficient } else { 0.0 }
    }

    /// Takes in the mean entropy of an update, nats.
    pub fn observe(&mut self, entropy: f64, adaptive: Option<&AdaptiveEntropy>) {
        self.last_entropy = Some(entropy);
        if let Some(&AdaptiveEntropy { target, delta, min, max }) = adaptive {
            let step = if entropy <= target { delta } else { -delta };
            self.coefficient = (self.coefficient + step).clamp(min, max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coefficient_follows_the_entropy() {
        let adaptive = AdaptiveEntropy { target: 0.2, delta: 0.005, min: 0.0, max: 0.012 };
        let mut control = EntropyControl::new(0.01);
        assert_eq!(control.applied(Some(&adaptive)), 0.0);
        control.observe(0.1, Some(&adaptive));
        assert_eq!((control.coefficient, control.applied(Some(&adaptive))), (0.012, 0.012));
        control.observe(0.3, Some(&adaptive));
        assert_eq!((control.coefficient, control.applied(Some(&adaptive))), (0.007, 0.0));
        control.observe(0.3, Some(&adaptive));
        control.observe(0.3, Some(&adaptive));
        assert_eq!(control.coefficient, 0.0);
        for control in [control, EntropyControl::new(0.1)] {
            assert_eq!(EntropyControl::from_bits(control.to_bits().into_iter()), Some(control));
        }
        let mut fixed = EntropyControl::new(0.01);
        fixed.observe(0.9, None);
        assert_eq!((fixed.coefficient, fixed.applied(None)), (0.01, 0.01));
    }
}
