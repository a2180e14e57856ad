//! Which stages of a run are done, and where what they have made is.

use std::path::PathBuf;

use super::{RunContext, StageError};
use crate::config::{Artifact, Init, InputMut, Makes, Resolved, Stage};
use crate::run::checkpoint::{latest_valid, step_name};
use crate::run::{RunDirectory, StageMark};

/// Which of the stages are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageChoice {
    /// This stage and all after it are run again, done or not.
    pub from: Option<String>,
    /// No stage but this one is run.
    pub only: Option<String>,
}

/// What is known of the stages of a run.
#[derive(Debug)]
pub struct Ledger {
    /// By stage: what makes it the same stage in two runs.
    identities: Vec<String>,
    /// By stage: its mark, if it is done and nothing that it needs is done anew.
    done: Vec<Option<StageMark>>,
}

impl Ledger {
    /// Looks at the marks in a run folder, and whether what they promise is there.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn read(settings: &Resolved, directory: &RunDirectory, choice: &StageChoice) -> Result<Self, StageError> {
        let identities = settings.stage_identities();
        let begin = choice.from.as_ref().and_then(|from| settings.stages.iter().position(|s| s.name() == from));
        let mut done: Vec<Option<StageMark>> = Vec::new();
        for (idx, stage) in settings.stages.iter().enumerate() {
            let needs = stage.needs();
            let needed = settings.stages[..idx].iter().zip(&done).filter(|(s, _)| needs.iter().any(|n| n == s.name()));
            let may_stay = begin.is_none_or(|begin| idx < begin) && needed.into_iter().all(|(_, done)| done.is_some());
            let mark = if may_stay { StageMark::read(directory.path(), stage.name())? } else { None };
            let is_whole = |mark: &StageMark| {
                mark.finished && mark.identity == identities[idx] && stage.steps().is_none_or(|n| n == mark.steps)
            };
            let mark = match mark.filter(is_whole) {
                Some(mark) if makes_are_there(directory, stage, &mark)? => Some(mark),
                _ => None,
            };
            done.push(mark);
        }
        Ok(Self { identities, done })
    }

    /// The mark of a stage that is done.
    pub fn done(&self, stage_idx: usize) -> Option<&StageMark> {
        self.done[stage_idx].as_ref()
    }

    /// Whether every stage is done.
    pub fn all_done(&self) -> bool {
        self.done.iter().all(Option::is_some)
    }

    /// What makes a stage the same stage in two runs.
    pub fn identity(&self, stage_idx: usize) -> &str {
        &self.identities[stage_idx]
    }

    /// The names of all stages that are done.
    pub fn names_of_done(&self) -> Vec<String> {
        self.done.iter().flatten().map(|mark| mark.stage.clone()).collect()
    }

    /// Notes that a stage is done, or that it is not any more.
    pub fn set(&mut self, stage_idx: usize, mark: Option<StageMark>) {
        self.done[stage_idx] = mark;
    }

    /// A stage in which every input is a path.
    ///
    /// # Errors
    /// If one of them is made by a stage that is not done.
    pub fn locate(&self, context: &RunContext, stage_idx: usize) -> Result<Stage, StageError> {
        let mut stage = context.settings.stages[stage_idx].clone();
        let missing = stage.needs().into_iter().find(|name| self.location(context, name).is_none());
        if let Some(needed) = missing {
            return Err(StageError::NotMade { stage: stage.name().to_owned(), needed });
        }
        let at = |name: &str| self.location(context, name).expect("looked for above");
        stage.visit_inputs(&mut |input| match input {
            InputMut::Init(init) => {
                if let Init::Stage(name) = init {
                    *init = Init::Folder(at(name));
                } else if let (Init::Base, Some(model)) = (&init, &context.settings.model) {
                    *init = Init::Folder(model.path.clone());
                }
            }
            InputMut::Artifact(artifact) => {
                if let Artifact::Stage(name) = artifact {
                    *artifact = Artifact::Path(at(name));
                }
            }
        });
        Ok(stage)
    }

    /// Where what a done stage makes is.
    fn location(&self, context: &RunContext, name: &str) -> Option<PathBuf> {
        let stage_idx = context.settings.stages.iter().position(|stage| stage.name() == name)?;
        let (stage, mark) = (&context.settings.stages[stage_idx], self.done(stage_idx)?);
        Some(product(context.directory, stage, mark))
    }

    /// What a done stage has made.
    ///
    /// # Panics
    /// If it is not done.
    pub fn made_by(&self, context: &RunContext, stage_idx: usize) -> PathBuf {
        let mark = self.done(stage_idx).expect("the stage is done");
        product(context.directory, &context.settings.stages[stage_idx], mark)
    }

    /// The folder of the policy that the run has come to, if it makes one.
    pub fn last_policy(&self, context: &RunContext) -> Option<PathBuf> {
        let stages = context.settings.stages.iter();
        let maker = stages.rev().find(|stage| stage.kind().makes() == Makes::Policy)?;
        self.location(context, maker.name())
    }
}

/// What a stage makes: its last checkpoint, or a file of rows.
fn product(directory: &RunDirectory, stage: &Stage, mark: &StageMark) -> PathBuf {
    match stage.kind().makes() {
        Makes::Policy | Makes::RewardModel => directory.checkpoints(stage.name()).join(step_name(mark.steps)),
        Makes::Data | Makes::Figures => directory.data(stage.name()),
    }
}

fn makes_are_there(directory: &RunDirectory, stage: &Stage, mark: &StageMark) -> Result<bool, StageError> {
    Ok(match stage.kind().makes() {
        Makes::Policy | Makes::RewardModel => {
            let found = latest_valid(&directory.checkpoints(stage.name()))?;
            found.checkpoint.is_some_and(|checkpoint| checkpoint.step == mark.steps)
        }
        Makes::Data => product(directory, stage, mark).is_file(),
        Makes::Figures => directory.stage(stage.name()).join("results.json").is_file(),
    })
}
