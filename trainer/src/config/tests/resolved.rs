//! What a run file means: defaults, paths, the resolved file, and which runs are the same run.

use std::path::Path;

use super::super::*;
use super::{LEAST, LEAST_PRETRAIN, accepted};

fn grpo(resolved: &Resolved) -> &GrpoStage {
    match &resolved.stages[0] {
        Stage::Grpo(stage) => stage,
        _ => panic!("not a stage of kind grpo"),
    }
}

#[test]
fn what_is_not_written_has_its_default() {
    let resolved = accepted(LEAST, &[]);
    let stage = grpo(&resolved);
    assert_eq!(resolved.run.dir, Path::new("/project/runs/a"));
    assert_eq!((resolved.run.seed, resolved.run.threads), (1, 0));
    assert_eq!((resolved.run.device, resolved.run.dtype), (Device::Auto, Dtype::Float32));
    assert_eq!(stage.name, "grpo");
    assert_eq!(stage.rollout, Rollout::default());
    assert_eq!(stage.grpo.clip_range(), (0.2, 0.2));
    assert_eq!(stage.optimizer.betas, [0.9, 0.95]);
    assert_eq!(stage.checkpoint, Checkpoint { every_steps: 20, keep: 2 });
    assert_eq!(stage.eval, None);
    assert_eq!(stage.rewards.in_words(), "1 x format");
    assert_eq!(stage.rollout.completions_per_step(), 512);
}

#[test]
fn paths_are_relative_to_the_run_file_and_the_run_folder_to_the_current_folder() {
    let text = LEAST.replace("\"base\"", "\"../assets/./base\"");
    let resolved = accepted(&text, &["run.dir=elsewhere/x"]);
    assert_eq!(resolved.model.unwrap().path, Path::new("/project/assets/base"));
    assert_eq!(resolved.run.dir, Path::new("/project/elsewhere/x"));
    let absolute = accepted(LEAST, &["run.dir=/tmp/x", "model.path=/models/base"]);
    assert_eq!(absolute.run.dir, Path::new("/tmp/x"));
    assert_eq!(absolute.model.unwrap().path, Path::new("/models/base"));
}

#[test]
fn the_resolved_file_means_the_same_run() {
    let rich = [
        "run.device=cuda:2",
        "run.dtype=bfloat16",
        "doctor.on_dead=stop",
        "stage.name=first",
        "stage.rollout.stop_strings=['</answer>', \"a\\n\\\"b\\\"\"]",
        "stage.rollout.stop_token_ids=[3, 4]",
        "stage.rewards.countdown.partial=0.05",
        "stage.grpo.clip_epsilon_high=0.28",
        "stage.grpo.old_logprobs=recompute",
        "stage.grpo.importance_cap=2.0",
        "stage.grpo.aggregation=constant",
        "stage.grpo.advantage_scale=none",
        "stage.grpo.kl_beta_from_step=[[5, 0.0]]",
        "stage.grpo.covariance.kind=clip_cov",
        "stage.grpo.adaptive_entropy.target=0.3",
        "stage.optimizer.schedule=cosine",
        "stage.eval.problems=held_out.jsonl",
        "stage.problems.countdown.exclude=held_out.jsonl",
        "stage.prompt.template=none",
    ];
    let jsonl = LEAST.replace("problems.countdown = {}", "problems.jsonl.path = \"data/x.jsonl\"");
    let text = LEAST_PRETRAIN.replace("countdown = {}", "text.path = \"corpus.txt\"");
    for first in [
        accepted(LEAST, &[]),
        accepted(LEAST, &rich),
        accepted(&jsonl, &[]),
        accepted(LEAST_PRETRAIN, &["stage.output=../out", "stage.architecture.head_dim=6"]),
        accepted(&text, &["stage.architecture.rope_theta=1e6"]),
        accepted(&format!("{LEAST_PRETRAIN}{}", &LEAST[LEAST.find("[[").unwrap()..]), &[]),
    ] {
        let written = first.to_toml();
        let again = accepted(&written, &[]);
        assert_eq!(first, again, "\n{written}");
        assert_eq!(written, again.to_toml());
        assert_eq!(first.identity(), again.identity());
    }
}

