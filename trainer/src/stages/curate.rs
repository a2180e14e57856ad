//! A stage of kind `curate`: rows brought down to a few good, hard and different ones (s1, arXiv 2501.19393, section 2.2).

use std::collections::BTreeMap;
use std::path::Path;

use rewards::{Gold, Problem};
use rollout::{Group, Tokenizer};
use serde::{Deserialize, Serialize};

use super::asking::{Asker, Questioning, take_up_answers};
use super::batch_log::BatchLog;
use super::grpo::Judged;
use super::selecting::{as_read, as_row, n_tokens, rows, screen, write_lines};
use super::{RunContext, StageError};
use crate::address::{self, Purpose};
use crate::config::{CurateStage, Difficulty, Stage};
use crate::judges::Judges;
use crate::run::{FileError, atomic, lines};
use crate::selection::{Curation, PassRate, Row, Sample, Solver};

/// A line of `pass_rates.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct PassRateLine {
    /// The model, as the run file names it.
    model: String,
    /// The problem.
    id: String,
    question: String,
    /// What its answers were judged against.
    gold: Gold,
    /// Samples that a reward judged.
    n_sampled: u64,
    /// Those that were right.
    n_right: u64,
    /// Prompt and completion tokens of all samples.
    n_tokens: u64,
}

/// Brings the rows down; none if the user asked to stop before. Gives the number of batches that were sampled.
///
/// # Errors
/// The first failure; the batches before it are kept.
pub fn run(context: &mut RunContext, settings: &CurateStage, stage_idx: usize) -> Result<Option<u64>, StageError> {
    let screen = screen(&settings.filters, &settings.layout, settings.decontamination.as_ref())?;
    let tokenizer = settings.difficulty.first().map(tokenizer).transpose()?;
    let (samples, n_malformed) = read(settings, tokenizer.as_ref())?;
    let curation = Curation::begin(samples, n_malformed, &screen);
    let Some((solvers, n_batches)) = solvers(context, settings, stage_idx, curation.left())? else { return Ok(None) };
    let stream = address::stream(context.settings.run.seed, stage_idx, Purpose::Selection, &[]);
    let curated = curation.finish(&solvers, settings.n, &stream)?;
    let mut rows = Vec::with_capacity(curated.samples.len());
    for sample in curated.samples {
        let rates: BTreeMap<&str, f64> = solvers.iter().map(|solver| (&*solver.name, rate(solver, &sample))).collect();
        let mut sample = screen.written(sample);
        if let (0, Some(tokenizer)) = (sample.n_tokens, &tokenizer) {
            sample.n_tokens = n_tokens(&sample.completion, tokenizer)?;
        }
        let mut row = as_row(&sample);
        if !rates.is_empty() {
            row.insert("pass_rates".to_owned(), serde_json::json!(rates));
        }
        rows.push(row);
    }
    let (folder, funnel) = (context.directory.stage(&settings.name), &curated.funnel);
    context.progress.say(&funnel.text());
    let markdown = format!("# Curation by stage {}\n\n{}", settings.name, funnel.markdown());
    atomic::write_file(&folder.join("table.md"), markdown.as_bytes())?;
    let json = serde_json::to_string_pretty(funnel).expect("numbers by names");
    atomic::write_file(&folder.join("funnel.json"), (json + "\n").as_bytes())?;
    write_lines(&context.directory.data(&settings.name), &rows)?;
    Ok(Some(n_batches))
}

/// The fraction of a sample's problem that a solver gets right; 0 where nothing was judged.
fn rate(solver: &Solver, sample: &Sample) -> f64 {
    let rate = solver.pass_rates.get(&sample.problem.question).copied().unwrap_or_default();
    if rate.n_sampled == 0 { 0.0 } else { rate.n_right as f64 / rate.n_sampled as f64 }
}

fn tokenizer(model: &Difficulty) -> Result<Tokenizer, StageError> {
    let folder = model.model.folder();
    let config = policy::ModelConfig::load(folder)?;
    Ok(Tokenizer::load(folder, config.vocab_size)?)
}

/// The rows that are samples, with their lengths in tokens, and how many are none.
fn read(settings: &CurateStage, tokenizer: Option<&Tokenizer>) -> Result<(Vec<Sample>, u64), StageError> {
    let (mut samples, mut n_malformed) = (Vec::new(), 0);
    let judges = if settings.difficulty.is_empty() { None } else { Some(Judges::new(&settings.rewards)?) };
    for data in &settings.data {
        for (number, row) in (1..).zip(rows(data)?) {
            let Some(mut sample) = sample(row) else {
                n_malformed += 1;
                continue;
            };
            let at = |reason| StageError::CurateRow { path: data.path().to_path_buf(), row: number, reason };
            if let Some(judges) = &judges {
                judges.rubric().check_gold(&sample.problem).map_err(|error| at(error.to_string()))?;
            }
            if sample.n_tokens == 0 {
                let help = "it has no `n_tokens`, and there is no model whose tokenizer could count: add [[stage.difficulty]], or \
                            the key to every row";
                let tokenizer = tokenizer.ok_or_else(|| at(help.to_owned()))?;
                sample.n_tokens = n_tokens(&sample.completion, tokenizer)?;
            }
            samples.push(sample);
        }
    }
    Ok((samples, n_malformed))
}

fn sample(row: Row) -> Option<Sample> {
    serde_json::from_value(row.into()).ok()
}

