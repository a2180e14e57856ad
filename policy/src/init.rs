//! Fresh parameters for a model that is trained from nothing.

use crate::ModelConfig;
use tch::{Device, Kind, Tensor};

/// Parameters of a model that has seen nothing: norms 1, biases 0, matrices normal.
///
/// A matrix has deviation `0.5 / sqrt(inputs)`, so that its outputs are half as large as its inputs at any width; those
/// that write into the residual stream are smaller by `sqrt(2 n_layers)` (Radford et al. 2019, GPT-2, section 2.3).
///
/// - `embedding_std`: deviation of the embedding, which is also the head where they are tied
/// - `normal(tensor_idx, n)`: `n` standard normal numbers for the `tensor_idx`-th tensor. The caller owns the randomness.
pub fn random_parameters(
    config: &ModelConfig,
    embedding_std: f64,
    mut normal: impl FnMut(usize, usize) -> Vec<f32>,
) -> Vec<(String, Tensor)> {
    let mut parameters = Vec::new();
    for (tensor_idx, (name, shape)) in config.tensor_shapes().into_iter().enumerate() {
        let cpu = (Kind::Float, Device::Cpu);
        let tensor = match shape[..] {
            [_] if name.ends_with("bias") => Tensor::zeros(&shape, cpu),
            [_] => Tensor::ones(&shape, cpu),
            _ => {
                let numbers = normal(tensor_idx, shape.iter().product::<i64>() as usize);
                Tensor::from_slice(&numbers).reshape(&shape) * std(config, &name, &shape, embedding_std)
            }
        };
        parameters.push((name, tensor));
    }
    parameters
}

fn std(config: &ModelConfig, name: &str, shape: &[i64], embedding_std: f64) -> f64 {
    let by_width = 0.5 / (shape[1] as f64).sqrt();
    if name.contains("embed_tokens") || name.contains("lm_head") {
        embedding_std
    } else if name.contains("o_proj") || name.contains("down_proj") {
        by_width / (2.0 * config.n_layers as f64).sqrt()
    } else {
        by_width
    }
}
