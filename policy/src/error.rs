//! What can go wrong when a model folder is read or written, or a GPU is too small. Every error carries the facts a user
//! needs to act.

use std::path::PathBuf;

use tch::Device;

/// A [`std::result::Result`] whose error is this crate's [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// An error of reading, checking or writing a model, or of finding room for it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be opened, read or written.
    #[error("{path}: {source}{hint}", path = path.display(), hint = hint(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// There is no model where one was expected.
    #[error("{path}: no model here: {missing} is missing (a model is a Hugging Face folder with config.json and model.safetensors)", path = path.display())]
    NoModel {
        /// The folder.
        path: PathBuf,
        /// The file that would have made it a model.
        missing: &'static str,
    },
    /// A JSON file is malformed.
    #[error("{path}: {source}", path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why parsing stopped.
        source: serde_json::Error,
    },
    /// config.json asks for something this decoder does not do.
    #[error("{path}: `{key}` = {value} is not supported: {reason}", path = path.display())]
    Unsupported {
        /// The config.json.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its value, as JSON.
        value: String,
        /// What is supported instead, or why this is not.
        reason: String,
    },
    /// config.json lacks a key, or has a value of the wrong kind.
    #[error("{path}: `{key}` {problem}", path = path.display())]
    Config {
        /// The config.json.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A safetensors file is truncated or corrupt.
    #[error("{path}: not a readable safetensors file: {reason} (truncated or corrupt? fetch or copy it again)", path = path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What the format's parser says.
        reason: String,
    },
    /// A reward model where a policy was asked for.
    #[error("{path}: holds `score.weight`, so it is a reward model and writes no text: name the folder of a policy", path = path.display())]
    NotAPolicy {
        /// The model folder.
        path: PathBuf,
    },
    /// A policy where a reward model was asked for.
    #[error(
        "{path}: has no `score.weight`, so it is a policy and gives no scores: train it with a stage of kind \
         \"reward_model\", or name the folder of a ...ForSequenceClassification model", path = path.display()
    )]
    NotARewardModel {
        /// The model folder.
        path: PathBuf,
    },
    /// A classifier of another kind than a reward model.
    #[error(
        "{path}: config.json describes a classifier of {n_labels} labels: a reward model gives one score (num_labels = 1; \
         transformers takes 2 where config.json has no `id2label`)", path = path.display()
    )]
    Labels {
        /// The model folder.
        path: PathBuf,
        /// Number of labels.
        n_labels: usize,
    },
    /// A tensor of the model is in no file.
    #[error("{path}: tensor `{name}` {expected:?} is missing", path = path.display())]
    MissingTensor {
        /// The model folder or file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The shape that the configuration gives it.
        expected: Vec<i64>,
    },
    /// A file holds a tensor that the model has no place for.
    #[error("{path}: tensor `{name}` {got:?} has no place in a model of this config.json", path = path.display())]
    SpareTensor {
        /// The model folder or file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Its shape.
        got: Vec<i64>,
    },
    /// A tensor's shape is not what config.json implies.
    #[error("{path}: tensor `{name}` has shape {got:?}, the model needs {expected:?}", path = path.display())]
    Shape {
        /// The model folder or file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The shape that the configuration gives it.
        expected: Vec<i64>,
        /// The shape in the file.
        got: Vec<i64>,
    },
    /// A tensor's element type cannot be used.
    #[error("{path}: tensor `{name}` is stored as {got}; float32, bfloat16 and float16 can be read", path = path.display())]
    ElementType {
        /// The model folder or file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The element type in the file.
        got: String,
    },
    /// A tensor has an infinite value or is not a number.
    #[error("{path}: tensor `{name}` holds a value that is not finite", path = path.display())]
    NotFinite {
        /// The model folder or file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
    },
    /// A GPU has no memory for the keys and values of a single sequence.
    #[error(
        "{device:?}: a sequence of {n_positions} tokens takes {needed_mib} MiB in the key-value cache, and {free_mib} MiB are \
         free for it: lower max_tokens, or free memory of the GPU",
        needed_mib = needed.div_ceil(1 << 20),
        free_mib = free >> 20
    )]
    NoRoomForCache {
        /// The GPU.
        device: Device,
        /// Prompt and completion together.
        n_positions: usize,
        /// Bytes for one sequence.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
}

/// What to do about it, where that is not plain from the system's words.
fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull => " (the disk is full: make room on it)",
        _ => "",
    }
}
