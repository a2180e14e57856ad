//! The commands beside a run, through the real binary: against transformers' numbers, and for what must not change them.

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{Dir, golden, rows};

const MODELS: [&str; 10] = [
    "llama3_old_config",
    "llama3_scaled",
    "llama_tied",
    "qwen2_old_config",
    "qwen2_sharded",
    "qwen2_tied",
    "qwen2_untied_mha",
    "qwen3_bfloat16",
    "qwen3_tied",
    "qwen3_untied",
];

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|item| item.as_f64().expect("a number")).collect()
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// Runs a command on a model of [`golden`] or of the folder; the rows it writes.
fn command(dir: &Dir, name: &str, model: &Path, input: &[Value], more: &[&str]) -> Vec<Value> {
    dir.write("in.jsonl", lines(input));
    let model = model.to_str().expect("UTF-8");
    let fixed =
        [name, "--model", model, "--input", "in.jsonl", "--output", "out.jsonl", "--device", "cpu", "--threads", "1"];
    dir.run(fixed.iter().chain(more)).expect_code(0);
    dir.rows("out.jsonl")
}

#[test]
fn the_list_of_models_is_whole() {
    let folders = std::fs::read_dir(golden("models")).expect("the golden models");
    let mut names: Vec<String> =
        folders.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names, MODELS);
}

#[test]
fn logprobs_are_those_of_transformers() {
    let dir = Dir::new();
    for name in MODELS {
        let expected = rows(&golden(&format!("logprobs/{name}.jsonl")));
        let input: Vec<Value> = expected.iter().map(|row| json!({"ids": row["ids"]})).collect();
        let got = command(&dir, "logprobs", &golden(&format!("models/{name}")), &input, &[]);
        assert_eq!(got.len(), expected.len(), "{name}");
        for (line, (got, expected)) in (1..).zip(got.iter().zip(&expected)) {
            let (got, expected) = (floats(&got["logprobs"]), floats(&expected["logprobs"]));
            assert_eq!(got.len(), expected.len(), "{name}:{line}");
            let worst = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst <= 1e-4, "{name}:{line}: {worst}");
        }
    }
}

#[test]
fn greedy_tokens_are_those_of_transformers() {
    let dir = Dir::new();
    for name in MODELS {
        let expected = rows(&golden(&format!("greedy/{name}.jsonl")));
        let input: Vec<Value> = expected.iter().map(|row| json!({"ids": row["prompt_ids"]})).collect();
        let longest = expected.iter().map(|row| row["greedy_ids"].as_array().map_or(0, Vec::len)).max();
        let max_tokens = longest.expect("rows").to_string();
        let model = golden(&format!("models/{name}"));
        let got = command(&dir, "sample", &model, &input, &["--temperature", "0", "--max-tokens", &max_tokens]);
        assert_eq!(got.len(), expected.len(), "{name}");
        for (line, (got, expected)) in (1..).zip(got.iter().zip(&expected)) {
            assert_eq!(got["ids"], expected["greedy_ids"], "{name}:{line}");
        }
    }
}

#[test]
fn what_was_sampled_has_the_logprobs_of_the_other_command() {
    let dir = Dir::new();
    let prompt = json!({"ids": [70, 5, 71, 9]});
    // The log-probabilities are untempered and untruncated, so that these options do not show in them.
    let sampled = command(
        &dir,
        "sample",
        &dir.path("model"),
        &[prompt],
        &["--n", "4", "--max-tokens", "40", "--temperature", "0.7", "--top-p", "0.95"],
    );
    let whole: Vec<Value> = (sampled.iter())
        .map(|row| {
            [70, 5, 71, 9].into_iter().map(Value::from).chain(row["ids"].as_array().expect("ids").clone()).collect()
        })
        .map(|ids: Vec<Value>| json!({"ids": ids}))
        .collect();
    let logprobs = command(&dir, "logprobs", &dir.path("model"), &whole, &[]);
    for (sampled, logprobs) in sampled.iter().zip(&logprobs) {
        let (sampled, logprobs) = (floats(&sampled["logprobs"]), floats(&logprobs["logprobs"]));
        assert_eq!(sampled.len() + 3, logprobs.len());
        for (a, b) in sampled.iter().zip(&logprobs[3..]) {
            assert!((a - b).abs() <= 1e-4, "{a} and {b}");
        }
    }
}

