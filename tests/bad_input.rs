//! Bad input through the real binary: exit code 2, the place and a remedy, nothing written. A failing disk: exit code 1.

mod support;

use std::collections::BTreeMap;
use std::fs;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use support::{Dir, golden, train_args};

/// Spoils something in a fresh folder and runs: refused with code 2 and every one of `parts`, and no file is new or gone.
fn check(spoil: impl FnOnce(&Dir), words: &[&str], parts: &[&str]) {
    let dir = Dir::new();
    spoil(&dir);
    let before = dir.files("");
    let ended = dir.run(train_args(words));
    let context = format!("{words:?} {parts:?}\nstdout:\n{}\nstderr:\n{}", ended.stdout, ended.stderr);
    assert_eq!(ended.code, Some(2), "{context}");
    for part in parts {
        assert!(ended.stderr.contains(part), "no `{part}`: {context}");
    }
    assert!(!ended.stderr.contains("panicked"), "{context}");
    assert_eq!(dir.files(""), before, "something was written: {context}");
    assert!(!dir.path("run").is_dir() || before.iter().any(|file| file.starts_with("run/")), "a run folder: {context}");
}

/// Puts `new` in the place of `old`, once, in the run file.
fn edit(old: &str, new: &str) -> impl FnOnce(&Dir) {
    move |dir| {
        let text = dir.text("run.toml");
        assert_eq!(text.matches(old).count(), 1, "{old}");
        dir.write("run.toml", text.replace(old, new));
    }
}

fn nothing(_: &Dir) {}

#[test]
fn run_files_are_refused_with_line_and_column() {
    check(
        edit("group_size", "grop_size"),
        &[],
        &["run.toml:21:1", "unknown key `grop_size`", "did you mean `group_size`?"],
    );
    check(edit("[stage.rollout]", "[stage.rolout]"), &[], &["run.toml:19:8", "did you mean `rollout`?"]);
    check(nothing, &["run.sede=2"], &["--set", "unknown key `sede`", "did you mean `seed`?"]);
    check(edit("steps = 4", "steps = four"), &[], &["run.toml:11:9"]);
    check(
        edit("group_size = 4", "group_size = 1"),
        &[],
        &["run.toml:21:14", "`group_size` is 1", "expected 2 or more"],
    );
    check(nothing, &["stage.rollout.group_size=1"], &["--set", "`group_size` is 1"]);
    check(
        nothing,
        &["stage.grpo.minibatches=5"],
        &["cannot be cut into 5 equal minibatches", "3 * 4 = 12 completions"],
    );
    check(
        edit("max_tokens = 16", "max_tokens = 256"),
        &[],
        &["run.toml:22:14", "context of the model is 256", "less than 256"],
    );
    check(
        nothing,
        &["stage.rollout.max_tokens=250"],
        &["max_tokens = 250", "context of 256", "shorten the prompt or lower"],
    );
    let long = |dir: &Dir| {
        let row = |question: &str| format!("{{\"question\": \"{question}\", \"numbers\": [2, 3], \"target\": 5}}\n");
        dir.write("problems.jsonl", row("short") + &row("short") + &row(&"long ".repeat(50)));
    };
    check(long, &[], &["problem line-3", "250 tokens", "shorten the prompt"]);
    check(nothing, &["stage.rollout.stop_token_ids=[128]"], &["stop token 128", "below 128"]);
    check(|dir| fs::remove_file(dir.path("run.toml")).expect("a file"), &[], &["run.toml", "--config"]);
    check(|dir| dir.write("run.toml", ""), &[], &["no stage", "[[stage]]"]);
    check(nothing, &["--chek"], &["--chek", "--check"]);
    check(nothing, &["run.device=\"cuda:7\""], &["cuda"]);
}

