//! `grpo-train --config F`: reads the run file, checks all it names, opens the run folder, and runs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use policy::{Family, ModelConfig};
use rollout::{Template, Tokenizer};

use super::Failure;
use crate::cli::RunArgs;
use crate::config::{self, RunFile, Stage};
use crate::plan::{ModelShape, Plan};
use crate::run::{OpenMode, RunDirectory, RunFacts};
use crate::stages::{self, Outcome, RunContext, StageError};
use crate::telemetry::{Progress, ProgressMode};
use crate::{machine, rubric};

/// Prompt length assumed where the tokenizer does not exist yet, for the estimate of memory.
const UNKNOWN_PROMPT_TOKENS: u64 = 64;

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
    let (shape, prompt_tokens) = inspect_model(&file)?;
    let plan = Plan::new(&file, shape, prompt_tokens).map_err(refused)?;
    check_data(&file)?;
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
    let directory = RunDirectory::open(&file.resolved.run.dir, mode, &facts)?;
    if directory.is_finished() {
        println!("{}: this run is finished; its report is in report.md", directory.path().display());
        return Ok(Ended::Done);
    }
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
    match outcome.map_err(failure)? {
        Outcome::Finished => Ok(Ended::Done),
        Outcome::Stopped => {
            eprintln!("stopped and saved; go on with: grpo-train --config {} --resume", path.display());
            Ok(Ended::Stopped)
        }
    }
}

/// What a stage could not be begun with is the user's to mend; the rest happened on the way.
fn failure(error: StageError) -> Failure {
    match error {
        StageError::Model(_) | StageError::Rollout(_) | StageError::Questions(_) | StageError::Problems(_) => {
            Failure::usage(error)
        }
        error => Failure::run(error),
    }
}

/// Reads config.json and the tokenizer of the first model, but no weight.
fn inspect_model(file: &RunFile) -> Result<(Option<ModelShape>, u64), Failure> {
    let Some(model) = &file.resolved.model else { return Ok((None, UNKNOWN_PROMPT_TOKENS)) };
    let config = ModelConfig::load(&model.path).map_err(Failure::usage)?;
    let tokenizer = Tokenizer::load(&model.path, config.vocab_size).map_err(Failure::usage)?;
    let example = Template::R1Zero.render("Using the numbers [1, 2, 3], create an equation that equals 6");
    let prompt_tokens = tokenizer.encode(&example).map_err(Failure::usage)?.len() as u64;
    Ok((Some(shape(&config)), prompt_tokens))
}

fn shape(config: &ModelConfig) -> ModelShape {
    let count = |value: i64| value.unsigned_abs();
    ModelShape {
        hidden_size: count(config.hidden_size),
        n_layers: count(config.n_layers),
        n_heads: count(config.n_heads),
        n_kv_heads: count(config.n_kv_heads),
        head_dim: count(config.head_dim),
        intermediate_size: count(config.intermediate_size),
        vocab_size: count(config.vocab_size),
        max_position_embeddings: count(config.max_position_embeddings),
        tie_word_embeddings: config.tie_word_embeddings,
        qkv_bias: config.family == Family::Qwen2,
        qk_norm: config.family == Family::Qwen3,
    }
}

/// Opens every file of problems once, so that a bad row is found before any weight is read.
fn check_data(file: &RunFile) -> Result<(), Failure> {
    for (stage_idx, stage) in file.resolved.stages.iter().enumerate() {
        let seed = file.resolved.run.seed;
        match stage {
            Stage::Grpo(stage) => {
                let rubric = rubric::build(&stage.rewards).map_err(Failure::usage)?;
                let questions = crate::data::Questions::open(&stage.problems, &rubric, seed, stage_idx);
                questions.and_then(|questions| questions.questions(0, 1)).map_err(Failure::usage)?;
                if let Some(eval) = &stage.eval {
                    let rubric = rubric::for_evaluation().map_err(Failure::usage)?;
                    crate::data::problem_file::read(&eval.problems, &rubric).map_err(Failure::usage)?;
                }
            }
            Stage::Pretrain(stage) => {
                crate::data::text::Text::open(&stage.corpus, seed).map_err(Failure::usage)?;
            }
        }
    }
    Ok(())
}

/// Ctrl-C (and SIGTERM) once: finish the step, save, stop. Twice: now.
fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The first of the two acts on a flag that is already set, so it has to be registered first.
        let twice = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop));
        let once = signal_hook::flag::register(signal, Arc::clone(&stop));
        if let Err(error) = twice.and(once) {
            eprintln!("warning: signal {signal} cannot be caught ({error}): it will end the run without saving");
        }
    }
    stop
}
