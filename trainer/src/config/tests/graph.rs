//! Stages that name one another: what they start from, what they read, and what is refused.

use std::path::Path;

use super::super::*;
use super::accepted;

/// A stage of kind `grpo` with more keys.
fn grpo(name: &str, more: &str) -> String {
    format!(
        "[[stage]]\nkind = \"grpo\"\nname = \"{name}\"\nsteps = 10\n{more}\nrewards.format = {{}}\n\
         optimizer.learning_rate = 1e-3\n"
    )
}

const PROBLEMS: &str = "problems.countdown = {}";

const BASE: &str = "[model]\npath = \"base\"\n";

/// The message about a run file in a folder with a model `base` and problems `p.jsonl`.
fn refusal(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("base")).unwrap();
    std::fs::write(folder.path().join("p.jsonl"), "{}").unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, text).unwrap();
    RunFile::load(&path, &[]).expect_err("accepted").render(false)
}

fn inits(text: &str) -> Vec<Init> {
    accepted(text, &[]).stages.iter().filter_map(|stage| stage.init().cloned()).collect()
}

#[test]
fn a_stage_starts_from_what_its_init_names() {
    let other = "/models/other";
    let text = [
        BASE.to_owned(),
        grpo("a", PROBLEMS),
        grpo("b", PROBLEMS),
        grpo("c", &format!("init = \"base\"\n{PROBLEMS}")),
        grpo("d", &format!("init = \"a\"\n{PROBLEMS}")),
        grpo("e", &format!("init = \"{other}\"\n{PROBLEMS}")),
        grpo("f", &format!("init = \"previous\"\n{PROBLEMS}")),
    ];
    let stage = |name: &str| Init::Stage(name.to_owned());
    let expected = [Init::Base, stage("a"), Init::Base, stage("a"), Init::Folder(other.into()), stage("e")];
    assert_eq!(inits(&text.concat()), expected);
    let resolved = accepted(&text.concat(), &[]);
    assert_eq!(resolved.stages[3].needs(), ["a"]);
    assert_eq!(resolved.origin(1), Origin::Folder(Path::new("/project/configs/base")));
    assert_eq!(resolved.origin(5), Origin::Folder(Path::new(other)));
}

#[test]
fn what_cannot_be_there_is_refused_with_the_remedy() {
    let check = |stages: &[String], parts: &[&str]| {
        let message = refusal(&format!("{BASE}{}", stages.concat()));
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in\n{message}");
        }
    };
    let init = |name: &str, init: &str| grpo(name, &format!("init = \"{init}\"\n{PROBLEMS}"));
    let data = |name: &str, path: &str| grpo(name, &format!("problems.jsonl.path = \"{path}\""));
    check(&[grpo("a", PROBLEMS), init("b", "aa")], &["there is no stage `aa` and no such folder", ":14:8", "stages a"]);
    check(&[grpo("a", PROBLEMS), grpo("b", PROBLEMS), init("c", "bb")], &["earlier stages a, b", "did you mean `b`"]);
    check(&[init("a", "b"), grpo("b", PROBLEMS)], &["stage `b` comes later than `a`", "move `b` before `a`"]);
    check(&[init("a", "a")], &["stage `a` needs itself"]);
    check(&[init("a", "b"), init("b", "a")], &["stages `a` and `b` wait for each other"]);
    check(&[grpo("a", PROBLEMS), data("b", "a")], &["stage `a` makes a policy", "expected a stage that makes data"]);
    check(&[data("a", "q.jsonl")], &["no such file: q.jsonl"]);
    check(&[grpo("base", PROBLEMS)], &["a stage cannot be called `base`"]);
    check(&[init("a", "p.jsonl")], &["not a folder: p.jsonl"]);
}

#[test]
fn a_model_that_no_stage_starts_from_is_refused() {
    let message = refusal(&format!("{BASE}{}", grpo("a", &format!("init = \"base2\"\n{PROBLEMS}"))));
    assert!(message.contains("no stage `base2`"), "{message}");
    let folder = tempfile::tempdir().unwrap();
    let init = folder.path().display();
    let message = refusal(&format!("{BASE}{}", grpo("a", &format!("init = \"{init}\"\n{PROBLEMS}"))));
    assert!(message.contains("the model is not used"), "{message}");
}

#[test]
fn a_stage_is_the_same_as_long_as_nothing_that_it_depends_on_changes() {
    let text =
        [BASE.to_owned(), grpo("a", PROBLEMS), grpo("b", PROBLEMS), grpo("c", &format!("init = \"base\"\n{PROBLEMS}"))];
    let identities = |overrides: &[&str]| accepted(&text.concat(), overrides).stage_identities();
    let before = identities(&[]);
    let changed = |overrides: &[&str]| -> Vec<bool> {
        before.iter().zip(identities(overrides)).map(|(before, now)| *before != now).collect()
    };
    assert_eq!(changed(&["stage.a.optimizer.learning_rate=1e-4"]), [true, true, false]);
    assert_eq!(changed(&["stage.b.grpo.kl_beta=0.5"]), [false, true, false]);
    assert_eq!(changed(&["model.path=/other"]), [true, true, true]);
    assert_eq!(changed(&["run.seed=7"]), [true, true, true]);
    // The rate is constant, so the stage itself may be made longer; what begins with it is another stage then.
    assert_eq!(changed(&["stage.a.steps=20"]), [false, true, false]);
    let nothing = ["run.threads=1", "run.dir=x", "stage.a.checkpoint.every_steps=3", "stage.c.rollout.max_batch=3"];
    assert_eq!(changed(&nothing), [false, false, false]);
}

#[test]
fn questions_come_from_several_sources_by_weight() {
    let sources = "problems.source = [{ countdown = {}, weight = 3.0, domain = \"math\" }, \
                   { jsonl.path = \"g.jsonl\", weight = 0.0, weight_from_step = [[5, 1.0]] }]";
    let text = format!("{BASE}{}", grpo("a", sources));
    let resolved = accepted(&text, &[]);
    let Problems::Mixture(read) = &resolved.stages[0].as_grpo().unwrap().problems else { panic!("one source") };
    assert_eq!(read.iter().map(|source| source.weight_at(4)).collect::<Vec<_>>(), [3.0, 0.0]);
    assert_eq!(read[1].weight_at(5), 1.0);
    assert_eq!(read[0].domain.as_deref(), Some("math"));
    assert_eq!(accepted(&resolved.to_toml(), &[]), resolved);
    let check = |sources: &str, parts: &[&str]| {
        let message = super::message(&format!("{BASE}{}", grpo("a", sources)), &[]);
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in\n{message}");
        }
    };
    check("problems.source = [{ countdown = {}, weight = 0.0 }]", &["every source has weight 0 at step 1"]);
    let later = "problems.source = [{ countdown = {}, weight_from_step = [[3, 0.0]] }]";
    check(later, &["every source has weight 0 at step 3"]);
    check("problems.source = [{ weight = 1.0 }]", &["the stage has no problems", ":7:"]);
    check("problems.source = [{ countdown = {}, weigth = 1.0 }]", &["unknown", "`weigth`", "expected `weight`"]);
    let both = "problems.source = [{ countdown = {} }]\nproblems.countdown = {}";
    check(both, &["both beside and in `source`"]);
    check("problems.source = [{ countdown = {}, jsonl.path = \"x\" }]", &["two tables of problems"]);
}
