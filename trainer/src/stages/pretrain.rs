//! A stage of kind `pretrain`: a base model from nothing, by predicting the next token of a corpus.

use std::path::{Path, PathBuf};
use std::time::Instant;

use policy::{Checkpointing, ModelConfig, PackedBatch, Policy, TokenStats, Weights, random_parameters};
use rayon::prelude::*;
use rollout::Tokenizer;
use serde_json::{Map, Value, json};
use tch::Kind;

use super::grpo::{adamw, schedule};
use super::{Model, NonFinite, RunContext, StageError};
use crate::address::{self, Purpose};
use crate::config::{Architecture, Corpus, PretrainStage};
use crate::data::bpe::{self, END_OF_TEXT_ID};
use crate::data::text::{Rows, Text};
use crate::flops::{BACKWARD, Load, forward_flops};
use crate::optim::{AdamW, Schedule, clip_grad_norm};
use crate::run::{Checkpoint, CheckpointWriter, FileError, StagedFolder, TrainerState, atomic};
use crate::telemetry::metrics::names;
use crate::telemetry::{MetricsRow, StepMetrics, Stopwatch, UpdateSeconds};

const OPTIMIZER: &str = "optimizer.safetensors";

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
    let mut learner = Learner::new(context, settings, stage_idx, &folder, resumed.as_ref())?;
    let first = resumed.as_ref().map_or(1, |checkpoint| checkpoint.step + 1);
    let order = address::stream(seed, stage_idx, Purpose::Corpus, &[1]);
    let tokenizer = Tokenizer::load(&folder, settings.tokenizer.vocab_size as i64)?;
    let rows = text.rows(&tokenizer, END_OF_TEXT_ID, settings.seq_len as usize, order)?;
    let mut last = resumed;
    for step in first..=settings.steps {
        let began = Instant::now();
        let mut metrics = learner.step(step, &rows)?;
        context.num_tokens += settings.batch_tokens;
        metrics.set(names::NUM_TOKENS, context.num_tokens as f64);
        let step_time = began.elapsed().as_secs_f64();
        let parts = [names::TIMING_FORWARD, names::TIMING_HEAD, names::TIMING_BACKWARD, names::TIMING_OPTIMIZER];
        let parts: f64 = parts.iter().filter_map(|name| metrics.get(name)).sum();
        metrics.set(names::TIMING_OTHER, step_time - parts);
        metrics.set(names::STEP_TIME, step_time);
        context.log_metrics(&MetricsRow { stage: settings.name.clone(), step, metrics: metrics.clone() })?;
        context.progress.step_done(step, &metrics)?;
        let ends = step == settings.steps;
        let stops = context.asked_to_stop() && !ends;
        let due = settings.checkpoint.every_steps > 0 && step % settings.checkpoint.every_steps == 0;
        if ends || stops || due {
            let checkpoint = learner.save(step, context)?;
            checkpoint.prune_older(settings.checkpoint.keep as usize)?;
            last = Some(checkpoint);
        }
        if stops {
            return Ok(None);
        }
    }
    Ok(last)
}

struct Learner<'a> {
    settings: &'a PretrainStage,
    model: Model,
    optimizer: AdamW,
    schedule: Schedule,
}

impl<'a> Learner<'a> {
    fn new(
        context: &RunContext,
        settings: &'a PretrainStage,
        stage_idx: usize,
        tokenizer: &Path,
        resumed: Option<&Checkpoint>,
    ) -> Result<Self, StageError> {
        let model = match resumed {
            Some(checkpoint) => Model::load(&checkpoint.path, context.dtype, context.device)?,
            None => fresh_model(context, settings, stage_idx, tokenizer)?,
        };
        let mut optimizer = AdamW::new(model.policy.parameters(), adamw(&settings.optimizer));
        if let Some(checkpoint) = resumed {
            optimizer.load(&checkpoint.path.join(OPTIMIZER))?;
        }
        Ok(Self { settings, model, optimizer, schedule: schedule(&settings.optimizer, settings.steps) })
    }