/// Has every model asked every problem; none if the user asked to stop before. With the number of batches.
fn solvers(
    context: &mut RunContext,
    settings: &CurateStage,
    stage_idx: usize,
    left: &[Sample],
) -> Result<Option<(Vec<Solver>, u64)>, StageError> {
    let problems: Vec<Problem> = left.iter().map(|sample| Sample::bare(sample.problem.clone())).collect();
    let (n_problems, n_models) = (problems.len() as u64, settings.difficulty.len() as u64);
    let n_batches = n_problems.div_ceil(settings.batch_problems);
    let names = names(context, settings, stage_idx);
    let path = context.directory.stage(&settings.name).join("pass_rates.jsonl");
    take_up_answers(context, stage_idx, &path)?;
    let mut log = open_log(&path, &problems, &names)?;
    if log.n_outdated() > 0 {
        let name = &settings.name;
        context.progress.say(&format!(
            "warning: stage {name}: the rows have changed since models were asked: they are asked anew from the first that has"
        ));
    }
    context.progress.begin_stage(&settings.name, log.n_rows() / settings.batch_problems, n_batches * n_models);
    for (model_idx, (difficulty, name)) in (0..).zip(settings.difficulty.iter().zip(&names)) {
        if log.n_rows() >= (model_idx + 1) * n_problems {
            continue;
        }
        let asker =
            Asker::open(context, difficulty.model.folder(), questioning(settings, difficulty, stage_idx, model_idx))?;
        while log.n_rows() < (model_idx + 1) * n_problems {
            let first = log.n_rows() - model_idx * n_problems;
            let step = model_idx * n_batches + first / settings.batch_problems + 1;
            let asked = &problems[first as usize..(first + settings.batch_problems).min(n_problems) as usize];
            let answers = asker.ask(context, step, first, asked)?;
            let lines = asked.iter().zip(&answers.judged).map(|(problem, judged)| line(name, problem, judged, &asker));
            log.append(&lines.collect::<Vec<_>>())?;
            context.progress.step_done(step, &answers.metrics)?;
            if context.asked_to_stop() {
                return Ok(None);
            }
        }
    }
    let mut solvers = Vec::new();
    let lines: Vec<PassRateLine> = lines::read_whole(&path)?;
    context.num_tokens += lines.iter().map(|line| line.n_tokens).sum::<u64>();
    for (name, difficulty) in names.into_iter().zip(&settings.difficulty) {
        let of_model = lines.iter().filter(|line| line.model == name);
        let rate = |line: &PassRateLine| PassRate { n_sampled: line.n_sampled, n_right: line.n_right };
        let pass_rates = of_model.map(|line| (line.question.clone(), rate(line))).collect();
        solvers.push(Solver { name, max_pass_rate: difficulty.max_pass_rate, pass_rates });
    }
    Ok(Some((solvers, n_batches * n_models)))
}

/// Opens the file of pass rates, without those of other problems than are left now.
fn open_log(path: &Path, problems: &[Problem], models: &[String]) -> Result<BatchLog, FileError> {
    let n_problems = problems.len() as u64;
    let holds = |row: u64, line: &[u8]| {
        let (model, problem) = (&models[(row / n_problems) as usize], &problems[(row % n_problems) as usize]);
        let Ok(line) = serde_json::from_slice::<PassRateLine>(line) else { return false };
        line.model == *model && Problem { id: line.id, question: line.question, gold: line.gold } == as_read(problem)
    };
    // Row by row: whether a sample is right does not depend on the other problems of its batch.
    BatchLog::open(path, 1, n_problems * models.len() as u64, holds)
}

fn questioning<'a>(
    settings: &'a CurateStage,
    difficulty: &Difficulty,
    stage_idx: usize,
    model_idx: u64,
) -> Questioning<'a> {
    Questioning {
        prompt: &settings.prompt,
        sampling: &settings.sampling,
        rewards: &settings.rewards,
        samples_per_problem: difficulty.samples_per_problem,
        stage_idx,
        model_idx,
    }
}

/// What a model has made of a problem.
fn line(model: &str, problem: &Problem, judged: &Judged, asker: &Asker) -> PassRateLine {
    let right: Vec<bool> = judged.judgements.iter().filter_map(|j| asker.judges.is_right(j)).collect();
    let Group { prompt, completions } = &judged.group;
    let n_tokens: usize = completions.iter().map(|completion| prompt.ids.len() + completion.ids.len()).sum();
    PassRateLine {
        model: model.to_owned(),
        id: problem.id.clone(),
        question: problem.question.clone(),
        gold: problem.gold.clone(),
        n_sampled: right.len() as u64,
        n_right: right.iter().filter(|right| **right).count() as u64,
        n_tokens: n_tokens as u64,
    }
}

/// The names of the models in the run file, told apart where one is there twice.
fn names(context: &RunContext, settings: &CurateStage, stage_idx: usize) -> Vec<String> {
    let written = match &context.settings.stages[stage_idx] {
        Stage::Curate(written) => &written.difficulty,
        // Not as it was written, but as it is.
        _ => &settings.difficulty,
    };
    let mut names: Vec<String> = Vec::new();
    for difficulty in written {
        let name = difficulty.model.to_string();
        let n_before = names.iter().filter(|other| **other == name).count();
        names.push(if n_before == 0 { name } else { format!("{name} ({})", n_before + 1) });
    }
    names
}
