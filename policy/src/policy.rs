//! The policy: trainable float32 master weights, the decoder that reads them, and a frozen copy of itself as reference.

use crate::config::SCORE;
use crate::model::{self, Model};
use crate::network::Engine;
use crate::weights::Form;
use crate::{Checkpointing, Error, ModelConfig, PackedBatch, Result, Sampler, Tape, Weights, cpu, libtorch};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// The kind in which the network computes. Master weights, optimiser and log-probabilities are float32 in either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// Every number.
    Float32,
    /// What goes into matrix products: half the memory traffic, twice the speed where the processor has units for it.
    BFloat16,
}

impl Dtype {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Float32 => Kind::Float,
            Self::BFloat16 => Kind::BFloat16,
        }
    }
}

/// What the network says of each token asked about.
#[derive(Debug)]
pub struct TokenStats {
    /// `[tokens]`, float32, nats, at most 0: log-probability of the token under softmax(logits / temperature).
    pub logprobs: Tensor,
    /// `[tokens]`, float32, nats: entropy of that distribution.
    pub entropy: Tensor,
}

impl TokenStats {
    /// The same numbers as the beginning of a graph.
    pub(crate) fn into_leaves(self) -> Self {
        let leaf = |tensor: Tensor| tensor.set_requires_grad(true);
        Self { logprobs: leaf(self.logprobs), entropy: leaf(self.entropy) }
    }
}

impl From<cpu::head::Stats> for TokenStats {
    fn from(stats: cpu::head::Stats) -> Self {
        Self { logprobs: Tensor::from_slice(&stats.logprobs), entropy: Tensor::from_slice(&stats.entropy) }
    }
}

/// The policy, pi_theta.
#[derive(Debug)]
pub struct Policy {
    pub(crate) model: Model,
}

impl Policy {
    /// Loads a Hugging Face folder.
    ///
    /// # Errors
    /// If config.json asks for something the decoder does not do, or a tensor is missing, spare, misshapen or not finite.
    pub fn load(folder: &Path, dtype: Dtype, device: Device) -> Result<Self> {
        let config = ModelConfig::load(folder)?;
        let mut stored = model::stored_tensors(folder)?;
        if stored.contains_key(SCORE) {
            return Err(Error::NotAPolicy { path: folder.into() });
        }
        if config.tie_word_embeddings {
            // Some tools store the tied head a second time; transformers ignores it, and so do we.
            stored.remove("lm_head.weight");
        }
        Self::from_tensors(folder, config, stored, dtype, device)
    }

    /// A policy from stored tensors; `path` is where they came from, for messages.
    ///
    /// # Errors
    /// If a tensor is missing, spare, misshapen or not finite.
    pub fn from_tensors(
        path: &Path,
        config: ModelConfig,
        stored: BTreeMap<String, Tensor>,
        dtype: Dtype,
        device: Device,
    ) -> Result<Self> {
        Ok(Self { model: Model::from_tensors(path, config, stored, dtype, device)? })
    }

    /// A policy from parameters in memory, one for each of [`ModelConfig::tensor_shapes`], in that order.
    ///
    /// # Panics
    /// If names or shapes are not those of the configuration.
    pub fn new(config: ModelConfig, parameters: Vec<(String, Tensor)>, dtype: Dtype, device: Device) -> Self {
        Self { model: Model::new(config, parameters, dtype, device) }
    }

    /// The same policy, computed by libtorch's plain operations: to be compared with. On the CPU without kernels of our
    /// own, on a GPU without flash attention and CUDA graphs.
    #[must_use]
    pub fn by_libtorch(self) -> Self {
        Self { model: self.model.by_libtorch() }
    }

    /// Writes config.json and model.safetensors (float32) into `folder`, as transformers reads them.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        self.model.save(folder)
    }

    /// The decoder's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.model.network.config
    }

    /// The kind in which it computes.
    pub fn dtype(&self) -> Dtype {
        self.model.network.dtype
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.model.network.device
    }

    /// The master weights: what the optimiser updates, under their Hugging Face names.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        &self.model.parameters
    }

    /// Weights for forward and backward passes; stale once the master weights change.
    pub fn trainable_weights(&self) -> Weights {
        self.model.weights(true)
    }

    /// Weights for forward passes alone; stale once the master weights change.
    pub fn frozen_weights(&self) -> Weights {
        self.model.weights(false)
    }

    /// The policy as it stands, to be sampled from.
    pub fn sampler(&self) -> Sampler {
        Sampler::new(self.model.network.share(), self.frozen_weights())
    }

    /// A frozen copy, pi_ref.
    pub fn reference(&self) -> ReferencePolicy {
        self.frozen(|_, tensor| tensor.detach().copy())
    }

    /// `alpha` times this policy and 1 - `alpha` times a reference of the same model, weight by weight; with 1 a frozen copy.
    pub fn mixed_into(&self, reference: &ReferencePolicy, alpha: f64) -> ReferencePolicy {
        if alpha == 1.0 {
            return self.reference();
        }
        self.frozen(|index, tensor| tensor.detach() * alpha + &reference.parameters[index].1 * (1.0 - alpha))
    }

    /// A reference made of each parameter by its number.
    fn frozen(&self, make: impl Fn(usize, &Tensor) -> Tensor) -> ReferencePolicy {
        tch::no_grad(|| {
            let made =
                self.parameters().iter().enumerate().map(|(index, (name, tensor))| (name.clone(), make(index, tensor)));
            let parameters: Vec<(String, Tensor)> = made.collect();
            let weights = self.model.weights_of(&parameters, false);
            ReferencePolicy { parameters, weights }
        })
    }

    /// A forward pass over a packed batch that can be differentiated; `weights` are [`Self::trainable_weights`].
    ///
    /// # Panics
    /// If the weights were made by another engine.
    pub fn forward<'a>(
        &'a self,
        weights: &'a Weights,
        batch: &'a PackedBatch,
        checkpointing: Checkpointing,
    ) -> Tape<'a> {
        let form = self.model.record(weights, batch, checkpointing);
        Tape { model: &self.model, targets: &batch.targets, form }
    }

    /// Log-probabilities and entropies of the completion tokens of a packed batch, without a graph.
    ///
    /// - `temperature`: divides the logits; positive; `chunk`: tokens whose logits exist at once (on the CPU, fewer do)
    ///
    /// # Panics
    /// If the weights were made by another engine.
    pub fn packed_logprobs(&self, weights: &Weights, batch: &PackedBatch, temperature: f64, chunk: i64) -> TokenStats {
        match (&self.model.network.engine, &weights.0) {
            (Engine::Cpu(shape), Form::Packed(weights)) => {
                let x = cpu::tape::hidden(shape, weights, batch);
                let x = cpu::tape::at_rows(&x, &batch.predictors, shape);
                cpu::head::logprobs(shape, weights, &x, &batch.targets, temperature).into()
            }
            (Engine::Libtorch, Form::Tensors(weights)) => {
                libtorch::head::logprobs(&self.model.network, weights, batch, temperature, chunk)
            }
            _ => panic!("weights are made for their engine"),
        }
    }
}

/// A frozen policy: the anchor of the KL term, pi_ref.
#[derive(Debug)]
pub struct ReferencePolicy {
    parameters: Vec<(String, Tensor)>,
    weights: Weights,
}

impl ReferencePolicy {
    /// The frozen weights, to be run through the policy's own decoder.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The frozen float32 parameters, to be saved with a checkpoint.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        &self.parameters
    }
}