#[test]
fn model_folders_are_refused() {
    let remove = |name: &'static str| move |dir: &Dir| fs::remove_file(dir.path(name)).expect("a file");
    check(
        edit("\"model\"", "\"modle\""),
        &[],
        &["run.toml:7:8", "no such folder: modle", "relative to the run file's folder"],
    );
    check(edit("\"model\"", "\"run.toml\""), &[], &["run.toml:7:8", "not a folder"]);
    check(remove("model/config.json"), &[], &["model", "config.json is missing"]);
    check(remove("model/model.safetensors"), &[], &["model", "model.safetensors is missing"]);
    check(remove("model/tokenizer.json"), &[], &["tokenizer.json"]);
    check(|dir| dir.write("model/config.json", "{\"model_type\": "), &[], &["config.json", "line 1"]);
    check(|dir| dir.write("model/tokenizer.json", "{}"), &[], &["tokenizer.json", "not a readable tokenizer"]);
    check(
        config("\"hidden_act\": \"silu\"", "\"hidden_act\": \"relu\""),
        &[],
        &["config.json", "`hidden_act`", "relu"],
    );
    check(
        config("\"model_type\": \"qwen2\"", "\"model_type\": \"gpt2\""),
        &[],
        &["config.json", "`model_type`", "gpt2"],
    );
    check(
        config("\"vocab_size\": 128", "\"vocab_size\": 120"),
        &[],
        &["tokenizer.json", "ids up to 127", "ends at 120"],
    );
    check(config("\"num_attention_heads\": 4", "\"num_attention_heads\": 10"), &[], &["`num_attention_heads`", "48"]);
    check(config("10000.0", "\"1e4\""), &[], &["config.json", "`rope_parameters.rope_theta`", "not a number"]);
    let llama3 = "\"llama3\", \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": 4, \
                  \"original_max_position_embeddings\": 64";
    check(config("\"default\"", llama3), &[], &["`rope_parameters`", "below `high_freq_factor`"]);
}

fn config(old: &'static str, new: &'static str) -> impl FnOnce(&Dir) {
    move |dir| {
        let text = dir.text("model/config.json");
        assert_eq!(text.matches(old).count(), 1, "{old} in {text}");
        dir.write("model/config.json", text.replace(old, new));
    }
}

const WEIGHTS: &str = "model/model.safetensors";

#[test]
fn weights_are_refused() {
    let corrupt = ["model.safetensors", "not a readable safetensors file", "truncated or corrupt?"];
    check(|dir| dir.write(WEIGHTS, &dir.bytes(WEIGHTS)[..100_000]), &[], &corrupt);
    let flip = |dir: &Dir| {
        let mut bytes = dir.bytes(WEIGHTS);
        bytes[9] = b'!';
        dir.write(WEIGHTS, bytes);
    };
    check(flip, &[], &corrupt);
    let huge = |dir: &Dir| {
        let mut bytes = dir.bytes(WEIGHTS);
        bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        dir.write(WEIGHTS, bytes);
    };
    check(huge, &[], &corrupt);
    let missing = tensors(|stored| drop(stored.remove("model.norm.weight")));
    check(missing, &[], &["model", "tensor `model.norm.weight` [48] is missing"]);
    let spare = tensors(|stored| drop(stored.insert("model.extra.weight".to_owned(), (vec![2], vec![0; 8]))));
    check(spare, &[], &["tensor `model.extra.weight` [2] has no place"]);
    let misshapen = tensors(|stored| stored.get_mut("model.norm.weight").expect("the norm").0 = vec![6, 8]);
    check(misshapen, &[], &["tensor `model.norm.weight` has shape [6, 8], the model needs [48]"]);
    let infinite = tensors(|stored| {
        stored.get_mut("model.norm.weight").expect("the norm").1[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    check(infinite, &[], &["tensor `model.norm.weight` holds a value that is not finite"]);
    let sharded = |dir: &Dir| {
        fs::remove_dir_all(dir.path("model")).expect("a folder");
        fs::create_dir(dir.path("model")).expect("a folder");
        for entry in fs::read_dir(golden("models/qwen2_sharded")).expect("a golden model") {
            let path = entry.expect("an entry").path();
            fs::copy(&path, dir.path("model").join(path.file_name().expect("a name"))).expect("a copy");
        }
        fs::remove_file(dir.path("model/model-00002-of-00006.safetensors")).expect("a shard");
    };
    check(sharded, &[], &["model-00002-of-00006.safetensors", "No such file"]);
}

/// Shape and bytes of every tensor, float32.
type Stored = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

fn tensors(change: impl FnOnce(&mut Stored)) -> impl FnOnce(&Dir) {
    move |dir| {
        let bytes = dir.bytes(WEIGHTS);
        let read = SafeTensors::deserialize(&bytes).expect("the golden weights");
        let mut stored: Stored = (read.tensors().into_iter())
            .map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec())))
            .collect();
        change(&mut stored);
        let view = |shape: &[usize], data| TensorView::new(Dtype::F32, shape.to_vec(), data).expect("a tensor");
        let views = stored.iter().map(|(name, (shape, data))| (name, view(shape, data)));
        dir.write(WEIGHTS, safetensors::serialize(views, None).expect("a file"));
    }
}