#[test]
fn what_changes_results_changes_the_identity() {
    let check = |text: &str, change: &str, same: bool| {
        let [before, after] = [&[][..], &[change]].map(|overrides| accepted(text, overrides).identity());
        assert_eq!(before.len(), 64);
        assert_eq!(before == after, same, "{change}");
    };
    let cosine = LEAST.replace("optimizer.learning_rate", "optimizer.schedule = 'cosine'\noptimizer.learning_rate");
    for change in [
        "run.dir=x",
        "run.threads=2",
        "run.device=cpu",
        "doctor.on_dead=stop",
        "doctor.enabled=false",
        "run.deterministic=true",
        "stage.checkpoint.keep=9",
        "stage.steps=11",
        "stage.grpo.checkpointing=blocks",
    ] {
        check(LEAST, change, true);
    }
    check(LEAST_PRETRAIN, "stage.output=x", true);
    for change in [
        "run.seed=2",
        "run.dtype=bfloat16",
        "model.path=other",
        "stage.name=x",
        "stage.rollout.group_size=8",
        "stage.rewards.format.weight=2",
        "stage.eval.problems=x.jsonl",
        "stage.grpo.old_logprobs=recompute",
        "stage.optimizer.learning_rate=2e-3",
    ] {
        check(LEAST, change, false);
    }
    check(&cosine, "stage.steps=11", false);
    let two = format!("{LEAST_PRETRAIN}{}", &LEAST[LEAST.find("[[").unwrap()..]);
    check(&two, "stage.pretrain.steps=11", false);
    check(&two, "stage.grpo.steps=11", true);
}

#[test]
fn inputs_are_looked_for_when_a_file_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, LEAST).unwrap();
    let error = RunFile::load(&path, &[]).unwrap_err().render(false);
    assert!(error.contains("no such folder: base"), "{error}");
    assert!(error.contains("run.toml:2:8"), "{error}");
    assert!(error.contains("relative to the run file's folder"), "{error}");
    std::fs::write(folder.path().join("base"), "").unwrap();
    let error = RunFile::load(&path, &[]).unwrap_err().render(false);
    assert!(error.contains("not a folder: base"), "{error}");
    std::fs::remove_file(folder.path().join("base")).unwrap();
    std::fs::create_dir(folder.path().join("base")).unwrap();
    let file = RunFile::load(&path, &[]).unwrap();
    assert_eq!(file.resolved.model.unwrap().path, folder.path().canonicalize().unwrap().join("base"));
    let overrides = ["stage.eval.problems=x.jsonl".to_owned(), "stage.problems.countdown.exclude=y.jsonl".to_owned()];
    let error = RunFile::load(&path, &overrides).unwrap_err();
    assert_eq!(error.n_findings(), 2, "{error}");
    let error = RunFile::load(&folder.path().join("none.toml"), &[]).unwrap_err().render(false);
    assert!(error.starts_with("error: cannot read the run file") && error.contains("none.toml"), "{error}");
}

/// What decides whether completions without an advantage are computed.
#[test]
fn a_term_without_advantage_is_one_of_every_token() {
    let always = |overrides: &[&str], step| grpo(&accepted(LEAST, overrides)).grpo.always_has_gradient(step);
    let none = "stage.grpo.kl_beta=0.0";
    assert!(always(&[], 1) && !always(&[none], 1));
    assert!(!always(&["stage.grpo.kl_in=reward"], 1));
    let later = [none, "stage.grpo.kl_beta_from_step=[[3, 0.1]]"];
    assert_eq!([1, 2, 3].map(|step| always(&later, step)), [false, false, true]);
    assert!(always(&[none, "stage.grpo.entropy_coefficient=0.001"], 1));
    assert!(always(&[none, "stage.grpo.covariance={ kind = \"kl_cov\" }"], 1));
    assert!(!always(&[none, "stage.grpo.covariance={ kind = \"clip_cov\" }"], 1));
}
