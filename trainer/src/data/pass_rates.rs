//! How often each problem of a file has been solved, and which of them are asked next.

use rewards::Problem;
use rollout::random::Stream;
use serde::{Deserialize, Serialize};

use super::questions::shuffled;
use crate::config::{Choice, Curriculum};

/// The pass rates of a file of problems, and where its questions stand.
///
/// An epoch is as many questions as problems were left when it began. At its end, problems whose pass rate is
/// `drop_pass_rate` or more are dropped for good (ScaleRL, arXiv 2510.13786: no-positive-resampling), unless none would be
/// left: then the epoch's problems are asked once more.
#[derive(Clone, Debug, PartialEq)]
pub struct PassRates {
    choice: Choice,
    /// Names the order of each epoch.
    epochs: Stream,
    /// Names the draws of each step.
    draws: Stream,
    /// By row of the file.
    tallies: Vec<Tally>,
    place: Place,
    /// Rows in the order in which they are asked: of the epoch, or with a curriculum of the step.
    order: Vec<usize>,
    /// How many of `order` have been asked.
    n_taken: usize,
}

/// Where an epoch stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The epoch, counted from 0.
    pub epoch: u64,
    /// Questions asked in it.
    pub n_asked: u64,
}

/// What is known of a problem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    n_sampled: u64,
    n_right: u64,
    dropped: bool,
}

/// A problem's line in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassRateRow {
    /// The problem.
    pub id: String,
    /// Its completions so far that a reward judged.
    pub n_sampled: u64,
    /// Those that were right.
    pub n_right: u64,
    /// Whether it is asked no more.
    pub dropped: bool,
}

/// Pass rates that are not of this file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassRateError {
    /// As many rows as problems are needed.
    #[error("{n_rows} pass rates, but the file has {n_problems} problems: it was changed under the run")]
    Count {
        /// Rows there are.
        n_rows: usize,
        /// Rows that are needed.
        n_problems: usize,
    },
    /// A row of another problem.
    #[error("pass rate {row} is of problem {got}, but the file has {expected} there: it was changed under the run")]
    Id {
        /// The row, counted from 0.
        row: usize,
        /// The problem that it names.
        got: String,
        /// The problem of the file.
        expected: String,
    },
}

impl Tally {
    /// The fraction of right completions; none before the first.
    fn rate(self) -> Option<f64> {
        (self.n_sampled > 0).then(|| self.n_right as f64 / self.n_sampled as f64)
    }
}

impl PassRates {
    /// Of a file of `n_problems`, none of which has been asked.
    ///
    /// - `epochs`, `draws`: the streams that name the orders of epochs and the draws of steps
    pub fn new(choice: Choice, n_problems: usize, epochs: Stream, draws: Stream) -> Self {
        let (tallies, place) = (vec![Tally::default(); n_problems], Place::default());
        Self { choice, epochs, draws, tallies, place, order: Vec::new(), n_taken: 0 }
    }

    /// Takes up what a checkpoint holds.
    ///
    /// # Errors
    /// If `rows` are not those of `problems`.
    pub fn restore(&mut self, place: Place, rows: &[PassRateRow], problems: &[Problem]) -> Result<(), PassRateError> {
        if rows.len() != problems.len() {
            return Err(PassRateError::Count { n_rows: rows.len(), n_problems: problems.len() });
        }
        for (row, (own, problem)) in rows.iter().zip(problems).enumerate() {
            if own.id != problem.id {
                return Err(PassRateError::Id { row, got: own.id.clone(), expected: problem.id.clone() });
            }
        }
        let tally = |row: &PassRateRow| {
            let PassRateRow { n_sampled, n_right, dropped, .. } = *row;
            Tally { n_sampled, n_right, dropped }
        };
        self.tallies = rows.iter().map(tally).collect();
        (self.place, self.order) = (place, Vec::new());
        Ok(())
    }

    /// What a checkpoint holds beside [`Self::place`].
    pub fn rows(&self, problems: &[Problem]) -> Vec<PassRateRow> {
        let row = |(problem, tally): (&Problem, &Tally)| {
            let Tally { n_sampled, n_right, dropped } = *tally;
            PassRateRow { id: problem.id.clone(), n_sampled, n_right, dropped }
        };
        problems.iter().zip(&self.tallies).map(row).collect()
    }

