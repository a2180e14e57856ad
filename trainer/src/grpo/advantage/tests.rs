//! Advantages by hand, against TRL and RLOO's formula, and what has to hold of any rewards.

use super::decoupled::{WideScores, decoupled_in_float64};
use super::*;
use proptest::prelude::*;

fn check(groups: &[&[Option<f32>]], scale: AdvantageScale, expected: &[&[f32]]) {
    let got = advantages(groups, &AdvantageRule::grpo(scale));
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(*expected) {
            assert!((got - expected).abs() <= 1e-6 * expected.abs(), "{groups:?} {scale:?}: {got} for {expected}");
        }
    }
}

#[test]
fn worked_by_hand() {
    use AdvantageScale::{Batch, Group, None as Unscaled};
    let s = Some;
    // mean 0.25, sample deviation 0.5: (1 - 0.25) / 0.5001 and -0.25 / 0.5001.
    let lone_success: &[Option<f32>] = &[s(1.0), s(0.0), s(0.0), s(0.0)];
    check(&[lone_success], Group, &[&[1.499_700_1, -0.499_9, -0.499_9, -0.499_9]]);
    check(&[lone_success], Unscaled, &[&[0.75, -0.25, -0.25, -0.25]]);
    // Two groups, their own means 0.5 and 2, one deviation of [0, 1, 1, 3]: sqrt(4.75 / 3) = 1.258306.
    let two: &[&[Option<f32>]] = &[&[s(0.0), s(1.0)], &[s(1.0), s(3.0)]];
    check(two, Batch, &[&[-0.397_328_03, 0.397_328_03], &[-0.794_656_06, 0.794_656_06]]);
    // No reward: out of the baseline, no advantage.
    check(&[&[s(1.0), None, s(0.0)]], Unscaled, &[&[0.5, 0.0, -0.5]]);
    check(&[&[s(1.0), None, s(0.0)]], Group, &[&[0.707_006_8, 0.0, -0.707_006_8]]);
    // Alone in its group, and nobody at all.
    check(&[&[s(0.7), None], &[None, None], &[]], Group, &[&[0.0, 0.0], &[0.0, 0.0], &[]]);
    check(&[&[s(0.7), None], &[s(1.0), s(0.0)]], Batch, &[&[0.0, 0.0], &[0.974_164_84, -0.974_164_84]]);
}

#[test]
fn a_reward_that_is_not_finite_is_not_hidden() {
    for bad in [f32::NAN, f32::INFINITY] {
        let got =
            advantages(&[[Some(bad), Some(0.0)], [Some(1.0), Some(0.0)]], &AdvantageRule::grpo(AdvantageScale::Group));
        assert!(got[0].iter().any(|a| !a.is_finite()), "{got:?}");
        assert!(got[1].iter().all(|a| a.is_finite()), "{got:?}");
    }
}

fn rewards() -> impl Strategy<Value = Vec<Option<f32>>> {
    // Multiples of 1/64: sums with a shift of that kind are exact, so the properties can be exact where they
    // should.
    prop::collection::vec(prop::option::weighted(0.9, (-256i32..256).prop_map(|n| n as f32 / 64.0)), 1..24)
}

/// Every rule that compares a completion with its group.
fn rules() -> impl Strategy<Value = AdvantageRule> {
    use AdvantageScale::{Batch, Centred, Group, None as Unscaled};
    let scales = prop::sample::select(vec![Group, Batch, Centred, Unscaled]);
    let baselines = prop::sample::select(vec![Baseline::GroupMean, Baseline::LeaveOneOut]);
    let divisors = prop::sample::select(vec![StdDivisor::Sample, StdDivisor::Population]);
    (scales, baselines, divisors).prop_map(|(scale, baseline, divisor)| AdvantageRule {
        baseline,
        divisor,
        ..AdvantageRule::grpo(scale)
    })
}

