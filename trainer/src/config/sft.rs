//! A stage of kind `sft`: learns given completions, conversations or texts by maximum likelihood.

use serde::{Deserialize, Serialize};

use super::algorithm::Checkpointing;
use super::checks::Section;
use super::data::Checkpoint;
use super::optimizer::{Optimizer, Schedule};
use super::rollout::Prompt;
use super::source::{Artifact, Init, InputMut};
use super::stage::{Makes, Stage, StageKind, StageSettings, WrittenStage};
pub use crate::sft::OnLong;

/// A stage of kind `sft` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenSft {
    name: Option<String>,
    init: Option<String>,
    epochs: Option<u64>,
    steps: Option<u64>,
    #[serde(default = "default_batch_size")]
    batch_size: u64,
    max_tokens: Option<u64>,
    #[serde(default)]
    on_long: OnLong,
    #[serde(default = "default_tokens_at_once")]
    micro_batch_tokens: u64,
    #[serde(default = "default_tokens_at_once")]
    logits_chunk_tokens: u64,
    #[serde(default)]
    checkpointing: Checkpointing,
    #[serde(default)]
    data: Vec<DataSource>,
    #[serde(default)]
    prompt: Prompt,
    optimizer: Optimizer,
    held_out: Option<HeldOutData>,
    #[serde(default)]
    checkpoint: Checkpoint,
}

/// A stage of kind `sft`. One step is one update on `batch_size` examples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SftStage {
    /// Unique in the run. Default: the kind.
    pub name: String,
    /// The weights it starts from. Default `previous`.
    pub init: Init,
    /// Times that every example is learned. Default 2, unless `steps` is given (DeepSeek-R1 B.4.2: 2 to 3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Updates, instead of `epochs`. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Examples of one update. Default 128 (DeepSeek-R1 B.4.2; distillation, B.4.3: 64).
    pub batch_size: u64,
    /// The longest example, prompt and completion, in tokens. Default none: the context of the model (DeepSeek-R1 B.4.2:
    /// 32,768).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// What becomes of longer ones. Default `drop`.
    pub on_long: OnLong,
    /// Tokens of one forward and backward pass; a longer example has one of its own. Default 4096. Changes memory, speed and
    /// rounding only.
    pub micro_batch_tokens: u64,
    /// Tokens whose logits are held at once. Default 4096. Changes memory, speed and rounding only.
    pub logits_chunk_tokens: u64,
    /// What a forward pass keeps for the backward pass. Default `none`. Changes memory and speed only.
    pub checkpointing: Checkpointing,
    /// What is learned. Required, one or more.
    pub data: Vec<DataSource>,
    /// The text around the question of a row that has no prompt.
    pub prompt: Prompt,
    /// How weights are moved. Required.
    pub optimizer: Optimizer,
    /// What is held out; without the table there is no `eval_loss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOutData>,
    /// When state is saved.
    pub checkpoint: Checkpoint,
}

/// `[[stage.data]]`: a file of rows that are learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// JSON Lines, or plain text where the name ends in `.txt`; absolute; or the stage that makes it. Written relative to the
    /// run file's folder. Required.
    pub path: Artifact,
    /// Times that an epoch goes through it. Default 1.
    #[serde(default = "one")]
    pub repeat: u64,
}

/// `[stage.held_out]`: rows that are not learned, whose loss is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOutData {
    /// As in `[[stage.data]]`. Required.
    pub path: Artifact,
    /// The loss is measured after the last step, and every so many. Default 0: after the last only.
    #[serde(default)]
    pub every_steps: u64,
}

fn default_batch_size() -> u64 {
    128
}

fn default_tokens_at_once() -> u64 {
    4_096
}

fn one() -> u64 {
    1
}

/// Epochs of a stage that says neither how many nor how many steps.
const EPOCHS: u64 = 2;

impl WrittenSft {
    fn check(&self, at: &mut Section<'_, '_>) {
        if let (Some(_), Some(_)) = (self.epochs, self.steps) {
            let help = "keep one of the two";
            at.fail("steps", "the stage has both `epochs` and `steps`", "expected one of them", help);
        }
        at.at_least("epochs", self.epochs.unwrap_or(EPOCHS), 1, "in an epoch every example is learned once");
        at.at_least("steps", self.steps.unwrap_or(1), 1, "one step is one update");
        at.at_least("batch_size", self.batch_size, 1, "an update needs an example");
        at.at_least("max_tokens", self.max_tokens.unwrap_or(2), 2, "the first token is predicted by nothing");
        at.at_least("micro_batch_tokens", self.micro_batch_tokens, 1, "tokens of one forward and backward pass");
        at.at_least("logits_chunk_tokens", self.logits_chunk_tokens, 1, "tokens whose logits are held at once");
        if self.data.is_empty() {
            let help = "add [[stage.data]] with the `path` of a file, or the name of a stage that makes data";
            at.fail("", "the stage has no data", "expected a [[stage.data]]", help);
        }
        self.prompt.check(&mut at.table("prompt"));
        // Where only the data says how many steps there are, a warm-up that is too long is told of when it is read.
        self.optimizer.check(self.steps.unwrap_or(u64::MAX), &mut at.table("optimizer"));
        self.checkpoint.check(&mut at.table("checkpoint"));
    }
}

impl DataSource {
    fn resolve(self, at: &mut Section<'_, '_>) -> Self {
        at.at_least("repeat", self.repeat, 1, "leave the table out to learn nothing from it");
        Self { path: at.artifact("path", &self.path, Makes::Data), ..self }
    }
}

impl WrittenStage for WrittenSft {
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn resolve(self: Box<Self>, name: String, at: &mut Section<'_, '_>) -> Option<Stage> {
        let init = at.init("init", self.init.as_deref());
        self.check(at);
        let sources = self.data.into_iter().enumerate();
        let data = sources.map(|(idx, source)| source.resolve(&mut at.table(&format!("data[{idx}]")))).collect();
        let held_out = self.held_out.map(|held_out| HeldOutData {
            path: at.table("held_out").artifact("path", &held_out.path, Makes::Data),
            ..held_out
        });
        Some(Stage::Sft(Box::new(SftStage {
            name,
            init,
            epochs: self.epochs.or_else(|| self.steps.is_none().then_some(EPOCHS)),
            steps: self.steps,
            batch_size: self.batch_size,
            max_tokens: self.max_tokens,
            on_long: self.on_long,
            micro_batch_tokens: self.micro_batch_tokens,
            logits_chunk_tokens: self.logits_chunk_tokens,
            checkpointing: self.checkpointing,
            data,
            prompt: self.prompt,
            optimizer: self.optimizer,
            held_out,
            checkpoint: self.checkpoint,
        })))
    }
}

impl StageSettings for SftStage {
    fn kind(&self) -> StageKind {
        StageKind::Sft
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
        self.data.iter_mut().for_each(|source| visit(InputMut::Artifact(&mut source.path)));
        if let Some(held_out) = &mut self.held_out {
            visit(InputMut::Artifact(&mut held_out.path));
        }
    }

    fn forget_where_and_when(&mut self, is_last: bool) {
        self.checkpoint = Checkpoint::default();
        // What a user who ran out of memory lowers before going on; it changes rounding, as threads and device do.
        self.micro_batch_tokens = default_tokens_at_once();
        self.logits_chunk_tokens = default_tokens_at_once();
        self.checkpointing = Checkpointing::default();
        if is_last && self.optimizer.schedule == Schedule::Constant {
            self.steps = self.steps.map(|_| 0);
        }
    }
}
