//! Which stages of a run are done, and where what they have made is.

use std::path::PathBuf;

use super::{RunContext, StageError, eval};
use crate::config::{Artifact, Init, InputMut, Makes, Resolved, Stage};
use crate::run::checkpoint::{latest_valid, step_name};
use crate::run::{RunDirectory, StageMark, atomic};

/// Which of the stages are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageChoice {
    /// This stage and all after it are run again, done or not.
    pub from: Option<String>,
    /// No stage but this one is run.
    pub only: Option<String>,
}

/// Why something of a stage has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Whether its part of the run file, or what it was made from, is not what it was; else it was asked for.
    pub has_changed: bool,
    /// Whether the user asked for it to be made again, all of it.
    pub is_asked_for: bool,
    /// Whether everything that it needs is done and as it was: then parts of it may still be of use.
    pub rests_on_done: bool,
}

/// How far a stage of a run has come.
#[derive(Debug)]
enum Standing {
    /// Everything it makes is there, and so is everything it was made from.
    Done(StageMark),
    /// It was begun and can go on.
    Begun,
    /// What is there of it was made from something else, or is to be made again: it has to go.
    Stale(Stale),
    /// Nothing is there.
    Missing,
}

/// What is known of the stages of a run.
#[derive(Debug)]
pub struct Ledger {
    /// By stage: what makes it the same stage in two runs.
    identities: Vec<String>,
    standings: Vec<Standing>,
}

impl Ledger {
    /// Looks at the marks in a run folder, and whether what they promise is there.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn read(settings: &Resolved, directory: &RunDirectory, choice: &StageChoice) -> Result<Self, StageError> {
        let identities = settings.stage_identities();
        let begin = choice.from.as_ref().and_then(|from| settings.stages.iter().position(|s| s.name() == from));
        let mut standings: Vec<Standing> = Vec::new();
        for (idx, stage) in settings.stages.iter().enumerate() {
            let is_asked_for = begin.is_some_and(|begin| idx >= begin);
            let Some(mark) = StageMark::read(directory.path(), stage.name())? else {
                // A run that was cut short may have left answers without a mark.
                let is_empty = atomic::entries(&directory.stage(stage.name()))?.is_empty();
                let all = Stale { has_changed: false, is_asked_for: true, rests_on_done: false };
                standings.push(if is_asked_for && !is_empty { Standing::Stale(all) } else { Standing::Missing });
                continue;
            };
            let needs = stage.needs();
            let mut needed = settings.stages[..idx].iter().zip(&standings);
            let rests_on_done = needed.all(|(earlier, standing)| {
                matches!(standing, Standing::Done(_)) || !needs.iter().any(|need| need == earlier.name())
            });
            let has_changed = mark.identity != identities[idx] || !rests_on_done;
            standings.push(match standing_alone(directory, stage, mark)? {
                _ if has_changed || is_asked_for => Standing::Stale(Stale { has_changed, is_asked_for, rests_on_done }),
                standing => standing,
            });
        }
        Ok(Self { identities, standings })
    }

    /// The mark of a stage that is done.
    pub fn done(&self, stage_idx: usize) -> Option<&StageMark> {
        match &self.standings[stage_idx] {
            Standing::Done(mark) => Some(mark),
            Standing::Begun | Standing::Stale(_) | Standing::Missing => None,
        }
    }

    /// Whether every stage is done.
    pub fn all_done(&self) -> bool {
        self.standings.iter().all(|standing| matches!(standing, Standing::Done(_)))
    }

    /// Why something of a stage has to go, if it has.
    pub fn stale(&self, stage_idx: usize) -> Option<Stale> {
        match self.standings[stage_idx] {
            Standing::Stale(stale) => Some(stale),
            Standing::Done(_) | Standing::Begun | Standing::Missing => None,
        }
    }

    /// Whether a stage is done or can go on: what it has logged is kept.
    pub fn is_kept(&self, stage_idx: usize) -> bool {
        matches!(self.standings[stage_idx], Standing::Done(_) | Standing::Begun)
    }

    /// Notes that nothing is left of a stage.
    pub fn note_removed(&mut self, stage_idx: usize) {
        self.standings[stage_idx] = Standing::Missing;
    }

    /// Notes that a stage is done.
    pub fn note_done(&mut self, stage_idx: usize, mark: StageMark) {
        self.standings[stage_idx] = Standing::Done(mark);
    }

    /// What makes a stage the same stage in two runs.
    pub fn identity(&self, stage_idx: usize) -> &str {
        &self.identities[stage_idx]
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

/// How far a stage has come by its own mark and files, whatever it was made from.
fn standing_alone(directory: &RunDirectory, stage: &Stage, mark: StageMark) -> Result<Standing, StageError> {
    let is_there = match stage.kind().makes() {
        Makes::Policy | Makes::RewardModel => {
            let newest = latest_valid(&directory.checkpoints(stage.name()))?.checkpoint.map(|found| found.step);
            // At a constant rate a stage may be made longer, not shorter.
            if newest.zip(stage.steps()).is_some_and(|(newest, steps)| newest > steps) {
                return Ok(Standing::Stale(Stale { has_changed: true, is_asked_for: false, rests_on_done: false }));
            }
            newest == Some(mark.steps)
        }
        Makes::Data => product(directory, stage, &mark).is_file(),
        Makes::Figures => directory.stage(stage.name()).join(eval::RESULTS).is_file(),
    };
    let is_long_enough = stage.steps().is_none_or(|steps| steps == mark.steps);
    Ok(if mark.finished && is_there && is_long_enough { Standing::Done(mark) } else { Standing::Begun })
}
