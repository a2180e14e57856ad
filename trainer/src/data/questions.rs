//! The questions of a stage: question number t is a pure function of the run's seed, the stage and t.

use std::path::Path;

use rewards::{Gold, Problem, Rubric};
use rollout::random::Stream;

use super::countdown::problems::{CountdownProblem, ProblemError, ProblemSource};
use super::pass_rates::PassRates;
use super::problem_file::{self, ProblemFileError};
use crate::address::{self, Purpose};
use crate::config::{Choice, CountdownProblems, Problems};

/// Why a stage has no questions.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// A file of problems.
    #[error(transparent)]
    File(#[from] ProblemFileError),
    /// The generator.
    #[error(transparent)]
    Countdown(#[from] ProblemError),
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
}

impl Questions {
    /// Opens the questions of a stage.
    ///
    /// # Errors
    /// If a file cannot be used, or the generator's ranges hold no problem.
    pub fn open(settings: &Problems, rubric: &Rubric, seed: u64, stage_idx: usize) -> Result<Self, QuestionError> {
        let stream = address::stream(seed, stage_idx, Purpose::Questions, &[]);
        Ok(match settings {
            Problems::Countdown(settings) => {
                Self::Countdown { source: countdown_source(settings)?, seed: stream.bits(0) }
            }
            Problems::Jsonl(settings) => Self::File {
                problems: problem_file::read(&settings.path, rubric)?,
                order: stream,
                draws: address::stream(seed, stage_idx, Purpose::Curriculum, &[]),
                choice: settings.choice,
            },
        })
    }

    /// Pass rates before the first question, where the run file asks for them.
    pub(super) fn pass_rates(&self) -> Option<PassRates> {
        match self {
            Self::File { problems, order, draws, choice } if choice.needs_pass_rates() => {
                Some(PassRates::new(*choice, problems.len(), *order, *draws))
            }
            Self::File { .. } | Self::Countdown { .. } => None,
        }
    }

    /// Questions number `first` to `first + n - 1`, where it does not matter how often they have been solved.
    ///
    /// # Errors
    /// If the generator finds none.
    pub fn questions(&self, first: u64, n: u64) -> Result<Vec<Problem>, QuestionError> {
        match self {
            Self::Countdown { source, seed } => {
                (first..first + n).map(|index| Ok(problem(&source.problem(*seed, index)?))).collect()
            }
            Self::File { problems, order, .. } => {
                let n_problems = problems.len() as u64;
                let mut asked = Vec::with_capacity(n as usize);
                for epoch in first / n_problems..=(first + n - 1) / n_problems {
                    let epoch_order = shuffled(order, epoch, problems.len());
                    let begin = epoch * n_problems;
                    let within = first.max(begin) - begin..(first + n).min(begin + n_problems) - begin;
                    asked.extend(within.map(|place| problems[epoch_order[place as usize]].clone()));
                }
                Ok(asked)
            }
        }
    }
}

/// The rows of a file of `n` in the order of an epoch; `order` names the orders of a stage.
pub(super) fn shuffled(order: &Stream, epoch: u64, n: usize) -> Vec<usize> {
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
pub fn problem(countdown: &CountdownProblem) -> Problem {
    let gold = Gold::countdown(countdown.numbers.clone(), countdown.target);
    Problem { id: countdown.id(), question: countdown.question(), gold }
}

fn excluded_problems(path: &Path) -> Result<Vec<CountdownProblem>, ProblemFileError> {
    problem_file::read_each(path, None, |row, _| match (row.gold.numbers, row.gold.target) {
        (numbers, Some(target)) if !numbers.is_empty() => Ok(CountdownProblem { numbers, target }),
        _ => Err("a Countdown problem needs `numbers` and `target`".to_owned()),
    })
}
