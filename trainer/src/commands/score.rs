//! `grpo-train score` and `grpo-train reward-test`: rewards on completions that are already there.

use std::fmt::Write as _;
use std::io::IsTerminal;

use serde_json::Value;

use super::Failure;
use crate::cli::{RewardArgs, RewardTestArgs, ScoreArgs};
use crate::config::{
    AdvantageScale, Algorithm, GrpoStage, KlPlace, Rewards, RunFile, Stage, StageSettings, Supervision,
    rewards_from_arguments,
};
use crate::judges::{Judges, advantages_of};
use crate::run::atomic;
use crate::scoring::cases::{self, CaseFile, VerdictRow};
use crate::scoring::replay::{self, ReplayError};
use crate::scoring::{self, Judged};

/// Judges the cases of a file, or all completions of a run folder.
///
/// # Errors
/// If the rewards or the input cannot be used (exit code 2), or judging or writing fails (1).
pub fn score(args: &ScoreArgs) -> Result<(), Failure> {
    set_jobs(args.jobs);
    let (rewards, algorithm) = chosen(&args.rewards)?;
    let judges = Judges::new(&rewards).map_err(Failure::usage)?;
    judges.load_models(policy::Dtype::Float32, tch::Device::Cpu).map_err(Failure::usage)?;
    if let Some(output) = &args.output {
        // An output that cannot be written is found before the work.
        atomic::check_writable(output).map_err(Failure::usage)?;
        let whole = |path: &std::path::Path| path.canonicalize().ok();
        if whole(output).is_some_and(|output| whole(&args.input) == Some(output)) {
            return Err(Failure::usage(format!("{}: the output would replace the input", output.display())));
        }
    }
    if args.input.is_dir() {
        return score_run(args, &judges, &rewards, &algorithm);
    }
    let Some(output) = &args.output else {
        return Err(Failure::usage("--output is needed for a file of cases; give a file for the verdicts"));
    };
    let (file, judged) = judge_file(&args.input, &judges, &rewards, args.step)?;
    let rows = rows_of(&file, judged, &algorithm);
    let mut text = String::new();
    for row in &rows {
        let _ = writeln!(text, "{}", serde_json::to_string(row).expect("a row of numbers and texts"));
    }
    atomic::write_file(output, text.as_bytes())?;
    print!("{}{}", summary(&rewards, &file, &rows), not_in_advantages(&algorithm));
    Ok(())
}

/// What a run does with advantages and a judgement alone does not know, as a line; nothing if there is no such thing.
fn not_in_advantages(algorithm: &Algorithm) -> String {
    let divergence = match algorithm.kl_in {
        KlPlace::Reward if algorithm.needs_reference() => Some("kl_in = \"reward\""),
        KlPlace::Return if algorithm.needs_reference() => Some("kl_in = \"return\""),
        KlPlace::Reward | KlPlace::Return | KlPlace::Loss => None,
    };
    let process = (algorithm.supervision == Supervision::Process).then_some("supervision = \"process\"");
    let tokens = (algorithm.advantage_scale == AdvantageScale::Tokens).then_some("advantage_scale = \"tokens\"");
    let left_out: Vec<&str> = [process, divergence, tokens].into_iter().flatten().collect();
    if left_out.is_empty() {
        return String::new();
    }
    format!(
        "the advantages here are without {}: they are of whole completions, by their rewards alone, and not those of training\n",
        left_out.join(", ")
    )
}

fn score_run(args: &ScoreArgs, judges: &Judges, rewards: &Rewards, algorithm: &Algorithm) -> Result<(), Failure> {
    let show = std::io::stderr().is_terminal();
    let on_step = |stage: &str, step: u64| {
        if show {
            eprint!("\r{stage}: step {step}");
        }
    };
    let changes = replay::replay(&args.input, args.rewards.stage.as_deref(), judges, rewards, algorithm, on_step);
    if show {
        eprintln!();
    }
    let changes = changes.map_err(|error| match error {
        ReplayError::Judge(_) => Failure::run(error),
        _ => Failure::usage(error),
    })?;
    if let Some(output) = &args.output {
        let lines: Vec<String> =
            changes.rows.iter().map(|row| serde_json::to_string(row).expect("numbers and texts") + "\n").collect();
        atomic::write_file(output, lines.concat().as_bytes())?;
    }
    print!("{changes}{}", not_in_advantages(algorithm));
    Ok(())
}

