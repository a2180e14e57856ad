//! Which of two answers to a question is better, by several votes in both orders.

use rewards::InvalidOption;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clean::clean;
use crate::client::{ChatClient, NoReply};
use crate::http::Reply;
use crate::judge::{check_max_chars, default_max_chars};
use crate::options::invalid;
use crate::request::Request;
use crate::{prompt, read};

/// Settings of a [`PairJudge`]. The defaults are DeepSeek-R1's (arXiv 2501.12948v2, B.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PairOptions {
    /// Votes on each pair, an even number from 2 to 64: half of them see the answers in the other order. Default 4.
    pub votes: u32,
    /// A pair is kept if the difference is greater than this, from 0 to below 2. Default 1.
    pub min_difference: f32,
    /// Longest text that the model is shown, in characters, from 100 to 1000000: of a longer one the middle is cut out.
    /// Default 20000.
    pub max_chars: usize,
}

impl Default for PairOptions {
    fn default() -> Self {
        Self { votes: 4, min_difference: 1.0, max_chars: default_max_chars() }
    }
}

impl PairOptions {
    /// Whether these settings make sense.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used, with the remedy.
    pub fn check(&self) -> Result<(), InvalidOption> {
        if !(2..=64).contains(&self.votes) || self.votes % 2 == 1 {
            let reason = format!("is {}: it must be an even number from 2 to 64, half for each order", self.votes);
            return Err(invalid("votes", reason));
        }
        if !(0.0..2.0).contains(&self.min_difference) {
            let reason = format!("is {}: it must be from 0 to below 2", self.min_difference);
            return Err(invalid("min_difference", reason));
        }
        check_max_chars(self.max_chars)
    }
}

/// The better one of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preference {
    /// The first.
    First,
    /// The second.
    Second,
}

/// What the votes say of two answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// How much better the first is by each vote, in [-2, 2], whatever order the vote saw; `None` where it gave no verdict.
    pub votes: Vec<Option<i32>>,
    /// How much better the first is, in [-2, 2]: the mean of the votes in one order, and of those in the other, averaged.
    /// `None` unless there is a verdict in each order: a judge that likes what it sees first would decide.
    pub difference: Option<f32>,
}

impl Comparison {
    /// The better one, if the difference is greater than `min_difference`.
    pub fn preference(&self, min_difference: f32) -> Option<Preference> {
        match self.difference? {
            difference if difference > min_difference => Some(Preference::First),
            difference if difference < -min_difference => Some(Preference::Second),
            _ => None,
        }
    }

    /// - `votes`: for each whether it saw the second answer first, and how much better the first is
    fn of(votes: &[(bool, Option<i32>)]) -> Self {
        let mean = |order: bool| {
            let values: Vec<f32> = votes
                .iter()
                .filter(|(swapped, _)| *swapped == order)
                .filter_map(|(_, v)| v.map(|v| v as f32))
                .collect();
            (!values.is_empty()).then(|| values.iter().sum::<f32>() / values.len() as f32)
        };
        let difference = mean(false).zip(mean(true)).map(|(one, other)| (one + other) / 2.0);
        Self { votes: votes.iter().map(|(_, vote)| *vote).collect(), difference }
    }
}

/// Compares answers by a language model.
#[derive(Debug, Clone)]
pub struct PairJudge {
    client: ChatClient,
    options: PairOptions,
}

impl PairJudge {
    /// A judge by `options` that asks `client`. With a temperature of 0 the votes of one order differ only as far as the
    /// server does: several votes are of use with a temperature.
    ///
    /// # Errors
    ///
    /// A setting that makes no sense.
    pub fn new(client: ChatClient, options: PairOptions) -> Result<Self, InvalidOption> {
        options.check()?;
        Ok(Self { client, options })
    }

    /// What asks: whether it has failed, and what it counted.
    pub fn client(&self) -> &ChatClient {
        &self.client
    }

    /// Its settings.
    pub fn options(&self) -> &PairOptions {
        &self.options
    }

