//! Duplicates among the samples of one question: which of them stays.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use super::reason::{Reason, Rejection};
use super::sample::Sample;
use super::text::{Symbols, jaccard, ngram_set, normalised, words};

/// Words of the n-grams by which near duplicates are compared. Signs are words: `3 + 5` is not `3 - 5`.
const NGRAM: usize = 3;

/// What counts as a duplicate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Duplicates {
    /// Whether completions that are one text but for white space and case are.
    pub exact: bool,
    /// The share of 3-grams, |A n B| / |A u B|, from which on two completions are; `None`: none are.
    pub near: Option<f64>,
}

/// The better of two samples first: the higher reward, then the shorter, then the earlier, then by text. Without a reward
/// comes last. The order is one of the samples themselves, and not of where they stand.
pub(super) fn better_first(a: &Sample, b: &Sample) -> Ordering {
    let reward = |sample: &Sample| sample.reward.unwrap_or(f32::NEG_INFINITY);
    reward(b).total_cmp(&reward(a)).then_with(|| shorter_first(a, b))
}

/// The shorter of two samples first, then the earlier, then by text.
pub(super) fn shorter_first(a: &Sample, b: &Sample) -> Ordering {
    let key = |sample: &Sample| (sample.n_tokens, sample.provenance.as_ref().map_or(0, |provenance| provenance.sample));
    key(a).cmp(&key(b)).then_with(|| a.completion.cmp(&b.completion)).then_with(|| a.identity().cmp(&b.identity()))
}

impl Duplicates {
    /// Which of `samples`, given by number, repeat another one of the same question. The best stays.
    pub(crate) fn find(&self, samples: &[Sample], numbers: &[usize]) -> Vec<(usize, Rejection)> {
        if !self.exact && self.near.is_none() {
            return Vec::new();
        }
        let mut by_question: HashMap<String, Vec<usize>> = HashMap::new();
        for &number in numbers {
            by_question.entry(normalised(&samples[number].problem.question)).or_default().push(number);
        }
        by_question.into_values().flat_map(|group| self.of_question(samples, group)).collect()
    }

    fn of_question(&self, samples: &[Sample], mut group: Vec<usize>) -> Vec<(usize, Rejection)> {
        group.sort_by(|&a, &b| better_first(&samples[a], &samples[b]));
        let mut texts: HashSet<String> = HashSet::new();
        let mut kept: Vec<HashSet<u64>> = Vec::new();
        let mut dropped = Vec::new();
        for number in group {
            let completion = &samples[number].completion;
            if self.exact && !texts.insert(normalised(completion)) {
                dropped.push((number, Rejection::plain(Reason::Duplicate)));
                continue;
            }
            let Some(near) = self.near else { continue };
            let ngrams = ngram_set(&words(completion, Symbols::Keep), NGRAM);
            let overlap = kept.iter().map(|other| jaccard(other, &ngrams)).fold(0.0, f64::max);
            if overlap >= near {
                let detail = format!("{overlap:.2} of the {NGRAM}-grams are another's, less than {near} is asked for");
                dropped.push((number, Rejection::new(Reason::NearDuplicate, detail)));
            } else {
                kept.push(ngrams);
            }
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::super::screen::tests::sample;
    use super::*;

    #[test]
    fn the_best_of_equals_stays() {
        let check = |duplicates: Duplicates, completions: &[(&str, f32)], expected: &[(usize, Reason)]| {
            let samples: Vec<Sample> = (completions.iter())
                .map(|(text, reward)| Sample { reward: Some(*reward), ..sample("q", text) })
                .collect();
            let numbers: Vec<usize> = (0..samples.len()).collect();
            let mut found: Vec<(usize, Reason)> =
                duplicates.find(&samples, &numbers).into_iter().map(|(number, found)| (number, found.reason)).collect();
            found.sort();
            assert_eq!(found, expected, "{completions:?}");
        };
        let exact = Duplicates { exact: true, near: None };
        check(exact, &[("A  b", 0.0), ("a b", 1.0), ("a c", 1.0)], &[(0, Reason::Duplicate)]);
        check(exact, &[("3 + 5", 1.0), ("3 - 5", 1.0), ("3+5", 1.0)], &[]);
        let near = Duplicates { exact: true, near: Some(0.5) };
        check(near, &[("a b c d e f", 1.0), ("a b c d e g", 1.0), ("x y z", 1.0)], &[(1, Reason::NearDuplicate)]);
        check(near, &[("3 + 5", 1.0), ("3 - 5", 1.0)], &[]);
        check(Duplicates { exact: false, near: None }, &[("a", 1.0), ("a", 1.0)], &[]);
    }

    #[test]
    fn another_question_is_another_matter() {
        let samples = [sample("q", "a"), sample("r", "a"), sample(" Q", "a")];
        let found = Duplicates { exact: true, near: None }.find(&samples, &[0, 1, 2]);
        assert_eq!(found.len(), 1);
        assert_ne!(found[0].0, 1);
    }
}
