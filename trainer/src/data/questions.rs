//! The questions of a stage: question number t is a pure function of the run's seed, the stage and t.

use std::path::Path;

use rewards::{Gold, Problem, Rubric};
use rollout::random::Stream;

use super::countdown::problems::{CountdownProblem, ProblemError, ProblemSource};
use super::language::Language;
use super::pass_rates::PassRates;
use super::problem_file::{self, ProblemFileError};
use crate::address::{self, Purpose};
use crate::config::{Choice, CountdownProblems, Problems, Source};

/// Why a stage has no questions.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// A file of problems.
    #[error(transparent)]
    File(#[from] ProblemFileError),
    /// The generator.
    #[error(transparent)]
    Countdown(#[from] ProblemError),
    /// A file is asked for more than it has.
    #[error(
        "`n_problems` is {n_problems}, which asks {n_asked} problems of {} where there are {n_rows}, and each is asked once: lower \
         `n_problems`, or add rows",
        source_name(*part)
    )]
    Few {
        /// Problems of the stage.
        n_problems: u64,
        /// Those of the file.
        n_asked: u64,
        /// Rows that it has.
        n_rows: u64,
        /// The number of the source, where there are several.
        part: Option<usize>,
    },
}

fn source_name(part: Option<usize>) -> String {
    part.map_or("[stage.problems.jsonl]".to_owned(), |part| format!("stage.problems.source[{part}]"))
}

/// A source of questions without end.
#[derive(Debug)]
pub enum Questions {
    /// Made as they are asked for.
    Countdown {
        /// The generator.
        source: ProblemSource,
        /// Names this stage's sequence of problems.
        seed: u64,
    },
    /// Read from a file: every epoch asks all of them, each epoch in an order of its own.
    File {
        /// The rows, in the order of the file.
        problems: Vec<Problem>,
        /// Names this stage's orders.
        order: Stream,
        /// Names this stage's draws, where a curriculum draws them.
        draws: Stream,
        /// Which rows are asked.
        choice: Choice,
    },
    /// From several sources, by weight.
    Mixture(Vec<Part>),
}

/// One source of a mixture.
#[derive(Debug)]
pub struct Part {
    settings: Source,
    questions: Questions,
}

impl Part {
    /// Its questions number `first` to `first + n - 1`, with the domain of the source where they have none.
    fn questions(&self, first: u64, n: u64) -> Result<Vec<Problem>, QuestionError> {
        Ok(self.of_its_domain(self.questions.questions(first, n)?))
    }

    /// What can be looked at of it before the run: see [`Questions::examples`].
    fn examples(&self, n: u64) -> Result<Vec<Problem>, QuestionError> {
        Ok(self.of_its_domain(self.questions.examples(n)?))
    }

    fn of_its_domain(&self, mut problems: Vec<Problem>) -> Vec<Problem> {
        let domain = self.settings.domain.as_deref();
        problems.iter_mut().for_each(|problem| problem_file::set_domain(problem, domain));
        problems
    }
}

