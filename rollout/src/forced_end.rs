//! A phrase that is put into a completion whose thoughts have used up their budget.

use crate::random::Stream;

/// The index of the number that a budget is drawn by, in the stream of its completion: no token has this position.
const BUDGET: u64 = u64::MAX;

/// Ends the thoughts of a completion when their budget is used up, so that it comes to an answer: the phrase's tokens are put
/// in, not drawn, and sampling goes on behind them (budget forcing, s1, arXiv 2501.19393; with a random budget ScaleRL,
/// arXiv 2510.13786).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForcedEnd {
    /// The phrase; at least one token.
    pub ids: Vec<i64>,
    /// Tokens before the phrase, from and to (inclusive): drawn for each completion, uniformly.
    pub after_tokens: [usize; 2],
    /// Most tokens behind the phrase.
    pub answer_tokens: usize,
    /// A completion whose text holds this when its budget is used up has ended its thoughts by itself and is left alone.
    pub unless: String,
}

impl ForcedEnd {
    /// The tokens after which a completion is to have ended its thoughts; `stream` is the address of its random numbers.
    pub fn budget(&self, stream: &Stream) -> usize {
        let [low, high] = self.after_tokens;
        // Multiply-shift: the bias is below the width of the range over 2^64.
        low + ((u128::from(stream.bits(BUDGET)) * (high - low + 1) as u128) >> 64) as usize
    }

    /// The most tokens that a completion with the phrase in it comes to.
    pub fn most_tokens(&self) -> usize {
        self.after_tokens[1] + self.ids.len() + self.answer_tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_spread_over_their_range_and_are_the_streams_own() {
        let forced_end = ForcedEnd { ids: vec![1], after_tokens: [3, 6], answer_tokens: 2, unless: "x".into() };
        let mut counts = [0; 10];
        for row in 0..4_000 {
            let stream = Stream::new(1, &[row]);
            counts[forced_end.budget(&stream)] += 1;
            assert_eq!(forced_end.budget(&stream), forced_end.budget(&Stream::new(1, &[row])));
        }
        assert_eq!(counts.iter().sum::<i32>(), counts[3..=6].iter().sum::<i32>());
        assert!(counts[3..=6].iter().all(|&n| (900..1_100).contains(&n)), "{counts:?}");
        let fixed = ForcedEnd { after_tokens: [7, 7], ..forced_end };
        assert_eq!((fixed.budget(&Stream::new(2, &[])), fixed.most_tokens()), (7, 10));
    }
}
