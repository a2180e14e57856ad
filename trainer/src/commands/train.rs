//! `grpo-train --config F`: reads the run file, checks all it names, opens the run folder, and runs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::Failure;
use super::inputs::{Starts, check_data};
use crate::cli::RunArgs;
use crate::config::{self, GrpoStage, RunFile, Stage};
use crate::machine;
use crate::plan::Plan;
use crate::run::{OpenMode, RunDirectory, RunFacts, directory};
use crate::stages::{self, Ledger, Model, Outcome, RunContext, StageChoice};
use crate::telemetry::{Progress, ProgressMode};

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
    let starts = Starts::read(&file)?;
    let plan = Plan::new(&file, starts.base_shape(), starts.example_tokens()?).map_err(refused)?;
    for warning in warnings(&file) {
        eprintln!("warning: {warning}");
    }
    let choice = stage_choice(&file, args)?;
    check_data(&file, &starts)?;
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
        stages: stage_identities(&file),
        libtorch: machine::LIBTORCH.to_owned(),
        device: machine::device_name(device),
        threads,
    };
    let mode = if args.resume { OpenMode::Resume } else { OpenMode::Either };
    // The folder is looked at before any weight is read, and written to after.
    directory::inspect(&file.resolved.run.dir, mode, &facts)?;
    for folder in starts.policies(&file) {
        // Loaded and dropped: a folder whose weights cannot be used is found before anything is written.
        Model::load(folder, machine::dtype(file.resolved.run.dtype), tch::Device::Cpu).map_err(Failure::usage)?;
    }
    let directory = RunDirectory::open(&file.resolved.run.dir, mode, &facts)?;
    let ledger = Ledger::read(&file.resolved, &directory, &choice).map_err(Failure::run)?;
    if directory.is_finished() && ledger.all_done() {
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
    if !directory.info().resumed.is_empty() {
        let begun = &directory.info().started_at;
        progress.say(&format!("going on with the run in {}, begun {begun}", directory.path().display()));
    }
    let outcome = stages::run(&mut context, &choice);
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
    let of_stage = |stage: &GrpoStage| -> Vec<String> {
        stage.warnings().into_iter().map(|warning| format!("stage {}: {warning}", stage.name)).collect()
    };
    file.resolved.stages.iter().filter_map(Stage::as_grpo).flat_map(of_stage).collect()
}

/// The stages asked for, by names that there are.
fn stage_choice(file: &RunFile, args: &RunArgs) -> Result<StageChoice, Failure> {
    let names: Vec<&str> = file.resolved.stages.iter().map(|stage| stage.name()).collect();
    for (argument, name) in [("--from", &args.from), ("--only", &args.only)] {
        if let Some(name) = name.as_ref().filter(|name| !names.contains(&name.as_str())) {
            let known = names.join(", ");
            return Err(Failure::usage(format!("{argument} {name}: no stage is called so; the run file has {known}")));
        }
    }
    Ok(StageChoice { from: args.from.clone(), only: args.only.clone() })
}

/// Name and identity of each stage.
pub(super) fn stage_identities(file: &RunFile) -> Vec<(String, String)> {
    let names = file.resolved.stages.iter().map(|stage| stage.name().to_owned());
    names.zip(file.resolved.stage_identities()).collect()
}

/// The command that was given, with `--resume` and without `--from`, which would begin again.
fn resume_command() -> String {
    let quoted = |word: String| {
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c));
        if plain && !word.is_empty() { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let mut words: Vec<String> = std::env::args().map(quoted).collect();
    words.retain(|word| !word.starts_with("--from="));
    if let Some(from) = words.iter().position(|word| word == "--from") {
        words.drain(from..(from + 2).min(words.len()));
    }
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
