//! What the end-to-end tests share: a fresh folder with a tiny model, a run file and problems, and the real binary in it.

// Each test file is a program of its own and uses its own part of this.
#![allow(dead_code)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

/// A run of a second: 12 completions of at most 16 tokens a step, rewards that differ within most groups.
pub const RUN_FILE: &str = r#"[run]
dir = "run"
threads = 1
device = "cpu"

[model]
path = "model"

[[stage]]
kind = "grpo"
steps = 4

[stage.prompt]
template = "none"

[stage.problems.jsonl]
path = "problems.jsonl"

[stage.rollout]
prompts_per_step = 3
group_size = 4
max_tokens = 16
stop_strings = ["</answer>"]

[stage.rewards.countdown]
[stage.rewards.format]
weight = 0.5

[stage.optimizer]
learning_rate = 2e-3
"#;

/// A fresh folder with `model`, `problems.jsonl` and `run.toml`; the current folder of every process started in it.
pub struct Dir(tempfile::TempDir);

/// How a process ended.
pub struct Ended {
    /// None if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Dir {
    pub fn new() -> Self {
        let dir = Self(tempfile::tempdir().expect("a temporary folder"));
        write_model(&dir.path("model"));
        let problem = |n: u32| {
            let (question, numbers) = (format!("make 5 of 2 and 3 case {n}"), [2, 3]);
            serde_json::json!({"question": question, "numbers": numbers, "target": 5}).to_string()
        };
        dir.write("problems.jsonl", (0..7).map(|n| problem(n) + "\n").collect::<String>());
        dir.write("run.toml", RUN_FILE);
        dir
    }

    /// The same with other stages.
    pub fn with_stages(stages: &str) -> Self {
        let dir = Self::new();
        let (head, _) = RUN_FILE.split_once("[[stage]]").expect("a stage");
        dir.write("run.toml", [head, stages].concat());
        dir
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The lines of a JSON Lines file.
    pub fn rows(&self, name: &str) -> Vec<Value> {
        rows(&self.path(name))
    }

    /// Every file below `name`, relative to it and sorted.
    pub fn files(&self, name: &str) -> Vec<String> {
        let (root, mut found) = (self.path(name), Vec::new());
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
                let path = entry.expect("a directory entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&root).expect("below the root").display().to_string());
                }
            }
        }
        found.sort();
        found
    }

    /// The program with `args`, not yet started.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grpo-train"));
        command.args(args).current_dir(self.0.path()).env("RAYON_NUM_THREADS", "1").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ended {
        Ended::new(&self.command(args).output().expect("the program starts"))
    }

    /// `--config run.toml` with words of `--set` or other flags behind it; the run has to succeed.
    pub fn train(&self, words: &[&str]) -> Ended {
        self.run(train_args(words)).expect_code(0)
    }
}

impl Ended {
    pub fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// The command line of a run: a word with `=` in it is a `--set`, another a flag.
pub fn train_args<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["--config", "run.toml"];
    for word in words {
        if !word.starts_with('-') {
            args.push("--set");
        }
        args.push(word);
    }
    args
}

/// Kills and collects what is left of a process when a test fails.
pub struct Running(pub Child);

impl Running {
    pub fn start(mut command: Command) -> Self {
        Self(command.spawn().expect("the program starts"))
    }

    /// Waits until `reached`, looking all the time, as what is waited for may last a millisecond. False if it ended first.
    pub fn wait_until(&mut self, reached: impl Fn() -> bool) -> bool {
        let began = Instant::now();
        while !reached() {
            if self.0.try_wait().expect("the process can be asked").is_some() {
                return false;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "waited for a minute");
            std::thread::sleep(Duration::from_micros(50));
        }
        true
    }

    pub fn signal(&self, signal: libc::c_int) {
        let id = libc::pid_t::try_from(self.0.id()).expect("a process id");
        // SAFETY: kill takes two numbers; the process is a child that has not been waited for, so the id is its own.
        unsafe { libc::kill(id, signal) };
    }

    pub fn end(mut self) -> Ended {
        use std::io::Read;
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.0.stdout.take().map(|mut pipe| pipe.read_to_string(&mut stdout));
        self.0.stderr.take().map(|mut pipe| pipe.read_to_string(&mut stderr));
        Ended { code: self.0.wait().expect("a child").code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Rows without what a clock said.
pub fn untimed(rows: Vec<Value>) -> Vec<Value> {
    let clocked = |key: &str| {
        key.starts_with("timing/")
            || key.ends_with("_per_second")
            || key.ends_with("_of_peak")
            || ["step_time", "seconds"].contains(&key)
    };
    let strip = |row: Value| {
        let Value::Object(map) = row else { panic!("not an object: {row}") };
        Value::Object(map.into_iter().filter(|(key, _)| !clocked(key)).collect())
    };
    rows.into_iter().map(strip).collect()
}

/// The repository's `tests/golden`.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's folder").join("tests/golden").join(name)
}

pub fn rows(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let row =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display()));
    text.lines().map(row).collect()
}

/// The golden model qwen2_tied, whose random weights never spell a tag: so some of its tokens are given whole ones.
fn write_model(folder: &Path) {
    let source = golden("models/qwen2_tied");
    fs::create_dir(folder).expect("a folder");
    for name in ["config.json", "generation_config.json", "model.safetensors", "tokenizer_config.json"] {
        fs::copy(source.join(name), folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let text = fs::read_to_string(source.join("tokenizer.json")).expect("the golden tokenizer");
    let mut tokenizer: Value = serde_json::from_str(&text).expect("JSON");
    let vocab = tokenizer["model"]["vocab"].as_object().expect("a vocabulary");
    let renamed: Map<String, Value> = vocab.iter().map(|(token, id)| (rename(token, id), id.clone())).collect();
    tokenizer["model"]["vocab"] = Value::Object(renamed);
    tokenizer["model"]["merges"] = Value::Array(Vec::new());
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).expect("a tokenizer");
}

fn rename(token: &str, id: &Value) -> String {
    let needed =
        token.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == 'Ġ') && token.chars().count() == 1;
    let id = id.as_u64().expect("an id");
    match id % 8 {
        _ if needed || id < 3 => token.to_owned(),
        0 => format!("<think>{id}"),
        1 => format!("{id}</think><answer>2+3</answer>"),
        2 => format!("<think>{id}</think><answer>3+2</answer>"),
        3 => format!("<answer>{id}</answer>"),
        4 => format!("<think>{id}</think><answer>{id}</answer>"),
        _ => format!("word{id}"),
    }
}
