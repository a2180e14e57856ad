//! What an ablation leaves behind, written again after each run that ends: `table.md`, `table.csv`, `curves.svg`.

use std::collections::BTreeSet;

use super::comparable;
use super::comparison::{Comparison, Figure};
use super::jobs::Ending;
use super::results::RunResult;
use super::runs::PlannedRun;
use super::table;
use crate::config::{AblationFile, Stage};
use crate::run::LineError;
use crate::run::atomic::{self, FileError};
use crate::telemetry::curves::{Bands, Curve};
use crate::telemetry::format::{duration, thousands};

/// The results of the runs that have ended.
pub struct Report<'a> {
    file: &'a AblationFile,
    results: Vec<RunResult>,
    comparisons: Vec<Comparison>,
    /// Label and reason.
    failed: Vec<(String, String)>,
}

impl<'a> Report<'a> {
    /// Reads what has ended of `runs`; `endings` are of this start, as far as there are any.
    ///
    /// # Errors
    /// If a log cannot be read.
    pub fn read(file: &'a AblationFile, runs: &[PlannedRun], endings: &[Ending]) -> Result<Report<'a>, LineError> {
        let mut results = Vec::new();
        for run in runs {
            results.extend(RunResult::read(run)?);
        }
        let compare = |metric: &String| Comparison::of(metric, file.arms.len(), &results);
        let comparisons = file.metrics.iter().map(compare).collect();
        let failed = runs.iter().zip(endings).filter_map(|(run, ending)| match ending {
            Ending::Failed(reason) => Some((run.label.clone(), reason.clone())),
            Ending::Done | Ending::Stopped => None,
        });
        Ok(Report { file, comparisons, failed: failed.collect(), results })
    }

    /// Writes `table.md`, `table.csv` and `curves.svg` into the folder of the ablation.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn write(&self) -> Result<(), FileError> {
        let dir = &self.file.dir;
        atomic::write_file(&dir.join("table.csv"), self.csv().as_bytes())?;
        atomic::write_file(&dir.join("curves.svg"), self.bands().svg().as_bytes())?;
        atomic::write_file(&dir.join("table.md"), self.markdown().as_bytes())
    }

    fn names(&self) -> Vec<&str> {
        self.file.arms.iter().map(|arm| arm.name.as_str()).collect()
    }