#[test]
fn a_sample_depends_on_its_prompt_its_place_and_the_seed() {
    let dir = Dir::new();
    let sample = |prompts: &[&str], more: &[&str]| {
        let input: Vec<Value> = prompts.iter().map(|prompt| json!({"prompt": prompt})).collect();
        command(&dir, "sample", &dir.path("model"), &input, &[more, &["--max-tokens", "24"]].concat())
    };
    let of = |rows: &[Value], prompt: u64, sample: u64| {
        let row = rows.iter().find(|row| row["prompt_idx"] == prompt && row["sample_idx"] == sample);
        row.expect("a row")["ids"].clone()
    };
    let all = sample(&["make 5", "a much longer prompt than the one before it", "7", "x y z"], &["--n", "3"]);
    assert_eq!(all.len(), 12);
    // Other neighbours, fewer neighbours, another number of samples: the same completion in the same place.
    let swapped = sample(&["x y z", "a much longer prompt than the one before it"], &["--n", "3"]);
    let fewer = sample(&["make 5", "a much longer prompt than the one before it", "7"], &["--n", "2"]);
    for sample_idx in 0..2 {
        assert_eq!(of(&all, 1, sample_idx), of(&swapped, 1, sample_idx));
        for prompt_idx in 0..3 {
            assert_eq!(of(&all, prompt_idx, sample_idx), of(&fewer, prompt_idx, sample_idx));
        }
    }
    assert_ne!(of(&all, 0, 0), of(&all, 0, 1), "samples of one prompt are the same");
    let other_seed = sample(&["make 5"], &["--seed", "2"]);
    assert_ne!(of(&all, 0, 0), of(&other_seed, 0, 0), "the seed changes nothing");
}

#[test]
fn samples_end_where_they_are_told_to() {
    let dir = Dir::new();
    let sample = |more: &[&str]| {
        let words = [&["--temperature", "0"], more].concat();
        command(&dir, "sample", &golden("models/qwen2_untied_mha"), &[json!({"prompt": "abc"})], &words).remove(0)
    };
    let long = sample(&["--max-tokens", "40"]);
    let ids = long["ids"].as_array().expect("ids");
    assert!(ids.len() > 8, "{long}");
    let short = sample(&["--max-tokens", "5"]);
    assert_eq!(
        (short["ids"].as_array().expect("ids").as_slice(), &short["stop_reason"]),
        (&ids[..5], &json!("max_tokens"))
    );
    assert_eq!(short["logprobs"].as_array().expect("logprobs").len(), 5);

    let text: Vec<char> = long["text"].as_str().expect("a text").chars().collect();
    let stop: String = text[3..6].iter().collect();
    let stopped = sample(&["--max-tokens", "40", "--stop", "never in there", "--stop", &stop]);
    assert_eq!(stopped["stop_reason"], "stop_string");
    let (whole, cut): (String, &str) = (text.iter().collect(), stopped["text"].as_str().expect("a text"));
    assert!(whole.starts_with(cut) && cut.contains(&stop) && cut.len() < whole.len(), "{whole:?} became {cut:?}");
    assert_eq!(
        stopped["ids"].as_array().expect("ids").as_slice(),
        &ids[..stopped["ids"].as_array().map_or(0, Vec::len)]
    );
}

