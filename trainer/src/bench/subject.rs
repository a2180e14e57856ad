//! What is measured: a model, and the size of a step.

use std::path::Path;

use policy::{Checkpointing, Dtype, ModelConfig, Policy, random_parameters};
use rollout::random::Stream;
use rollout::{Prompt, Tokenizer};
use serde::Serialize;
use serde_json::json;
use tch::Device;

/// A built-in shape of the Qwen2 architecture, with random weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// 0.75 million weights, 128 tokens.
    Tiny,
    /// 4.8 million weights, 2,048 tokens.
    Small,
    /// Qwen2.5-0.5B: 494 million weights, 151,936 tokens.
    Medium,
    /// Qwen2.5-1.5B: 1,544 million weights.
    Large,
    /// One block of Qwen2.5-0.5B under its whole vocabulary: nearly all head.
    Vocabulary,
}

impl Shape {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
            Self::Vocabulary => "vocabulary",
        }
    }

    /// The configuration, with a context of `context` tokens.
    pub fn config(self, context: i64) -> ModelConfig {
        let [hidden, layers, heads, kv_heads, ffn, vocab] = match self {
            Self::Tiny => [128, 4, 4, 2, 352, 128],
            Self::Small => [256, 6, 8, 2, 704, 2_048],
            Self::Medium => [896, 24, 14, 2, 4_864, 151_936],
            Self::Large => [1_536, 28, 12, 2, 8_960, 151_936],
            Self::Vocabulary => [896, 1, 14, 2, 4_864, 151_936],
        };
        let json = json!({
            "model_type": "qwen2",
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "intermediate_size": ffn,
            "vocab_size": vocab,
            "max_position_embeddings": context,
            "rope_theta": 1e6,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": true,
            "eos_token_id": 0,
        });
        ModelConfig::from_json(json.as_object().expect("an object"), self.name()).expect("a shape the decoder has")
    }
}

/// Different random numbers in the weights of a built-in shape; no row of a matrix has a length that divides it.
const N_RANDOM: usize = (1 << 20) + 7;
/// Between the places at which two tensors begin to read them.
const STRIDE: usize = 7_919;

/// The size of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StepSize {
    /// Prompts of a step.
    pub prompts: usize,
    /// Completions of each.
    pub group_size: usize,
    /// Tokens of each prompt.
    pub prompt_tokens: usize,
    /// Tokens of each completion; end tokens are suppressed before.
    pub completion_tokens: usize,
    /// Sequences decoded at once.
    pub max_batch: usize,
    /// Tokens of a forward and backward pass.
    pub micro_batch_tokens: usize,
    /// Tokens whose logits are held at once.
    pub logits_chunk_tokens: usize,
    /// What a forward pass keeps.
    #[serde(skip)]
    pub checkpointing: Checkpointing,
}

/// A model and the size of a step on it.
#[derive(Debug)]
pub struct Subject {
    /// For people: a shape or a folder.
    pub name: String,
    /// The network.
    pub policy: Policy,
    /// Turns drawn tokens into text, as in training.
    pub tokenizer: Tokenizer,
    /// The size of a step.
    pub step: StepSize,
    dtype: Dtype,
}

impl Subject {
    /// A model that is there.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn load(folder: &Path, step: StepSize, dtype: Dtype, device: Device) -> Result<Self, String> {
        let policy = Policy::load(folder, dtype, device).map_err(|error| error.to_string())?;
        let tokenizer = Tokenizer::load(folder, policy.config().vocab_size).map_err(|error| error.to_string())?;
        Ok(Self { name: folder.display().to_string(), policy, tokenizer, step, dtype })
    }

    /// A built-in shape with random weights.
    ///
    /// # Errors
    /// If its tokenizer cannot be written to the folder for temporary files, from which it is read.
    pub fn random(shape: Shape, step: StepSize, dtype: Dtype, device: Device) -> Result<Self, String> {
        let config = shape.config((step.prompt_tokens + step.completion_tokens) as i64);
        // Over a billion numbers may be asked for: a million are drawn, and each tensor reads them from a place of its own.
        let stream = Stream::new(1, &[3]);
        let pool: Vec<f32> = (0..N_RANDOM as u64).map(|index| stream.normal(index) as f32).collect();
        let normal = |tensor_idx: usize, n: usize| {
            let mut values = Vec::with_capacity(n);
            let mut rest = &pool[tensor_idx * STRIDE % N_RANDOM..];
            while values.len() < n {
                values.extend_from_slice(&rest[..rest.len().min(n - values.len())]);
                rest = &pool;
            }
            values
        };
        let parameters = random_parameters(&config, 0.02, normal);
        let tokenizer = word_tokenizer(config.vocab_size)?;
        let policy = Policy::new(config, parameters, dtype, device);
        Ok(Self { name: shape.name().to_owned(), policy, tokenizer, step, dtype })
    }

    /// The kind that the network computes in.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// `n` prompts of random tokens.
    pub(super) fn prompts(&self, n: usize) -> Vec<Prompt> {
        (0..n as u64)
            .map(|idx| Prompt { ids: self.tokens(&[0, idx], self.step.prompt_tokens), text: String::new() })
            .collect()
    }

    /// `n` random tokens, none of which ends a completion.
    pub(super) fn tokens(&self, address: &[u64], n: usize) -> Vec<i64> {
        let config = self.policy.config();
        let mut draws = Stream::new(1, address).draws();
        let mut token = || loop {
            let id = draws.below(config.vocab_size as usize) as i64;
            if !config.eos_token_ids.contains(&id) {
                return id;
            }
        };
        (0..n).map(|_| token()).collect()
    }
}

/// A tokenizer whose tokens are the words `w0`, `w1`, ...
fn word_tokenizer(vocab_size: i64) -> Result<Tokenizer, String> {
    let words: serde_json::Map<String, serde_json::Value> =
        (0..vocab_size).map(|id| (format!("w{id}"), id.into())).collect();
    let text = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"},
    });
    // A tokenizer is read from a folder and kept in memory.
    let folder = std::env::temp_dir().join(format!("grpo-train-bench-{}-{vocab_size}", std::process::id()));
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let loaded = std::fs::write(folder.join("tokenizer.json"), text.to_string())
        .map_err(failed)
        .and_then(|()| Tokenizer::load(&folder, vocab_size).map_err(|error| error.to_string()));
    std::fs::remove_dir_all(&folder).map_err(failed)?;
    loaded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_the_weights_that_they_are_said_to_have() {
        let check = |shape: Shape, n: i64| assert_eq!(shape.config(64).n_parameters(), n, "{shape:?}");
        check(Shape::Tiny, 755_840);
        check(Shape::Small, 4_756_992);
        // Counted by transformers for the published configurations.
        check(Shape::Medium, 494_032_768);
        check(Shape::Large, 1_543_714_304);
    }

    #[test]
    fn words_are_tokens() {
        let tokenizer = word_tokenizer(40).expect("a folder for temporary files");
        assert_eq!(tokenizer.encode("w7 w39").expect("known words"), [7, 39]);
    }
}