/// The advantages trl computes from the same rewards, made by scripts/golden/advantages.py.
#[test]
fn equal_to_trl() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/advantages.json");
    let cases: Vec<GoldenCase> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(cases.len() >= 36, "{} cases", cases.len());
    for case in cases {
        let got = match case.scale.as_str() {
            "decoupled" => {
                let scores = |row: &Vec<Option<f64>>| case.weights.iter().copied().zip(row.iter().copied()).collect();
                let rows: Vec<WideScores> = case.rewards.iter().map(scores).collect();
                let groups: Vec<_> = rows.chunks(case.group_size).map(<[_]>::to_vec).collect();
                decoupled_in_float64(&groups, &AdvantageRule::grpo(AdvantageScale::Group)).concat()
            }
            scale => {
                let scale = serde_json::from_value(scale.into()).unwrap();
                let sums: Vec<Option<f64>> = case.rewards.iter().map(|row| weighted_sum(row, &case.weights)).collect();
                let groups: Vec<_> = sums.chunks(case.group_size).map(<[_]>::to_vec).collect();
                advantages_in_float64(&groups, &AdvantageRule::grpo(scale)).concat()
            }
        };
        assert_eq!(got.len(), case.advantages_float64.len());
        for (got, expected) in got.iter().zip(&case.advantages_float64) {
            // TRL rounds Bessel's n / (n - 1) to float32, hence no closer.
            let difference = (got - expected).abs();
            assert!(difference <= 1e-7 * expected.abs().max(1e-6), "{} {:?}: {got}, {expected}", case.name, case.scale);
        }
    }
}

#[derive(Deserialize)]
struct GoldenCase {
    name: String,
    scale: String,
    group_size: usize,
    weights: Vec<f64>,
    rewards: Vec<Vec<Option<f64>>>,
    advantages_float64: Vec<f64>,
}

/// The reward of a completion from its tables: a table that does not apply adds nothing, and no table is no reward.
fn weighted_sum(row: &[Option<f64>], weights: &[f64]) -> Option<f64> {
    let applicable = row.iter().zip(weights).filter_map(|(score, weight)| score.map(|score| score * weight));
    row.iter().any(Option::is_some).then(|| applicable.sum())
}

fn map(groups: &[Vec<Option<f32>>], f: impl Fn(f32) -> f32) -> Vec<Vec<Option<f32>>> {
    groups.iter().map(|group| group.iter().map(|reward| reward.map(&f)).collect()).collect()
}

proptest! {
    #[test]
    fn every_group_sums_to_zero(groups in prop::collection::vec(rewards(), 1..4), rule in rules()) {
        for group in advantages(&groups, &rule) {
            let sum: f64 = group.iter().map(|&a| f64::from(a)).sum();
            let size: f64 = group.iter().map(|&a| f64::from(a).abs()).sum();
            prop_assert!(sum.abs() <= 1e-6 * size, "{} of {}", sum, size);
        }
    }

    #[test]
    fn a_shift_of_a_group_changes_nothing(group in rewards(), shift in -64i32..64, rule in rules()) {
        let groups = [group];
        let shifted = map(&groups, |reward| reward + shift as f32);
        for (a, b) in advantages(&groups, &rule)[0].iter().zip(&advantages(&shifted, &rule)[0]) {
            prop_assert!((a - b).abs() <= 1e-6 * a.abs().max(1e-3));
        }
    }

    #[test]
    fn the_sign_of_the_rewards_is_the_sign_of_the_advantages(group in rewards(), rule in rules()) {
        let groups = [group];
        let flipped: Vec<f32> = advantages(&map(&groups, |reward| -reward), &rule)[0].iter().map(|a| -a).collect();
        prop_assert_eq!(&advantages(&groups, &rule)[0], &flipped);
    }

    #[test]
    fn order_within_a_group_does_not_matter(group in rewards(), turn in 0usize..24, rule in rules()) {
        let turn = turn % group.len();
        let mut turned = group.clone();
        turned.rotate_left(turn);
        let mut expected = advantages(&[group], &rule).remove(0);
        expected.rotate_left(turn);
        for (a, b) in expected.iter().zip(&advantages(&[turned], &rule)[0]) {
            prop_assert!((a - b).abs() <= 1e-6 * a.abs().max(1e-6));
        }
    }

    #[test]
    fn equal_rewards_give_exact_zeros(reward in any::<f32>().prop_filter("finite", |r| r.is_finite()),
                                      n in 1usize..70, rule in rules()) {
        prop_assert!(advantages(&[vec![Some(reward); n]], &rule)[0].iter().all(|&a| a == 0.0));
    }

    #[test]
    fn a_scaled_group_has_unit_deviation(group in rewards()) {
        let spread = Moments::of(group.iter().flatten().map(|&r| f64::from(r)), StdDivisor::Sample).std;
        let scaled = Moments::of(advantages(&[&group], &AdvantageRule::grpo(AdvantageScale::Group))[0].iter().zip(&group)
            .filter(|(_, reward)| reward.is_some()).map(|(&a, _)| f64::from(a)), StdDivisor::Sample).std;
        prop_assert!((scaled - spread / (spread + STD_EPSILON)).abs() < 1e-6);
    }
}
