//! A stage of kind `sft`: the policy learns completions that are given, token by token (DeepSeek-R1 2.3.1 and 2.3.3).

use std::path::Path;

use policy::PackedBatch;
use rollout::Tokenizer;
use tch::Kind;

use super::language_model::LanguageModel;
use super::supervised::{self, Lesson};
use super::{Model, RunContext, StageError};
use crate::config::{self, SftStage};
use crate::data::Order;
use crate::flops::{BACKWARD, Load, forward_flops};
use crate::prompts;
use crate::run::Checkpoint;
use crate::sft::{Counts, Data, Example, Reading, pack};
use crate::telemetry::StepMetrics;
use crate::telemetry::metrics::names;

/// Runs the stage to its end, or until the user asks to stop (then there is no checkpoint of the last step to give back).
///
/// # Errors
/// The first failure.
pub fn run(
    context: &mut RunContext,
    settings: &SftStage,
    stage_idx: usize,
    resumed: Option<Checkpoint>,
) -> Result<Option<Checkpoint>, StageError> {
    let folder = resumed.as_ref().map_or(settings.init.folder(), |checkpoint| checkpoint.path.as_path());
    let model = Model::load(folder, context.dtype, context.device)?;
    let config = model.policy.config();
    let reading = |path: &Path| read(settings, path, &model.tokenizer, config);
    let data = settings.data.iter().map(|source| reading(source.path.path())).collect::<Result<Vec<Data>, _>>()?;
    let held_out = settings.held_out.as_ref().map(|held_out| reading(held_out.path.path())).transpose()?;
    let counts: Vec<Counts> = data.iter().map(|data| data.counts).collect();
    let repeats = settings.data.iter().map(|source| source.repeat);
    let examples: Vec<(Example, u64)> = (data.into_iter().zip(repeats))
        .flat_map(|(data, repeat)| data.examples.into_iter().map(move |example| (example, repeat)))
        .collect();
    context.progress.say(&format!("{}{}", in_words(&examples), left_out(&counts)));
    if let Some(held_out) = &held_out {
        let n = held_out.examples.len();
        context.progress.say(&format!("{n} examples are held out{}", left_out(&[held_out.counts])));
    }
    // An example that an epoch sees several times has several places in its order.
    let places: Vec<usize> = (examples.iter().enumerate())
        .flat_map(|(idx, (_, repeat))| std::iter::repeat_n(idx, *repeat as usize))
        .collect();
    let address = (context.settings.run.seed, stage_idx);
    let batch_size = settings.batch_size as usize;
    let order = Order::new(address, places.len(), batch_size, settings.steps, settings.epochs.unwrap_or(1));
    let steps = order.steps();
    supervised::warn_of_warmup(context, &settings.optimizer, steps);
    let memory = (settings.checkpointing.into(), settings.logits_chunk_tokens);
    let learner = LanguageModel::new(model, &settings.optimizer, steps, memory, resumed.as_ref())?;
    let held_out = held_out.map_or_else(Vec::new, |data| data.examples);
    let examples = examples.into_iter().map(|(example, _)| example).collect();
    let mut study = Study { settings, learner, examples, places, order, held_out };
    supervised::learn(context, &mut study, resumed)
}

/// The rows of a file as tokens of the stage's model.
///
/// # Errors
/// If a row cannot be used, or the model lacks what it takes: a chat template, an end token.
pub(crate) fn read(
    settings: &SftStage,
    path: &Path,
    tokenizer: &Tokenizer,
    model: &policy::ModelConfig,
) -> Result<Data, StageError> {
    let template = prompts::template(&settings.prompt, tokenizer)?;
    let end = *model.eos_token_ids.first().ok_or(StageError::NoEndToken)?;
    let context = model.max_position_embeddings.unsigned_abs();
    let max_tokens = settings.max_tokens.unwrap_or(context) as usize;
    let reading = Reading { tokenizer, template: &template, end, max_tokens, on_long: settings.on_long };
    Ok(reading.read(path)?)
}

/// How much is learned.
fn in_words(examples: &[(Example, u64)]) -> String {
    let sum = |of: &dyn Fn(&Example) -> usize| -> usize { examples.iter().map(|(example, _)| of(example)).sum() };
    let (n_tokens, n_targets) = (sum(&|example| example.ids.len()), sum(&Example::n_targets));
    format!("{} examples of {n_tokens} tokens, {n_targets} of which are learned", examples.len())
}

