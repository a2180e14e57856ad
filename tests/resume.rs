//! Stopping and going on, through the real binary: by signal, by `kill -9`, with a damaged checkpoint; always to the same bits.

mod support;

use std::fs;

use support::{Dir, Ended, Running, train_args, untimed};

/// Everything that has state: reference, its refreshing, minibatches, several updates, a schedule, evaluations.
const SETTINGS: [&str; 11] = [
    "stage.steps=16",
    "stage.grpo.kl_beta=0.05",
    "stage.grpo.reference_refresh_steps=3",
    "stage.grpo.minibatches=2",
    "stage.grpo.updates_per_batch=2",
    "stage.optimizer.schedule=\"cosine\"",
    "stage.optimizer.warmup_steps=4",
    "stage.checkpoint.every_steps=4",
    "stage.checkpoint.keep=2",
    "stage.eval.problems=\"problems.jsonl\"",
    "stage.eval.every_steps=5",
];
const LAST: &str = "checkpoints/grpo/step_000016";

/// The words of a run of [`SETTINGS`] in the folder `run`.
fn words<'a>(run_dir: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [run_dir].iter().chain(&SETTINGS).chain(more).copied().collect()
}

/// A folder with the uninterrupted run in `whole`.
fn whole() -> Dir {
    let dir = Dir::new();
    dir.train(&words("run.dir=\"whole\"", &[]));
    dir
}

fn start(dir: &Dir, more: &[&str]) -> Running {
    Running::start(dir.command(train_args(&words("run.dir=\"run\"", more))))
}

fn resume(dir: &Dir) -> Ended {
    start(dir, &["--resume"]).end()
}

fn n_steps(dir: &Dir) -> usize {
    fs::read_to_string(dir.path("run/metrics.jsonl")).map_or(0, |text| text.matches('\n').count())
}

fn checkpoints(dir: &Dir) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir.path("run/checkpoints/grpo")) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn is_torn(name: &str) -> bool {
    name.ends_with(".tmp")
}

/// Weights, optimiser, reference, metrics and completions of `run` are those of `whole`.
fn check_same(dir: &Dir) {
    for name in ["final", LAST] {
        let files = |run: &str| dir.files(&format!("{run}/{name}"));
        assert_eq!(files("whole"), files("run"), "{name}");
        // The state says how long the run took, and the manifest has its hash.
        let timed = ["trainer_state.json", "manifest.json"];
        for file in files("run").iter().filter(|file| !timed.contains(&file.as_str())) {
            let bytes = |run: &str| dir.bytes(&format!("{run}/{name}/{file}"));
            assert!(bytes("whole") == bytes("run"), "{name}/{file} is not the same");
        }
    }
    for needed in ["optimizer.safetensors", "reference.safetensors"] {
        assert!(dir.path("run").join(LAST).join(needed).exists(), "{needed} was not compared");
    }
    for name in ["metrics.jsonl", "eval.jsonl"] {
        let rows = |run: &str| untimed(dir.rows(&format!("{run}/{name}")));
        assert_eq!(rows("whole"), rows("run"), "{name}");
    }
    assert_eq!(dir.files("whole/completions"), dir.files("run/completions"));
    for file in dir.files("run/completions") {
        let text = |run: &str| dir.text(&format!("{run}/completions/{file}"));
        assert_eq!(text("whole"), text("run"), "{file}");
    }
    let counters = |run: &str| {
        let state = dir.json(&format!("{run}/{LAST}/trainer_state.json"));
        (state["num_tokens"].clone(), state["n_updates"].clone(), state["extra"].clone())
    };
    assert_eq!(counters("whole"), counters("run"));
    let evals = |run: &str| {
        (dir.json(&format!("{run}/summary.json"))["before"].clone(), dir.rows(&format!("{run}/eval.jsonl")).len())
    };
    assert_eq!(evals("whole"), evals("run"));
    let unfinished: Vec<String> = dir.files("run").into_iter().filter(|file| file.contains(".tmp")).collect();
    assert!(unfinished.is_empty(), "left behind: {unfinished:?}");
}

/// Lets the run go on until `reached`, then kills it. A run that ends before is an error of the test.
fn kill_when(dir: &Dir, more: &[&str], reached: impl Fn() -> bool) {
    let mut running = start(dir, more);
    let was_reached = running.wait_until(reached);
    running.signal(libc::SIGKILL);
    let ended = running.end();
    assert!(was_reached && ended.code.is_none(), "it ended before it was killed:\n{}", ended.stderr);
}

