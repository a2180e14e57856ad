//! The kinds of stages, and the one place where a kind is told from another.

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::checks::Section;
use super::curate::{CurateStage, WrittenCurate};
use super::data::Checkpoint;
use super::eval_stage::{EvalStage, WrittenEval};
use super::grpo::{GrpoStage, WrittenGrpo};
use super::optimizer::Optimizer;
use super::pretrain::{PretrainStage, WrittenPretrain};
use super::reward_model::{RewardModelStage, WrittenRewardModel};
use super::sample::{SampleStage, WrittenSample};
use super::schema::Schema;
use super::sft::{SftStage, WrittenSft};
use super::source::{Init, InputMut};

/// `stage.kind`: what a stage does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageKind {
    /// `pretrain`: language modelling on plain text, from random weights; makes a base.
    Pretrain,
    /// `sft`: supervised fine-tuning on completions, conversations or texts that are given.
    Sft,
    /// `grpo`: samples groups of completions, judges them, and moves the policy towards the better ones.
    Grpo,
    /// `sample`: samples problems and keeps what is right and readable as data (rejection sampling).
    Sample,
    /// `curate`: brings rows of data down to a few good, hard and different ones.
    Curate,
    /// `reward_model`: learns to score responses, from pairs of a better and a worse one or from labels.
    RewardModel,
    /// `eval`: models side by side on sets of problems.
    Eval,
}

impl StageKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Pretrain, Self::Sft, Self::Grpo, Self::Sample, Self::Curate, Self::RewardModel, Self::Eval];

    /// What a stage of this kind hands on.
    pub fn makes(self) -> Makes {
        match self {
            Self::Pretrain | Self::Sft | Self::Grpo => Makes::Policy,
            Self::Sample | Self::Curate => Makes::Data,
            Self::RewardModel => Makes::RewardModel,
            Self::Eval => Makes::Figures,
        }
    }

    /// As written in a run file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pretrain => "pretrain",
            Self::Sft => "sft",
            Self::Grpo => "grpo",
            Self::Sample => "sample",
            Self::Curate => "curate",
            Self::RewardModel => "reward_model",
            Self::Eval => "eval",
        }
    }

    /// The kind of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Reads a stage of this kind from its table, which no longer holds `kind`.
    pub(crate) fn read(self, table: Spanned<DeValue<'_>>) -> Result<Box<dyn WrittenStage>, toml::de::Error> {
        let table = ValueDeserializer::from(table);
        Ok(match self {
            Self::Pretrain => Box::new(WrittenPretrain::deserialize(table)?),
            Self::Sft => Box::new(WrittenSft::deserialize(table)?),
            Self::Grpo => Box::new(WrittenGrpo::deserialize(table)?),
            Self::Sample => Box::new(WrittenSample::deserialize(table)?),
            Self::Curate => Box::new(WrittenCurate::deserialize(table)?),
            Self::RewardModel => Box::new(WrittenRewardModel::deserialize(table)?),
            Self::Eval => Box::new(WrittenEval::deserialize(table)?),
        })
    }

    /// The keys of a stage of this kind, without `kind`.
    pub(crate) fn schema(self) -> Schema {
        match self {
            Self::Pretrain => Schema::of::<WrittenPretrain>(),
            Self::Sft => Schema::of::<WrittenSft>(),
            Self::Grpo => Schema::of::<WrittenGrpo>(),
            Self::Sample => Schema::of::<WrittenSample>(),
            Self::Curate => Schema::of::<WrittenCurate>(),
            Self::RewardModel => Schema::of::<WrittenRewardModel>(),
            Self::Eval => Schema::of::<WrittenEval>(),
        }
    }
}

/// What a stage hands on to later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Makes {
    /// A model that can be sampled from: its last checkpoint.
    Policy,
    /// A model that scores: its last checkpoint.
    RewardModel,
    /// A file of rows: `stages/NAME/data.jsonl`.
    Data,
    /// Figures, which are for people.
    Figures,
}

impl Makes {
    /// The words for it.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Policy => "a policy",
            Self::RewardModel => "a reward model",
            Self::Data => "data",
            Self::Figures => "figures",
        }
    }
}

/// A stage as written, with everything optional that has a default.
pub(crate) trait WrittenStage {
    /// The name given.
    fn name(&self) -> Option<&str>;

    /// Fills in the defaults, checks every value, and makes input paths absolute.
    ///
    /// None if something that has no default is missing, which is then noted.
    fn resolve(self: Box<Self>, name: String, at: &mut Section<'_, '_>) -> Option<Stage>;
}