/// How many rows were too long, as the end of a sentence.
fn left_out(counts: &[Counts]) -> String {
    let (n_dropped, n_cut) = counts.iter().fold((0, 0), |(d, c), counts| (d + counts.n_dropped, c + counts.n_cut));
    if n_dropped + n_cut == 0 {
        return String::new();
    }
    format!("; longer than max_tokens: {n_dropped} dropped, {n_cut} cut")
}

/// Examples, learned in an order.
struct Study<'a> {
    settings: &'a SftStage,
    learner: LanguageModel,
    examples: Vec<Example>,
    /// The example at each place of an epoch before it is shuffled.
    places: Vec<usize>,
    order: Order,
    held_out: Vec<Example>,
}

impl Study<'_> {
    /// Mean loss of the held-out examples, nats a target.
    fn eval_loss(&self) -> f64 {
        let policy = &self.learner.model.policy;
        let weights = policy.frozen_weights();
        let n_targets: usize = self.held_out.iter().map(Example::n_targets).sum();
        let held_out: Vec<&Example> = self.held_out.iter().collect();
        let sums = packed(&held_out, self.settings.micro_batch_tokens as usize).map(|part| {
            let chunk = self.settings.logits_chunk_tokens as i64;
            policy.packed_logprobs(&weights, &part, 1.0, chunk).logprobs.sum(Kind::Double).double_value(&[])
        });
        -sums.sum::<f64>() / n_targets as f64
    }

    fn eval_is_due(&self, step: u64) -> bool {
        self.settings.held_out.as_ref().is_some_and(|held_out| {
            step == self.steps() || (held_out.every_steps > 0 && step.is_multiple_of(held_out.every_steps))
        })
    }
}

/// Examples in micro-batches of at most `budget_tokens` tokens through the network.
fn packed<'a>(examples: &'a [&'a Example], budget_tokens: usize) -> impl Iterator<Item = PackedBatch> + 'a {
    let lengths: Vec<usize> = examples.iter().map(|example| example.n_inputs()).collect();
    pack(&lengths, budget_tokens).into_iter().map(move |members| {
        PackedBatch::masked(&members.into_iter().map(|member| examples[member].tokens()).collect::<Vec<_>>())
    })
}

impl Lesson for Study<'_> {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn steps(&self) -> u64 {
        self.order.steps()
    }

    fn checkpoint(&self) -> &config::Checkpoint {
        &self.settings.checkpoint
    }

    /// One update on the mean over all targets of `batch_size` examples.
    fn step(&mut self, step: u64) -> Result<(StepMetrics, u64), StageError> {
        let chosen = self.order.batch(step);
        let batch: Vec<&Example> = chosen.into_iter().map(|place| &self.examples[self.places[place]]).collect();
        let n_tokens: usize = batch.iter().map(|example| example.ids.len()).sum();
        let n_targets: usize = batch.iter().map(|example| example.n_targets()).sum();
        let parts = packed(&batch, self.settings.micro_batch_tokens as usize);
        let mut metrics = self.learner.update(step, parts, n_targets as u64)?;
        let load: Load = (batch.iter())
            .map(|example| Load { predictions: example.n_targets() as u64, ..Load::text(example.n_inputs()) })
            .sum();
        // Updates in a second, from the targets in a second.
        let rate = metrics.get(names::TRAINING_TOKENS_PER_SECOND).unwrap_or(0.0) / n_targets as f64;
        let flops = forward_flops(self.learner.model.policy.config(), &load) * (1.0 + BACKWARD);
        metrics.set(names::TRAINING_TOKENS_PER_SECOND, rate * n_tokens as f64);
        metrics.set(names::TRAINING_FLOPS, rate * flops);
        metrics.set(names::EPOCH, self.order.epochs_after(step));
        if self.eval_is_due(step) {
            metrics.set(names::EVAL_LOSS, self.eval_loss());
        }
        Ok((metrics, n_tokens as u64))
    }

    fn evaluate(&mut self, context: &mut RunContext, step: u64) -> Result<(), StageError> {
        if step == 0 && self.settings.held_out.is_some() {
            context.progress.say(&format!("before the first step: held-out loss {:.4} nats a token", self.eval_loss()));
        }
        Ok(())
    }

    fn save(&self, folder: &Path) -> Result<(), StageError> {
        self.learner.save(folder)
    }
}
