//! The statistics of a selection: the table of domains, like DeepSeek-R1's Table 5, and the table of reasons.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::mix::Row;
use super::reason::{Reason, Rejection};
use super::sample::Sample;
use crate::telemetry::table;

/// What is counted of a domain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainCounts {
    /// Problems that were sampled for; 0 of rows that were mixed in.
    pub n_problems: u64,
    /// Problems with a row in the data.
    pub n_problems_kept: u64,
    /// Samples; 0 of rows that were mixed in.
    pub n_samples: u64,
    /// Samples that stayed.
    pub n_accepted: u64,
    /// Rows in the data: samples that stayed, and rows that were mixed in.
    pub n_rows: u64,
    /// Rounds of those rows: answers of the assistant.
    pub n_rounds: u64,
    /// Tokens of those rows.
    pub n_tokens: u64,
    /// Samples that did not stay, by reason.
    pub rejected: BTreeMap<Reason, u64>,
}

impl DomainCounts {
    fn add(&mut self, other: &Self) {
        self.n_problems += other.n_problems;
        self.n_problems_kept += other.n_problems_kept;
        self.n_samples += other.n_samples;
        self.n_accepted += other.n_accepted;
        self.n_rows += other.n_rows;
        self.n_rounds += other.n_rounds;
        self.n_tokens += other.n_tokens;
        for (reason, n) in &other.rejected {
            *self.rejected.entry(*reason).or_default() += n;
        }
    }
}

/// The statistics of a selection, by domain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// By the name of the domain.
    pub domains: BTreeMap<String, DomainCounts>,
}

/// Answers of the assistant in a row: of `messages`, else one.
pub fn rounds(row: &Row) -> u64 {
    let Some(messages) = row.get("messages").and_then(|messages| messages.as_array()) else { return 1 };
    let is_answer = |message: &&serde_json::Value| message.get("role").is_some_and(|role| role == "assistant");
    messages.iter().filter(is_answer).count() as u64
}

impl Statistics {
    /// Of samples and their fates, in the same order.
    ///
    /// # Panics
    ///
    /// If there are not as many of one as of the other.
    pub fn of(samples: &[Sample], fates: &[Option<Rejection>]) -> Self {
        assert_eq!(samples.len(), fates.len(), "each sample has a fate");
        let mut domains: BTreeMap<String, DomainCounts> = BTreeMap::new();
        let (mut problems, mut problems_kept) = (BTreeSet::new(), BTreeSet::new());
        for (sample, fate) in samples.iter().zip(fates) {
            let counts = domains.entry(sample.domain().to_owned()).or_default();
            let problem = (sample.domain(), &sample.problem.id, &sample.problem.question);
            counts.n_problems += u64::from(problems.insert(problem));
            counts.n_samples += 1;
            match fate {
                Some(rejection) => *counts.rejected.entry(rejection.reason).or_default() += 1,
                None => {
                    counts.n_problems_kept += u64::from(problems_kept.insert(problem));
                    counts.n_accepted += 1;
                    counts.n_rows += 1;
                    counts.n_rounds += 1;
                    counts.n_tokens += sample.n_tokens;
                }
            }
        }
        Self { domains }
    }

    /// Of samples of which pairs are made: a pair is a row of two rounds.
    ///
    /// - `pairs`: the numbers of its samples
    ///
    /// # Panics
    ///
    /// As [`Statistics::of`].
    pub fn of_pairs(samples: &[Sample], fates: &[Option<Rejection>], pairs: &[[usize; 2]]) -> Self {
        let mut statistics = Self::of(samples, fates);
        for counts in statistics.domains.values_mut() {
            (counts.n_rows, counts.n_rounds, counts.n_tokens) = (0, 0, 0);
        }
        for pair in pairs {
            let [one, other] = pair.map(|number| &samples[number]);
            statistics.add_row(one.domain(), 2, one.n_tokens + other.n_tokens);
        }
        statistics
    }

    /// Counts a row that was mixed in.
    pub fn add_row(&mut self, domain: &str, n_rounds: u64, n_tokens: u64) {
        let counts = self.domains.entry(domain.to_owned()).or_default();
        counts.n_rows += 1;
        counts.n_rounds += n_rounds;
        counts.n_tokens += n_tokens;
    }

    /// Of all domains together.
    pub fn total(&self) -> DomainCounts {
        let mut total = DomainCounts::default();
        self.domains.values().for_each(|counts| total.add(counts));
        total
    }

    /// Both tables for a terminal.
    pub fn text(&self) -> String {
        let mut text = table::text(&self.domain_rows());
        if !self.total().rejected.is_empty() {
            text += "\n\n";
            text += &table::text(&self.reason_rows());
        }
        text
    }

