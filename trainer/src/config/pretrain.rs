//! A stage of kind `pretrain`: makes a base model from text, tokenizer and all.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::architecture::{Architecture, Tokenizer};
use super::checks::Section;
use super::data::{Checkpoint, CountdownProblems};
use super::optimizer::{Optimizer, Schedule};
use super::source::{Artifact, Init, InputMut};
use super::stage::{Makes, Stage, StageKind, StageSettings, WrittenStage};
use crate::data::countdown::corpus::CorpusWeights;
use crate::data::countdown::styles::StyleWeights;
use crate::data::instructions::InstructionWeights;
use crate::data::language::MannerWeights;

/// A stage of kind `pretrain` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenPretrain {
    name: Option<String>,
    steps: u64,
    seq_len: u64,
    batch_tokens: u64,
    #[serde(default = "default_micro_batch_tokens")]
    micro_batch_tokens: u64,
    #[serde(default = "default_logits_chunk_tokens")]
    logits_chunk_tokens: u64,
    output: Option<PathBuf>,
    #[serde(default)]
    corpus: WrittenCorpus,
    tokenizer: Tokenizer,
    architecture: Architecture,
    optimizer: Optimizer,
    #[serde(default)]
    checkpoint: Checkpoint,
}

/// A stage of kind `pretrain`. One step is one update on `batch_tokens` tokens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PretrainStage {
    /// Unique in the run. Default: the kind.
    pub name: String,
    /// Updates. Required, 1 or more.
    pub steps: u64,
    /// Tokens of one row of text. Required; `max_position_embeddings` at most.
    pub seq_len: u64,
    /// Tokens of one update. Required; a multiple of `seq_len`.
    pub batch_tokens: u64,
    /// Tokens of one forward and backward pass. Default 4096. Changes memory, speed and rounding only.
    pub micro_batch_tokens: u64,
    /// Tokens whose logits are held at once. Default 4096. Changes memory, speed and rounding only.
    pub logits_chunk_tokens: u64,
    /// A folder for a copy of the finished model, absolute. Written relative to the run file's folder. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<PathBuf>,
    /// The text. Required.
    pub corpus: Corpus,
    /// The tokenizer that is trained on it. Required.
    pub tokenizer: Tokenizer,
    /// The network. Required.
    pub architecture: Architecture,
    /// How weights are moved. Required.
    pub optimizer: Optimizer,
    /// When state is saved.
    pub checkpoint: Checkpoint,
}

/// `[stage.corpus]` as written: one of the tables has to be there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenCorpus {
    countdown: Option<CountdownCorpus>,
    text: Option<TextCorpus>,
}

/// `[stage.corpus]`: the text that is learned.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Corpus {
    /// `[stage.corpus.countdown]`: transcripts of attempts at Countdown problems, made without end.
    Countdown(Box<CountdownCorpus>),
    /// `[stage.corpus.text]`: read from a file.
    Text(TextCorpus),
}

/// `[stage.corpus.countdown]`: attempts at Countdown problems in every style, good and bad.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CountdownCorpus {
    /// The problems attempted; transcripts are written for three numbers.
    pub problems: CountdownProblems,
    /// How often each style and each fault occurs.
    pub styles: StyleWeights,
    /// Which language thoughts are in. Default: that of the question.
    pub languages: MannerWeights,
    /// General instructions among the problems. Default: none.
    pub instructions: InstructionWeights,
}

/// `[stage.corpus.text]`: plain text, documents separated by the end token of the tokenizer where it occurs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextCorpus {
    /// The file, UTF-8, absolute; or the stage that makes it. Written relative to the run file's folder. Required.
    pub path: Artifact,
}

fn default_micro_batch_tokens() -> u64 {
    4_096
}

fn default_logits_chunk_tokens() -> u64 {
    4_096
}

impl Corpus {
    /// Whether no stage has to make it first.
    pub fn is_there(&self) -> bool {
        match self {
            Self::Countdown(_) => true,
            Self::Text(text) => text.path.path_now().is_some(),
        }
    }
}

impl WrittenCorpus {
    fn resolve(self, at: &mut Section<'_, '_>) -> Option<Corpus> {
        let help = "add [stage.corpus.countdown] (made endlessly) or [stage.corpus.text] (read from a file)";
        match (self.countdown, self.text) {
            (Some(corpus), None) => Some(Corpus::Countdown(Box::new(corpus.resolve(&mut at.table("countdown"))))),
            (None, Some(text)) => {
                let path = at.table("text").artifact("path", &text.path, Makes::Data);
                Some(Corpus::Text(TextCorpus { path }))
            }
            (None, None) => {
                at.fail("", "the stage has no corpus", "expected a table that says which text", help);
                None
            }
            (Some(_), Some(_)) => {
                at.fail("text", "the stage has two corpora", "expected one", "keep one of the two tables");
                None
            }
        }
    }
}

