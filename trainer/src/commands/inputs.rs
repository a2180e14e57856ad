//! What a run reads, looked at before any weight: config.json, the tokenizer, the problems and what judges them.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use llm_judge::ChatClient;
use policy::ModelConfig;
use rewards::{LanguageConsistency, LanguageConsistencyOptions, Problem, RewardFn};
use rollout::{Tokenizer, r1_zero};

use super::Failure;
use crate::config::{
    self, Artifact, CurateStage, Eval, EvalStage, GrpoStage, Origin, RewardModelStage, Rollout, RunFile, SampleStage,
    SftStage, Stage,
};
use crate::data::{Questions, problem_file};
use crate::judges::Judges;
use crate::plan::ModelShape;
use crate::reward_model;
use crate::scoring::cases;
use crate::selection::{Row, Sample};
use crate::{prompts, sft, stages};

/// Prompt length assumed where the tokenizer does not exist yet, for the estimate of memory.
const UNKNOWN_PROMPT_TOKENS: u64 = 64;

/// The models that stages start from, as far as they are there before the run and can be known without reading a weight.
pub(super) struct Starts {
    /// By folder.
    models: BTreeMap<PathBuf, Start>,
    base: Option<PathBuf>,
}

/// A model folder without its weights.
struct Start {
    config: ModelConfig,
    tokenizer: Tokenizer,
}

impl Starts {
    /// # Errors
    /// If config.json or the tokenizer of one of them cannot be used.
    pub(super) fn read(file: &RunFile) -> Result<Self, Failure> {
        let mut models = BTreeMap::new();
        let of_stage = |stage_idx: usize| match &file.resolved.stages[stage_idx] {
            Stage::Curate(stage) => {
                stage.difficulty.iter().map(|model| file.resolved.origin_of(&model.model, stage_idx)).collect()
            }
            Stage::Eval(stage) => stage.models.iter().map(|model| file.resolved.origin_of(model, stage_idx)).collect(),
            _ => vec![file.resolved.origin(stage_idx)],
        };
        for origin in (0..file.resolved.stages.len()).flat_map(of_stage) {
            let Origin::Folder(folder) = origin else { continue };
            if !models.contains_key(folder) {
                models.insert(folder.to_owned(), Start::read(folder)?);
            }
        }
        Ok(Self { models, base: file.resolved.model.as_ref().map(|model| model.path.clone()) })
    }

    /// The shape of the model in `[model]`.
    pub(super) fn base_shape(&self) -> Option<ModelShape> {
        self.base.as_ref().and_then(|base| self.models.get(base)).map(|start| ModelShape::of_config(&start.config))
    }

    /// The length of a prompt, for the estimate of memory.
    pub(super) fn example_tokens(&self) -> Result<u64, Failure> {
        let Some(start) = self.models.values().next() else { return Ok(UNKNOWN_PROMPT_TOKENS) };
        let example = r1_zero("Using the numbers [1, 2, 3], create an equation that equals 6");
        Ok(start.tokenizer.encode(&example).map_err(Failure::usage)?.len() as u64)
    }

    /// The folders of policies, each once. A reward model may also go on from a reward model.
    pub(super) fn policies<'a>(&'a self, file: &'a RunFile) -> impl Iterator<Item = &'a Path> {
        let is_policy = |folder: &&Path| {
            let stages = file.resolved.stages.iter().enumerate();
            let starts_here = |idx: usize| file.resolved.origin(idx) == Origin::Folder(folder);
            let mut starting = stages.filter(|(idx, _)| starts_here(*idx)).map(|(_, stage)| stage).peekable();
            starting.peek().is_none() || starting.any(|stage| !matches!(stage, Stage::RewardModel(_)))
        };
        self.models.keys().map(PathBuf::as_path).filter(is_policy)
    }

    fn of(&self, file: &RunFile, stage_idx: usize) -> Option<&Start> {
        self.at(file.resolved.origin(stage_idx))
    }

