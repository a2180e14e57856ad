//! Fresh parameters for a model that is trained from nothing.

use crate::ModelConfig;
use tch::{Kind, Tensor};

/// Parameters as transformers initialises them: norms 1, biases 0, matrices normal with deviation `initializer_range`
/// (config.json, default 0.02).
///
/// - `normal(tensor_idx, n)`: `n` standard normal numbers for the `tensor_idx`-th tensor. The caller owns the randomness.
pub fn random_parameters(
    config: &ModelConfig,
    mut normal: impl FnMut(usize, usize) -> Vec<f32>,
) -> Vec<(String, Tensor)> {
    let deviation = config.json.get("initializer_range").and_then(serde_json::Value::as_f64).unwrap_or(0.02);
    let shapes = config.tensor_shapes().into_iter().enumerate();
    let fill = |idx: usize, name: &str, shape: &[i64]| {
        let cpu = (Kind::Float, tch::Device::Cpu);
        if name.ends_with("bias") {
            return Tensor::zeros(shape, cpu);
        }
        if shape.len() == 1 {
            return Tensor::ones(shape, cpu);
        }
        Tensor::from_slice(&normal(idx, shape.iter().product::<i64>() as usize)).reshape(shape) * deviation
    };
    let mut fill = fill;
    shapes.map(|(idx, (name, shape))| { let tensor = fill(idx, &name, &shape); (name, tensor) }).collect()
}
