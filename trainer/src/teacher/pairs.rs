//! Preference pairs from samples, by the votes of a model.

use std::collections::BTreeMap;

use llm_judge::{Failure, PairJudge, Preference};
use rewards::summary;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::selection::{Layout, Sample};

/// How pairs are made from samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PairSettings {
    /// Most pairs of one problem that are compared, at least 1. Default 1.
    pub pairs_per_problem: usize,
    /// Whether the longer answer is to be chosen as often as it is rejected: pairs too many of one kind are left out, so that
    /// length alone says nothing (DeepSeek-R1 has both of comparable length over the data set). Default true.
    pub balance_lengths: bool,
}

impl Default for PairSettings {
    fn default() -> Self {
        Self { pairs_per_problem: 1, balance_lengths: true }
    }
}

/// A preference pair: a row that stages of kind "reward_model" learn from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The question as the user asks it.
    pub question: String,
    /// The prompt that the samples were drawn from; empty where it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// The better completion.
    pub chosen: String,
    /// The other one.
    pub rejected: String,
    /// The row's field `domain`, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// How much better it is, above the least difference, 2 at most.
    pub difference: f32,
}

/// What became of the pairs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PairCounts {
    /// Problems with samples.
    pub n_problems: usize,
    /// Pairs that were compared.
    pub n_compared: usize,
    /// Those without a verdict in each order.
    pub n_no_verdict: usize,
    /// Those whose difference is too small.
    pub n_close: usize,
    /// Those left out for the balance of lengths.
    pub n_unbalanced: usize,
}

/// The pairs, in the order of the samples, and what became of the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Paired {
    /// The pairs that are kept.
    pub pairs: Vec<Pair>,
    /// Of each the numbers of its samples: of the chosen and of the rejected one.
    pub members: Vec<[usize; 2]>,
    /// Counts, which add up: compared = no verdict + close + unbalanced + kept.
    pub counts: PairCounts,
}

/// Two samples to be compared, by their final answers: a reader of preferences sees no thoughts (R1 judges the summary alone).
struct Candidate<'a> {
    numbers: [usize; 2],
    answers: [&'a str; 2],
}

/// A pair with the numbers of its samples, and how much longer the chosen answer is, in characters.
struct Decided {
    pair: Pair,
    members: [usize; 2],
    longer: i64,
}

/// Pairs that are asked for, for each request that may be in flight, before it is looked whether to stop.
const ROUNDS: usize = 8;

/// Compares samples of the same question, and keeps the pairs in which one is clearly better.
///
/// Which samples of a problem are paired is drawn by a hash of their texts and `seed`, so it does not depend on how they were
/// sorted. Samples without a final answer, or with the same one, are not compared.
///
/// - `is_to_stop`: whether the user wants to end; then there is nothing, and what was answered is in the judge's cache
///
/// # Errors
///
/// The judge's, if it has failed: nothing is to be made of a part of the votes. What it has answered is in its cache.
pub fn pairs(
    samples: &[Sample],
    layout: &Layout,
    settings: PairSettings,
    judge: &PairJudge,
    seed: u64,
    is_to_stop: impl Fn() -> bool,
) -> Result<Option<Paired>, Failure> {
    let mut by_question: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    for (number, sample) in samples.iter().enumerate() {
        let question = sample.problem.question.as_str();
        let group = by_question.entry(question).or_default();
        if group.is_empty() {
            order.push(question);
        }
        group.push(number);
    }
    let of_question = |question: &&str| candidates(samples, &by_question[question], layout, settings, seed);
    let candidates: Vec<Candidate<'_>> = order.iter().flat_map(of_question).collect();
    let texts: Vec<(&str, &str, &str)> = candidates
        .iter()
        .map(|Candidate { numbers, answers }| (&*samples[numbers[0]].problem.question, answers[0], answers[1]))
        .collect();
    let mut comparisons = Vec::with_capacity(texts.len());
    for texts in texts.chunks(ROUNDS * judge.client().options().concurrency) {
        if is_to_stop() {
            return Ok(None);
        }
        comparisons.extend(judge.compare_all(texts));
        if let Some(failure) = judge.client().failure() {
            return Err(failure);
        }
    }
    let mut counts = PairCounts { n_problems: order.len(), n_compared: candidates.len(), ..PairCounts::default() };
    let mut kept = Vec::new();
    for (candidate, comparison) in candidates.iter().zip(&comparisons) {
        match (comparison.preference(judge.options().min_difference), comparison.difference) {
            (Some(better), Some(difference)) => kept.push(decided(samples, candidate, better, difference.abs())),
            (_, Some(_)) => counts.n_close += 1,
            (_, None) => counts.n_no_verdict += 1,
        }
    }
    if settings.balance_lengths {
        counts.n_unbalanced = balance(&mut kept, seed);
    }
    let members = kept.iter().map(|decided| decided.members).collect();
    Ok(Some(Paired { pairs: kept.into_iter().map(|decided| decided.pair).collect(), members, counts }))
}

