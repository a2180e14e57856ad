//! Rewards through the real binary: judged from a file, judged again from a run, tested, and written by the user.

mod support;

use serde_json::{Value, json};
use support::{Dir, Ended};

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn score(dir: &Dir, cases: &[Value], rewards: &[&str]) -> Vec<Value> {
    dir.write("cases.jsonl", lines(cases));
    let mut args = vec!["score", "--input", "cases.jsonl", "--output", "verdicts.jsonl"];
    args.extend(rewards.iter().flat_map(|reward| ["--reward", reward]));
    dir.run(args).expect_code(0);
    dir.rows("verdicts.jsonl")
}

#[test]
fn cases_of_a_file_are_judged_in_their_order() {
    let dir = Dir::new();
    let cases = [
        json!({"id": "a", "completion": "so \\boxed{\\frac{1}{2}}", "gold": "0.5", "group": 1}),
        json!({"id": 7, "completion": "the answer is 3", "gold": "4"}),
        json!({"id": "b", "completion": "\\boxed{2}", "gold": "0.5", "group": 1}),
        json!({"completion": "<think> x </think> <answer> 4 </answer>", "gold": "4"}),
    ];
    let verdicts = score(&dir, &cases, &["accuracy", "format:{\"weight\": 0.5}"]);
    let of = |key: &str| verdicts.iter().map(|row| row[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("id"), [json!("a"), json!(7), json!("b"), json!("line-4")]);
    assert_eq!(of("reward"), [json!(1.0), json!(0.0), json!(0.0), json!(1.5)]);
    let first = &verdicts[0]["components"]["accuracy"];
    assert_eq!(
        (&first["score"], &first["rule"], &first["extracted"]),
        (&json!(1.0), &json!("boxed"), &json!("\\frac{1}{2}"))
    );
    assert!(!first["reason"].as_str().unwrap().is_empty());
    // Two of a group, one right: (1 - 0.5) / (0.7071 + 1e-4).
    assert!((verdicts[0]["advantage"].as_f64().unwrap() - 0.707_006_8).abs() < 1e-6);
    assert_eq!(verdicts[0]["advantage"].as_f64().map(|a| -a), verdicts[2]["advantage"].as_f64());
    assert!(verdicts[1].get("advantage").is_none() && verdicts[1]["micros"].as_f64().unwrap() > 0.0);
    let alone =
        dir.run(["score", "--reward", "accuracy", "--input", "cases.jsonl", "--output", "one.jsonl", "--jobs", "1"]);
    let scores = |rows: Vec<Value>| rows.iter().map(|row| row["components"]["accuracy"].clone()).collect::<Vec<_>>();
    alone.expect_code(0);
    assert_eq!(scores(dir.rows("one.jsonl")), scores(verdicts));
}

#[test]
fn what_cannot_be_judged_is_refused_with_its_line() {
    let dir = Dir::new();
    let check = |cases: &[u8], reward: &str, parts: &[&str]| {
        dir.write("cases.jsonl", cases);
        let ended =
            dir.run(["score", "--reward", reward, "--input", "cases.jsonl", "--output", "out.jsonl"]).expect_code(2);
        for part in parts {
            assert!(ended.stderr.contains(part), "no `{part}` in\n{}", ended.stderr);
        }
    };
    let good = "{\"completion\": \"1\", \"gold\": \"1\"}\n";
    check(format!("{good}{{\"completion\": \"1\"}}\n").as_bytes(), "accuracy", &["cases.jsonl:2", "`gold`"]);
    check(format!("{good}{{\"gold\": \"1\"}}\n").as_bytes(), "accuracy", &["cases.jsonl:2", "completion"]);
    check(format!("{good}not json\n").as_bytes(), "accuracy", &["cases.jsonl:2"]);
    check(b"{\"completion\": \"\xff\", \"gold\": \"1\"}\n", "accuracy", &["cases.jsonl:1", "invalid unicode"]);
    check(b"", "accuracy", &["empty"]);
    let strict = "accuracy:{\"on_unreadable_gold\": \"error\"}";
    check(b"{\"completion\": \"1\", \"gold\": \"\\\\frac{1}{\"}\n", strict, &["cases.jsonl:1", "gold"]);
    check(good.as_bytes(), "repetition", &["cases.jsonl:1", "`token_ids`", "unit = \"words\""]);
    check(good.as_bytes(), "soft_overlong", &["cases.jsonl:1", "`tokens`"]);
    check(good.as_bytes(), "acuracy", &["unknown kind of reward", "accuracy"]);
    let two = "{\"completion\": \"1\", \"gold\": \"1\", \"group\": 3}\n{\"completion\": \"1\", \"gold\": \"2\", \"group\": 3}\n";
    check(two.as_bytes(), "accuracy", &["cases.jsonl:2", "another `gold`"]);
    dir.write("cases.jsonl", good);
    let ended = dir.run(["score", "--reward", "accuracy", "--input", "cases.jsonl", "--output", "no/such/folder/out"]);
    ended.expect_code(2);
    dir.run(["score", "--input", "cases.jsonl", "--output", "out.jsonl"]).expect_code(2);
}

#[test]
fn a_table_of_expectations_is_run_as_tests() {
    let dir = Dir::new();
    let case = |completion: &str, expected: Value| json!({"completion": completion, "gold": "4", "expected": expected});
    dir.write("table.jsonl", lines(&[case("\\boxed{4}", json!(1)), case("\\boxed{5}", json!({"accuracy": 0}))]));
    let run = || dir.run(["reward-test", "table.jsonl", "--reward", "accuracy"]);
    assert!(run().expect_code(0).stdout.contains("2 passed, 0 failed"));
    dir.write("table.jsonl", lines(&[case("\\boxed{4}", json!(0)), case("\\boxed{5}", json!({"accuracy": 1}))]));
    let ended = run().expect_code(1);
    for part in
        ["table.jsonl:1", "expected 0, got 1", "table.jsonl:2", "accuracy: expected 1, got 0", "0 passed, 2 failed"]
    {
        assert!(ended.stdout.contains(part), "no `{part}` in\n{}", ended.stdout);
    }
    // Null is an expectation: `accuracy` does not apply where the gold cannot be read and is skipped.
    let skipped = json!({"completion": "4", "gold": "\\frac{1}{", "expected": null});
    dir.write("table.jsonl", lines(&[skipped]));
    let skip = "accuracy:{\"on_unreadable_gold\": \"skip\"}";
    let ended = dir.run(["reward-test", "table.jsonl", "--reward", skip]).expect_code(0);
    assert!(ended.stdout.contains("1 passed, 0 failed"));
    for (expected, part) in [
        ("", "no `expected`"),
        (", \"expected\": true", "`expected` is true"),
        (", \"expected\": {}", "`expected` is {}"),
        (", \"expected\": \"right\"", "`expected` is \"right\""),
        (", \"expected\": {\"acc\": 0}", "names `acc`, and the rewards are accuracy"),
    ] {
        dir.write("table.jsonl", format!("{{\"completion\": \"4\", \"gold\": 4{expected}}}\n"));
        let told = run().expect_code(2).stderr;
        assert!(told.contains("table.jsonl:1") && told.contains(part), "no `{part}` in\n{told}");
    }
}

#[test]
fn data_sets_of_other_trainers_are_read_or_explained() {
    let dir = Dir::new();
    let messages = json!([{"role": "assistant", "content": "the answer is 18"}]);
    let verdicts = score(
        &dir,
        &[json!({"completion": messages, "gold": 18}), json!({"completion": "0.5", "gold": 0.5})],
        &["accuracy"],
    );
    assert!(verdicts.iter().all(|row| row["reward"] == 1.0), "{verdicts:?}");
    dir.write(
        "cases.jsonl",
        "\u{feff}{\"completion\": \"1\", \"answer\": \"1\"}\n\n{\"completion\": \"1\", \"gold\": [\"1\"]}\n",
    );
    let told = dir
        .run(["score", "--reward", "accuracy", "--input", "cases.jsonl", "--output", "out.jsonl"])
        .expect_code(2)
        .stderr;
    for part in ["2 lines cannot be used", "line 1", "the row has `answer`: rename it", "line 3", "a text or a number"]
    {
        assert!(told.contains(part), "no `{part}` in\n{told}");
    }
    // A table of cases gets a verdict on every line: what cannot be read is compared as a text, and counted.
    let odd = |completion: &str| json!({"completion": completion, "gold": "\\foo{1}{"});
    dir.write("cases.jsonl", lines(&[odd("\\boxed{1}"), json!({"completion": "\\boxed{2}", "gold": 2})]));
    let ended =
        dir.run(["score", "--reward", "accuracy", "--input", "cases.jsonl", "--output", "out.jsonl"]).expect_code(0);
    assert!(ended.stdout.contains("1 gold answers cannot be read"), "{}", ended.stdout);
    let rewards: Vec<Value> = dir.rows("out.jsonl").iter().map(|row| row["reward"].clone()).collect();
    assert_eq!(rewards, [json!(0.0), json!(1.0)]);
    let ended = dir.run(["score", "--reward", "accuracy", "--input", "cases.jsonl", "--output", "cases.jsonl"]);
    assert!(ended.expect_code(2).stderr.contains("would replace the input"));
    assert_eq!(dir.rows("cases.jsonl").len(), 2);
}

#[test]
fn a_run_is_judged_again_with_changed_rewards() {
    let dir = Dir::new();
    dir.train(&["stage.steps=3"]);
    let again = |words: &[&str]| -> Ended {
        let mut args = vec!["score", "--config", "run.toml", "--input", "run", "--output", "again.jsonl"];
        words.iter().for_each(|word| args.extend(["--set", word]));
        dir.run(args).expect_code(0)
    };
    let number = |text: &str, of: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(of)).unwrap_or_else(|| panic!("{of} in\n{text}"));
        line.split_whitespace().last().unwrap().parse().unwrap()
    };
    let same = again(&[]).stdout;
    assert!(same.starts_with("36 completions in 9 groups"), "{same}");
    for of in ["groups that gain", "groups that lose", "advantages that flip"] {
        assert_eq!(number(&same, of), 0.0, "{same}");
    }
    for row in dir.rows("again.jsonl") {
        assert_eq!(row["reward"], row["reward_before"]);
        assert_eq!(row["advantage"], row["advantage_before"]);
    }
    let flipped = again(&["stage.rewards.countdown.weight=-1", "stage.rewards.format.weight=-0.5"]).stdout;
    let n_signals = dir.rows("again.jsonl").iter().filter(|row| row["advantage_before"] != 0.0).count();
    assert!(n_signals > 0);
    assert_eq!(number(&flipped, "advantages that flip"), n_signals as f64, "{flipped}");
    assert!(flipped.contains("the largest changes"), "{flipped}");
}

