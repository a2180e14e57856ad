//! A run file with several stages, through the real binary: what is done and unchanged is not run again.

mod support;

use std::fs;
use std::time::SystemTime;

use support::{Dir, Running, train_args};

/// Three short stages of kind `grpo`: `b` goes on from `a`, `c` starts from the base.
fn dir() -> Dir {
    let dir = Dir::new();
    let text = dir.text("run.toml");
    let (head, stage) = text.split_at(text.find("[[stage]]").expect("a stage"));
    let named = |name: &str, init: &str| {
        stage.replace(
            "kind = \"grpo\"\nsteps = 4",
            &format!("kind = \"grpo\"\nname = \"{name}\"\ninit = \"{init}\"\nsteps = 2"),
        )
    };
    dir.write("run.toml", [head, &named("a", "base"), &named("b", "previous"), &named("c", "base")].join("\n"));
    dir
}

/// When the last checkpoint of each stage was made.
fn made(dir: &Dir) -> [SystemTime; 3] {
    ["a", "b", "c"].map(|stage| {
        let manifest = dir.path(format!("run/checkpoints/{stage}/step_000002/manifest.json"));
        fs::metadata(&manifest).and_then(|file| file.modified()).expect("a checkpoint")
    })
}

/// Which stages were run again by a command.
fn run_again(dir: &Dir, words: &[&str]) -> [bool; 3] {
    let before = made(dir);
    dir.train(words);
    let after = made(dir);
    [0, 1, 2].map(|stage| before[stage] != after[stage])
}

