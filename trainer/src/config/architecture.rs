//! `[stage.tokenizer]` and `[stage.architecture]`: the model that a stage of kind `pretrain` makes.

use serde::{Deserialize, Serialize};

use super::checks::Section;

/// `[stage.tokenizer]`: byte-level BPE trained on the corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokenizer {
    /// Tokens, with the 256 bytes and the end token. Required, 257 or more.
    pub vocab_size: u64,
    /// The longest token, in characters. Default 16.
    #[serde(default = "default_max_token_chars")]
    pub max_token_chars: u64,
}

/// `[stage.architecture]`: a Qwen2 decoder with random weights. The vocabulary is the tokenizer's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Width of the residual stream. Required.
    pub hidden_size: u64,
    /// Decoder blocks. Required.
    pub n_layers: u64,
    /// Query heads. Required.
    pub n_heads: u64,
    /// Key and value heads, a divisor of `n_heads`. Required.
    pub n_kv_heads: u64,
    /// Width of a head, even. Default `hidden_size / n_heads`; always given in a resolved file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<u64>,
    /// Width of the feed-forward network. Required.
    pub intermediate_size: u64,
    /// The longest context, in tokens. Required.
    pub max_position_embeddings: u64,
    /// Base of the rotary position frequencies. Default 10000 (RoFormer, arXiv 2104.09864).
    #[serde(default = "default_rope_theta")]
    pub rope_theta: f64,
    /// Whether the output head is the embedding. Default true.
    #[serde(default = "default_tie_word_embeddings")]
    pub tie_word_embeddings: bool,
    /// Standard deviation of the embedding's first values. Default 0.02 (transformers); a narrow network learns to copy
    /// tokens far sooner from 0.1.
    #[serde(default = "default_embedding_std")]
    pub embedding_std: f64,
}

fn default_max_token_chars() -> u64 {
    16
}

fn default_rope_theta() -> f64 {
    10_000.0
}

fn default_embedding_std() -> f64 {
    0.02
}

fn default_tie_word_embeddings() -> bool {
    true
}

impl Tokenizer {
    pub(crate) fn check(&self, at: &mut Section<'_, '_>) {
        at.at_least("vocab_size", self.vocab_size, 257, "256 bytes and the end token");
        at.at_least("max_token_chars", self.max_token_chars, 1, "a token has a character");
    }
}

impl Architecture {
    /// Width of a head: `head_dim`, or what is left of `hidden_size` for each head.
    pub fn head_dim(&self) -> u64 {
        self.head_dim.unwrap_or(self.hidden_size / self.n_heads.max(1))
    }

    pub(crate) fn check(&self, at: &mut Section<'_, '_>) {
        for (key, value) in [
            ("hidden_size", self.hidden_size),
            ("n_layers", self.n_layers),
            ("n_heads", self.n_heads),
            ("n_kv_heads", self.n_kv_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
        ] {
            at.at_least(key, value, 1, "a network has some of each");
        }
        let (hidden, heads, kv_heads) = (self.hidden_size, self.n_heads, self.n_kv_heads);
        if self.head_dim.is_none() && heads > 0 && !hidden.is_multiple_of(heads) {
            let title = format!("`hidden_size` {hidden} cannot be shared among {heads} heads");
            at.fail("n_heads", title, format!("expected a divisor of {hidden}"), "or give `head_dim`");
        } else if !self.head_dim().is_multiple_of(2) || self.head_dim() == 0 {
            let title = format!("the width of a head is {}", self.head_dim());
            let help = "rotary position embeddings turn pairs of numbers; it is hidden_size / n_heads unless given";
            at.fail("head_dim", title, "expected an even number", help);
        }
        if kv_heads > 0 && !heads.is_multiple_of(kv_heads) {
            let title = format!("{heads} query heads cannot share {kv_heads} key and value heads evenly");
            at.fail("n_kv_heads", title, format!("expected a divisor of {heads}"), "");
        }
        at.positive("rope_theta", self.rope_theta, "");
        at.positive("embedding_std", self.embedding_std, "embeddings that are all alike cannot be told apart");
    }
}
