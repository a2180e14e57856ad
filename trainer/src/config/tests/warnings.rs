//! What is legal and known to hurt, or to do nothing: said, and said only then.

use super::super::Stage;
use super::{LEAST, accepted};

fn warnings(overrides: &[&str]) -> Vec<String> {
    match &accepted(LEAST, overrides).stages[0] {
        Stage::Grpo(stage) => stage.warnings(),
        _ => panic!("not a stage of kind grpo"),
    }
}

/// Exactly one warning, with these parts.
fn warns(overrides: &[&str], parts: &[&str]) {
    let found = warnings(overrides);
    let [warning] = found.as_slice() else { panic!("{overrides:?}: {found:#?}") };
    for part in parts {
        assert!(warning.contains(part), "no `{part}` in: {warning}");
    }
}

fn is_quiet(overrides: &[&str]) {
    assert_eq!(warnings(overrides), Vec::<String>::new(), "{overrides:?}");
}

#[test]
fn the_defaults_are_quiet() {
    is_quiet(&[]);
}

#[test]
fn a_clip_that_nothing_reaches() {
    let several = "stage.grpo.minibatches=2";
    for set in ["clip_epsilon=0.1", "clip_epsilon_high=0.28", "clip_delta=4.0"] {
        let set = format!("stage.grpo.{set}");
        warns(&[&set], &["a step has one update", "`minibatches`"]);
        is_quiet(&[&set, several]);
    }
    let [ratio, narrow] = ["stage.grpo.ratio=sequence", "stage.grpo.clip_epsilon=3e-4"];
    warns(&[ratio, several], &["mean ratio hardly ever leaves", "3e-4 and 4e-4"]);
    is_quiet(&[ratio, several, narrow]);
    // The narrower of the two decides: what is cut on one side only is cut.
    is_quiet(&[ratio, several, narrow, "stage.grpo.clip_epsilon_high=0.2"]);
    warns(&[several, narrow], &["most tokens leave that range", "`ratio = \"sequence\"`"]);
}

#[test]
fn a_clip_the_wrong_way_round() {
    let set = ["stage.grpo.clip_epsilon_high=0.1", "stage.grpo.minibatches=2"];
    warns(&set, &["`clip_epsilon_high` 0.1 is below `clip_epsilon` 0.2", "2503.14476"]);
}

#[test]
fn a_mask_that_never_falls() {
    let threshold = "stage.grpo.off_policy_threshold=0.5";
    warns(&[threshold], &["`off_policy_threshold` is 0.5", "one update"]);
    is_quiet(&[threshold, "stage.grpo.updates_per_batch=2"]);
}

#[test]
fn a_bonus_without_bound() {
    warns(&["stage.grpo.entropy_coefficient=0.01"], &["without bound", "2505.22617", "`adaptive_entropy`"]);
    is_quiet(&["stage.grpo.entropy_coefficient=0.005"]);
    is_quiet(&["stage.grpo.entropy_coefficient=0.01", "stage.grpo.adaptive_entropy.target=0.2"]);
}

#[test]
fn half_of_dr_grpo() {
    warns(&["stage.grpo.aggregation=constant"], &["`advantage_scale` \"group\"", "2503.20783"]);
    is_quiet(&["stage.grpo.aggregation=constant", "stage.grpo.advantage_scale=none"]);
}

#[test]
fn a_batch_of_one_question() {
    for scale in ["stage.grpo.advantage_scale=batch", "stage.grpo.advantage_scale=centred"] {
        warns(&[scale, "stage.rollout.prompts_per_step=1"], &["`prompts_per_step` is 1", "`advantage_scale`"]);
        is_quiet(&[scale, "stage.rollout.prompts_per_step=2"]);
    }
    is_quiet(&["stage.rollout.prompts_per_step=1"]);
}

#[test]
fn what_one_update_makes_moot() {
    let several = "stage.grpo.updates_per_batch=2";
    for set in ["ratio=sequence_token", "surrogate=cispo", "surrogate=sapo"] {
        let set = format!("stage.grpo.{set}");
        warns(&[&set], &["every ratio is 1", "`minibatches`"]);
    }
    is_quiet(&["stage.grpo.surrogate=cispo", several]);
    let price = "stage.grpo.covariance={ kind = \"kl_cov\" }";
    warns(&[price], &["KL-Cov", "no token has moved"]);
    is_quiet(&[price, several]);
}

#[test]
fn a_ratio_of_completions_counted_by_tokens() {
    let set = ["stage.grpo.ratio=product", "stage.grpo.updates_per_batch=2"];
    is_quiet(&set);
    for aggregation in ["per_token", "constant", "sum"] {
        let aggregation = format!("stage.grpo.aggregation={aggregation}");
        let found = warnings(&[set[0], set[1], &aggregation, "stage.grpo.advantage_scale=none"]);
        assert!(found.iter().any(|warning| warning.contains("long completions weigh more")), "{found:?}");
    }
    // LUSPO.
    let luspo = ["stage.grpo.ratio=sequence", "stage.grpo.aggregation=sum", "stage.grpo.clip_epsilon=3e-4"];
    is_quiet(&[&luspo[..], &["stage.grpo.updates_per_batch=2"]].concat());
    let both = ["stage.grpo.surrogate=sapo", "stage.grpo.ratio=sequence", "stage.grpo.updates_per_batch=2"];
    warns(&both, &["no paper both"]);
}

#[test]
fn keys_that_nothing_reads() {
    let none = "stage.grpo.kl_beta=0.0";
    is_quiet(&[none]);
    for set in ["reference_refresh_steps=4", "kl_in=reward", "kl_estimator=k2", "kl_times_ratio=true"] {
        let set = format!("stage.grpo.{set}");
        warns(&[none, &set], &["`kl_beta` is 0 at every step", "are not read"]);
        is_quiet(&[none, &set, "stage.grpo.kl_beta_from_step=[[5, 0.1]]"]);
    }
    let scale = "stage.grpo.advantage_scale=none";
    warns(&[scale, "stage.grpo.std_divisor=population"], &["`std_divisor`"]);
    warns(&[scale, "stage.grpo.std_epsilon=1e-6"], &["`std_epsilon`"]);
}

#[test]
fn rewards_that_are_compared_with_nothing() {
    let none = "stage.grpo.advantage_baseline=none";
    for scale in ["batch", "centred", "none"] {
        warns(&[none, &format!("stage.grpo.advantage_scale={scale}")], &["nothing is compared", "\"tokens\""]);
    }
    is_quiet(&[none, "stage.grpo.advantage_scale=tokens"]);
    let dynamic = "stage.rollout.dynamic_sampling={ keep = \"mixed_reward\" }";
    warns(&[none, "stage.grpo.advantage_scale=tokens", dynamic], &["throws groups of equal rewards away"]);
}

#[test]
fn changes_that_come_too_late() {
    for set in [
        "optimizer.learning_rate_from_step=[[11, 1e-4]]",
        "grpo.kl_beta_from_step=[[11, 0.1]]",
        "rollout.temperature_from_step=[[11, 0.7]]",
        "rollout.max_tokens_from_step=[[11, 4096]]",
        "rewards.format.weight_from_step=[[11, 0.5]]",
    ] {
        let (key, _) = set.split_once('=').unwrap();
        warns(&[&format!("stage.{set}")], &[&format!("`{key}`"), "step 11", "10 steps"]);
        is_quiet(&[&format!("stage.{}", set.replace("[[11", "[[10"))]);
    }
}
