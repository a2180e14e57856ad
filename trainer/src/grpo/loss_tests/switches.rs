//! Every switch changes something: a field that nothing reads would be found here.

use super::*;
use crate::grpo::{AdvantageRule, AdvantageScale, Baseline, StdDivisor, advantages};

const CLIP: Surrogate = Surrogate::Clip { low: 0.2, high: 0.28, delta: None };
const SAPO: Surrogate = Surrogate::Sapo { positive: 1.0, negative: 1.05 };
const VESPO: Surrogate = Surrogate::Vespo { positive: [2.0, 3.0], negative: [3.0, 2.0] };

/// Fails where two outcomes are one.
#[track_caller]
fn differ(a: &Outcome, b: &Outcome, what: &str) {
    let gap = (&a.gradient - &b.gradient).abs().max().double_value(&[]);
    assert!(gap > 1e-6 || (a.loss - b.loss).abs() > 1e-6, "{what} changes nothing");
}

/// Every switch of the objective by itself, against the objective without it.
#[test]
fn every_field_of_the_objective_changes_something() {
    // A new field has to be named here, and to get its row below.
    let Objective {
        ratio: _,
        surrogate: _,
        kl_beta: _,
        kl_estimator: _,
        kl_times_ratio: _,
        importance: _,
        off_policy_threshold: _,
    } = PLAIN;
    let with = |surrogate| Objective { surrogate, ..PLAIN };
    let kl = Objective { kl_beta: 0.04, ..PLAIN };
    let capped = Importance::capped(1.5);
    let weighed = |importance| Objective { importance: Some(importance), ..PLAIN };
    let at = |ratio| Objective { ratio, surrogate: SAPO, ..PLAIN };
    let rows: [(&str, Objective, Objective); 25] = [
        ("clip low", with(Surrogate::Clip { low: 0.1, high: 0.2, delta: None }), PLAIN),
        ("clip high", with(CLIP), PLAIN),
        ("clip delta", with(Surrogate::Clip { low: 0.2, high: 0.2, delta: Some(1.3) }), PLAIN),
        ("cispo", with(Surrogate::Cispo { cap: 1.2 }), PLAIN),
        ("cispo cap", with(Surrogate::Cispo { cap: 1.2 }), with(Surrogate::Cispo { cap: 1.6 })),
        ("sapo", with(SAPO), PLAIN),
        ("sapo positive", with(Surrogate::Sapo { positive: 2.0, negative: 1.05 }), with(SAPO)),
        ("sapo negative", with(Surrogate::Sapo { positive: 1.0, negative: 2.0 }), with(SAPO)),
        ("vespo", with(VESPO), PLAIN),
        ("vespo positive k", with(Surrogate::Vespo { positive: [1.0, 3.0], negative: [3.0, 2.0] }), with(VESPO)),
        ("vespo positive lambda", with(Surrogate::Vespo { positive: [2.0, 1.0], negative: [3.0, 2.0] }), with(VESPO)),
        ("vespo negative k", with(Surrogate::Vespo { positive: [2.0, 3.0], negative: [1.0, 2.0] }), with(VESPO)),
        ("vespo negative lambda", with(Surrogate::Vespo { positive: [2.0, 3.0], negative: [3.0, 1.0] }), with(VESPO)),
        ("ratio sequence", at(RatioLevel::Sequence), at(RatioLevel::Token)),
        ("ratio sequence_token", at(RatioLevel::SequenceToken), at(RatioLevel::Sequence)),
        ("ratio product", at(RatioLevel::Product), at(RatioLevel::Sequence)),
        ("kl_beta", kl, PLAIN),
        ("kl_estimator k1", Objective { kl_estimator: KlEstimator::K1, ..kl }, kl),
        ("kl_estimator k2", Objective { kl_estimator: KlEstimator::K2, ..kl }, kl),
        ("kl_times_ratio", Objective { kl_times_ratio: true, ..kl }, kl),
        ("importance", weighed(capped), PLAIN),
        ("importance cap", weighed(Importance::capped(3.0)), weighed(capped)),
        ("importance floor", weighed(Importance { floor: Some(0.8), ..capped }), weighed(capped)),
        ("importance action", weighed(Importance { action: ImportanceAction::Mask, ..capped }), weighed(capped)),
        ("importance level", weighed(Importance { level: ImportanceLevel::Sequence, ..capped }), weighed(capped)),
    ];
    let flat = golden_batch();
    let weights = flat.weights(Aggregation::PerCompletion);
    // GSPO's two forms differ where advantages do within a completion.
    let uneven = &flat.advantages + flat.logprobs.sin();
    let flat = Flat { advantages: uneven, ..flat };
    for (what, changed, plain) in rows {
        let [changed, plain] = [changed, plain].map(|objective| evaluate_whole(&flat, &weights, &objective));
        differ(&changed, &plain, what);
    }
    let masked = Objective { off_policy_threshold: Some(0.0), ..PLAIN };
    let [masked, plain] = [masked, PLAIN].map(|objective| evaluate_whole(&flat, &weights, &objective));
    differ(&masked, &plain, "off_policy_threshold");
}

