//! Stages of kind `eval`: what is refused, and where.

use super::super::{Init, Stage};
use super::{accepted, message};

const RUN: &str = r#"
[model]
path = "model"

[[stage]]
kind = "grpo"
name = "zero"
steps = 1
[stage.problems.countdown]
[stage.rewards.format]
[stage.optimizer]
learning_rate = 1e-6

[[stage]]
kind = "eval"
models = ["base", "zero"]
[[stage.set]]
name = "sums"
problems = "sums.jsonl"
"#;

fn with(lines: &str) -> String {
    format!("{RUN}{lines}\n")
}

#[test]
fn a_stage_says_what_is_asked_of_whom() {
    let resolved = accepted(&with("pass_at = [4]\n[stage.set.budget]\nwaits = [2]"), &[]);
    let Stage::Eval(stage) = &resolved.stages[1] else { panic!("of kind eval") };
    assert_eq!(stage.models, [Init::Base, Init::Stage("zero".into())]);
    let set = &stage.sets[0];
    assert_eq!((set.samples_per_problem, set.temperature, set.top_p, set.max_tokens), (16, 0.6, 0.95, 32_768));
    assert_eq!(set.budget.as_ref().unwrap().wait_text, "Wait");
    assert_eq!(resolved.stages[1].needs(), ["zero"]);
    // Written down and read again it is the same.
    let again = accepted(&resolved.to_toml(), &[]);
    assert_eq!(again, resolved);
    // How many rows are decoded at once is no part of what it is.
    let other = accepted(&with(""), &["stage.eval.max_batch=3"]);
    assert_eq!(other.stage_identities(), accepted(&with(""), &[]).stage_identities());
    let asked_otherwise = accepted(&with("temperature = 0.7"), &[]);
    assert_ne!(asked_otherwise.stage_identities()[1], other.stage_identities()[1]);
    assert_eq!(asked_otherwise.stage_identities()[0], other.stage_identities()[0]);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let check = |text: String, parts: &[&str]| {
        let message = message(&text, &[]);
        assert!(parts.iter().all(|part| message.contains(part)), "{parts:?} not in:\n{message}");
    };
    let replaced = |from: &str, to: &str| RUN.replace(from, to);
    check(with("pass_at = [17]"), &["pass@17 cannot be estimated from 16 samples", "raise samples_per_problem"]);
    check(with("pass_at = [0]"), &["pass@0"]);
    check(with("temperature = 0.0"), &["`temperature` is 0", "greedy = true"]);
    check(with("win_by = \"helpful\""), &["the set has no reward `helpful`"]);
    check(with("[stage.set.budget]"), &["neither `caps` nor `waits`"]);
    check(with("[stage.set.budget]\ncaps = [0]"), &["`caps` has a 0"]);
    check(with("max_tokens = 80\n[stage.set.budget]\ncaps = [20]"), &["come to 84", "`max_tokens` is 80"]);
    check(
        with("[stage.set.budget]\nwaits = [1]\nwait_text = \"</think>\""),
        &["`wait_text` holds what closes thoughts"],
    );
    check(with("[[stage.set]]\nname = \"sums\"\nproblems = \"sums.jsonl\""), &["two sets are called `sums`"]);
    check(with("[stage.set.rewards.acuracy]"), &["acuracy"]);
    check(replaced("name = \"sums\"", "name = \"a/b\""), &["`a/b` cannot name a set"]);
    check(replaced("[\"base\", \"zero\"]", "[\"base\", \"base\"]"), &["`models` has `base` twice"]);
    check(replaced("[\"base\", \"zero\"]", "[]"), &["`models` is empty"]);
    check(replaced("[\"base\", \"zero\"]", "[\"eval\"]"), &["stage `eval` needs itself"]);
    check(replaced("[[stage.set]]\nname = \"sums\"\nproblems = \"sums.jsonl\"\n", ""), &["no set of problems"]);
}
