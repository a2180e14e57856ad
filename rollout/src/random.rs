//! Addressed randomness: every random number is a pure function of where it is used, and no generator carries state.
//!
//! A run that resumes at step 400 needs no saved generator, and a completion does not depend on its neighbours.
//! The function is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

/// The address of a stream of random numbers: who is asking, and for what.
///
/// Two streams with different addresses are independent; the same address always gives the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 2],
    high: [u32; 2],
}

impl Stream {
    /// The stream named by a run's seed and a path of indices (stage, step, group, row, ...).
    ///
    /// The path is folded into 128 bits of key and counter by Philox itself, so that paths that differ in any index,
    /// in their order or in their length name different streams.
    pub fn new(seed: u64, path: &[u64]) -> Self {
        let mut state = [lo(seed), hi(seed), path.len() as u32, 0x6772_706f];
        for (depth, &index) in path.iter().enumerate() {
            let mixed = philox([lo(index), hi(index)], state);
            state = [mixed[0], mixed[1], mixed[2], mixed[3] ^ depth as u32];
        }
        let mixed = philox([state[0], state[1]], [state[2], state[3], 0, 0]);
        Self { key: [mixed[0], mixed[1]], high: [mixed[2], mixed[3]] }
    }

    /// The `index`-th number of the stream: 64 uniform bits.
    pub fn bits(&self, index: u64) -> u64 {
        let block = philox(self.key, [lo(index), hi(index), self.high[0], self.high[1]]);
        (u64::from(block[0]) << 32) | u64::from(block[1])
    }

    /// The `index`-th number of the stream, uniform in the open interval (0, 1), with 52 random bits (53 and a half would round to 1).
    pub fn uniform(&self, index: u64) -> f64 {
        ((self.bits(index) >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// The `index`-th number of the stream, standard normal (Box-Muller over the two halves of one block).
    pub fn normal(&self, index: u64) -> f64 {
        let block = philox(self.key, [lo(index), hi(index), self.high[0], self.high[1]]);
        let unit = |word: u32| (f64::from(word) + 0.5) / (1u64 << 32) as f64;
        (-2.0 * unit(block[0]).ln()).sqrt() * (std::f64::consts::TAU * unit(block[1])).cos()
    }

    /// Numbers of the stream in order, for code that draws an unknown count at one address.
    pub fn draws(self) -> Draws {
        Draws { stream: self, next: 0 }
    }
}

/// Reads one [`Stream`] from its beginning.
#[derive(Clone, Debug)]
pub struct Draws {
    stream: Stream,
    next: u64,
}

impl Draws {
    /// The next number, uniform in (0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.next += 1;
        self.stream.uniform(self.next - 1)
    }

    /// The next integer, uniform in `0..n`.
    ///
    /// # Panics
    /// If `n` is zero.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "no integer lies below zero");
        self.next += 1;
        // Multiply-shift: the bias is below n / 2^64.
        ((u128::from(self.stream.bits(self.next - 1)) * n as u128) >> 64) as usize
    }

    /// The next integer, uniform in `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }

    /// An index drawn with probability proportional to `weights` (non-negative, not all zero).
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        // Rounding can leave a crumb beyond the last weight: it belongs to the last index that has any.
        weights.iter().rposition(|&weight| weight > 0.0).unwrap_or(0)
    }

    /// Puts `items` into uniformly random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

fn lo(x: u64) -> u32 {
    x as u32
}

fn hi(x: u64) -> u32 {
    (x >> 32) as u32
}

/// Philox4x32-10: a block of 128 random bits named by a key and a counter.
fn philox(mut key: [u32; 2], mut counter: [u32; 4]) -> [u32; 4] {
    for _ in 0..10 {
        let a = 0xD251_1F53 * u64::from(counter[0]);
        let b = 0xCD9E_8D57 * u64::from(counter[2]);
        counter = [hi(b) ^ counter[1] ^ key[0], lo(b), hi(a) ^ counter[3] ^ key[1], lo(a)];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that ship with Random123 (kat_vectors, philox4x32, 10 rounds).
    #[test]
    fn philox_gives_the_published_answers() {
        let check = |key, counter, expected: [u32; 4]| assert_eq!(philox(key, counter), expected);
        check([0, 0], [0; 4], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        check([!0, !0], [!0; 4], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        check(
            [0xa409_3822, 0x299f_31d0],
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        );
    }

    #[test]
    fn different_paths_name_different_streams() {
        let first = |path: &[u64]| Stream::new(7, path).bits(0);
        let paths: [&[u64]; 7] = [&[], &[0], &[0, 0], &[1, 0], &[0, 1], &[1 << 32], &[0, 0, 0]];
        for (a, left) in paths.iter().enumerate() {
            for right in &paths[..a] {
                assert_ne!(first(left), first(right), "{left:?} and {right:?}");
            }
        }
        assert_ne!(Stream::new(7, &[3]).bits(0), Stream::new(8, &[3]).bits(0));
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let n = 200_000;
        let stream = Stream::new(1, &[2, 3]);
        let moments = |draw: &dyn Fn(u64) -> f64| {
            let values: Vec<f64> = (0..n).map(draw).collect();
            let mean = values.iter().sum::<f64>() / n as f64;
            (mean, values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64)
        };
        let (mean, variance) = moments(&|i| stream.uniform(i));
        assert!((mean - 0.5).abs() < 0.003 && (variance - 1.0 / 12.0).abs() < 0.001);
        let (mean, variance) = moments(&|i| stream.normal(i));
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02);
    }

    #[test]
    fn weighted_draws_follow_the_weights() {
        let mut draws = Stream::new(5, &[]).draws();
        let mut counts = [0u32; 3];
        for _ in 0..30_000 {
            counts[draws.weighted(&[1.0, 0.0, 2.0])] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((f64::from(counts[0]) / 30_000.0 - 1.0 / 3.0).abs() < 0.01);
    }
}
