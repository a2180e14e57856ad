//! A stage of kind `sft` through the real binary: it learns, it packs, it goes on after `kill -9`, and it says what is wrong.

mod support;

use serde_json::Value;
use support::{Dir, Running, train_args};

const SFT: &str = r#"[run]
dir = "run"
threads = 1
device = "cpu"

[model]
path = "model"

[[stage]]
kind = "sft"
steps = 80
batch_size = 3

[stage.prompt]
template = "none"

[[stage.data]]
path = "rows.jsonl"

[stage.optimizer]
learning_rate = 5e-3
"#;

const ROWS: &str = r#"{"prompt": "two and three", "completion": " make five"}
{"question": "what is first", "completion": " a letter"}
{"id": "kept", "question": "not read", "prompt": "one more", "completion": " and then none", "reward": 1.0, "correct": true}
"#;

const TEMPLATE: &str = "{% for message in messages %}{{ message.role }} {{ message.content }}<|endoftext|>{% endfor %}\
{% if add_generation_prompt %}assistant {% endif %}";

fn dir() -> Dir {
    let dir = Dir::new();
    dir.write("run.toml", SFT);
    dir.write("rows.jsonl", ROWS);
    dir.write("model/chat_template.jinja", TEMPLATE);
    dir
}

fn metric(dir: &Dir, name: &str) -> Vec<f64> {
    let rows = dir.rows("run/metrics.jsonl");
    rows.iter().filter_map(|row| row[name].as_f64()).collect()
}

#[test]
fn a_small_set_is_learned_by_heart() {
    let dir = dir();
    let long = format!("{}\n", serde_json::json!({"text": "long ".repeat(200)}));
    dir.write("held_out.jsonl", dir.text("rows.jsonl") + &long);
    dir.train(&["stage.held_out.path=\"held_out.jsonl\"", "stage.held_out.every_steps=40"]);
    let loss = metric(&dir, "loss");
    assert_eq!(loss.len(), 80);
    assert!(loss[0] > 3.0 && loss[79] < 0.05, "{} to {}", loss[0], loss[79]);
    // Each update has all three rows: the loss of an update is that of its own data before it, as the next one sees it.
    let eval_loss = metric(&dir, "eval_loss");
    assert_eq!(eval_loss.len(), 2);
    assert!((eval_loss[0] - loss[40]).abs() < 1e-4 * loss[40].max(0.1), "{} {}", eval_loss[0], loss[40]);
    assert!(eval_loss[1] < 0.05, "{}", eval_loss[1]);
    assert_eq!(metric(&dir, "epoch")[79], 80.0);
    let log = dir.text("run/log.txt");
    let held_out = "3 examples are held out; longer than max_tokens: 1 dropped, 0 cut";
    assert!(log.contains("3 examples of ") && log.contains(held_out), "{log}");
}

#[test]
fn rows_of_every_shape_are_learned_for_two_epochs_however_they_are_packed() {
    let dir = dir();
    dir.write("more.jsonl", concat!(
        r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b c"}, {"role": "user", "content": "d"}, {"role": "assistant", "content": "e"}]}"#,
        "\n",
        r#"{"text": "a longer text of which all is learned"}"#,
        "\n"
    ));
    dir.write("book.txt", "it was a day like any other and nothing was to be done about it");
    let text = SFT.replace("steps = 80", "epochs = 2");
    let more =
        "[[stage.data]]\npath = \"more.jsonl\"\nrepeat = 3\n\n[[stage.data]]\npath = \"book.txt\"\n\n[stage.optimizer]";
    dir.write("run.toml", text.replace("[stage.optimizer]", more));
    let plan = dir.run(["--config", "run.toml", "--check"]).expect_code(0).stdout;
    for line in [
        "2 of all examples; one update on 3 examples each",
        "more.jsonl, 3 times an epoch",
        "memory",
        "longer ones are dropped",
    ] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    dir.train(&[]);
    // 3 rows, 2 rows three times and a text: 10 places of an epoch, 20 in all.
    let (loss, epoch) = (metric(&dir, "loss"), metric(&dir, "epoch"));
    assert_eq!((loss.len(), epoch[6]), (7, 2.0));
    dir.train(&["stage.micro_batch_tokens=1", "run.dir=\"apart\""]);
    let apart: Vec<f64> = dir.rows("apart/metrics.jsonl").iter().map(|row| row["loss"].as_f64().unwrap()).collect();
    for (together, apart) in loss.iter().zip(&apart) {
        assert!((together - apart).abs() < 1e-4 * together, "{together} {apart}");
    }
    let same = dir.train(&["run.dir=\"again\"", "run.threads=2"]);
    assert!(same.stderr.is_empty() || !same.stderr.contains("warning"), "{}", same.stderr);
    assert_eq!(dir.bytes("run/final/model.safetensors"), dir.bytes("again/final/model.safetensors"));
}