#[test]
fn problem_files_are_refused_with_their_line() {
    let good = r#"{"question": "q", "numbers": [1, 2], "target": 3}"#;
    let lines = |second: &str| format!("{good}\n{second}\n{good}\n");
    let cases: [(&str, &[&str]); 6] = [
        ("{\"question\": \"q\", \"numbers\"", &["problems.jsonl:2: "]),
        ("[1, 2]", &["problems.jsonl:2: "]),
        (r#"{"numbers": [1, 2], "target": 3}"#, &["problems.jsonl:2: ", "missing field `question`"]),
        (r#"{"question": "", "numbers": [1, 2], "target": 3}"#, &["problems.jsonl:2: ", "`question` is empty"]),
        (r#"{"question": "q", "numbers": ["1"], "target": 3}"#, &["problems.jsonl:2: ", "expected i64"]),
        (r#"{"question": "q", "target": 3}"#, &["problems.jsonl:2: ", "numbers"]),
    ];
    for (second, parts) in cases {
        check(|dir| dir.write("problems.jsonl", lines(second)), &[], parts);
        let held_out = |dir: &Dir| dir.write("held_out.problems.jsonl", lines(second));
        check(held_out, &["stage.eval.problems=\"held_out.problems.jsonl\""], parts);
    }
    check(|dir| dir.write("problems.jsonl", ""), &[], &["problems.jsonl: the file is empty"]);
    check(|dir| dir.write("problems.jsonl", "\n \n"), &[], &["problems.jsonl: the file is empty"]);
    check(|dir| dir.write("problems.jsonl", b"{\"question\": \"\xff\"}\n"), &[], &["problems.jsonl:1: "]);
    check(edit("\"problems.jsonl\"", "\"problem.jsonl\""), &[], &["run.toml:17:8", "no such file: problem.jsonl"]);
}

#[test]
fn run_folders_are_refused() {
    check(|dir| dir.write("run", "a file"), &[], &["run"]);
    check(|dir| dir.write("file", ""), &["run.dir=\"file/run\""], &["file/run", "Not a directory"]);
    // Root may write everywhere but here.
    check(nothing, &["run.dir=\"/proc/grpo-train\""], &["/proc/grpo-train", "cannot create the folder"]);
    check(nothing, &["--resume"], &["contains no run to resume", "leave out --resume"]);
    let foreign = |dir: &Dir| {
        fs::create_dir(dir.path("run")).expect("a folder");
        dir.write("run/thesis.tex", "all of it");
    };
    check(foreign, &[], &["is not a run folder", "thesis.tex", "set run.dir"]);
    let begun = |dir: &Dir| drop(dir.train(&["stage.steps=1"]));
    check(nothing, &["--from=dev1"], &["--from dev1: no stage is called so", "the run file has grpo"]);
    let other =
        &["belongs to another run", "it has `learning_rate = 0.002`, this has `learning_rate = 0.001`", "set run.dir"];
    check(begun, &["stage.steps=1", "stage.optimizer.learning_rate=1e-3"], other);
    check(begun, &["stage.steps=1", "stage.optimizer.learning_rate=1e-3", "--resume"], other);
}

#[test]
fn the_other_commands_refuse_too() {
    let dir = Dir::new();
    let refuse = |name: &str, model: &str, input: &str, parts: &[&str]| {
        dir.write("in.jsonl", input);
        let ended = dir.run([name, "--model", model, "--input", "in.jsonl", "--output", "out.jsonl"]).expect_code(2);
        parts.iter().for_each(|part| assert!(ended.stderr.contains(part), "no `{part}` in {}", ended.stderr));
        assert!(!dir.path("out.jsonl").exists());
    };
    refuse(
        "logprobs",
        "model",
        "{\"ids\": [1, 2]}\n{\"ids\": [1, 128]}\n",
        &["in.jsonl:2: ", "holds 128", "ends at 128"],
    );
    refuse("logprobs", "model", "{\"ids\": [1, -1]}\n", &["in.jsonl:1: ", "holds -1"]);
    refuse("logprobs", "model", "{\"ids\": [1]}\n", &["in.jsonl:1: ", "has 1 tokens"]);
    refuse("logprobs", "model", "{\"tokens\": [1]}\n", &["in.jsonl:1: ", "unknown field `tokens`"]);
    refuse("logprobs", "model", &format!("{{\"ids\": {:?}}}\n", [1; 257]), &["in.jsonl:1: ", "context is 256"]);
    refuse("logprobs", "modle", "{\"ids\": [1, 2]}\n", &["modle"]);
    refuse("sample", "model", "", &["in.jsonl: the file is empty"]);
    refuse("sample", "model", "{\"prompt\": \"a\", \"ids\": [1]}\n", &["in.jsonl:1: ", "one of them"]);
    refuse("sample", "model", "{\"ids\": [500]}\n", &["in.jsonl:1", "500", "ends at 128"]);
    refuse("sample", "model", "{\"prompt\": \"\"}\n", &["empty"]);
    refuse("sample", "model", "{\"prompt\": \"a\"}\n", &["in.jsonl:1", "--max-tokens 256", "context of 256"]);
    let ended =
        dir.run(["sample", "--model", "model", "--input", "in.jsonl", "--output", "o", "--top-p", "0"]).expect_code(2);
    assert!(ended.stderr.contains("more than 0, and 1 at most"), "{}", ended.stderr);
}

/// The program with a limit on the size of files, as on a disk that is full: writes beyond it fail.
fn limited(dir: &Dir, words: &[&str], n_bytes: libc::rlim_t) -> support::Ended {
    use std::os::unix::process::CommandExt;
    let mut command = dir.command(train_args(words));
    let limit = move || {
        let limit = libc::rlimit { rlim_cur: n_bytes, rlim_max: n_bytes };
        // SAFETY: both calls are async-signal-safe and take values that live until they return. Without the first, the
        // second would end the process by a signal instead of failing its writes.
        let set = unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN) != libc::SIG_ERR
                && libc::setrlimit(libc::RLIMIT_FSIZE, &limit) == 0
        };
        if set { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(limit) };
    support::Ended::new(&command.output().expect("the program starts"))
}

#[test]
fn a_failing_write_ends_the_run_and_leaves_the_last_checkpoint() {
    let dir = Dir::new();
    let settings = ["stage.steps=6", "stage.checkpoint.every_steps=2"];
    dir.train(&[&settings[..], &["run.dir=\"whole\""]].concat());
    let last = "run/checkpoints/grpo/step_000002";
    // Which file is the first that is too large: the completions of a step, the model, the optimiser's state.
    for (n_bytes, part) in
        [(3_000, "step_000003.jsonl"), (100_000, "model.safetensors"), (200_000, "optimizer.safetensors")]
    {
        let _ = fs::remove_dir_all(dir.path("run"));
        let mut running = support::Running::start(dir.command(train_args(&settings)));
        assert!(running.wait_until(|| dir.path(last).exists()));
        running.signal(libc::SIGKILL);
        running.end();
        let before = contents(&dir, last);
        let ended = limited(&dir, &[&settings[..], &["--resume"]].concat(), n_bytes).expect_code(1);
        assert!(
            ended.stderr.contains(part) && ended.stderr.contains("File too large"),
            "no {part} in\n{}",
            ended.stderr
        );
        assert_eq!(contents(&dir, last), before);
        dir.train(&[&settings[..], &["--resume"]].concat());
        assert_eq!(dir.bytes("run/final/model.safetensors"), dir.bytes("whole/final/model.safetensors"));
    }
}

fn contents(dir: &Dir, folder: &str) -> Vec<Vec<u8>> {
    dir.files(folder).iter().map(|file| dir.bytes(&format!("{folder}/{file}"))).collect()
}

#[test]
fn a_prompt_too_long_to_sample_from_is_named_by_its_line() {
    let dir = Dir::new();
    dir.write("in.jsonl", format!("{{\"ids\": [5]}}\n{{\"ids\": {:?}}}\n", vec![5; 250]));
    let args = |output| ["sample", "--model", "model", "--input", "in.jsonl", "--output", output, "--max-tokens", "8"];
    let ended = dir.run(args("out.jsonl")).expect_code(2);
    for part in ["in.jsonl:2", "250 tokens", "context of 256"] {
        assert!(ended.stderr.contains(part), "no `{part}` in\n{}", ended.stderr);
    }
    assert!(dir.run(args("no/such/folder")).expect_code(2).stderr.contains("no/such/folder"));
    assert!(!dir.path("out.jsonl").exists());
}
