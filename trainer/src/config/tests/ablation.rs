//! The file of an ablation: what arms change, and what is said about one that cannot be used.

use std::path::{Path, PathBuf};

use super::super::checks::Place;
use super::super::{AblationFile, ConfigError, Stage};
use super::LEAST;

const EVAL: &str = "eval.problems = \"heldout.jsonl\"\n";

fn place() -> Place {
    Place { folder: PathBuf::from("/project/configs"), current: PathBuf::from("/project"), inputs_must_exist: false }
}

/// `head` in front of the least run file that evaluates.
fn alone(head: &str) -> Result<AblationFile, ConfigError> {
    AblationFile::parse(Path::new("configs/a.toml"), &format!("{head}\n{LEAST}{EVAL}"), None, &place())
}

/// `text` beside the least run file that evaluates.
fn beside(text: &str) -> Result<AblationFile, ConfigError> {
    let base = format!("{LEAST}{EVAL}");
    AblationFile::parse(Path::new("configs/a.toml"), text, Some((Path::new("configs/base.toml"), &base)), &place())
}

fn stage(file: &AblationFile, arm: usize) -> &super::super::GrpoStage {
    match &file.arms[arm].run.resolved.stages[0] {
        Stage::Grpo(stage) => stage,
        _ => panic!("a stage of kind pretrain"),
    }
}

#[test]
fn both_forms_say_the_same() {
    let arms = "[ablation]\nseeds = [4, 5]\n[[arm]]\nname = \"base\"\n[[arm]]\nname = \"kl\"\nset = { \"stage.grpo.kl_beta\" = 0.5 }\n";
    for file in [alone(arms).unwrap(), beside(arms).unwrap()] {
        assert_eq!(file.seeds, [4, 5]);
        assert_eq!(file.dir, Path::new("/project/runs/a"));
        let betas: Vec<f64> = (0..2).map(|arm| stage(&file, arm).grpo.kl_beta).collect();
        assert_eq!(betas, [0.001, 0.5]);
        assert_eq!(file.arms[1].changes, ["stage.grpo.kl_beta = 0.5"]);
        let run = file.arms[1].resolved(PathBuf::from("/x"), 9);
        assert_eq!((run.run.dir.as_path(), run.run.seed), (Path::new("/x"), 9));
    }
}

#[test]
fn changes_come_in_three_forms_and_common_ones_first() {
    let text = "[ablation]\nset = { \"stage.steps\" = 7, \"stage.grpo.kl_beta\" = 0.1 }
[[arm]]\nname = \"a\"
[[arm]]\nname = \"b\"\nset.stage.grpo.kl_beta = 0.2
[[arm]]\nname = \"c\"\nunset = [\"stage.rewards.format\"]\n[arm.stage.rewards.countdown]\n[arm.stage.grpo]\nkl_beta = 0.3
[[arm]]\nname = \"d\"\n[arm.stage.rewards.format]\n[arm.stage.rewards.brief]\nkind = \"expression\"\nexpression = \"tokens / 9\"
";
    let file = beside(text).unwrap();
    let betas: Vec<f64> = (0..4).map(|arm| stage(&file, arm).grpo.kl_beta).collect();
    assert_eq!(betas, [0.1, 0.2, 0.3, 0.1]);
    let rewards = |arm: usize| -> Vec<&str> { stage(&file, arm).rewards.0.iter().map(|r| r.name.as_str()).collect() };
    assert_eq!((rewards(0), rewards(2)), (vec!["format"], vec!["countdown"]));
    assert_eq!(rewards(3).len(), 2);
    assert!((0..4).all(|arm| stage(&file, arm).steps == 7));
    assert_eq!(file.seeds, [1, 2, 3]);
}

#[test]
fn faults_name_the_arm_and_the_place() {
    let check = |result: Result<AblationFile, ConfigError>, expected: &[&str]| {
        let message = result.map(|_| ()).expect_err("accepted").render(false);
        for part in expected {
            assert!(message.contains(part), "no `{part}` in\n{message}");
        }
    };
    let two = |second: &str| beside(&format!("[[arm]]\nname = \"base\"\n[[arm]]\nname = \"other\"\n{second}\n"));
    check(
        two("set = { \"stage.rollout.group_size\" = 1 }"),
        &["arm `other`", "configs/a.toml:5:", "expected 2 or more"],
    );
    check(
        two("[arm.stage.rollout]\ngrop_size = 4"),
        &["arm `other`: unknown key", "configs/a.toml:6:1", "did you mean `group_size`?"],
    );
    check(
        two("unset = [\"stage.rewards.accuracy\"]"),
        &["arm `other`: there is no `accuracy` to take out", "expected `format`"],
    );
    check(two("unset = [\"stage.optimizer\"]"), &["arm `other`: missing", "optimizer"]);
    check(two("sett = {}"), &["arm `other`: unknown key `sett`", "did you mean `set`?"]);
    check(two("set = { \"run.seed\" = 3 }"), &["`run.seed` cannot be changed", "`seeds` and `dir` of [ablation]"]);
    check(two("set = { \"stage.eval.top_p\" = 0.5 }"), &["arm `other` is evaluated otherwise", "configs/a.toml:5:"]);
    check(two("unset = [\"stage.eval\"]"), &["arm `base` and arm `other` do not evaluate the same stages"]);
    check(beside("[[arm]]\nname = \"a\"\n[[arm]]\nname = \"a\"\n"), &["two arms are called `a`", "configs/a.toml:4:"]);
    check(beside("[[arm]]\n"), &["an arm has no name"]);
    check(beside("[ablation]\n"), &["the ablation has no arms"]);
    check(beside("[run]\nseed = 1\n[[arm]]\nname = \"a\"\n"), &["`run` stands beside `ablation.base`"]);
    check(alone("[ablation]\nsteps = 3\n[[arm]]\nname = \"a\"\n"), &["unknown key `steps`", "configs/a.toml:2:"]);
    check(alone("[ablation]\nseeds = [1, 1]\n[[arm]]\nname = \"a\"\n"), &["`seeds` has 1 twice"]);
    check(alone("[ablation]\nbase = 3\n[[arm]]\nname = \"a\"\n"), &["`base` is not a path", "configs/a.toml:2:8"]);
    check(alone("[ablation]\nseeds = []\n[[arm]]\nname = \"a\"\n"), &["`seeds` is empty"]);
    check(
        alone("[ablation]\nmetrics = [\"eval/pass@1\"]\n[[arm]]\nname = \"a\"\n"),
        &["`eval/pass@1` is no metric of an evaluation", "eval/pass_at_1"],
    );
    // What is wrong with the base is said once, at its place there.
    let broken = LEAST.replace("steps = 10", "steps = 0");
    let text = "[[arm]]\nname = \"a\"\n[[arm]]\nname = \"b\"\n";
    let base = Some((Path::new("configs/base.toml"), broken.as_str()));
    let error = AblationFile::parse(Path::new("configs/a.toml"), text, base, &place()).unwrap_err();
    assert_eq!(error.n_findings(), 1);
    assert!(error.render(false).contains("configs/base.toml:5:9"), "{error}");
}
