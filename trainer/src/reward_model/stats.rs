//! What is said of scores: sums that add up over any cut of the data.

/// Sums over pairs or labelled rows. Names of the means are those of TRL's RewardTrainer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarginStats {
    n: usize,
    n_right: usize,
    margins: f64,
    losses: f64,
    n_scores: usize,
    scores: f64,
    least: f32,
    greatest: f32,
}

impl Default for MarginStats {
    fn default() -> Self {
        Self {
            n: 0,
            n_right: 0,
            margins: 0.0,
            losses: 0.0,
            n_scores: 0,
            scores: 0.0,
            least: f32::INFINITY,
            greatest: f32::NEG_INFINITY,
        }
    }
}

impl MarginStats {
    /// Of pairs: chosen and rejected of the first pair, then of the second.
    pub fn of_pairs(scores: &[f32]) -> Self {
        let margins = scores.chunks_exact(2).map(|pair| f64::from(pair[0]) - f64::from(pair[1]));
        Self::of(scores, margins)
    }

    /// Of labelled rows.
    pub fn of_labels(scores: &[f32], labels: &[bool]) -> Self {
        let margins = scores.iter().zip(labels).map(|(&score, &label)| f64::from(if label { score } else { -score }));
        Self::of(scores, margins)
    }

    fn of(scores: &[f32], margins: impl Iterator<Item = f64>) -> Self {
        let mut stats = Self { n_scores: scores.len(), ..Self::default() };
        for &score in scores {
            stats.scores += f64::from(score);
            (stats.least, stats.greatest) = (stats.least.min(score), stats.greatest.max(score));
        }
        for margin in margins {
            stats.n += 1;
            stats.n_right += usize::from(margin > 0.0);
            stats.margins += margin;
            // -log sigmoid(margin), without exp of a large number.
            stats.losses += (-margin).max(0.0) + (-margin.abs()).exp().ln_1p();
        }
        stats
    }

    /// Adds another part of the data.
    pub fn add(&mut self, other: &Self) {
        self.n += other.n;
        self.n_right += other.n_right;
        self.margins += other.margins;
        self.losses += other.losses;
        self.n_scores += other.n_scores;
        self.scores += other.scores;
        (self.least, self.greatest) = (self.least.min(other.least), self.greatest.max(other.greatest));
    }

    /// Number of pairs or labelled rows.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Number of those on the right side. Equal scores of a pair, or a score of 0, are on neither and count as wrong.
    pub fn n_right(&self) -> usize {
        self.n_right
    }

    /// Fraction on the right side; NaN of nothing, like every mean here.
    pub fn accuracy(&self) -> f64 {
        self.n_right as f64 / self.n as f64
    }

    /// Mean margin.
    pub fn margin(&self) -> f64 {
        self.margins / self.n as f64
    }

    /// Mean loss, in nats.
    pub fn loss(&self) -> f64 {
        self.losses / self.n as f64
    }

    /// Mean of all scores.
    pub fn mean_reward(&self) -> f64 {
        self.scores / self.n_scores as f64
    }

    /// Least of all scores; infinite of nothing.
    pub fn min_reward(&self) -> f32 {
        self.least
    }

    /// Greatest of all scores; infinite of nothing.
    pub fn max_reward(&self) -> f32 {
        self.greatest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up() {
        let scores = [0.5, -1.0, 2.0, 2.0, -3.0, 1.5];
        let whole = MarginStats::of_pairs(&scores);
        let mut sum = MarginStats::default();
        scores.chunks(2).for_each(|pair| sum.add(&MarginStats::of_pairs(pair)));
        assert_eq!(sum, whole);
        // Equal scores are no preference.
        assert_eq!((whole.n(), whole.n_right()), (3, 1));
        assert_eq!((whole.margin(), whole.mean_reward()), (-1.0, 2.0 / 6.0));
        assert_eq!((whole.min_reward(), whole.max_reward()), (-3.0, 2.0));
    }

    #[test]
    fn a_label_turns_the_margin() {
        let stats = MarginStats::of_labels(&[1.0, 1.0, -2.0, 0.0], &[true, false, false, true]);
        assert_eq!((stats.n_right(), stats.margin()), (2, 0.5));
        let softplus = |x: f64| x.exp().ln_1p();
        let expected = (softplus(-1.0) + softplus(1.0) + softplus(-2.0) + softplus(0.0)) / 4.0;
        assert!((stats.loss() - expected).abs() < 1e-15);
        // Neither end overflows.
        let far = MarginStats::of_labels(&[3e4, 3e4], &[true, false]);
        assert_eq!(far.loss(), 1.5e4);
    }
}
