//! Stages of kind `eval` and the command `eval`, through the real binary: figures, tables, ways of asking, going on.

mod support;

use std::fs;

use serde_json::{Value, json};
use support::{Dir, Running, train_args};

/// Behind the training of `run.toml`: the base and what was trained, side by side on two sets.
const STAGE: &str = r#"
[[stage]]
kind = "eval"
name = "table"
models = ["base", "grpo"]
prompt.template = "none"

[[stage.set]]
name = "sums"
problems = "sums.jsonl"
samples_per_problem = 16
temperature = 1.0
top_p = 1.0
max_tokens = 16
stop_strings = ["</answer>"]
pass_at = [4]
consensus = true
greedy = true
win_by = "countdown"
[stage.set.rewards.countdown]
[stage.set.rewards.format]
[stage.set.rewards.tag_count]
[stage.set.budget]
caps = [4]
waits = [1, 2]
text = "ab"
answer_tokens = 4
wait_text = "cd"

[[stage.set]]
name = "few"
problems = "few.json"
domains = ["b"]
max_problems = 2
samples_per_problem = 2
max_tokens = 8
"#;

fn dir() -> Dir {
    let dir = Dir::new();
    let problem = |n: u32| {
        json!({"question": format!("make 5 of 2 and 3 sum {n}"), "numbers": [2, 3], "target": 5, "level": n % 3,
               "reference": "<think>it is</think><answer>2+3</answer>"})
    };
    dir.write("sums.jsonl", (0..40).map(|n| problem(n).to_string() + "\n").collect::<String>());
    // One JSON array, in the layout of AIME.
    let few: Vec<Value> = (0..5)
        .map(|n| json!({"problem": format!("make {n}"), "answer": n, "domain": if n % 2 == 0 { "a" } else { "b" }}))
        .collect();
    dir.write("few.json", serde_json::to_string_pretty(&few).unwrap());
    dir.write("run.toml", dir.text("run.toml") + STAGE);
    dir
}

const FEW_STEPS: &str = "stage.grpo.steps=2";

/// The rows of one way of asking, over all batches.
fn rows(dir: &Dir, model: &str, set: &str, way: &str) -> Vec<Value> {
    let folder = format!("run/stages/table/completions/{model}/{set}/{way}");
    dir.files(&folder).iter().flat_map(|file| dir.rows(&format!("{folder}/{file}"))).collect()
}

/// The figures of a model on a set.
fn result<'a>(results: &'a Value, model: &str, set: &str) -> &'a Value {
    let all = results["results"].as_array().expect("results");
    all.iter().find(|result| result["model"] == model && result["set"] == set).expect("this model and set")
}

fn metric(result: &Value, name: &str) -> f64 {
    let metrics = result["metrics"].as_array().expect("metrics");
    let found = metrics.iter().find(|metric| metric["metric"] == name).unwrap_or_else(|| panic!("no {name}"));
    let (mean, interval) =
        (found["mean"].as_f64().expect("a mean"), found["interval"].as_array().expect("an interval"));
    let [low, high] = [0, 1].map(|end| interval[end].as_f64().expect("a number"));
    assert!(low <= mean && mean <= high, "{name}: {found}");
    mean
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    assert!(!values.is_empty());
    values.iter().sum::<f64>() / values.len() as f64
}

fn flag(row: &Value, key: &str) -> f64 {
    f64::from(u8::from(row[key].as_bool().unwrap_or_else(|| panic!("{key} of {row}"))))
}

