//! Keys of `[stage.grpo]` that contradict each other: refused, with both of them named.

use super::{LEAST, accepted, message};

/// Each row: a value of `grpo`, and the two keys that its message names.
fn check_rows(rows: &[(&str, [&str; 2])]) {
    for (grpo, keys) in rows {
        let message = message(&format!("{LEAST}grpo = {{ {grpo} }}\n"), &[]);
        for key in keys {
            assert!(message.contains(&format!("`{key}`")), "no `{key}` in\n{message}\n\nabout {grpo}");
        }
        assert!(message.contains(" --> configs/a.toml:9:") && message.contains("= help: "), "{message}");
    }
}

#[test]
fn of_the_ratio_and_what_is_made_of_it() {
    check_rows(&[
        ("cispo_cap = 5.0", ["cispo_cap", "surrogate"]),
        ("sapo_temperatures = [1.0, 2.0]", ["sapo_temperatures", "surrogate"]),
        ("vespo_positive = [1.0, 2.0]", ["vespo_positive", "surrogate"]),
        ("vespo_negative = [1.0, 2.0]", ["vespo_negative", "surrogate"]),
        ("surrogate = 'cispo', clip_delta = 4.0", ["clip_delta", "surrogate"]),
        ("surrogate = 'cispo', clip_epsilon = 0.3", ["clip_epsilon", "surrogate"]),
        ("surrogate = 'sapo', clip_epsilon_high = 0.28", ["clip_epsilon_high", "surrogate"]),
        ("surrogate = 'vespo', ratio = 'sequence'", ["ratio", "surrogate"]),
        ("clip_epsilon_high = 0.28, clip_delta = 1.2", ["clip_delta", "clip_epsilon_high"]),
        ("ratio = 'sequence', covariance = { kind = 'kl_cov' }", ["covariance", "ratio"]),
        ("covariance = { kind = 'clip_cov', beta = 1.0 }", ["beta", "kind"]),
        ("covariance = { kind = 'kl_cov', low = 1.0 }", ["low", "kind"]),
    ]);
}

#[test]
fn of_the_divergence() {
    check_rows(&[
        ("reference_mix = 0.6", ["reference_mix", "reference_refresh_steps"]),
        ("kl_estimator = 'k1'", ["kl_estimator", "kl_in"]),
        ("kl_times_ratio = true, kl_in = 'reward'", ["kl_times_ratio", "kl_in"]),
        ("kl_in = 'return', ratio = 'product'", ["kl_in", "ratio"]),
        ("kl_in = 'reward', supervision = 'process'", ["kl_in", "supervision"]),
        ("kl_in = 'reward', reward_combination = 'normalize_then_sum'", ["kl_in", "reward_combination"]),
    ]);
    accepted(LEAST, &["stage.grpo.kl_estimator=k1", "stage.grpo.kl_times_ratio=true"]);
    accepted(LEAST, &["stage.grpo.kl_estimator=k1", "stage.grpo.kl_beta=0"]);
}

#[test]
fn of_advantages() {
    check_rows(&[
        ("advantage_baseline = 'none'", ["advantage_baseline", "advantage_scale"]),
        (
            "advantage_baseline = 'leave_one_out', reward_combination = 'normalize_then_sum'",
            ["advantage_baseline", "reward_combination"],
        ),
        (
            "advantage_scale = 'none', reward_combination = 'normalize_then_sum'",
            ["advantage_scale", "reward_combination"],
        ),
        ("supervision = 'process', reward_combination = 'normalize_then_sum'", ["supervision", "reward_combination"]),
        ("supervision = 'process', advantage_baseline = 'leave_one_out'", ["supervision", "advantage_baseline"]),
        ("supervision = 'process', ratio = 'sequence'", ["supervision", "ratio"]),
    ]);
}

#[test]
fn of_aggregation_and_importance() {
    check_rows(&[
        ("aggregation = 'local'", ["aggregation", "local_completions"]),
        ("local_completions = 16", ["local_completions", "aggregation"]),
        ("aggregation = 'local', local_completions = 3", ["local_completions", "minibatches"]),
        ("importance_floor = 0.5", ["importance_floor", "importance_cap"]),
        ("importance_action = 'mask'", ["importance_action", "importance_cap"]),
        ("importance_level = 'sequence'", ["importance_level", "importance_cap"]),
        ("importance_cap = 2.0", ["importance_cap", "old_logprobs"]),
    ]);
}

/// Values that mean nothing by themselves.
#[test]
fn values_out_of_range() {
    for (grpo, expected) in [
        ("clip_delta = inf", "`clip_delta` is inf"),
        ("surrogate = 'cispo', cispo_cap = 0.5", "expected a finite number, 1 or more"),
        ("surrogate = 'sapo', sapo_temperatures = [1.0, 0.0]", "`sapo_temperatures` holds 0"),
        ("surrogate = 'sapo', sapo_temperatures = [1.0]", "a list of length 1"),
        ("kl_beta_from_step = [[5, -1.0]]", "`kl_beta_from_step` holds -1"),
        ("kl_beta_from_step = [[1, 0.1]]", "does not come after step 1"),
        ("reference_refresh_steps = 2, reference_mix = 0", "`reference_mix` is 0"),
        ("std_epsilon = -1.0", "`std_epsilon` is -1"),
        ("top_entropy_fraction = 0", "`top_entropy_fraction` is 0"),
        ("entropy_coefficient = -0.1", "make the policy surer of itself"),
        ("adaptive_entropy = { delta = 0 }", "`delta` is 0"),
        ("adaptive_entropy = { min = 0.5, max = 0.1 }", "expected 0.5 or more"),
        ("adaptive_entropy = { goal = 0.1 }", "unknown key `goal`"),
        ("covariance = { fraction = 0.1 }", "missing key `kind`"),
        ("covariance = { kind = 'clip' }", "expected `clip_cov` or `kl_cov`"),
        ("covariance = { kind = 'clip_cov', fraction = 2.0 }", "`fraction` is 2"),
        ("covariance = { kind = 'clip_cov', low = 5.0, high = 1.0 }", "expected more than `low`, 5"),
        ("off_policy_threshold = -0.5", "`off_policy_threshold` is -0.5"),
        ("old_logprobs = 'recompute', importance_cap = 2.0, importance_floor = 1.5", "expected 0 to 1"),
        ("aggregation = 'local', local_completions = 0", "`local_completions` is 0"),
    ] {
        let message = message(&format!("{LEAST}grpo = {{ {grpo} }}\n"), &[]);
        assert!(
            message.contains(expected) && message.contains(" --> configs/a.toml:9:"),
            "no `{expected}` in\n{message}"
        );
    }
}
