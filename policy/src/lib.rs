//! The network: token ids to log-probabilities, or to one score. Knows no text, sampling rule, reward or run file.
//!
//! One decoder serves Qwen2, Qwen2.5, Qwen3 and Llama 3. It has three ways in, and all of them run the same blocks over
//! the same weights, so that what the sampler saw is what the trainer differentiates:
//!
//! - [`Sampler::prefill`] and [`Sampler::decode`]: sampling, over a [`KvCache`];
//! - [`Policy::forward`]: training on a [`PackedBatch`], a prompt computed once for all of its completions and no padding;
//! - [`Policy::packed_logprobs`]: the same without a backward pass.
//!
//! [`RewardModel`] is the same decoder with a scalar head: [`RewardModel::scores`], and [`RewardModel::differentiate`] for its
//! training.
//!
//! It is computed by kernels of our own on the CPU (`cpu`) and by libtorch's operations elsewhere (`libtorch`).
//!
//! Axes are spelled `[batch, seq, vocab]` and `[batch, heads, seq, head_dim]`; a packed batch is a stream of tokens,
//! `[tokens, hidden]`.

mod config;
mod cpu;
mod error;
mod head_pass;
mod init;
mod kv_cache;
mod libtorch;
mod model;
mod network;
mod packed;
mod policy;
mod reward_model;
mod rope;
mod safetensors_io;
mod sampler;
mod tape;
mod weights;

pub use config::{Family, Head, Llama3Scaling, ModelConfig};
pub use cpu::head::Distribution;
pub use error::{Error, Result};
pub use init::random_parameters;
pub use kv_cache::{KvCache, PromptKv};
pub use packed::{PackedBatch, Row, SharedPrompt};
pub use policy::{Dtype, Policy, ReferencePolicy, TokenStats};
pub use reward_model::RewardModel;
pub use safetensors_io::{read_tensors, write_tensors};
pub use sampler::Sampler;
pub use tape::{BehindHead, Checkpointing, Tape};
pub use weights::Weights;
