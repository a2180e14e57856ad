//! What a plan says about an objective.

use super::*;
use crate::config::SurrogateKind;
use crate::grpo::AdaptiveEntropy;

/// The lines as one text.
fn words(algorithm: &Algorithm) -> String {
    describe(algorithm).into_iter().map(|(what, how)| format!("{what}: {how}\n")).collect()
}

fn check(algorithm: &Algorithm, expected: &[&str]) {
    let words = words(algorithm);
    for part in expected {
        assert!(words.contains(part), "no `{part}` in\n{words}");
    }
}

#[test]
fn what_is_off_is_not_said() {
    let expected = "objective: ratio of each token, clip to [1 - 0.2, 1 + 0.2]\n\
                    advantages: reward less the mean of the group, over the deviation of the group\n\
                    averaged: over the tokens of each completion, then over completions\n\
                    divergence: KL weight 0.001, k3, in the loss, from the policy at the start\n";
    assert_eq!(words(&Algorithm::default()), expected);
    check(&Algorithm { kl_beta: 0.0, ..Algorithm::default() }, &["divergence: none (no reference policy)"]);
}

#[test]
fn the_papers_are_told_apart() {
    let default = Algorithm::default;
    let dapo = Algorithm { clip_epsilon_high: Some(0.28), aggregation: Aggregation::PerToken, ..default() };
    check(&dapo, &["clip to [1 - 0.2, 1 + 0.28]", "averaged: over all tokens of an update"]);
    let gspo = Algorithm { ratio: RatioLevel::Sequence, clip_epsilon: 3e-4, clip_delta: Some(4.0), ..default() };
    check(&gspo, &["mean ratio of each completion, clip to [1 - 0.0003, 1 + 0.0003], 4 at most where A < 0"]);
    let scale_rl = Algorithm {
        surrogate: SurrogateKind::Cispo,
        advantage_scale: AdvantageScale::Centred,
        aggregation: Aggregation::Local,
        local_completions: Some(16),
        ..default()
    };
    check(
        &scale_rl,
        &["weighted by the ratio of each token, 5 at most (CISPO)", "all centred rewards", "each 16 completions"],
    );
    let rloo = Algorithm {
        ratio: RatioLevel::Product,
        advantage_baseline: Baseline::LeaveOneOut,
        advantage_scale: AdvantageScale::None,
        kl_in: KlPlace::Reward,
        kl_estimator: KlEstimator::K1,
        ..default()
    };
    check(
        &rloo,
        &["product of the ratios", "mean of the others of the group\n", "k1, in the reward of each completion"],
    );
    let reinforce_pp = Algorithm {
        advantage_baseline: Baseline::None,
        advantage_scale: AdvantageScale::Tokens,
        kl_in: KlPlace::Return,
        ..default()
    };
    check(&reinforce_pp, &["advantages: reward, centred and scaled over all tokens", "in what follows each token"]);
    let gdpo = Algorithm { reward_combination: RewardCombination::NormalizeThenSum, ..default() };
    check(&gdpo, &["(GDPO)"]);
    let process = Algorithm { supervision: Supervision::Process, aggregation: Aggregation::Sum, ..default() };
    check(&process, &["rewards of the steps from each token on", "summed within each completion"]);
    check(&Algorithm { surrogate: SurrogateKind::Sapo, ..default() }, &["temperatures 1 and 1.05 (SAPO)"]);
    check(&Algorithm { surrogate: SurrogateKind::Vespo, ..default() }, &["[2.0, 3.0] and [3.0, 2.0] (VESPO)"]);
    let rest = Algorithm { advantage_scale: AdvantageScale::Batch, aggregation: Aggregation::Constant, ..default() };
    check(&rest, &["all rewards of the step", "sum over completions and max_tokens"]);
}

#[test]
fn what_is_switched_on_is_said() {
    let all = Algorithm {
        kl_times_ratio: true,
        kl_beta_from_step: vec![(9, 0.0)],
        reference_refresh_steps: 25,
        mask_truncated: true,
        top_entropy_fraction: 0.2,
        entropy_coefficient: 0.001,
        off_policy_threshold: Some(0.5),
        old_logprobs: OldLogprobs::Recompute,
        importance_cap: Some(5.0),
        importance_floor: Some(0.5),
        importance_action: ImportanceAction::Mask,
        importance_level: ImportanceLevel::Sequence,
        covariance: Some(Covariance::KlCov { fraction: 2e-3, beta: 1.0 }),
        ..Algorithm::default()
    };
    check(
        &all,
        &[
            "KL weight 0.001, from step 9 on 0, k3, in the loss, times the ratio, from a reference renewed every 25 steps",
            "tokens: completions that were cut off left out; only the 20 % of greatest entropy",
            "the 0.2 % of greatest covariance pay 1 |log ratio|; completions with A < 0 left out that fell behind by 0.5 nats",
            "entropy: bonus of 0.001\n",
            "pi_old: old log-probabilities recomputed, importance weights of completions from 0.5 up to 5, 0 beyond",
        ],
    );
    let mixed = Algorithm {
        reference_mix: 0.6,
        adaptive_entropy: Some(AdaptiveEntropy { target: 0.2, delta: 0.005, min: 0.0, max: 1.0 }),
        covariance: Some(Covariance::ClipCov { fraction: 2e-4, low: 1.0, high: 5.0 }),
        importance_cap: None,
        ..all
    };
    check(
        &mixed,
        &[
            "takes in 0.6 of the policy every 25 steps",
            "0.02 % of those with a covariance of 1 to 5 left out",
            "bonus of 0.001 at first, by 0.005 up or down towards 0.2 nats",
            "pi_old: old log-probabilities recomputed\n",
        ],
    );
}