    /// The tables for a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for comparison in self.comparisons.iter().filter(|comparison| comparison.has_data()) {
            text += &format!("{}\n{}\n", comparison.metric, table::text(&table::cells(comparison, &self.names())));
        }
        text += &table::text(&self.runs());
        for note in self.notes() {
            text += &format!("\n{note}");
        }
        text
    }

    fn markdown(&self) -> String {
        let title = self.file.path.file_stem().map_or("ablation".into(), |stem| stem.to_string_lossy());
        let mut text = format!("# {title}\n\n");
        for comparison in self.comparisons.iter().filter(|comparison| comparison.has_data()) {
            text +=
                &format!("## {}\n\n{}\n", comparison.metric, table::markdown(&table::cells(comparison, &self.names())));
        }
        text += &format!("## Runs\n\n{}\n", table::markdown(&self.runs()));
        for arm in &self.file.arms {
            let changes: Vec<String> = arm.changes.iter().map(|change| format!("`{change}`")).collect();
            let changes = if changes.is_empty() { "the run file as it is".to_owned() } else { changes.join(", ") };
            text += &format!("- {}: {changes}\n", arm.name);
        }
        text += "\n![Curves with 95 % bands](curves.svg)\n\n";
        for note in self.notes() {
            text += &format!("{note}\n");
        }
        text
    }

    fn csv(&self) -> String {
        let mut text = table::CSV_HEAD.to_owned();
        for comparison in &self.comparisons {
            text += &table::csv(comparison, &self.names());
        }
        for (arm_idx, name) in self.names().iter().enumerate() {
            text += &table::csv_row("wall_seconds", "run", name, &self.of_run(arm_idx, |run| run.wall_seconds));
            text += &table::csv_row("num_tokens", "run", name, &self.of_run(arm_idx, |run| run.num_tokens as f64));
        }
        text
    }

    /// A figure of whole runs of one arm.
    fn of_run(&self, arm: usize, value: impl Fn(&RunResult) -> f64) -> Figure {
        let of_arm = self.results.iter().filter(|result| result.arm == arm);
        Figure::of(of_arm.map(|result| (result.seed, value(result))).collect(), None)
    }

    /// How far each arm has come, and what a run of it costs.
    fn runs(&self) -> Vec<Vec<String>> {
        let mut rows = vec![["arm", "runs", "wall time of a run", "tokens of a run"].map(str::to_owned).to_vec()];
        for (arm_idx, name) in self.names().iter().enumerate() {
            let seconds = self.of_run(arm_idx, |run| run.wall_seconds).estimate;
            let tokens = self.of_run(arm_idx, |run| run.num_tokens as f64).estimate;
            let or_nothing = |text: String| if seconds.n == 0 { "–".to_owned() } else { text };
            rows.push(vec![
                (*name).to_owned(),
                format!("{} of {} seeds", seconds.n, self.file.seeds.len()),
                or_nothing(duration(seconds.mean)),
                or_nothing(thousands(tokens.mean.round() as u64)),
            ]);
        }
        rows
    }

    /// What has to be known to read the tables.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (label, reason) in &self.failed {
            notes.push(format!("- {label} failed: {reason}"));
        }
        let (n_seeds, first) = (self.file.seeds.len(), &self.file.arms[0].name);
        notes.push(match n_seeds {
            1 => "- One seed: there are no intervals, and no arm can be told from another. Add seeds.".to_owned(),
            _ => format!(
                "- ± and [from, to]: 95 % intervals over seeds (Student's t); differences are paired by seed, against \
                 {first}. \"Not with N seeds\" is no proof of equality; \"about M\" seeds would show a difference as large \
                 as this one four times in five."
            ),
        });
        let n_tests = 2 * self.comparisons.len() * (self.file.arms.len() - 1);
        if n_seeds > 1 && n_tests > 1 {
            notes.push(format!(
                "- {n_tests} differences are looked at, each at 5 %; no correction is made for their number."
            ));
        }
        let arms: Vec<&[Stage]> = self.file.arms.iter().map(|arm| arm.run.resolved.stages.as_slice()).collect();
        let shown = self.comparisons.iter().filter(|comparison| comparison.has_data());
        notes.extend(comparable::notes(&arms, &shown.map(|comparison| comparison.metric.as_str()).collect::<Vec<_>>()));
        let missing: Vec<&str> = self.comparisons.iter().filter(|c| !c.has_data()).map(|c| c.metric.as_str()).collect();
        if !missing.is_empty() && !self.results.is_empty() {
            let known: BTreeSet<&str> = self.results.iter().flat_map(RunResult::names).collect();
            let known: Vec<&str> = known.into_iter().collect();
            notes.push(format!("- No run has {}. The steps have: {}.", missing.join(", "), known.join(", ")));
        }
        notes
    }

    /// The picture: for each metric the mean over seeds of each arm, with its interval.
    fn bands(&self) -> Bands {
        let title = self.file.path.file_stem().map_or("ablation".into(), |stem| stem.to_string_lossy());
        let mut bands = Bands::new(&title, &self.names());
        for comparison in self.comparisons.iter().filter(|comparison| comparison.has_data()) {
            let metric = &comparison.metric;
            let of_arm = |arm: usize| -> Curve {
                let curves = self.results.iter().filter(|result| result.arm == arm).map(|result| result.curve(metric));
                Comparison::band(&curves.collect::<Vec<_>>())
            };
            bands.add(metric, (0..self.file.arms.len()).map(of_arm).collect());
        }
        bands
    }
}
