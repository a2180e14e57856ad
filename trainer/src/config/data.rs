//! `[stage.problems]`, `[stage.eval]`, `[stage.checkpoint]`: what is asked, what is held out, and when state is saved.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

use super::checks::{Input, Section};
use super::problem_choice::{Choice, Curriculum};
use super::rollout::check_top_p;
use crate::data::countdown::problems::ProblemRanges;
use crate::data::language::Language;

/// `[stage.problems]` as written: one of the tables has to be there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WrittenProblems {
    drop_pass_rate: Option<f64>,
    curriculum: Option<Curriculum>,
    countdown: Option<CountdownProblems>,
    jsonl: Option<JsonlProblems>,
}

impl WrittenProblems {
    /// None if the tables do not say which problems, which is noted.
    pub(crate) fn resolve(self, at: &mut Section<'_, '_>) -> Option<Problems> {
        let help = "add [stage.problems.countdown] (made endlessly) or [stage.problems.jsonl] (read from a file)";
        let choice = Choice { drop_pass_rate: self.drop_pass_rate, curriculum: self.curriculum.unwrap_or_default() };
        match (self.countdown, self.jsonl) {
            (Some(countdown), None) => {
                choice.refuse(at);
                Some(Problems::Countdown(countdown.resolve(&mut at.table("countdown"))))
            }
            (None, Some(jsonl)) => {
                choice.check(at);
                Some(Problems::Jsonl(JsonlProblems { choice, ..jsonl.resolve(&mut at.table("jsonl")) }))
            }
            (None, None) => {
                at.fail("", "the stage has no problems", "expected a table of problems", help);
                None
            }
            (Some(_), Some(_)) => {
                at.fail("jsonl", "the stage has two tables of problems", "expected one", "keep one of the two tables");
                None
            }
        }
    }
}

/// `[stage.problems]`: where questions come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Problems {
    /// `[stage.problems.countdown]`: made without end.
    Countdown(CountdownProblems),
    /// `[stage.problems.jsonl]`: read from a file.
    Jsonl(JsonlProblems),
}

/// In the shape in which it is written.
impl Serialize for Problems {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Table<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            drop_pass_rate: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            curriculum: Option<Curriculum>,
            #[serde(skip_serializing_if = "Option::is_none")]
            countdown: Option<&'a CountdownProblems>,
            #[serde(skip_serializing_if = "Option::is_none")]
            jsonl: Option<&'a JsonlProblems>,
        }
        let table = match self {
            Self::Countdown(problems) => {
                Table { drop_pass_rate: None, curriculum: None, countdown: Some(problems), jsonl: None }
            }
            Self::Jsonl(problems) => {
                let Choice { drop_pass_rate, curriculum } = problems.choice;
                Table { drop_pass_rate, curriculum: Some(curriculum), countdown: None, jsonl: Some(problems) }
            }
        };
        table.serialize(serializer)
    }
}

/// `[stage.problems.countdown]`: problem number t is a pure function of the seed, the stage and t.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CountdownProblems {
    /// How many numbers a problem has, from and to (inclusive), within 2 to 6. Default [3, 3].
    pub n_numbers: [usize; 2],
    /// The numbers, from and to (inclusive). Default [1, 20].
    pub numbers: [i64; 2],
    /// The targets, from and to (inclusive). Default [1, 99].
    pub targets: [i64; 2],
    /// Every target can be made with all intermediate values in 1 to this. Default 99.
    pub max_intermediate: i64,
    /// The languages in which problems are asked, "en" and "zh", each as often. Default ["en"]; where it is something else,
    /// rows carry theirs in `language`.
    pub languages: Vec<Language>,
    /// A JSONL file of problems that never come up, such as the held-out ones. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude: Option<PathBuf>,
}

