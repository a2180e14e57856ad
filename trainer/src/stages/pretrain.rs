//! A stage of kind `pretrain`: a base model from nothing, by predicting the next token of a corpus.

use std::path::{Path, PathBuf};

use policy::{Checkpointing, ModelConfig, PackedBatch, Policy, random_parameters};
use rayon::prelude::*;
use rollout::Tokenizer;
use serde_json::{Value, json};

use super::language_model::LanguageModel;
use super::supervised::{self, Lesson};
use super::{Model, RunContext, StageError};
use crate::address::{self, Purpose};
use crate::config::{self, Architecture, Corpus, PretrainStage};
use crate::data::bpe::{self, END_OF_TEXT_ID};
use crate::data::text::{Rows, Text};
use crate::flops::{BACKWARD, Load, forward_flops};
use crate::run::{Checkpoint, FileError, StagedFolder, atomic};
use crate::telemetry::StepMetrics;
use crate::telemetry::metrics::names;

/// Runs the stage to its end, or until the user asks to stop (then there is no checkpoint of the last step to give back).
///
/// # Errors
/// The first failure.
pub fn run(
    context: &mut RunContext,
    settings: &PretrainStage,
    stage_idx: usize,
    resumed: Option<Checkpoint>,
) -> Result<Option<Checkpoint>, StageError> {
    let seed = context.settings.run.seed;
    let text = Text::open(&settings.corpus, address::stream(seed, stage_idx, Purpose::Corpus, &[]).bits(0))?;
    let folder = tokenizer_folder(context, settings, &text)?;
    let model = match &resumed {
        Some(checkpoint) => Model::load(&checkpoint.path, context.dtype, context.device)?,
        None => fresh_model(context, settings, stage_idx, &folder)?,
    };
    let memory = (Checkpointing::None, settings.logits_chunk_tokens);
    let learner = LanguageModel::new(model, &settings.optimizer, settings.steps, memory, resumed.as_ref())?;
    let order = address::stream(seed, stage_idx, Purpose::Corpus, &[1]);
    let tokenizer = Tokenizer::load(&folder, settings.tokenizer.vocab_size as i64)?;
    let rows = text.rows(&tokenizer, END_OF_TEXT_ID, settings.seq_len as usize, order)?;
    supervised::learn(context, &mut Reading { settings, learner, rows }, resumed)
}

/// Rows of a corpus, read one after the other.
struct Reading<'a> {
    settings: &'a PretrainStage,
    learner: LanguageModel,
    rows: Rows<'a>,
}

impl Lesson for Reading<'_> {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn steps(&self) -> u64 {
        self.settings.steps
    }

    fn checkpoint(&self) -> &config::Checkpoint {
        &self.settings.checkpoint
    }

    /// One update on `batch_tokens` tokens, all of them predicted.
    fn step(&mut self, step: u64) -> Result<(StepMetrics, u64), StageError> {
        let settings = self.settings;
        let n_rows = settings.batch_tokens / settings.seq_len;
        let first_row = (step - 1) * n_rows;
        let batch: Vec<Vec<i64>> =
            (first_row..first_row + n_rows).into_par_iter().map(|row| self.rows.row(row)).collect::<Result<_, _>>()?;
        let rows_at_once = (settings.micro_batch_tokens / settings.seq_len).max(1) as usize;
        let parts = batch.chunks(rows_at_once).map(PackedBatch::text);
        let mut metrics = self.learner.update(step, parts, settings.batch_tokens)?;
        let row = forward_flops(self.learner.model.policy.config(), &Load::text(settings.seq_len as usize));
        // Tokens in a second, each with its share of a row.
        let rate = metrics.get(names::TRAINING_TOKENS_PER_SECOND).unwrap_or(0.0) / settings.seq_len as f64;
        metrics.set(names::TRAINING_FLOPS, rate * row * (1.0 + BACKWARD));
        Ok((metrics, settings.batch_tokens))
    }

    fn save(&self, folder: &Path) -> Result<(), StageError> {
        self.learner.save(folder)
    }
}

/// The folder of the stage's tokenizer, trained when the stage begins.
fn tokenizer_folder(context: &RunContext, settings: &PretrainStage, text: &Text) -> Result<PathBuf, StageError> {
    let folder = context.directory.tokenizer(&settings.name);
    if !folder.join("tokenizer.json").is_file() {
        context.progress.say("training the tokenizer");
        let staged = StagedFolder::create(&folder)?;
        let superwords = matches!(settings.corpus, Corpus::Countdown(_));
        bpe::train(&text.sample()?, &settings.tokenizer, superwords, staged.path())?;
        staged.commit()?;
    }
    Ok(folder)
}

fn fresh_model(
    context: &RunContext,
    settings: &PretrainStage,
    stage_idx: usize,
    tokenizer: &Path,
) -> Result<Model, StageError> {
    let config = model_config(&settings.architecture, settings.tokenizer.vocab_size)?;
    let tokenizer = Tokenizer::load(tokenizer, config.vocab_size)?;
    let seed = context.settings.run.seed;
    let parameters = random_parameters(&config, settings.architecture.embedding_std, |tensor_idx, n| {
        let stream = address::stream(seed, stage_idx, Purpose::Weights, &[tensor_idx as u64]);
        (0..n as u64).map(|i| stream.normal(i) as f32).collect()
    });
    Ok(Model { policy: Policy::new(config, parameters, context.dtype, context.device), tokenizer })
}

/// A Qwen2 config.json of the given shape.
fn model_config(architecture: &Architecture, vocab_size: u64) -> Result<ModelConfig, StageError> {
    let Value::Object(json) = json!({
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": architecture.hidden_size,
        "num_hidden_layers": architecture.n_layers,
        "num_attention_heads": architecture.n_heads,
        "num_key_value_heads": architecture.n_kv_heads,
        "intermediate_size": architecture.intermediate_size,
        "vocab_size": vocab_size,
        "max_position_embeddings": architecture.max_position_embeddings,
        "rope_theta": architecture.rope_theta,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "tie_word_embeddings": architecture.tie_word_embeddings,
        "bos_token_id": null,
        "eos_token_id": END_OF_TEXT_ID,
        "pad_token_id": END_OF_TEXT_ID,
        "torch_dtype": "float32",
        "use_cache": true,
    }) else {
        unreachable!("the literal is an object")
    };
    Ok(ModelConfig::from_json(&json, "[stage.architecture]")?)
}

/// Puts a copy of the finished model where the run file wants it; other files that lie there are left alone.
///
/// # Errors
/// If a file cannot be written.
pub fn export(context: &RunContext, settings: &PretrainStage, checkpoint: &Path) -> Result<(), StageError> {
    let Some(output) = &settings.output else { return Ok(()) };
    let model = Model::load(checkpoint, context.dtype, context.device)?;
    atomic::create_folder(output)?;
    let staged = StagedFolder::create(&output.join("export"))?;
    model.save(staged.path())?;
    for file in atomic::entries(staged.path())? {
        let target = output.join(file.file_name().expect("a file in a folder has a name"));
        std::fs::rename(&file, &target).map_err(FileError::at(&target, "replace"))?;
    }
    atomic::remove(staged.path())?;
    atomic::sync_folder(output)?;
    context.progress.say(&format!("the model is in {}", output.display()));
    Ok(())
}
