//! Whole messages, letter for letter.

use super::{LEAST, message};

fn check(text: &str, overrides: &[&str], expected: &str) {
    let got = message(text, overrides);
    assert_eq!(got.trim(), expected.trim(), "\n{got}\n");
}

#[test]
fn a_misspelt_key() {
    check(
        &format!("{LEAST}[stage.rollout]\ngrop_size = 16\n"),
        &[],
        r#"
error: unknown key `grop_size`
  --> configs/a.toml:10:1
   |
10 | grop_size = 16
   | ^^^^^^^^^ expected `prompts_per_step`, `group_size`, `temperature`, `temperature_from_step`, `top_k`, `top_p`, `min_p`, `min_tokens`, `max_tokens`, `max_tokens_from_step`, `stop_strings`, `stop_token_ids`, `max_batch`, `dynamic_sampling` or `forced_end`
   |
   = help: did you mean `group_size`?
"#,
    );
}

#[test]
fn a_name_from_another_trainer() {
    check(
        &format!("{LEAST}[stage.grpo]\nbeta = 0.04\n"),
        &[],
        r#"
error: unknown key `beta`
  --> configs/a.toml:10:1
   |
10 | beta = 0.04
   | ^^^^ expected `ratio`, `surrogate`, `clip_epsilon`, `clip_epsilon_high`, `clip_delta`, `cispo_cap`, `sapo_temperatures`, `vespo_positive`, `vespo_negative`, `kl_beta`, `kl_beta_from_step`, `kl_in`, `kl_estimator`, `kl_times_ratio`, `reference_refresh_steps`, `reference_mix`, `advantage_baseline`, `advantage_scale`, `std_divisor`, `std_epsilon`, `reward_combination`, `supervision`, `aggregation`, `local_completions`, `mask_truncated`, `top_entropy_fraction`, `entropy_coefficient`, `adaptive_entropy`, `covariance`, `minibatches`, `updates_per_batch`, `old_logprobs`, `importance_cap`, `importance_floor`, `importance_action`, `importance_level`, `off_policy_threshold`, `micro_batch_tokens`, `logits_chunk_tokens` or `checkpointing`
   |
   = help: it is called `kl_beta` here, in [stage.grpo]
"#,
    );
}

#[test]
fn keys_that_contradict_each_other() {
    check(
        &format!("{LEAST}[stage.grpo]\nimportance_cap = 2.0\n"),
        &[],
        r#"
error: `importance_cap` is set, but `old_logprobs` is "sampler"
  --> configs/a.toml:10:18
   |
10 | importance_cap = 2.0
   |                  ^^^ the weight would be 1 by definition
   |
   = help: without recomputed log-probabilities there is no ratio of the trainer's to the sampler's: set `old_logprobs` to "recompute", or take `importance_cap` out
"#,
    );
}

#[test]
fn several_faults() {
    check(
        &format!("{LEAST}[stage.grpo]\nminibatches = 3\n[stage.rollout]\ngroup_size = 1\ntop_p = 1.5"),
        &[],
        r#"
error: 32 completions cannot be cut into 3 equal minibatches
  --> configs/a.toml:10:15
   |
10 | minibatches = 3
   |               ^ expected a divisor of 32
   |
   = help: a step has prompts_per_step * group_size = 32 * 1 = 32 completions

error: `group_size` is 1
  --> configs/a.toml:12:14
   |
12 | group_size = 1
   |              ^ expected 2 or more
   |
   = help: an advantage compares a completion with the others of its group: a group of one has none

error: `top_p` is 1.5
  --> configs/a.toml:13:9
   |
13 | top_p = 1.5
   |         ^^^ expected more than 0, and 1 at most
   |
   = help: 1 samples among all tokens
"#,
    );
}

#[test]
fn a_wrong_type() {
    check(
        &format!("[run]\nseed = \"one\"\n{LEAST}"),
        &[],
        r#"
error: `seed` is the text "one"
 --> configs/a.toml:2:8
  |
2 | seed = "one"
  |        ^^^^^ expected a whole number, 0 or more
"#,
    );
}

