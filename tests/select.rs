//! Stages of kind `sample` and `curate` through the real binary: what they keep and say, and that they survive `kill -9`.

mod support;

use std::fs;

use serde_json::Value;
use support::{Dir, Running, train_args};

/// Samples the seven problems of the folder, two at a time, and keeps what is not cut off.
const SAMPLE: &str = r#"[[stage]]
kind = "sample"
name = "data"
init = "base"
samples_per_problem = 4
batch_problems = 2

[stage.prompt]
template = "none"

[stage.problems.jsonl]
path = "problems.jsonl"

[stage.sampling]
max_tokens = 16
stop_strings = ["</answer>"]

[stage.rewards.countdown]
[stage.rewards.format]
weight = 0.5

[stage.filters]
correct = "ignored"
truncated = true

[stage.keep]
choice = "best_of_k"
per_problem = 4
"#;

/// Brings what `data` has kept down to three rows that the base does not solve.
const CURATE: &str = r#"
[[stage]]
kind = "curate"
name = "few"
data = ["data", "more.jsonl"]
n = 3
batch_problems = 2
difficulty = [{ model = "base", samples_per_problem = 2, max_pass_rate = 0.5 }]

[stage.prompt]
template = "none"

[stage.sampling]
max_tokens = 16

[stage.rewards.countdown]

[stage.filters]
truncated = true
"#;

const MORE: &str = r#"{"question": "make 9 of 4 and 5", "numbers": [4, 5], "target": 9, "completion": "4 + 5", "domain": "sums"}
{"question": "make 8 of 3 and 5", "numbers": [3, 5], "target": 8}
{"question": "make 7 of 2 and 5", "numbers": [2, 5], "target": 7, "completion": " "}
"#;

const GENERAL: &str = r#"{"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]}
{"prompt": "a", "completion": "b"}
{"prompt": "c", "completion": "d", "domain": "talk"}
"#;

fn dir(stages: &str) -> Dir {
    let dir = Dir::with_stages(stages);
    dir.write("more.jsonl", MORE);
    dir.write("general.jsonl", GENERAL);
    dir
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("{key} of {row}"))
}

#[test]
fn samples_are_judged_and_what_may_stay_is_data() {
    let dir = dir(SAMPLE);
    let ended = dir.train(&["stage.data.filters.min_tokens=4"]);
    let samples = dir.rows("run/stages/data/samples.jsonl");
    assert_eq!(samples.len(), 7 * 4);
    for row in &samples {
        let dropped = row["dropped"]["reason"].as_str();
        let is_short = row["n_tokens"].as_u64() < Some(4);
        assert_eq!(dropped == Some("too_short"), is_short, "{row}");
        assert!(dropped.is_none_or(|reason| ["too_short", "duplicate"].contains(&reason)), "{row}");
        assert!(row["verdicts"]["countdown"]["rule"].is_string() && row["components"]["format"].is_number(), "{row}");
        assert_eq!(row["provenance"]["model"], "base");
        let first = samples.iter().position(|other| other["question"] == row["question"]).expect("itself");
        assert_eq!(row["provenance"]["problem"].as_u64(), Some(first as u64 / 4), "{row}");
        assert_eq!(row["target"], 5);
    }
    let kept: Vec<&Value> = samples.iter().filter(|row| row["dropped"].is_null()).collect();
    let data = dir.rows("run/stages/data/data.jsonl");
    assert_eq!(data.len(), kept.len());
    for row in &data {
        let find = |sample: &&&Value| sample["completion"] == row["completion"] && sample["id"] == row["id"];
        let sample = kept.iter().find(find).unwrap_or_else(|| panic!("kept: {row}"));
        assert_eq!(sample["reward"], row["reward"]);
        assert!(row["verdicts"].is_null() && row["prompt"] == row["question"], "{row}");
    }
    let statistics = dir.json("run/stages/data/statistics.json");
    let counts = &statistics["domains"]["none"];
    assert_eq!((counts["n_problems"].as_u64(), counts["n_samples"].as_u64()), (Some(7), Some(28)));
    assert_eq!(counts["n_accepted"].as_u64(), Some(data.len() as u64));
    assert!(ended.stderr.contains("nothing: accepted"), "{}", ended.stderr);
    assert!(dir.text("run/stages/data/table.md").contains("| total | 7 | 28 |"));
    // A second start finds it done.
    let before = fs::metadata(dir.path("run/stages/data/data.jsonl")).unwrap().modified().unwrap();
    dir.train(&["stage.data.filters.min_tokens=4"]);
    assert_eq!(fs::metadata(dir.path("run/stages/data/data.jsonl")).unwrap().modified().unwrap(), before);
}

