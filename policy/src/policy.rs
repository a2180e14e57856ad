//! The policy: trainable float32 master weights, the decoder that reads them, and a frozen copy of itself as reference.

use crate::cpu::weights::PackedWeights;
use crate::network::{Engine, Kernels, Network};
use crate::weights::Form;
use crate::{
    Checkpointing, Error, ModelConfig, PackedBatch, Result, Sampler, Tape, Weights, cpu, libtorch, safetensors_io, tape,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
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
    network: Network,
    /// Master weights under their Hugging Face names, in the order of the forward pass: float32 leaves that collect gradients.
    parameters: Vec<(String, Tensor)>,
}

impl Policy {
    /// Loads a Hugging Face folder.
    ///
    /// # Errors
    /// If config.json asks for something the decoder does not do, or a tensor is missing, spare, misshapen or not finite.
    pub fn load(folder: &Path, dtype: Dtype, device: Device) -> Result<Self> {
        let config = ModelConfig::load(folder)?;
        let mut stored = BTreeMap::new();
        for file in safetensors_io::model_files(folder)? {
            stored.append(&mut safetensors_io::read_tensors(&file)?);
        }
        // Old Llama checkpoints carry the rotary frequencies, which follow from the configuration.
        stored.retain(|name, _| !name.ends_with("rotary_emb.inv_freq"));
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
        mut stored: BTreeMap<String, Tensor>,
        dtype: Dtype,
        device: Device,
    ) -> Result<Self> {
        let mut parameters = Vec::new();
        for (name, expected) in config.tensor_shapes() {
            let Some(tensor) = stored.remove(&name) else {
                return Err(Error::MissingTensor { path: path.into(), name, expected });
            };
            parameters.push((name.clone(), master(path, name, expected, &tensor)?));
        }
        if let Some((name, tensor)) = stored.pop_first() {
            return Err(Error::SpareTensor { path: path.into(), name, got: tensor.size() });
        }
        Ok(Self::new(config, parameters, dtype, device))
    }

    /// A policy from parameters in memory, one for each of [`ModelConfig::tensor_shapes`], in that order.
    ///
    /// # Panics
    /// If names or shapes are not those of the configuration.
    pub fn new(config: ModelConfig, parameters: Vec<(String, Tensor)>, dtype: Dtype, device: Device) -> Self {
        let got: Vec<_> = parameters.iter().map(|(name, tensor)| (name.clone(), tensor.size())).collect();
        assert_eq!(got, config.tensor_shapes(), "parameters are those of the configuration");
        let leaf = |tensor: Tensor| {
            tch::no_grad(|| tensor.to_device(device).to_kind(Kind::Float).contiguous().detach().copy())
                .set_requires_grad(true)
        };
        let parameters = parameters.into_iter().map(|(name, tensor)| (name, leaf(tensor))).collect();
        Self { network: Network::new(config, dtype, device), parameters }
    }

    /// The same policy, computed by libtorch's plain operations: to be compared with. On the CPU without kernels of our
    /// own, on a GPU without flash attention and CUDA graphs.
    #[must_use]
    pub fn by_libtorch(mut self) -> Self {
        self.network.engine = Engine::Libtorch;
        self.network.kernels = Kernels::Portable;
        self
    }

    /// Writes config.json and model.safetensors (float32) into `folder`, as transformers reads them.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let mut json = self.config().json.clone();
        let key = if json.contains_key("torch_dtype") { "torch_dtype" } else { "dtype" };
        json.insert(key.into(), "float32".into());
        let path = folder.join("config.json");
        let text = serde_json::to_string_pretty(&json).expect("a parsed JSON object can be written") + "\n";
        std::fs::write(&path, text).map_err(|source| Error::Io { path, source })?;
        let tensors = self.parameters.iter().map(|(name, tensor)| (name.as_str(), tensor));
        safetensors_io::write_tensors(&folder.join("model.safetensors"), tensors)
    }

    /// The decoder's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.network.config
    }

    /// The kind in which it computes.
    pub fn dtype(&self) -> Dtype {
        self.network.dtype
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.network.device
    }

    /// The master weights: what the optimiser updates, under their Hugging Face names.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        &self.parameters
    }

    /// Weights for forward and backward passes; stale once the master weights change.
    pub fn trainable_weights(&self) -> Weights {
        self.weights_of(&self.parameters, true)
    }

    /// Weights for forward passes alone; stale once the master weights change.
    pub fn frozen_weights(&self) -> Weights {
        tch::no_grad(|| self.weights_of(&self.parameters, false))
    }

    fn weights_of(&self, parameters: &[(String, Tensor)], trainable: bool) -> Weights {
        let Network { config, dtype, kind, engine, .. } = &self.network;
        Weights(match engine {
            Engine::Cpu(_) => Form::Packed(Arc::new(PackedWeights::new(config, parameters, *dtype, trainable))),
            Engine::Libtorch => Form::Tensors(Arc::new(libtorch::weights::Weights::bind(config, parameters, *kind))),
        })
    }

    /// The policy as it stands, to be sampled from.
    pub fn sampler(&self) -> Sampler {
        Sampler::new(self.network.share(), self.frozen_weights())
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
                self.parameters.iter().enumerate().map(|(index, (name, tensor))| (name.clone(), make(index, tensor)));
            let parameters: Vec<(String, Tensor)> = made.collect();
            let weights = self.weights_of(&parameters, false);
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
        let network = &self.network;
        let form = match (&network.engine, &weights.0) {
            (Engine::Cpu(shape), Form::Packed(weights)) => {
                tape::Form::Cpu(cpu::tape::Tape::record(shape, weights, batch, checkpointing))
            }
            (Engine::Libtorch, Form::Tensors(weights)) => {
                tape::Form::Libtorch(libtorch::tape::Tape::record(network, weights, batch, checkpointing))
            }
            _ => panic!("weights are made for their engine"),
        };
        Tape { policy: self, targets: &batch.targets, form }
    }

    /// Log-probabilities and entropies of the completion tokens of a packed batch, without a graph.
    ///
    /// - `temperature`: divides the logits; positive; `chunk`: tokens whose logits exist at once (on the CPU, fewer do)
    ///
    /// # Panics
    /// If the weights were made by another engine.
    pub fn packed_logprobs(&self, weights: &Weights, batch: &PackedBatch, temperature: f64, chunk: i64) -> TokenStats {
        match (&self.network.engine, &weights.0) {
            (Engine::Cpu(shape), Form::Packed(weights)) => {
                let x = cpu::tape::hidden(shape, weights, batch);
                let x = cpu::tape::at_rows(&x, &batch.predictors, shape);
                cpu::head::logprobs(shape, weights, &x, &batch.targets, temperature).into()
            }
            (Engine::Libtorch, Form::Tensors(weights)) => {
                libtorch::head::logprobs(&self.network, weights, batch, temperature, chunk)
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

/// Checks one stored tensor and turns it into float32.
fn master(folder: &Path, name: String, expected: Vec<i64>, tensor: &Tensor) -> Result<Tensor> {
    if tensor.size() != expected {
        return Err(Error::Shape { path: folder.into(), name, expected, got: tensor.size() });
    }
    if !matches!(tensor.kind(), Kind::Float | Kind::BFloat16 | Kind::Half) {
        return Err(Error::ElementType { path: folder.into(), name, got: format!("{:?}", tensor.kind()) });
    }
    let tensor = tensor.to_kind(Kind::Float);
    if tensor.isfinite().all().int64_value(&[]) == 0 {
        return Err(Error::NotFinite { path: folder.into(), name });
    }
    Ok(tensor)
}
