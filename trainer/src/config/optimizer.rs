//! `[stage.optimizer]`: AdamW and the schedule of its learning rate.

use serde::{Deserialize, Serialize};

pub use crate::optim::Decay as Schedule;

use super::by_step;
use super::checks::Section;

/// `[stage.optimizer]`: AdamW (Loshchilov and Hutter, arXiv 1711.05101) with clipping by the global norm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimizer {
    /// The highest learning rate. Required, for it depends on the size of the model: DeepSeek-R1-Zero (671B) 3e-6,
    /// TRL 1e-6.
    pub learning_rate: f64,
    /// The highest learning rate from given steps on, `[[step, rate], ..]`. Default none.
    #[serde(default)]
    pub learning_rate_from_step: Vec<(u64, f64)>,
    /// How the learning rate goes after the warm-up. Default `constant`.
    #[serde(default)]
    pub schedule: Schedule,
    /// Steps over which the learning rate rises from 0. Default 0.
    #[serde(default)]
    pub warmup_steps: u64,
    /// The last learning rate of `linear` and `cosine`, as a fraction of the highest. Default 0.
    #[serde(default)]
    pub final_lr_fraction: f64,
    /// β₁ and β₂: decay of the mean and of the mean square of the gradients. Default 0.9 and 0.95 (Dr. GRPO, Table 6).
    #[serde(default = "default_betas")]
    pub betas: [f64; 2],
    /// Added to the root of the mean square. Default 1e-8 (PyTorch).
    #[serde(default = "default_eps")]
    pub eps: f64,
    /// λ: decoupled weight decay per unit of learning rate. Default 0 (Dr. GRPO, Table 6).
    #[serde(default)]
    pub weight_decay: f64,
    /// Gradients with a larger global norm are scaled down to it. Default 1 (Dr. GRPO, Table 6); 0 means never.
    #[serde(default = "default_max_grad_norm")]
    pub max_grad_norm: f64,
}

fn default_betas() -> [f64; 2] {
    [0.9, 0.95]
}

fn default_eps() -> f64 {
    1e-8
}

fn default_max_grad_norm() -> f64 {
    1.0
}

impl Optimizer {
    /// The norm to which gradients are scaled down: infinite where they never are.
    pub fn clip_norm(&self) -> f64 {
        if self.max_grad_norm == 0.0 { f64::INFINITY } else { self.max_grad_norm }
    }

    /// The highest learning rate of a step, counted from 1.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        by_step::value_at(self.learning_rate, &self.learning_rate_from_step, step)
    }

    /// `steps`: those of the stage.
    pub(crate) fn check(&self, steps: u64, at: &mut Section<'_, '_>) {
        at.not_negative("learning_rate", self.learning_rate, "");
        let fine = |rate: f64| rate.is_finite() && rate >= 0.0;
        let expected = ["expected a finite number, 0 or more", ""];
        by_step::check("learning_rate_from_step", &self.learning_rate_from_step, fine, expected, at);
        if self.warmup_steps > steps {
            let title = format!("`warmup_steps` is {}, but the stage has {steps} steps", self.warmup_steps);
            at.fail("warmup_steps", title, format!("expected {steps} at most"), "the rate would never be reached");
        }
        let fine = (0.0..=1.0).contains(&self.final_lr_fraction);
        at.holds("final_lr_fraction", self.final_lr_fraction, fine, "expected 0 to 1", "");
        if let Some(beta) = self.betas.iter().find(|beta| !(0.0..1.0).contains(*beta)) {
            at.fail("betas", format!("`betas` holds {beta}"), "expected two numbers from 0 to below 1", "");
        }
        at.positive("eps", self.eps, "it keeps the division by the root of the mean square finite");
        at.not_negative("weight_decay", self.weight_decay, "");
        at.not_negative("max_grad_norm", self.max_grad_norm, "0 never clips");
    }
}
