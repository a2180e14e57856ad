//! Run files, good and bad, and what becomes of them.

mod ablation;
mod bad_files;
mod contradictions;
mod eval;
mod graph;
mod messages;
mod overrides;
mod presets;
mod reference;
mod resolved;
mod sample;
mod warnings;

use std::path::{Path, PathBuf};

use super::checks::Place;
use super::{ConfigError, RunFile};

/// The least that a run of kind `grpo` needs; further lines are put behind it.
const LEAST: &str = r#"[model]
path = "base"
[[stage]]
kind = "grpo"
steps = 10
problems.countdown = {}
rewards.format = {}
optimizer.learning_rate = 1e-3
"#;

/// The least that a run of kind `pretrain` needs.
const LEAST_PRETRAIN: &str = r#"[[stage]]
kind = "pretrain"
steps = 10
seq_len = 64
batch_tokens = 128
corpus.countdown = {}
tokenizer.vocab_size = 300
optimizer.learning_rate = 1e-3
[stage.architecture]
hidden_size = 16
n_layers = 2
n_heads = 4
n_kv_heads = 2
intermediate_size = 32
max_position_embeddings = 64
"#;

/// Reads a run file that needs no disk, as if it lay in `/project/configs` and the program ran in `/project`.
fn parse(text: &str, overrides: &[&str]) -> Result<RunFile, ConfigError> {
    let place = Place {
        folder: PathBuf::from("/project/configs"),
        current: PathBuf::from("/project"),
        inputs_must_exist: false,
    };
    let overrides: Vec<String> = overrides.iter().map(|&argument| argument.to_owned()).collect();
    RunFile::parse(Path::new("configs/a.toml"), text, &overrides, &place)
}

/// The message about a run file that is refused.
fn message(text: &str, overrides: &[&str]) -> String {
    match parse(text, overrides) {
        Ok(_) => panic!("accepted:\n{text}\n{overrides:?}"),
        Err(error) => error.render(false),
    }
}

/// The settings of a run file that is accepted.
fn accepted(text: &str, overrides: &[&str]) -> super::Resolved {
    parse(text, overrides).unwrap_or_else(|error| panic!("refused:\n{error}\n")).resolved
}
