//! Which samples of a problem stay, of those that pass the screen: rejection sampling as a whole.

use std::collections::BTreeMap;

use rayon::prelude::*;
use rollout::random::Stream;
use serde::{Deserialize, Serialize};

use super::draw::Lottery;
use super::duplicates::{better_first, shorter_first};
use super::reason::{Reason, Rejection};
use super::sample::Sample;
use super::screen::Screen;

/// Which samples of a problem are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// `all_correct`: all that pass and are not wrong; over the cap per problem they are drawn (DeepSeek-R1).
    #[default]
    AllCorrect,
    /// `best_of_k`: those with the highest reward; of equals the shorter, then the first.
    BestOfK,
    /// `shortest_correct`: the shortest that are not wrong; of equals the first.
    ShortestCorrect,
}

/// How many samples stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keep {
    /// Which of a problem's samples. Default `all_correct`.
    pub choice: Choice,
    /// Most samples of a problem, 1 or more. Default: all of them with `all_correct`, else 1.
    pub per_problem: Option<u64>,
    /// Most samples of all, 1 or more, drawn from what is left. Default none.
    pub total: Option<u64>,
}

/// The two lotteries: over the samples of a problem, and over all.
const OF_PROBLEM: u64 = 0;
const OF_ALL: u64 = 1;

/// Rejection sampling: for each of `samples`, in their order, why it is dropped; `None` for those that stay.
///
/// First the screen looks at each by itself. Duplicates among the rest go. Then `keep` chooses among each problem's, and the
/// total is drawn. What is chosen depends on the samples and on `stream`, and not on their order.
pub fn select(samples: &[Sample], screen: &Screen, keep: &Keep, stream: &Stream) -> Vec<Option<Rejection>> {
    let mut fates: Vec<Option<Rejection>> = samples.par_iter().map(|sample| screen.reject(sample)).collect();
    for (number, rejection) in screen.duplicates().find(samples, &left(&fates)) {
        fates[number] = Some(rejection);
    }
    let lottery = |use_idx| Lottery::new(&Stream::new(stream.bits(use_idx), &[]));
    let mut by_problem: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for number in left(&fates) {
        let problem = &samples[number].problem;
        by_problem.entry((&problem.id, &problem.question)).or_default().push(number);
    }
    for group in by_problem.into_values() {
        for (number, reason) in keep.of_problem(samples, group, lottery(OF_PROBLEM)) {
            fates[number] = Some(Rejection::plain(reason));
        }
    }
    if let Some(total) = keep.total {
        let mut rest = left(&fates);
        lottery(OF_ALL).shuffle(&mut rest, |&number| samples[number].identity());
        for number in rest.split_off(at_most(total, rest.len())) {
            fates[number] = Some(Rejection::plain(Reason::OverTotalCap));
        }
    }
    fates
}

impl Keep {
    /// Which samples of one problem go, of those that passed.
    fn of_problem(&self, samples: &[Sample], mut group: Vec<usize>, lottery: Lottery) -> Vec<(usize, Reason)> {
        let mut dropped = Vec::new();
        if self.choice != Choice::BestOfK {
            // The screen may have let wrong answers pass; these choices do not.
            group.retain(|&number| {
                let is_wrong = samples[number].correct == Some(false);
                dropped.extend(is_wrong.then_some((number, Reason::NotCorrect)));
                !is_wrong
            });
        }
        let (default, reason) = match self.choice {
            Choice::AllCorrect => {
                lottery.shuffle(&mut group, |&number| samples[number].identity());
                (None, Reason::OverProblemCap)
            }
            Choice::BestOfK => {
                group.sort_by(|&a, &b| better_first(&samples[a], &samples[b]));
                (Some(1), Reason::NotBest)
            }
            Choice::ShortestCorrect => {
                group.sort_by(|&a, &b| shorter_first(&samples[a], &samples[b]));
                (Some(1), Reason::NotBest)
            }
        };
        if let Some(cap) = self.per_problem.or(default) {
            let n_kept = at_most(cap, group.len());
            dropped.extend(group.split_off(n_kept).into_iter().map(|number| (number, reason)));
        }
        dropped
    }
}

