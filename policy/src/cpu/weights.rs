//! The master weights packed for the products.

use std::collections::HashMap;

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::panels::Panels;
use super::width;
use crate::config::EMBEDDING;
use crate::{Dtype, Family, ModelConfig};

/// A matrix W `[outputs, inputs]`, for `x W^T` and, where gradients are wanted, for `x W`.
#[derive(Debug)]
pub(super) struct Matrix {
    pub(super) forward: Panels,
    pub(super) backward: Option<Panels>,
}

impl Matrix {
    fn new(dtype: Dtype, rows: &[&[f32]], trainable: bool) -> Self {
        Self { forward: Panels::of_transposed(dtype, rows), backward: trainable.then(|| Panels::of(dtype, rows)) }
    }

    /// For the gradient of what went in.
    pub(super) fn backward(&self) -> &Panels {
        self.backward.as_ref().expect("weights were packed for training")
    }
}

/// One block.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) input_norm: Vec<f32>,
    /// Query, key and value heads side by side.
    pub(super) qkv: Matrix,
    /// Padded to the width of a row.
    pub(super) qkv_bias: Option<Vec<f32>>,
    /// Norms over a head of the query and of the key (Qwen3).
    pub(super) qk_norm: Option<[Vec<f32>; 2]>,
    pub(super) out: Matrix,
    pub(super) post_norm: Vec<f32>,
    /// Gate and up side by side, each padded to a whole width.
    pub(super) gate_up: Matrix,
    pub(super) down: Matrix,
}

/// All weights; stale once the master weights change.
#[derive(Debug)]
pub(crate) struct PackedWeights {
    pub(super) dtype: Dtype,
    pub(super) embed: Embedding,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Vec<f32>,
    pub(super) head: Matrix,
    /// The parameter that is the head.
    pub(super) head_name: &'static str,
}

impl PackedWeights {
    /// Packs `parameters`, which hold every tensor of [`ModelConfig::tensor_shapes`]; `trainable`: also for the backward pass.
    pub(crate) fn new(config: &ModelConfig, parameters: &[(String, Tensor)], dtype: Dtype, trainable: bool) -> Self {
        let by_name: HashMap<&str, &[f32]> = parameters.iter().map(|(name, t)| (name.as_str(), floats(t))).collect();
        let embed = parameters.iter().find(|(name, _)| name == EMBEDDING).map(|(_, tensor)| tensor.detach());
        let get = |name: &str| by_name[name];
        let pack = Packing { config, dtype, trainable, get: &get };
        let head = config.head_name();
        Self {
            dtype,
            embed: Embedding(embed.expect("every model has an embedding")),
            layers: (0..config.n_layers).into_par_iter().map(|layer| pack.layer(layer)).collect(),
            norm: padded(get("model.norm.weight")),
            head_name: head,
            head: pack.matrix(&[head.to_owned()], config.hidden_size, 1),
        }
    }
}

/// The master itself: rows are looked up in it.
#[derive(Debug)]
pub(super) struct Embedding(Tensor);

// SAFETY: it is read through a slice alone, which any number of threads may do.
unsafe impl Sync for Embedding {}

impl Embedding {
    /// `[vocab, hidden]`
    pub(super) fn values(&self) -> &[f32] {
        floats(&self.0)
    }
}

struct Packing<'a, 'p> {
    config: &'a ModelConfig,
    dtype: Dtype,
    trainable: bool,
    get: &'a (dyn Fn(&str) -> &'p [f32] + Sync),
}

impl Packing<'_, '_> {
    fn layer(&self, layer: i64) -> Layer {
        let name = |name: &str| format!("model.layers.{layer}.{name}");
        let get = |suffix: &str| (self.get)(&name(suffix));
        let (hidden, heads) = (self.config.hidden_size, self.config.n_heads * self.config.head_dim);
        let projections = ["q_proj", "k_proj", "v_proj"];
        let qkv = projections.map(|p| name(&format!("self_attn.{p}.weight")));
        let bias = || projections.map(|p| get(&format!("self_attn.{p}.bias"))).concat();
        let gate_up = ["gate_proj", "up_proj"].map(|p| name(&format!("mlp.{p}.weight")));
        let norms = || ["q_norm", "k_norm"].map(|n| get(&format!("self_attn.{n}.weight")).to_vec());
        Layer {
            input_norm: padded(get("input_layernorm.weight")),
            qkv: self.matrix(&qkv, hidden, 1),
            qkv_bias: (self.config.family == Family::Qwen2).then(|| padded(&bias())),
            qk_norm: (self.config.family == Family::Qwen3).then(norms),
            out: self.matrix(&[name("self_attn.o_proj.weight")], heads, 1),
            post_norm: padded(get("post_attention_layernorm.weight")),
            gate_up: self.matrix(&gate_up, hidden, width(1)),
            down: self.matrix(&[name("mlp.down_proj.weight")], self.config.intermediate_size, 1),
        }
    }

    /// Matrices one below the other, each filled up with zeros to a multiple of `whole` rows.
    fn matrix(&self, names: &[String], n_inputs: i64, whole: usize) -> Matrix {
        let zeros = vec![0.0; n_inputs as usize];
        let mut rows: Vec<&[f32]> = Vec::new();
        for name in names {
            rows.extend((self.get)(name).chunks_exact(n_inputs as usize));
            rows.resize(rows.len().next_multiple_of(whole), &zeros);
        }
        Matrix::new(self.dtype, &rows, self.trainable)
    }
}

fn padded(values: &[f32]) -> Vec<f32> {
    let mut padded = values.to_vec();
    padded.resize(width(values.len()), 0.0);
    padded
}

/// The values of a master weight.
fn floats(tensor: &Tensor) -> &[f32] {
    assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu);
    // SAFETY: the tensor is contiguous float32 in this process's memory and outlives the slice. Masters are written to by
    // the optimiser alone, which runs when no pass does.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) }
}
