//! The master parameters bound to their places in the decoder, in the kind the network computes in.

use crate::config::EMBEDDING;
use crate::{Family, ModelConfig};
use std::collections::HashMap;
use tch::{Kind, Tensor};

/// The parameters of one block.
#[derive(Debug)]
pub(crate) struct LayerWeights {
    pub(crate) input_norm: Tensor,
    /// `[(n_heads + 2 n_kv_heads) * head_dim, hidden]`: query, key and value projection in one matrix.
    pub(crate) qkv: Tensor,
    pub(crate) qkv_bias: Option<Tensor>,
    /// Norms over a head of the query and of the key (Qwen3).
    pub(crate) qk_norm: Option<(Tensor, Tensor)>,
    pub(crate) out: Tensor,
    pub(crate) post_norm: Tensor,
    /// `[2 * intermediate, hidden]`: gate and up projection in one matrix.
    pub(crate) gate_up: Tensor,
    pub(crate) down: Tensor,
}

/// All parameters of the decoder in compute kind.
///
/// Bound with gradients on, it is part of the graph: casts and concatenations are differentiated, and gradients arrive
/// at the float32 masters. Bound without, it is a plain copy, to be made again after the masters change.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) embed: Tensor,
    pub(crate) layers: Vec<LayerWeights>,
    pub(crate) norm: Tensor,
    pub(crate) head: Tensor,
}

// SAFETY: operations that only read a tensor may run in any number of threads, and nothing writes to these.
unsafe impl Sync for Weights {}

impl Weights {
    /// Binds `parameters`, which hold every tensor of [`ModelConfig::tensor_shapes`], as `kind`.
    pub(crate) fn bind(config: &ModelConfig, parameters: &[(String, Tensor)], kind: Kind) -> Self {
        let by_name: HashMap<&str, &Tensor> = parameters.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let get = |name: &str| by_name[name].to_kind(kind);
        let layers = (0..config.n_layers).map(|layer| LayerWeights::bind(config, layer, &get)).collect();
        let (embed, head) = (get(EMBEDDING), config.head_name());
        let head = if head == EMBEDDING { embed.shallow_clone() } else { get(head) };
        Self { embed, layers, norm: get("model.norm.weight"), head }
    }
}

impl LayerWeights {
    fn bind(config: &ModelConfig, layer: i64, get: &dyn Fn(&str) -> Tensor) -> Self {
        let get = |name: &str| get(&format!("model.layers.{layer}.{name}"));
        let qkv = |suffix: &str| {
            let parts = ["q_proj", "k_proj", "v_proj"].map(|name| get(&format!("self_attn.{name}.{suffix}")));
            Tensor::cat(&parts, 0)
        };
        Self {
            input_norm: get("input_layernorm.weight"),
            qkv: qkv("weight"),
            qkv_bias: (config.family == Family::Qwen2).then(|| qkv("bias")),
            qk_norm: (config.family == Family::Qwen3)
                .then(|| (get("self_attn.q_norm.weight"), get("self_attn.k_norm.weight"))),
            out: get("self_attn.o_proj.weight"),
            post_norm: get("post_attention_layernorm.weight"),
            gate_up: Tensor::cat(&[get("mlp.gate_proj.weight"), get("mlp.up_proj.weight")], 0),
            down: get("mlp.down_proj.weight"),
        }
    }
}