    /// The comparisons of `pairs`, each `(question, first, second)`, in their order. Two answers with the same text are the
    /// same, and nothing is asked. Whether all could be asked says [`ChatClient::failure`].
    pub fn compare_all(&self, pairs: &[(&str, &str, &str)]) -> Vec<Comparison> {
        let n_votes = self.options.votes;
        let mut requests = Vec::new();
        // Which order comes first depends on the texts, as if drawn, and is the same whenever they are compared again.
        let order = |(question, first, second): &(&str, &str, &str), vote: u32| {
            let hash = Sha256::digest(format!("{}\0{}\0{question}\0{first}\0{second}", question.len(), first.len()));
            (u32::from(hash[0]) + vote) % 2 == 1
        };
        for pair @ (question, first, second) in pairs {
            for vote in (0..n_votes).filter(|_| first != second) {
                let (a, b) = if order(pair, vote) { (second, first) } else { (first, second) };
                requests.push(Request { vote, ..prompt::pair(question, a, b, self.options.max_chars) });
            }
        }
        let mut replies = self.client.ask_all(&requests).into_iter();
        let comparison = |pair: &(&str, &str, &str)| {
            if pair.1 == pair.2 {
                return Comparison { votes: Vec::new(), difference: Some(0.0) };
            }
            let vote = |(vote, reply): (u32, Result<Reply, NoReply>)| {
                let swapped = order(pair, vote);
                (swapped, self.vote(&reply, pair).map(|value| if swapped { -value } else { value }))
            };
            let votes: Vec<(bool, Option<i32>)> = (0..n_votes).zip(replies.by_ref()).map(vote).collect();
            Comparison::of(&votes)
        };
        pairs.iter().map(comparison).collect()
    }

    /// How much better A is; `None` if the judge does not say, which is counted.
    fn vote(&self, reply: &Result<Reply, NoReply>, (_, first, second): &(&str, &str, &str)) -> Option<i32> {
        let [first, second] = [first, second].map(|text| clean(text, self.options.max_chars));
        let label = match reply {
            Ok(reply) => read::label(reply, &[&first, &second]).map_err(read::NoVerdict::name),
            Err(why) => Err(why.name()),
        };
        label.map_err(|name| self.client.count_no_verdict(name)).ok().map(read::Label::value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_count_alike() {
        let check = |votes: &[(bool, Option<i32>)], difference: Option<f32>, preference: Option<Preference>| {
            let comparison = Comparison::of(votes);
            assert_eq!((comparison.difference, comparison.preference(1.0)), (difference, preference), "{votes:?}");
        };
        let (f, t) = (false, true);
        check(&[(f, Some(2)), (t, Some(1)), (f, Some(1)), (t, Some(2))], Some(1.5), Some(Preference::First));
        check(&[(f, Some(-2)), (t, Some(-2)), (f, Some(-2)), (t, Some(-2))], Some(-2.0), Some(Preference::Second));
        // Not greater than 1.
        check(&[(f, Some(1)), (t, Some(1)), (f, Some(1)), (t, Some(1))], Some(1.0), None);
        // A judge that likes what it sees first.
        check(&[(f, Some(2)), (t, Some(-2)), (f, Some(2)), (t, Some(-2))], Some(0.0), None);
        check(&[(f, Some(2)), (t, Some(-2)), (f, Some(2)), (t, None)], Some(0.0), None);
        check(&[(f, Some(2)), (t, None), (f, Some(2)), (t, None)], None, None);
        check(&[(f, Some(2)), (t, Some(1))], Some(1.5), Some(Preference::First));
    }

    #[test]
    fn settings_are_checked() {
        let check = |change: fn(&mut PairOptions), option: &str| {
            let mut options = PairOptions::default();
            assert_eq!(options.check(), Ok(()));
            change(&mut options);
            assert_eq!(options.check().unwrap_err().option, option);
        };
        check(|o| o.votes = 3, "votes");
        check(|o| o.votes = 0, "votes");
        check(|o| o.min_difference = 2.0, "min_difference");
        check(|o| o.min_difference = f32::NAN, "min_difference");
        check(|o| o.max_chars = 0, "max_chars");
    }
}
