//! `grpo-train ablate` through the real binary: all of it, again, killed in the middle, and what is refused.

mod support;

use support::{Dir, Ended, RUN_FILE, Running};

const EVAL: &str = "\n[stage.eval]\nproblems = \"problems.jsonl\"\nmax_problems = 4\nevery_steps = 1\n";

const HEAD: &str = "[ablation]\nseeds = [1, 2]\nmetrics = [\"eval/pass_at_1\", \"reward\", \"rewards/format/mean\"]\n";

const ARMS: &str = "
[[arm]]
name = \"base\"

[[arm]]
name = \"no_format\"
set = { \"stage.rewards.format.weight\" = 0.0 }

[[arm]]
name = \"kl\"
unset = [\"stage.rewards.format.weight\"]
[arm.stage.grpo]
kl_beta = 0.05
";

/// A folder with `run.toml`, which evaluates, and `ablation.toml`, which has three arms of it with two seeds.
fn dir() -> Dir {
    let dir = Dir::new();
    dir.write("run.toml", format!("{RUN_FILE}{EVAL}"));
    dir.write("ablation.toml", format!("{HEAD}base = \"run.toml\"\n{ARMS}"));
    dir
}

fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ["ablate", "--config", "ablation.toml"].iter().chain(more).copied().collect()
}

fn ablate(dir: &Dir, more: &[&str]) -> Ended {
    dir.run(args(more))
}

/// The rows of `table.csv` that no clock has a part in.
fn table(dir: &Dir) -> Vec<String> {
    let text = dir.text("runs/ablation/table.csv");
    text.lines().filter(|line| !line.starts_with("wall_seconds,")).map(str::to_owned).collect()
}

fn n_lines(dir: &Dir, run: &str) -> usize {
    std::fs::read_to_string(dir.path(format!("runs/ablation/{run}/metrics.jsonl")))
        .map_or(0, |text| text.lines().count())
}

#[test]
fn it_runs_every_arm_with_every_seed_and_never_again() {
    let dir = dir();
    let check = ablate(&dir, &["--check"]).expect_code(0).stdout;
    for expected in
        ["no_format: stage.rewards.format.weight = 0.0", "kl: without stage.rewards.format.weight", "6 of 6 runs to do"]
    {
        assert!(check.contains(expected), "no `{expected}` in\n{check}");
    }
    assert!(!dir.path("runs").exists(), "--check touches nothing");

    let first = ablate(&dir, &["--jobs", "2"]).expect_code(0);
    for arm in ["base", "no_format", "kl"] {
        for seed in [1, 2] {
            assert!(dir.path(format!("runs/ablation/{arm}/seed_{seed}/summary.json")).exists(), "{arm} {seed}");
        }
    }
    let markdown = dir.text("runs/ablation/table.md");
    for expected in
        ["## eval/pass_at_1", "against base", "| no_format | 2 of 2 seeds |", "](curves.svg)", "95 % intervals"]
    {
        assert!(markdown.contains(expected), "no `{expected}` in\n{markdown}");
    }
    assert!(dir.text("runs/ablation/curves.svg").contains("no_format"));
    assert!(first.stdout.contains("told apart?"), "{}", first.stdout);
    let rows = table(&dir);
    // Three metrics of three arms, twice, and the tokens; under the head.
    assert_eq!(rows.len(), 1 + 3 * 3 * 2 + 3, "{rows:#?}");
    let evaluated = |arm: &str| dir.rows(&format!("runs/ablation/{arm}/seed_1/eval.jsonl"))[0]["pass_at_1"].clone();
    assert_eq!(evaluated("base"), evaluated("kl"), "before the first step all arms answer the same prompts alike");

    let started = dir.json("runs/ablation/base/seed_1/run.json");
    let again = ablate(&dir, &[]).expect_code(0);
    assert!(!again.stderr.contains("started"), "{}", again.stderr);
    assert_eq!(dir.json("runs/ablation/base/seed_1/run.json"), started);
    assert_eq!(table(&dir), rows);
}

/// A clip where a step has one update does nothing.
#[test]
fn what_does_nothing_is_warned_about_with_its_arm() {
    let dir = dir();
    dir.write("ablation.toml", format!("{HEAD}base = \"run.toml\"\n{ARMS}clip_epsilon = 0.1\n"));
    let checked = ablate(&dir, &["--check"]).expect_code(0);
    let warnings: Vec<&str> = checked.stderr.lines().filter(|line| line.starts_with("warning: arm ")).collect();
    assert!(matches!(warnings[..], [one] if one.starts_with("warning: arm kl: stage grpo: a clip to")), "{warnings:?}");
}

#[test]
fn kill_9_in_the_middle_and_the_same_command_finishes_it() {
    let whole = dir();
    ablate(&whole, &[]).expect_code(0);
    let dir = dir();
    let mut running = Running::start(dir.command(args(&[])));
    // The second run is on its way: one is done, four have not begun.
    assert!(running.wait_until(|| n_lines(&dir, "no_format/seed_1") >= 2), "it ended before it was killed");
    running.signal(libc::SIGKILL);
    assert_eq!(running.end().code, None);
    assert!(dir.path("runs/ablation/base/seed_1/summary.json").exists());
    assert!(dir.text("runs/ablation/table.md").contains("| base | 1 of 2 seeds |"));
    assert!(!dir.path("runs/ablation/kl/seed_2").exists());
    let again = ablate(&dir, &[]).expect_code(0);
    assert!(!again.stderr.contains("base seed 1: started"), "{}", again.stderr);
    assert_eq!(table(&dir), table(&whole));
}

#[test]
fn ctrl_c_saves_and_the_same_command_finishes_it() {
    let dir = dir();
    let mut running = Running::start(dir.command(args(&[])));
    assert!(running.wait_until(|| n_lines(&dir, "base/seed_1") >= 1));
    running.signal(libc::SIGINT);
    let ended = running.end().expect_code(130);
    assert!(ended.stderr.contains("the same command goes on"), "{}", ended.stderr);
    ablate(&dir, &[]).expect_code(0);
    assert!(dir.text("runs/ablation/table.md").contains("| kl | 2 of 2 seeds |"));
}

#[test]
fn a_run_that_fails_does_not_stop_the_others() {
    let dir = dir();
    // A model that is whole until the weights are read.
    std::fs::create_dir(dir.path("broken")).unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
        std::fs::copy(dir.path("model").join(name), dir.path("broken").join(name)).unwrap();
    }
    let arms = "[[arm]]\nname = \"base\"\n[[arm]]\nname = \"broken\"\nset = { \"model.path\" = \"broken\" }\n";
    dir.write("ablation.toml", format!("{HEAD}base = \"run.toml\"\n{arms}"));
    let ended = ablate(&dir, &[]).expect_code(1);
    assert!(ended.stderr.contains("2 of 4 runs failed"), "{}", ended.stderr);
    let markdown = dir.text("runs/ablation/table.md");
    for expected in ["| base | 2 of 2 seeds |", "| broken | 0 of 2 seeds |", "broken seed 1 failed: ", "broken"] {
        assert!(markdown.contains(expected), "no `{expected}` in\n{markdown}");
    }
}

