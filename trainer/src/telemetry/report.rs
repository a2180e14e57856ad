//! The end of a run: the table before/after, `summary.json`, `report.md`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::format::{duration, thousands};
use super::statistics::mean;
use super::table;
use super::time_table::TimeTable;
use crate::doctor::DoctorRow;
use crate::evaluation::{Estimate, Range};
use crate::run::atomic::{self, FileError};
use crate::run::{Machine, RunInfo};

/// What an evaluation found for one sampled answer to one problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvalSample {
    /// The answer is right.
    pub correct: bool,
    /// The completion has the asked format.
    pub formatted: bool,
    /// Length of the completion in tokens.
    pub n_tokens: usize,
}

/// An evaluation on held-out problems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalSummary {
    /// Mean over problems of the fraction of right samples (Chen et al. 2021, pass@k with k = 1).
    pub pass_at_1: f64,
    /// Its 95 % interval, see [`EvalSummary::new`].
    pub pass_at_1_ci95: [f64; 2],
    /// Fraction of completions in the asked format.
    pub format: f64,
    /// Mean tokens of a completion.
    pub mean_tokens: f64,
    /// Number of problems.
    pub n_problems: usize,
    /// Samples drawn for each.
    pub samples_per_problem: usize,
}

impl EvalSummary {
    /// Summarises samples, those of one problem after those of another.
    ///
    /// - `samples`: `[n_problems * samples_per_problem]`
    ///
    /// The interval is that of [`Estimate::of`], over problems.
    ///
    /// # Panics
    /// If there are no samples or no whole number of problems.
    pub fn new(samples: &[EvalSample], samples_per_problem: usize) -> EvalSummary {
        assert!(!samples.is_empty(), "an evaluation has problems");
        assert!(samples.len().is_multiple_of(samples_per_problem), "{samples_per_problem} samples a problem");
        let share = |of: fn(&EvalSample) -> bool| mean(&samples.iter().map(|s| f64::from(of(s))).collect::<Vec<_>>());
        let problem_means: Vec<f64> = samples
            .chunks(samples_per_problem)
            .map(|problem| problem.iter().filter(|s| s.correct).count() as f64 / samples_per_problem as f64)
            .collect();
        let estimate = Estimate::of(&problem_means, Range::Fraction).expect("there are problems");
        EvalSummary {
            pass_at_1: estimate.mean,
            pass_at_1_ci95: estimate.interval.expect("fractions have an interval"),
            format: share(|sample| sample.formatted),
            mean_tokens: mean(&samples.iter().map(|s| s.n_tokens as f64).collect::<Vec<_>>()),
            n_problems: problem_means.len(),
            samples_per_problem,
        }
    }
}

/// One line of `eval.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalRow {
    /// The stage's name.
    pub stage: String,
    /// Steps done when the evaluation ran; 0 is before the first.
    pub step: u64,
    /// What it found.
    #[serde(flatten)]
    pub result: EvalSummary,
    /// How long it took.
    pub seconds: f64,
}

/// One stage in `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageSummary {
    /// The stage's name.
    pub name: String,
    /// Steps done.
    pub steps: u64,
    /// Evaluation before the first step, if the stage evaluates.
    pub before: Option<EvalSummary>,
    /// Evaluation after the last step.
    pub after: Option<EvalSummary>,
}

/// `summary.json`: the run in figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The first evaluation of the run, if there is one.
    pub before: Option<EvalSummary>,
    /// The last one.
    pub after: Option<EvalSummary>,
    /// Time spent in the run, all starts together.
    pub wall_seconds: f64,
    /// Prompt and completion tokens of the run.
    pub num_tokens: u64,
    /// The run's seed.
    pub seed: u64,
    /// The stages in order.
    pub stages: Vec<StageSummary>,
    /// Commit of the program.
    pub commit: String,
    /// Version of the program.
    pub version: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// Device the run computed on.
    pub device: String,
    /// Threads used.
    pub threads: usize,
    /// The computer.
    pub machine: Machine,
    /// The command line of the first start.
    pub command: Vec<String>,
    /// Time of the first start, UTC.
    pub started_at: String,
    /// Number of later starts.
    pub n_resumes: usize,
    /// What the doctor said of the run, in the order in which it was said.
    #[serde(default)]
    pub doctor: Vec<DoctorRow>,
    /// Tables of stages for the report, in Markdown: heading and text.
    #[serde(skip)]
    pub tables: Vec<(String, String)>,
}

