//! Statistics of a step's completions, rewards and clipping, each as TRL defines it.
//!
//! The definitions are those of TRL 1.16, `grpo_trainer.py` (`_generate`, `_generate_and_score_completions`,
//! `_compute_loss`), so that dashboards made for TRL mean the same here. Sums are in float64.

use super::metrics::{StepMetrics, names};

/// Statistics of completion lengths.
///
/// - `n_tokens`: length of each completion in tokens, the end token included
/// - `terminated`: whether it ended by itself; the others ran into the token limit
///
/// Sets `completions/{mean,min,max}_length` over all, `completions/clipped_ratio` (the fraction not terminated) and
/// `completions/{mean,min,max}_terminated_length` over the terminated ones, 0 if there are none.
///
/// # Panics
/// If the slices are empty or of different length.
pub fn completion_lengths(n_tokens: &[usize], terminated: &[bool]) -> StepMetrics {
    assert_eq!(n_tokens.len(), terminated.len(), "one flag a completion");
    assert!(!n_tokens.is_empty(), "a step has completions");
    let all: Vec<f64> = n_tokens.iter().map(|n| *n as f64).collect();
    let mut ended: Vec<f64> = all.iter().zip(terminated).filter(|(_, ended)| **ended).map(|(n, _)| *n).collect();
    let clipped_ratio = 1.0 - ended.len() as f64 / all.len() as f64;
    if ended.is_empty() {
        ended.push(0.0);
    }
    StepMetrics::from([
        (names::MEAN_LENGTH, mean(&all)),
        ("completions/min_length", min(&all)),
        ("completions/max_length", max(&all)),
        (names::CLIPPED_RATIO, clipped_ratio),
        ("completions/mean_terminated_length", mean(&ended)),
        ("completions/min_terminated_length", min(&ended)),
        ("completions/max_terminated_length", max(&ended)),
    ])
}

/// `rewards/{name}/mean` and `rewards/{name}/std` of one reward component over the completions it applies to.
///
/// - `scores`: before weighting; `None` where the rule does not apply
///
/// The standard deviation has Bessel's correction: `NaN` for fewer than two scores. The mean of none is `NaN`.
pub fn component(name: &str, scores: &[Option<f32>]) -> StepMetrics {
    let scores = present(scores);
    let mut metrics = StepMetrics::new();
    metrics.set(format!("rewards/{name}/mean"), mean(&scores));
    metrics.set(format!("rewards/{name}/std"), std(&scores));
    metrics
}

/// Statistics of the weighted rewards r_i.
///
/// - `rewards`: `[n_groups * group_size]`, group after group; `None` where no component applies
///
/// Sets `reward` and `reward_std` (Bessel) over all completions of the step, and `frac_reward_zero_std`: the fraction
/// of completions in a group whose rewards are all equal, to 1e-8 as `torch.isclose` has it. A group with fewer than
/// two rewards does not count as equal, its standard deviation being `NaN`.
///
/// Two differences to TRL: it takes the standard deviation in float32, where equal rewards like 1.2 can miss the 1e-8
/// by rounding, and in float64 they cannot; and with `advantage_scale = "batch"` it reports the batch's deviation here,
/// while this is always the group's, which is what tells how many groups teach something.
///
/// # Panics
/// If `rewards` is no whole number of groups.
pub fn rewards(rewards: &[Option<f32>], group_size: usize) -> StepMetrics {
    assert!(group_size > 0 && rewards.len().is_multiple_of(group_size), "whole groups of {group_size}");
    let all = present(rewards);
    let groups = rewards.chunks(group_size);
    let n_groups = groups.len() as f64;
    let n_equal = groups.filter(|group| std(&present(group)) <= EQUAL).count() as f64;
    StepMetrics::from([
        (names::REWARD, mean(&all)),
        (names::REWARD_STD, std(&all)),
        (names::FRAC_REWARD_ZERO_STD, n_equal / n_groups),
    ])
}

/// Standard deviation up to which rewards count as equal.
const EQUAL: f64 = 1e-8;

