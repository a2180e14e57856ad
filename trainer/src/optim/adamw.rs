//! AdamW (Loshchilov & Hutter, "Decoupled weight decay regularization", arXiv 1711.05101, Algorithm 2), with its state
//! in the open so that it can be saved.

use serde::{Deserialize, Serialize};
use shim::optim::{AdamWSlot, AdamWStep};
use tch::Tensor;

/// Which parameters weight decay shrinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecayScope {
    /// Those with two axes or more: projections and embeddings. Norm gains and biases set a scale and an offset;
    /// pulling them towards zero is no regularisation.
    #[default]
    Matrices,
    /// Every parameter, as `torch.optim.AdamW` does unless it is given parameter groups.
    All,
}

/// The constants of AdamW; the learning rate comes with every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// beta_1 and beta_2: decay rates of the two moments, in [0, 1).
    pub betas: [f64; 2],
    /// epsilon: added to the root of the second moment.
    pub eps: f64,
    /// lambda: each step multiplies the decayed weights by `1 - lr * weight_decay`.
    pub weight_decay: f64,
    /// Which weights that is.
    pub decay_scope: DecayScope,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0.0, decay_scope: DecayScope::default() }
    }
}

/// The optimiser: it shares the parameters with the policy and owns the two moments of each.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    n_steps: u64,
    pub(super) slots: Vec<Slot>,
}

/// A parameter with its moments, all of one shape, kind and device.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: String,
    parameter: Tensor,
    /// m_t of Algorithm 2.
    pub(super) exp_avg: Tensor,
    /// v_t of Algorithm 2.
    pub(super) exp_avg_sq: Tensor,
}

impl AdamW {
    /// An optimiser for these leaves, which must be of a floating kind; the moments start at zero.
    ///
    /// The tensors are shared, not copied: a step changes the caller's weights.
    pub fn new(parameters: &[(String, Tensor)], config: AdamWConfig) -> Self {
        let slot = |(name, parameter): &(String, Tensor)| Slot {
            name: name.clone(),
            parameter: parameter.shallow_clone(),
            exp_avg: tch::no_grad(|| parameter.zeros_like()),
            exp_avg_sq: tch::no_grad(|| parameter.zeros_like()),
        };
        Self { config, n_steps: 0, slots: parameters.iter().map(slot).collect() }
    }

    /// Steps taken so far, those before a saved state was loaded included.
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    pub(super) fn set_n_steps(&mut self, n_steps: u64) {
        self.n_steps = n_steps;
    }

    /// One update of every parameter from its gradient, at learning rate `lr >= 0`.
    ///
    /// ```text
    /// theta <- theta (1 - lr lambda)                        decoupled decay
    /// m <- m + (1 - beta_1)(g - m),  v <- v + (1 - beta_2)(g^2 - v)
    /// theta <- theta - lr / (1 - beta_1^t) * m / (sqrt(v / (1 - beta_2^t)) + eps)
    /// ```
    ///
    /// All of it in one pass over memory, by libtorch's fused kernel.
    ///
    /// A gradient that is not defined is zero: the weight still moves by what is left of its moments. So a batch whose
    /// gradient is known to be zero gives the same weights whether it was computed or left out. (PyTorch leaves such a
    /// parameter alone.) A gradient that is not finite spoils weights and moments; [`super::clip_grad_norm`] comes
    /// first and refuses it.
    ///
    /// # Panics
    /// If the parameters are not all of one kind and on one device.
    pub fn step(&mut self, lr: f64) {
        self.n_steps += 1;
        let gradients: Vec<Tensor> = self.slots.iter().map(Slot::gradient).collect();
        let slots = self.slots.iter().zip(&gradients).map(|(slot, gradient)| AdamWSlot {
            parameter: &slot.parameter,
            gradient,
            exp_avg: &slot.exp_avg,
            exp_avg_sq: &slot.exp_avg_sq,
        });
        let AdamWConfig { betas, eps, weight_decay, decay_scope } = self.config;
        let (decayed, others): (Vec<_>, Vec<_>) = slots.partition(|slot| decay_scope.covers(slot.parameter));
        super::with_threads_for(gradients.iter().map(Tensor::numel).sum(), || {
            for (slots, weight_decay) in [(decayed, weight_decay), (others, 0.0)] {
                let step = AdamWStep { lr, betas, weight_decay, eps, number: self.n_steps };
                shim::optim::adamw(&slots, step).expect("parameters are of one kind and on one device");
            }
        });
    }

    /// Forgets the gradients, as before the first backward pass of an update; their memory is given back.
    pub fn zero_grad(&mut self) {
        for slot in &self.slots {
            shim::autograd::drop_grad(&slot.parameter).expect("a parameter is a leaf");
        }
    }
}

impl DecayScope {
    fn covers(self, parameter: &Tensor) -> bool {
        match self {
            Self::Matrices => parameter.dim() >= 2,
            Self::All => true,
        }
    }
}

impl Slot {
    fn gradient(&self) -> Tensor {
        let gradient = self.parameter.grad();
        if gradient.defined() { gradient } else { self.exp_avg.zeros_like() }
    }
}

#[cfg(test)]
#[path = "adamw_tests.rs"]
mod tests;