/// The golden ratio as a fraction of 2^64: its multiples fall evenly, so that any stretch of questions has about the shares of
/// the whole (Weyl's sequence).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Questions {
    /// Opens the questions of a stage.
    ///
    /// # Errors
    /// If a file cannot be used, or the generator's ranges hold no problem.
    pub fn open(settings: &Problems, rubric: &Rubric, seed: u64, stage_idx: usize) -> Result<Self, QuestionError> {
        Self::open_at(settings, rubric, (seed, stage_idx), &[], None)
    }

    /// - `domain`: of rows that have none
    /// - `path`: of the address of its numbers, behind the purpose; empty but for parts of a mixture
    fn open_at(
        settings: &Problems,
        rubric: &Rubric,
        (seed, stage_idx): (u64, usize),
        path: &[u64],
        domain: Option<&str>,
    ) -> Result<Self, QuestionError> {
        let stream = |purpose| address::stream(seed, stage_idx, purpose, path);
        let order = stream(Purpose::Questions);
        Ok(match settings {
            Problems::Countdown(settings) => {
                Self::Countdown { source: countdown_source(settings)?, seed: order.bits(0) }
            }
            Problems::Jsonl(settings) => Self::File {
                problems: problem_file::read_of(settings.path.path(), domain, rubric)?,
                order,
                draws: stream(Purpose::Curriculum),
                choice: settings.choice,
            },
            Problems::Mixture(sources) => {
                let part = |(number, source): (u64, &Source)| {
                    let domain = source.domain.as_deref();
                    let questions = Self::open_at(&source.problems, rubric, (seed, stage_idx), &[number], domain)?;
                    Ok(Part { settings: source.clone(), questions })
                };
                Self::Mixture((0..).zip(sources).map(part).collect::<Result<_, QuestionError>>()?)
            }
        })
    }

    /// How many sources there are.
    pub fn n_sources(&self) -> usize {
        match self {
            Self::Countdown { .. } | Self::File { .. } => 1,
            Self::Mixture(parts) => parts.len(),
        }
    }

    /// Refuses to ask a row of a file twice.
    ///
    /// # Errors
    /// [`QuestionError::Few`] if a file has fewer rows than the first `n` questions ask of it.
    pub fn once(&self, n: u64) -> Result<(), QuestionError> {
        let fits = |questions: &Self, n_asked: u64, part: Option<usize>| match questions {
            Self::File { problems, .. } if n_asked > problems.len() as u64 => {
                Err(QuestionError::Few { n_problems: n, n_asked, n_rows: problems.len() as u64, part })
            }
            Self::File { .. } | Self::Countdown { .. } | Self::Mixture(_) => Ok(()),
        };
        let Self::Mixture(parts) = self else { return fits(self, n, None) };
        let weights: Vec<f64> = parts.iter().map(|part| part.settings.weight_at(1)).collect();
        let mut asked = vec![0; parts.len()];
        (0..n).for_each(|index| asked[drawn(&weights, index)] += 1);
        let mut of_parts = parts.iter().zip(asked).enumerate();
        of_parts.try_for_each(|(idx, (part, n_asked))| fits(&part.questions, n_asked, Some(idx)))
    }

    /// The next `n` questions of a step, counted from 1, where `asked` counts those that each source has given so far.
    ///
    /// # Errors
    /// If a generator finds none.
    pub fn next(&self, step: u64, asked: &mut [u64], n: u64) -> Result<Vec<Problem>, QuestionError> {
        let Self::Mixture(parts) = self else {
            let questions = self.questions(asked[0], n)?;
            asked[0] += n;
            return Ok(questions);
        };
        let weights: Vec<f64> = parts.iter().map(|part| part.settings.weight_at(step)).collect();
        let mut questions = Vec::with_capacity(n as usize);
        for _ in 0..n {
            let part = drawn(&weights, asked.iter().sum());
            questions.extend(parts[part].questions(asked[part], 1)?);
            asked[part] += 1;
        }
        Ok(questions)
    }

    /// What can be looked at before the run: every row of a file, the first `n` questions of a generator.
    ///
    /// # Errors
    /// If a generator finds none.
    pub fn examples(&self, n: u64) -> Result<Vec<Problem>, QuestionError> {
        match self {
            Self::Countdown { .. } => self.questions(0, n),
            Self::File { problems, .. } => Ok(problems.clone()),
            Self::Mixture(parts) => {
                let of_parts: Vec<Vec<Problem>> =
                    parts.iter().map(|part| part.examples(n)).collect::<Result<_, _>>()?;
                Ok(of_parts.concat())
            }
        }
    }

    /// Pass rates before the first question, where the run file asks for them.
    pub(super) fn pass_rates(&self) -> Option<PassRates> {
        match self {
            Self::File { problems, order, draws, choice } if choice.needs_pass_rates() => {
                Some(PassRates::new(*choice, problems.len(), *order, *draws))
            }
            Self::File { .. } | Self::Countdown { .. } | Self::Mixture(_) => None,
        }
    }

    /// Questions number `first` to `first + n - 1`, where it does not matter how often they have been solved.
    ///
    /// # Errors
    /// If the generator finds none.
    pub fn questions(&self, first: u64, n: u64) -> Result<Vec<Problem>, QuestionError> {
        match self {
            Self::Countdown { source, seed } => {
                let asked = |index| Ok(problem(&source.problem(*seed, index)?, source.language(*seed, index)));
                (first..first + n).map(asked).collect()
            }
            Self::File { problems, order, .. } => {
                let n_problems = problems.len() as u64;
                let mut asked = Vec::with_capacity(n as usize);
                for epoch in first / n_problems..(first + n).div_ceil(n_problems) {
                    let epoch_order = shuffled(order, epoch, problems.len());
                    let begin = epoch * n_problems;
                    let within = first.max(begin) - begin..(first + n).min(begin + n_problems) - begin;
                    asked.extend(within.map(|place| problems[epoch_order[place as usize]].clone()));
                }
                Ok(asked)
            }
            Self::Mixture(parts) => {
                let mut asked = vec![0; parts.len()];
                self.next(1, &mut asked, first)?;
                self.next(1, &mut asked, n)
            }
        }
    }
}

