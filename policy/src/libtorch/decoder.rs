//! The decoder: embedding, blocks, final norm, for every family and every way in.

use super::attention::Heads;
use super::weights::{LayerWeights, Weights};
use crate::ModelConfig;
use crate::rope::Rotation;
use tch::Tensor;

const NO_BIAS: Option<Tensor> = None;

/// How one layer's heads become its attention output: the only thing in which training and sampling differ.
pub(crate) type Attend<'a> = dyn FnMut(usize, Heads) -> Tensor + 'a;

/// Runs the blocks.
///
/// - `tokens`: `[...]`, int64; `rotation` of the same leading axes; result: `[..., hidden]`, after the final norm.
pub(crate) fn hidden_states(
    config: &ModelConfig,
    weights: &Weights,
    tokens: &Tensor,
    rotation: &Rotation,
    attend: &mut Attend,
) -> Tensor {
    let mut x = embed(weights, tokens);
    for (layer_idx, layer) in weights.layers.iter().enumerate() {
        let attended = attend(layer_idx, heads(config, layer, &x, rotation));
        x = behind_attention(config, layer, &x, &attended);
    }
    final_norm(config, weights, &x)
}

/// `[..., hidden]`: the stream that enters the first block.
pub(crate) fn embed(weights: &Weights, tokens: &Tensor) -> Tensor {
    Tensor::embedding(&weights.embed, tokens, -1, false, false)
}

/// What a block does behind its attention: output projection and feed-forward layer, each added to the stream.
pub(crate) fn behind_attention(config: &ModelConfig, layer: &LayerWeights, x: &Tensor, attended: &Tensor) -> Tensor {
    let x = x + attended.linear(&layer.out, NO_BIAS);
    &x + feed_forward(layer, &rms_norm(&x, &layer.post_norm, config.rms_norm_eps))
}

/// The norm behind the last block.
pub(crate) fn final_norm(config: &ModelConfig, weights: &Weights, x: &Tensor) -> Tensor {
    rms_norm(x, &weights.norm, config.rms_norm_eps)
}

/// Query, key and value of one layer from the stream that enters it, rotated to their positions.
pub(crate) fn heads(config: &ModelConfig, layer: &LayerWeights, x: &Tensor, rotation: &Rotation) -> Heads {
    let (n_heads, n_kv_heads) = (config.n_heads, config.n_kv_heads);
    let x = rms_norm(x, &layer.input_norm, config.rms_norm_eps);
    let qkv = x.linear(&layer.qkv, layer.qkv_bias.as_ref());
    let mut shape = qkv.size();
    shape.pop();
    shape.extend([n_heads + 2 * n_kv_heads, config.head_dim]);
    let qkv = qkv.reshape(&shape);
    if let Some((query_norm, key_norm)) = &layer.qk_norm {
        let parts = qkv.split_with_sizes([n_heads, n_kv_heads, n_kv_heads], -2);
        let [query, key, value] = <[Tensor; 3]>::try_from(parts).expect("three parts");
        let norm = |heads: &Tensor, weight: &Tensor| rotation.apply(&rms_norm(heads, weight, config.rms_norm_eps));
        return Heads { query: norm(&query, query_norm), key: norm(&key, key_norm), value };
    }
    // Without norms of their own, query and key heads are rotated together: half the passes over memory.
    let parts = qkv.split_with_sizes([n_heads + n_kv_heads, n_kv_heads], -2);
    let [query_key, value] = <[Tensor; 2]>::try_from(parts).expect("two parts");
    let parts = rotation.apply(&query_key).split_with_sizes([n_heads, n_kv_heads], -2);
    let [query, key] = <[Tensor; 2]>::try_from(parts).expect("two parts");
    Heads { query, key, value }
}

/// The gated feed-forward layer, SwiGLU (Shazeer 2020, arXiv 2002.05202).
fn feed_forward(layer: &LayerWeights, x: &Tensor) -> Tensor {
    let gate_up = x.linear(&layer.gate_up, NO_BIAS).chunk(2, -1);
    (gate_up[0].silu() * &gate_up[1]).linear(&layer.down, NO_BIAS)
}

/// Root mean square norm (Zhang, Sennrich 2019, arXiv 1910.07467) over the last axis, computed in float32: one kernel on a
/// GPU.
fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Tensor {
    x.rms_norm(weight.size(), Some(weight), eps)
}
