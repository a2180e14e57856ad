//! What a run reads, looked at before any weight: config.json, the tokenizer, the problems and what judges them.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use policy::ModelConfig;
use rewards::Problem;
use rollout::{Template, Tokenizer};

use super::Failure;
use crate::config::{Eval, GrpoStage, Init, Origin, RunFile, Stage};
use crate::data::{Questions, problem_file};
use crate::judges::Judges;
use crate::plan::ModelShape;
use crate::scoring::cases;
use crate::stages;

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
        let origins = (0..file.resolved.stages.len()).map(|stage_idx| file.resolved.origin(stage_idx));
        let folders =
            origins.filter_map(|origin| if let Origin::Folder(folder) = origin { Some(folder) } else { None });
        let asked = file.resolved.stages.iter().filter_map(|stage| match stage {
            Stage::Eval(stage) => Some(&stage.models),
            Stage::Pretrain(_) | Stage::Grpo(_) => None,
        });
        let asked = asked.flatten().filter_map(|model| match model {
            Init::Base => file.resolved.model.as_ref().map(|model| model.path.as_path()),
            Init::Folder(folder) => Some(folder.as_path()),
            Init::Stage(_) => None,
        });
        for folder in folders.chain(asked) {
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
        let example = Template::R1Zero.render("Using the numbers [1, 2, 3], create an equation that equals 6");
        Ok(start.tokenizer.encode(&example).map_err(Failure::usage)?.len() as u64)
    }

    /// The folders, each once.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.models.keys().map(PathBuf::as_path)
    }

    fn of(&self, file: &RunFile, stage_idx: usize) -> Option<&Start> {
        match file.resolved.origin(stage_idx) {
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
    fn check_prompts(&self, stage: &GrpoStage, problems: &[Problem]) -> Result<(), Failure> {
        stages::forced_end(&stage.rollout, &self.tokenizer).map_err(Failure::usage)?;
        let (context, max_tokens) = (self.config.max_position_embeddings, stage.rollout.most_tokens());
        for problem in problems {
            let text = stages::template(stage).render(&problem.question);
            let n_prompt_tokens = self.tokenizer.encode(&text).map_err(Failure::usage)?.len();
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
            Stage::Eval(stage) => stages::check_sets(stage).map_err(Failure::usage)?,
            Stage::Pretrain(stage) => {
                if stage.corpus.is_there() {
                    crate::data::text::Text::open(&stage.corpus, seed).map_err(Failure::usage)?;
                }
            }
        }
    }
    Ok(())
}

fn check_problems(stage: &GrpoStage, seed: u64, stage_idx: usize, start: Option<&Start>) -> Result<(), Failure> {
    let judges = Judges::new(&stage.rewards).map_err(Failure::usage)?;
    let held_out = stage.eval.as_ref().map(|eval| held_out(stage, eval)).transpose()?.flatten().unwrap_or_default();
    if !stage.problems.are_there() {
        return start.map_or(Ok(()), |start| start.check_prompts(stage, &held_out));
    }
    let questions = Questions::open(&stage.problems, judges.rubric(), seed, stage_idx).map_err(Failure::usage)?;
    let mut problems = questions.examples(stage.rollout.prompts_per_step).map_err(Failure::usage)?;
    warn_of_unreadable_golds(stage, &problems);
    warn_of_shared_questions(stage, &problems, &held_out);
    problems.extend(held_out);
    start.map_or(Ok(()), |start| start.check_prompts(stage, &problems))
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
