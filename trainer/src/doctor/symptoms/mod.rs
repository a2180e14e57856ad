//! The rules, by what they look at: the rewards, the texts, the policy.

mod policy;
mod rewards;
mod texts;

use super::{Diagnosis, Facts, History};

/// A rule: what `history` shows of one symptom, if it does.
type Rule = fn(&History, &Facts) -> Option<Diagnosis>;

const RULES: [Rule; 12] = [
    policy::diverged,
    texts::prefilled_tag,
    texts::all_truncated,
    texts::no_answers,
    rewards::right_answers_punished,
    rewards::format_over_accuracy,
    rewards::reward_over_accuracy,
    rewards::nothing_to_learn,
    policy::entropy_collapse,
    policy::gap_grows,
    texts::length_explosion,
    policy::loss_is_zero,
];

/// Every symptom that shows after the newest step.
pub(super) fn all(history: &History, facts: &Facts) -> Vec<Diagnosis> {
    RULES.iter().filter_map(|rule| rule(history, facts)).collect()
}

/// Whether nothing can be learned any more: see [`super::Doctor::is_dead`].
pub(super) fn is_dead(history: &History, facts: &Facts) -> bool {
    rewards::nothing_to_learn(history, facts).is_some() || texts::nothing_gets_through(history, facts)
}
