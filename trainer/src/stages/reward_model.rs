//! A stage of kind `reward_model`: a network that learns to score responses from pairs or labels.

use std::path::Path;
use std::time::Instant;

use policy::{RewardModel, Weights};
use rollout::Tokenizer;
use rollout::random::Stream;
use serde::Serialize;
use tch::Tensor;

use super::descent::descend;
use super::grpo::{adamw, schedule};
use super::supervised::{self, Lesson};
use super::{NonFinite, RunContext, StageError};
use crate::address::{self, Purpose};
use crate::config::{self, RewardModelStage, RewardObjective};
use crate::data::Order;
use crate::evaluation::wilson;
use crate::optim::{AdamW, Schedule};
use crate::prompts;
use crate::reward_model::{
    About, Example, Examples, MarginStats, Reader, log_loss, margins_of_labels, margins_of_pairs, parts,
};
use crate::run::{Checkpoint, FileError, LineLog, ResumePoint, lines};
use crate::telemetry::metrics::names;
use crate::telemetry::{StepMetrics, Stopwatch, UpdateSeconds};

const OPTIMIZER: &str = "optimizer.safetensors";

/// What the held-out rows said, in the folder of the stage.
const HELD_OUT: &str = "held_out.jsonl";

/// Runs the stage to its end, or until the user asks to stop (then there is no checkpoint of the last step to give back).
///
/// # Errors
/// The first failure.
pub fn run(
    context: &mut RunContext,
    settings: &RewardModelStage,
    stage_idx: usize,
    resumed: Option<Checkpoint>,
) -> Result<Option<Checkpoint>, StageError> {
    let mut lesson = Preferences::open(context, settings, stage_idx, resumed.as_ref())?;
    let n_done = resumed.as_ref().map_or(0, |checkpoint| checkpoint.step);
    let point = ResumePoint { kept_stages: &[], stage: &settings.name, step: n_done };
    lines::truncate_after(&context.directory.stage(&settings.name).join(HELD_OUT), &point)?;
    supervised::learn(context, &mut lesson, resumed)
}

/// A reward model and the rows that it learns from.
struct Preferences<'a> {
    settings: &'a RewardModelStage,
    model: RewardModel,
    reader: Reader,
    optimizer: AdamW,
    schedule: Schedule,
    rows: Vec<Example>,
    order: Order,
    held_out: Vec<Example>,
}

/// A line of `held_out.jsonl`. Names are TRL's where TRL has one.
#[derive(Serialize)]
struct HeldOutRow<'a> {
    stage: &'a str,
    step: u64,
    /// Pairs or rows.
    n_rows: usize,
    accuracy: f64,
    accuracy_ci95: [f64; 2],
    margin: f64,
    loss: f64,
    mean_reward: f64,
    seconds: f64,
}

impl<'a> Preferences<'a> {
    fn open(
        context: &RunContext,
        settings: &'a RewardModelStage,
        stage_idx: usize,
        resumed: Option<&Checkpoint>,
    ) -> Result<Self, StageError> {
        let seed = context.settings.run.seed;
        let folder = resumed.map_or(settings.init.folder(), |checkpoint| &checkpoint.path);
        let model = load(context, folder, &address::stream(seed, stage_idx, Purpose::Weights, &[]))?;
        let tokenizer = Tokenizer::load(folder, model.config().vocab_size)?;
        let reader = Reader {
            template: prompts::template(&settings.prompt, &tokenizer)?,
            tokenizer,
            over: settings.over,
            end: model.config().eos_token_ids.first().copied(),
        };
        let read = |data: &config::Artifact, what: &str, max_tokens: usize| {
            let examples = Examples::open(data.path(), settings.objective, &reader, max_tokens)?;
            if let Some(left_out) = examples.left_out(max_tokens) {
                context.progress.say(&format!("warning: stage {}, {what}: {left_out}", settings.name));
            }
            Ok::<_, StageError>(examples.rows)
        };
        let rows = read(&settings.data, "data", settings.max_tokens as usize)?;
        // No other limit than the network's where nothing is learned (DeepSeek-R1 B.2).
        let longest = model.config().max_position_embeddings as usize;
        let held_out = settings.held_out.as_ref().map(|rows| read(&rows.data, "held_out", longest)).transpose()?;
        let batch_size = settings.batch_size as usize;
        let order = Order::new((seed, stage_idx), rows.len(), batch_size, settings.steps, settings.epochs);
        supervised::warn_of_warmup(context, &settings.optimizer, order.steps());
        let mut optimizer = AdamW::new(model.parameters(), adamw(&settings.optimizer));
        if let Some(checkpoint) = resumed {
            optimizer.load(&checkpoint.path.join(OPTIMIZER))?;
        }
        Ok(Self {
            settings,
            reader,
            optimizer,
            schedule: schedule(&settings.optimizer, order.steps()),
            rows,
            order,
            held_out: held_out.unwrap_or_default(),
            model,
        })
    }

