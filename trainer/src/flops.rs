//! What a phase has to do at the least: floating point operations of its matrix products, and bytes it has to read.
//!
//! Counted from the model's shape and the tokens computed, not measured. A product of `[m, k]` and `[k, n]` is `2 m k n`
//! operations. With d the hidden size, q = n_heads head_dim, kv = n_kv_heads head_dim and f the intermediate size, one token
//! costs in each block
//!
//! ```text
//! 2 (d (q + 2 kv) + q d + 3 d f)      projections of query, key, value and output; gate, up and down
//! 4 q                                 for each key attended to: score and weighted value
//! ```
//!
//! and `2 d vocab` where a token is predicted from it. The backward pass is twice the forward pass: a product each for the
//! gradient of the weights and of the input. Norms, rotations and the like are not counted; they are no matrix products.

use policy::{Dtype, ModelConfig};

/// Operations of a backward pass for one of its forward pass: each product has two in it, for the gradients of both its
/// sides. What is computed a second time (`checkpointing = "blocks"`) is not counted.
pub const BACKWARD: f64 = 2.0;

/// How much goes through the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Tokens through the blocks.
    pub tokens: u64,
    /// Rows of the vocabulary head.
    pub predictions: u64,
    /// Keys attended to, summed over queries.
    pub attended: u64,
}

impl Load {
    /// A prompt, encoded once, and completions of these lengths drawn behind it: the first token of each comes from the
    /// prompt's logits, and the last is not fed in again.
    pub fn sampled(n_prompt: usize, lengths: &[usize]) -> Self {
        let decoded: u64 = lengths.iter().map(|&length| length as u64 - 1).sum();
        Self { predictions: 1 + decoded, ..Self::packed(n_prompt, lengths) }
    }

    /// The same group as one packed stream: every completion token is predicted, the first ones each from the prompt.
    ///
    /// # Panics
    /// If a length is 0.
    pub fn packed(n_prompt: usize, lengths: &[usize]) -> Self {
        let n_prompt = n_prompt as u64;
        let mut load = Self { tokens: n_prompt, predictions: 0, attended: n_prompt * (n_prompt + 1) / 2 };
        for &length in lengths {
            let inputs = length as u64 - 1;
            load.tokens += inputs;
            load.predictions += length as u64;
            load.attended += inputs * n_prompt + inputs * (inputs + 1) / 2;
        }
        load
    }
}

impl Load {
    /// A row of plain text: every token but the last goes in, every token but the first is predicted.
    pub fn text(n_inputs: usize) -> Self {
        let n = n_inputs as u64;
        Self { tokens: n, predictions: n, attended: n * (n + 1) / 2 }
    }
}

impl std::ops::Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            tokens: self.tokens + other.tokens,
            predictions: self.predictions + other.predictions,
            attended: self.attended + other.attended,
        }
    }
}

impl std::iter::Sum for Load {
    fn sum<I: Iterator<Item = Self>>(loads: I) -> Self {
        loads.fold(Self::default(), |all, load| all + load)
    }
}

/// Floating point operations of the matrix products of one forward pass. A backward pass takes [`BACKWARD`] times as many.
pub fn forward_flops(config: &ModelConfig, load: &Load) -> f64 {
    let (d, ffn) = (config.hidden_size as f64, config.intermediate_size as f64);
    let (q, kv) = ((config.n_heads * config.head_dim) as f64, (config.n_kv_heads * config.head_dim) as f64);
    let block = 2.0 * (d * (q + 2.0 * kv) + q * d + 3.0 * d * ffn);
    let blocks = load.tokens as f64 * block + load.attended as f64 * 4.0 * q;
    config.n_layers as f64 * blocks + load.predictions as f64 * 2.0 * d * config.vocab_size as f64
}

/// Bytes of weights that a decoding step reads: all but an embedding that is not the head, of which it takes single rows.
pub fn weight_bytes(config: &ModelConfig, dtype: Dtype) -> f64 {
    let looked_up = if config.tie_word_embeddings { 0 } else { config.vocab_size * config.hidden_size };
    (config.n_parameters() - looked_up) as f64 * n_bytes(dtype)
}

