//! `--check`: says what a run would do and how much memory that takes, and touches nothing.

mod memory;
mod objective;
mod selection;
mod sft;

use std::fmt::Write as _;

use policy::ModelConfig;

use crate::config::{
    ConfigError, Corpus, DynamicSampling, Eval, EvalSet, EvalStage, ForcedEnd, GrpoStage, Init, Keep, Optimizer,
    Origin, Over, PretrainStage, Problems, RewardModelStage, RewardObjective, RunFile, Source, Stage,
};

pub use memory::{Memory, ModelShape, readable_bytes};

/// What a run would do.
#[derive(Clone, Debug)]
pub struct Plan {
    text: String,
}

impl Plan {
    /// The plan of the run in `file`.
    ///
    /// `model` is the shape of the network in the folder that `[model]` names, or none if a stage makes the network.
    /// `prompt_tokens` is the length of a prompt, for the estimate of memory.
    ///
    /// # Errors
    /// If a stage asks for more than the network can do: completions longer than its context, stop tokens beyond its
    /// vocabulary.
    pub fn new(file: &RunFile, model: Option<ModelShape>, prompt_tokens: u64) -> Result<Self, ConfigError> {
        let mut text = head(file);
        for (idx, stage) in file.resolved.stages.iter().enumerate() {
            let shape = shape_of(file, idx, model);
            for shape in shape.iter().chain(&shapes_of_asked(file, idx, model)) {
                check_stage(file, idx, stage, shape)?;
            }
            let _ = writeln!(
                text,
                "\nstage {} of {}: {} (kind {})",
                idx + 1,
                file.resolved.stages.len(),
                stage.name(),
                stage.kind().name()
            );
            match stage {
                Stage::Pretrain(stage) => describe_pretrain(&mut text, stage),
                Stage::Sft(stage) => sft::describe(&mut text, stage),
                Stage::Grpo(stage) => describe_grpo(&mut text, stage),
                Stage::Sample(stage) => selection::describe_sample(&mut text, stage),
                Stage::Curate(stage) => selection::describe_curate(&mut text, stage),
                Stage::RewardModel(stage) => describe_reward_model(&mut text, stage),
                Stage::Eval(stage) => describe_eval(&mut text, stage),
            }
            describe_common(&mut text, stage);
            if let Some(shape) = &shape {
                let memory = Memory::of(stage, shape, &file.resolved.run, prompt_tokens);
                describe_memory(&mut text, &memory, shape, prompt_tokens);
            }
        }
        Ok(Self { text })
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The shape of the network of a stage, as far as it is known; `base` is that of `[model]`.
fn shape_of(file: &RunFile, stage_idx: usize, base: Option<ModelShape>) -> Option<ModelShape> {
    shape_at(file, file.resolved.origin(stage_idx), base)
}

/// The shapes of the models that a stage of kind `curate` or `eval` asks, as far as they are known.
fn shapes_of_asked(file: &RunFile, stage_idx: usize, base: Option<ModelShape>) -> Vec<ModelShape> {
    let asked: Vec<&Init> = match &file.resolved.stages[stage_idx] {
        Stage::Curate(stage) => stage.difficulty.iter().map(|asked| &asked.model).collect(),
        Stage::Eval(stage) => stage.models.iter().collect(),
        Stage::Pretrain(_) | Stage::Sft(_) | Stage::Grpo(_) | Stage::Sample(_) | Stage::RewardModel(_) => Vec::new(),
    };
    let origins = asked.into_iter().map(|model| file.resolved.origin_of(model, stage_idx));
    origins.filter_map(|origin| shape_at(file, origin, base)).collect()
}

fn shape_at(file: &RunFile, origin: Origin<'_>, base: Option<ModelShape>) -> Option<ModelShape> {
    match origin {
        Origin::Made(stage) => Some(ModelShape::of_architecture(&stage.architecture, stage.tokenizer.vocab_size)),
        Origin::Folder(path) if file.resolved.model.as_ref().is_some_and(|model| model.path == path) => base,
        Origin::Folder(path) => ModelConfig::load(path).ok().map(|config| ModelShape::of_config(&config)),
        Origin::None => None,
    }
}

/// Refuses what only the shape of the network shows to be impossible.
///
/// # Errors
/// Points at the first key of the stage numbered `idx` that asks for more than the network can do.
pub fn check_stage(file: &RunFile, idx: usize, stage: &Stage, shape: &ModelShape) -> Result<(), ConfigError> {
    let context = shape.max_position_embeddings;
    let (rollout, table) = match stage {
        Stage::Grpo(stage) => (&stage.rollout, "rollout"),
        Stage::Sample(stage) => (&stage.sampling.as_rollout(), "sampling"),
        Stage::Curate(stage) => (&stage.sampling.as_rollout(), "sampling"),
        Stage::Sft(stage) => return sft::check(file, idx, stage, context),
        Stage::RewardModel(stage) if stage.max_tokens > context => {
            let title =
                format!("`max_tokens` is {}, but the context of the model is {context} tokens", stage.max_tokens);
            let expected = format!("expected {context} at most");
            let key = format!("stage[{idx}].max_tokens");
            return Err(file.refuse(&key, &title, &expected, "prompt and response share the context"));
        }
        Stage::Eval(stage) => {
            let Some(set) = stage.longest_set().filter(|_| stage.most_tokens() >= context) else { return Ok(()) };
            let title =
                format!("`max_tokens` is {}, but the context of the model is {context} tokens", stage.most_tokens());
            let key = format!("stage[{idx}].set[{set}].max_tokens");
            let expected = format!("expected less than {context}");
            return Err(file.refuse(&key, &title, &expected, "prompt and completion share the context"));
        }
        Stage::Pretrain(_) | Stage::RewardModel(_) => return Ok(()),
    };
    if rollout.most_tokens() >= context {
        let by_step = rollout.max_tokens < context;
        let name = if by_step { "max_tokens_from_step" } else { "max_tokens" };
        let is =
            if by_step { format!("comes to {}", rollout.most_tokens()) } else { format!("is {}", rollout.max_tokens) };
        let title = format!("`{name}` {is}, but the context of the model is {context} tokens");
        let expected = format!("expected less than {context}");
        let key = format!("stage[{idx}].{table}.{name}");
        return Err(file.refuse(&key, &title, &expected, "prompt and completion share the context"));
    }
    let beyond = |id: &&u32| u64::from(**id) >= shape.vocab_size;
    if let Some(id) = rollout.stop_token_ids.iter().find(beyond) {
        let title = format!("stop token {id} is not in the vocabulary of the model");
        let expected = format!("expected ids below {}", shape.vocab_size);
        return Err(file.refuse(&format!("stage[{idx}].{table}.stop_token_ids"), &title, &expected, ""));
    }
    Ok(())
}

/// One line of a plan: what, and how much of it.
fn line(text: &mut String, what: &str, how: impl std::fmt::Display) {
    let _ = writeln!(text, "  {what:<12} {how}");
}

fn head(file: &RunFile) -> String {
    let run = &file.resolved.run;
    let mut text = format!("run file {}\n", file.path.display());
    line(&mut text, "run folder", run.dir.display());
    if let Some(model) = &file.resolved.model {
        line(&mut text, "model", model.path.display());
    }
    let threads = if run.threads == 0 { "all".to_owned() } else { run.threads.to_string() };
    line(&mut text, "computes", format_args!("device {}, {}, {threads} CPU threads", run.device, run.dtype.name()));
    line(&mut text, "seed", run.seed);
    line(&mut text, "identity", file.resolved.identity());
    text
}

fn describe_pretrain(text: &mut String, stage: &PretrainStage) {
    let rows = stage.batch_tokens / stage.seq_len;
    let total = stage.steps.saturating_mul(stage.batch_tokens);
    line(text, "steps", format_args!("{}, one update each", stage.steps));
    line(text, "each step", format_args!("{rows} rows of {} tokens; {total} tokens in all", stage.seq_len));
    let corpus = match &stage.corpus {
        Corpus::Countdown(corpus) => {
            format!("Countdown transcripts, made endlessly; numbers {}", range(corpus.problems.numbers))
        }
        Corpus::Text(text) => text.path.to_string(),
    };
    line(text, "corpus", corpus);
    line(
        text,
        "tokenizer",
        format_args!("byte-level BPE of {} tokens, trained on the corpus", stage.tokenizer.vocab_size),
    );
    if let Some(output) = &stage.output {
        line(text, "copies to", output.display());
    }
}

fn describe_grpo(text: &mut String, stage: &GrpoStage) {
    let rollout = &stage.rollout;
    let completions = rollout.completions_per_step();
    let tokens = completions.saturating_mul(rollout.most_tokens());
    let updates = stage.grpo.updates_per_step();
    let (all, all_updates) = (stage.steps.saturating_mul(completions), stage.steps.saturating_mul(updates));
    line(text, "steps", format_args!("{}; {all} completions and {all_updates} updates in all", stage.steps));
    let each = format!(
        "{} prompts x {} = {completions} completions of {} tokens at most ({tokens} tokens), {updates} update{}",
        rollout.prompts_per_step,
        rollout.group_size,
        rollout.most_tokens(),
        if updates == 1 { "" } else { "s" }
    );
    line(text, "each step", each);
    if let Some(DynamicSampling { keep, max_rounds }) = rollout.dynamic_sampling {
        let mixed = match keep {
            Keep::MixedReward => "whose rewards are all equal",
            Keep::MixedAccuracy => "whose answers are all right or all wrong",
        };
        line(text, "groups", format_args!("{mixed} are replaced, in {max_rounds} rounds at most"));
    }
    if let Some(ForcedEnd { text: phrase, after_tokens, answer_tokens, .. }) = &rollout.forced_end {
        let after = range(*after_tokens);
        line(
            text,
            "thoughts",
            format_args!("ended after {after} tokens by {phrase:?}, then {answer_tokens} tokens at most"),
        );
    }
    line(text, "problems", problems(&stage.problems));
    line(text, "reward", stage.rewards.in_words());
    for (name, model) in stage.rewards.models() {
        line(text, "", format_args!("{name} by {model}"));
    }
    objective::describe(&stage.grpo).into_iter().for_each(|(what, how)| line(text, what, how));
    line(text, "evaluation", stage.eval.as_ref().map_or("none".to_owned(), evaluation));
}

fn describe_reward_model(text: &mut String, stage: &RewardModelStage) {
    let (rows, how) = match stage.objective {
        RewardObjective::Pairwise => ("pairs", "of two responses one is better (Bradley-Terry)"),
        RewardObjective::Pointwise => ("rows", "a response is good or not (cross-entropy)"),
    };
    let read = match stage.over {
        Over::Response => "whole responses",
        Over::Summary => "summaries alone",
    };
    let steps = match (stage.steps, stage.epochs) {
        (Some(steps), _) => format!("{steps}, one update each"),
        (None, 1) => format!("as many as the {rows} give, each seen once"),
        (None, epochs) => format!("as many as the {rows} give, each seen {epochs} times"),
    };
    line(text, "steps", steps);
    line(text, "each step", format_args!("{} {rows} of {} tokens at most", stage.batch_size, stage.max_tokens));
    line(text, "learns", format_args!("{how}; {read}"));
    line(text, "data", &stage.data);
    let held_out = stage.held_out.as_ref().map_or("none".to_owned(), |held_out| held_out.data.to_string());
    line(text, "held out", held_out);
}

fn describe_eval(text: &mut String, stage: &EvalStage) {
    let models: Vec<String> = stage.models.iter().map(ToString::to_string).collect();
    line(text, "models", models.join(", "));
    for set in &stage.sets {
        let EvalSet { problems, samples_per_problem: k, temperature, top_p, max_tokens, .. } = set;
        let domains = if set.domains.is_empty() { String::new() } else { format!(" ({})", set.domains.join(", ")) };
        let how = format!(
            "{problems}{domains}, {k} completions each of {max_tokens} tokens at most, temperature {temperature}, top_p {top_p}"
        );
        line(text, &format!("set {}", set.name), how);
        let rewards = if set.rewards.0.is_empty() { "answer and format".to_owned() } else { set.rewards.in_words() };
        let mut measures = vec!["pass@1".to_owned()];
        measures.extend(set.pass_at.iter().filter(|k| **k > 1).map(|k| format!("pass@{k}")));
        measures.extend(set.consensus.then(|| format!("cons@{k}")));
        measures.extend(set.greedy.then(|| "greedy".to_owned()));
        measures.extend(set.win_by.iter().map(|reward| format!("wins over the reference by {reward}")));
        if let Some(budget) = &set.budget {
            measures.extend(budget.caps.iter().map(|cap| format!("cap {cap}")));
            measures.extend(budget.waits.iter().map(|times| format!("wait {times}")));
        }
        line(text, "", format_args!("{}; judged by {rewards}", measures.join(", ")));
    }
}

fn problems(problems: &Problems) -> String {
    match problems {
        Problems::Countdown(problems) => {
            let excluded = problems.exclude.as_ref();
            let excluded = excluded.map_or(String::new(), |path| format!(", without those of {}", path.display()));
            let [n, numbers] = [range(problems.n_numbers), range(problems.numbers)];
            format!(
                "Countdown, made endlessly; {n} numbers of {numbers}, targets {}{excluded}",
                range(problems.targets)
            )
        }
        Problems::Jsonl(problems) => problems.path.to_string(),
        Problems::Mixture(sources) => {
            let of = |source: &Source| {
                let domain = source.domain.as_ref().map_or(String::new(), |domain| format!("{domain}: "));
                let changes = source.weight_from_step.iter();
                let later: String = changes.map(|(step, weight)| format!(", {weight} from step {step}")).collect();
                format!("{domain}{} (weight {}{later})", self::problems(&source.problems), source.weight)
            };
            sources.iter().map(of).collect::<Vec<_>>().join("; ")
        }
    }
}

fn evaluation(eval: &Eval) -> String {
    let when = match eval.every_steps {
        0 => String::new(),
        steps => format!(", and every {steps} steps"),
    };
    let problems = &eval.problems;
    format!("{problems}, {} completions each, before and after{when}", eval.samples_per_problem)
}

fn describe_common(text: &mut String, stage: &Stage) {
    if let Some(optimizer) = stage.optimizer() {
        describe_optimizer(text, optimizer);
    }
    if let Some(checkpoint) = stage.checkpoint() {
        let when = if checkpoint.every_steps == 0 {
            "at the end".to_owned()
        } else {
            format!("every {} steps and at the end", checkpoint.every_steps)
        };
        line(text, "checkpoints", format_args!("{when}, the newest {} kept", checkpoint.keep));
    }
}

fn describe_optimizer(text: &mut String, optimizer: &Optimizer) {
    let warmup = if optimizer.warmup_steps == 0 {
        String::new()
    } else {
        format!(" after {} steps of warm-up", optimizer.warmup_steps)
    };
    let schedule = format!("{:?}", optimizer.schedule).to_lowercase();
    line(text, "optimiser", format_args!("AdamW, learning rate {}, {schedule}{warmup}", optimizer.learning_rate));
}

fn describe_memory(text: &mut String, memory: &Memory, shape: &ModelShape, prompt_tokens: u64) {
    line(
        text,
        "network",
        format_args!("{} weights, context {} tokens", shape.n_parameters(), shape.max_position_embeddings),
    );
    line(
        text,
        "memory",
        format_args!(
            "about {} at the peak (estimate, prompts of {prompt_tokens} tokens)",
            readable_bytes(memory.peak())
        ),
    );
    let parts = [
        ("program", memory.program),
        ("weights", memory.weights),
        ("optimiser", memory.optimizer),
        ("reference", memory.reference),
        ("gradients", memory.gradients),
        ("activations", memory.activations),
        ("logits", memory.logits),
        ("KV cache", memory.kv_cache),
        ("kept by the allocator", memory.kept),
    ];
    let parts: Vec<String> = parts.iter().map(|(name, bytes)| format!("{name} {}", readable_bytes(*bytes))).collect();
    line(text, "", parts.join(", "));
}

fn range<T: std::fmt::Display + PartialEq>([from, to]: [T; 2]) -> String {
    if from == to { from.to_string() } else { format!("{from} to {to}") }
}

#[cfg(test)]
mod tests;
