//! The run file: one TOML file is one run, a list of stages.
//!
//! Read in two types, low to high: what was written (`Written`: options, relative paths) and what it means
//! ([`Resolved`]: every default filled in, every path absolute, every name unique, every value checked). A fault is
//! shown
//! where it stands, whether in the file or in a `--set` argument; all faults of a kind are shown at once.
//!
//! To add a kind of stage: a module like `grpo` (its type as written, its type as resolved, [`StageSettings`]), an
//! arm in each
//! `match` of `stage`, and its keys in configs/reference.toml, which a test holds against the types.

mod ablation;
mod algorithm;
mod algorithm_checks;
mod architecture;
mod arm;
mod budget;
mod by_step;
mod checks;
mod covariance;
mod curate;
mod data;
mod doctor;
mod document;
mod dynamic_sampling;
mod error;
mod eval_stage;
mod forced_end;
mod grpo;
mod key_path;
mod messages;
mod mirror;
mod optimizer;
mod overrides;
mod pretrain;
mod problem_choice;
mod resolved;
mod reward_arguments;
mod reward_checks;
mod reward_model;
mod reward_places;
mod rewards;
mod rollout;
mod run;
mod sample;
mod sampling;
mod schema;
mod selecting;
mod sft;
mod source;
mod stage;
mod teacher;
mod warnings;
mod written;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use ablation::{AblationFile, Arm, EVAL_METRICS};
pub use algorithm::{
    AdvantageScale, Aggregation, Algorithm, Checkpointing, KlPlace, OldLogprobs, RewardCombination, Supervision,
    SurrogateKind,
};
pub use architecture::{Architecture, Tokenizer};
pub use budget::Budget;
#[cfg(test)]
pub(crate) use covariance::deserialize as covariance;
pub use curate::{CurateStage, Difficulty};
pub use data::{Checkpoint, CountdownProblems, Eval, JsonlProblems, Problems, Source};
pub use doctor::{Doctor, OnDead};
pub use dynamic_sampling::{DynamicSampling, Keep};
pub use error::ConfigError;
pub use eval_stage::{EvalSet, EvalStage};
pub use forced_end::ForcedEnd;
pub use grpo::GrpoStage;
pub use optimizer::{Optimizer, Schedule};
pub use pretrain::{Corpus, CountdownCorpus, PretrainStage, TextCorpus};
pub use problem_choice::{Choice, Curriculum};
pub use resolved::{Origin, Resolved};
pub use reward_arguments::rewards_from_arguments;
pub use reward_model::{HeldOutRows, Over, RewardModelOptions, RewardModelStage, RewardObjective, Squash};
pub use rewards::{CountdownOptions, ExpressionOptions, Judge, NoOptions, Reward, Rewards};
pub use rollout::{Prompt, Rollout, Template};
pub use run::{Device, Dtype, Model, Run};
pub use sample::SampleStage;
pub use sampling::Sampling;
pub use selecting::{Decontamination, LayoutName, LayoutSettings, Mix, WrittenAs};
pub use sft::{DataSource, HeldOutData, OnLong, SftStage};
pub use source::{Artifact, Init, InputMut};
pub use stage::{Makes, Stage, StageKind, StageSettings};
pub use teacher::{Preferences, Rewrite};

use checks::{Checks, Place};
use document::Document;
use error::Finding;
use overrides::Override;
use written::Written;

/// A run file that has been read, resolved and checked.
#[derive(Clone, Debug)]
pub struct RunFile {
    /// The file it was read from.
    pub path: PathBuf,
    /// What it means.
    pub resolved: Resolved,
    document: Document,
}

