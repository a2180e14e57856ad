//! A stage of kind `reward_model`, and what a reward of kind `reward_model` may say.

use serde::{Deserialize, Serialize};

use super::algorithm::Checkpointing;
use super::checks::Section;
use super::data::Checkpoint;
use super::optimizer::{Optimizer, Schedule};
use super::rollout::{Prompt, Template};
use super::source::{Artifact, Init, InputMut};
use super::stage::{Makes, Stage, StageKind, StageSettings, WrittenStage};

/// `stage.objective`: what a reward model learns from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardObjective {
    /// `pairwise`: of two responses one is better (Bradley and Terry's likelihood; DeepSeek-R1's helpful model).
    #[default]
    Pairwise,
    /// `pointwise`: a response is good or not (binary cross-entropy; DeepSeek-R1's safety model).
    Pointwise,
}

/// `stage.over`: what of a response is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// `response`: all of it (DeepSeek-R1's safety model).
    #[default]
    Response,
    /// `summary`: the inside of the last `<answer>`, or else what follows `</think>` (DeepSeek-R1's helpful model).
    Summary,
}

/// A stage of kind `reward_model` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenRewardModel {
    name: Option<String>,
    init: Option<String>,
    #[serde(default)]
    objective: RewardObjective,
    data: Artifact,
    #[serde(default)]
    over: Over,
    #[serde(default = "default_epochs")]
    epochs: u64,
    steps: Option<u64>,
    #[serde(default = "default_batch_size")]
    batch_size: u64,
    #[serde(default = "default_max_tokens")]
    max_tokens: u64,
    #[serde(default = "default_micro_batch_tokens")]
    micro_batch_tokens: u64,
    #[serde(default)]
    checkpointing: Checkpointing,
    #[serde(default)]
    prompt: Prompt,
    optimizer: Optimizer,
    held_out: Option<HeldOutRows>,
    #[serde(default)]
    checkpoint: Checkpoint,
}

/// A stage of kind `reward_model`. One step is one update on `batch_size` rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RewardModelStage {
    /// Unique in the run. Default: the kind.
    pub name: String,
    /// The policy whose decoder it starts from, with a fresh head; a folder may also be that of a reward model. Default
    /// `previous`.
    pub init: Init,
    /// Default `pairwise`.
    pub objective: RewardObjective,
    /// A JSONL file of pairs `{"prompt" or "question", "chosen", "rejected"}`, or of rows `{"prompt" or "question", "completion",
    /// "label"}`, absolute; or the stage that makes it. Required.
    pub data: Artifact,
    /// Default `response`.
    pub over: Over,
    /// How often each row is seen, where `steps` does not say it. Default 1 (DeepSeek-R1 B.2).
    pub epochs: u64,
    /// Updates, instead of `epochs`. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Pairs or rows of an update. Default 256 (DeepSeek-R1 B.2).
    pub batch_size: u64,
    /// Prompt and response together, in tokens: longer rows are left out, and counted. Default 1024 (TRL); DeepSeek-R1 B.2: 8192.
    pub max_tokens: u64,
    /// Tokens of one forward and backward pass; one pair at least. Default 4096. Changes memory, speed and rounding only.
    pub micro_batch_tokens: u64,
    /// What a forward pass keeps for the backward pass. Default `none`. Changes memory and speed only.
    pub checkpointing: Checkpointing,
    /// The text around a `question`; a `prompt` is taken as it is.
    pub prompt: Prompt,
    /// How weights are moved. Required.
    pub optimizer: Optimizer,
    /// Rows that are scored and not learned from; without the table none are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOutRows>,
    /// When state is saved.
    pub checkpoint: Checkpoint,
}

/// `[stage.held_out]`: rows of the same kind, scored before and after the stage, and now and then in between.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOutRows {
    /// A JSONL file, absolute; or the stage that makes it. Written relative to the run file's folder. Required.
    pub data: Artifact,
    /// Steps between evaluations; 0 (the default) means only before and after the stage.
    #[serde(default)]
    pub every_steps: u64,
}

/// `[stage.rewards.NAME]` of kind `reward_model`: the score of a reward model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardModelOptions {
    /// The stage of kind `reward_model` that makes it, or the folder of a `*ForSequenceClassification` model with one label.
    /// Written relative to the run file's folder. Required.
    pub model: Artifact,
    /// What of a completion is read. Default: as the stage that trained it read responses; of another folder `response`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Over>,
    /// The text around a question. Default: that of the stage that trained it; of another folder `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// Taken off a score. Default 0.
    #[serde(default)]
    pub mean: f32,
    /// What is left is divided by this, above 0. Default 1.
    #[serde(default = "one")]
    pub scale: f32,
    /// What is made of the result. Default `none`.
    #[serde(default)]
    pub squash: Squash,
    /// Score where `over` is `summary` and a completion has none. Default 0.
    #[serde(default)]
    pub no_summary: f32,
    /// Tokens of one forward pass; one completion at least. Default 16384. Changes memory and speed only.
    #[serde(default = "default_max_batch_tokens")]
    pub max_batch_tokens: u64,
}

