//! Every metric over a set of problems and over its parts: by domain, level, language and subject.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rewards::{Accuracy, Problem};
use serde::{Deserialize, Serialize, Serializer};

use super::{Estimate, Range, pass_at_k, voted};

/// A field of a problem's row by which a set falls into parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// `domain`: which kind of question it is.
    Domain,
    /// `level`: how hard it is (MATH: 1 to 5).
    Level,
    /// `language`: which language it is to be answered in.
    Language,
    /// `subject`: what it is about (MATH: algebra, geometry, ...).
    Subject,
}

impl Label {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Domain, Self::Level, Self::Language, Self::Subject];

    /// The key of a problem's row.
    pub fn key(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Level => "level",
            Self::Language => "language",
            Self::Subject => "subject",
        }
    }

    /// What the row of a problem says; none where it says nothing.
    pub fn of(self, problem: &Problem) -> Option<String> {
        match problem.gold.fields.get(self.key())? {
            serde_json::Value::String(text) if !text.is_empty() => Some(text.clone()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// One completion as it was judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Whether it is right; none where no reward says so.
    pub correct: Option<bool>,
    /// What was taken for its answer; none where none was found.
    pub answer: Option<String>,
    /// Whether it keeps its format; none where no reward says so.
    pub formatted: Option<bool>,
    /// Its tokens.
    pub n_tokens: usize,
    /// Of these, its tokens until its thoughts end.
    pub n_thinking_tokens: usize,
    /// Whether the longest length cut it off.
    pub truncated: bool,
    /// Whether its thoughts keep to the tokens that they were to have; none where nothing was asked of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_budget: Option<bool>,
    /// Scores of other rewards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<Score>,
}

/// What another reward gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Name of the reward.
    pub name: String,
    /// Its score; none where it does not apply.
    pub value: Option<f64>,
    /// Between what bounds its scores lie.
    pub range: Range,
}

/// A problem with what was sampled for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// What its row says of it.
    pub labels: BTreeMap<Label, String>,
    /// Its samples, as many as every other problem has.
    pub samples: Vec<Sample>,
    /// Its completion at temperature 0, where one was asked for.
    pub greedy: Option<Sample>,
}

/// What is measured beside pass@1, format, lengths and scores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// The k of pass@k; 1 is always measured.
    pub pass_at: Vec<usize>,
    /// Whether cons@k is, over all samples of a problem.
    pub consensus: bool,
}

/// What a number says. Shares and chances are in [0, 1], lengths in tokens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// The chance that one of so many samples is right ([`pass_at_k`]).
    PassAt(usize),
    /// Whether the answer that most of so many samples give is right ([`voted`]).
    ConsAt(usize),
    /// Whether the completion at temperature 0 is right.
    Greedy,
    /// The share of samples that keep their format.
    Format,
    /// The mean score of a reward.
    Score(String),
    /// The mean length of samples.
    Tokens,
    /// The mean length of their thoughts.
    ThinkingTokens,
    /// The share of samples that were cut off.
    Truncated,
}

impl fmt::Display for Metric {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PassAt(k) => write!(out, "pass@{k}"),
            Self::ConsAt(k) => write!(out, "cons@{k}"),
            Self::Greedy => out.write_str("greedy"),
            Self::Format => out.write_str("format"),
            Self::Score(name) => out.write_str(name),
            Self::Tokens => out.write_str("tokens"),
            Self::ThinkingTokens => out.write_str("thinking tokens"),
            Self::Truncated => out.write_str("truncated"),
        }
    }
}

impl Serialize for Metric {
    /// Its name.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Metric {
    /// Between what bounds it lies; `asked` has the scores.
    fn range(&self, asked: &[&Asked]) -> Range {
        match self {
            Self::Tokens | Self::ThinkingTokens => Range::Unbounded,
            Self::Score(name) => {
                let mut scores = asked.iter().flat_map(|asked| &asked.samples).flat_map(|sample| &sample.scores);
                scores.find(|score| score.name == *name).map_or(Range::Unbounded, |score| score.range)
            }
            _ => Range::Fraction,
        }
    }