#[test]
fn show_prints_a_step() {
    let dir = Dir::new();
    dir.train(&["stage.steps=2"]);
    let completions = dir.rows("run/completions/grpo/step_000002.jsonl");
    let shown = dir.run(["show", "run", "--step", "2"]).expect_code(0).stdout;
    assert!(shown.contains("stage grpo  step 2  12 completions"), "{shown}");
    for row in &completions {
        let place = format!("group {} row {}", row["group"], row["row"]);
        assert!(
            shown.contains(&place) && shown.contains(row["prompt"].as_str().expect("a prompt")),
            "no {place} in\n{shown}"
        );
    }
    let best = completions.iter().map(|row| row["reward"].as_f64().expect("a reward")).fold(f64::MIN, f64::max);
    let first = dir.run(["show", "run", "--step", "2", "--sort", "reward", "--limit", "1"]).expect_code(0).stdout;
    assert!(first.contains(&format!("reward {best:.3}")) && first.matches("reward ").count() == 1, "{first}");

    let wrong = dir.run(["show", "run", "--step", "3"]).expect_code(2).stderr;
    assert!(wrong.contains("no completions of step 3; there are steps 1-2"), "{wrong}");
    let wrong = dir.run(["show", "nowhere", "--step", "1"]).expect_code(2).stderr;
    assert!(wrong.contains("nowhere: no such run folder"), "{wrong}");
}

#[test]
fn instructions_are_made_by_kind() {
    let dir = Dir::new();
    let make = |kind: &str, more: &[&str]| {
        let args = [&["instructions", "--kind", kind, "--n", "30", "--output", "rows.jsonl"], more];
        dir.run(args.concat()).expect_code(0);
        dir.rows("rows.jsonl")
    };
    for (kind, keys) in [
        ("prompts", &["id"][..]),
        ("references", &["id", "reference"]),
        ("pairs", &["chosen", "rejected"]),
        ("safety", &["completion", "label"]),
        ("demonstrations", &["completion"]),
    ] {
        for row in make(kind, &[]) {
            let n_keys = row.as_object().expect("an object").len();
            assert!(n_keys == keys.len() + 3 && keys.iter().all(|key| row.get(key).is_some()), "{kind}: {row}");
        }
    }
    let held_out = make("pairs", &["--held-out"]);
    assert!(make("pairs", &[]).iter().all(|row| held_out.iter().all(|other| row["question"] != other["question"])));
    let refused =
        dir.run(["instructions", "--kind", "prompts", "--n", "9999", "--output", "none.jsonl"]).expect_code(2);
    assert!(refused.stderr.contains("different rows of this kind; ask for fewer"), "{}", refused.stderr);
}

#[test]
fn problems_are_distinct_and_not_the_excluded_ones() {
    let dir = Dir::new();
    let make = |n: &str, seed: &str, output: &str, more: &[&str]| {
        let args = [
            &["problems", "--n", n, "--seed", seed, "--numbers", "1", "6", "--targets", "1", "20", "--output", output],
            more,
        ];
        dir.run(args.concat()).expect_code(0);
        dir.rows(output)
    };
    let key = |row: &Value| {
        let mut numbers: Vec<i64> =
            row["numbers"].as_array().expect("numbers").iter().filter_map(Value::as_i64).collect();
        numbers.sort_unstable();
        (numbers, row["target"].as_i64().expect("a target"))
    };
    let first = make("150", "1", "first.jsonl", &[]);
    let keys: std::collections::BTreeSet<_> = first.iter().map(key).collect();
    assert_eq!((first.len(), keys.len()), (150, 150));
    assert_eq!(make("150", "1", "again.jsonl", &[]), first);
    let others = make("150", "2", "others.jsonl", &["--exclude", "first.jsonl"]);
    assert!(others.iter().all(|row| !keys.contains(&key(row))));
    let all = make("150", "2", "all.jsonl", &[]);
    assert!(all.iter().any(|row| keys.contains(&key(row))), "these ranges are too wide to show anything");
    let both = make("50", "1", "both.jsonl", &["--languages", "en", "zh"]);
    let chinese = both
        .iter()
        .filter(|row| row["language"] == "zh" && row["question"].as_str().expect("a question").contains("算式"));
    assert_eq!((both.len(), chinese.count()), (50, 25));
    assert!(first.iter().all(|row| row.get("language").is_none()));
    let refused = dir.run(["problems", "--n", "50", "--numbers", "1", "1", "--output", "none.jsonl"]).expect_code(2);
    assert!(
        refused.stderr.contains("widen them or ask for fewer") && !dir.path("none.jsonl").exists(),
        "{}",
        refused.stderr
    );
}

