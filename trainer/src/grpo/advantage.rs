//! Group-relative advantages: how much better a completion did than its group (DeepSeekMath, section 4.1.2).

use serde::{Deserialize, Serialize};

/// Added to the standard deviation before the division, as TRL does; DeepSeekMath states none.
///
/// With it a group whose rewards differ by less than about 1e-4 is damped instead of blown up to unit variance.
pub const STD_EPSILON: f64 = 1e-4;

/// What the centred rewards are divided by. The standard deviation is the sample's (Bessel's correction).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdvantageScale {
    /// `std(group) + 1e-4`: DeepSeekMath, section 4.1.2.
    #[default]
    Group,
    /// `std(all rewards of the batch) + 1e-4`: Lite PPO (arXiv 2508.08221).
    Batch,
    /// Nothing: Dr. GRPO (arXiv 2503.20783), which removes the bias towards questions of small variance.
    None,
}

/// How the rewards of several rules become one advantage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardCombination {
    /// Their weighted sum is normalised: [`advantages`].
    #[default]
    Sum,
    /// Each is normalised in its group, then the weighted sum over the batch: [`decoupled_advantages`], GDPO.
    NormalizeThenSum,
}

/// The score of one rule for one completion, with its weight; `None` where the rule did not apply.
pub type WeightedScore = (f64, Option<f32>);

/// Advantages by GDPO (arXiv 2601.05242), as TRL computes them (`multi_objective_aggregation = "normalize_then_sum"`): each
/// rule's scores are centred on their group's mean and divided by its deviation + 1e-4, the weighted sum of these is
/// centred on the batch's mean and divided by the batch's deviation + 1e-4. So a rule with a small spread counts as much
/// as one with a large spread.
///
/// - `groups`: for each group and completion the scores of all rules, in one order
/// - Result: one advantage for each completion; 0 where no rule applied
pub fn decoupled_advantages(groups: &[Vec<Vec<WeightedScore>>]) -> Vec<Vec<f32>> {
    let wide =
        |scores: &Vec<WeightedScore>| scores.iter().map(|&(weight, score)| (weight, score.map(f64::from))).collect();
    let groups: Vec<Vec<WideScores>> = groups.iter().map(|group| group.iter().map(wide).collect()).collect();
    let narrow = |group: Vec<f64>| group.into_iter().map(|advantage| advantage as f32).collect();
    decoupled_in_float64(&groups).into_iter().map(narrow).collect()
}

/// The scores of one completion in float64.
type WideScores = Vec<(f64, Option<f64>)>;

/// [`decoupled_advantages`] before the result is rounded to float32.
fn decoupled_in_float64(groups: &[Vec<WideScores>]) -> Vec<Vec<f64>> {
    let sums: Vec<Vec<Option<f64>>> = groups.iter().map(|group| sums_of_normalised(group)).collect();
    let Moments { mean, std } = Moments::of(sums.iter().flatten().flatten().copied());
    let whitened = |sum: &Option<f64>| sum.map_or(0.0, |sum| (sum - mean) / (std + STD_EPSILON));
    sums.iter().map(|group| group.iter().map(whitened).collect()).collect()
}

fn sums_of_normalised(group: &[WideScores]) -> Vec<Option<f64>> {
    let n_rules = group.first().map_or(0, Vec::len);
    let of_rule = |rule: usize| group.iter().filter_map(move |scores| scores[rule].1);
    let moments: Vec<Moments> = (0..n_rules).map(|rule| Moments::of(of_rule(rule))).collect();
    let sum = |scores: &WideScores| {
        // A weight of 0 only records: such a rule makes no reward where no other applies.
        let counted = scores.iter().zip(&moments).filter(|((weight, _), _)| *weight != 0.0);
        let terms = counted.filter_map(|(&(weight, score), Moments { mean, std })| {
            Some(weight * (score? - mean) / (std + STD_EPSILON))
        });
        terms.reduce(|sum, term| sum + term)
    };
    group.iter().map(sum).collect()
}

/// The advantage of every completion of a batch: `A_i = (r_i - mean(r)) / divisor`, the mean over its own group.
///
/// - `groups`: one slice of rewards per prompt; `None` where no reward applied to the completion.
/// - Result: the same shape, no unit (`AdvantageScale::None`: the unit of the reward).
///
/// A completion without reward stays out of the mean and the deviation and gets 0, as in TRL. So does a completion that
/// is alone in its group. Where all rewards of a group are the same number, every advantage is *exactly* 0, so that
/// the group can be left out of the update ([`super::has_gradient`]).
///
/// A reward that is not finite makes the advantages of its group (with `Batch`: of the batch) not finite; the loss
/// refuses those.
pub fn advantages<G: AsRef<[Option<f32>]>>(groups: &[G], scale: AdvantageScale) -> Vec<Vec<f32>> {
    let widened: Vec<Vec<Option<f64>>> =
        groups.iter().map(|group| group.as_ref().iter().map(|reward| reward.map(f64::from)).collect()).collect();
    let narrow = |group: Vec<f64>| group.into_iter().map(|advantage| advantage as f32).collect();
    advantages_in_float64(&widened, scale).into_iter().map(narrow).collect()
}

/// [`advantages`] before the result is rounded to float32.
fn advantages_in_float64(groups: &[Vec<Option<f64>>], scale: AdvantageScale) -> Vec<Vec<f64>> {
    let batch_std = Moments::of(groups.iter().flatten().flatten().copied()).std;
    let in_group = |group: &Vec<Option<f64>>| {
        let Moments { mean, std } = Moments::of(group.iter().flatten().copied());
        let divisor = match scale {
            AdvantageScale::Group => std + STD_EPSILON,
            AdvantageScale::Batch => batch_std + STD_EPSILON,
            AdvantageScale::None => 1.0,
        };
        group.iter().map(|reward| reward.map_or(0.0, |reward| (reward - mean) / divisor)).collect()
    };
    groups.iter().map(in_group).collect()
}