    /// The models that say how hard a problem is.
    fn of_askers(&self, file: &RunFile, stage: &CurateStage, stage_idx: usize) -> Vec<&Start> {
        let origins = stage.difficulty.iter().map(|asked| file.resolved.origin_of(&asked.model, stage_idx));
        origins.filter_map(|origin| self.at(origin)).collect()
    }

    fn at(&self, origin: Origin<'_>) -> Option<&Start> {
        match origin {
            Origin::Folder(folder) => self.models.get(folder),
            Origin::Made(_) | Origin::None => None,
        }
    }
}

impl Start {
    fn read(folder: &Path) -> Result<Self, Failure> {
        let config = ModelConfig::load(folder).map_err(Failure::usage)?;
        let tokenizer = Tokenizer::load(folder, config.vocab_size).map_err(Failure::usage)?;
        Ok(Self { config, tokenizer })
    }

    /// A forced end fits into a completion, and every one of `problems` and its completion the context: a run is not to end at step 500 over one long question.
    fn check_prompts(&self, rollout: &Rollout, prompt: &config::Prompt, problems: &[Problem]) -> Result<(), Failure> {
        stages::forced_end(rollout, &self.tokenizer).map_err(Failure::usage)?;
        self.check_lengths(rollout.most_tokens(), prompt, problems)
    }

    /// Every one of `problems` and a completion of `max_tokens` fit the context.
    fn check_lengths(&self, max_tokens: u64, prompt: &config::Prompt, problems: &[Problem]) -> Result<(), Failure> {
        let context = self.config.max_position_embeddings;
        let template = prompts::template(prompt, &self.tokenizer).map_err(Failure::usage)?;
        for problem in problems {
            let prompt = template.prompt(&problem.question, &self.tokenizer).map_err(Failure::usage)?;
            let n_prompt_tokens = prompt.ids.len();
            if n_prompt_tokens as i64 + max_tokens as i64 > context {
                return Err(Failure::usage(format!(
                    "problem {}: its prompt has {n_prompt_tokens} tokens; with max_tokens = {max_tokens} that exceeds the \
                     model's context of {context}: shorten the prompt or lower max_tokens",
                    problem.id
                )));
            }
        }
        Ok(())
    }
}

/// Opens every file of data once, so that a bad row is found before any weight is read. What a stage makes is looked at when
/// the stage that reads it begins.
pub(super) fn check_data(file: &RunFile, starts: &Starts) -> Result<(), Failure> {
    let seed = file.resolved.run.seed;
    for (stage_idx, stage) in file.resolved.stages.iter().enumerate() {
        match stage {
            Stage::Grpo(stage) => check_problems(stage, seed, stage_idx, starts.of(file, stage_idx))?,
            Stage::Sft(stage) => check_examples(stage, starts.of(file, stage_idx))?,
            Stage::Sample(stage) => check_sample(stage, seed, stage_idx, starts.of(file, stage_idx))?,
            Stage::Curate(stage) => check_curate(stage, &starts.of_askers(file, stage, stage_idx))?,
            Stage::RewardModel(stage) => check_rows(stage)?,
            Stage::Eval(stage) => {
                let origins = stage.models.iter().map(|model| file.resolved.origin_of(model, stage_idx));
                let models: Vec<&Start> = origins.filter_map(|origin| starts.at(origin)).collect();
                check_sets(stage, &models)?;
            }
            Stage::Pretrain(stage) => {
                if stage.corpus.is_there() {
                    crate::data::text::Text::open(&stage.corpus, seed).map_err(Failure::usage)?;
                }
            }
        }
    }
    Ok(())
}

/// Every set whose file is there, for every model whose context is known.
fn check_sets(stage: &EvalStage, models: &[&Start]) -> Result<(), Failure> {
    for (max_tokens, problems) in stages::read_sets(stage).map_err(Failure::usage)? {
        models.iter().try_for_each(|model| model.check_lengths(max_tokens, &stage.prompt, &problems))?;
    }
    Ok(())
}