#[test]
fn what_cannot_be_compared_is_refused_before_anything_runs() {
    let dir = dir();
    let check = |file: String, expected: &[&str]| {
        dir.write("ablation.toml", file);
        let ended = ablate(&dir, &[]).expect_code(2);
        for part in expected {
            assert!(ended.stderr.contains(part), "no `{part}` in\n{}", ended.stderr);
        }
        assert!(!dir.path("runs").exists(), "something was begun");
    };
    let with =
        |arm: &str| format!("{HEAD}base = \"run.toml\"\n[[arm]]\nname = \"base\"\n[[arm]]\nname = \"other\"\n{arm}\n");
    check(
        with("set = { \"stage.grpo.kl_bta\" = 0.1 }"),
        &["arm `other`: unknown key `kl_bta`", "ablation.toml:9:", "did you mean `kl_beta`?"],
    );
    check(
        with("set = { \"stage.eval.max_problems\" = 3 }"),
        &["arm `other` is evaluated otherwise than arm `base`", "`eval.max_problems` is 3 here and 4 there"],
    );
    check(with("set = { \"stage.rollout.max_tokens\" = 100000 }"), &["arm `other`"]);
    // Both at once: the file that stands alone has the same faults found in it.
    check(format!("{HEAD}[[arm]]\nname = \"a b\"\n{RUN_FILE}{EVAL}"), &["`a b` cannot name an arm"]);
    let plain = dir.run(["--config", "ablation.toml"]).expect_code(2);
    assert!(plain.stderr.contains("grpo-train ablate --config"), "{}", plain.stderr);
}

#[test]
fn a_changed_arm_is_not_mixed_with_its_old_runs() {
    let dir = dir();
    let file = format!("{HEAD}[[arm]]\nname = \"base\"\n{RUN_FILE}{EVAL}");
    dir.write("ablation.toml", &file);
    ablate(&dir, &[]).expect_code(0);
    dir.write("ablation.toml", file.replace("group_size = 4", "group_size = 2"));
    let ended = ablate(&dir, &[]).expect_code(2);
    for part in [
        "arm `base`, seed 1",
        "belongs to another run",
        "it has `group_size = 4`, this has `group_size = 2`",
        "`dir` of [ablation]",
    ] {
        assert!(ended.stderr.contains(part), "no `{part}` in\n{}", ended.stderr);
    }
}