/// A run whose reward is an expression over a rule and a command of the user's.
fn with_own_rewards(script: &str, more: &str) -> Dir {
    let dir = Dir::new();
    dir.write("reward.py", script);
    let text = dir.text("run.toml").replace(
        "[stage.rewards.format]\nweight = 0.5\n",
        &format!(
            "[stage.rewards.format]\nweight = 0\n\n[stage.rewards.total]\nkind = \"expression\"\n\
             expression = \"format + own / 10 + 0 * step\"\n\n[stage.rewards.own]\nkind = \"process\"\nweight = 0\n\
             command = [\"python3\", \"reward.py\"]\n{more}"
        ),
    );
    dir.write("run.toml", text);
    dir
}

const LENGTH: &str = "import json, sys
for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps({'id': row['id'], 'score': row['n_tokens']}), flush=True)
";

#[test]
fn rewards_of_the_users_own_need_no_rust() {
    let dir = with_own_rewards(LENGTH, "");
    dir.train(&["stage.steps=2"]);
    for row in dir.rows("run/completions/grpo/step_000002.jsonl") {
        let score = |name: &str| row["components"][name]["score"].as_f64().unwrap();
        assert_eq!(score("own"), row["n_tokens"].as_f64().unwrap());
        assert!((score("total") - (score("format") + score("own") / 10.0)).abs() < 1e-6, "{row}");
        assert!((row["reward"].as_f64().unwrap() - score("total") - score("countdown")).abs() < 1e-6, "{row}");
    }
    let metrics = dir.rows("run/metrics.jsonl");
    assert!(metrics[0]["rewards/total/mean"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_command_that_fails_ends_the_run_or_not_as_it_is_told() {
    let crash = LENGTH.replace("    print", "    if row['n_tokens'] > 2: sys.exit('out of ideas')\n    print");
    let dir = with_own_rewards(&crash, "");
    let ended = dir.run(["--config", "run.toml", "--no-progress"]).expect_code(1);
    for part in ["step 1", "`own`", "out of ideas"] {
        assert!(ended.stderr.contains(part), "no `{part}` in\n{}", ended.stderr);
    }
    // A command that fails later: what was learned until then is saved, and what led to the end can be looked at.
    // (It is started again when it ends, so it keeps its count in a file.)
    let count =
        "    open('count', 'a').write('x')\n    if len(open('count').read()) > 30: sys.exit('tired')\n    print";
    let late = LENGTH.replace("    print", count);
    let dir = with_own_rewards(&late, "");
    let ended = dir.run(["--config", "run.toml", "--no-progress"]).expect_code(1);
    assert!(ended.stderr.contains("step 3") && ended.stderr.contains("tired"), "{}", ended.stderr);
    assert!(dir.path("run/checkpoints/grpo/step_000002/manifest.json").is_file());
    assert_eq!(dir.rows("run/completions/grpo/step_000003.jsonl").len(), 12);
    let garbage = "import sys\nfor line in sys.stdin: print('nonsense', flush=True)\n";
    for policy in ["not_applicable", "zero"] {
        let dir = with_own_rewards(garbage, &format!("on_error = \"{policy}\"\n"));
        dir.train(&["stage.steps=1"]);
        let rows = dir.rows("run/completions/grpo/step_000001.jsonl");
        let expected = if policy == "zero" { json!(0.0) } else { Value::Null };
        assert!(rows.iter().all(|row| row["components"]["own"]["score"] == expected), "{policy}: {}", rows[0]);
    }
}

#[test]
fn weights_and_combinations_follow_the_run_file() {
    let dir = Dir::new();
    let ended = dir.train(&[
        "stage.steps=2",
        "stage.rewards.format.weight_from_step=[[2, 4.0]]",
        "stage.grpo.reward_combination=\"normalize_then_sum\"",
    ]);
    assert_eq!(ended.code, Some(0));
    for (step, weight) in [(1, 0.5), (2, 4.0)] {
        for row in dir.rows(&format!("run/completions/grpo/step_00000{step}.jsonl")) {
            let score = |name: &str| row["components"][name]["score"].as_f64().unwrap();
            let expected = score("countdown") + weight * score("format");
            assert!((row["reward"].as_f64().unwrap() - expected).abs() < 1e-6, "{row}");
        }
    }
    let total: f64 =
        dir.rows("run/completions/grpo/step_000001.jsonl").iter().map(|row| row["advantage"].as_f64().unwrap()).sum();
    assert!(total.abs() < 1e-4, "whitened over the batch: {total}");
}

#[test]
fn golds_that_are_let_through_and_held_out_problems_that_are_not_are_told_of() {
    let dir = Dir::new();
    let row =
        |n: u32, gold: &str| json!({"question": format!("question {n}"), "numbers": [2, 3], "target": 5, "gold": gold});
    dir.write("problems.jsonl", lines(&[row(1, "5"), row(2, "\\frac{1}{"), row(3, "7")]));
    dir.write("held_out.jsonl", lines(&[row(9, "5"), row(3, "7")]));
    let check = |words: &[&str], code: i32, parts: &[&str]| {
        let mut args = vec!["--config", "run.toml", "--check"];
        words.iter().for_each(|word| args.extend(["--set", word]));
        let ended = dir.run(args).expect_code(code);
        for part in parts {
            assert!(ended.stderr.contains(part), "no `{part}` in\n{}", ended.stderr);
        }
        ended.stderr
    };
    check(&["stage.rewards.accuracy.weight=1"], 2, &["problems.jsonl:2", "`accuracy`", "gold"]);
    let skip = "stage.rewards.accuracy.on_unreadable_gold=skip";
    check(&[skip], 0, &["warning", "1 of 3 gold answers cannot be read", "line-2"]);
    check(
        &["stage.eval.problems=held_out.jsonl"],
        0,
        &["warning", "1 of 2 held-out problems are also trained on", "line-2"],
    );
    assert_eq!(check(&[], 0, &[]), "");
}

/// Every kind that looks at more than a text is judged again as it was judged in the run.
#[test]
fn a_run_keeps_what_its_rewards_look_at() {
    let dir = Dir::new();
    let more = "\n[stage.rewards.repetition]\nngram_size = 1\n\n[stage.rewards.thoughts]\nkind = \"expression\"\n\
                expression = \"thinking_tokens + step\"\n\n[stage.rewards.asked]\nkind = \"process\"\n\
                command = [\"python3\", \"asked.py\"]\n\n[stage.optimizer]";
    dir.write("run.toml", dir.text("run.toml").replace("\n[stage.optimizer]", more));
    dir.write("asked.py", LENGTH.replace("row['n_tokens']", "len(row['question']) + len(row['numbers'])"));
    dir.train(&["stage.steps=2", "stage.grpo.reward_combination=normalize_then_sum"]);
    let args = ["score", "--config", "run.toml", "--input", "run", "--output", "again.jsonl"];
    dir.run(args.iter().chain(&["--set", "stage.grpo.reward_combination=normalize_then_sum"])).expect_code(0);
    for row in dir.rows("again.jsonl") {
        assert!(row["reward"].as_f64().is_some());
        assert_eq!(row["reward"], row["reward_before"], "{row}");
        assert_eq!(row["advantage"], row["advantage_before"], "{row}");
    }
    dir.run(args).expect_code(0);
    assert!(
        dir.rows("again.jsonl").iter().any(|row| row["advantage"] != row["advantage_before"]),
        "another combination"
    );
    let other = Dir::new();
    other.train(&["stage.steps=1"]);
    let told = other.run(["score", "--reward", "repetition", "--input", "run"]).expect_code(2).stderr;
    assert!(told.contains("`repetition` needs `token_ids`") && told.contains("did not keep"), "{told}");
}

#[test]
fn held_out_problems_may_name_their_rewards() {
    let dir = Dir::new();
    let row = |n: u32, rewards: Value| json!({"question": format!("q {n}"), "numbers": [2, 3], "target": 5, "rewards": rewards});
    dir.write("held_out.jsonl", lines(&[row(1, json!(["countdown", "own"])), row(2, json!(["countdown", "format"]))]));
    let text = dir.text("run.toml").replace(
        "[stage.rewards.format]",
        "[stage.rewards.own]\nkind = \"expression\"\nexpression = \"countdown\"\n\n[stage.rewards.format]",
    );
    dir.write("run.toml", text);
    dir.train(&["stage.steps=1", "stage.eval.problems=held_out.jsonl", "stage.eval.samples_per_problem=4"]);
    assert_eq!(dir.rows("run/eval.jsonl").len(), 2);
    dir.write("held_out.jsonl", lines(&[row(1, json!(["countdwn"]))]));
    let told = dir
        .run(["--config", "run.toml", "--check", "--set", "stage.eval.problems=held_out.jsonl"])
        .expect_code(2)
        .stderr;
    assert!(told.contains("held_out.jsonl:1") && told.contains("`countdwn`"), "{told}");
}
