//! A decoder with its master weights, whatever its head: what policy and reward model have in common.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::cpu::weights::PackedWeights;
use crate::network::{Engine, Kernels, Network};
use crate::weights::Form;
use crate::{Checkpointing, Dtype, Error, ModelConfig, PackedBatch, Result, Weights, cpu, libtorch};
use crate::{safetensors_io, tape};

/// A network and its trainable weights.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) network: Network,
    /// Master weights under their Hugging Face names, in the order of the forward pass: float32 leaves that collect gradients.
    pub(crate) parameters: Vec<(String, Tensor)>,
}

/// Every tensor of a Hugging Face folder, as stored.
///
/// # Errors
/// If a file is missing or cannot be read.
pub(crate) fn stored_tensors(folder: &Path) -> Result<BTreeMap<String, Tensor>> {
    let mut stored = BTreeMap::new();
    for file in safetensors_io::model_files(folder)? {
        stored.append(&mut safetensors_io::read_tensors(&file)?);
    }
    // Old Llama checkpoints carry the rotary frequencies, which follow from the configuration.
    stored.retain(|name, _| !name.ends_with("rotary_emb.inv_freq"));
    Ok(stored)
}

impl Model {
    /// From stored tensors; `path` is where they came from, for messages.
    ///
    /// # Errors
    /// If a tensor is missing, spare, misshapen or not finite.
    pub(crate) fn from_tensors(
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

    /// From parameters in memory, one for each of [`ModelConfig::tensor_shapes`], in that order.
    ///
    /// # Panics
    /// If names or shapes are not those of the configuration.
    pub(crate) fn new(config: ModelConfig, parameters: Vec<(String, Tensor)>, dtype: Dtype, device: Device) -> Self {
        let got: Vec<_> = parameters.iter().map(|(name, tensor)| (name.clone(), tensor.size())).collect();
        assert_eq!(got, config.tensor_shapes(), "parameters are those of the configuration");
        let leaf = |tensor: Tensor| {
            tch::no_grad(|| tensor.to_device(device).to_kind(Kind::Float).contiguous().detach().copy())
                .set_requires_grad(true)
        };
        let parameters = parameters.into_iter().map(|(name, tensor)| (name, leaf(tensor))).collect();
        Self { network: Network::new(config, dtype, device), parameters }
    }

    /// The same, computed by libtorch's plain operations.
    pub(crate) fn by_libtorch(mut self) -> Self {
        self.network.engine = Engine::Libtorch;
        self.network.kernels = Kernels::Portable;
        self
    }

    /// Writes config.json and model.safetensors (float32) into `folder`, as transformers reads them.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        let mut json = self.network.config.json.clone();
        let key = if json.contains_key("torch_dtype") { "torch_dtype" } else { "dtype" };
        json.insert(key.into(), "float32".into());
        let path = folder.join("config.json");
        let text = serde_json::to_string_pretty(&json).expect("a parsed JSON object can be written") + "\n";
        std::fs::write(&path, text).map_err(|source| Error::Io { path, source })?;
        let tensors = self.parameters.iter().map(|(name, tensor)| (name.as_str(), tensor));
        safetensors_io::write_tensors(&folder.join("model.safetensors"), tensors)
    }

    /// The master weights in compute format: for forward and backward passes, or for forward passes alone.
    pub(crate) fn weights(&self, trainable: bool) -> Weights {
        if trainable {
            self.weights_of(&self.parameters, true)
        } else {
            tch::no_grad(|| self.weights_of(&self.parameters, false))
        }
    }

    /// Other parameters of the same network in compute format.
    pub(crate) fn weights_of(&self, parameters: &[(String, Tensor)], trainable: bool) -> Weights {
        let Network { config, dtype, kind, engine, .. } = &self.network;
        Weights(match engine {
            Engine::Cpu(_) => Form::Packed(Arc::new(PackedWeights::new(config, parameters, *dtype, trainable))),
            Engine::Libtorch => Form::Tensors(Arc::new(libtorch::weights::Weights::bind(config, parameters, *kind))),
        })
    }

    /// A forward pass over a packed batch, as far as what enters the head, that can be differentiated.
    ///
    /// # Panics
    /// If the weights were made by another engine.
    pub(crate) fn record<'a>(
        &'a self,
        weights: &'a Weights,
        batch: &'a PackedBatch,
        checkpointing: Checkpointing,
    ) -> tape::Form<'a> {
        match (&self.network.engine, &weights.0) {
            (Engine::Cpu(shape), Form::Packed(weights)) => {
                tape::Form::Cpu(cpu::tape::Tape::record(shape, weights, batch, checkpointing))
            }
            (Engine::Libtorch, Form::Tensors(weights)) => {
                tape::Form::Libtorch(libtorch::tape::Tape::record(&self.network, weights, batch, checkpointing))
            }
            _ => panic!("weights are made for their engine"),
        }
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