#[test]
fn models_stand_side_by_side_with_what_is_on_the_disk() {
    let dir = dir();
    let ended = dir.train(&[FEW_STEPS]);
    let results = dir.json("run/stages/table/results.json");
    assert_eq!(results["models"], json!(["base", "grpo"]));
    for model in ["base", "grpo"] {
        let sampled = rows(&dir, model, "sums", "sampled");
        assert_eq!(sampled.len(), 40 * 16);
        let sums = result(&results, model, "sums");
        let check = |name: &str, expected: f64| {
            let got = metric(sums, name);
            assert!((got - expected).abs() < 1e-9, "{model}: {name} is {got}, by the completions {expected}");
        };
        let right = mean(sampled.iter().map(|row| flag(row, "correct")));
        assert!(right > 0.0 && right < 1.0, "{right}");
        check("pass@1", right);
        check("format", mean(sampled.iter().map(|row| flag(row, "formatted"))));
        check("tokens", mean(sampled.iter().map(|row| row["n_tokens"].as_f64().unwrap())));
        check("thinking tokens", mean(sampled.iter().map(|row| row["n_thinking_tokens"].as_f64().unwrap())));
        check("truncated", mean(sampled.iter().map(|row| flag(row, "truncated"))));
        check("tag_count", mean(sampled.iter().map(|row| row["scores"][0]["value"].as_f64().unwrap())));
        // The reference is right, so a right completion draws and no other wins.
        check("win rate", right / 2.0);
        check("greedy", mean(rows(&dir, model, "sums", "greedy").iter().map(|row| flag(row, "correct"))));
        assert!(metric(sums, "pass@4") > right && metric(sums, "cons@16") >= 0.0);
        let parts = sums["parts"].as_array().unwrap();
        assert_eq!(parts.iter().map(|part| &part["value"]).collect::<Vec<_>>(), ["0", "1", "2"]);
        check_budget(&dir, model, &sums["budget"]);
        let few = rows(&dir, model, "few", "sampled");
        assert_eq!(
            few.iter().map(|row| row["question"].as_str().unwrap()).collect::<Vec<_>>(),
            ["make 1", "make 1", "make 3", "make 3"]
        );
    }
    // Not what was trained, but what it came to: the tables stand where they are looked for.
    assert_ne!(rows(&dir, "base", "sums", "sampled"), rows(&dir, "grpo", "sums", "sampled"));
    let table = dir.text("run/stages/table/table.md");
    assert!(table.starts_with("### sums: 40 problems, 16 samples each\n") && table.contains("### few: 2 problems"));
    assert!(dir.text("run/report.md").contains(&table) && ended.stderr.contains("| base "));
    for file in ["table.svg", "budget.svg"] {
        assert!(dir.text(&format!("run/stages/table/{file}")).starts_with("<svg"));
        assert!(dir.text("run/report.md").contains(&format!("](stages/table/{file})")), "{file}");
    }
    assert_eq!(dir.text("run/stages/table/budget.csv").lines().count(), 1 + 2 * 4);
}

/// Ways of asking beside the samples: a cap ends thoughts, and "wait" keeps them going.
fn check_budget(dir: &Dir, model: &str, curve: &Value) {
    let points = curve["points"].as_array().expect("points");
    assert_eq!(points.len(), 4);
    let tokens = |of: &str, value: Value| {
        let point = points.iter().find(|point| point[of] == value).expect("a point");
        point["thinking_tokens"].as_f64().expect("tokens")
    };
    let capped = rows(dir, model, "sums", "cap_4");
    assert!(capped.iter().any(|row| row["forced"] == json!([[4, 6]])), "no thoughts were ended");
    assert_eq!(curve["control"]["n"], 640);
    let kept = mean(capped.iter().map(|row| flag(row, "within_budget")));
    assert!((curve["control"]["fraction"].as_f64().unwrap() - kept).abs() < 1e-9);
    let n_runs = |way: &str| {
        let rows = rows(dir, model, "sums", way);
        rows.iter().map(|row| row["forced"].as_array().map_or(0, Vec::len)).max().unwrap()
    };
    assert_eq!((n_runs("wait_1"), n_runs("wait_2"), n_runs("sampled")), (1, 2, 0));
    assert!(tokens("waits", json!(2)) > tokens("cap", json!(4)));
    assert!(curve["scaling"]["slope"].is_number() && curve["scaling"]["performance"].is_number());
}