/// Bytes of keys and values of one token of one sequence.
pub fn cache_bytes(config: &ModelConfig, dtype: Dtype) -> f64 {
    (2 * config.n_layers * config.n_kv_heads * config.head_dim) as f64 * n_bytes(dtype)
}

fn n_bytes(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::Float32 => 4.0,
        Dtype::BFloat16 => 2.0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(tied: bool) -> ModelConfig {
        let json = json!({
            "model_type": "qwen2", "hidden_size": 4, "num_hidden_layers": 2, "num_attention_heads": 2,
            "num_key_value_heads": 1, "intermediate_size": 8, "vocab_size": 10, "max_position_embeddings": 64,
            "tie_word_embeddings": tied,
        });
        ModelConfig::from_json(json.as_object().expect("an object"), "test").expect("a model")
    }

    /// A prompt of 3 tokens with completions of 2 and 1. Packed, 4 tokens go in: the prompt and the first token of the
    /// longer completion, which sees 4 keys; the prompt's see 1, 2 and 3. Three tokens are predicted.
    #[test]
    fn loads_are_those_counted_by_hand() {
        assert_eq!(Load::packed(3, &[2, 1]), Load { tokens: 4, predictions: 3, attended: 10 });
        // The prompt's logits are computed once for both first tokens.
        assert_eq!(Load::sampled(3, &[2, 1]), Load { tokens: 4, predictions: 2, attended: 10 });
        assert_eq!(Load::packed(1, &[4]), Load { tokens: 4, predictions: 4, attended: 1 + 2 + 3 + 4 });
        let both: Load = [Load::packed(3, &[2, 1]), Load::packed(1, &[4])].into_iter().sum();
        assert_eq!(both, Load { tokens: 8, predictions: 7, attended: 20 });
    }

    /// By hand: a block's weights are 4 x 8 (query, key, value), 4 x 4 and 3 of 4 x 8, that is 144, so 288 operations a token
    /// and block; 4 x 4 for each key attended to and block; 2 x 4 x 10 for a prediction.
    #[test]
    fn operations_are_those_counted_by_hand() {
        let load = Load { tokens: 4, predictions: 3, attended: 10 };
        assert_eq!(forward_flops(&config(true), &load), f64::from(4 * 2 * 288 + 10 * 2 * 16 + 3 * 80));
    }

    /// The benchmark's tiny shape: 128 sequences, each a prompt of 32 tokens and a completion of 64.
    #[test]
    fn a_step_of_the_tiny_shape_is_of_the_known_size() {
        let json = json!({
            "model_type": "qwen2", "hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
            "num_key_value_heads": 2, "intermediate_size": 352, "vocab_size": 128, "max_position_embeddings": 512,
            "tie_word_embeddings": true,
        });
        let config = ModelConfig::from_json(json.as_object().expect("an object"), "test").expect("a model");
        let once = forward_flops(&config, &(0..128).map(|_| Load::packed(32, &[64])).sum());
        // A block has 184,320 weights in matrices, the head 16,384.
        let by_weights = 2.0 * (4.0 * 184_320.0 * 128.0 * 95.0 + 16_384.0 * 8192.0);
        let attention = 4.0 * 4.0 * 128.0 * (95.0 * 96.0 / 2.0) * 128.0;
        assert_eq!(once, by_weights + attention);
    }

    #[test]
    fn bytes_leave_out_what_is_only_looked_up() {
        let tied = config(true);
        assert_eq!(weight_bytes(&tied, Dtype::Float32), tied.n_parameters() as f64 * 4.0);
        let untied = config(false);
        assert_eq!(weight_bytes(&untied, Dtype::BFloat16), weight_bytes(&tied, Dtype::BFloat16));
        assert_eq!(cache_bytes(&tied, Dtype::BFloat16), 2.0 * 2.0 * 2.0 * 2.0);
    }
}