impl Summary {
    /// The summary of a run's stages.
    pub fn new(info: &RunInfo, seed: u64, wall_seconds: f64, num_tokens: u64, stages: Vec<StageSummary>) -> Summary {
        Summary {
            before: stages.iter().find_map(|stage| stage.before.clone()),
            after: stages.iter().rev().find_map(|stage| stage.after.clone()),
            wall_seconds,
            num_tokens,
            seed,
            stages,
            commit: info.commit.clone(),
            version: info.version.clone(),
            libtorch: info.libtorch.clone(),
            device: info.device.clone(),
            threads: info.threads,
            machine: info.machine.clone(),
            command: info.command.clone(),
            started_at: info.started_at.clone(),
            n_resumes: info.resumed.len(),
            doctor: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// The closing table for a terminal; `None` without both evaluations.
    pub fn table(&self) -> Option<String> {
        let rows = self.rows()?;
        Some(table::text(&rows))
    }

    /// Head and body of the table; the first column names the figure.
    fn rows(&self) -> Option<Vec<[String; 3]>> {
        let (before, after) = (self.before.as_ref()?, self.after.as_ref()?);
        let row = |name: &str, show: fn(&EvalSummary) -> String| [name.to_owned(), show(before), show(after)];
        Some(vec![
            [held_out(before), "before".to_owned(), "after".to_owned()],
            row("pass@1", |eval| format!("{:.3}", eval.pass_at_1)),
            row("  95 % interval", |eval| format!("{:.3}–{:.3}", eval.pass_at_1_ci95[0], eval.pass_at_1_ci95[1])),
            row("format", |eval| format!("{:.3}", eval.format)),
            row("mean completion tokens", |eval| format!("{:.1}", eval.mean_tokens)),
        ])
    }

    /// `report.md`: table, picture, what is needed to do it again, what the doctor said, and where the time went.
    pub fn markdown(&self, title: &str, times: &[TimeTable]) -> String {
        let mut text = format!("# {title}\n\n");
        if let Some(rows) = self.rows() {
            text += &table::markdown(&rows);
            text += "\n";
        }
        for (heading, table) in &self.tables {
            text += &format!("## {heading}\n\n{table}\n");
        }
        text += "![Training curves](curves.svg)\n\n";
        let steps: Vec<String> = self.stages.iter().map(|s| format!("{} ({} steps)", s.name, s.steps)).collect();
        let facts = [
            ("Command", format!("`{}`", self.command.join(" "))),
            ("Stages", steps.join(", ")),
            ("Wall time", duration(self.wall_seconds)),
            ("Tokens", thousands(self.num_tokens)),
            ("Seed", self.seed.to_string()),
            ("Machine", format!("{}; device {}, {} threads", self.machine, self.device, self.threads)),
            ("Program", format!("grpo-train {} ({}), libtorch {}", self.version, self.commit, self.libtorch)),
            ("Started", resumed(&self.started_at, self.n_resumes)),
        ];
        for (name, value) in facts {
            text += &format!("- {name}: {value}\n");
        }
        if !self.doctor.is_empty() {
            text += "\n## The doctor said\n\n";
        }
        for row in &self.doctor {
            text += &format!("- {}\n", row.head());
            row.diagnosis.advice.iter().for_each(|advice| text += &format!("  - try: {advice}\n"));
        }
        for table in times {
            text += &format!("\n{}", table.markdown());
        }
        text
    }

    /// Writes `report.md` and then `summary.json`, whose presence says that the run has ended.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn write(&self, run: &Path, title: &str, times: &[TimeTable]) -> Result<(), FileError> {
        atomic::write_file(&run.join("report.md"), self.markdown(title, times).as_bytes())?;
        let text = serde_json::to_string_pretty(self).expect("strings and numbers serialise");
        atomic::write_file(&run.join("summary.json"), (text + "\n").as_bytes())
    }
}

fn held_out(eval: &EvalSummary) -> String {
    let problems = thousands(eval.n_problems as u64);
    match eval.samples_per_problem {
        1 => format!("{problems} held-out problems"),
        k => format!("{problems} held-out problems, {k} samples each"),
    }
}

fn resumed(started_at: &str, n_resumes: usize) -> String {
    match n_resumes {
        0 => started_at.to_owned(),
        1 => format!("{started_at}, resumed once"),
        n => format!("{started_at}, resumed {n} times"),
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
