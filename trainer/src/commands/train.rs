//! `grpo-train --config F`: reads the run file, checks all it names, opens the run folder, and runs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::Failure;
use super::inputs::{Start, check_data};
use crate::cli::RunArgs;
use crate::config::{self, RunFile, Stage};
use crate::machine;
use crate::plan::{ModelShape, Plan};
use crate::run::{OpenMode, RunDirectory, RunFacts, directory};
use crate::stages::{self, Model, Outcome, RunContext};
use crate::telemetry::{Progress, ProgressMode};

/// Prompt length assumed where the tokenizer does not exist yet, for the estimate of memory.
pub(super) const UNKNOWN_PROMPT_TOKENS: u64 = 64;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All is done.
    Done,
    /// The user stopped it; it can be resumed. Exit code 130.
    Stopped,
}

/// Runs a run file, or with `--check` only says what it would do.
///
/// # Errors
/// [`Failure::Usage`] before anything is written, [`Failure::Run`] after.
pub fn train(args: &RunArgs) -> Result<Ended, Failure> {
    let path = args.config.as_deref().expect("clap requires it");
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    let refused = |error: config::ConfigError| Failure::Usage(error.render(colour));
    let file = RunFile::load(path, &args.set).map_err(refused)?;
    let start = Start::read(&file)?;
    let shape = start.as_ref().map(|start| ModelShape::of_config(&start.config));
    let prompt_tokens = start.as_ref().map_or(Ok(UNKNOWN_PROMPT_TOKENS), Start::example_tokens)?;
    let plan = Plan::new(&file, shape, prompt_tokens).map_err(refused)?;
    for warning in warnings(&file) {
        eprintln!("warning: {warning}");
    }
    check_data(&file, start.as_ref())?;
    let device = machine::device(file.resolved.run.device).map_err(Failure::usage)?;
    if args.check {
        println!("{plan}");
        return Ok(Ended::Done);
    }
    let threads = machine::set_threads(file.resolved.run.threads);
    let facts = RunFacts {
        run_file: path.to_path_buf(),
        resolved: file.resolved.to_toml(),
        identity: file.resolved.identity(),
        libtorch: machine::LIBTORCH.to_owned(),
        device: machine::device_name(device),
        threads,
    };
    let mode = if args.resume { OpenMode::Resume } else { OpenMode::Begin };
    // The folder is looked at before any weight is read, and written to after.
    directory::inspect(&file.resolved.run.dir, mode, &facts)?;
    if let Some(model) = &file.resolved.model {
        // Loaded and dropped: a folder whose weights cannot be used is found before anything is written.
        Model::load(&model.path, machine::dtype(file.resolved.run.dtype), tch::Device::Cpu).map_err(Failure::usage)?;
    }
    let directory = RunDirectory::open(&file.resolved.run.dir, mode, &facts)?;
    if directory.is_finished() && !longer_than_before(&file, &directory) {
        println!("{}: this run is finished; its report is in report.md", directory.path().display());
        return Ok(Ended::Done);
    }
    shim::determinism::ask(file.resolved.run.deterministic);
    let progress = Progress::new(ProgressMode::detect(args.no_progress), &directory.log())?;
    let mut context = RunContext {
        settings: &file.resolved,
        directory: &directory,
        progress: &progress,
        device,
        dtype: machine::dtype(file.resolved.run.dtype),
        stop: stop_flag(),
        num_tokens: 0,
        earlier_seconds: 0.0,
        started: Instant::now(),
    };
    let outcome = stages::run(&mut context);
    progress.finish()?;
    match outcome.map_err(Failure::run)? {
        Outcome::Finished => Ok(Ended::Done),
        Outcome::Stopped => {
            eprintln!("stopped and saved; go on with: {}", resume_command());
            Ok(Ended::Stopped)
        }
    }
}

/// What the run file asks for although it is known to hurt, or to do nothing: a sentence each, with its stage.
pub(super) fn warnings(file: &RunFile) -> Vec<String> {
    let of_stage = |stage: &Stage| match stage {
        Stage::Grpo(stage) => {
            stage.warnings().into_iter().map(|warning| format!("stage {}: {warning}", stage.name)).collect()
        }
        Stage::Pretrain(_) => Vec::new(),
    };
    file.resolved.stages.iter().flat_map(of_stage).collect()
}

/// Whether the run file asks for more steps than the finished run has; its identity allows that at a constant rate.
fn longer_than_before(file: &RunFile, directory: &RunDirectory) -> bool {
    let done = std::fs::read(directory.summary()).ok().and_then(|text| {
        let summary: serde_json::Value = serde_json::from_slice(&text).ok()?;
        summary["stages"].as_array()?.last()?["steps"].as_u64()
    });
    file.resolved.stages.last().map(|stage| stage.steps()) > done
}

/// The command that was given, with `--resume`.
fn resume_command() -> String {
    let quoted = |word: String| {
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c));
        if plain && !word.is_empty() { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let mut words: Vec<String> = std::env::args().map(quoted).collect();
    if !words.iter().any(|word| word == "--resume" || word == "-r") {
        words.push("--resume".to_owned());
    }
    words.join(" ")
}

/// Ctrl-C (and SIGTERM, and SIGHUP of a terminal that is closed) once: finish the step, save, stop. Twice: now.
pub(super) fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        // The first of the two acts on a flag that is already set, so it has to be registered first.
        let twice = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop));
        let once = signal_hook::flag::register(signal, Arc::clone(&stop));
        if let Err(error) = twice.and(once) {
            eprintln!("warning: signal {signal} cannot be caught ({error}): it will end the run without saving");
        }
    }
    stop
}
