//! Draws that are named by what is drawn, and not by where it stands: the order of the input changes nothing.

use rollout::random::Stream;
use sha2::{Digest, Sha256};

/// Hands out tickets: a uniform number for each identity. Who draws the smallest comes first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lottery {
    seed: u64,
}

impl Lottery {
    /// - `stream`: names this use; other streams give other tickets
    pub(super) fn new(stream: &Stream) -> Self {
        Self { seed: stream.bits(0) }
    }

    /// 64 uniform bits that depend on the stream and on `identity` alone.
    pub(super) fn ticket(self, identity: &str) -> u64 {
        let digest = Sha256::digest(identity.as_bytes());
        let word = |at: usize| digest[at..at + 8].iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        Stream::new(self.seed, &[word(0), word(8)]).bits(0)
    }

    /// `items` in the order of their tickets: a random order. Items with one identity stay as they are.
    pub(super) fn shuffle<T>(self, items: &mut [T], identity: impl Fn(&T) -> String) {
        items.sort_by_cached_key(|item| {
            let identity = identity(item);
            (self.ticket(&identity), identity)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_random_and_does_not_depend_on_the_input() {
        let lottery = |seed| Lottery::new(&Stream::new(seed, &[1]));
        let shuffled = |seed, mut items: Vec<u32>| {
            lottery(seed).shuffle(&mut items, ToString::to_string);
            items
        };
        let first = shuffled(1, (0..100).collect());
        assert_eq!(first, shuffled(1, (0..100).rev().collect()));
        assert_ne!(first, shuffled(2, (0..100).collect()));
        // Each of 100 places is equally likely for an item: over 400 seeds the mean place is 49.5, give or take 1.5.
        let place = |seed| shuffled(seed, (0..100).collect()).iter().position(|item| *item == 7);
        let places: usize = (0..400).filter_map(place).sum();
        assert!((places as f64 / 400.0 - 49.5).abs() < 5.0, "{places}");
    }
}