/// The pairs of one problem that are compared.
fn candidates<'a>(
    samples: &'a [Sample],
    group: &[usize],
    layout: &Layout,
    settings: PairSettings,
    seed: u64,
) -> Vec<Candidate<'a>> {
    let with_answer = |&number: &usize| (number, final_answer(&samples[number], layout));
    let with_answers: Vec<(usize, &str)> = group.iter().map(with_answer).filter(|(_, a)| !a.is_empty()).collect();
    let mut found = Vec::new();
    for (idx, &(first, one)) in with_answers.iter().enumerate() {
        for &(second, other) in &with_answers[idx + 1..] {
            if one != other {
                // Whatever order the two came in.
                let mut two = [(first, one), (second, other)];
                two.sort_by_key(|(number, _)| &samples[*number].completion);
                let [one, other] = two.map(|(number, _)| &*samples[number].completion);
                let ticket = ticket(seed, &[&samples[first].problem.question, one, other]);
                found.push((ticket, Candidate { numbers: two.map(|(n, _)| n), answers: two.map(|(_, a)| a) }));
            }
        }
    }
    found.sort_by_key(|(ticket, _)| *ticket);
    found.dedup_by(|(a, _), (b, _)| a == b);
    found.truncate(settings.pairs_per_problem);
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

/// The summary in the layout of the rows, else in the layout of tags.
fn final_answer<'a>(sample: &'a Sample, layout: &Layout) -> &'a str {
    let parts = layout.read(&sample.completion, layout.is_opened_by(&sample.prompt));
    let in_tags = || summary(&sample.completion, sample.view().think_prefilled).unwrap_or_default();
    parts.map_or_else(in_tags, |parts| parts.summary)
}

fn decided(samples: &[Sample], candidate: &Candidate<'_>, better: Preference, difference: f32) -> Decided {
    let Candidate { numbers: [first, second], answers } = *candidate;
    let n_chars = answers.map(|answer| answer.chars().count() as i64);
    let (members, longer) = match better {
        Preference::First => ([first, second], n_chars[0] - n_chars[1]),
        Preference::Second => ([second, first], n_chars[1] - n_chars[0]),
    };
    let [chosen, rejected] = members.map(|number| &samples[number]);
    let domain = chosen.problem.gold.fields.get("domain").and_then(|domain| domain.as_str()).map(str::to_owned);
    let pair = Pair {
        question: chosen.problem.question.clone(),
        prompt: chosen.prompt.clone(),
        chosen: chosen.completion.clone(),
        rejected: rejected.completion.clone(),
        domain,
        difference,
    };
    Decided { pair, members, longer }
}

/// Takes out pairs until the longer answer is chosen as often as rejected; gives how many. Which ones is drawn.
fn balance(pairs: &mut Vec<Decided>, seed: u64) -> usize {
    let numbers = |sign: i64, pairs: &[Decided]| -> Vec<usize> {
        (0..pairs.len()).filter(|&number| pairs[number].longer.signum() == sign).collect()
    };
    let (longer, shorter) = (numbers(1, pairs), numbers(-1, pairs));
    let n_surplus = longer.len().abs_diff(shorter.len());
    let mut surplus = if longer.len() > shorter.len() { longer } else { shorter };
    surplus.sort_by_cached_key(|&number| {
        let Pair { question, chosen, rejected, .. } = &pairs[number].pair;
        ticket(seed, &[question, chosen, rejected])
    });
    surplus.truncate(n_surplus);
    let mut number = 0;
    pairs.retain(|_| {
        number += 1;
        !surplus.contains(&(number - 1))
    });
    n_surplus
}

/// Who has the smallest comes first.
fn ticket(seed: u64, texts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_be_bytes());
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

#[cfg(test)]
#[path = "pairs_tests.rs"]
mod tests;