#[test]
fn other_data_is_mixed_in_by_its_share() {
    let dir = dir(SAMPLE);
    let mix = "stage.data.mix=[{ data = \"general.jsonl\", fraction = 0.2, domain = \"other\" }]";
    let ended = dir.train(&[mix, "stage.data.keep.total=8"]);
    let data = dir.rows("run/stages/data/data.jsonl");
    assert_eq!(data.len(), 10, "8 and a fifth of 10");
    let general = data.iter().filter(|row| row["provenance"].is_null()).count();
    assert_eq!(general, 2);
    assert!(ended.stderr.contains("mixed in: 2 of 3 rows of general.jsonl"), "{}", ended.stderr);
    let ended = dir.train(&[&mix.replace("0.2", "0.5"), "stage.data.keep.total=8", "run.dir=other"]);
    assert!(ended.stderr.contains("warning: mixed in: 3 of 3 rows"), "{}", ended.stderr);
}

#[test]
fn curation_drops_what_its_funnel_says() {
    let dir = dir(&[SAMPLE, CURATE].concat());
    let ended = dir.train(&[]);
    assert!(ended.stderr.contains("difficulty"), "{}", ended.stderr);
    let funnel = dir.json("run/stages/few/funnel.json");
    let steps = funnel["steps"].as_array().expect("steps");
    let n_in = dir.rows("run/stages/data/data.jsonl").len() as u64 + 3;
    assert_eq!(steps[0]["n_in"].as_u64(), Some(n_in));
    assert_eq!((&steps[0]["dropped"]["malformed"], &steps[0]["dropped"]["no completion"]), (&1.into(), &1.into()));
    // Every problem that came so far has been asked.
    let rates = dir.rows("run/stages/few/pass_rates.jsonl");
    assert_eq!(steps[2]["n_in"].as_u64(), Some(rates.len() as u64));
    assert!(rates.iter().all(|rate| rate["model"] == "base" && rate["n_sampled"] == 2), "{rates:?}");
    let easy = rates.iter().filter(|rate| rate["n_right"] == 2).count() as u64;
    assert_eq!(steps[2]["n_in"].as_u64().unwrap() - steps[2]["n_out"].as_u64().unwrap(), easy);
    let data = dir.rows("run/stages/few/data.jsonl");
    assert_eq!(data.len(), 3);
    for row in &data {
        let rate = rates.iter().find(|rate| rate["question"] == row["question"]).expect("it was asked");
        assert_eq!(row["pass_rates"]["base"].as_f64(), Some(rate["n_right"].as_f64().unwrap() / 2.0));
        assert!(row["n_tokens"].as_u64() > Some(0), "{row}");
    }
}

#[test]
fn the_same_command_goes_on_after_kill_9() {
    let stages = [SAMPLE, CURATE].concat();
    let (whole, killed) = (dir(&stages), dir(&stages));
    whole.train(&[]);
    for (file, n_rows) in [("data/samples.jsonl", 8), ("few/pass_rates.jsonl", 2)] {
        let mut running = Running::start(killed.command(train_args(&[])));
        let path = killed.path(format!("run/stages/{file}"));
        let has_begun = || fs::read_to_string(&path).is_ok_and(|text| text.lines().count() >= n_rows);
        assert!(running.wait_until(has_begun), "it ended before it could be killed in {file}");
        running.signal(libc::SIGKILL);
        assert_eq!(running.end().code, None);
    }
    let samples = killed.text("run/stages/data/samples.jsonl");
    killed.train(&[]);
    for file in [
        "data/samples.jsonl",
        "data/data.jsonl",
        "data/table.md",
        "few/pass_rates.jsonl",
        "few/data.jsonl",
        "few/funnel.json",
    ] {
        let file = format!("run/stages/{file}");
        assert_eq!(whole.text(&file), killed.text(&file), "{file}");
    }
    assert_eq!(samples.lines().count(), 28, "the first stage was done when the second was killed");
}

