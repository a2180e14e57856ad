//! The policy as it stands, ready to be sampled from: frozen weights, encoding of prompts, decoding step by step.

use crate::cpu::sampling::Reader;
use crate::kv_cache::{CacheForm, PromptForm};
use crate::network::{Engine, Network};
use crate::weights::Form;
use crate::{KvCache, ModelConfig, PromptKv, Weights, cpu, libtorch};
use tch::{Device, Kind, Tensor};

/// Positions that a new cache has room for.
const POSITIONS: usize = 64;

/// A frozen view of a policy. It shares the policy's memory where it can, may be sent to another thread, and is stale once
/// the policy's weights change.
#[derive(Debug)]
pub struct Sampler {
    network: Network,
    weights: Weights,
    on_all_threads: bool,
}

impl Sampler {
    pub(crate) fn new(network: Network, weights: Weights) -> Self {
        Self { network, weights, on_all_threads: false }
    }

    /// The same, with matrix products of large weights shared out among all threads of the CPU: for a sampler that works
    /// alone. Without it, a sampler keeps to the thread that it is called in. No result changes.
    #[must_use]
    pub fn on_all_threads(self) -> Self {
        Self { on_all_threads: true, ..self }
    }

    /// Another handle to the same weights, for another thread.
    pub fn share(&self) -> Self {
        Self { network: self.network.share(), weights: self.weights.clone(), ..*self }
    }

    /// The decoder's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.network.config
    }

    /// An empty cache for up to `n_rows` sequences at once.
    pub fn kv_cache(&self, n_rows: usize) -> KvCache {
        let network = &self.network;
        KvCache(match &network.engine {
            Engine::Cpu(shape) => CacheForm::Cpu(shape.cache(network.config.n_layers as usize, n_rows, POSITIONS)),
            Engine::Libtorch => {
                CacheForm::Libtorch(libtorch::cache::Cache::new(&network.config, n_rows, network.kind, network.device))
            }
        })
    }

    /// Encodes a prompt, once for all completions of its group.
    ///
    /// # Panics
    /// If the prompt is empty.
    pub fn prefill(&self, prompt: &[i64]) -> PromptKv {
        assert!(!prompt.is_empty(), "a prompt has at least one token");
        match (&self.network.engine, &self.weights.0) {
            (Engine::Cpu(shape), Form::Packed(weights)) => {
                let mut logits = self.logits(1);
                let mut reader = Reader::new(shape, weights, self.on_all_threads);
                let cache = reader.prefill(prompt, floats_mut(&mut logits));
                PromptKv { form: PromptForm::Cpu(cache), logits: self.of_vocabulary(&logits).squeeze_dim(0) }
            }
            (_, Form::Tensors(weights)) => {
                let (prompt, logits) = libtorch::sampling::prefill(&self.network, weights, prompt);
                PromptKv { form: PromptForm::Libtorch(prompt), logits }
            }
            _ => unreachable!("weights are made for their engine"),
        }
    }

    /// One decoding step: appends `tokens[row]` to the sequence in each of the first `tokens.len()` rows.
    ///
    /// - result: `[tokens.len(), vocab]`, float32: logits of what comes next in each row
    pub fn decode(&self, tokens: &[i64], cache: &mut KvCache) -> Tensor {
        match (&self.network.engine, &self.weights.0, &mut cache.0) {
            (Engine::Cpu(shape), Form::Packed(weights), CacheForm::Cpu(cache)) => {
                let mut logits = self.logits(tokens.len());
                let mut reader = Reader::new(shape, weights, self.on_all_threads);
                reader.decode(tokens, cache, floats_mut(&mut logits));
                self.of_vocabulary(&logits)
            }
            (_, Form::Tensors(weights), CacheForm::Libtorch(cache)) => {
                libtorch::sampling::decode(&self.network, weights, tokens, cache)
            }
            _ => unreachable!("weights and cache are made for their engine"),
        }
    }

    /// Room for rows of logits as the kernels write them: `[n_rows, width(vocab)]`.
    fn logits(&self, n_rows: usize) -> Tensor {
        let width = cpu::width(self.network.config.vocab_size as usize);
        Tensor::zeros([n_rows as i64, width as i64], (Kind::Float, Device::Cpu))
    }

    fn of_vocabulary(&self, logits: &Tensor) -> Tensor {
        logits.narrow(1, 0, self.network.config.vocab_size)
    }
}

/// The values of a tensor that was just made.
fn floats_mut(tensor: &mut Tensor) -> &mut [f32] {
    assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu);
    // SAFETY: contiguous float32 in this process's memory, borrowed mutably, and shared with no other tensor yet.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
}