fn at_most(cap: u64, n: usize) -> usize {
    usize::try_from(cap).unwrap_or(usize::MAX).min(n)
}

/// The numbers of those that have not been dropped.
fn left(fates: &[Option<Rejection>]) -> Vec<usize> {
    (0..fates.len()).filter(|&number| fates[number].is_none()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::filters::{Correctness, Filters};
    use super::super::layout::Layout;
    use super::super::screen::tests::sample;
    use super::*;

    fn screen(filters: Filters) -> Screen {
        Screen::new(filters, Layout::ThinkAnswer, None, None).unwrap()
    }

    fn open() -> Screen {
        screen(Filters { correct: Correctness::Ignored, truncated: true, duplicates: true, ..Filters::default() })
    }

    fn stream() -> Stream {
        Stream::new(5, &[9])
    }

    /// Samples of `(question, text, reward, tokens)`; those with a reward are right.
    fn samples(rows: &[(&str, &str, f32, u64)]) -> Vec<Sample> {
        let one = |&(question, text, reward, n_tokens): &(&str, &str, f32, u64)| Sample {
            reward: Some(reward),
            correct: Some(reward > 0.0),
            n_tokens,
            ..sample(question, text)
        };
        rows.iter().map(one).collect()
    }

    fn check(keep: Keep, rows: &[(&str, &str, f32, u64)], expected: &[Option<Reason>]) {
        let fates = select(&samples(rows), &open(), &keep, &stream());
        let reasons: Vec<Option<Reason>> = fates.iter().map(|fate| fate.as_ref().map(|fate| fate.reason)).collect();
        assert_eq!(reasons, expected, "{keep:?}");
    }

    #[test]
    fn each_choice_takes_what_it_says() {
        let keep = |choice, per_problem| Keep { choice, per_problem, total: None };
        let (wrong, worse, over) = (Some(Reason::NotCorrect), Some(Reason::NotBest), Some(Reason::OverProblemCap));
        let rows = [("p", "a", 0.5, 7), ("p", "b", 1.0, 9), ("p", "c", 1.0, 8), ("p", "d", 0.0, 1), ("q", "e", 0.0, 2)];
        check(keep(Choice::AllCorrect, None), &rows, &[None, None, None, wrong, wrong]);
        check(keep(Choice::BestOfK, None), &rows, &[worse, worse, None, worse, None]);
        check(keep(Choice::BestOfK, Some(2)), &rows, &[worse, None, None, worse, None]);
        check(keep(Choice::ShortestCorrect, None), &rows, &[None, worse, worse, wrong, wrong]);
        check(keep(Choice::AllCorrect, Some(9)), &rows, &[None, None, None, wrong, wrong]);
        let fates = select(&samples(&rows), &open(), &keep(Choice::AllCorrect, Some(2)), &stream());
        assert_eq!(fates.iter().filter(|fate| fate.as_ref().map(|fate| fate.reason) == over).count(), 1);
        // Of equal rewards and lengths the first.
        check(keep(Choice::BestOfK, None), &[("p", "b", 1.0, 3), ("p", "a", 1.0, 3)], &[worse, None]);
    }

    #[test]
    fn the_screen_goes_before_the_choice() {
        let rows = samples(&[("p", "long", 1.0, 99), ("p", "short", 0.5, 5)]);
        let screen = screen(Filters { max_tokens: Some(50), ..Filters::default() });
        let fates = select(&rows, &screen, &Keep { choice: Choice::BestOfK, ..Keep::default() }, &stream());
        assert_eq!(fates[0].as_ref().map(|fate| fate.reason), Some(Reason::TooLong));
        assert_eq!(fates[1], None);
    }

    #[test]
    fn other_seeds_draw_others() {
        let rows: Vec<Sample> = (0..40).map(|n| sample("p", &format!("text {n}"))).collect();
        let keep = Keep { total: Some(5), ..Keep::default() };
        let drawn = |seed| select(&rows, &open(), &keep, &Stream::new(seed, &[]));
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }

    fn any_sample() -> impl Strategy<Value = Sample> {
        let correct = prop_oneof![Just(None), Just(Some(false)), Just(Some(true))];
        let text = prop_oneof!["[ab] [ab] [ab]", "<think>[ab] </think> [ab]", "a\n```[ab]\n"];
        (0..4_u8, text, correct, 0..4_u8, 1..9_u64, any::<bool>()).prop_map(
            |(question, text, correct, reward, n_tokens, truncated)| {
                let reward = Some(f32::from(reward));
                Sample { correct, reward, n_tokens, truncated, ..sample(&format!("q{question}"), &text) }
            },
        )
    }

    fn any_keep() -> impl Strategy<Value = Keep> {
        let choice = prop_oneof![Just(Choice::AllCorrect), Just(Choice::BestOfK), Just(Choice::ShortestCorrect)];
        let cap = || proptest::option::of(1..4_u64);
        (choice, cap(), cap()).prop_map(|(choice, per_problem, total)| Keep { choice, per_problem, total })
    }

    fn any_filters() -> impl Strategy<Value = Filters> {
        let correct = prop_oneof![Just(Correctness::Required), Just(Correctness::IfJudged), Just(Correctness::Ignored)];
        (correct, any::<[bool; 4]>(), 0..6_u64, proptest::option::of(0.1..1.0)).prop_map(
            |(correct, [truncated, summary, code_blocks, duplicates], min_tokens, near_duplicates)| Filters {
                correct,
                truncated,
                summary,
                code_blocks,
                duplicates,
                min_tokens,
                near_duplicates,
                ..Filters::default()
            },
        )
    }

    /// What stays, as a sorted list of texts.
    fn kept(samples: &[Sample], fates: &[Option<Rejection>]) -> Vec<String> {
        let pairs = samples.iter().zip(fates).filter(|(_, fate)| fate.is_none());
        let mut kept: Vec<String> = pairs.map(|(sample, _)| serde_json::to_string(sample).unwrap()).collect();
        kept.sort();
        kept
    }

    proptest! {
        #[test]
        fn nothing_stays_that_a_filter_forbids_and_caps_hold(
            samples in proptest::collection::vec(any_sample(), 0..24), keep in any_keep(), filters in any_filters(),
        ) {
            let screen = screen(filters.clone());
            let fates = select(&samples, &screen, &keep, &stream());
            let kept: Vec<&Sample> = samples.iter().zip(&fates).filter(|(_, fate)| fate.is_none()).map(|(s, _)| s).collect();
            for sample in &kept {
                prop_assert!(sample.n_tokens >= filters.min_tokens);
                prop_assert!(filters.truncated || !sample.truncated);
                prop_assert!(filters.code_blocks || !sample.completion.contains("```"));
                prop_assert!(!filters.summary || sample.completion.contains("</think>"));
                let allowed: &[Option<bool>] = match filters.correct {
                    Correctness::Required => &[Some(true)],
                    Correctness::IfJudged => &[Some(true), None],
                    Correctness::Ignored => &[Some(true), Some(false), None],
                };
                prop_assert!(allowed.contains(&sample.correct));
                prop_assert!(keep.choice == Choice::BestOfK || sample.correct != Some(false));
                let same = |other: &&&Sample| other.problem.id == sample.problem.id;
                let of_problem = kept.iter().filter(same).count() as u64;
                prop_assert!(keep.per_problem.is_none_or(|cap| of_problem <= cap));
                prop_assert!(keep.choice == Choice::AllCorrect || keep.per_problem.is_some() || of_problem == 1);
                let twins = kept.iter().filter(same).filter(|other| other.completion == sample.completion).count();
                prop_assert!(filters.duplicates || twins == 1);
            }
            prop_assert!(keep.total.is_none_or(|cap| kept.len() as u64 <= cap));
        }

        #[test]
        fn the_order_of_samples_changes_nothing(
            samples in proptest::collection::vec(any_sample(), 0..24), keep in any_keep(), filters in any_filters(), seed: u64,
        ) {
            let screen = screen(filters);
            let forward = kept(&samples, &select(&samples, &screen, &keep, &stream()));
            let mut shuffled = samples.clone();
            Stream::new(seed, &[]).draws().shuffle(&mut shuffled);
            prop_assert_eq!(forward, kept(&shuffled, &select(&shuffled, &screen, &keep, &stream())));
        }
    }
}