impl RunFile {
    /// Reads the run file at `path` and applies `overrides`, the arguments of `--set`, in their order.
    ///
    /// Input files and folders are looked for and not read; nothing is written.
    ///
    /// # Errors
    /// If the file cannot be read, is not TOML, has unknown keys or values that mean nothing, or an input is missing.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let text = text_of(path, "give the path of a run file with --config")?;
        let place = place_of(path)?;
        Self::parse(path, &text, overrides, &place)
    }

    /// Reads a run file from its text; `path` names it in messages.
    pub(crate) fn parse(path: &Path, text: &str, overrides: &[String], place: &Place) -> Result<Self, ConfigError> {
        let mut document = Document::new(&path.display().to_string(), text, overrides);
        let written = read(&mut document, text, overrides).map_err(|findings| document.error(findings))?;
        Self::resolve(path, document, written, place)
    }

    /// What `written` means, which stands in `document`.
    fn resolve(path: &Path, document: Document, written: Written, place: &Place) -> Result<Self, ConfigError> {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("run");
        let mut checks = Checks::new(&document, place);
        let resolved = Resolved::resolve(written, stem, &mut checks);
        let findings = checks.into_findings();
        match resolved {
            Some(resolved) if findings.is_empty() => Ok(Self { path: path.to_owned(), resolved, document }),
            _ => Err(document.error(findings)),
        }
    }

    /// The error that the value at `key` cannot be used, for what shows only later, such as a limit of the model.
    ///
    /// `key` is a path like `run.device` or `stage[0].rollout.max_tokens`; the message points at its line.
    pub fn refuse(&self, key: &str, title: &str, expected: &str, help: &str) -> ConfigError {
        let span = self.document.locate(key);
        let finding =
            Finding { title: title.to_owned(), span, label: expected.to_owned(), help: vec![help.to_owned()] };
        self.document.error(vec![finding])
    }
}

fn unreadable(path: &Path, error: impl std::fmt::Display, help: &str) -> ConfigError {
    let title = format!("cannot read the run file {}: {error}", path.display());
    ConfigError::new(Vec::new(), vec![Finding::without_place(title, help)])
}

/// The text of a run file; `help` is for one that is not there.
fn text_of(path: &Path, help: &str) -> Result<String, ConfigError> {
    let text = std::fs::read(path).map_err(|error| unreadable(path, error, help))?;
    String::from_utf8(text).map_err(|error| unreadable(path, error, "a run file is UTF-8 text"))
}

/// What the paths in the run file at `path` are relative to.
fn place_of(path: &Path) -> Result<Place, ConfigError> {
    // The folder is resolved on disk, because `..` after a linked folder leads elsewhere than it looks.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().map_err(|error| unreadable(path, error, "its folder cannot be found"))?;
    let current =
        std::env::current_dir().map_err(|error| unreadable(path, error, "the current folder cannot be found"))?;
    Ok(Place { folder, current, inputs_must_exist: true })
}

/// The tables as written, with the overrides in place; notes in `document` where every key stands.
fn read(document: &mut Document, text: &str, overrides: &[String]) -> Result<Written, Vec<Finding>> {
    let mut root = tables(text).map_err(|finding| vec![finding])?;
    let mut findings = Vec::new();
    let parsed: Vec<Override<'_>> = (overrides.iter().enumerate())
        .filter_map(|(idx, argument)| {
            Override::parse(argument, document.override_start(idx)).map_err(|finding| findings.push(finding)).ok()
        })
        .collect();
    let padded: Vec<String> = parsed.iter().map(Override::padded).collect();
    for (one, padded) in parsed.iter().zip(&padded) {
        if let Err(finding) = one.value(padded).and_then(|value| one.apply(&mut root, value)) {
            findings.push(finding);
        }
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    document.index(&root);
    Written::read(root, document)
}

/// The tables of a text, or where it is not TOML.
fn tables(text: &str) -> Result<DeTable<'_>, Finding> {
    let root = DeTable::parse(text).map_err(|error| {
        let end = text.trim_end().len();
        // Where the text ends too early there is nothing to point at: the last letter is the nearest thing.
        let span = error.span().filter(|span| span.start < end).unwrap_or(end.saturating_sub(1)..end);
        messages::explain(&error, span, None, "", &schema::Schema::Value)
    })?;
    Ok(root.into_inner())
}