#[test]
fn every_choice_among_tokens_changes_something() {
    let flat = || golden_batch();
    let weights = flat().weights(Aggregation::PerCompletion);
    let n_tokens = flat().n_tokens();
    let half = Tensor::from_slice(&(0..n_tokens).map(|t| (t % 2) as f64).collect::<Vec<_>>());
    // A new field has to be named here, and to get its row below.
    let Chosen { kept: _, covariance_kl: _, entropy: _ } = Chosen::default();
    let plain = evaluate_whole(&flat(), &weights, &PLAIN);
    let kept = Flat { kept: Some(half.copy()), ..flat() };
    let covariance_kl = Flat { covariance_kl: Some(half.copy()), ..flat() };
    let bonus = Flat { entropies: Some(&half + 0.5), entropy_weights: Some(&half * 1e-2), ..flat() };
    for (what, changed) in [("kept", kept), ("covariance_kl", covariance_kl), ("entropy", bonus)] {
        differ(&evaluate_whole(&changed, &weights, &PLAIN), &plain, what);
    }
}

#[test]
fn every_aggregation_is_one_of_its_own() {
    let flat = golden_batch();
    let outcomes = AGGREGATIONS.map(|aggregation| evaluate_whole(&flat, &flat.weights(aggregation), &PLAIN));
    for (i, a) in outcomes.iter().enumerate() {
        for (j, b) in outcomes.iter().enumerate().skip(i + 1) {
            differ(a, b, &format!("{:?} instead of {:?}", AGGREGATIONS[i], AGGREGATIONS[j]));
        }
    }
    let of = |max_tokens, block, aggregation| token_weights(&flat.lengths, aggregation, Shares { max_tokens, block });
    assert_ne!(of(32, 4, Aggregation::Constant), of(16, 4, Aggregation::Constant));
    assert_ne!(of(32, 4, Aggregation::Local), of(32, 6, Aggregation::Local));
}

#[test]
fn every_field_of_the_advantages_changes_something() {
    let plain = AdvantageRule::grpo(AdvantageScale::Group);
    // A new field has to be named here, and to get its row below.
    let AdvantageRule { baseline, scale, divisor, epsilon } = plain;
    let rows = [
        ("leave_one_out", AdvantageRule { baseline: Baseline::LeaveOneOut, scale, divisor, epsilon }),
        ("no baseline", AdvantageRule { baseline: Baseline::None, ..plain }),
        ("batch", AdvantageRule { scale: AdvantageScale::Batch, ..plain }),
        ("centred", AdvantageRule { scale: AdvantageScale::Centred, ..plain }),
        ("no scale", AdvantageRule { scale: AdvantageScale::None, ..plain }),
        ("divisor", AdvantageRule { divisor: StdDivisor::Population, baseline, ..plain }),
        ("epsilon", AdvantageRule { epsilon: 0.1, ..plain }),
    ];
    let groups = [[Some(0.0_f32), Some(1.0), Some(0.5)], [Some(1.0), Some(3.0), None]];
    let all: Vec<Vec<Vec<f32>>> =
        [plain].into_iter().chain(rows.map(|(_, rule)| rule)).map(|rule| advantages(&groups, &rule)).collect();
    for i in 1..all.len() {
        assert!(!all[..i].contains(&all[i]), "{} is another rule's", rows[i - 1].0);
    }
}