    /// The loss of a part of a batch of `n_in_batch` rows, in its own gradients; gives back what is said of its scores.
    fn backward(
        &self,
        weights: &Weights,
        part: &[&Example],
        n_in_batch: usize,
        seconds: &mut UpdateSeconds,
    ) -> Result<MarginStats, StageError> {
        let sequences: Vec<&[i64]> = part.iter().flat_map(|row| &row.sequences).map(Vec::as_slice).collect();
        let labels: Vec<bool> = part.iter().map(|row| row.label).collect();
        let mut watch = Stopwatch::start(self.model.device());
        let mut stats = MarginStats::default();
        let loss = |scores: &Tensor| {
            seconds.forward += watch.lap();
            stats = self.stats(&floats(scores), &labels);
            let margins = match self.settings.objective {
                RewardObjective::Pairwise => margins_of_pairs(scores),
                RewardObjective::Pointwise => margins_of_labels(scores, &labels),
            };
            let loss = log_loss(&margins, n_in_batch as f64);
            seconds.head += watch.lap();
            Ok::<_, StageError>(loss)
        };
        self.model.differentiate(weights, &sequences, self.settings.checkpointing.into(), loss)?;
        seconds.backward += watch.lap();
        Ok(stats)
    }

    fn stats(&self, scores: &[f32], labels: &[bool]) -> MarginStats {
        match self.settings.objective {
            RewardObjective::Pairwise => MarginStats::of_pairs(scores),
            RewardObjective::Pointwise => MarginStats::of_labels(scores, labels),
        }
    }

    /// Parts of rows that go through the network together.
    fn parts<'b, 'c>(&self, rows: &'b [&'c Example]) -> Vec<&'b [&'c Example]> {
        let lengths: Vec<usize> = rows.iter().map(|row| row.n_tokens()).collect();
        let cut = parts(&lengths, self.settings.micro_batch_tokens as usize);
        cut.into_iter().map(|part| &rows[part]).collect()
    }

    /// What is said of the scores of held-out rows.
    fn look(&self) -> MarginStats {
        let weights = self.model.frozen_weights();
        let rows: Vec<&Example> = self.held_out.iter().collect();
        let mut stats = MarginStats::default();
        for part in self.parts(&rows) {
            let sequences: Vec<&[i64]> = part.iter().flat_map(|row| &row.sequences).map(Vec::as_slice).collect();
            let labels: Vec<bool> = part.iter().map(|row| row.label).collect();
            stats.add(&self.stats(&self.model.scores(&weights, &sequences), &labels));
        }
        stats
    }
}

