//! Rotary position embedding (Su et al. 2021, arXiv 2104.09864), in the half-split layout of transformers.

use crate::{Llama3Scaling, ModelConfig};
use tch::{Device, Kind, Tensor};

/// Cosines and sines of every position, computed once per model.
#[derive(Debug)]
pub(crate) struct Rope {
    /// `[max_position, head_dim / 2]`, the two halves of a head share it.
    cos: Tensor,
    sin: Tensor,
}

/// The cosines and sines of the positions of one batch, ready to be multiplied with heads.
#[derive(Debug)]
pub(crate) struct Rotation {
    /// `[..., 1, head_dim / 2]`: broadcast over heads.
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    pub(crate) fn new(config: &ModelConfig, device: Device) -> Self {
        // In float64 on the way, because position times frequency loses digits in float32 at long contexts; transformers
        // multiplies in float32, so the product is rounded there and so it is here.
        let frequencies = Tensor::from_slice(&frequencies(config)).to_kind(Kind::Float).to_device(device);
        let positions = Tensor::arange(config.max_position_embeddings, (Kind::Float, device));
        let angles = positions.unsqueeze(1) * frequencies.unsqueeze(0);
        Self { cos: angles.cos(), sin: angles.sin() }
    }

    /// Another handle to the same tables.
    pub(crate) fn share(&self) -> Self {
        Self { cos: self.cos.shallow_clone(), sin: self.sin.shallow_clone() }
    }

    /// Cosines and sines, `[max_position][head_dim / 2]` each, of tables on the CPU.
    pub(crate) fn tables(&self) -> (Vec<f32>, Vec<f32>) {
        let values = |table: &Tensor| table.flatten(0, -1).try_into().expect("a vector of float32");
        (values(&self.cos), values(&self.sin))
    }

    /// - `positions`: any shape, int64; the result broadcasts over a head axis put after it.
    pub(crate) fn at(&self, positions: &Tensor, kind: Kind) -> Rotation {
        let mut shape = positions.size();
        shape.extend([1, self.cos.size()[1]]);
        let pick = |table: &Tensor| table.index_select(0, &positions.flatten(0, -1)).reshape(&shape).to_kind(kind);
        Rotation { cos: pick(&self.cos), sin: pick(&self.sin) }
    }
}

impl Rotation {
    /// Rotates heads by their positions.
    ///
    /// - `heads`: `[..., n_heads, head_dim]` with the leading axes of the positions; same shape back.
    pub(crate) fn apply(&self, heads: &Tensor) -> Tensor {
        let halves = heads.chunk(2, -1);
        let (x, y) = (&halves[0], &halves[1]);
        Tensor::cat(&[x * &self.cos - y * &self.sin, y * &self.cos + x * &self.sin], -1)
    }
}

/// The angular frequency of each pair of values, radians per token: `head_dim / 2` of them.
fn frequencies(config: &ModelConfig) -> Vec<f32> {
    let base = |pair: i64| config.rope_theta.powf(-(2 * pair) as f64 / config.head_dim as f64);
    let scale = |frequency: f64| config.rope_scaling.map_or(frequency, |scaling| stretched(frequency, &scaling));
    (0..config.head_dim / 2).map(|pair| scale(base(pair)) as f32).collect()
}

/// Llama 3.1's rule: long wavelengths are stretched by `factor`, short ones kept, those between interpolated.
fn stretched(frequency: f64, scaling: &Llama3Scaling) -> f64 {
    let wavelength = std::f64::consts::TAU / frequency;
    let old_context = scaling.original_max_position_embeddings;
    if wavelength < old_context / scaling.high_freq_factor {
        return frequency;
    }
    if wavelength > old_context / scaling.low_freq_factor {
        return frequency / scaling.factor;
    }
    let smooth =
        (old_context / wavelength - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
    (1.0 - smooth) * frequency / scaling.factor + smooth * frequency
}