/// The rows of a reward model, as text.
fn check_rows(stage: &RewardModelStage) -> Result<(), Failure> {
    let held_out = stage.held_out.as_ref().map(|held_out| &held_out.data);
    for data in std::iter::once(&stage.data).chain(held_out) {
        if let Some(path) = data.path_now() {
            reward_model::read(path, stage.objective).map_err(Failure::usage)?;
        }
    }
    Ok(())
}

fn check_problems(stage: &GrpoStage, seed: u64, stage_idx: usize, start: Option<&Start>) -> Result<(), Failure> {
    let judges = Judges::new(&stage.rewards).map_err(Failure::usage)?;
    judges.check_models().map_err(Failure::usage)?;
    let held_out = stage.eval.as_ref().map(|eval| held_out(stage, eval)).transpose()?.flatten().unwrap_or_default();
    if !stage.problems.are_there() {
        return start.map_or(Ok(()), |start| start.check_prompts(&stage.rollout, &stage.prompt, &held_out));
    }
    let questions = Questions::open(&stage.problems, judges.rubric(), seed, stage_idx).map_err(Failure::usage)?;
    let mut problems = questions.examples(stage.rollout.prompts_per_step).map_err(Failure::usage)?;
    warn_of_unreadable_golds(stage, &problems);
    warn_of_shared_questions(stage, &problems, &held_out);
    problems.extend(held_out);
    start.map_or(Ok(()), |start| start.check_prompts(&stage.rollout, &stage.prompt, &problems))
}

fn check_sample(stage: &SampleStage, seed: u64, stage_idx: usize, start: Option<&Start>) -> Result<(), Failure> {
    let judges = Judges::new(&stage.rewards).map_err(Failure::usage)?;
    let evaluations = stage.decontamination.iter().flat_map(|table| &table.files).filter_map(Artifact::path_now);
    evaluations.map(stages::evaluation).collect::<Result<Vec<_>, _>>().map_err(Failure::usage)?;
    for path in stage.mix.iter().filter_map(|mix| mix.data.path_now()) {
        problem_file::read_rows(path, |row: Row, _| Ok(row)).map_err(Failure::usage)?;
    }
    let servers =
        [stage.rewrite.as_ref().map(|table| &table.server), stage.preferences.as_ref().map(|table| &table.server)];
    for server in servers.into_iter().flatten() {
        // Reads the key, and asks nothing.
        ChatClient::new(server.clone()).map_err(|error| Failure::usage(format!("stage {}: {error}", stage.name)))?;
    }
    if !stage.problems.are_there() {
        return Ok(());
    }
    let questions = Questions::open(&stage.problems, judges.rubric(), seed, stage_idx).map_err(Failure::usage)?;
    questions.once(stage.n_problems.unwrap_or(0)).map_err(Failure::usage)?;
    let problems = questions.examples(stage.batch_problems).map_err(Failure::usage)?;
    if stage.filters.min_language.is_some() {
        let options = LanguageConsistencyOptions { language: stage.filters.language.clone(), ..Default::default() };
        let language = LanguageConsistency::new(options).map_err(Failure::usage)?;
        let without = problems.iter().find_map(|problem| Some((problem, language.check_gold(problem).err()?)));
        if let Some((problem, error)) = without {
            let remedy = "or set `filters.language` for all that have none, or take `filters.min_language` out";
            return Err(Failure::usage(format!("stage {}: problem {}: {error}; {remedy}", stage.name, problem.id)));
        }
    }
    let rollout = stage.sampling.as_rollout();
    start.map_or(Ok(()), |start| start.check_prompts(&rollout, &stage.prompt, &problems))
}