#[test]
fn a_torn_batch_is_sampled_again() {
    let (whole, torn) = (dir(SAMPLE), dir(SAMPLE));
    whole.train(&[]);
    torn.train(&[]);
    let path = torn.path("run/stages/data/samples.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    // Three problems, the last of them from half of a batch, a part of the fourth, and half a row.
    let rows: Vec<&str> = text.split_inclusive('\n').collect();
    fs::write(&path, [&rows[..14].concat(), &rows[14][..40]].concat()).unwrap();
    fs::remove_file(torn.path("run/stages/data/data.jsonl")).unwrap();
    let ended = torn.train(&[]);
    assert!(ended.stderr.contains("going on after problem 3 of 7"), "{}", ended.stderr);
    for file in ["samples.jsonl", "data.jsonl"] {
        let file = format!("run/stages/data/{file}");
        assert_eq!(whole.text(&file), torn.text(&file), "{file}");
    }
}

#[test]
fn a_stage_asked_to_stop_goes_on_where_it_stopped() {
    let (whole, stopped) = (dir(SAMPLE), dir(SAMPLE));
    whole.train(&[]);
    let mut running = Running::start(stopped.command(train_args(&[])));
    let path = stopped.path("run/stages/data/samples.jsonl");
    assert!(running.wait_until(|| path.exists()), "it ended before it could be stopped");
    running.signal(libc::SIGINT);
    running.end().expect_code(130);
    assert!(!stopped.path("run/stages/data/data.jsonl").exists(), "it stopped before the last batch");
    let ended = stopped.train(&["--resume"]);
    assert!(ended.stderr.contains("stage data: going on after problem "), "{}", ended.stderr);
    assert_eq!(whole.text("run/stages/data/data.jsonl"), stopped.text("run/stages/data/data.jsonl"));
}

#[test]
fn samples_of_a_problem_that_has_changed_are_not_kept() {
    let dir = dir(&[SAMPLE, CURATE].concat());
    dir.train(&[]);
    let old = dir.rows("run/stages/data/samples.jsonl");
    let rates = dir.rows("run/stages/few/pass_rates.jsonl");
    let position = |question: &str| old.iter().position(|row| row["question"] == question).expect("it was sampled") / 4;
    let edited = "make 5 of 2 and 3 case 3";
    dir.write("problems.jsonl", dir.text("problems.jsonl").replace(edited, "make 5 of 2 and 3 case 33"));
    fs::remove_file(dir.path("run/stages/data/data.jsonl")).unwrap();
    let ended = dir.train(&[]);
    let number = position(edited) + 1;
    let warning = format!("stage data: problem {number} is not the one that was sampled");
    assert!(ended.stderr.contains(&warning), "{}", ended.stderr);
    let new = dir.rows("run/stages/data/samples.jsonl");
    assert_eq!(new.len(), 28);
    assert!(new.iter().all(|row| row["question"] != edited), "{new:?}");
    let fresh = self::dir(&[SAMPLE, CURATE].concat());
    fresh.write("problems.jsonl", dir.text("problems.jsonl"));
    fresh.train(&[]);
    for file in ["data/samples.jsonl", "data/data.jsonl", "few/data.jsonl", "few/pass_rates.jsonl"] {
        let file = format!("run/stages/{file}");
        assert_eq!(dir.text(&file), fresh.text(&file), "{file}");
    }
    assert!(rates.iter().all(|rate| rate["n_tokens"].as_u64() > Some(0)), "{rates:?}");
}

#[test]
fn another_choice_keeps_the_samples() {
    // A folder belongs to the run as long as one of its stages is the same.
    let stages = [&SAMPLE.replace("\"data\"", "\"still\""), SAMPLE].concat();
    let dir = dir(&stages);
    dir.train(&["stage.data.n_problems=5"]);
    let lines = |dir: &Dir| dir.text("run/stages/data/samples.jsonl").lines().count();
    assert_eq!(lines(&dir), 20);
    let other = ["stage.data.filters.min_tokens=4", "stage.data.batch_problems=3"];
    let ended = dir.train(&other);
    assert!(ended.stderr.contains("going on after problem 5 of 7"), "{}", ended.stderr);
    let fresh = self::dir(&stages);
    fresh.train(&other);
    for file in ["samples.jsonl", "data.jsonl", "table.md"] {
        let file = format!("run/stages/data/{file}");
        assert_eq!(dir.text(&file), fresh.text(&file), "{file}");
    }
    // What is sampled is another thing: nothing stays.
    let ended = dir.train(&[other[0], other[1], "stage.data.sampling.temperature=0.5"]);
    assert!(!ended.stderr.contains("going on after problem"), "{}", ended.stderr);
    assert_eq!(lines(&dir), 28);
    // Batches alone change nothing at all.
    let before = fs::metadata(dir.path("run/stages/data/data.jsonl")).unwrap().modified().unwrap();
    dir.train(&[other[0], "stage.data.sampling.temperature=0.5"]);
    assert_eq!(fs::metadata(dir.path("run/stages/data/data.jsonl")).unwrap().modified().unwrap(), before);
}

#[test]
fn what_is_chosen_is_written_in_the_layout_asked_for() {
    let dir = dir(SAMPLE);
    dir.train(&["stage.data.layout.written=\"special_token\""]);
    let samples = dir.rows("run/stages/data/samples.jsonl");
    let data = dir.rows("run/stages/data/data.jsonl");
    assert!(data.iter().all(|row| text(row, "completion").matches("|special_token|").count() == 2), "{data:?}");
    let without = samples.iter().filter(|row| row["dropped"]["reason"] == "no_format").count();
    assert!(without > 0 && data.len() + without <= samples.len());
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let dir = dir(&[SAMPLE, CURATE].concat());
    let check = |words: &[&str], messages: &[&str]| {
        let ended = dir.run(train_args(words)).expect_code(2);
        for message in messages {
            assert!(ended.stderr.contains(message), "{words:?}: {message}\n{}", ended.stderr);
        }
    };
    check(&["stage.data.filters.min_language=0.9"], &["problem line-1", "`filters.language`"]);
    check(&["stage.data.filters.min_language=1.5"], &["`min_language` is 1.5", "expected 0 to 1"]);
    check(&["stage.data.filters.language=\"xx\""], &["not among the known languages"]);
    check(&["stage.data.mix=[{ data = \"nothing.jsonl\", fraction = 0.2 }]"], &["no such file: nothing.jsonl"]);
    check(&["stage.data.mix=[{ data = \"general.jsonl\", fraction = 1.0 }]"], &["`fraction` is 1"]);
    check(&["stage.data.mix=[{ data = \"few\", fraction = 0.2 }]"], &["wait for each other"]);
    check(&["stage.few.data=[\"data\", \"base\"]"], &["there is no stage `base` and no such file"]);
    check(&["stage.few.difficulty=[]"], &["there are rewards, but nothing is sampled"]);
    check(&["stage.few.sampling.max_tokens=100000"], &["`max_tokens` is 100000, but the context"]);
    check(&["stage.data.n_problems=8"], &["`n_problems` is 8", "where there are 7"]);
    let by_step = "stage.data.rewards.format.weight_from_step=[[2, 1.0]]";
    check(&[by_step], &["`weight_from_step` would never be looked at", "take it out"]);
    let long =
        format!(r#"{{"question": "{}", "numbers": [4, 5], "target": 9, "completion": "4 + 5"}}"#, "4 ".repeat(4000));
    dir.write("more.jsonl", long);
    check(&[], &["problem line-1: its prompt has", "shorten the prompt or lower max_tokens"]);
    dir.write("more.jsonl", MORE);
    check(&["stage.few.n=0"], &["`n` is 0", "expected 1 or more"]);
    check(&["stage.data.sampling.max_tokens=100000"], &["`max_tokens` is 100000, but the context"]);
    let required = SAMPLE.replace("correct = \"ignored\"\n", "").replace("[stage.rewards.countdown]\n", "");
    let dir = self::dir(&required);
    let ended = dir.run(train_args(&[])).expect_code(2);
    assert!(ended.stderr.contains("no reward of `stage.rewards` judges answers"), "{}", ended.stderr);
    dir.write("general.jsonl", "{\"text\": 3}\n");
    let file = "stage.data.decontamination.files=[\"general.jsonl\"]";
    let ended = dir.run(train_args(&[file, "stage.data.filters.correct=\"ignored\""])).expect_code(2);
    assert!(ended.stderr.contains("general.jsonl:1: missing field `question`"), "{}", ended.stderr);
}

#[test]
fn check_says_what_would_be_kept() {
    let dir = dir(&[SAMPLE, CURATE].concat());
    let ended = dir.train(&["--check"]);
    for line in [
        "stage 1 of 2: data (kind sample)",
        "samples      every problem of the file x 4, temperature 1, 16 tokens at most",
        "drops        duplicates",
        "keeps        the samples with the highest reward, 4 of a problem at most",
        "rows         what stage data makes, ",
        "difficulty   what base solves in more than 0.5 of its samples is dropped; 2 samples each",
        "diversity    3 rows",
    ] {
        assert!(ended.stdout.contains(line), "{line}\n{}", ended.stdout);
    }
    assert!(!dir.path("run").exists());
}
