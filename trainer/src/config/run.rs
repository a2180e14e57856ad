//! `[run]` and `[model]`: where a run writes, what it draws from, what it computes on, and what it starts from.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::checks::{Input, Section};

/// `[run]` as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WrittenRun {
    dir: Option<PathBuf>,
    seed: Option<u64>,
    threads: usize,
    device: Device,
    dtype: Dtype,
    deterministic: bool,
}

impl WrittenRun {
    /// `stem` is the run file's name without its ending.
    pub(crate) fn resolve(self, stem: &str, at: &mut Section<'_, '_>) -> Run {
        let dir = self.dir.unwrap_or_else(|| PathBuf::from("runs").join(stem));
        at.holds("threads", self.threads, self.threads <= 4096, "expected 0 (all cores) to 4096", "");
        Run {
            dir: at.in_current_folder("dir", &dir),
            seed: self.seed.unwrap_or(1),
            threads: self.threads,
            device: self.device,
            dtype: self.dtype,
            deterministic: self.deterministic,
        }
    }
}

/// `[run]`: the whole run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// The run folder, absolute. Written relative to the current folder; default `runs/NAME` for a run file
    /// `NAME.toml`.
    pub dir: PathBuf,
    /// Every random number of the run is a pure function of this seed and of where it is used. Default 1.
    pub seed: u64,
    /// CPU threads; 0 (the default) means all cores. No result depends on it.
    pub threads: usize,
    /// What computes. Default `auto`.
    pub device: Device,
    /// The number format of the forward and backward passes. Default `float32`.
    pub dtype: Dtype,
    /// Whether a GPU adds gradients in the same order every time, so that a run has the same curves to the bit when it is
    /// run again on the same kind of GPU. Costs time, and in bfloat16 memory. On a CPU that is so in any case. Default
    /// false.
    pub deterministic: bool,
}

/// `run.device`: what computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// `auto`: the first GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// `cpu`
    Cpu,
    /// `cuda` (number 0) or `cuda:N`
    Cuda(usize),
}

impl std::str::FromStr for Device {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => name
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("unknown device `{name}`, expected `auto`, `cpu`, `cuda` or `cuda:N`")),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// `run.dtype`: the number format of the forward and backward passes.
///
/// Master weights, optimiser state and log-probabilities are float32 in either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// `float32`
    #[default]
    Float32,
    /// `bfloat16`
    Bfloat16,
}

impl Dtype {
    /// Bytes of one number.
    pub fn n_bytes(self) -> u64 {
        match self {
            Self::Float32 => 4,
            Self::Bfloat16 => 2,
        }
    }

    /// As written in a run file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
        }
    }
}

impl std::str::FromStr for Dtype {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Float32, Self::Bfloat16]
            .into_iter()
            .find(|dtype| dtype.name() == name)
            .ok_or_else(|| format!("unknown number format `{name}`, expected `float32` or `bfloat16`"))
    }
}

/// `[model]`: what the first stage starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// A Hugging Face folder: config.json, safetensors, tokenizer.json. Absolute; written relative to the run file's
    /// folder.
    pub path: PathBuf,
}

impl Model {
    pub(crate) fn resolve(self, at: &mut Section<'_, '_>) -> Self {
        Self { path: at.input("path", &self.path, Input::Folder) }
    }
}
