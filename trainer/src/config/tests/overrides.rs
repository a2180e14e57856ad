//! `--set`: what it reaches, and what it says when it reaches nothing.

use super::super::{Device, Stage};
use super::{LEAST, LEAST_PRETRAIN, accepted, message};

fn two() -> String {
    format!("{LEAST_PRETRAIN}{}", &LEAST[LEAST.find("[[").unwrap()..])
}

#[test]
fn values_are_toml_and_bare_words_are_text() {
    let resolved = accepted(LEAST, &["run.seed=2", "run.device=cuda:1", "stage.name = fast ", "stage.steps=20"]);
    assert_eq!((resolved.run.seed, resolved.run.device), (2, Device::Cuda(1)));
    assert_eq!((resolved.stages[0].name(), resolved.stages[0].steps()), ("fast", Some(20)));
    let Stage::Grpo(stage) = &accepted(LEAST, &["stage.rollout.stop_strings=[\"</answer>\"]"]).stages[0] else {
        panic!()
    };
    assert_eq!(stage.rollout.stop_strings, ["</answer>"]);
}

#[test]
fn a_later_override_wins() {
    assert_eq!(accepted(LEAST, &["run.seed=2", "run.seed=3"]).run.seed, 3);
    assert_eq!(accepted(&format!("run.seed = 5\n{LEAST}"), &["run.seed=3"]).run.seed, 3);
}

#[test]
fn a_stage_is_named_by_its_name_or_its_number() {
    let steps = |argument| {
        let resolved = accepted(&two(), &[argument]);
        [resolved.stages[0].steps(), resolved.stages[1].steps()]
    };
    assert_eq!(steps("stage.pretrain.steps=7"), [Some(7), Some(10)]);
    assert_eq!(steps("stage.grpo.steps=7"), [Some(10), Some(7)]);
    assert_eq!(steps("stage[0].steps=7"), [Some(7), Some(10)]);
    assert_eq!(steps("stage[1].steps=7"), [Some(10), Some(7)]);
    // A stage of kind grpo has a table `grpo`: where there is one stage, that is what the word means.
    let Stage::Grpo(stage) = &accepted(LEAST, &["stage.grpo.kl_beta=0.5"]).stages[0] else { panic!() };
    assert_eq!(stage.grpo.kl_beta, 0.5);
    let Stage::Grpo(stage) = &accepted(LEAST, &["stage.name=a", "stage.a.grpo.kl_beta=0.5"]).stages[0] else {
        panic!()
    };
    assert_eq!(stage.grpo.kl_beta, 0.5);
}

#[test]
fn overrides_go_through_the_same_checks() {
    let check = |overrides: &[&str], expected: &[&str]| {
        let message = message(LEAST, overrides);
        for part in expected {
            assert!(message.contains(part), "no `{part}` in\n{message}");
        }
    };
    check(
        &["run.seed=2", "stage.rollout.group_size=1"],
        &["--> --set:1:26", "stage.rollout.group_size=1", "expected 2 or more"],
    );
    check(&["stage.rollout.grop_size=4"], &["--> --set:1:15", "unknown key `grop_size`", "did you mean `group_size`?"]);
    check(&["stage.group_size=4"], &["--> --set:1:7", "`group_size` is a key of [stage.rollout]"]);
    check(&["run.sed=4"], &["--> --set:1:5", "did you mean `seed`?"]);
    check(&["run.seed=one"], &["--> --set:1:10", "`seed` is the text \"one\"", "expected a whole number, 0 or more"]);
    check(&["rnu.seed=1"], &["unknown key `rnu`", "did you mean `run`?"]);
    check(&["stage[1].steps=1"], &["there is no stage[1]", "expected stage[0] to stage[0]"]);
    check(&["run.seed"], &["`--set run.seed` sets nothing", "expected key=value"]);
    check(&["run.seed="], &["`--set run.seed=` has no value", "expected a value"]);
    check(&["run.=3"], &["a part of the key is empty"]);
    check(&["run.seed=[1"], &["has no value", "unclosed array"]);
    check(&["stage.steps.x=1"], &["`steps` is not a table"]);
    check(&["run=3"], &["`run` is the number 3", "expected a table"]);
    check(&["stage=3"], &["a table cannot be set as a whole"]);
    check(&["run.seed=1\nx=2"], &["expected one value"]);
}

#[test]
fn among_several_stages_one_has_to_be_named() {
    let message = message(&two(), &["stage.pretain.steps=1"]);
    assert!(message.contains("expected `pretrain` or `grpo`"), "{message}");
    assert!(message.contains("did you mean `pretrain`?"), "{message}");
    assert!(message.contains("write stage.NAME.key=value"), "{message}");
}