/// `squash` of a reward of kind `reward_model`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Squash {
    /// `none`: the score as it is.
    #[default]
    None,
    /// `sigmoid`: into (0, 1); of a pointwise model the probability of the label.
    Sigmoid,
}

fn default_epochs() -> u64 {
    1
}

fn default_batch_size() -> u64 {
    256
}

fn default_max_tokens() -> u64 {
    1_024
}

fn default_micro_batch_tokens() -> u64 {
    4_096
}

fn default_max_batch_tokens() -> u64 {
    16_384
}

fn one() -> f32 {
    1.0
}

impl RewardModelOptions {
    /// Without what changes memory and speed only.
    pub(crate) fn forget_speed(&mut self) {
        self.max_batch_tokens = default_max_batch_tokens();
    }

    pub(crate) fn resolve(&mut self, at: &mut Section<'_, '_>) {
        self.model = at.artifact("model", &self.model, Makes::RewardModel);
        at.holds("mean", self.mean, self.mean.is_finite(), "expected a finite number", "scores are float32");
        at.positive("scale", self.scale.into(), "the score is divided by it");
        let fine = self.no_summary.is_finite();
        at.holds("no_summary", self.no_summary, fine, "expected a finite number", "scores are float32");
        at.at_least("max_batch_tokens", self.max_batch_tokens, 1, "tokens of one forward pass");
    }
}

impl WrittenStage for WrittenRewardModel {
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn resolve(self: Box<Self>, name: String, at: &mut Section<'_, '_>) -> Option<Stage> {
        let init = at.init("init", self.init.as_deref());
        let data = at.artifact("data", &self.data, Makes::Data);
        at.at_least("epochs", self.epochs, 1, "every row is to be seen");
        at.at_least("steps", self.steps.unwrap_or(1), 1, "one step is one update");
        if self.steps.is_some() && at.has("epochs") {
            at.fail(
                "epochs",
                "`steps` and `epochs` are both given",
                "expected one of them",
                "keep one of the two keys",
            );
        }
        at.at_least("batch_size", self.batch_size, 1, "pairs or rows of one update");
        at.at_least("max_tokens", self.max_tokens, 2, "prompt and response together");
        at.at_least("micro_batch_tokens", self.micro_batch_tokens, 1, "tokens of one forward and backward pass");
        self.prompt.check(&mut at.table("prompt"));
        self.optimizer.check(self.steps.unwrap_or(u64::MAX), &mut at.table("optimizer"));
        self.checkpoint.check(&mut at.table("checkpoint"));
        let held_out = self.held_out.map(|rows| {
            let data = at.table("held_out").artifact("data", &rows.data, Makes::Data);
            HeldOutRows { data, ..rows }
        });
        Some(Stage::RewardModel(Box::new(RewardModelStage {
            name,
            init,
            objective: self.objective,
            data,
            over: self.over,
            epochs: self.epochs,
            steps: self.steps,
            batch_size: self.batch_size,
            max_tokens: self.max_tokens,
            micro_batch_tokens: self.micro_batch_tokens,
            checkpointing: self.checkpointing,
            prompt: self.prompt,
            optimizer: self.optimizer,
            held_out,
            checkpoint: self.checkpoint,
        })))
    }
}

impl StageSettings for RewardModelStage {
    fn kind(&self) -> StageKind {
        StageKind::RewardModel
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn steps(&self) -> Option<u64> {
        self.steps
    }

    fn init(&self) -> Option<&Init> {
        Some(&self.init)
    }

    fn optimizer(&self) -> Option<&Optimizer> {
        Some(&self.optimizer)
    }

    fn checkpoint(&self) -> Option<&Checkpoint> {
        Some(&self.checkpoint)
    }

    fn visit_inputs(&mut self, visit: &mut dyn FnMut(InputMut<'_>)) {
        visit(InputMut::Init(&mut self.init));
        visit(InputMut::Artifact(&mut self.data));
        if let Some(held_out) = &mut self.held_out {
            visit(InputMut::Artifact(&mut held_out.data));
        }
    }

    fn forget_where_and_when(&mut self, is_last: bool) {
        self.checkpoint = Checkpoint::default();
        self.micro_batch_tokens = default_micro_batch_tokens();
        self.checkpointing = Checkpointing::default();
        if is_last && self.optimizer.schedule == Schedule::Constant {
            self.steps = self.steps.map(|_| 0);
        }
    }
}
