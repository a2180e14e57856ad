//! What can end a run before its last step.

use rewards::Problem;
use rollout::Group;

use crate::data::countdown::corpus::CorpusError;
use crate::data::pass_rates::PassRateError;
use crate::data::problem_file::ProblemFileError;
use crate::data::{QuestionError, bpe, text};
use crate::grpo::{LossError, SplitError};
use crate::judges::JudgesError;
use crate::optim::{NonFiniteGradient, StateError};
use crate::reward_model::RowsError;
use crate::run::{CheckpointError, FileError, LineError};
use crate::selection::CurateError;
use crate::sft::DataError;

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The model folder.
    #[error(transparent)]
    Model(#[from] policy::Error),
    /// The tokenizer, or a prompt that does not fit the model.
    #[error(transparent)]
    Rollout(#[from] rollout::Error),
    /// A stage reads what another makes, and that is not there.
    #[error(
        "stage {stage} needs what stage {needed} makes, and that stage is not done; run it first: --only {needed}, or leave out --only"
    )]
    NotMade {
        /// The stage that was to run.
        stage: String,
        /// What it needs.
        needed: String,
    },
    /// A set of problems of an evaluation.
    #[error("set {set}, {}: {reason}", path.display())]
    Set {
        /// The set.
        set: String,
        /// Its file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The questions.
    #[error(transparent)]
    Questions(#[from] QuestionError),
    /// A file of held-out problems.
    #[error(transparent)]
    Problems(#[from] ProblemFileError),
    /// A row that cannot be curated.
    #[error("{}, row {row}: {reason}", path.display())]
    CurateRow {
        /// The file.
        path: std::path::PathBuf,
        /// The row, counted from 1.
        row: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Rows that cannot be curated.
    #[error(transparent)]
    Curate(#[from] CurateError),
    /// The corpus of a pre-training stage.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The text of a pre-training stage.
    #[error(transparent)]
    Text(#[from] text::TextError),
    /// The tokenizer of a pre-training stage.
    #[error(transparent)]
    Bpe(#[from] bpe::BpeError),
    /// A file of examples.
    #[error(transparent)]
    Examples(#[from] DataError),
    /// A model that cannot say that a completion is over.
    #[error("the model has no end token: give `eos_token_id` in its config.json")]
    NoEndToken,
    /// The rows of a reward model.
    #[error(transparent)]
    RewardRows(#[from] RowsError),
    /// The rewards of a stage.
    #[error(transparent)]
    Judges(#[from] JudgesError),
    /// A reward that could not judge.
    #[error("step {step}: {failure}; nothing was learned from it, and the last checkpoint is intact")]
    Judge {
        /// The step, counted from 1; 0 is the evaluation before the first.
        step: u64,
        /// What went wrong, with the completion.
        failure: String,
    },
    /// A model that was to make data, and how it is asked.
    #[error("[stage.rewrite] or [stage.preferences]: {0}")]
    Teacher(#[from] llm_judge::ClientError),
    /// It does not answer.
    #[error("{}: {}; {}; the samples are kept, and no data was made of a part of the answers", .0.url, .0.reason, .0.saved)]
    Unanswered(#[from] llm_judge::Failure),
    /// A reward that could not judge what was rewritten.
    #[error("what was rewritten cannot be judged: {0}; the samples are kept")]
    JudgedAnew(String),
    /// A rollout that cannot be split.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// A file of the run folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line of a log in the run folder.
    #[error(transparent)]
    Line(#[from] LineError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Every checkpoint of a stage is damaged.
    #[error(
        "stage {stage}: no checkpoint is whole ({reasons}); to train the stage again from its start, remove {}",
        folder.display()
    )]
    NoWholeCheckpoint {
        /// The stage.
        stage: String,
        /// Its folder of checkpoints.
        folder: std::path::PathBuf,
        /// What is wrong with each.
        reasons: String,
    },
    /// The pass rates in a checkpoint.
    #[error("{}: {source}", path.display())]
    PassRates {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        source: PassRateError,
    },
    /// Nothing can be learned any more, and the run file asks to stop then.
    #[error(
        "stage {stage}, step {step}: nothing can be learned any more (doctor.jsonl says why), and doctor.on_dead is \"stop\"; \
         the step is saved. With other rewards or problems begin a new run (run.dir); to go on with this one as it is, add \
         --resume --set doctor.on_dead=warn"
    )]
    Dead {
        /// The stage.
        stage: String,
        /// The last step done.
        step: u64,
    },
    /// The optimiser's state.
    #[error(transparent)]
    Optimizer(#[from] StateError),
    /// A number that is not one.
    #[error(
        "step {step}: {what}; the run ends here, and the last checkpoint is intact (a smaller learning_rate, a larger warmup_steps or dtype = \"float32\" may help)"
    )]
    NonFinite {
        /// The step, counted from 1.
        step: u64,
        /// Where it came up.
        what: NonFinite,
    },
    /// The same of a model that is asked and does not learn.
    #[error("model {model}: {what}; its weights are damaged")]
    Damaged {
        /// Its name or folder.
        model: String,
        /// Where it came up.
        what: Box<NonFinite>,
    },
}

/// Where a loss or gradient stopped being a number.
#[derive(Debug, thiserror::Error)]
pub enum NonFinite {
    /// In the loss of one completion.
    #[error("the loss of completion {row} of group {group} (problem {problem_id}) cannot be computed: {source}")]
    Loss {
        /// Which group of the step.
        group: usize,
        /// Which completion of the group.
        row: usize,
        /// The problem.
        problem_id: String,
        /// The term and its value.
        source: LossError,
    },
    /// In what was sampled.
    #[error("completion {row} of group {group} (problem {problem_id}) was sampled with a log-probability of {value}")]
    Sampled {
        /// Which group of the step.
        group: usize,
        /// Which completion of the group.
        row: usize,
        /// The problem.
        problem_id: String,
        /// The first that is not finite.
        value: f32,
    },
    /// In the loss of a row of text.
    #[error("the loss of the text is {value}")]
    TextLoss {
        /// Its value.
        value: f64,
    },
    /// In the loss of a reward model.
    #[error("the loss of the scores is {value}")]
    ScoreLoss {
        /// Its value.
        value: f64,
    },
    /// In a gradient.
    #[error(transparent)]
    Gradient(#[from] NonFiniteGradient),
}

impl NonFinite {
    /// Refuses groups with a log-probability that is no number: weights that are none show first in what they sample.
    ///
    /// - `first_group`: the number of the first group, for the message
    pub(super) fn refuse_in<'a>(
        groups: impl IntoIterator<Item = &'a Group>,
        problems: &[Problem],
        first_group: usize,
    ) -> Result<(), Self> {
        for (group, (problem, sampled)) in (first_group..).zip(problems.iter().zip(groups)) {
            for (row, completion) in sampled.completions.iter().enumerate() {
                if let Some(&value) = completion.logprobs.iter().find(|value| !value.is_finite()) {
                    return Err(Self::Sampled { group, row, problem_id: problem.id.clone(), value });
                }
            }
        }
        Ok(())
    }
}