impl CountdownCorpus {
    fn resolve(self, at: &mut Section<'_, '_>) -> Self {
        let problems = self.problems.clone().resolve(&mut at.table("problems"));
        if problems.n_numbers != [3, 3] && problems.n_numbers[0] <= problems.n_numbers[1] {
            let label = "expected [3, 3]";
            at.table("problems").fail("n_numbers", "transcripts are written for three numbers", label, "");
        }
        let weights = self.weights();
        if let Err(error) = weights.styles.validate() {
            at.fail("styles", error.to_string(), "in this table", "");
        } else if let Err(error) = weights.instructions.validate() {
            at.fail("instructions", error.to_string(), "in this table", "");
        } else if let Err(error) = weights.validate() {
            at.fail("languages", error.to_string(), "in this table", "");
        }
        Self { problems, ..self }
    }

    /// What the generator takes.
    pub fn weights(&self) -> CorpusWeights {
        CorpusWeights { styles: self.styles, languages: self.languages, instructions: self.instructions }
    }
}

impl WrittenPretrain {
    fn check(&self, at: &mut Section<'_, '_>) {
        at.at_least("steps", self.steps, 1, "one step is one update");
        at.at_least("seq_len", self.seq_len, 2, "the first token of a row is predicted by nothing");
        if self.seq_len > self.architecture.max_position_embeddings {
            let label = format!("expected {} at most", self.architecture.max_position_embeddings);
            let title = format!("`seq_len` is {}, more than `max_position_embeddings`", self.seq_len);
            at.fail("seq_len", title, label, "the longest context is a key of [stage.architecture]");
        }
        if self.seq_len > 0 && (self.batch_tokens == 0 || !self.batch_tokens.is_multiple_of(self.seq_len)) {
            let title = format!("`batch_tokens` is {}", self.batch_tokens);
            let label = format!("expected a multiple of `seq_len`, {}", self.seq_len);
            at.fail("batch_tokens", title, label, "an update sees whole rows");
        }
        at.at_least("micro_batch_tokens", self.micro_batch_tokens, 1, "tokens of one forward and backward pass");
        at.at_least("logits_chunk_tokens", self.logits_chunk_tokens, 1, "tokens whose logits are held at once");
        self.tokenizer.check(&mut at.table("tokenizer"));
        self.architecture.check(&mut at.table("architecture"));
        self.optimizer.check(self.steps, &mut at.table("optimizer"));
        self.checkpoint.check(&mut at.table("checkpoint"));
    }
}

impl WrittenStage for WrittenPretrain {
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn resolve(self: Box<Self>, name: String, at: &mut Section<'_, '_>) -> Option<Stage> {
        self.check(at);
        let head_dim = Some(self.architecture.head_dim());
        let output = self.output.map(|path| at.beside_run_file("output", &path));
        let corpus = self.corpus.resolve(&mut at.table("corpus"))?;
        Some(Stage::Pretrain(Box::new(PretrainStage {
            name,
            steps: self.steps,
            seq_len: self.seq_len,
            batch_tokens: self.batch_tokens,
            micro_batch_tokens: self.micro_batch_tokens,
            logits_chunk_tokens: self.logits_chunk_tokens,
            output,
            corpus,
            tokenizer: self.tokenizer,
            architecture: Architecture { head_dim, ..self.architecture },
            optimizer: self.optimizer,
            checkpoint: self.checkpoint,
        })))
    }
}

impl StageSettings for PretrainStage {
    fn kind(&self) -> StageKind {
        StageKind::Pretrain
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn steps(&self) -> Option<u64> {
        Some(self.steps)
    }

    fn init(&self) -> Option<&Init> {
        None
    }

    fn optimizer(&self) -> Option<&Optimizer> {
        Some(&self.optimizer)
    }

    fn checkpoint(&self) -> Option<&Checkpoint> {
        Some(&self.checkpoint)
    }

    fn visit_inputs(&mut self, visit: &mut dyn FnMut(InputMut<'_>)) {
        if let Corpus::Text(text) = &mut self.corpus {
            visit(InputMut::Artifact(&mut text.path));
        }
    }

    fn forget_where_and_when(&mut self, is_last: bool) {
        self.output = None;
        self.checkpoint = Checkpoint::default();
        if is_last && self.optimizer.schedule == Schedule::Constant {
            self.steps = 0;
        }
    }
}
