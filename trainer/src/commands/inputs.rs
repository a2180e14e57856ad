//! What a run reads, looked at before any weight: config.json, the tokenizer, the problems and what judges them.

use std::collections::HashSet;

use policy::ModelConfig;
use rewards::Problem;
use rollout::{Template, Tokenizer};

use super::Failure;
use crate::config::{GrpoStage, RunFile, Stage};
use crate::data::{Questions, problem_file};
use crate::judges::Judges;
use crate::scoring::cases;
use crate::stages;

/// What the first stage starts from, as far as it can be known without reading a weight.
pub(super) struct Start {
    pub(super) config: ModelConfig,
    tokenizer: Tokenizer,
}

impl Start {
    /// None if a stage makes the model.
    pub(super) fn read(file: &RunFile) -> Result<Option<Self>, Failure> {
        let Some(model) = &file.resolved.model else { return Ok(None) };
        let config = ModelConfig::load(&model.path).map_err(Failure::usage)?;
        let tokenizer = Tokenizer::load(&model.path, config.vocab_size).map_err(Failure::usage)?;
        Ok(Some(Self { config, tokenizer }))
    }

    /// The length of a prompt, for the estimate of memory.
    pub(super) fn example_tokens(&self) -> Result<u64, Failure> {
        let example = Template::R1Zero.render("Using the numbers [1, 2, 3], create an equation that equals 6");
        Ok(self.tokenizer.encode(&example).map_err(Failure::usage)?.len() as u64)
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

/// Opens every file of problems once, so that a bad row is found before any weight is read.
pub(super) fn check_data(file: &RunFile, start: Option<&Start>) -> Result<(), Failure> {
    for (stage_idx, stage) in file.resolved.stages.iter().enumerate() {
        let seed = file.resolved.run.seed;
        match stage {
            Stage::Grpo(stage) => check_problems(stage, seed, stage_idx, start)?,
            Stage::Pretrain(stage) => {
                crate::data::text::Text::open(&stage.corpus, seed).map_err(Failure::usage)?;
            }
        }
    }
    Ok(())
}

fn check_problems(stage: &GrpoStage, seed: u64, stage_idx: usize, start: Option<&Start>) -> Result<(), Failure> {
    let judges = Judges::new(&stage.rewards).map_err(Failure::usage)?;
    let questions = Questions::open(&stage.problems, judges.rubric(), seed, stage_idx).map_err(Failure::usage)?;
    let mut problems = match &questions {
        Questions::File { problems, .. } => problems.clone(),
        Questions::Countdown { .. } => {
            questions.questions(0, stage.rollout.prompts_per_step).map_err(Failure::usage)?
        }
    };
    warn_of_unreadable_golds(stage, &problems);
    if let Some(eval) = &stage.eval {
        let judges = Judges::for_evaluation(&stage.rewards, &stage.problems).map_err(Failure::usage)?;
        let held_out = problem_file::read(&eval.problems, judges.rubric()).map_err(Failure::usage)?;
        warn_of_shared_questions(stage, &problems, &held_out);
        problems.extend(held_out);
    }
    start.map_or(Ok(()), |start| start.check_prompts(stage, &problems))
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