#[test]
fn the_same_command_goes_on_after_kill_9() {
    let (whole, killed) = (dir(), dir());
    // How many rows are decoded at once changes nothing.
    whole.train(&[FEW_STEPS, "stage.table.max_batch=7"]);
    let mut running = Running::start(killed.command(train_args(&[FEW_STEPS])));
    let batch = |n: u32| killed.path(format!("run/stages/table/completions/base/sums/cap_4/batch_{n:06}.jsonl"));
    assert!(running.wait_until(|| batch(2).exists()), "it ended before it could be killed");
    running.signal(libc::SIGKILL);
    assert_eq!(running.end().code, None);
    assert!(!killed.path("run/stages/table/results.json").exists());
    let made = || fs::metadata(batch(1)).and_then(|file| file.modified()).expect("a batch");
    let before = made();
    killed.train(&[FEW_STEPS]);
    assert_eq!(made(), before, "a batch that was there was made again");
    for file in ["results.json", "table.md", "table.svg", "budget.csv", "budget.svg"] {
        let name = format!("run/stages/table/{file}");
        assert_eq!(killed.text(&name), whole.text(&name), "{file}");
    }
    assert_eq!(killed.json("run/summary.json")["num_tokens"], whole.json("run/summary.json")["num_tokens"]);
    // What is done is not asked again; another question is.
    killed.train(&[FEW_STEPS]);
    assert_eq!(made(), before);
    killed.train(&[FEW_STEPS, "stage.table.models=[\"grpo\"]"]);
    assert_eq!(killed.json("run/stages/table/results.json")["models"], json!(["grpo"]));
    assert!(!killed.path("run/stages/table/table.svg").exists(), "one model is compared with nothing");
}

#[test]
fn the_command_asks_one_model() {
    let dir = dir();
    let words =
        ["eval", "--model", "model", "--problems", "sums.jsonl", "--no-template", "--n", "4", "--temperature", "1"];
    let more = ["--top-p", "1", "--max-tokens", "16", "--stop", "</answer>", "--pass-at", "2", "--consensus"];
    let run = |extra: &[&str]| dir.run(words.iter().chain(&more).chain(extra));
    let ended = run(&["--output", "a.json"]).expect_code(0);
    assert!(ended.stdout.starts_with("### sums: 40 problems, 4 samples each\n"), "{}", ended.stdout);
    let results = dir.json("a.json");
    let sums = result(&results, "model", "sums");
    let [one, two, consensus] = ["pass@1", "pass@2", "cons@4"].map(|name| metric(sums, name));
    assert!(0.0 < one && one < two && two < 1.0 && consensus < 1.0, "{one} {two} {consensus}");
    run(&["--output", "b.json"]).expect_code(0);
    assert_eq!(dir.text("a.json"), dir.text("b.json"));
    run(&["--output", "c.json", "--seed", "2"]).expect_code(0);
    assert_ne!(dir.text("a.json"), dir.text("c.json"));
    let check = |extra: &[&str], part: &str| {
        let ended = run(extra).expect_code(2);
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    };
    check(&["--pass-at", "5"], "--pass-at 5 cannot be estimated from 4 completions");
    check(&["--reward", "accuracy"], "sums.jsonl");
    let ended = dir.run(words.iter().chain(&["--max-tokens", "100000"])).expect_code(2);
    assert!(ended.stderr.contains("context"), "{}", ended.stderr);
}