    /// Where the epoch stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Problems that have not been dropped.
    pub fn n_left(&self) -> usize {
        self.tallies.iter().filter(|tally| !tally.dropped).count()
    }

    /// Mean pass rate of the problems that have been asked, dropped ones included; none before the first.
    pub fn mean(&self) -> Option<f64> {
        let rates: Vec<f64> = self.tallies.iter().filter_map(|tally| tally.rate()).collect();
        (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
    }

    /// Has to be called before the questions of a step, counted from 1, are asked for.
    pub fn begin_step(&mut self, step: u64) {
        match self.choice.curriculum {
            Curriculum::None if self.order.is_empty() => {
                self.order = self.epoch_order();
                self.n_taken = self.place.n_asked as usize;
            }
            Curriculum::None => {}
            Curriculum::PassRate => {
                if self.place.n_asked >= self.n_left() as u64 {
                    self.begin_epoch();
                }
                (self.order, self.n_taken) = (self.drawn_order(step), 0);
            }
        }
    }

    /// The row of the next question.
    pub fn next_row(&mut self) -> usize {
        if self.n_taken == self.order.len() {
            // A step that asks for more than are left asks the same ones again.
            self.n_taken = 0;
            if self.choice.curriculum == Curriculum::None {
                self.begin_epoch();
                self.order = self.epoch_order();
            }
        }
        self.n_taken += 1;
        self.place.n_asked += 1;
        self.order[self.n_taken - 1]
    }

    /// Counts completions of a row's problem.
    pub fn record(&mut self, row: usize, n_sampled: u64, n_right: u64) {
        self.tallies[row].n_sampled += n_sampled;
        self.tallies[row].n_right += n_right;
    }

    fn begin_epoch(&mut self) {
        self.place = Place { epoch: self.place.epoch + 1, n_asked: 0 };
        let Some(limit) = self.choice.drop_pass_rate else { return };
        let dropped = |tally: &Tally| tally.dropped || tally.rate().is_some_and(|rate| rate >= limit);
        if !self.tallies.iter().all(dropped) {
            self.tallies.iter_mut().for_each(|tally| tally.dropped = dropped(tally));
        }
    }

    fn epoch_order(&self) -> Vec<usize> {
        let mut order = shuffled(&self.epochs, self.place.epoch, self.tallies.len());
        order.retain(|&row| !self.tallies[row].dropped);
        order
    }

    /// The rows drawn one after the other without replacement, each with a probability proportional to its weight: in
    /// ascending order of -ln(u) / weight (Efraimidis, Spirakis: "Weighted random sampling with a reservoir", 2006).
    fn drawn_order(&self, step: u64) -> Vec<usize> {
        let draws = Stream::new(self.draws.bits(step), &[]);
        let left = (0..self.tallies.len()).filter(|&row| !self.tallies[row].dropped);
        let key = |row: usize| {
            // A problem that has not been asked counts as one that is never solved. One that always is has weight 0, comes
            // last, and among its like at random.
            let weight = 1.0 - self.tallies[row].rate().unwrap_or(0.0);
            let exponential = -draws.uniform(row as u64).ln();
            (exponential / weight, exponential, row)
        };
        let mut keys: Vec<(f64, f64, usize)> = left.map(key).collect();
        keys.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        keys.into_iter().map(|(_, _, row)| row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(choice: Choice, n_problems: usize) -> PassRates {
        PassRates::new(choice, n_problems, Stream::new(1, &[3]), Stream::new(1, &[7]))
    }

    fn rows(rates: &mut PassRates, n: usize) -> Vec<usize> {
        (0..n).map(|_| rates.next_row()).collect()
    }

    fn sorted(mut rows: Vec<usize>) -> Vec<usize> {
        rows.sort_unstable();
        rows
    }

    const DROP: Choice = Choice { drop_pass_rate: Some(0.75), curriculum: Curriculum::None };
    const DRAW: Choice = Choice { drop_pass_rate: None, curriculum: Curriculum::PassRate };

    #[test]
    fn solved_problems_leave_at_the_end_of_an_epoch_and_for_good() {
        let mut rates = rates(DROP, 5);
        rates.begin_step(1);
        let first = rows(&mut rates, 3);
        assert_eq!(first, shuffled(&Stream::new(1, &[3]), 0, 5)[..3], "as without the key");
        for row in [0, 1] {
            rates.record(row, 4, 3);
        }
        rates.record(2, 4, 2);
        rates.begin_step(2);
        let rest = rows(&mut rates, 2);
        assert_eq!(sorted([first, rest].concat()), [0, 1, 2, 3, 4], "the epoch is finished as it began");
        assert_eq!(rates.n_left(), 5);
        assert_eq!(sorted(rows(&mut rates, 3)), [2, 3, 4]);
        assert_eq!((rates.n_left(), rates.mean()), (3, Some((0.75 + 0.75 + 0.5) / 3.0)));
        // What is dropped stays so, whatever would be counted for it.
        rates.record(0, 100, 0);
        assert_eq!(sorted(rows(&mut rates, 3)), [2, 3, 4]);
        // Never all of them.
        for row in [2, 3, 4] {
            rates.record(row, 100, 100);
        }
        assert_eq!(sorted(rows(&mut rates, 3)), [2, 3, 4]);
    }

    #[test]
    fn draws_follow_one_minus_the_pass_rate() {
        let mut rates = rates(DRAW, 4);
        // Not asked yet, half, three quarters, always.
        for (row, n_right) in [(1, 2), (2, 3), (3, 4)] {
            rates.record(row, 4, n_right);
        }
        let mut first = [0.0; 4];
        let n = 20_000;
        for step in 1..=n {
            rates.begin_step(step);
            let drawn = rows(&mut rates, 5);
            assert_eq!(sorted(drawn[..4].to_vec()), [0, 1, 2, 3], "without replacement");
            assert_eq!((drawn[3], drawn[4]), (3, drawn[0]), "what is always solved comes last; then all again");
            first[drawn[0]] += 1.0 / n as f64;
        }
        for (row, expected) in [1.0, 0.5, 0.25, 0.0].map(|weight| weight / 1.75).into_iter().enumerate() {
            assert!((first[row] - expected).abs() < 0.015, "{first:?}");
        }
    }

    #[test]
    fn with_a_curriculum_an_epoch_is_a_number_of_questions() {
        let mut rates = rates(Choice { drop_pass_rate: Some(0.5), ..DRAW }, 4);
        let mut left = Vec::new();
        for step in 1..=3 {
            rates.begin_step(step);
            left.push((rates.n_left(), rates.place().epoch));
            rows(&mut rates, 3);
            rates.record(0, 1, 1);
        }
        assert_eq!(left, [(4, 0), (4, 0), (3, 1)], "three questions are no epoch of four problems, six are");
    }

    #[test]
    fn what_is_saved_goes_on_the_same_and_is_of_this_file() {
        let problem =
            |n: usize| Problem { id: format!("p{n}"), question: String::new(), gold: rewards::Gold::default() };
        let problems: Vec<Problem> = (0..5).map(problem).collect();
        for choice in [DROP, Choice { drop_pass_rate: Some(0.5), ..DRAW }] {
            let mut whole = rates(choice, 5);
            for step in 1..20 {
                whole.begin_step(step);
                for row in rows(&mut whole, 2) {
                    whole.record(row, 4, (row as u64 * step) % 5);
                }
                let mut resumed = rates(choice, 5);
                resumed.restore(whole.place(), &whole.rows(&problems), &problems).unwrap();
                let mut going_on = whole.clone();
                resumed.begin_step(step + 1);
                going_on.begin_step(step + 1);
                assert_eq!(rows(&mut resumed, 9), rows(&mut going_on, 9), "step {step}");
            }
            let saved = whole.rows(&problems);
            let error = |saved: &[PassRateRow], problems: &[Problem]| {
                rates(choice, 5).restore(Place::default(), saved, problems).unwrap_err().to_string()
            };
            assert!(error(&saved[..4], &problems).contains("4 pass rates, but the file has 5 problems"));
            let others: Vec<Problem> = (1..6).map(problem).collect();
            assert!(error(&saved, &others).contains("pass rate 0 is of problem p0, but the file has p1"));
        }
    }
}