/// Which source gives question number `index` of a mixture.
fn drawn(weights: &[f64], index: u64) -> usize {
    let at = index.wrapping_mul(GOLDEN) as f64 / 2f64.powi(64) * weights.iter().sum::<f64>();
    let mut below = 0.0;
    let found = weights.iter().position(|weight| {
        below += weight;
        at < below
    });
    // Only rounding can leave it above the sum.
    found.unwrap_or_else(|| weights.iter().rposition(|weight| *weight > 0.0).unwrap_or(0))
}

/// The rows of a file of `n` in the order of an epoch; `order` names the orders of a stage.
pub(crate) fn shuffled(order: &Stream, epoch: u64, n: usize) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..n).collect();
    Stream::new(order.bits(epoch), &[]).draws().shuffle(&mut rows);
    rows
}

/// The generator with what it must never give.
///
/// # Errors
/// If the file of excluded problems cannot be used, or a range is empty.
pub fn countdown_source(settings: &CountdownProblems) -> Result<ProblemSource, QuestionError> {
    let excluded = match &settings.exclude {
        Some(path) => excluded_problems(path)?,
        None => Vec::new(),
    };
    Ok(ProblemSource::new(settings.ranges(), &excluded)?)
}

/// A generated problem as the rewards know it.
///
/// - `language`: what it is asked in, and what its row says; `None` is English, and the row does not say so
pub fn problem(countdown: &CountdownProblem, language: Option<Language>) -> Problem {
    let mut gold = Gold::countdown(countdown.numbers.clone(), countdown.target);
    if let Some(language) = language {
        gold.fields.insert("language".to_owned(), language.tag().into());
    }
    Problem { id: countdown.id(), question: countdown.question(language.unwrap_or(Language::En)), gold }
}

fn excluded_problems(path: &Path) -> Result<Vec<CountdownProblem>, ProblemFileError> {
    problem_file::read_each(path, None, |row, _| match (row.gold.numbers, row.gold.target) {
        (numbers, Some(target)) if !numbers.is_empty() => Ok(CountdownProblem { numbers, target }),
        _ => Err("a Countdown problem needs `numbers` and `target`".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use rewards::{Exact, InDomains, Weighted};

    use super::*;
    use crate::config::{Artifact, JsonlProblems};

    #[test]
    fn rows_of_a_source_are_checked_as_problems_of_its_domain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let open = |rows: &str, domain: &str| {
            std::fs::write(&path, rows).unwrap();
            let problems = JsonlProblems { path: Artifact::Path(path.clone()), choice: Choice::default() };
            let source = Source {
                weight: 1.0,
                weight_from_step: Vec::new(),
                domain: Some(domain.to_owned()),
                problems: Problems::Jsonl(problems),
            };
            let exact = InDomains::new(Box::new(Exact::default()), vec!["math".to_owned()]);
            let rubric = Rubric::new(vec![Weighted::new("exact", 1.0, Box::new(exact))]).unwrap();
            Questions::open(&Problems::Mixture(vec![source]), &rubric, 1, 0)
        };
        let rows = "{\"question\": \"a\", \"gold\": \"1\"}\n{\"question\": \"b\"}\n";
        let refused = open(rows, "math").unwrap_err().to_string();
        assert!(refused.contains("rows.jsonl:2: ") && refused.contains("`gold`"), "{refused}");
        let other = open(rows, "general").unwrap().examples(1).unwrap();
        assert_eq!(other.iter().map(Problem::domain).collect::<Vec<_>>(), [Some("general"); 2]);
        // The row has the last word.
        let own = open("{\"question\": \"b\", \"domain\": \"general\"}", "math").unwrap().examples(1).unwrap();
        assert_eq!(own[0].domain(), Some("general"));
    }

    #[test]
    fn sources_are_asked_by_their_weights_in_any_stretch() {
        let weights = [3.0, 0.0, 1.0];
        for first in [0, 7, 1_000] {
            let drawn: Vec<usize> = (first..first + 16).map(|index| drawn(&weights, index)).collect();
            let count = |part| drawn.iter().filter(|drawn| **drawn == part).count();
            assert_eq!((count(0) + count(2), count(1)), (16, 0));
            assert!((3..=5).contains(&count(2)), "{drawn:?}");
        }
        let of_last = (0..10_000).filter(|&index| drawn(&weights, index) == 2).count();
        assert!((2_490..=2_510).contains(&of_last), "{of_last}");
        assert_eq!(drawn(&[0.0, 1.0], 0), 1);
    }
}