#[test]
fn a_wrong_choice() {
    check(
        &format!("{LEAST}grpo.aggregation = 'per_tokn'\n"),
        &[],
        r#"
error: unknown value `per_tokn`
 --> configs/a.toml:9:20
  |
9 | grpo.aggregation = 'per_tokn'
  |                    ^^^^^^^^^^ expected `per_completion`, `per_token`, `constant`, `local` or `sum`
  |
  = help: did you mean `per_token`?
"#,
    );
}

#[test]
fn no_rewards() {
    check(
        &LEAST.replace("rewards.format = {}\n", ""),
        &[],
        r#"
error: the stage has no rewards
 --> configs/a.toml:3:1
  |
3 | [[stage]]
  | ^^^^^^^^^ expected a table of rewards
  |
  = help: add a table such as [stage.rewards.accuracy] or [stage.rewards.format]; configs/reference.toml has every kind
"#,
    );
}

#[test]
fn no_optimizer() {
    check(
        &LEAST.replace("optimizer.learning_rate = 1e-3\n", ""),
        &[],
        r#"
error: missing table `optimizer`
 --> configs/a.toml:3:1
  |
3 | [[stage]]
  | ^^^^^^^^^ expected inside of this one
  |
  = help: add [stage.optimizer]; configs/reference.toml has it with every key
"#,
    );
}

#[test]
fn no_model() {
    check(
        &LEAST[LEAST.find("[[").unwrap()..],
        &[],
        r#"
error: missing table `model`
 --> configs/a.toml:1:1
  |
1 | [[stage]]
  | ^^^^^^^^^ this stage starts from a model
  |
  = help: add [model] with the `path` of a Hugging Face folder
"#,
    );
}

#[test]
fn two_stages_of_one_name() {
    check(
        &format!("{LEAST}{}", &LEAST[LEAST.find("[[").unwrap()..]),
        &[],
        r#"
error: two stages are called `grpo`
 --> configs/a.toml:9:1
  |
9 | [[stage]]
  | ^^^^^^^^^ `name` is not given here, so its default holds; stage[0] has this name already
  |
  = help: give each stage a `name` of its own
"#,
    );
}

#[test]
fn a_bad_override() {
    check(
        LEAST,
        &["run.seed=2", "stage.rollout.group_size=1"],
        r#"
error: `group_size` is 1
 --> --set:1:26
  |
1 | stage.rollout.group_size=1
  |                          ^ expected 2 or more
  |
  = help: an advantage compares a completion with the others of its group: a group of one has none
"#,
    );
}

#[test]
fn an_override_of_nothing() {
    check(
        LEAST,
        &["run.seed"],
        r#"
error: `--set run.seed` sets nothing
 --> --set:1:1
  |
1 | run.seed
  | ^^^^^^^^ expected key=value
  |
  = help: for example --set run.seed=2, or --set stage.rollout.group_size=8
"#,
    );
}

#[test]
fn an_override_without_value() {
    check(
        LEAST,
        &["run.seed="],
        r#"
error: `--set run.seed=` has no value
 --> --set:1:9
  |
1 | run.seed=
  |         ^ expected a value
  |
  = help: a value is written as in the run file; a word needs no quotes
"#,
    );
}

#[test]
fn an_open_bracket() {
    check(
        &format!("{LEAST}[stage.rollout\ngroup_size = 2"),
        &[],
        r#"
error: invalid TOML: unclosed table, expected `]`
 --> configs/a.toml:9:15
  |
9 | [stage.rollout
  |               ^
"#,
    );
}

#[test]
fn a_missing_value() {
    check(
        "[run]\nseed =\n\n",
        &[],
        r#"
error: invalid TOML: not a value
 --> configs/a.toml:2:6
  |
2 | seed =
  |      ^ expected a value
  |
  = help: a value is a number, true, false, a "text" or a [list]
"#,
    );
}

#[test]
fn an_empty_file() {
    check(
        "",
        &[],
        r#"
error: the run file has no stage
 --> configs/a.toml:1:1
  |
1 |
  | ^ expected a [[stage]]
  |
  = help: add a [[stage]]; configs/reference.toml has every key
"#,
    );
}

#[test]
fn colours_are_for_terminals_only() {
    let error = super::parse("", &[]).unwrap_err();
    assert!(error.render(true).contains("\u{1b}["));
    assert!(!error.render(false).contains("\u{1b}["));
}
