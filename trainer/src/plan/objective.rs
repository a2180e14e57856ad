//! What a plan says about the objective: everything that is switched on, in words.

use crate::config::{AdvantageScale, Aggregation, Algorithm, KlPlace, OldLogprobs, RewardCombination, Supervision};
use crate::grpo::{Baseline, Covariance, ImportanceAction, ImportanceLevel, KlEstimator, RatioLevel, Surrogate};

/// Lines of a plan, each with its heading. What is off is left out, except for the divergence.
pub(super) fn describe(algorithm: &Algorithm) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("objective", surrogate(algorithm)),
        ("advantages", advantages(algorithm)),
        ("averaged", average(algorithm)),
        ("divergence", divergence(algorithm)),
    ];
    let chosen = selection(algorithm);
    lines.extend((!chosen.is_empty()).then(|| ("tokens", chosen.join("; "))));
    lines.extend(entropy(algorithm).map(|bonus| ("entropy", bonus)));
    lines.extend(recomputed(algorithm).map(|recomputed| ("pi_old", recomputed)));
    lines
}

fn surrogate(algorithm: &Algorithm) -> String {
    let ratio = match algorithm.ratio {
        RatioLevel::Token => "ratio of each token",
        RatioLevel::Sequence => "mean ratio of each completion",
        RatioLevel::SequenceToken => "mean ratio of each completion with the gradient of each token",
        RatioLevel::Product => "product of the ratios of each completion",
    };
    match algorithm.objective(1).surrogate {
        Surrogate::Clip { low, high, delta } => {
            let delta = delta.map_or(String::new(), |delta| format!(", {delta} at most where A < 0"));
            format!("{ratio}, clip to [1 - {low}, 1 + {high}]{delta}")
        }
        Surrogate::Cispo { cap } => format!("log pi weighted by the {ratio}, {cap} at most (CISPO)"),
        Surrogate::Sapo { positive, negative } => {
            format!("{ratio} through a smooth gate, temperatures {positive} and {negative} (SAPO)")
        }
        Surrogate::Vespo { positive, negative } => format!(
            "log pi weighted by a gamma density of the product of the ratios, k and lambda {positive:?} and {negative:?} (VESPO)"
        ),
    }
}

fn advantages(algorithm: &Algorithm) -> String {
    if algorithm.reward_combination == RewardCombination::NormalizeThenSum {
        return "each reward normalised in its group, their weighted sum over the step (GDPO)".to_owned();
    }
    let of = match algorithm.supervision {
        Supervision::Outcome => "reward",
        Supervision::Process => "rewards of the steps from each token on, each",
    };
    let baseline = match algorithm.advantage_baseline {
        Baseline::GroupMean => " less the mean of the group",
        Baseline::LeaveOneOut => " less the mean of the others of the group",
        Baseline::None => "",
    };
    let scale = match algorithm.advantage_scale {
        AdvantageScale::Group => ", over the deviation of the group",
        AdvantageScale::Batch => ", over the deviation of all rewards of the step",
        AdvantageScale::Centred => ", over the deviation of all centred rewards of the step",
        AdvantageScale::Tokens => ", centred and scaled over all tokens of the step",
        AdvantageScale::None => "",
    };
    format!("{of}{baseline}{scale}")
}

fn average(algorithm: &Algorithm) -> String {
    match algorithm.aggregation {
        Aggregation::PerCompletion => "over the tokens of each completion, then over completions".to_owned(),
        Aggregation::PerToken => "over all tokens of an update".to_owned(),
        Aggregation::Constant => "sum over completions and max_tokens".to_owned(),
        Aggregation::Local => {
            let block = algorithm.local_completions.unwrap_or_default();
            format!("over the tokens of each {block} completions, then over these blocks")
        }
        Aggregation::Sum => "summed within each completion, then over completions".to_owned(),
    }
}

fn divergence(algorithm: &Algorithm) -> String {
    if !algorithm.needs_reference() {
        return "none (no reference policy)".to_owned();
    }
    let estimator = match algorithm.kl_estimator {
        KlEstimator::K1 => "k1",
        KlEstimator::K2 => "k2",
        KlEstimator::K3 => "k3",
    };
    let place = match algorithm.kl_in {
        KlPlace::Loss if algorithm.kl_times_ratio => "in the loss, times the ratio",
        KlPlace::Loss => "in the loss",
        KlPlace::Reward => "in the reward of each completion",
        KlPlace::Return => "in what follows each token",
    };
    let changes: String =
        algorithm.kl_beta_from_step.iter().map(|(step, beta)| format!(", from step {step} on {beta}")).collect();
    let reference = match (algorithm.reference_refresh_steps, algorithm.reference_mix) {
        (0, _) => "from the policy at the start".to_owned(),
        (steps, 1.0) => format!("from a reference renewed every {steps} steps"),
        (steps, mix) => format!("from a reference that takes in {mix} of the policy every {steps} steps"),
    };
    format!("KL weight {}{changes}, {estimator}, {place}, {reference}", algorithm.kl_beta)
}

/// Which tokens and completions leave the loss, or pay for their covariance.
fn selection(algorithm: &Algorithm) -> Vec<String> {
    let mut chosen = Vec::new();
    if algorithm.mask_truncated {
        chosen.push("completions that were cut off left out".to_owned());
    }
    if algorithm.top_entropy_fraction < 1.0 {
        chosen.push(format!("only the {} of greatest entropy", share(algorithm.top_entropy_fraction)));
    }
    match algorithm.covariance {
        Some(Covariance::ClipCov { fraction, low, high }) => {
            chosen.push(format!("{} of those with a covariance of {low} to {high} left out", share(fraction)));
        }
        Some(Covariance::KlCov { fraction, beta }) => {
            chosen.push(format!("the {} of greatest covariance pay {beta} |log ratio|", share(fraction)));
        }
        None => {}
    }
    if let Some(threshold) = algorithm.off_policy_threshold {
        chosen.push(format!("completions with A < 0 left out that fell behind by {threshold} nats a token"));
    }
    chosen
}

fn share(fraction: f64) -> String {
    // Three digits are enough to recognise what was written; a product by 100 would show its rounding.
    format!("{} %", (fraction * 1e5).round() / 1e3)
}

fn entropy(algorithm: &Algorithm) -> Option<String> {
    let alpha = algorithm.entropy_coefficient;
    match &algorithm.adaptive_entropy {
        Some(adaptive) => Some(format!(
            "bonus of {alpha} at first, by {} up or down towards {} nats",
            adaptive.delta, adaptive.target
        )),
        None => (alpha != 0.0).then(|| format!("bonus of {alpha}")),
    }
}

fn recomputed(algorithm: &Algorithm) -> Option<String> {
    let recomputes = algorithm.old_logprobs == OldLogprobs::Recompute;
    recomputes.then(|| match algorithm.importance_cap {
        None => "old log-probabilities recomputed".to_owned(),
        Some(cap) => {
            let level = match algorithm.importance_level {
                ImportanceLevel::Token => "of tokens",
                ImportanceLevel::Sequence => "of completions",
            };
            let beyond = match algorithm.importance_action {
                ImportanceAction::Truncate => "cut there",
                ImportanceAction::Mask => "0 beyond",
            };
            let floor = algorithm.importance_floor.map_or(String::new(), |floor| format!("from {floor} "));
            format!("old log-probabilities recomputed, importance weights {level} {floor}up to {cap}, {beyond}")
        }
    })
}

#[cfg(test)]
#[path = "objective_tests.rs"]
mod tests;