/// Mean and sample deviation of some rewards, in float64.
///
/// The sum of n equal float32 numbers is exact in float64 (24 + log2 n bits), so their mean is that very number and the
/// advantages of a group without contrast come out as exact zeros.
struct Moments {
    mean: f64,
    std: f64,
}

impl Moments {
    fn of(rewards: impl Iterator<Item = f64> + Clone) -> Self {
        let count = rewards.clone().count();
        let mean = rewards.clone().sum::<f64>() / count.max(1) as f64;
        let squares: f64 = rewards.map(|reward| (reward - mean).powi(2)).sum();
        Self { mean, std: if count < 2 { 0.0 } else { (squares / (count - 1) as f64).sqrt() } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(groups: &[&[Option<f32>]], scale: AdvantageScale, expected: &[&[f32]]) {
        let got = advantages(groups, scale);
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
            let got = advantages(&[[Some(bad), Some(0.0)], [Some(1.0), Some(0.0)]], AdvantageScale::Group);
            assert!(got[0].iter().any(|a| !a.is_finite()), "{got:?}");
            assert!(got[1].iter().all(|a| a.is_finite()), "{got:?}");
        }
    }

    fn rewards() -> impl Strategy<Value = Vec<Option<f32>>> {
        // Multiples of 1/64: sums with a shift of that kind are exact, so the properties can be exact where they
        // should.
        prop::collection::vec(prop::option::weighted(0.9, (-256i32..256).prop_map(|n| n as f32 / 64.0)), 1..24)
    }

    fn scales() -> impl Strategy<Value = AdvantageScale> {
        prop::sample::select(vec![AdvantageScale::Group, AdvantageScale::Batch, AdvantageScale::None])
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
                    let scores =
                        |row: &Vec<Option<f64>>| case.weights.iter().copied().zip(row.iter().copied()).collect();
                    let rows: Vec<WideScores> = case.rewards.iter().map(scores).collect();
                    let groups: Vec<_> = rows.chunks(case.group_size).map(<[_]>::to_vec).collect();
                    decoupled_in_float64(&groups).concat()
                }
                scale => {
                    let scale = serde_json::from_value(scale.into()).unwrap();
                    let sums: Vec<Option<f64>> =
                        case.rewards.iter().map(|row| weighted_sum(row, &case.weights)).collect();
                    let groups: Vec<_> = sums.chunks(case.group_size).map(<[_]>::to_vec).collect();
                    advantages_in_float64(&groups, scale).concat()
                }
            };
            assert_eq!(got.len(), case.advantages_float64.len());
            for (got, expected) in got.iter().zip(&case.advantages_float64) {
                // TRL rounds Bessel's n / (n - 1) to float32, hence no closer.
                let difference = (got - expected).abs();
                assert!(
                    difference <= 1e-7 * expected.abs().max(1e-6),
                    "{} {:?}: {got}, {expected}",
                    case.name,
                    case.scale
                );
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
        fn every_group_sums_to_zero(groups in prop::collection::vec(rewards(), 1..4), scale in scales()) {
            for group in advantages(&groups, scale) {
                let sum: f64 = group.iter().map(|&a| f64::from(a)).sum();
                let size: f64 = group.iter().map(|&a| f64::from(a).abs()).sum();
                prop_assert!(sum.abs() <= 1e-6 * size, "{} of {}", sum, size);
            }
        }

        #[test]
        fn a_shift_of_a_group_changes_nothing(group in rewards(), shift in -64i32..64, scale in scales()) {
            let groups = [group];
            let shifted = map(&groups, |reward| reward + shift as f32);
            for (a, b) in advantages(&groups, scale)[0].iter().zip(&advantages(&shifted, scale)[0]) {
                prop_assert!((a - b).abs() <= 1e-6 * a.abs().max(1e-3));
            }
        }

        #[test]
        fn the_sign_of_the_rewards_is_the_sign_of_the_advantages(group in rewards(), scale in scales()) {
            let groups = [group];
            let flipped: Vec<f32> = advantages(&map(&groups, |reward| -reward), scale)[0].iter().map(|a| -a).collect();
            prop_assert_eq!(&advantages(&groups, scale)[0], &flipped);
        }

        #[test]
        fn order_within_a_group_does_not_matter(group in rewards(), turn in 0usize..24, scale in scales()) {
            let turn = turn % group.len();
            let mut turned = group.clone();
            turned.rotate_left(turn);
            let mut expected = advantages(&[group], scale).remove(0);
            expected.rotate_left(turn);
            for (a, b) in expected.iter().zip(&advantages(&[turned], scale)[0]) {
                prop_assert!((a - b).abs() <= 1e-6 * a.abs().max(1e-6));
            }
        }

        #[test]
        fn equal_rewards_give_exact_zeros(reward in any::<f32>().prop_filter("finite", |r| r.is_finite()),
                                          n in 1usize..70, scale in scales()) {
            prop_assert!(advantages(&[vec![Some(reward); n]], scale)[0].iter().all(|&a| a == 0.0));
        }

        #[test]
        fn a_scaled_group_has_unit_deviation(group in rewards()) {
            let spread = Moments::of(group.iter().flatten().map(|&r| f64::from(r))).std;
            let scaled = Moments::of(advantages(&[&group], AdvantageScale::Group)[0].iter().zip(&group)
                .filter(|(_, reward)| reward.is_some()).map(|(&a, _)| f64::from(a))).std;
            prop_assert!((scaled - spread / (spread + STD_EPSILON)).abs() < 1e-6);
        }
    }
}