/// One stage of a run, resolved.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Stage {
    /// `kind = "pretrain"`
    Pretrain(Box<PretrainStage>),
    /// `kind = "sft"`
    Sft(Box<SftStage>),
    /// `kind = "grpo"`
    Grpo(Box<GrpoStage>),
    /// `kind = "sample"`
    Sample(Box<SampleStage>),
    /// `kind = "curate"`
    Curate(Box<CurateStage>),
    /// `kind = "reward_model"`
    RewardModel(Box<RewardModelStage>),
    /// `kind = "eval"`
    Eval(Box<EvalStage>),
}

/// What every kind of stage has.
pub trait StageSettings {
    /// What it does.
    fn kind(&self) -> StageKind;
    /// Its name, unique in the run.
    fn name(&self) -> &str;
    /// How many steps it has; none if only its data says so.
    fn steps(&self) -> Option<u64>;
    /// The weights it starts from; none if it makes its own, or if it has none.
    fn init(&self) -> Option<&Init>;
    /// How its weights are moved; none if it moves none.
    fn optimizer(&self) -> Option<&Optimizer>;
    /// When its state is saved; none if it saves what it has done as it goes.
    fn checkpoint(&self) -> Option<&Checkpoint>;
    /// Shows everything that the stage reads and another stage may make.
    fn visit_inputs(&mut self, visit: &mut dyn FnMut(InputMut<'_>));
    /// Takes out what does not change results: see [`Resolved::identity`](super::Resolved::identity).
    fn forget_where_and_when(&mut self, is_last: bool);
}

impl Stage {
    /// The stage, if it is of kind `grpo`.
    pub fn as_grpo(&self) -> Option<&GrpoStage> {
        match self {
            Self::Grpo(stage) => Some(stage),
            Self::Pretrain(_)
            | Self::Sft(_)
            | Self::Sample(_)
            | Self::Curate(_)
            | Self::RewardModel(_)
            | Self::Eval(_) => None,
        }
    }

    /// The files in its folder that stay when the stage is run again because its part of the run file has changed: the stage
    /// looks itself at what of them still holds.
    ///
    /// - `rests_on_done`: whether the stages that it needs are as they were
    pub fn keeps(&self, rests_on_done: bool) -> &'static [&'static str] {
        match self {
            // Each answer names its model by content.
            Self::Eval(_) => &["completions"],
            _ if !rests_on_done => &[],
            Self::Sample(_) => &["samples.jsonl", "asked.json"],
            Self::Curate(_) => &["pass_rates.jsonl", "asked.json"],
            Self::Pretrain(_) | Self::Sft(_) | Self::Grpo(_) | Self::RewardModel(_) => &[],
        }
    }

    /// Takes out what is only done with the answers of the models that it asks.
    pub(super) fn forget_choice(&mut self) {
        match self {
            Self::Sample(stage) => stage.forget_choice(),
            Self::Curate(stage) => stage.forget_choice(),
            Self::Pretrain(_) | Self::Sft(_) | Self::Grpo(_) | Self::RewardModel(_) | Self::Eval(_) => {}
        }
    }

    /// The earlier stages that it needs, each once, in the order of its keys.
    pub fn needs(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        self.clone().visit_inputs(&mut |input| {
            if let Some(name) = input.stage().filter(|name| !names.iter().any(|known| known == name)) {
                names.push(name.to_owned());
            }
        });
        names
    }

    /// Whether it starts from, or reads, the folder of `[model]`.
    pub fn needs_base(&self) -> bool {
        let mut found = false;
        self.clone().visit_inputs(&mut |input| found |= matches!(input, InputMut::Init(Init::Base)));
        found
    }
}

impl std::ops::Deref for Stage {
    type Target = dyn StageSettings;

    fn deref(&self) -> &(dyn StageSettings + 'static) {
        match self {
            Self::Pretrain(stage) => &**stage,
            Self::Sft(stage) => &**stage,
            Self::Grpo(stage) => &**stage,
            Self::Sample(stage) => &**stage,
            Self::Curate(stage) => &**stage,
            Self::RewardModel(stage) => &**stage,
            Self::Eval(stage) => &**stage,
        }
    }
}

impl std::ops::DerefMut for Stage {
    fn deref_mut(&mut self) -> &mut (dyn StageSettings + 'static) {
        match self {
            Self::Pretrain(stage) => &mut **stage,
            Self::Sft(stage) => &mut **stage,
            Self::Grpo(stage) => &mut **stage,
            Self::Sample(stage) => &mut **stage,
            Self::Curate(stage) => &mut **stage,
            Self::RewardModel(stage) => &mut **stage,
            Self::Eval(stage) => &mut **stage,
        }
    }
}
