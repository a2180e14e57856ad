//! The end of a run: the last model, the table before and after, the curves.

use super::ledger::Ledger;
use super::{Model, RunContext, StageError};
use crate::config::{Stage, StageKind};
use crate::doctor::DoctorRow;
use crate::run::{FileError, StagedFolder, lines};
use crate::telemetry::curves::Curves;
use crate::telemetry::report::StageSummary;
use crate::telemetry::{EvalRow, MetricsRow, Summary, TimeTable};

/// Writes `final/`, `curves.svg`, `report.md` and, last, `summary.json`, and shows the table.
///
/// - `model`: the last policy, if the run makes one
///
/// # Errors
/// If a file cannot be read or written.
pub fn finish(context: &RunContext, ledger: &Ledger, model: Option<&Model>) -> Result<(), StageError> {
    let directory = context.directory;
    if let Some(model) = model {
        let staged = StagedFolder::create(&directory.final_model())?;
        model.save(staged.path())?;
        staged.commit()?;
    }

    let metrics: Vec<MetricsRow> = lines::read(&directory.metrics())?;
    let evals: Vec<EvalRow> = lines::read(&directory.evals())?;
    let title = directory.path().file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy().into_owned());
    Curves { title: &title, metrics: &metrics, evals: &evals }.write(&directory.curves())?;

    let stages = context.settings.stages.iter().enumerate();
    let steps = |stage_idx| ledger.done(stage_idx).map_or(0, |mark| mark.steps);
    let stages = stages.map(|(idx, stage)| stage_summary(stage.name(), steps(idx), &evals)).collect();
    let seed = context.settings.run.seed;
    let doctor: Vec<DoctorRow> = lines::read(&directory.doctor())?;
    let summary = Summary::new(directory.info(), seed, context.wall_seconds(), context.num_tokens, stages);
    let summary = Summary { doctor, tables: tables(context)?, ..summary };
    summary.write(directory.path(), &title, &TimeTable::of(&metrics))?;
    context.progress.finish()?;
    if let Some(table) = summary.table() {
        context.progress.say(&table);
    }
    context.progress.say(&format!("done: {}", directory.path().display()));
    Ok(())
}

/// Pictures of a stage of kind `eval`, and what they show. Which of them there are depends on what was asked.
const PICTURES: [(&str, &str); 2] =
    [("table.svg", "The models side by side"), ("budget.svg", "Accuracy against thinking tokens")];

/// What stages of kind `eval` have found.
fn tables(context: &RunContext) -> Result<Vec<(String, String)>, StageError> {
    let stages = context.settings.stages.iter().filter(|stage| stage.kind() == StageKind::Eval);
    let of_stage = |stage: &Stage| {
        let folder = context.directory.stage(stage.name());
        let path = folder.join("table.md");
        let mut text = std::fs::read_to_string(&path).map_err(FileError::at(&path, "read the file"))?;
        for (file, says) in PICTURES {
            if folder.join(file).exists() {
                text += &format!("\n![{says}](stages/{}/{file})\n", stage.name());
            }
        }
        Ok((format!("Evaluation: {}", stage.name()), text))
    };
    stages.map(of_stage).collect()
}

/// The first and the last evaluation of a stage.
fn stage_summary(name: &str, steps: u64, evals: &[EvalRow]) -> StageSummary {
    let of_stage = || evals.iter().filter(|row| row.stage == name);
    let before = of_stage().find(|row| row.step == 0).map(|row| row.result.clone());
    let after = of_stage().rfind(|row| row.step == steps).map(|row| row.result.clone());
    StageSummary { name: name.to_owned(), steps, before, after }
}
