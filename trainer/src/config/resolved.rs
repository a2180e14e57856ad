//! What a run file means: the one form in which the program, the run folder and the log know a run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::checks::Checks;
use super::doctor::Doctor;
use super::run::{Device, Model, Run};
use super::stage::{Stage, StageKind};
use super::written::Written;

/// A run with every default filled in, every path absolute and every value checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Resolved {
    /// `[run]`
    pub run: Run,
    /// `[model]`: what the first stage starts from; none if it makes a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// `[doctor]`: what is said of a run that ails.
    pub doctor: Doctor,
    /// `[[stage]]`, one after the other; at least one, with unique names.
    #[serde(rename = "stage")]
    pub stages: Vec<Stage>,
}

impl Resolved {
    /// None if something that has no default is missing, which is then noted in `checks`.
    pub(crate) fn resolve(written: Written, stem: &str, checks: &mut Checks<'_>) -> Option<Self> {
        let run = written.run.resolve(stem, &mut checks.table("run"));
        let kinds: Vec<StageKind> = written.stages.iter().map(|(kind, _)| *kind).collect();
        check_order(&kinds, written.model.is_some(), checks);
        let model = written.model.map(|model| model.resolve(&mut checks.table("model")));
        let doctor = written.doctor.resolve(&mut checks.table("doctor"));
        let mut stages = Vec::new();
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        for (idx, (kind, stage)) in written.stages.into_iter().enumerate() {
            let mut at = checks.table(format!("stage[{idx}]"));
            let name = stage.name().unwrap_or(kind.name()).to_owned();
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) {
                at.fail(
                    "name",
                    format!("`{name}` cannot name a stage"),
                    "expected letters, digits, _ or -",
                    "it names folders",
                );
            }
            if let Some(other) = taken.insert(name.clone(), idx) {
                let label = format!("stage[{other}] has this name already");
                at.fail(
                    "name",
                    format!("two stages are called `{name}`"),
                    label,
                    "give each stage a `name` of its own",
                );
            }
            stages.push(stage.resolve(name, &mut at));
        }
        Some(Self { run, model, doctor, stages: stages.into_iter().collect::<Option<_>>()? })
    }

    /// The complete run file: every key, absolute paths. Read again, it gives an equal [`Resolved`].
    ///
    /// # Panics
    /// Never: paths were checked to be UTF-8, and everything else can be written as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("checked settings can be written as TOML")
    }

    /// What makes two runs the same run: SHA-256 in hexadecimal over everything that changes results.
    ///
    /// Not counted: `run.dir`, `run.threads`, `run.device`, `run.deterministic`, `[doctor]`, the checkpoints and the folder that a
    /// base is copied to, for they
    /// say where and when, or change rounding only. Nor the `steps` of the last stage while its learning rate is
    /// constant:
    /// such a run may be made longer and resumed. Under another schedule every step depends on the last one.
    pub fn identity(&self) -> String {
        let mut same = self.clone();
        same.run = Run { dir: PathBuf::new(), threads: 0, device: Device::Auto, deterministic: false, ..same.run };
        same.doctor = Doctor::default();
        let n_stages = same.stages.len();
        for (idx, stage) in same.stages.iter_mut().enumerate() {
            stage.forget_where_and_when(idx + 1 == n_stages);
        }
        Sha256::digest(same.to_toml()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Every stage has weights to start from: the model's, or those of the stage before.
fn check_order(kinds: &[StageKind], has_model: bool, checks: &mut Checks<'_>) {
    let makes_model = kinds.first() == Some(&StageKind::Pretrain);
    for (idx, _) in kinds.iter().enumerate().skip(1).filter(|(_, kind)| **kind == StageKind::Pretrain) {
        let help = "move it to the front, or into a run file of its own";
        checks.table(format!("stage[{idx}]")).fail(
            "kind",
            "a stage of kind `pretrain` starts from random weights",
            "expected to be the first stage",
            help,
        );
    }
    if makes_model && has_model {
        let help = "remove [model], or the stage of kind `pretrain`";
        checks.table("model").fail("", "the model is not used", "the first stage makes a model of its own", help);
    }
    if !makes_model && !has_model {
        let help = "add [model] with the `path` of a Hugging Face folder";
        checks.table("stage[0]").fail("", "missing table `model`", "this stage starts from a model", help);
    }
}