#[test]
fn check_says_what_would_be_and_touches_nothing() {
    let dir = Dir::new();
    let before = dir.files("");
    let plan = dir.train(&["--check"]).stdout;
    for part in [
        "run folder",
        "4; 48 completions and 4 updates in all",
        "38832 weights, context 256 tokens",
        "memory",
        "identity",
    ] {
        assert!(plan.contains(part), "no `{part}` in\n{plan}");
    }
    assert_eq!(dir.files(""), before);
    let changed = dir.train(&["--check", "stage.steps=5"]).stdout;
    assert!(changed.contains("5; 60 completions"), "{changed}");
}

/// What is counted; what is timed can only be looked at.
#[test]
fn bench_counts_the_work_of_each_phase() {
    let dir = Dir::new();
    let bench = |args: &[&str]| {
        let fixed = ["bench", "--device", "cpu", "--threads", "1", "--repetitions", "1", "--json", "bench.json"];
        let table = dir.run(fixed.iter().chain(args)).expect_code(0).stdout;
        (dir.json("bench.json"), table)
    };
    let step = ["--prompts", "2", "--group-size", "2", "--prompt-tokens", "3", "--tokens", "2", "--rows", "4"];
    let (report, table) = bench(&[&["--shape", "tiny"][..], &step].concat());
    let phases = report["phases"].as_array().expect("phases");
    let of = |name: &str, key: &str| {
        let phase = phases.iter().find(|phase| phase["name"] == name).unwrap_or_else(|| panic!("no phase {name}"));
        phase[key].as_f64().unwrap_or_else(|| panic!("{name} has no {key}"))
    };
    // A token through four blocks of 184,320 weights, a key attended to in four blocks, a row of the head of 128 x 128.
    let (token, key, row) = (4.0 * 2.0 * 184_320.0, 4.0 * 4.0 * 128.0, 2.0 * 128.0 * 128.0);
    // Two prompts of 3 tokens, and of each of four completions one token behind its prompt, which sees 4 keys.
    let (tokens, keys) = (10.0, 2.0 * (1.0 + 2.0 + 3.0 + 4.0 + 4.0));
    for (name, expected) in [
        ("prefill", 6.0 * token + 12.0 * key + 2.0 * row),
        ("decode", 4.0 * token + 16.0 * key + 4.0 * row),
        ("sampling", tokens * token + keys * key + 6.0 * row),
        ("reference", tokens * token + keys * key + 8.0 * row),
        ("update", 3.0 * (tokens * token + keys * key + 8.0 * row)),
    ] {
        assert_eq!(of(name, "matrix_flops"), expected, "{name}");
        let share = of(name, "share_of_peak");
        // No bound above: the peak was measured a moment before, on a machine that may have been busy.
        assert!(share > 0.0 && share.is_finite(), "{name}: {share}");
        assert!(table.contains(name), "{name} is not in\n{table}");
    }
    assert_eq!((of("decode", "tokens"), of("update", "tokens")), (4.0, 8.0));
    assert!(of("optimizer", "seconds") > 0.0);

    std::fs::copy(dir.path("bench.json"), dir.path("first.json")).expect("a copy");
    let limits = report["limits"].clone();
    let again = ["--config", "run.toml", "--phases", "reference", "--prompt-tokens", "5", "--limits", "first.json"];
    let (report, _) = bench(&again);
    assert_eq!(report["limits"], limits);
    assert_eq!(report["n_parameters"], 38_832);
    assert_eq!(report["phases"].as_array().expect("phases").len(), 1);
    let refuse = |args: &[&str], code: i32, expected: &str| {
        let wrong = dir.run([&["bench", "--shape", "tiny"][..], args].concat()).expect_code(code).stderr;
        assert!(wrong.contains(expected), "{wrong}");
    };
    refuse(&["--tokens", "1", "--phases", "decode", "--limits", "first.json"], 1, "give --tokens 2 or more");
    refuse(&["--limits", "run.toml"], 2, "--limits takes what --json wrote");
}
