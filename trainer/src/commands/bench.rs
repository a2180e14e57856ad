//! `grpo-train bench`: what the machine can do, and how much of it each phase of a step gets.

use std::path::Path;

use super::Failure;
use crate::bench::machine::Limits;
use crate::bench::report::dtype_name;
use crate::bench::{Effort, Report, Shape, StepSize, Subject, measure, share_of_others};
use crate::cli::BenchArgs;
use crate::config::{Algorithm, Device, Dtype, GrpoStage, Rollout, RunFile, Stage};
use crate::machine;
use crate::run::{Machine, atomic, info};

/// The step of a benchmark where neither the command line nor a run file says otherwise.
const DEFAULT_PROMPTS: u64 = 16;
const DEFAULT_GROUP: u64 = 8;
const DEFAULT_PROMPT_TOKENS: u64 = 32;
const DEFAULT_COMPLETION_TOKENS: u64 = 64;

/// Measures the machine once, then the phases of a step, prints a table and writes JSON where that is asked for.
///
/// # Errors
/// If the run file, the model or the device cannot be used, or a phase fails.
pub fn bench(args: &BenchArgs) -> Result<(), Failure> {
    if let Some(path) = &args.json {
        atomic::check_writable(path).map_err(Failure::usage)?;
    }
    let earlier = args.limits.as_deref().map(read_limits).transpose().map_err(Failure::usage)?;
    let file = args.config.as_deref().map(|path| RunFile::load(path, &args.set)).transpose();
    let file = file.map_err(|error| Failure::Usage(error.render(false)))?;
    let run = file.as_ref().map(|file| &file.resolved.run);
    let device = machine::device(args.device.or(run.map(|run| run.device)).unwrap_or(Device::Auto));
    let device = device.map_err(Failure::usage)?;
    let threads = machine::set_threads(args.threads.or(run.map(|run| run.threads)).unwrap_or(0));
    let dtype = machine::dtype(args.dtype.or(run.map(|run| run.dtype)).unwrap_or(Dtype::Float32));
    let step = step_size(args, file.as_ref().and_then(stage));
    let mut subject = match &file {
        Some(file) => {
            let model = file.resolved.model.as_ref().ok_or_else(|| {
                Failure::usage("the run file makes its model and has none to measure: name a shape with --shape")
            })?;
            Subject::load(&model.path, step, dtype, device)
        }
        None => Subject::random(args.shape.unwrap_or(Shape::Small), step, dtype, device),
    }
    .map_err(Failure::usage)?;
    let others = share_of_others();
    let limits = earlier.unwrap_or_else(|| Limits::measure(device, threads));
    let effort = Effort { repetitions: args.repetitions, seconds: args.seconds };
    let mut report = Report {
        program: format!("grpo-train {} ({})", info::VERSION, info::COMMIT),
        processor: Machine::this().cpu,
        device: machine::device_name(device),
        threads,
        model: subject.name.clone(),
        n_parameters: subject.policy.config().n_parameters(),
        dtype: dtype_name(dtype),
        step,
        limits: limits.clone(),
        phases: Vec::new(),
        others_fraction: None,
    };
    let mut write_error = None;
    let on_phase = |phase| {
        report.phases.push(phase);
        // Written again after each phase: if a later one runs out of memory or of time, the earlier ones are there.
        write_error = write_json(&report, args.json.as_deref()).err();
    };
    let result = measure(&mut subject, &args.phases, &args.rows, &limits, effort, on_phase);
    write_error.map_or(Ok(()), Err)?;
    report.others_fraction = others();
    print!("{}", report.table());
    write_json(&report, args.json.as_deref())?;
    result.map_err(Failure::run)
}

fn write_json(report: &Report, path: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(report).map_err(Failure::run)? + "\n";
    Ok(atomic::write_file(path, text.as_bytes())?)
}

/// The limits in an earlier report.
fn read_limits(path: &Path) -> Result<Limits, String> {
    #[derive(serde::Deserialize)]
    struct Earlier {
        limits: Limits,
    }
    let read = || -> Result<Earlier, Box<dyn std::error::Error>> {
        Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
    };
    Ok(read().map_err(|error| format!("{}: {error}; --limits takes what --json wrote", path.display()))?.limits)
}

/// The first stage that samples.
fn stage(file: &RunFile) -> Option<&GrpoStage> {
    file.resolved.stages.iter().find_map(Stage::as_grpo)
}

/// What the command line says, else the run file, else the default.
fn step_size(args: &BenchArgs, stage: Option<&GrpoStage>) -> StepSize {
    let rollout = stage.map(|stage| &stage.rollout);
    let of_rollout = |value: fn(&Rollout) -> u64, default| rollout.map_or(default, value);
    let algorithm = stage.map_or_else(Algorithm::default, |stage| stage.grpo.clone());
    let prompts = args.prompts.unwrap_or_else(|| of_rollout(|r| r.prompts_per_step, DEFAULT_PROMPTS));
    let group_size = args.group_size.unwrap_or_else(|| of_rollout(|r| r.group_size, DEFAULT_GROUP));
    let completion_tokens = args.tokens.unwrap_or_else(|| of_rollout(Rollout::most_tokens, DEFAULT_COMPLETION_TOKENS));
    let max_batch = args.max_batch.unwrap_or_else(|| of_rollout(|r| r.max_batch, prompts.saturating_mul(group_size)));
    StepSize {
        prompts: prompts as usize,
        group_size: group_size as usize,
        prompt_tokens: args.prompt_tokens.unwrap_or(DEFAULT_PROMPT_TOKENS) as usize,
        completion_tokens: completion_tokens as usize,
        max_batch: max_batch as usize,
        micro_batch_tokens: args.micro_batch_tokens.unwrap_or(algorithm.micro_batch_tokens) as usize,
        logits_chunk_tokens: args.logits_chunk_tokens.unwrap_or(algorithm.logits_chunk_tokens) as usize,
        checkpointing: args.checkpointing.unwrap_or(algorithm.checkpointing).into(),
    }
}
