//! Curation down to a few rows, as s1 curates its thousand: quality, difficulty, diversity (arXiv 2501.19393, section 2.2).

use std::collections::BTreeMap;

use rollout::random::{Draws, Stream};
use serde::{Deserialize, Serialize};

use super::duplicates::better_first;
use super::reason::Reason;
use super::sample::Sample;
use super::screen::Screen;
use super::text::normalised;
use crate::telemetry::table;

/// How often a model has solved a problem.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassRate {
    /// Completions that were judged.
    pub n_sampled: u64,
    /// Those that were right.
    pub n_right: u64,
}

/// A model whose problems are dropped if it solves them.
#[derive(Debug, Clone, PartialEq)]
pub struct Solver {
    /// Names it in the funnel.
    pub name: String,
    /// Problems that it solves more often are dropped: a fraction of its completions, in [0, 1). s1: 0, one completion each.
    pub max_pass_rate: f64,
    /// By question.
    pub pass_rates: BTreeMap<String, PassRate>,
}

/// What is left, and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Curated {
    /// The rows, in the order in which they were drawn.
    pub samples: Vec<Sample>,
    /// What each step has dropped.
    pub funnel: Funnel,
}

/// The steps of a curation, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funnel {
    /// Each takes what the one before has left.
    pub steps: Vec<FunnelStep>,
}

/// One step of the funnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunnelStep {
    /// `quality`, `questions`, `difficulty`, `diversity`.
    pub name: String,
    /// Rows that came in.
    pub n_in: u64,
    /// Rows that it has dropped, by reason; each row has one.
    pub dropped: BTreeMap<String, u64>,
    /// Rows that it has left.
    pub n_out: u64,
}

/// Why rows cannot be curated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CurateError {
    /// A model that has not been asked everything.
    #[error("the pass rates of `{solver}` lack the problem \"{id}\": every problem needs one")]
    Unrated {
        /// The model.
        solver: String,
        /// The problem.
        id: String,
    },
}

/// s1's funnel, half way: what is left when quality and repeated questions have been looked at, and models are to be asked.
///
/// 1. `quality`: rows that cannot be read, that lack a question or a completion, or that the screen rejects.
/// 2. `questions`: one row for each question, the one with the longest completion; texts that differ in white space and case
///    are one question.
/// 3. `difficulty`: problems that one of the solvers solves more often than its limit; the first that does is counted.
/// 4. `diversity`: until there are `n`, a domain is drawn uniformly of those that still have rows, then one
///    of its rows with probability proportional to 2^-rank, the longest completion having rank 0.
///
/// What is drawn depends on the rows and on the stream, and not on their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Curation {
    left: Vec<Sample>,
    funnel: Funnel,
}

impl Curation {
    /// The first two steps.
    ///
    /// - `n_malformed`: rows that could not be read: they are counted with those of poor quality
    pub fn begin(samples: Vec<Sample>, n_malformed: u64, screen: &Screen) -> Self {
        let mut funnel = Funnel::default();
        let left = funnel.step("quality", n_malformed, samples, |sample| quality(sample, screen));
        let left = longest_of_each_question(left, &mut funnel);
        Self { left, funnel }
    }

    /// The rows that are left, the longest completion first.
    pub fn left(&self) -> &[Sample] {
        &self.left
    }

    /// The last two steps, down to `n` rows; fewer where fewer are left (s1: 1,000).
    ///
    /// # Errors
    ///
    /// [`CurateError::Unrated`] if a solver lacks a problem that is left.
    pub fn finish(self, solvers: &[Solver], n: u64, stream: &Stream) -> Result<Curated, CurateError> {
        let Self { left, mut funnel } = self;
        let mut unrated = None;
        let left = funnel.step("difficulty", 0, left, |sample| match solved_by(sample, solvers) {
            Ok(solver) => solver.map(|solver| format!("solved by {solver}")),
            Err(error) => {
                unrated.get_or_insert(error);
                None
            }
        });
        if let Some(error) = unrated {
            return Err(error);
        }
        let samples = diverse(left, n, stream.draws(), &mut funnel);
        Ok(Curated { samples, funnel })
    }
}

/// What is wrong with a row by itself.
fn quality(sample: &Sample, screen: &Screen) -> Option<String> {
    if sample.problem.question.trim().is_empty() {
        return Some("no question".to_owned());
    }
    if sample.completion.trim().is_empty() {
        return Some("no completion".to_owned());
    }
    screen.reject(sample).map(|rejection| rejection.reason.name().to_owned())
}

