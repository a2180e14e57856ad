//! What a run file means: the one form in which the program, the run folder and the log know a run.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::checks::{Checks, NamedStage};
use super::doctor::Doctor;
use super::pretrain::PretrainStage;
use super::run::{Device, Model, Run};
use super::source::{Init, RESERVED};
use super::stage::Stage;
use super::written::{Written, WrittenTable};

/// Where the network of a stage comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Origin<'a> {
    /// A Hugging Face folder that is there before the run begins.
    Folder(&'a Path),
    /// A stage makes it from nothing.
    Made(&'a PretrainStage),
    /// The stage has no network of its own.
    None,
}

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
        let model = written.model.map(|model| model.resolve(&mut checks.table("model")));
        let doctor = written.doctor.resolve(&mut checks.table("doctor"));
        let name = |table: &WrittenTable| table.stage.name().unwrap_or(table.kind.name()).to_owned();
        let named =
            |table: &WrittenTable| NamedStage { name: name(table), kind: table.kind, mentions: table.mentions.clone() };
        checks.stages = written.stages.iter().map(named).collect();
        let mut stages = Vec::new();
        for (idx, table) in written.stages.into_iter().enumerate() {
            check_name(idx, checks);
            let name = name(&table);
            stages.push(table.stage.resolve(name, &mut checks.table(format!("stage[{idx}]"))));
        }
        let stages: Vec<Stage> = stages.into_iter().collect::<Option<_>>()?;
        check_model(&stages, model.is_some(), checks);
        Some(Self { run, model, doctor, stages })
    }

    /// What the network of a stage is at first, through all the stages between.
    pub fn origin(&self, stage_idx: usize) -> Origin<'_> {
        match &self.stages[stage_idx] {
            Stage::Pretrain(stage) => Origin::Made(stage),
            stage => stage.init().map_or(Origin::None, |init| self.origin_of(init, stage_idx)),
        }
    }

    /// What a network that the stage names is at first, through all the stages between.
    pub fn origin_of<'a>(&'a self, init: &'a Init, stage_idx: usize) -> Origin<'a> {
        match init {
            Init::Base => self.model.as_ref().map_or(Origin::None, |model| Origin::Folder(&model.path)),
            Init::Folder(path) => Origin::Folder(path),
            Init::Stage(name) => {
                let maker = self.stages[..stage_idx].iter().position(|earlier| earlier.name() == name);
                maker.map_or(Origin::None, |maker| self.origin(maker))
            }
        }
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
        same.forget_where_and_when();
        hash(&same.to_toml())
    }

    /// What makes each stage the same stage in two runs: a hash over its settings, those of the run that change results, and
    /// the identities of the stages it needs. In the order of the stages.
    ///
    /// As in [`Self::identity`], the `steps` of a stage at a constant rate are not counted: it may be made longer.
    pub fn stage_identities(&self) -> Vec<String> {
        let mut identities: Vec<String> = Vec::new();
        for (idx, stage) in self.stages.iter().enumerate() {
            let mut alone = self.clone();
            // Random numbers are addressed by the number of the stage.
            let mut text = format!("stage number {idx}\n");
            for name in stage.needs() {
                let made = self.stages[..idx].iter().position(|earlier| earlier.name() == name);
                let made = made.map(|made| (&identities[made], self.stages[made].steps()));
                text += &format!("{name} = {made:?}\n");
            }
            alone.stages = vec![stage.clone()];
            alone.model = alone.model.filter(|_| stage.needs_base());
            alone.forget_where_and_when();
            identities.push(hash(&(text + &alone.to_toml())));
        }
        identities
    }

    /// What makes the answers of the models that a stage asks the same in two runs: as [`Self::stage_identities`], without what
    /// the stage only does with the answers, such as its filters.
    pub fn asked_identity(&self, stage_idx: usize) -> String {
        let mut asked = self.clone();
        asked.stages[stage_idx].forget_choice();
        asked.stage_identities().swap_remove(stage_idx)
    }

    /// What makes the answers of one model to one set of a stage of kind `eval`, and their verdicts, the same in two runs: as
    /// [`Self::stage_identities`], without its other models and sets, and without what is only computed from the answers.
    ///
    /// - `is_forced`: whether thoughts are cut short or kept going
    pub fn exam_identity(&self, stage_idx: usize, model_idx: usize, set_idx: usize, is_forced: bool) -> String {
        let mut alone = self.clone();
        if let Stage::Eval(stage) = &mut alone.stages[stage_idx] {
            stage.leave_only(model_idx, set_idx, is_forced);
        }
        // Random numbers are addressed by the number of the set.
        hash(&format!("set number {set_idx}\n{}", alone.stage_identities()[stage_idx]))
    }

    fn forget_where_and_when(&mut self) {
        let run = self.run.clone();
        self.run = Run { dir: PathBuf::new(), threads: 0, device: Device::Auto, deterministic: false, ..run };
        self.doctor = Doctor::default();
        let n_stages = self.stages.len();
        for (idx, stage) in self.stages.iter_mut().enumerate() {
            stage.forget_where_and_when(idx + 1 == n_stages);
        }
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A stage has a name that can name folders, and that no other has.
fn check_name(idx: usize, checks: &mut Checks<'_>) {
    let name = checks.stages[idx].name.clone();
    let other = checks.stages[..idx].iter().position(|stage| stage.name == name);
    let mut at = checks.table(format!("stage[{idx}]"));
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) {
        let label = "expected letters, digits, _ or -";
        at.fail("name", format!("`{name}` cannot name a stage"), label, "it names folders");
    }
    if RESERVED.contains(&name.as_str()) {
        let help = "`init = \"base\"` is the folder of [model], `init = \"previous\"` the stage before";
        at.fail("name", format!("a stage cannot be called `{name}`"), "expected another name", help);
    }
    if let Some(other) = other {
        let label = format!("stage[{other}] has this name already");
        at.fail("name", format!("two stages are called `{name}`"), label, "give each stage a `name` of its own");
    }
}

/// The model is there if a stage starts from it, and only then.
fn check_model(stages: &[Stage], has_model: bool, checks: &mut Checks<'_>) {
    let user = stages.iter().position(Stage::needs_base);
    match user {
        Some(idx) if !has_model => {
            let help = "add [model] with the `path` of a Hugging Face folder";
            checks.table(format!("stage[{idx}]")).fail(
                "",
                "missing table `model`",
                "this stage starts from a model",
                help,
            );
        }
        None if has_model => {
            let help = "remove [model], or let a stage begin with `init = \"base\"`";
            checks.table("model").fail("", "the model is not used", "no stage starts from it", help);
        }
        _ => {}
    }
}
