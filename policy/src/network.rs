//! The decoder without its weights: shape, rotary tables, kind and device.

use crate::ModelConfig;
use crate::rope::Rope;
use tch::{Device, Kind};

/// What every forward pass needs beside weights and tokens.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) config: ModelConfig,
    pub(crate) rope: Rope,
    pub(crate) kind: Kind,
    pub(crate) device: Device,
}

impl Network {
    /// Another handle to the same tables.
    pub(crate) fn share(&self) -> Self {
        Self { config: self.config.clone(), rope: self.rope.share(), kind: self.kind, device: self.device }
    }
}
