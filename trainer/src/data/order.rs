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
    /// Examples after which it ends, over all epochs; none if it goes on as long as it is asked to.
    end: Option<u64>,
    steps: u64,
    /// The epoch that was asked for last, counted from 0, and its order.
    epoch: Option<(u64, Vec<usize>)>,
}

impl Order {
    /// - `steps`: updates, of whole batches, in place of `epochs`
    /// - `epochs`: how often each example is seen; the last update may be a smaller one
    ///
    /// # Panics
    /// If there is no example, or an update has none.
    pub fn new(
        (seed, stage_idx): (u64, usize),
        n_examples: usize,
        batch_size: usize,
        steps: Option<u64>,
        epochs: u64,
    ) -> Self {
        assert!(n_examples > 0 && batch_size > 0, "there is something to put in order");
        let all = epochs.saturating_mul(n_examples as u64);
        let end = if steps.is_some() { None } else { Some(all) };
        let steps = steps.unwrap_or(all.div_ceil(batch_size as u64));
        Self { seed, stage_idx, n_examples, batch_size, end, steps, epoch: None }
    }

    /// Updates of the stage.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The examples of an update, counted from 1. One that begins in an epoch and ends in the next takes from both.
    pub fn batch(&mut self, step: u64) -> Vec<usize> {
        let first = (step - 1) * self.batch_size as u64;
        let behind = first + self.batch_size as u64;
        (first..self.end.map_or(behind, |end| end.min(behind))).map(|place| self.at(place)).collect()
    }

    /// Epochs that are over after an update, as a fraction.
    pub fn epochs_after(&self, step: u64) -> f64 {
        let seen = step * self.batch_size as u64;
        self.end.map_or(seen, |end| end.min(seen)) as f64 / self.n_examples as f64
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
        let mut order = Order::new((7, 1), 10, 4, None, 3);
        assert_eq!(order.steps(), 8);
        let batches: Vec<Vec<usize>> = (1..=8).map(|step| order.batch(step)).collect();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 4, 4, 4, 4, 4, 2]);
        let all = batches.concat();
        let epochs: Vec<&[usize]> = all.chunks(10).collect();
        for epoch in &epochs {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2]);
        assert_eq!(order.epochs_after(5), 2.0);
        assert_eq!(order.epochs_after(8), 3.0);
    }

    #[test]
    fn an_update_is_the_same_whatever_was_asked_for_before() {
        let order = |seed, stage_idx| Order::new((seed, stage_idx), 10, 4, Some(30), 1);
        let fresh = |step| order(7, 1).batch(step);
        let mut used = order(7, 1);
        for step in [1, 9, 3, 3, 30] {
            assert_eq!(used.batch(step), fresh(step));
        }
        assert_ne!(order(8, 1).batch(1), fresh(1));
        assert_ne!(order(7, 2).batch(1), fresh(1));
    }
}
