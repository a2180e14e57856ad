//! `grpo-train ablate --config F`: every arm of an ablation with every seed, and the table.

use std::collections::BTreeSet;
use std::io::IsTerminal;

use super::inputs::{Starts, check_data};
use super::train::{stop_flag, warnings};
use super::{Ended, Failure};
use crate::ablation::{Board, Ending, Jobs, PlannedRun, Report, RunState, hold, planned};
use crate::cli::AblateArgs;
use crate::config::{AblationFile, Arm, ConfigError};
use crate::machine;
use crate::plan::Plan;
use crate::run::atomic::FileError;
use crate::telemetry::ProgressMode;
use crate::telemetry::format::duration;

/// Runs what is missing of an ablation and writes its table, or with `--check` only says what it would do.
///
/// # Errors
/// [`Failure::Usage`] before anything is written: the file, an arm, or what lies in the folder cannot be used.
/// [`Failure::Run`] if a run failed; the others are done nevertheless.
pub fn ablate(args: &AblateArgs) -> Result<Ended, Failure> {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let file = AblationFile::load(&args.config).map_err(|error| Failure::Usage(error.render(colour)))?;
    for arm in &file.arms {
        check(arm, colour)?;
    }
    let of_arm = |arm: &Arm| (arm.name.clone(), warnings(&arm.run));
    for warning in by_arm(&file.arms.iter().map(of_arm).collect::<Vec<_>>()) {
        eprintln!("warning: {warning}");
    }
    let mut runs = planned(&file).map_err(Failure::usage)?;
    if args.check {
        println!("{}", description(&file, &runs, args.jobs));
        return Ok(Ended::Done);
    }
    let _held = hold(&file).map_err(Failure::usage)?;
    // Once more, now that nobody else can change the answer.
    runs = planned(&file).map_err(Failure::usage)?;
    let mut board = Board::new(ProgressMode::detect(args.no_progress), &runs, args.jobs);
    let endings = run_all(&file, &runs, args.jobs, &mut board)?;
    let report = Report::read(&file, &runs, &endings).map_err(Failure::run)?;
    report.write()?;
    println!("{}", report.text());
    let n_failed = endings.iter().filter(|ending| matches!(ending, Ending::Failed(_))).count();
    if endings.contains(&Ending::Stopped) {
        eprintln!("stopped and saved; the same command goes on");
        return Ok(Ended::Stopped);
    }
    if n_failed > 0 {
        return Err(Failure::run(format!(
            "{n_failed} of {} runs failed; the same command tries them again",
            runs.len()
        )));
    }
    println!("\ntable and curves: {}", file.dir.display());
    Ok(Ended::Done)
}

/// Everything about an arm that would stop its runs before their first step.
fn check(arm: &Arm, colour: bool) -> Result<(), Failure> {
    let in_arm = |failure: Failure| Failure::usage(format!("arm `{}`: {failure}", arm.name));
    let refused = |error: ConfigError| Failure::Usage(format!("{}\nin arm `{}`", error.render(colour), arm.name));
    let starts = Starts::read(&arm.run).map_err(in_arm)?;
    let prompt_tokens = starts.example_tokens().map_err(in_arm)?;
    Plan::new(&arm.run, starts.base_shape(), prompt_tokens).map_err(refused)?;
    check_data(&arm.run, &starts).map_err(in_arm)?;
    machine::device(arm.run.resolved.run.device).map_err(|error| in_arm(Failure::usage(error)))?;
    Ok(())
}

/// The warnings of arms (name, warnings) with the arm's name; what all of them have is said once, without one.
fn by_arm(arms: &[(String, Vec<String>)]) -> Vec<String> {
    let (mut lines, mut said) = (Vec::new(), BTreeSet::new());
    for warning in arms.iter().flat_map(|(_, warnings)| warnings) {
        if !said.insert(warning) {
            continue;
        }
        let with: Vec<&str> =
            arms.iter().filter(|(_, all)| all.contains(warning)).map(|(name, _)| name.as_str()).collect();
        if with.len() == arms.len() {
            lines.push(warning.clone());
        } else {
            lines.extend(with.iter().map(|name| format!("arm {name}: {warning}")));
        }
    }
    lines
}

fn run_all(file: &AblationFile, runs: &[PlannedRun], n_jobs: usize, board: &mut Board) -> Result<Vec<Ending>, Failure> {
    let stop = stop_flag();
    let program = std::env::current_exe().map_err(|error| Failure::run(format!("this program: {error}")))?;
    let mut so_far: Vec<Ending> = runs.iter().map(|_| Ending::Stopped).collect();
    let on_end = |run_idx: usize, ending: &Ending, board: &mut Board| -> Result<(), FileError> {
        so_far[run_idx] = ending.clone();
        if *ending == Ending::Done {
            board.took(run_idx, runs[run_idx].summary().map_or(0.0, |summary| summary.wall_seconds));
        }
        match Report::read(file, runs, &so_far) {
            Ok(report) => report.write(),
            // It is tried again at the end, where it counts.
            Err(error) => {
                board.say(&format!("warning: the table is not up to date: {error}"));
                Ok(())
            }
        }
    };
    Ok(Jobs { program: &program, n_jobs, stop: &stop, board }.run(runs, on_end)?)
}

/// `--check`: the arms, what they change, and what is left to do.
fn description(file: &AblationFile, runs: &[PlannedRun], n_jobs: usize) -> String {
    let mut text = format!("{}: {} arms, seeds {:?}\n", file.path.display(), file.arms.len(), file.seeds);
    for (arm_idx, arm) in file.arms.iter().enumerate() {
        let changes = if arm.changes.is_empty() { "the run file as it is".to_owned() } else { arm.changes.join(", ") };
        text += &format!("  {}: {changes}\n", arm.name);
        for run in runs.iter().filter(|run| run.arm == arm_idx) {
            let state = match run.state {
                RunState::Missing => "missing",
                RunState::Begun => "begun",
                RunState::Done => "done",
            };
            text += &format!("    seed {}: {state} ({} steps)\n", run.seed, run.n_steps());
        }
    }
    let n_left = runs.iter().filter(|run| run.state != RunState::Done).count();
    let left = Board::new(ProgressMode::Lines, runs, n_jobs).seconds_left(n_left);
    let left =
        left.map_or("unknown until the first run is done".to_owned(), |left| format!("about {}", duration(left)));
    text += &format!("metrics: {}\nfolder: {}\n", file.metrics.join(", "), file.dir.display());
    text + &format!("{n_left} of {} runs to do, {n_jobs} at once; time: {left}", runs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_arms_have_is_said_once() {
        let arm = |name: &str, warnings: &[&str]| {
            (name.to_owned(), warnings.iter().map(|&warning| warning.to_owned()).collect::<Vec<_>>())
        };
        let check = |arms: &[(String, Vec<String>)], expected: &[&str]| assert_eq!(by_arm(arms), expected);
        check(&[arm("a", &[]), arm("b", &[])], &[]);
        check(&[arm("a", &["x"]), arm("b", &["y", "x"])], &["x", "arm b: y"]);
        check(&[arm("a", &[]), arm("b", &["x"]), arm("c", &["x"])], &["arm b: x", "arm c: x"]);
    }
}