fn check_curate(stage: &CurateStage, askers: &[&Start]) -> Result<(), Failure> {
    if !stage.difficulty.is_empty() {
        Judges::new(&stage.rewards).map_err(Failure::usage)?;
    }
    let evaluations = stage.decontamination.iter().flat_map(|table| &table.files).filter_map(Artifact::path_now);
    evaluations.map(stages::evaluation).collect::<Result<Vec<_>, _>>().map_err(Failure::usage)?;
    let rollout = stage.sampling.as_rollout();
    for path in stage.data.iter().filter_map(Artifact::path_now) {
        let rows = problem_file::read_rows(path, |row: Row, line| Ok(asked_of(row, line))).map_err(Failure::usage)?;
        let problems: Vec<Problem> = rows.into_iter().flatten().collect();
        askers.iter().try_for_each(|asker| asker.check_prompts(&rollout, &stage.prompt, &problems))?;
    }
    Ok(())
}

/// The problem of a row that models may be asked; none if the row is sure to be dropped before.
fn asked_of(row: Row, line: usize) -> Option<Problem> {
    let Sample { problem, completion, .. } = serde_json::from_value(row.into()).ok()?;
    let is_asked = !problem.question.trim().is_empty() && !completion.trim().is_empty();
    let id = if problem.id.is_empty() { format!("line-{line}") } else { problem.id };
    is_asked.then_some(Problem { id, ..problem })
}

/// Every file of examples that is there is read as the stage will read it; without a tokenizer, as where a stage makes the
/// model, as far as that goes.
fn check_examples(stage: &SftStage, start: Option<&Start>) -> Result<(), Failure> {
    let held_out = stage.held_out.iter().map(|held_out| &held_out.path);
    for path in stage.data.iter().map(|source| &source.path).chain(held_out).filter_map(|path| path.path_now()) {
        let Some(Start { config, tokenizer }) = start else {
            sft::check_rows(path).map_err(Failure::usage)?;
            continue;
        };
        let counts = stages::read_examples(stage, path, tokenizer, config).map_err(Failure::usage)?.counts;
        if counts.n_dropped + counts.n_cut > 0 {
            eprintln!(
                "warning: stage {}: {}: of {} rows {} are dropped and {} cut, as they are longer than max_tokens",
                stage.name,
                path.display(),
                counts.n_rows,
                counts.n_dropped,
                counts.n_cut
            );
        }
    }
    Ok(())
}

/// The held-out problems of a stage; none if a stage makes them.
fn held_out(stage: &GrpoStage, eval: &Eval) -> Result<Option<Vec<Problem>>, Failure> {
    let Some(path) = eval.problems.path_now() else { return Ok(None) };
    let judges = Judges::for_evaluation(&stage.rewards, &stage.problems).map_err(Failure::usage)?;
    problem_file::read(path, judges.rubric()).map(Some).map_err(Failure::usage)
}

/// Golds that the accuracy reward cannot read and that the run file lets through are counted, not passed over in silence.
fn warn_of_unreadable_golds(stage: &GrpoStage, problems: &[Problem]) {
    if !stage.rewards.0.iter().any(|reward| reward.judge.kind() == "accuracy") {
        return;
    }
    let unreadable: Vec<&Problem> = problems.iter().filter(|problem| cases::unreadable(problem)).collect();
    if let Some(first) = unreadable.first() {
        eprintln!(
            "warning: stage {}: {} of {} gold answers cannot be read as mathematics (the first: problem {}); \
             on_unreadable_gold says what happens to them",
            stage.name,
            unreadable.len(),
            problems.len(),
            first.id
        );
    }
}

/// A held-out problem that is trained on says nothing about what was learned.
fn warn_of_shared_questions(stage: &GrpoStage, problems: &[Problem], held_out: &[Problem]) {
    let asked: HashSet<&str> = problems.iter().map(|problem| problem.question.trim()).collect();
    let shared: Vec<&Problem> = held_out.iter().filter(|problem| asked.contains(problem.question.trim())).collect();
    if let Some(first) = shared.first() {
        eprintln!(
            "warning: stage {}: {} of {} held-out problems are also trained on (the first: {}); take them out of one file",
            stage.name,
            shared.len(),
            held_out.len(),
            first.id
        );
    }
}
