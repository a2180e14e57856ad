//! The policy: trainable float32 master weights, the decoder that reads them, and a frozen copy of itself as reference.

use crate::attention::{self, Heads};
use crate::head::{TokenStats, logprobs_in_chunks};
use crate::network::Network;
use crate::rope::Rope;
use crate::{Error, ModelConfig, PackedBatch, Result, Sampler, Tape, Weights, decoder, safetensors_io};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// The kind in which the network computes. Master weights, optimiser and log-probabilities are float32 in either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// Sampler and trainer agree to rounding, about 1e-6.
    Float32,
    /// Half the memory traffic, several times the speed where the processor has units for it.
    BFloat16,
}

impl Dtype {
    fn kind(self) -> Kind {
        match self {
            Self::Float32 => Kind::Float,
            Self::BFloat16 => Kind::BFloat16,
        }
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
        let rope = Rope::new(&config, device);
        Self { network: Network { config, rope, kind: dtype.kind(), device }, parameters }
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

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.network.device
    }

    /// The master weights: what the optimiser updates, under their Hugging Face names.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        &self.parameters
    }

    /// Weights as part of the graph, for one forward and backward pass.
    pub fn trainable_weights(&self) -> Weights {
        Weights::bind(&self.network.config, &self.parameters, self.network.kind)
    }

    /// Weights without a graph; stale once the master weights change.
    pub fn frozen_weights(&self) -> Weights {
        tch::no_grad(|| Weights::bind(&self.network.config, &self.parameters, self.network.kind))
    }

    /// The policy as it stands, to be sampled from.
    pub fn sampler(&self) -> Sampler {
        Sampler::new(self.network.share(), self.frozen_weights())
    }

    /// A frozen copy, pi_ref.
    pub fn reference(&self) -> ReferencePolicy {
        let copies: Vec<(String, Tensor)> = tch::no_grad(|| {
            self.parameters.iter().map(|(name, tensor)| (name.clone(), tensor.detach().copy())).collect()
        });
        let config = self.network.config.clone();
        let weights = tch::no_grad(|| Weights::bind(&config, &copies, self.network.kind));
        ReferencePolicy { parameters: copies, weights }
    }

    /// A forward pass over a packed batch that can be differentiated; `weights` are [`Self::trainable_weights`].
    pub fn forward<'a>(&self, weights: &Weights, batch: &'a PackedBatch) -> Tape<'a> {
        Tape::record(&self.network, weights, batch)
    }

    /// Hidden states that predict the completion tokens of a packed batch, without a graph.
    ///
    /// - result: `[completion_tokens, hidden]`, in compute kind, after the final norm
    pub fn hidden(&self, weights: &Weights, batch: &PackedBatch) -> Tensor {
        let network = &self.network;
        tch::no_grad(|| {
            let rotation = network.rope.at(&batch.positions, network.kind);
            let mask = attention::causal_mask(&batch.segments, network.config.head_dim, network.kind, network.device);
            let mut attend = |_: usize, heads: Heads| attention::packed(&heads, &batch.segments, mask.as_ref());
            decoder::hidden_states(&network.config, weights, &batch.tokens, &rotation, &mut attend)
                .index_select(0, &batch.predictors)
        })
    }

    /// Log-probabilities and entropies of the completion tokens of a packed batch, without a graph.
    pub fn packed_logprobs(&self, weights: &Weights, batch: &PackedBatch, temperature: f64, chunk: i64) -> TokenStats {
        let hidden = self.hidden(weights, batch);
        logprobs_in_chunks(&hidden, &weights.head, &batch.targets, temperature, chunk)
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