#[test]
fn sets_that_cannot_be_asked_are_refused_before_anything_is_written() {
    let check = |dir: Dir, words: &[&str], parts: &[&str]| {
        let ended = dir.run(train_args(words)).expect_code(2);
        assert!(parts.iter().all(|part| ended.stderr.contains(part)), "{}", ended.stderr);
        assert!(!dir.path("run").exists());
    };
    let replaced = |from: &str, to: &str| {
        let dir = dir();
        dir.write("run.toml", dir.text("run.toml").replace(from, to));
        dir
    };
    check(
        replaced("domains = [\"b\"]", "domains = [\"c\"]"),
        &[],
        &["set few", "few.json", "no row has a `domain` of c"],
    );
    check(
        replaced("name = \"few\"", "name = \"few\"\nlayout = \"gsm8k\""),
        &[],
        &["few.json", "missing key `question`"],
    );
    check(replaced("max_tokens = 8\n", "max_tokens = 100000\n"), &[], &["`max_tokens` is 100000", "context"]);
    let long = json!({"problem": "make ".repeat(2_000), "answer": 1, "domain": "b"});
    let dir_of_long = dir();
    dir_of_long.write("few.json", format!("[{long}]"));
    check(dir_of_long, &[], &["problem line-1", "context"]);
    let dir = dir();
    dir.write("few.json", "[{\"problem\": \"p\",\n\"answer\": 1},\n{\"problem\": \"p\"}]");
    check(dir, &[], &["few.json:3", "`answer`"]);
}

#[test]
fn a_model_that_computes_no_numbers_is_refused_and_not_called_wrong() {
    let dir = dir();
    let mut weights = dir.bytes("model/model.safetensors");
    let header = u64::from_le_bytes(weights[..8].try_into().expect("eight bytes")) as usize;
    // The largest numbers that float32 has: finite as they lie there, but not what is computed from them.
    weights[8 + header..].chunks_exact_mut(4).for_each(|weight| weight.copy_from_slice(&f32::MAX.to_le_bytes()));
    fs::write(dir.path("model/model.safetensors"), weights).expect("a file");
    let words = ["eval", "--model", "model", "--problems", "sums.jsonl", "--no-template", "--max-tokens", "8"];
    let ended = dir.run(words.iter().chain(&["--n", "1"])).expect_code(2);
    assert!(ended.stderr.contains("its weights are damaged"), "{}", ended.stderr);
}

#[test]
fn a_batch_of_problems_that_have_changed_is_asked_again() {
    let dir = dir();
    dir.train(&[FEW_STEPS]);
    let batch = |n: u32| dir.path(format!("run/stages/table/completions/base/sums/sampled/batch_{n:06}.jsonl"));
    let made = |n: u32| fs::metadata(batch(n)).and_then(|file| file.modified()).expect("a batch");
    let first = made(1);
    // Of 40 problems 30 are left, and the last of them, in the second batch, has another answer: the question is the same.
    let text = dir.text("sums.jsonl");
    let lines: Vec<&str> = text.lines().take(30).collect();
    let edited = lines[29].replace("\"target\":5", "\"target\":7");
    assert_ne!(edited, lines[29]);
    dir.write("sums.jsonl", lines[..29].join("\n") + "\n" + &edited + "\n");
    // As if the run had been stopped before its table.
    fs::remove_file(dir.path("run/stages/table/results.json")).unwrap();
    let ended = dir.train(&[FEW_STEPS]);
    assert_eq!(made(1), first, "a batch of problems that have not changed was made again");
    let sampled = rows(&dir, "base", "sums", "sampled");
    assert_eq!(sampled.len(), 30 * 16);
    assert!(sampled[29 * 16..].iter().all(|row| row["correct"] == false), "old verdicts");
    assert!(
        ended.stderr.contains("stage table: ") && ended.stderr.contains("base/sums/sampled holds answers"),
        "{}",
        ended.stderr
    );
    assert_eq!(result(&dir.json("run/stages/table/results.json"), "base", "sums")["n_problems"], 30);
}