#[test]
fn kill_9_at_five_moments_ends_in_the_same_bits() {
    let dir = whole();
    // Before the first checkpoint, in the middle of the steps that follow it.
    kill_when(&dir, &[], || n_steps(&dir) >= 2);
    assert!(!checkpoints(&dir).iter().any(|name| !is_torn(name)), "{:?}", checkpoints(&dir));
    // While a checkpoint is being written. That takes milliseconds: on a busy machine the first kill may come too late.
    for _ in 0..3 {
        kill_when(&dir, &["--resume"], || n_steps(&dir) >= 4 && checkpoints(&dir).iter().any(|name| is_torn(name)));
        if checkpoints(&dir).iter().any(|name| is_torn(name)) {
            break;
        }
    }
    assert!(
        checkpoints(&dir).iter().any(|name| is_torn(name)),
        "no checkpoint was caught in the making: {:?}",
        checkpoints(&dir)
    );
    // A fraction of a step after some step. Where in its work the process is then, the machine decides.
    let seed = 20_261_123_u64;
    for (kill, steps) in [(1_u64, 6), (2, 9), (3, 13)] {
        kill_when(&dir, &["--resume"], || {
            n_steps(&dir) >= steps && {
                std::thread::sleep(std::time::Duration::from_micros(seed.wrapping_mul(kill * 7_919) % 9_000));
                true
            }
        });
    }
    resume(&dir).expect_code(0);
    check_same(&dir);
    assert!(dir.json("run/summary.json")["n_resumes"].as_u64() >= Some(5));
}

/// How many questions a step has asked depends on what was sampled, and which of them come next on what was solved.
#[test]
fn which_questions_come_next_is_saved() {
    let dynamic = "stage.rollout.dynamic_sampling.max_rounds=4";
    let pairs = "stage.rollout.group_size=2";
    let (drop, curriculum) = ("stage.problems.drop_pass_rate=0.6", "stage.problems.curriculum=\"pass_rate\"");
    for more in [&[pairs, dynamic][..], &[drop], &[pairs, dynamic, drop, curriculum]] {
        let dir = Dir::new();
        dir.train(&words("run.dir=\"whole\"", more));
        kill_when(&dir, more, || n_steps(&dir) >= 6);
        start(&dir, &[more, &["--resume"]].concat()).end().expect_code(0);
        check_same(&dir);
    }
}

#[test]
fn ctrl_c_finishes_the_step_and_saves() {
    let dir = whole();
    let mut running = start(&dir, &[]);
    assert!(running.wait_until(|| n_steps(&dir) >= 2));
    running.signal(libc::SIGINT);
    let ended = running.end().expect_code(130);
    assert!(ended.stderr.contains("--resume"), "no remedy in\n{}", ended.stderr);
    let steps = n_steps(&dir);
    assert!((2..16).contains(&steps), "{steps} steps");
    assert_eq!(checkpoints(&dir).last(), Some(&format!("step_{steps:06}")), "the last step was not saved");
    assert!(!dir.path("run/summary.json").exists());
    resume(&dir).expect_code(0);
    check_same(&dir);
}

#[test]
fn a_finished_run_is_left_as_it_is() {
    let dir = Dir::new();
    dir.train(&["stage.steps=1"]);
    let before = dir.bytes("run/summary.json");
    let again = dir.train(&["stage.steps=1", "--resume"]);
    assert!(again.stdout.contains("finished"), "{}", again.stdout);
    assert_eq!(dir.bytes("run/summary.json"), before);
}

#[test]
fn damaged_checkpoints_are_passed_over_and_told_of() {
    let dir = whole();
    kill_when(&dir, &[], || n_steps(&dir) >= 10);
    assert_eq!(checkpoints(&dir), ["step_000004", "step_000008"]);
    flip_a_byte(&dir, "run/checkpoints/grpo/step_000008/optimizer.safetensors");
    // Stopped again, so that the other one can be damaged too before all is done.
    let mut running = start(&dir, &["--resume"]);
    assert!(running.wait_until(|| (5..7).contains(&n_steps(&dir))), "{} steps", n_steps(&dir));
    running.signal(libc::SIGKILL);
    let ended = running.end();
    let told = ended.stdout + &ended.stderr;
    for part in ["step_000008", "optimizer.safetensors", "going back", "going on after step 4"] {
        assert!(told.contains(part), "no `{part}` in\n{told}");
    }
    flip_a_byte(&dir, "run/checkpoints/grpo/step_000004/model.safetensors");
    // With none left nothing is removed or trained again unasked.
    let told = resume(&dir).expect_code(1).stderr;
    for part in ["step_000004", "step_000008", "no checkpoint is whole", "remove"] {
        assert!(told.contains(part), "no `{part}` in\n{told}");
    }
    std::fs::remove_dir_all(dir.path("run/checkpoints/grpo")).unwrap();
    resume(&dir).expect_code(0);
    check_same(&dir);
}

fn flip_a_byte(dir: &Dir, name: &str) {
    let mut bytes = dir.bytes(name);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    dir.write(name, bytes);
}

#[test]
fn a_second_process_keeps_out_of_a_run_that_goes_on() {
    let dir = Dir::new();
    let mut first = start(&dir, &["stage.steps=1000"]);
    assert!(first.wait_until(|| n_steps(&dir) >= 1));
    let second = start(&dir, &["stage.steps=1000", "--resume"]).end().expect_code(2);
    assert!(second.stderr.contains("is using this run folder"), "{}", second.stderr);
    first.signal(libc::SIGKILL);
    first.end();
}