/// Runs a user's table of expected scores.
///
/// # Errors
/// Exit code 1 if a case fails, 2 if the table or the rewards cannot be used.
pub fn reward_test(args: &RewardTestArgs) -> Result<(), Failure> {
    let (rewards, algorithm) = chosen(&args.rewards)?;
    let judges = Judges::new(&rewards).map_err(Failure::usage)?;
    judges.load_models(policy::Dtype::Float32, tch::Device::Cpu).map_err(Failure::usage)?;
    let (file, judged) = judge_file(&args.file, &judges, &rewards, 1)?;
    let names: Vec<&str> = rewards.0.iter().map(|reward| reward.name.as_str()).collect();
    for facts in &file.facts {
        check_expected(facts.expected.as_ref(), &names)
            .map_err(|reason| Failure::usage(format!("{}:{}: {reason}", args.file.display(), facts.line)))?;
    }
    let mut facts: Vec<_> = file.facts.iter().collect();
    facts.sort_by_key(|facts| facts.line);
    let facts: Vec<_> = facts.into_iter().cloned().collect();
    let rows = rows_of(&file, judged, &algorithm);
    let mut n_failed = 0;
    for (row, facts) in rows.iter().zip(&facts) {
        let faults = faults(row, facts.expected.as_ref().expect("looked at above"), args.tolerance);
        if !faults.is_empty() {
            n_failed += 1;
            println!("FAILED {}:{} {}", args.file.display(), facts.line, row.id);
            faults.iter().for_each(|fault| println!("    {fault}"));
        }
    }
    println!("{} passed, {n_failed} failed", rows.len() - n_failed);
    if n_failed == 0 { Ok(()) } else { Err(Failure::run(format!("{n_failed} of {} cases failed", rows.len()))) }
}

/// An expectation is a number or null, or an object of these by the names of rewards.
fn check_expected(expected: Option<&Value>, names: &[&str]) -> Result<(), String> {
    const WANTED: &str = "give the reward, null for not applicable, or scores by name, as {\"accuracy\": 1}";
    let is_score = |value: &Value| value.is_null() || value.is_number();
    match expected {
        None => Err(format!("no `expected`: {WANTED}")),
        Some(Value::Object(scores)) if !scores.is_empty() => scores.iter().try_for_each(|(name, score)| {
            if !names.contains(&name.as_str()) {
                return Err(format!("`expected` names `{name}`, and the rewards are {}", names.join(", ")));
            }
            if is_score(score) { Ok(()) } else { Err(format!("`expected` of `{name}` is {score}: {WANTED}")) }
        }),
        Some(value) if is_score(value) => Ok(()),
        Some(other) => Err(format!("`expected` is {other}: {WANTED}")),
    }
}

/// Where a verdict differs from what was expected of it.
fn faults(row: &VerdictRow, expected: &Value, tolerance: f64) -> Vec<String> {
    let differs = |expected: &Value, got: Option<f64>| match (expected.as_f64(), got) {
        (Some(expected), Some(got)) => (expected - got).abs() > tolerance,
        (expected, got) => expected.is_some() || got.is_some(),
    };
    let shown = |value: Option<f64>| value.map_or("null".to_owned(), |value| value.to_string());
    let reasons = || {
        let reason = |(name, part): (&String, &Value)| format!("{name} {}: {}", part["score"], part["reason"]);
        row.components.iter().map(reason).collect::<Vec<_>>().join("; ")
    };
    match expected {
        Value::Object(scores) => (scores.iter())
            .filter_map(|(name, expected)| match row.components.get(name) {
                Some(part) if differs(expected, part["score"].as_f64()) => {
                    let got = shown(part["score"].as_f64());
                    Some(format!("{name}: expected {expected}, got {got} ({}: {})", part["rule"], part["reason"]))
                }
                _ => None,
            })
            .collect(),
        expected if differs(expected, row.reward.map(f64::from)) => {
            vec![format!("expected {expected}, got {} ({})", shown(row.reward.map(f64::from)), reasons())]
        }
        _ => Vec::new(),
    }
}

