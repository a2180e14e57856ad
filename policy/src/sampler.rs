//! The policy as it stands, ready to be sampled from: frozen weights, encoding of prompts, decoding step by step.

use crate::cpu::sampling::Reader;
use crate::kv_cache::{CacheForm, PromptForm};
use crate::network::{Engine, Network};
use crate::weights::Form;
use crate::{Error, KvCache, ModelConfig, PromptKv, Result, Weights, cpu, libtorch};
use tch::{Device, Kind, Tensor};
/// Few enough that encoded prompts take little memory beside the cache.
const PREFILL_TOKENS: usize = 8192;
/// The part of a GPU's free memory that is left to what computes.
const SPARE: f64 = 0.1;

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

    /// Where it computes, and where its logits are.
    pub fn device(&self) -> Device {
        self.network.device
    }

    /// How many sequences of `n_positions` tokens, prompt included, can be sampled at once in the memory that is free now.
    /// On the CPU there is no telling, and no bound.
    ///
    /// # Errors
    /// If there is no room for a single one.
    pub fn most_rows(&self, n_positions: usize) -> Result<usize> {
        let Device::Cuda(device) = self.network.device else { return Ok(usize::MAX) };
        let memory = shim::cuda::memory(device).expect("the weights are on this device");
        // What libtorch keeps for later tensors is free for these.
        let free = memory.free + memory.reserved.saturating_sub(memory.allocated);
        self.rows_within((free as f64 * (1.0 - SPARE)) as u64, n_positions)
    }

    fn rows_within(&self, free: u64, n_positions: usize) -> Result<usize> {
        let Network { config, kind, device, .. } = &self.network;
        let needed = libtorch::sampling::bytes_per_row(config, *kind, n_positions);
        match (free / needed) as usize {
            0 => Err(Error::NoRoomForCache { device: *device, n_positions, needed, free }),
            n_rows => Ok(n_rows),
        }
    }

    /// An empty cache for up to `n_rows` sequences at once, of up to `n_positions` tokens, prompt included. A GPU sets all of
    /// it aside at once ([`Self::most_rows`] says how much there may be); the CPU as sequences grow.
    ///
    /// More positions than planned are no error, but cost time.
    pub fn kv_cache(&self, n_rows: usize, n_positions: usize) -> KvCache {
        let network = &self.network;
        KvCache(match &network.engine {
            Engine::Cpu(shape) => {
                let n_layers = network.config.n_layers as usize;
                CacheForm::Cpu(shape.cache(n_layers, n_rows, n_positions))
            }
            Engine::Libtorch => CacheForm::Libtorch(libtorch::cache::Cache::new(network, n_rows, n_positions)),
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
                let mut encoded = libtorch::sampling::prefill(&self.network, weights, &[prompt]);
                let (prompt, logits) = encoded.pop().expect("one for each prompt");
                PromptKv { form: PromptForm::Libtorch(prompt), logits }
            }
            _ => unreachable!("weights are made for their engine"),
        }
    }

    /// Tokens of prompts up to which it pays to encode several at once: a GPU is busy with many only. Our own kernels are
    /// busy with one prompt.
    pub fn prefill_tokens(&self) -> usize {
        match self.weights.0 {
            Form::Packed(_) => 0,
            Form::Tensors(_) => PREFILL_TOKENS,
        }
    }

    /// Encodes prompts, in one pass where [`Self::prefill_tokens`] says so.
    ///
    /// # Panics
    /// If a prompt is empty.
    pub fn prefill_all(&self, prompts: &[&[i64]]) -> Vec<PromptKv> {
        let Form::Tensors(weights) = &self.weights.0 else {
            return prompts.iter().map(|prompt| self.prefill(prompt)).collect();
        };
        assert!(prompts.iter().all(|prompt| !prompt.is_empty()), "a prompt has at least one token");
        let encoded = libtorch::sampling::prefill(&self.network, weights, prompts).into_iter();
        encoded.map(|(prompt, logits)| PromptKv { form: PromptForm::Libtorch(prompt), logits }).collect()
    }

    /// One decoding step: appends `tokens[row]` to the sequence in each of the first `tokens.len()` rows. Rows behind these
    /// are taken for unused: they are to be admitted again before they are decoded.
    ///
    /// - result: `[tokens.len(), vocab]`, float32: logits of what comes next in each row; to be read before the next step,
    ///   which may write to the same memory
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dtype, Policy};

    #[test]
    fn rows_are_bounded_by_memory() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models/qwen2_tied");
        let sampler = |dtype| Policy::load(&folder, dtype, Device::Cpu).unwrap().by_libtorch().sampler();
        let (float, half) = (sampler(Dtype::Float32), sampler(Dtype::BFloat16));
        let (config, n_positions) = (float.config(), 1000);
        let numbers = (config.n_layers * 2 * config.n_kv_heads * config.head_dim) as u64 * n_positions;
        // As long as this the cache is nearly all of it.
        let free = numbers * 4 * 100;
        let rows = |sampler: &Sampler| sampler.rows_within(free, n_positions as usize).unwrap();
        assert!((90..=100).contains(&rows(&float)), "{}", rows(&float));
        assert!((180..=200).contains(&rows(&half)), "{}", rows(&half));
        let error = float.rows_within(numbers * 4, n_positions as usize).unwrap_err().to_string();
        assert!(error.contains("a sequence of 1000 tokens") && error.contains("lower max_tokens"), "{error}");
        assert_eq!(float.most_rows(n_positions as usize).unwrap(), usize::MAX);
    }
}
