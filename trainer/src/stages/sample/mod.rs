//! A stage of kind `sample`: rejection sampling (DeepSeek-R1, arXiv 2501.12948 v1 sections 2.3.1 and 2.3.3).

mod finish;
mod teacher;

use std::collections::BTreeMap;
use std::path::Path;

use rewards::{Problem, Verdict};
use rollout::StopReason;
use serde::{Deserialize, Serialize};

use super::asking::{Asker, Questioning, take_up_answers};
use super::batch_log::BatchLog;
use super::grpo::Judged;
use super::selecting::{as_read, screen};
use super::{RunContext, StageError};
use crate::config::SampleStage;
use crate::data::Questions;
use crate::run::FileError;
use crate::run::checkpoint::parse_step;
use crate::selection::{Provenance, Rejection, Sample};

/// A line of `samples.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct JudgedSample {
    #[serde(flatten)]
    sample: Sample,
    /// What each reward found.
    verdicts: BTreeMap<String, Verdict>,
    /// Why it is not in the data; none if it is, and until all are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dropped: Option<Rejection>,
}

/// Samples every problem, a batch at a time, then chooses; none if the user asked to stop before. Gives the number of batches.
///
/// # Errors
/// The first failure; the batches before it are kept.
pub fn run(context: &mut RunContext, settings: &SampleStage, stage_idx: usize) -> Result<Option<u64>, StageError> {
    let folder = context.directory.stage(&settings.name);
    let screen = screen(&settings.filters, &settings.layout, settings.decontamination.as_ref())?;
    let asker = Asker::open(context, settings.init.folder(), questioning(settings, stage_idx))?;
    let questions = Questions::open(&settings.problems, asker.judges.rubric(), context.settings.run.seed, stage_idx)?;
    let problems = questions.questions(0, n_problems(settings, &questions)?)?;
    let problems: Vec<Problem> = problems.into_iter().map(Sample::bare).collect();
    let (n_problems, k, batch_problems) =
        (problems.len() as u64, settings.samples_per_problem, settings.batch_problems);
    let n_batches = n_problems.div_ceil(batch_problems);
    let path = folder.join("samples.jsonl");
    take_up_answers(context, stage_idx, &path)?;
    let mut log = open_log(&path, &problems, k)?;
    let mut n_done = log.n_rows() / k;
    if log.n_outdated() > 0 {
        let (name, number) = (&settings.name, n_done + 1);
        context.progress.say(&format!(
            "warning: stage {name}: problem {number} is not the one that was sampled: it and all behind it are sampled anew"
        ));
    }
    if n_done > 0 {
        context.progress.say(&format!("stage {}: going on after problem {n_done} of {n_problems}", settings.name));
    }
    context.progress.begin_stage(&settings.name, n_done / batch_problems, n_batches);
    let origin = Origin::of(context, settings, stage_idx);
    while n_done < n_problems {
        let batch = n_done / batch_problems + 1;
        let problems = &problems[n_done as usize..(batch * batch_problems).min(n_problems) as usize];
        let answers = asker.ask(context, batch, n_done, problems)?;
        let rows = (n_done..).zip(problems.iter().zip(&answers.judged));
        let rows: Vec<JudgedSample> =
            rows.flat_map(|(number, (problem, judged))| origin.rows(number, problem, judged, &asker)).collect();
        log.append(&rows)?;
        n_done = log.n_rows() / k;
        context.progress.step_done(batch, &answers.metrics)?;
        if context.asked_to_stop() && n_done < n_problems {
            return Ok(None);
        }
    }
    Ok(finish::finish(context, settings, stage_idx, &screen, &asker)?.then_some(n_batches))
}

fn questioning(settings: &SampleStage, stage_idx: usize) -> Questioning<'_> {
    Questioning {
        prompt: &settings.prompt,
        sampling: &settings.sampling,
        rewards: &settings.rewards,
        samples_per_problem: settings.samples_per_problem,
        stage_idx,
        model_idx: 0,
    }
}

/// Opens the file of samples, without those of other problems than are asked now.
///
/// - `k`: samples of each problem
fn open_log(path: &Path, problems: &[Problem], k: u64) -> Result<BatchLog, FileError> {
    let holds = |row: u64, line: &[u8]| {
        let problem = &problems[(row / k) as usize];
        serde_json::from_slice::<JudgedSample>(line).is_ok_and(|row| row.sample.problem == as_read(problem))
    };
    BatchLog::open(path, k, problems.len() as u64 * k, holds)
}

/// How many problems are asked: as many as the run file says, or every row of the file.
fn n_problems(settings: &SampleStage, questions: &Questions) -> Result<u64, StageError> {
    match settings.n_problems {
        Some(n) => Ok(questions.once(n).map(|()| n)?),
        // With problems that have no end the number is required.
        None => Ok(questions.examples(1)?.len() as u64),
    }
}

/// What the samples of a stage have in common.
struct Origin {
    stage: String,
    model: String,
    step: Option<u64>,
    seed: u64,
    temperature: f64,
}

impl Origin {
    fn of(context: &RunContext, settings: &SampleStage, stage_idx: usize) -> Self {
        // As the run file names it: where it lies is of no interest to others.
        let model = context.settings.stages[stage_idx].init().map_or_else(String::new, ToString::to_string);
        let folder = settings.init.folder();
        let step = Path::file_name(folder).and_then(|name| parse_step(&name.to_string_lossy()));
        Self {
            stage: settings.name.clone(),
            model,
            step,
            seed: context.settings.run.seed,
            temperature: settings.sampling.temperature,
        }
    }

    /// The samples of one problem; `problem_idx`: its number in the stage.
    fn rows(&self, problem_idx: u64, problem: &Problem, judged: &Judged, asker: &Asker) -> Vec<JudgedSample> {
        let Judged { group, judgements, .. } = judged;
        let one = |(number, (completion, judgement)): (u64, (&rollout::Completion, &rewards::Judgement))| {
            let verdicts = judgement.components.iter().map(|part| (part.name.clone(), part.verdict.clone()));
            let verdicts: BTreeMap<String, Verdict> = verdicts.collect();
            let sample = Sample {
                problem: problem.clone(),
                prompt: group.prompt.text.clone(),
                completion: completion.text.clone(),
                n_tokens: completion.ids.len() as u64,
                truncated: completion.stop_reason == StopReason::MaxTokens,
                reward: judgement.reward,
                correct: asker.judges.is_right(judgement),
                components: verdicts.iter().map(|(name, verdict)| (name.clone(), verdict.score)).collect(),
                provenance: Some(Provenance {
                    stage: self.stage.clone(),
                    model: self.model.clone(),
                    step: self.step,
                    problem: problem_idx,
                    sample: number,
                    seed: self.seed,
                    temperature: self.temperature,
                    rewritten_by: None,
                }),
            };
            JudgedSample { sample, verdicts, dropped: None }
        };
        (0..).zip(group.completions.iter().zip(judgements)).map(one).collect()
    }
}
