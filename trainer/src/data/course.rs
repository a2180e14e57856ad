//! The course of a stage through its questions: which come next is a function of what a checkpoint holds.

use rewards::Problem;

use super::pass_rates::PassRates;
use super::questions::{QuestionError, Questions};

/// How far a stage has come with its questions.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// Questions that each source has given since the stage began.
    asked: Vec<u64>,
    /// The step that is at hand, counted from 1.
    step: u64,
    /// Of a file where the run file asks for it.
    pass_rates: Option<PassRates>,
}

/// A question that is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What is asked.
    pub problem: Problem,
    /// Its row in a file whose pass rates are kept.
    pub row: Option<usize>,
}

impl Course {
    /// The course through `questions` from the first on.
    pub fn new(questions: &Questions) -> Self {
        Self::after(vec![0; questions.n_sources()], questions.pass_rates())
    }

    /// The same course when each source has given so many questions, with what was known of them then.
    pub fn after(asked: Vec<u64>, pass_rates: Option<PassRates>) -> Self {
        Self { asked, step: 1, pass_rates }
    }

    /// Questions that each source has given since the stage began, those of groups that nothing was learned from included.
    pub fn asked(&self) -> &[u64] {
        &self.asked
    }

    /// How often each problem has been solved, where that is kept.
    pub fn pass_rates(&self) -> Option<&PassRates> {
        self.pass_rates.as_ref()
    }

    /// Has to be called before the questions of a step, counted from 1, are asked for.
    pub fn begin_step(&mut self, step: u64) {
        self.step = step;
        if let Some(pass_rates) = &mut self.pass_rates {
            pass_rates.begin_step(step);
        }
    }

    /// The next `n` questions.
    ///
    /// # Errors
    /// If the generator finds none.
    pub fn next(&mut self, questions: &Questions, n: u64) -> Result<Vec<Question>, QuestionError> {
        Ok(match (&mut self.pass_rates, questions) {
            (Some(pass_rates), Questions::File { problems, .. }) => {
                self.asked[0] += n;
                let rows = (0..n).map(|_| pass_rates.next_row());
                rows.map(|row| Question { problem: problems[row].clone(), row: Some(row) }).collect()
            }
            _ => {
                let next = questions.next(self.step, &mut self.asked, n)?;
                next.into_iter().map(|problem| Question { problem, row: None }).collect()
            }
        })
    }

    /// Counts completions of the problem in `row`: those judged, and those that were right.
    pub fn record(&mut self, row: usize, n_sampled: u64, n_right: u64) {
        if let Some(pass_rates) = &mut self.pass_rates {
            pass_rates.record(row, n_sampled, n_right);
        }
    }
}
