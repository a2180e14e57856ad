//! The decoder without its weights: shape, rotary tables, kind and device, and what computes it.

use std::sync::Arc;

use crate::rope::Rope;
use crate::{Dtype, ModelConfig, cpu};
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
}

/// What computes.
#[derive(Clone, Debug)]
pub(crate) enum Engine {
    /// Kernels of our own.
    Cpu(Arc<cpu::layer::Shape>),
    /// libtorch's operations.
    Libtorch,
}

impl Network {
    pub(crate) fn new(config: ModelConfig, dtype: Dtype, device: Device) -> Self {
        let rope = Rope::new(&config, device);
        let engine = match device {
            Device::Cpu => Engine::Cpu(Arc::new(cpu::layer::Shape::new(&config, &rope, dtype))),
            _ => Engine::Libtorch,
        };
        Self { config, rope, dtype, kind: dtype.kind(), device, engine }
    }

    /// Another handle to the same tables.
    pub(crate) fn share(&self) -> Self {
        Self { config: self.config.clone(), rope: self.rope.share(), engine: self.engine.clone(), ..*self }
    }
}
