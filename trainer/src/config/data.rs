//! `[stage.problems]`, `[stage.eval]`, `[stage.checkpoint]`: what is asked, what is held out, and when state is saved.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

use super::by_step;
use super::checks::{Input, Section};
use super::problem_choice::{Choice, Curriculum};
use super::rollout::check_top_p;
use super::source::{Artifact, InputMut};
use super::stage::Makes;
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
    source: Vec<WrittenSource>,
}

/// `[[stage.problems.source]]` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSource {
    #[serde(default = "one_float")]
    weight: f64,
    #[serde(default)]
    weight_from_step: Vec<(u64, f64)>,
    domain: Option<String>,
    countdown: Option<CountdownProblems>,
    jsonl: Option<JsonlProblems>,
}

const NO_PROBLEMS: &str = "add [stage.problems.countdown] (made endlessly), [stage.problems.jsonl] (read from a file), or several as \
     [[stage.problems.source]]";

impl WrittenProblems {
    /// None if the tables do not say which problems, which is noted.
    pub(crate) fn resolve(self, at: &mut Section<'_, '_>) -> Option<Problems> {
        let choice = Choice { drop_pass_rate: self.drop_pass_rate, curriculum: self.curriculum.unwrap_or_default() };
        if self.jsonl.is_some() {
            choice.check(at);
        } else {
            choice.refuse(at);
        }
        if self.source.is_empty() {
            return Some(match one_of(self.countdown, self.jsonl, at)? {
                Problems::Jsonl(jsonl) => Problems::Jsonl(JsonlProblems { choice, ..jsonl }),
                other => other,
            });
        }
        if self.countdown.is_some() || self.jsonl.is_some() {
            let help = "put the table into a [[stage.problems.source]] of its own";
            at.fail("source", "problems stand both beside and in `source`", "expected one or the other", help);
        }
        let sources = self.source.into_iter().enumerate();
        let sources: Vec<Option<Source>> =
            sources.map(|(idx, source)| source.resolve(&mut at.table(&format!("source[{idx}]")))).collect();
        let sources: Vec<Source> = sources.into_iter().collect::<Option<_>>()?;
        check_weights(&sources, at);
        Some(Problems::Mixture(sources))
    }
}

impl WrittenSource {
    fn resolve(self, at: &mut Section<'_, '_>) -> Option<Source> {
        at.not_negative("weight", self.weight, "0 asks nothing from this source");
        let fine = |weight: f64| weight.is_finite() && weight >= 0.0;
        let expected = ["expected finite numbers, 0 or more", ""];
        by_step::check("weight_from_step", &self.weight_from_step, fine, expected, at);
        let problems = one_of(self.countdown, self.jsonl, at)?;
        Some(Source { weight: self.weight, weight_from_step: self.weight_from_step, domain: self.domain, problems })
    }
}

/// At every step there is something to ask.
fn check_weights(sources: &[Source], at: &mut Section<'_, '_>) {
    let changes = sources.iter().flat_map(|source| source.weight_from_step.iter().map(|(step, _)| *step));
    for step in std::iter::once(1).chain(changes) {
        if sources.iter().map(|source| source.weight_at(step)).sum::<f64>() <= 0.0 {
            let title = format!("every source has weight 0 at step {step}");
            at.fail("source", title, "expected a weight above 0", "nothing would be asked");
            return;
        }
    }
}