    /// One update on `batch_tokens` tokens, all of them predicted.
    fn step(&mut self, step: u64, rows: &Rows) -> Result<StepMetrics, StageError> {
        let settings = self.settings;
        let n_rows = settings.batch_tokens / settings.seq_len;
        let first_row = (step - 1) * n_rows;
        let batch: Vec<Vec<i64>> =
            (first_row..first_row + n_rows).into_par_iter().map(|row| rows.row(row)).collect::<Result<_, _>>()?;
        let rows_at_once = (settings.micro_batch_tokens / settings.seq_len).max(1) as usize;
        let clock = Instant::now();
        let mut seconds = UpdateSeconds::default();
        self.optimizer.zero_grad();
        let weights = self.model.policy.trainable_weights();
        let backward = |rows: &[Vec<i64>]| self.backward(&weights, rows, settings.batch_tokens, &mut seconds);
        let loss: f64 = batch.chunks(rows_at_once).map(backward).sum();
        drop(weights);
        if !loss.is_finite() {
            return Err(StageError::NonFinite { step, what: NonFinite::TextLoss { value: loss } });
        }
        let mut watch = Stopwatch::start(self.model.policy.device());
        let grad_norm = clip_grad_norm(self.model.policy.parameters(), settings.optimizer.clip_norm())
            .map_err(|error| StageError::NonFinite { step, what: error.into() })?;
        let peak = self.settings.optimizer.learning_rate_at(step);
        let learning_rate = self.schedule.with_peak(peak).lr(step - 1);
        self.optimizer.step(learning_rate);
        seconds.optimizer += watch.lap();
        let elapsed = clock.elapsed().as_secs_f64();
        let row = forward_flops(self.model.policy.config(), &Load::text(settings.seq_len as usize));
        let forward = batch.len() as f64 * row;
        let mut metrics = StepMetrics::from([
            (names::LOSS, loss),
            (names::GRAD_NORM, grad_norm),
            (names::LEARNING_RATE, learning_rate),
            (names::TRAINING_TOKENS_PER_SECOND, settings.batch_tokens as f64 / elapsed),
            (names::TRAINING_FLOPS, forward * (1.0 + BACKWARD) / elapsed),
        ]);
        metrics.extend(seconds.metrics());
        Ok(metrics)
    }

    /// Adds the gradient of the mean loss over `n_tokens`, of which these rows are a part; gives back that part, in nats.
    fn backward(&self, weights: &Weights, rows: &[Vec<i64>], n_tokens: u64, seconds: &mut UpdateSeconds) -> f64 {
        let policy = &self.model.policy;
        let batch = PackedBatch::text(rows);
        let mut watch = Stopwatch::start(policy.device());
        let tape = policy.forward(weights, &batch, Checkpointing::None);
        seconds.forward += watch.lap();
        let mut total = 0.0;
        let loss = |_: i64, chunk: &TokenStats| {
            let loss = -chunk.logprobs.sum(Kind::Float) / n_tokens as f64;
            total += loss.double_value(&[]);
            Ok::<_, StageError>(loss)
        };
        let chunk = self.settings.logits_chunk_tokens as i64;
        let behind_head = tape.loss_in_chunks(1.0, chunk, loss).expect("this loss has no error");
        seconds.head += watch.lap();
        behind_head.backward();
        seconds.backward += watch.lap();
        total
    }

    fn save(&self, step: u64, context: &RunContext) -> Result<Checkpoint, StageError> {
        context.sync_logs()?;
        let writer = CheckpointWriter::create(&context.directory.checkpoints(&self.settings.name), step)?;
        self.model.save(writer.path())?;
        self.optimizer.save(&writer.path().join(OPTIMIZER))?;
        let state = TrainerState {
            stage: self.settings.name.clone(),
            step,
            num_tokens: context.num_tokens,
            n_updates: step,
            wall_seconds: context.wall_seconds(),
            extra: Map::new(),
        };
        state.write(writer.path())?;
        Ok(writer.commit()?)
    }
}

/// The folder of the stage's tokenizer, trained when the stage begins.
fn tokenizer_folder(context: &RunContext, settings: &PretrainStage, text: &Text) -> Result<PathBuf, StageError> {
    let folder = context.directory.path().join("tokenizer").join(&settings.name);
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