/// The stages of the lines of metrics.jsonl, in order.
fn logged(dir: &Dir) -> Vec<String> {
    dir.rows("run/metrics.jsonl").iter().map(|row| row["stage"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn what_is_done_and_unchanged_is_not_run_again() {
    let dir = dir();
    dir.train(&[]);
    assert_eq!(logged(&dir), ["a", "a", "b", "b", "c", "c"]);
    assert_eq!(dir.bytes("run/final/model.safetensors"), dir.bytes("run/checkpoints/c/step_000002/model.safetensors"));
    assert_ne!(dir.bytes("run/final/model.safetensors"), dir.bytes("run/checkpoints/a/step_000002/model.safetensors"));
    assert_eq!(run_again(&dir, &[]), [false, false, false]);
    let rate = "stage.b.optimizer.learning_rate=1e-3";
    let weights = dir.bytes("run/checkpoints/b/step_000002/model.safetensors");
    assert_eq!(run_again(&dir, &[rate]), [false, true, false]);
    assert_ne!(dir.bytes("run/checkpoints/b/step_000002/model.safetensors"), weights);
    assert_eq!(logged(&dir), ["a", "a", "c", "c", "b", "b"]);
    assert!(dir.text("run/run.toml").contains("learning_rate = 0.001"));
    // What `a` makes is what `b` starts from.
    assert_eq!(run_again(&dir, &[rate, "stage.a.rollout.temperature=0.5"]), [true, true, false]);
    assert_eq!(run_again(&dir, &[rate, "stage.a.rollout.temperature=0.5", "run.threads=2"]), [false, false, false]);
    // Another seed shares no stage: that is another run.
    let ended = dir.run(train_args(&["run.seed=5"])).expect_code(2);
    assert!(ended.stderr.contains("belongs to another run"), "{}", ended.stderr);
}

#[test]
fn stages_can_be_asked_for_by_name() {
    let dir = dir();
    let ended = dir.run(["--config", "run.toml", "--only", "b"]).expect_code(1);
    assert!(ended.stderr.contains("stage b needs what stage a makes"), "{}", ended.stderr);
    dir.run(["--config", "run.toml", "--only", "a"]).expect_code(0);
    assert!(!dir.path("run/checkpoints/b").exists() && !dir.path("run/final").exists());
    dir.run(["--config", "run.toml", "--only", "b"]).expect_code(0);
    dir.train(&[]);
    let weights = dir.bytes("run/final/model.safetensors");
    let before = made(&dir);
    dir.run(["--config", "run.toml", "--from", "b"]).expect_code(0);
    let after = made(&dir);
    assert_eq!([0, 1, 2].map(|stage| before[stage] != after[stage]), [false, true, true]);
    assert_eq!(dir.bytes("run/final/model.safetensors"), weights);
    let ended = dir.run(["--config", "run.toml", "--from", "d"]).expect_code(2);
    assert!(ended.stderr.contains("no stage is called so; the run file has a, b, c"), "{}", ended.stderr);
}

#[test]
fn the_same_command_goes_on_after_kill_9_in_a_later_stage() {
    let (whole, killed) = (dir(), dir());
    whole.train(&[]);
    let mut running = Running::start(killed.command(train_args(&[])));
    let in_b = killed.path("run/completions/b/step_000001.jsonl");
    assert!(running.wait_until(|| in_b.exists()), "it ended before it could be killed");
    running.signal(libc::SIGKILL);
    assert_eq!(running.end().code, None);
    let ended = killed.train(&[]);
    assert!(ended.stderr.contains("going on with the run"), "{}", ended.stderr);
    for stage in ["a", "b", "c"] {
        let weights = format!("run/checkpoints/{stage}/step_000002/model.safetensors");
        assert_eq!(whole.bytes(&weights), killed.bytes(&weights), "{stage}");
    }
    assert_eq!(logged(&killed), logged(&whole));
}

/// Signals a run in `dir` as soon as `file` is there, and waits for its end.
fn interrupt(dir: &Dir, args: &[&str], file: &str, signal: libc::c_int) -> Option<i32> {
    let mut running = Running::start(dir.command(args));
    let file = dir.path(file);
    assert!(running.wait_until(|| file.exists()), "it ended before it could be interrupted");
    running.signal(signal);
    running.end().code
}

#[test]
fn a_chain_that_was_to_be_run_again_goes_on_where_that_was_interrupted() {
    let dir = dir();
    dir.train(&[]);
    // The questions change under the run: what stands in the folder is of the old ones.
    let questions = dir.text("problems.jsonl").replace("case", "instance");
    dir.write("problems.jsonl", &questions);
    let before = made(&dir);
    let slowly = ["--config", "run.toml", "--from", "b", "--set", "stage.b.checkpoint.every_steps=1"];
    interrupt(&dir, &slowly, "run/checkpoints/b/step_000001/manifest.json", libc::SIGKILL);
    assert!(!dir.path("run/checkpoints/c").exists(), "c was made from the old questions");
    dir.train(&["stage.b.checkpoint.every_steps=1"]);
    let after = made(&dir);
    assert_eq!([0, 1, 2].map(|stage| before[stage] != after[stage]), [false, true, true]);
    assert!(dir.text("run/completions/c/step_000001.jsonl").contains("instance"));
    assert_eq!(logged(&dir), ["a", "a", "b", "b", "c", "c"]);
}

#[test]
fn what_rests_on_something_lost_is_made_again() {
    let dir = dir();
    dir.train(&[]);
    fs::remove_dir_all(dir.path("run/checkpoints/a")).expect("the checkpoints of a");
    let before = fs::metadata(dir.path("run/checkpoints/b/step_000002/manifest.json")).and_then(|file| file.modified());
    dir.train(&[]);
    let after = fs::metadata(dir.path("run/checkpoints/b/step_000002/manifest.json")).and_then(|file| file.modified());
    assert_ne!(before.expect("a checkpoint"), after.expect("a checkpoint"));
    let mut stages = logged(&dir);
    stages.sort();
    assert_eq!(stages, ["a", "a", "b", "b", "c", "c"]);
}

#[test]
fn a_stage_asked_for_alone_leaves_one_that_was_interrupted_as_it_is() {
    let dir = dir();
    let slowly = ["--config", "run.toml", "--set", "stage.a.steps=400", "--set", "stage.a.checkpoint.every_steps=1"];
    let code = interrupt(&dir, &slowly, "run/checkpoints/a/step_000002/manifest.json", libc::SIGINT);
    assert_eq!(code, Some(130));
    let n_logged = logged(&dir).len();
    assert!((2..400).contains(&n_logged));
    dir.run(slowly.iter().chain(&["--only", "c"])).expect_code(0);
    let of_a = logged(&dir).iter().filter(|stage| *stage == "a").count();
    assert_eq!(of_a, n_logged);
    // Fewer steps than it has is another stage.
    dir.train(&["stage.a.steps=1"]);
    assert_eq!(logged(&dir).iter().filter(|stage| *stage == "a").count(), 1);
    assert_eq!(dir.json("run/stages/a/stage.json")["steps"], 1);
}
