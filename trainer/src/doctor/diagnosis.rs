//! What the doctor says: which symptom, since when, the numbers that prove it, and what to try.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::telemetry::format::printable;

/// What can be said of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Symptom {
    /// Every group has equal rewards.
    NothingToLearn,
    /// Right answers have lower advantages than wrong ones.
    RightAnswersPunished,
    /// The reward rises while accuracy falls.
    RewardOverAccuracy,
    /// The format is kept more often while accuracy falls.
    FormatOverAccuracy,
    /// Completions are cut off.
    AllTruncated,
    /// No answer is found.
    NoAnswers,
    /// The prompt has opened `<think>` already.
    PrefilledTag,
    /// Completions grow into the limit.
    LengthExplosion,
    /// The policy is sure of itself without being good.
    EntropyCollapse,
    /// The policy has left its reference, or the policy that sampled, or all that it could do.
    Diverged,
    /// Sampler and trainer disagree more and more.
    GapGrows,
    /// The loss is 0 and the gradient is not: healthy.
    LossIsZero,
}

/// How grave it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Something is wrong.
    Warning,
    /// Something looks wrong and is not.
    Note,
}

impl Symptom {
    /// How grave it is.
    pub fn kind(self) -> Kind {
        if self == Self::LossIsZero { Kind::Note } else { Kind::Warning }
    }

    /// Whether `other` follows from this, so that it need not be said beside it.
    pub(super) fn explains(self, other: Self) -> bool {
        use Symptom::{
            AllTruncated, Diverged, EntropyCollapse, FormatOverAccuracy, GapGrows, LengthExplosion, NoAnswers,
            RewardOverAccuracy, RightAnswersPunished,
        };
        match self {
            Diverged => matches!(other, AllTruncated | NoAnswers | LengthExplosion | EntropyCollapse | GapGrows),
            AllTruncated => matches!(other, NoAnswers | LengthExplosion),
            RightAnswersPunished => matches!(other, RewardOverAccuracy | FormatOverAccuracy),
            FormatOverAccuracy => other == RewardOverAccuracy,
            _ => false,
        }
    }
}

/// One thing said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// What it is.
    pub symptom: Symptom,
    /// How grave it is.
    pub kind: Kind,
    /// The first step of those that show it.
    pub since: u64,
    /// In a sentence, with the numbers.
    pub message: String,
    /// The numbers by name.
    pub numbers: BTreeMap<String, f64>,
    /// What to try, the likeliest first; keys are those of the run file.
    pub advice: Vec<String>,
    /// The tokens where prompt and completion meet, escaped; where they are what to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<String>,
}

impl Diagnosis {
    pub(super) fn new(symptom: Symptom, since: u64, message: String, numbers: &[(&str, f64)], advice: &[&str]) -> Self {
        Self {
            symptom,
            kind: symptom.kind(),
            since,
            message,
            numbers: numbers.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            advice: advice.iter().map(|text| (*text).to_owned()).collect(),
            tokens: None,
        }
    }

    /// Whether the texts themselves say more than any number.
    pub fn wants_tokens(&self) -> bool {
        matches!(self.symptom, Symptom::NoAnswers | Symptom::PrefilledTag)
    }
}

/// One line of `doctor.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DoctorRow {
    /// The stage's name.
    pub stage: String,
    /// The step after which it was said.
    pub step: u64,
    /// What was said.
    #[serde(flatten)]
    pub diagnosis: Diagnosis,
}

impl DoctorRow {
    /// The head in one line: `the doctor, stage r1_zero, step 12: ...`.
    pub fn head(&self) -> String {
        let Self { stage, step, diagnosis } = self;
        let kind = if diagnosis.kind == Kind::Note { " notes" } else { "" };
        // From a file that anybody may have written.
        printable(&format!("the doctor{kind}, stage {stage}, step {step}: {}", diagnosis.message))
    }

    /// What to look at and what to try, a line each.
    pub fn details(&self) -> Vec<String> {
        let Diagnosis { tokens, advice, .. } = &self.diagnosis;
        let try_this = advice.iter().map(|text| format!("try: {text}"));
        tokens.iter().cloned().chain(try_this).map(|line| printable(&line)).collect()
    }
}

impl fmt::Display for DoctorRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.head())?;
        self.details().iter().try_for_each(|line| write!(f, "\n  {}", line.replace('\n', "\n  ")))
    }
}
