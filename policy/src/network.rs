//! The decoder without its weights: shape, rotary tables, kind and device, and what computes it.

use std::sync::Arc;

use crate::rope::Rope;
use crate::{Dtype, ModelConfig, cpu, libtorch};
use tch::{Device, Kind};

/// What every forward pass needs beside weights and tokens.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) config: ModelConfig,
    pub(crate) rope: Rope,
    pub(crate) dtype: Dtype,
    pub(crate) kind: Kind,
    pub(crate) device: Device,
    pub(crate) engine: Engine,
    pub(crate) kernels: Kernels,
}

/// What computes.
#[derive(Clone, Debug)]
pub(crate) enum Engine {
    /// Kernels of our own.
    Cpu(Arc<cpu::layer::Shape>),
    /// libtorch's operations.
    Libtorch,
}

/// Which of libtorch's operations: the one switch between what every device can and what only some can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernels {
    /// Plain ones, for every device.
    Portable,
    /// Flash attention at each sequence's own length, and decoding steps recorded as CUDA graphs: NVIDIA GPUs, bfloat16.
    Flash,
}

impl Network {
    pub(crate) fn new(config: ModelConfig, dtype: Dtype, device: Device) -> Self {
        let rope = Rope::new(&config, device);
        let engine = match device {
            Device::Cpu if cpu::is_made_for_this_processor() => {
                Engine::Cpu(Arc::new(cpu::layer::Shape::new(&config, &rope, dtype)))
            }
            _ => Engine::Libtorch,
        };
        let kernels = libtorch::gpu::kernels(&config, dtype.kind(), device);
        Self { config, rope, dtype, kind: dtype.kind(), device, engine, kernels }
    }

    /// Another handle to the same tables.
    pub(crate) fn share(&self) -> Self {
        Self { config: self.config.clone(), rope: self.rope.share(), engine: self.engine.clone(), ..*self }
    }
}