/// One table of problems, and no more.
fn one_of(
    countdown: Option<CountdownProblems>,
    jsonl: Option<JsonlProblems>,
    at: &mut Section<'_, '_>,
) -> Option<Problems> {
    match (countdown, jsonl) {
        (Some(countdown), None) => Some(Problems::Countdown(countdown.resolve(&mut at.table("countdown")))),
        (None, Some(jsonl)) => Some(Problems::Jsonl(jsonl.resolve(&mut at.table("jsonl")))),
        (None, None) => {
            at.fail("", "the stage has no problems", "expected a table of problems", NO_PROBLEMS);
            None
        }
        (Some(_), Some(_)) => {
            at.fail("jsonl", "there are two tables of problems", "expected one", "keep one of the two tables");
            None
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
    /// `[[stage.problems.source]]`: from several of them, by weight.
    Mixture(Vec<Source>),
}

/// `[[stage.problems.source]]`: one of several sources of questions.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its share of the questions, relative to the other sources. Default 1.
    pub weight: f64,
    /// `[step, weight]`: from this step on the weight is another. Default none (DeepSeek-R1 3.2.2: general data in the last
    /// 400 steps only).
    pub weight_from_step: Vec<(u64, f64)>,
    /// The field `domain` of its questions where their rows have none. Default none.
    pub domain: Option<String>,
    /// `countdown` or `jsonl`, as in `[stage.problems]`.
    pub problems: Problems,
}

impl Source {
    /// Its weight in a step, counted from 1.
    pub fn weight_at(&self, step: u64) -> f64 {
        by_step::value_at(self.weight, &self.weight_from_step, step)
    }
}

impl Problems {
    /// Whether no stage has to make them first.
    pub fn are_there(&self) -> bool {
        let mut all = true;
        self.clone().visit_inputs(&mut |input| all &= input.stage().is_none());
        all
    }

    /// Shows the files that may be made by stages.
    pub(crate) fn visit_inputs(&mut self, visit: &mut dyn FnMut(InputMut<'_>)) {
        match self {
            Self::Countdown(_) => {}
            Self::Jsonl(jsonl) => visit(InputMut::Artifact(&mut jsonl.path)),
            Self::Mixture(sources) => sources.iter_mut().for_each(|source| source.problems.visit_inputs(visit)),
        }
    }
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
            #[serde(skip_serializing_if = "<[Source]>::is_empty")]
            source: &'a [Source],
        }
        let nothing = Table { drop_pass_rate: None, curriculum: None, countdown: None, jsonl: None, source: &[] };
        let table = match self {
            Self::Countdown(problems) => Table { countdown: Some(problems), ..nothing },
            Self::Jsonl(problems) => {
                let Choice { drop_pass_rate, curriculum } = problems.choice;
                Table { drop_pass_rate, curriculum: Some(curriculum), jsonl: Some(problems), ..nothing }
            }
            Self::Mixture(source) => Table { source, ..nothing },
        };
        table.serialize(serializer)
    }
}

/// In the shape in which it is written.
impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Table<'a> {
            weight: f64,
            weight_from_step: &'a [(u64, f64)],
            #[serde(skip_serializing_if = "Option::is_none")]
            domain: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            countdown: Option<&'a CountdownProblems>,
            #[serde(skip_serializing_if = "Option::is_none")]
            jsonl: Option<&'a JsonlProblems>,
        }
        let (countdown, jsonl) = match &self.problems {
            Problems::Countdown(problems) => (Some(problems), None),
            Problems::Jsonl(problems) => (None, Some(problems)),
            Problems::Mixture(_) => unreachable!("a source is one table of problems"),
        };
        let (weight_from_step, domain) = (&self.weight_from_step[..], self.domain.as_deref());
        Table { weight: self.weight, weight_from_step, domain, countdown, jsonl }.serialize(serializer)
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
    /// The file, absolute; or the stage that makes it. Written relative to the run file's folder. Required.
    pub path: Artifact,
    /// Which of its rows are asked; written in `[stage.problems]`.
    #[serde(skip)]
    pub choice: Choice,
}

impl JsonlProblems {
    fn resolve(self, at: &mut Section<'_, '_>) -> Self {
        Self { path: at.artifact("path", &self.path, Makes::Data), choice: self.choice }
    }
}

/// `[stage.eval]`: held-out problems, sampled before and after the stage, and now and then in between.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eval {
    /// A JSONL file of problems, absolute; or the stage that makes it. Written relative to the run file's folder. Required.
    pub problems: Artifact,
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
        Self { problems: at.artifact("problems", &self.problems, Makes::Data), ..self }
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