impl Lesson for Preferences<'_> {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn steps(&self) -> u64 {
        self.order.steps()
    }

    fn checkpoint(&self) -> &config::Checkpoint {
        &self.settings.checkpoint
    }

    /// One update on the mean loss of `batch_size` rows.
    fn step(&mut self, step: u64) -> Result<(StepMetrics, u64), StageError> {
        let (clock, mut seconds, mut stats) = (Instant::now(), UpdateSeconds::default(), MarginStats::default());
        self.optimizer.zero_grad();
        let rows: Vec<&Example> = self.order.batch(step).into_iter().map(|row| &self.rows[row]).collect();
        let n_tokens: usize = rows.iter().map(|row| row.n_tokens()).sum();
        let weights = self.model.trainable_weights();
        for part in self.parts(&rows) {
            stats.add(&self.backward(&weights, part, rows.len(), &mut seconds)?);
        }
        drop(weights);
        if !stats.loss().is_finite() {
            return Err(StageError::NonFinite { step, what: NonFinite::ScoreLoss { value: stats.loss() } });
        }
        let mut watch = Stopwatch::start(self.model.device());
        let (parameters, settings) = (self.model.parameters(), &self.settings.optimizer);
        let (grad_norm, learning_rate) = descend(parameters, &mut self.optimizer, &self.schedule, settings, step)?;
        seconds.optimizer += watch.lap();
        let mut metrics = StepMetrics::from([
            (names::LOSS, stats.loss()),
            (names::ACCURACY, stats.accuracy()),
            ("margin", stats.margin()),
            ("mean_reward", stats.mean_reward()),
            ("min_reward", stats.min_reward().into()),
            ("max_reward", stats.max_reward().into()),
            (names::GRAD_NORM, grad_norm),
            (names::LEARNING_RATE, learning_rate),
            (names::TRAINING_TOKENS_PER_SECOND, n_tokens as f64 / clock.elapsed().as_secs_f64()),
        ]);
        metrics.extend(seconds.metrics());
        metrics.set(names::EPOCH, self.order.epochs_after(step));
        Ok((metrics, n_tokens as u64))
    }

    fn evaluate(&mut self, context: &mut RunContext, step: u64) -> Result<(), StageError> {
        let every = self.settings.held_out.as_ref().map_or(0, |held_out| held_out.every_steps);
        let is_due = step == 0 || step == self.steps() || (every > 0 && step.is_multiple_of(every));
        if self.held_out.is_empty() || !is_due {
            return Ok(());
        }
        let clock = Instant::now();
        let stats = self.look();
        let row = HeldOutRow {
            stage: &self.settings.name,
            step,
            n_rows: stats.n(),
            accuracy: stats.accuracy(),
            accuracy_ci95: wilson(stats.accuracy(), stats.n()),
            margin: stats.margin(),
            loss: stats.loss(),
            mean_reward: stats.mean_reward(),
            seconds: clock.elapsed().as_secs_f64(),
        };
        let [low, high] = row.accuracy_ci95;
        context.progress.say(&format!(
            "step {step}: held-out accuracy {:.3} ({low:.3} to {high:.3})  margin {:.3}  loss {:.4}",
            row.accuracy, row.margin, row.loss
        ));
        let mut log = LineLog::open(&context.directory.stage(&self.settings.name).join(HELD_OUT))?;
        log.append(&row)?;
        Ok(log.sync()?)
    }

    fn save(&self, folder: &Path) -> Result<(), StageError> {
        let RewardModelStage { objective, over, prompt, .. } = self.settings;
        self.model.save(folder)?;
        self.reader.tokenizer.copy_files(folder).map_err(FileError::at(folder, "write the tokenizer"))?;
        About { objective: *objective, prompt: prompt.clone(), over: *over }.write(folder)?;
        Ok(self.optimizer.save(&folder.join(OPTIMIZER))?)
    }
}

/// A reward model from its own folder, or a policy's decoder with a fresh head.
fn load(context: &RunContext, folder: &Path, head: &Stream) -> Result<RewardModel, StageError> {
    match RewardModel::load(folder, context.dtype, context.device) {
        Err(policy::Error::NotARewardModel { .. }) => {
            let normal = |n: usize| (0..n as u64).map(|i| head.normal(i) as f32).collect();
            Ok(RewardModel::from_policy(folder, context.dtype, context.device, normal)?)
        }
        other => Ok(other?),
    }
}

fn floats(scores: &Tensor) -> Vec<f32> {
    Vec::try_from(scores.detach().to_device(tch::Device::Cpu)).expect("a vector of float32")
}