#[test]
fn a_killed_stage_goes_on_to_the_same_bits() {
    let settings =
        ["stage.steps=12", "stage.checkpoint.every_steps=4", "stage.optimizer.schedule=cosine", "stage.batch_size=2"];
    let (whole, killed) = (dir(), dir());
    whole.train(&settings);
    let mut running = Running::start(killed.command(train_args(&settings)));
    let saved = killed.path("run/checkpoints/sft/step_000004");
    assert!(running.wait_until(|| saved.exists()), "it ended before it could be killed");
    running.signal(libc::SIGKILL);
    assert_eq!(running.end().code, None);
    killed.train(&settings);
    for file in ["model.safetensors", "optimizer.safetensors", "chat_template.jinja"] {
        let file = format!("run/checkpoints/sft/step_000012/{file}");
        assert_eq!(whole.bytes(&file), killed.bytes(&file), "{file}");
    }
    assert_eq!(metric(&whole, "loss"), metric(&killed, "loss"));
}

#[test]
fn reinforcement_learning_goes_on_from_it_in_the_same_chat_template() {
    let dir = dir();
    let grpo = support::RUN_FILE.split_once("[[stage]]").unwrap().1;
    let grpo =
        grpo.replace("template = \"none\"", "template = \"chat\"\nsystem = \"s\"").replace("steps = 4", "steps = 1");
    let sft = SFT.replace("steps = 80", "steps = 3").replace("template = \"none\"", "template = \"chat\"");
    dir.write("run.toml", format!("{sft}\n[[stage]]{grpo}"));
    dir.train(&[]);
    let rows: Vec<Value> = dir.rows("run/completions/grpo/step_000001.jsonl");
    let prompt = rows[0]["prompt"].as_str().unwrap();
    assert!(prompt.starts_with("system s<|endoftext|>user make 5 of 2 and 3 case"), "{prompt}");
    assert!(prompt.ends_with("<|endoftext|>assistant "), "{prompt}");
}

#[test]
fn what_is_wrong_is_said_before_the_run() {
    let dir = dir();
    let refused = |words: &[&str], expected: &[&str]| {
        let ended = dir.run(train_args(words)).expect_code(2);
        for expected in expected {
            assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
        }
        assert!(!dir.path("run").exists());
    };
    refused(&["stage.epochs=2"], &["has both `epochs` and `steps`"]);
    refused(&["stage.max_tokens=9999"], &["`max_tokens` is 9999, but the context of the model is 256 tokens"]);
    refused(&["stage.prompt.system=\"s\""], &["`system` is given", "template = \"chat\""]);
    refused(&["stage.max_tokens=6", "stage.on_long=refuse"], &["rows.jsonl:1: the row has ", "on_long = \"drop\""]);
    refused(&["stage.max_tokens=6"], &["every one of the 3 rows is longer"]);
    dir.write("rows.jsonl", "{\"text\": \"a\"}\n{\"question\": \"a\", \"gold\": \"b\"}\n");
    refused(&[], &["rows.jsonl:2: the row has no `completion`"]);
    dir.write("rows.jsonl", ROWS);
    dir.write("run.toml", SFT.replace("[[stage.data]]\npath = \"rows.jsonl\"\n", ""));
    refused(&[], &["the stage has no data", "add [[stage.data]]"]);
}