    /// What a problem is worth; none where nothing says so.
    fn value(&self, asked: &Asked) -> Option<f64> {
        let flag = |value: bool| f64::from(u8::from(value));
        let samples = &asked.samples;
        let mean = |of: &dyn Fn(&Sample) -> Option<f64>| {
            let values: Vec<f64> = samples.iter().filter_map(of).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        match self {
            Self::PassAt(k) => {
                let judged: Vec<bool> = samples.iter().filter_map(|sample| sample.correct).collect();
                pass_at_k(judged.len(), judged.iter().filter(|correct| **correct).count(), *k)
            }
            Self::ConsAt(_) => consensus(samples).map(flag),
            Self::Greedy => asked.greedy.as_ref()?.correct.map(flag),
            Self::Format => mean(&|sample| sample.formatted.map(flag)),
            Self::Score(name) => mean(&|sample| sample.scores.iter().find(|score| score.name == *name)?.value),
            Self::Tokens => mean(&|sample| Some(sample.n_tokens as f64)),
            Self::ThinkingTokens => mean(&|sample| Some(sample.n_thinking_tokens as f64)),
            Self::Truncated => mean(&|sample| Some(flag(sample.truncated))),
        }
    }
}

/// Whether the answer of most samples is right: wrong where none has an answer, none where no reward says what is right.
fn consensus(samples: &[Sample]) -> Option<bool> {
    let judged: Vec<&Sample> = samples.iter().filter(|sample| sample.correct.is_some()).collect();
    if judged.is_empty() {
        return None;
    }
    let answers: Vec<Option<&str>> = judged.iter().map(|sample| sample.answer.as_deref()).collect();
    let voted = voted(&Accuracy::default(), &answers);
    Some(voted.is_some_and(|index| judged[index].correct == Some(true)))
}

/// A metric of a set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// What it says.
    pub metric: Metric,
    /// Between what bounds it lies.
    pub range: Range,
    /// Its value over the problems that it says something of.
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// The metrics of the problems with one label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// By what the set was divided.
    pub by: Label,
    /// What these problems have there.
    pub value: String,
    /// How many they are.
    pub n_problems: usize,
    /// What the set is measured by.
    pub metrics: Vec<Measured>,
}

/// What samples of a set of problems say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Problems.
    pub n_problems: usize,
    /// Samples of each.
    pub n_samples: usize,
    /// Over all problems.
    pub metrics: Vec<Measured>,
    /// Over the parts of each division that has at least two.
    pub parts: Vec<Part>,
}

impl Summary {
    /// Measures a set of problems with as many samples each.
    pub fn of(problems: &[Asked], measures: &Measures) -> Self {
        let n_samples = problems.first().map_or(0, |asked| asked.samples.len());
        let all: Vec<&Asked> = problems.iter().collect();
        let wanted = wanted(&all, measures, n_samples);
        let mut parts = Vec::new();
        for by in Label::ALL {
            let mut values: Vec<&String> = problems
                .iter()
                .filter_map(|asked| asked.labels.get(&by))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect();
            // Levels as numbers where they are: 2 before 10.
            values.sort_by_key(|value| (value.parse::<i64>().unwrap_or(i64::MAX), *value));
            if values.len() < 2 {
                continue;
            }
            for value in values {
                let own: Vec<&Asked> =
                    all.iter().filter(|asked| asked.labels.get(&by) == Some(value)).copied().collect();
                let metrics = measured(&own, &wanted);
                parts.push(Part { by, value: value.clone(), n_problems: own.len(), metrics });
            }
        }
        Self { n_problems: problems.len(), n_samples, metrics: measured(&all, &wanted), parts }
    }

    /// One of its metrics over all problems.
    pub fn get(&self, metric: &Metric) -> Option<Estimate> {
        self.metrics.iter().find(|measured| measured.metric == *metric).map(|measured| measured.estimate)
    }
}

/// What is to be measured, in the order of columns.
fn wanted(problems: &[&Asked], measures: &Measures, n_samples: usize) -> Vec<Metric> {
    let mut pass_at: BTreeSet<usize> = measures.pass_at.iter().copied().collect();
    pass_at.insert(1);
    let mut wanted: Vec<Metric> = pass_at.into_iter().map(Metric::PassAt).collect();
    wanted.extend(measures.consensus.then_some(Metric::ConsAt(n_samples)));
    wanted.extend([Metric::Greedy, Metric::Format]);
    let mut names = Vec::new();
    for score in problems.iter().flat_map(|asked| &asked.samples).flat_map(|sample| &sample.scores) {
        if !names.contains(&&score.name) {
            names.push(&score.name);
        }
    }
    wanted.extend(names.into_iter().cloned().map(Metric::Score));
    wanted.extend([Metric::Tokens, Metric::ThinkingTokens, Metric::Truncated]);
    wanted
}

/// Those that say something of at least one problem.
fn measured(problems: &[&Asked], wanted: &[Metric]) -> Vec<Measured> {
    let one = |metric: &Metric| {
        let values: Vec<f64> = problems.iter().filter_map(|asked| metric.value(asked)).collect();
        let range = metric.range(problems);
        let estimate = Estimate::of(&values, range)?;
        Some(Measured { metric: metric.clone(), range, estimate })
    };
    wanted.iter().filter_map(one).collect()
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