/// The rewards that the arguments name, and how advantages are scaled.
fn chosen(args: &RewardArgs) -> Result<(Rewards, Algorithm), Failure> {
    let color = std::io::stderr().is_terminal();
    match &args.source.config {
        Some(config) => {
            let file = RunFile::load(config, &args.set).map_err(|error| Failure::Usage(error.render(color)))?;
            let stages: Vec<&GrpoStage> = (file.resolved.stages.iter())
                .filter_map(Stage::as_grpo)
                .filter(|stage| args.stage.as_deref().is_none_or(|name| name == stage.name()))
                .collect();
            match stages.as_slice() {
                [stage] => Ok((stage.rewards.clone(), stage.grpo.clone())),
                [] => Err(Failure::usage(format!("{}: no such stage with rewards", config.display()))),
                _ => {
                    Err(Failure::usage(format!("{}: several stages have rewards; say --stage NAME", config.display())))
                }
            }
        }
        None => {
            let rewards =
                rewards_from_arguments(&args.source.reward).map_err(|error| Failure::Usage(error.render(color)))?;
            Ok((rewards, Algorithm::default()))
        }
    }
}

fn judge_file(
    input: &std::path::Path,
    judges: &Judges,
    rewards: &Rewards,
    step: u64,
) -> Result<(CaseFile, Vec<Vec<Judged>>), Failure> {
    let file = cases::read(input, judges.rubric(), &scoring::Needs::of(rewards)).map_err(Failure::usage)?;
    let judged = scoring::judge(judges, rewards, &file.groups(), step);
    match judges.failure() {
        Some(failure) => Err(Failure::run(failure)),
        None => Ok((file, judged)),
    }
}

fn rows_of(file: &CaseFile, judged: Vec<Vec<Judged>>, algorithm: &Algorithm) -> Vec<VerdictRow> {
    let groups: Vec<Vec<&rewards::Judgement>> =
        judged.iter().map(|group| group.iter().map(|judged| &judged.judgement).collect()).collect();
    let advantages = advantages_of(&groups, None, algorithm);
    cases::verdict_rows(file, judged, &advantages)
}

/// What is printed when all is written: means, and how often each rule decided.
fn summary(rewards: &Rewards, file: &CaseFile, rows: &[VerdictRow]) -> String {
    let slowest = rows.iter().map(|row| row.micros).fold(0.0, f64::max);
    let mut text = format!("{} completions; the slowest verdict took {:.3} ms\n", rows.len(), slowest / 1e3);
    if file.n_unreadable > 0 && rewards.0.iter().any(|reward| reward.judge.kind() == "accuracy") {
        let _ = writeln!(
            text,
            "{} gold answers cannot be read as mathematics; on_unreadable_gold says what happens to them",
            file.n_unreadable
        );
    }
    for name in rewards.0.iter().map(|reward| &reward.name) {
        let scores: Vec<f64> = rows.iter().filter_map(|row| row.components[name]["score"].as_f64()).collect();
        let mean = match scores.len() {
            0 => "none".to_owned(),
            n => format!("{:.3}", scores.iter().sum::<f64>() / n as f64),
        };
        let mut rules = std::collections::BTreeMap::<&str, usize>::new();
        rows.iter()
            .filter_map(|row| row.components[name]["rule"].as_str())
            .for_each(|rule| *rules.entry(rule).or_default() += 1);
        let rules: Vec<String> = rules.iter().map(|(rule, n)| format!("{rule} {n}")).collect();
        let _ = writeln!(text, "{name:<24} mean {mean} over {}   {}", scores.len(), rules.join(", "));
    }
    text
}

fn set_jobs(jobs: usize) {
    if jobs > 0 {
        // A pool that exists keeps its size; here none has been needed yet.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(jobs).build_global();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_advantages_leave_out_is_said() {
        let check = |algorithm: Algorithm, expected: &str| {
            let line = not_in_advantages(&algorithm);
            let named = line.strip_prefix("the advantages here are without ").and_then(|rest| rest.split(':').next());
            assert_eq!(named.unwrap_or(""), expected);
        };
        check(Algorithm::default(), "");
        let in_return = Algorithm { kl_in: KlPlace::Return, ..Algorithm::default() };
        check(Algorithm { kl_beta: 0.0, ..in_return.clone() }, "");
        let all = Algorithm {
            supervision: Supervision::Process,
            advantage_scale: AdvantageScale::Tokens,
            ..in_return.clone()
        };
        check(in_return, "kl_in = \"return\"");
        check(all, "supervision = \"process\", kl_in = \"return\", advantage_scale = \"tokens\"");
        check(Algorithm { kl_in: KlPlace::Reward, ..Algorithm::default() }, "kl_in = \"reward\"");
    }
}