impl Default for CountdownProblems {
    fn default() -> Self {
        let ProblemRanges { n_numbers, numbers, targets, max_intermediate, languages } = ProblemRanges::default();
        Self { n_numbers, numbers, targets, max_intermediate, languages, exclude: None }
    }
}

impl CountdownProblems {
    /// What the generator takes.
    pub fn ranges(&self) -> ProblemRanges {
        ProblemRanges {
            n_numbers: self.n_numbers,
            numbers: self.numbers,
            targets: self.targets,
            max_intermediate: self.max_intermediate,
            languages: self.languages.clone(),
        }
    }

    pub(crate) fn resolve(self, at: &mut Section<'_, '_>) -> Self {
        let max = self.max_intermediate;
        at.range("n_numbers", self.n_numbers, 2, 6);
        let fine = (1..=1_000_000).contains(&max);
        at.holds("max_intermediate", max, fine, "expected 1 to 1000000", "intermediate values are positive");
        if fine {
            at.range("numbers", self.numbers, 1, max);
            at.range("targets", self.targets, 1, max);
        }
        let once = self.languages.iter().collect::<HashSet<_>>().len() == self.languages.len();
        if self.languages.is_empty() || !once {
            let title = "`languages` is empty, or names a language twice";
            at.fail("languages", title, "expected \"en\", \"zh\" or both", "each is asked as often");
        }
        Self { exclude: self.exclude.map(|path| at.input("exclude", &path, Input::File)), ..self }
    }
}

/// `[stage.problems.jsonl]`: rows `{"id"?, "question", "numbers"?, "target"?, "gold"?}`, taken in order and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonlProblems {
    /// The file, absolute. Written relative to the run file's folder. Required.
    pub path: PathBuf,
    /// Which of its rows are asked; written in `[stage.problems]`.
    #[serde(skip)]
    pub choice: Choice,
}

impl JsonlProblems {
    fn resolve(self, at: &mut Section<'_, '_>) -> Self {
        Self { path: at.input("path", &self.path, Input::File), choice: self.choice }
    }
}

/// `[stage.eval]`: held-out problems, sampled before and after the stage, and now and then in between.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eval {
    /// A JSONL file of problems, absolute. Written relative to the run file's folder. Required.
    pub problems: PathBuf,
    /// Steps between evaluations; 0 (the default) means only before and after the stage.
    #[serde(default)]
    pub every_steps: u64,
    /// Completions per problem; pass@1 is their mean. Default 1.
    #[serde(default = "one")]
    pub samples_per_problem: u64,
    /// Divides the logits; 0 always takes the likeliest token. Default 1.
    #[serde(default = "one_float")]
    pub temperature: f64,
    /// As in `[stage.rollout]`. Default 1.
    #[serde(default = "one_float")]
    pub top_p: f64,
    /// The first so many problems of the file; 0 (the default) means all.
    #[serde(default)]
    pub max_problems: u64,
}

fn one() -> u64 {
    1
}

fn one_float() -> f64 {
    1.0
}

impl Eval {
    pub(crate) fn resolve(self, at: &mut Section<'_, '_>) -> Self {
        at.at_least("samples_per_problem", self.samples_per_problem, 1, "pass@1 is the mean of the samples");
        at.not_negative("temperature", self.temperature, "0 always takes the likeliest token");
        check_top_p(self.top_p, at);
        Self { problems: at.input("problems", &self.problems, Input::File), ..self }
    }
}

/// `[stage.checkpoint]`: when weights and optimiser state are saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checkpoint {
    /// Steps between checkpoints; the last step of a stage always makes one. Default 20; 0 means only that one.
    pub every_steps: u64,
    /// The newest so many checkpoints of the stage are kept. Default 2, so that one can be damaged.
    pub keep: u64,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self { every_steps: 20, keep: 2 }
    }
}

impl Checkpoint {
    pub(crate) fn check(&self, at: &mut Section<'_, '_>) {
        at.at_least("keep", self.keep, 1, "the next stage and --resume need one");
    }
}
