//! The learning rate as a function of the update's number.

use serde::{Deserialize, Serialize};

/// How the learning rate goes on after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Stays at its peak.
    #[default]
    Constant,
    /// Falls in a straight line.
    Linear,
    /// Falls along half a cosine.
    Cosine,
}

/// A linear warm-up from 0 to the peak, then [`Decay`] down to `final_lr_fraction` of the peak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// What happens after the warm-up.
    pub decay: Decay,
    /// Updates of the warm-up; 0 for none.
    pub n_warmup_steps: u64,
    /// Updates of the whole stage; the decay ends there.
    pub n_steps: u64,
    /// Where the decay ends, as a fraction of the peak, in [0, 1]; [`Decay::Constant`] does not read it.
    pub final_lr_fraction: f64,
}

impl Schedule {
    /// The same course under another peak.
    #[must_use]
    pub fn with_peak(self, learning_rate: f64) -> Self {
        Self { learning_rate, ..self }
    }

    /// The learning rate of update number `step`, counted from 0.
    ///
    /// With `final_lr_fraction` 0 the numbers are those of transformers' `get_constant_schedule_with_warmup`,
    /// `get_linear_schedule_with_warmup` and `get_cosine_schedule_with_warmup`, and for the cosine with a fraction
    /// those of `get_cosine_with_min_lr_schedule_with_warmup`. As there, the first update of a warm-up has rate 0.
    /// Beyond `n_steps` the rate stays where the decay ended.
    pub fn lr(&self, step: u64) -> f64 {
        if step < self.n_warmup_steps {
            return self.learning_rate * step as f64 / self.n_warmup_steps as f64;
        }
        // Fraction of the decay that lies behind, in [0, 1].
        let progress = if step >= self.n_steps {
            1.0
        } else {
            (step - self.n_warmup_steps) as f64 / (self.n_steps - self.n_warmup_steps) as f64
        };
        let fraction = match self.decay {
            Decay::Constant => return self.learning_rate,
            Decay::Linear => 1.0 - progress,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        };
        self.learning_rate * (self.final_lr_fraction + (1.0 - self.final_lr_fraction) * fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        kind: Decay,
        learning_rate: f64,
        n_steps: u64,
        n_warmup_steps: u64,
        final_lr_fraction: f64,
        rates: Vec<f64>,
    }

    /// scripts/golden/schedule.py, transformers 5.23.
    #[test]
    fn equal_to_transformers() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/schedule.json");
        let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(cases.len(), 30);
        for Case { kind: decay, learning_rate, n_steps, n_warmup_steps, final_lr_fraction, rates } in cases {
            let schedule = Schedule { learning_rate, decay, n_warmup_steps, n_steps, final_lr_fraction };
            for (step, &rate) in rates.iter().enumerate() {
                let got = schedule.lr(step as u64);
                assert!(
                    (got - rate).abs() <= 1e-14 * learning_rate,
                    "{schedule:?} step {step}: {got}, expected {rate}"
                );
            }
        }
    }

    #[test]
    fn the_decay_ends_at_its_fraction_and_stays_there() {
        for decay in [Decay::Linear, Decay::Cosine] {
            for n_warmup_steps in [0, 3, 10] {
                let schedule =
                    Schedule { learning_rate: 2.0, decay, n_warmup_steps, n_steps: 10, final_lr_fraction: 0.25 };
                assert_eq!([10, 11, 1000].map(|step| schedule.lr(step)), [0.5; 3], "{schedule:?}");
                let rates: Vec<f64> = (n_warmup_steps..=10).map(|step| schedule.lr(step)).collect();
                assert!(rates.is_sorted_by(|a, b| a > b), "{schedule:?}: {rates:?}");
                assert!(n_warmup_steps == 10 || rates[0] == 2.0, "{schedule:?}: {rates:?}");
            }
        }
        let linear = Schedule {
            learning_rate: 1.0,
            decay: Decay::Linear,
            n_warmup_steps: 2,
            n_steps: 6,
            final_lr_fraction: 0.5,
        };
        let rates: Vec<f64> = (0..7).map(|step| linear.lr(step)).collect();
        assert_eq!(rates, [0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5]);
    }
}
