//! A stage of kind `eval`: every model on every set, batch by batch, and the table of it.

mod course;
mod set;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rewards::Problem;

use crate::config::{Artifact, EvalStage, Init, InputMut, StageSettings};
use crate::evaluation::{Results, SetResult};
use crate::run::manifest::model_digest;
use crate::run::{FileError, atomic};
use crate::telemetry::curves::{BudgetCurves, ModelCurves};

use super::{RunContext, StageError};
use course::Course;
use set::OpenSet;

/// The file of a stage that has its results; its presence says that all of it is there.
pub const RESULTS: &str = "results.json";

/// Runs the stage to its end; false if the user asked to stop before. What is done of it lies in its folder, batch by batch, and
/// is not done again while it holds: models, sets and ways of asking can be added.
///
/// - `settings`: with every input a path; `named`: as the run file has it
///
/// # Errors
/// The first failure; what was done before it is kept.
pub fn run(
    context: &mut RunContext,
    settings: &EvalStage,
    named: &EvalStage,
    stage_idx: usize,
) -> Result<bool, StageError> {
    let sets: Vec<OpenSet> = settings.sets.iter().map(OpenSet::open).collect::<Result<_, _>>()?;
    sets.iter().try_for_each(|set| context.prepare(&set.judges))?;
    let names = model_names(&named.models);
    let digests = digests(settings)?;
    let mut results = Vec::new();
    for (model_idx, name) in names.iter().enumerate() {
        let mut course = Course::new(context, settings, &digests, (stage_idx, model_idx), name);
        for (set_idx, set) in sets.iter().enumerate() {
            let Some((asked, budget)) = course.ask(set_idx, set)? else { return Ok(false) };
            let result = SetResult::new(name, &set.settings.name, &asked, &set.measures(), budget);
            course.say(&result);
            results.push(result);
        }
        let n_tokens = course.n_tokens();
        context.num_tokens += n_tokens;
    }
    let results = Results { stage: settings.name.clone(), models: names, results };
    write(context, &results)?;
    context.progress.say(&results.markdown());
    Ok(true)
}

/// The models of the stage, those that judge among them, by the content of their folders.
fn digests(settings: &EvalStage) -> Result<BTreeMap<PathBuf, String>, FileError> {
    folders(settings).into_iter().map(|folder| Ok((folder.clone(), model_digest(&folder)?))).collect()
}

/// The folders of models that a stage, with every input a path, reads.
fn folders(settings: &EvalStage) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    settings.clone().visit_inputs(&mut |input| match input {
        InputMut::Init(Init::Folder(path)) | InputMut::Artifact(Artifact::Path(path)) if path.is_dir() => {
            folders.insert(path.clone());
        }
        InputMut::Init(_) | InputMut::Artifact(_) => {}
    });
    folders
}

/// Opens every set whose file is there before the run begins: the longest completion of each, in tokens, and its problems.
///
/// # Errors
/// If a file, or what judges it, cannot be used.
pub(crate) fn read_sets(settings: &EvalStage) -> Result<Vec<(u64, Vec<Problem>)>, StageError> {
    let there = settings.sets.iter().filter(|set| set.problems.path_now().is_some());
    there.map(|set| Ok((set.max_tokens, OpenSet::open(set)?.problems))).collect()
}

/// Writes table.md, table.svg if there are several models, and where thinking was budgeted budget.csv and budget.svg into the folder
/// of the stage; then results.json, whose presence says that all of it is there.
fn write(context: &RunContext, results: &Results) -> Result<(), StageError> {
    let folder = context.directory.stage(&results.stage);
    if let Some(csv) = results.budget_csv() {
        atomic::write_file(&folder.join("budget.csv"), csv.as_bytes())?;
        let picture = BudgetCurves::new(&results.stage, &results.models, results.budgets());
        atomic::write_file(&folder.join("budget.svg"), picture.svg().as_bytes())?;
    }
    if let Some(picture) = ModelCurves::new(results) {
        atomic::write_file(&folder.join("table.svg"), picture.svg().as_bytes())?;
    }
    atomic::write_file(&folder.join("table.md"), results.markdown().as_bytes())?;
    let json = serde_json::to_string_pretty(results).expect("numbers and texts serialise");
    Ok(atomic::write_file(&folder.join(RESULTS), (json + "\n").as_bytes())?)
}

/// What the rows of the table are called: by the words of the run file, folders by their last part. Where two are alike, the
/// later ones have a number.
fn model_names(models: &[Init]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for model in models {
        let name = match model {
            Init::Folder(path) => path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            named => named.to_string(),
        };
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' }).collect();
        let is_free = |name: &String| !names.contains(name);
        let numbered = (2..).map(|n| format!("{name}_{n}")).find(is_free).expect("numbers do not end");
        names.push(if is_free(&name) && !name.is_empty() { name } else { numbered });
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_have_names_of_their_own() {
        let folder = |path: &str| Init::Folder(path.into());
        let models = [Init::Base, Init::Stage("zero".into()), folder("/a/base"), folder("/b/c d"), folder("/x/base")];
        assert_eq!(model_names(&models), ["base", "zero", "base_2", "c_d", "base_3"]);
    }
}