fn longest_of_each_question(mut samples: Vec<Sample>, funnel: &mut Funnel) -> Vec<Sample> {
    samples.sort_by(longest_first);
    let mut questions = std::collections::HashSet::new();
    funnel.step("questions", 0, samples, |sample| {
        let is_new = questions.insert(normalised(&sample.problem.question));
        (!is_new).then(|| Reason::Duplicate.name().to_owned())
    })
}

/// The longest completion first; of equals the better. The order is one of the rows themselves.
fn longest_first(a: &Sample, b: &Sample) -> std::cmp::Ordering {
    b.n_tokens.cmp(&a.n_tokens).then_with(|| better_first(a, b))
}

/// The first solver that has solved the sample's problem too often.
fn solved_by<'a>(sample: &Sample, solvers: &'a [Solver]) -> Result<Option<&'a str>, CurateError> {
    for solver in solvers {
        let Some(rate) = solver.pass_rates.get(&sample.problem.question) else {
            return Err(CurateError::Unrated { solver: solver.name.clone(), id: sample.problem.id.clone() });
        };
        if rate.n_right as f64 > solver.max_pass_rate * rate.n_sampled as f64 {
            return Ok(Some(&solver.name));
        }
    }
    Ok(None)
}

fn diverse(samples: Vec<Sample>, n: u64, mut draws: Draws, funnel: &mut Funnel) -> Vec<Sample> {
    let n_in = samples.len() as u64;
    let mut domains: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for sample in samples {
        domains.entry(sample.domain().to_owned()).or_default().push(sample);
    }
    let mut domains: Vec<Vec<Sample>> = domains.into_values().collect();
    domains.iter_mut().for_each(|rows| rows.sort_by(longest_first));
    let mut drawn = Vec::new();
    while (drawn.len() as u64) < n && !domains.is_empty() {
        let domain_idx = draws.below(domains.len());
        let rows = &mut domains[domain_idx];
        drawn.push(rows.remove(rank(&mut draws, rows.len())));
        if rows.is_empty() {
            domains.remove(domain_idx);
        }
    }
    let n_dropped = n_in - drawn.len() as u64;
    funnel.push("diversity", n_in, BTreeMap::from([("not drawn".to_owned(), n_dropped)]));
    drawn
}

/// A rank below `n` with probability proportional to 2^-rank.
fn rank(draws: &mut Draws, n: usize) -> usize {
    // What lies beyond has less than 2^-52 of the probability, which is the finest that is drawn.
    let weights: Vec<f64> = (0..n.min(52)).map(|rank| 0.5_f64.powi(rank as i32)).collect();
    draws.weighted(&weights)
}

impl Funnel {
    /// Drops the rows that `reason` has a reason for, and counts them.
    ///
    /// - `n_malformed`: rows that came in and are no samples
    fn step(
        &mut self,
        name: &str,
        n_malformed: u64,
        samples: Vec<Sample>,
        mut reason: impl FnMut(&Sample) -> Option<String>,
    ) -> Vec<Sample> {
        let n_in = samples.len() as u64 + n_malformed;
        let mut dropped = BTreeMap::from([("malformed".to_owned(), n_malformed)]);
        let left = samples.into_iter().filter(|sample| match reason(sample) {
            Some(reason) => {
                *dropped.entry(reason).or_default() += 1;
                false
            }
            None => true,
        });
        let left = left.collect();
        self.push(name, n_in, dropped);
        left
    }

    fn push(&mut self, name: &str, n_in: u64, mut dropped: BTreeMap<String, u64>) {
        dropped.retain(|_, n| *n > 0);
        let n_out = n_in - dropped.values().sum::<u64>();
        self.steps.push(FunnelStep { name: name.to_owned(), n_in, dropped, n_out });
    }

    /// The funnel for a terminal.
    pub fn text(&self) -> String {
        table::text(&self.rows())
    }

    /// The funnel in Markdown.
    pub fn markdown(&self) -> String {
        table::markdown(&self.rows())
    }

    fn rows(&self) -> Vec<[String; 3]> {
        let n_in = self.steps.first().map_or(0, |step| step.n_in);
        let mut rows =
            vec![["step", "dropped", "left"].map(str::to_owned), ["rows".to_owned(), String::new(), n_in.to_string()]];
        for step in &self.steps {
            let n_dropped = step.n_in - step.n_out;
            rows.push([step.name.clone(), n_dropped.to_string(), step.n_out.to_string()]);
            let reason = |(reason, n): (&String, &u64)| [format!("  {reason}"), n.to_string(), String::new()];
            rows.extend(step.dropped.iter().map(reason));
        }
        rows
    }
}

#[cfg(test)]
#[path = "curate_tests.rs"]
mod tests;