/// Whether a group's rewards differ, as `frac_reward_zero_std` counts it; fewer than two do not.
pub fn differ(rewards: &[Option<f32>]) -> bool {
    std(&present(rewards)) > EQUAL
}

fn present(values: &[Option<f32>]) -> Vec<f64> {
    values.iter().flatten().map(|value| f64::from(*value)).collect()
}

/// Arithmetic mean; `NaN` of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation with Bessel's correction; `NaN` of fewer than two values.
pub fn std(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    let centre = mean(values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// The smallest value; `NaN` of nothing or if one is `NaN` (`f64::min` would hide it).
fn min(values: &[f64]) -> f64 {
    values.iter().copied().reduce(|a, b| if a.is_nan() || a < b { a } else { b }).unwrap_or(f64::NAN)
}

/// The largest value; `NaN` of nothing or if one is `NaN`.
fn max(values: &[f64]) -> f64 {
    values.iter().copied().reduce(|a, b| if a.is_nan() || a > b { a } else { b }).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(metrics: &StepMetrics, expected: &[(&str, f64)]) {
        assert_eq!(metrics.iter().count(), expected.len());
        for (name, value) in expected {
            let got = metrics.get(name).unwrap_or_else(|| panic!("{name} is not set"));
            assert!((got - value).abs() < 1e-12 || (got.is_nan() && value.is_nan()), "{name}: {got}, not {value}");
        }
    }

    #[test]
    fn lengths() {
        check(
            &completion_lengths(&[2, 8, 5, 9], &[true, false, true, false]),
            &[
                ("completions/mean_length", 6.0),
                ("completions/min_length", 2.0),
                ("completions/max_length", 9.0),
                ("completions/clipped_ratio", 0.5),
                ("completions/mean_terminated_length", 3.5),
                ("completions/min_terminated_length", 2.0),
                ("completions/max_terminated_length", 5.0),
            ],
        );
        let none = completion_lengths(&[4, 4], &[false, false]);
        assert_eq!(none.get("completions/clipped_ratio"), Some(1.0));
        for which in ["mean", "min", "max"] {
            assert_eq!(none.get(&format!("completions/{which}_terminated_length")), Some(0.0), "{which}");
        }
    }

    #[test]
    fn components_skip_where_they_do_not_apply() {
        // Mean of 0, 1, 1 is 2/3; squares 4/9 + 1/9 + 1/9 = 2/3, over n - 1 = 2.
        let scores = [Some(0.0), None, Some(1.0), Some(1.0)];
        check(
            &component("countdown", &scores),
            &[("rewards/countdown/mean", 2.0 / 3.0), ("rewards/countdown/std", (1.0_f64 / 3.0).sqrt())],
        );
        check(&component("x", &[Some(0.5), None]), &[("rewards/x/mean", 0.5), ("rewards/x/std", f64::NAN)]);
        check(&component("x", &[None]), &[("rewards/x/mean", f64::NAN), ("rewards/x/std", f64::NAN)]);
    }

    #[test]
    fn rewards_over_the_step_and_within_groups() {
        // Groups: equal, unequal, equal, one reward only (NaN, does not count).
        let step = [Some(1.0), Some(1.0), Some(0.0), Some(1.0), Some(0.0), Some(0.0), Some(1.0), None];
        // Mean 4/7, squares 4 * (3/7)^2 + 3 * (4/7)^2 = 84/49, over 6.
        check(
            &rewards(&step, 2),
            &[("reward", 4.0 / 7.0), ("reward_std", (84.0_f64 / 49.0 / 6.0).sqrt()), ("frac_reward_zero_std", 0.5)],
        );
    }

    proptest! {
        /// In float32 this fails for 16 rewards of 1.2 (1.0 + 0.2), whose mean is not 1.2.
        #[test]
        fn equal_rewards_have_exactly_no_deviation(reward in -10.0_f32..10.0, group_size in 2_usize..200) {
            let step = vec![Some(reward); group_size];
            prop_assert_eq!(rewards(&step, group_size).get("frac_reward_zero_std"), Some(1.0));
        }
    }
}
