//! The order in which examples are learned: every epoch in another one, addressed by its number.

use rollout::random::Stream;

use crate::address::{self, Purpose};

/// Which examples each update learns from.
#[derive(Debug)]
pub struct Order {
    seed: u64,
    stage_idx: usize,
    n_examples: usize,
    batch_size: usize,
    /// The epoch that was asked for last, counted from 0, and its order.
    epoch: Option<(u64, Vec<usize>)>,
}

impl Order {
    /// # Panics
    /// If there is no example, or an update has none.
    pub fn new(seed: u64, stage_idx: usize, n_examples: usize, batch_size: usize) -> Self {
        assert!(n_examples > 0 && batch_size > 0, "there is something to put in order");
        Self { seed, stage_idx, n_examples, batch_size, epoch: None }
    }

    /// Updates until every example has been seen `epochs` times; the last may be a smaller one.
    pub fn steps(&self, epochs: u64) -> u64 {
        epochs.saturating_mul(self.n_examples as u64).div_ceil(self.batch_size as u64)
    }

    /// The examples of an update, counted from 1. One that begins in an epoch and ends in the next takes from both.
    ///
    /// - `end`: examples after which the stage ends, over all epochs; none if it goes on as long as it is asked to
    pub fn batch(&mut self, step: u64, end: Option<u64>) -> Vec<usize> {
        let first = (step - 1) * self.batch_size as u64;
        let behind = first + self.batch_size as u64;
        (first..end.map_or(behind, |end| end.min(behind))).map(|place| self.at(place)).collect()
    }

    /// Epochs that are over after an update, as a fraction.
    pub fn epochs_after(&self, step: u64, end: Option<u64>) -> f64 {
        let seen = step * self.batch_size as u64;
        end.map_or(seen, |end| end.min(seen)) as f64 / self.n_examples as f64
    }

    /// The example at a place of all epochs, one behind the other.
    fn at(&mut self, place: u64) -> usize {
        let (epoch, place) = (place / self.n_examples as u64, (place % self.n_examples as u64) as usize);
        match &self.epoch {
            Some((known, order)) if *known == epoch => order[place],
            _ => {
                let mut order: Vec<usize> = (0..self.n_examples).collect();
                self.stream(epoch).draws().shuffle(&mut order);
                let example = order[place];
                self.epoch = Some((epoch, order));
                example
            }
        }
    }

    fn stream(&self, epoch: u64) -> Stream {
        address::stream(self.seed, self.stage_idx, Purpose::Examples, &[epoch])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_comes_once_in_every_epoch_in_another_order() {
        let mut order = Order::new(7, 1, 10, 4);
        let end = Some(30);
        assert_eq!(order.steps(3), 8);
        let batches: Vec<Vec<usize>> = (1..=8).map(|step| order.batch(step, end)).collect();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 4, 4, 4, 4, 4, 2]);
        let all = batches.concat();
        let epochs: Vec<&[usize]> = all.chunks(10).collect();
        for epoch in &epochs {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2]);
        assert_eq!(order.epochs_after(5, end), 2.0);
        assert_eq!(order.epochs_after(8, end), 3.0);
    }

    #[test]
    fn an_update_is_the_same_whatever_was_asked_for_before() {
        let fresh = |step| Order::new(7, 1, 10, 4).batch(step, None);
        let mut used = Order::new(7, 1, 10, 4);
        for step in [1, 9, 3, 3, 30] {
            assert_eq!(used.batch(step, None), fresh(step));
        }
        assert_ne!(Order::new(8, 1, 10, 4).batch(1, None), fresh(1));
        assert_ne!(Order::new(7, 2, 10, 4).batch(1, None), fresh(1));
    }
}