    /// Both tables in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = table::markdown(&self.domain_rows());
        if !self.total().rejected.is_empty() {
            text += "\n";
            text += &table::markdown(&self.reason_rows());
        }
        text
    }

    fn domain_rows(&self) -> Vec<[String; 8]> {
        let head = ["domain", "problems", "samples", "accepted", "rows", "mean rounds", "mean tokens", "tokens"]
            .map(str::to_owned);
        let row = |name: &str, counts: &DomainCounts| {
            [
                name.to_owned(),
                // Rows that were mixed in had no problem and no sample.
                dash_if_none(counts.n_problems),
                dash_if_none(counts.n_samples),
                share(counts.n_accepted, counts.n_samples),
                counts.n_rows.to_string(),
                mean(counts.n_rounds, counts.n_rows),
                mean(counts.n_tokens, counts.n_rows),
                counts.n_tokens.to_string(),
            ]
        };
        let domains = self.domains.iter().map(|(name, counts)| row(name, counts));
        std::iter::once(head).chain(domains).chain([row("total", &self.total())]).collect()
    }

    fn reason_rows(&self) -> Vec<[String; 3]> {
        let total = self.total();
        let head = ["dropped for", "samples", "of all"].map(str::to_owned);
        let row = |name: &str, n: u64| [name.to_owned(), n.to_string(), share(n, total.n_samples)];
        let reasons = total.rejected.iter().map(|(reason, n)| row(reason.name(), *n));
        std::iter::once(head).chain(reasons).chain([row("nothing: accepted", total.n_accepted)]).collect()
    }
}

fn dash_if_none(n: u64) -> String {
    if n == 0 { "-".to_owned() } else { n.to_string() }
}

fn share(n: u64, all: u64) -> String {
    if all == 0 { "-".to_owned() } else { format!("{:.1} %", 100.0 * n as f64 / all as f64) }
}

fn mean(sum: u64, n: u64) -> String {
    if n == 0 { "-".to_owned() } else { format!("{:.1}", sum as f64 / n as f64) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::screen::tests::sample;
    use super::*;

    fn in_domain(domain: &str, question: &str, n_tokens: u64) -> Sample {
        let mut sample = Sample { n_tokens, ..sample(question, "a") };
        sample.problem.gold.fields.insert("domain".to_owned(), domain.into());
        sample
    }

    fn statistics() -> Statistics {
        let samples = [
            in_domain("math", "p", 10),
            in_domain("math", "p", 20),
            in_domain("math", "q", 5),
            in_domain("code", "r", 7),
        ];
        let wrong = Some(Rejection::plain(Reason::NotCorrect));
        let mut statistics = Statistics::of(&samples, &[None, None, wrong.clone(), wrong]);
        statistics.add_row("general", 2, 31);
        statistics
    }

    #[test]
    fn the_table_is_that_of_the_samples() {
        let expected = "\
domain    problems   samples   accepted   rows   mean rounds   mean tokens   tokens
───────────────────────────────────────────────────────────────────────────────────
code             1         1      0.0 %      0             -             -        0
general          -         -          -      1           2.0          31.0       31
math             2         3     66.7 %      2           1.0          15.0       30
total            3         4     50.0 %      3           1.3          20.3       61

dropped for         samples   of all
────────────────────────────────────
not_correct               2   50.0 %
nothing: accepted         2   50.0 %";
        assert_eq!(statistics().text(), expected);
        let markdown = statistics().markdown();
        assert!(markdown.contains("| math | 2 | 3 | 66.7 % | 2 | 1.0 | 15.0 | 30 |\n"), "{markdown}");
        assert!(markdown.contains("|---|---:|---:|\n| not_correct | 2 | 50.0 % |\n"), "{markdown}");
        assert_eq!(statistics().domains["math"].n_problems_kept, 1);
    }

    #[test]
    fn rounds_are_answers_of_the_assistant() {
        let check =
            |row: &str, expected: u64| assert_eq!(rounds(&serde_json::from_str(row).unwrap()), expected, "{row}");
        check(r#"{"prompt": "p", "completion": "c"}"#, 1);
        check(r#"{"messages": [{"role": "user"}, {"role": "assistant"}, {"role": "user"}, {"role": "assistant"}]}"#, 2);
    }

    proptest! {
        #[test]
        fn counts_add_up(fates in proptest::collection::vec(proptest::option::of(0..Reason::ALL.len()), 0..40)) {
            let samples: Vec<Sample> = (0..fates.len()).map(|n| in_domain(["a", "b"][n % 2], &format!("{}", n / 3), 1)).collect();
            let fates: Vec<Option<Rejection>> =
                fates.into_iter().map(|fate| fate.map(|reason| Rejection::plain(Reason::ALL[reason]))).collect();
            let statistics = Statistics::of(&samples, &fates);
            for counts in statistics.domains.values().chain([&statistics.total()]) {
                prop_assert_eq!(counts.n_samples, counts.n_accepted + counts.rejected.values().sum::<u64>());
                prop_assert!(counts.n_problems_kept <= counts.n_problems);
            }
            prop_assert_eq!(statistics.total().n_samples, samples.len() as u64);
        }
    }
}