#[test]
fn what_is_added_to_a_table_is_asked_alone() {
    const STEPS: [&str; 2] = [FEW_STEPS, "stage.more.steps=2"];
    let (dir, whole) = (dir(), dir());
    // A second round of training behind the first, which stays as it is.
    for run_file in [&dir, &whole] {
        let text = run_file.text("run.toml");
        let (start, table) = text.split_once("\n[[stage]]\nkind = \"eval\"").expect("the table");
        let (head, training) = start.split_once("[[stage]]\n").expect("the training");
        let more = format!("[[stage]]\nname = \"more\"\ninit = \"grpo\"\n{training}");
        let table = table.replace("models = [\"base\", \"grpo\"]", "models = [\"base\", \"more\"]");
        run_file.write("run.toml", format!("{head}[[stage]]\n{training}\n{more}\n[[stage]]\nkind = \"eval\"{table}"));
    }
    dir.train(&STEPS);
    let made = |model: &str, way: &str| {
        let file = dir.path(format!("run/stages/table/completions/{model}/sums/{way}/batch_000001.jsonl"));
        fs::metadata(file).and_then(|file| file.modified()).expect("a batch")
    };
    let before = |model: &str| ["sampled", "greedy", "cap_4", "wait_2"].map(|way| made(model, way));
    let (base, more) = (before("base"), before("more"));
    // Another model before the others, another point of the curve, other figures.
    for run_file in [&dir, &whole] {
        let text = run_file.text("run.toml");
        let text =
            text.replace("models = [\"base\"", "models = [\"model\", \"base\"").replace("caps = [4]", "caps = [4, 6]");
        run_file.write("run.toml", text.replace("pass_at = [4]", "pass_at = [2, 8]"));
    }
    dir.train(&STEPS);
    whole.train(&STEPS);
    assert_eq!((before("base"), before("more")), (base, more), "what was there was asked again");
    let results = |dir: &Dir| dir.text("run/stages/table/results.json");
    assert_eq!(results(&dir), results(&whole));
    // A stage that is made again is asked again, and nobody else.
    let rate = "stage.more.optimizer.learning_rate=0.02";
    let ended = dir.train(&[STEPS[0], STEPS[1], rate]);
    assert_eq!(before("base"), base);
    assert!(before("more").iter().zip(&more).all(|(now, then)| now != then), "answers of a model that is no more");
    assert!(ended.stderr.contains("more/sums/sampled holds answers of another model"), "{}", ended.stderr);
    fs::remove_dir_all(whole.path("run")).unwrap();
    whole.train(&[STEPS[0], STEPS[1], rate]);
    assert_eq!(results(&dir), results(&whole));
    // Other verdicts are asked for by other rewards; and all by the user.
    dir.write("run.toml", dir.text("run.toml").replace("[stage.set.rewards.tag_count]\n", ""));
    dir.train(&[STEPS[0], STEPS[1], rate]);
    assert_ne!(made("base", "sampled"), base[0]);
    // So they are by another model in the same folder, and those of its neighbours stay.
    let (base, more) = (before("base"), before("more"));
    let mut weights = dir.bytes("model/model.safetensors");
    *weights.last_mut().expect("a byte") ^= 1;
    fs::write(dir.path("model/model.safetensors"), weights).expect("a file");
    dir.write("run.toml", dir.text("run.toml").replace("pass_at = [2, 8]", "pass_at = [3]"));
    dir.train(&[STEPS[0], STEPS[1], rate]);
    assert!(before("base").iter().zip(&base).all(|(now, then)| now != then), "answers of a model that is no more");
    assert_eq!(before("more"), more);
    // And all by the user, also where a run that was cut short has left no mark.
    for mark in [true, false] {
        let (base, stage) = (before("base"), dir.path("run/stages/table/stage.json"));
        if !mark {
            fs::remove_file(stage).expect("a mark");
        }
        dir.run(train_args(&[STEPS[0], STEPS[1], rate]).into_iter().chain(["--from", "table"])).expect_code(0);
        assert!(before("base").iter().zip(&base).all(|(now, then)| now != then), "--from asks all again");
    }
}
