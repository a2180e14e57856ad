//! One model through the sets: batches of completions on the disk, and those that are missing sampled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rewards::Problem;
use rollout::StopReason;
use serde::{Deserialize, Serialize};

use super::super::exam::{Candidate, Examiner};
use super::super::{Model, RunContext, StageError};
use super::set::{OpenSet, Way};
use crate::address::{self, Purpose};
use crate::config::EvalStage;
use crate::evaluation::{Asked, BudgetPoint, Control, Estimate, Label, Range, Sample, SetResult, pass_at_k};
use crate::prompts;
use crate::run::manifest::sha256_hex;
use crate::run::{atomic, lines};

/// Completions of a batch: what is lost at the most when the process ends. Not a setting, because results are read back by it.
const BATCH: usize = 256;

/// A completion as it is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    /// The problem by its place in the set.
    problem: usize,
    problem_id: String,
    /// Which of its samples.
    sample: usize,
    question: String,
    /// Who was asked, what for, and what judged it: see [`asked`].
    #[serde(default)]
    asked: String,
    text: String,
    stop_reason: StopReason,
    /// Runs of tokens that were put in, from and to (exclusive).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    forced: Vec<[usize; 2]>,
    n_prompt_tokens: usize,
    #[serde(flatten)]
    judged: Sample,
}

/// A model on its way through the sets of a stage.
pub(super) struct Course<'a, 'c> {
    context: &'a RunContext<'c>,
    settings: &'a EvalStage,
    /// Of the folders of models, their content by a hash.
    digests: &'a BTreeMap<PathBuf, String>,
    stage_idx: usize,
    model_idx: usize,
    name: &'a str,
    /// Loaded when it is first asked something.
    model: Option<Model>,
    n_tokens: u64,
}

/// What a set was asked, problem by problem, and the points of its budgets.
type SetAnswers = (Vec<Asked>, Vec<BudgetPoint>);

impl<'a, 'c> Course<'a, 'c> {
    pub(super) fn new(
        context: &'a RunContext<'c>,
        settings: &'a EvalStage,
        digests: &'a BTreeMap<PathBuf, String>,
        (stage_idx, model_idx): (usize, usize),
        name: &'a str,
    ) -> Self {
        Self { context, settings, digests, stage_idx, model_idx, name, model: None, n_tokens: 0 }
    }

    /// Prompt and completion tokens of all that was asked, also of what was read back.
    pub(super) fn n_tokens(&self) -> u64 {
        self.n_tokens
    }

    /// Asks a set in every way; none if the user asked to stop.
    pub(super) fn ask(&mut self, set_idx: usize, set: &OpenSet) -> Result<Option<SetAnswers>, StageError> {
        let labels = |problem: &Problem| -> BTreeMap<Label, String> {
            Label::ALL.into_iter().filter_map(|label| Some((label, label.of(problem)?))).collect()
        };
        let blank = |problem| Asked { labels: labels(problem), samples: Vec::new(), greedy: None };
        let mut asked: Vec<Asked> = set.problems.iter().map(blank).collect();
        let mut points = Vec::new();
        for way in set.ways() {
            let Some(samples) = self.ask_in(set_idx, set, way)? else { return Ok(None) };
            if set.settings.budget.is_some() && way != Way::Greedy {
                points.push(point(way, &samples));
            }
            match way {
                Way::Sampled => asked.iter_mut().zip(samples).for_each(|(asked, own)| asked.samples = own),
                Way::Greedy => {
                    asked.iter_mut().zip(samples).for_each(|(asked, own)| asked.greedy = own.into_iter().next());
                }
                Way::Cap(_) | Way::Wait(_) => {}
            }
        }
        Ok(Some((asked, points)))
    }

    /// Tells how a set went.
    pub(super) fn say(&self, result: &SetResult) {
        self.context.progress.say(&format!("{} on {}: {}", self.name, result.set, result.in_short()));
    }

    /// The samples of every problem, asked in one way.
    fn ask_in(&mut self, set_idx: usize, set: &OpenSet, way: Way) -> Result<Option<Vec<Vec<Sample>>>, StageError> {
        let folder = self.context.directory.stage(&self.settings.name).join("completions");
        let folder = folder.join(self.name).join(&set.settings.name).join(way.folder());
        atomic::create_folder(&folder)?;
        atomic::remove_temporaries(&folder)?;
        let n_samples = set.n_samples(way);
        let per_batch = (BATCH / n_samples).max(1);
        remove_behind(&folder, set.problems.len().div_ceil(per_batch))?;
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); set.problems.len()];
        let asker = self.asker(set_idx, set, way);
        let mut is_said = false;
        for (batch_idx, problems) in set.problems.chunks(per_batch).enumerate() {
            let first = batch_idx * per_batch;
            let file = folder.join(batch_name(batch_idx));
            let is_there = file.exists();
            let there = if is_there { read_back(&file, &asker, (first, problems), n_samples) } else { None };
            if is_there && there.is_none() && !is_said {
                self.say_stale(&folder);
                is_said = true;
            }
            let rows = match there {
                Some(rows) => rows,
                None if self.context.asked_to_stop() => return Ok(None),
                None => {
                    self.sample((set_idx, set, way), &asker, (first, problems), &file)?;
                    // As from the disk, so that a run that was stopped has the same numbers to the last bit.
                    lines::read_whole::<Row>(&file)?
                }
            };
            for row in rows {
                self.n_tokens += (row.n_prompt_tokens + row.judged.n_tokens) as u64;
                samples[row.problem].push(row.judged);
            }
        }
        Ok(Some(samples))
    }

    /// Who answers and who judges, and how, by a hash: what [`asked`] counts beside the problem. Models by their content, for
    /// one that was made again, or put in the place of another, need not be the same.
    fn asker(&self, set_idx: usize, set: &OpenSet, way: Way) -> String {
        let is_forced = matches!(way, Way::Cap(_) | Way::Wait(_));
        let settings = self.context.settings;
        let mut text = settings.exam_identity(self.stage_idx, self.model_idx, set_idx, is_forced);
        // Which rules these are depends on all rows of a file where the run file names none.
        text += &format!("\n{:?} {:?}", set.judges.correctness(), set.judges.formats());
        let mut alone = self.settings.clone();
        alone.leave_only(self.model_idx, set_idx, is_forced);
        for folder in super::folders(&alone) {
            text += &format!("\n{}", self.digests[&folder]);
        }
        sha256_hex(&text)
    }

    fn say_stale(&self, folder: &Path) {
        self.context.progress.say(&format!(
            "stage {}: {} holds answers of another model, to other problems or under other settings: they are asked again",
            self.settings.name,
            folder.display()
        ));
    }

    /// Samples and judges a batch, and writes it down.
    fn sample(
        &mut self,
        (set_idx, set, way): (usize, &OpenSet, Way),
        asker: &str,
        (first, problems): (usize, &[Problem]),
        file: &Path,
    ) -> Result<(), StageError> {
        if self.model.is_none() {
            self.model = Some(Model::load(
                self.settings.models[self.model_idx].folder(),
                self.context.dtype,
                self.context.device,
            )?);
        }
        let model = self.model.as_ref().expect("just loaded");
        let (policy, tokenizer) = (&model.policy, &model.tokenizer);
        let params = set.params(way, &policy.config().eos_token_ids, tokenizer)?;
        let (seed, stage_idx) = (self.context.settings.run.seed, self.stage_idx);
        // Without model and way: two of them differ by nothing else.
        let stream = |problem: usize, sample: usize| {
            let path = [set_idx as u64, (first + problem) as u64, sample as u64];
            address::stream(seed, stage_idx, Purpose::Evaluation, &path)
        };
        let template = prompts::template(&self.settings.prompt, tokenizer)?;
        let candidate = Candidate {
            name: self.name,
            policy,
            tokenizer,
            template: &template,
            max_batch: self.settings.max_batch as usize,
        };
        let n_samples = set.n_samples(way);
        let groups = candidate.ask(problems, n_samples, &params, stream, Some(self.context.progress))?;
        let examiner = Examiner {
            judges: &set.judges,
            tokenizer,
            closing: set.closing(),
            scores: &set.scores,
            win_by: set.settings.win_by.as_deref(),
        };
        let bounds = OpenSet::bounds(way, &params);
        let mut text = String::new();
        for (idx, (group, samples)) in groups.iter().zip(examiner.judge(problems, &groups)?).enumerate() {
            for (sample, (completion, judged)) in group.completions.iter().zip(samples).enumerate() {
                // Thoughts that were ended are over, whatever the text that ended them says.
                let ended = params.forced_end.as_ref().and(completion.forced.ranges().last()).map(|run| run.end);
                let n_thinking_tokens = judged.n_thinking_tokens.min(ended.unwrap_or(usize::MAX));
                let kept = bounds.map(|[low, high]| (low..=high).contains(&n_thinking_tokens));
                let row = Row {
                    problem: first + idx,
                    problem_id: problems[idx].id.clone(),
                    sample,
                    question: problems[idx].question.clone(),
                    asked: asked(asker, &problems[idx]),
                    text: completion.text.clone(),
                    stop_reason: completion.stop_reason,
                    forced: completion.forced.ranges().iter().map(|run| [run.start, run.end]).collect(),
                    n_prompt_tokens: group.prompt.ids.len(),
                    judged: Sample { n_thinking_tokens, within_budget: kept, ..judged },
                };
                text += &serde_json::to_string(&row).expect("numbers and texts serialise");
                text.push('\n');
            }
        }
        Ok(atomic::write_file(file, text.as_bytes())?)
    }
}

fn batch_name(batch_idx: usize) -> String {
    format!("batch_{:06}.jsonl", batch_idx + 1)
}

/// Removes the batches behind the first `n`: they are left of a set that had more problems.
fn remove_behind(folder: &Path, n: usize) -> Result<(), StageError> {
    for path in (n..).map(|batch_idx| folder.join(batch_name(batch_idx))).take_while(|path| path.exists()) {
        atomic::remove(&path)?;
    }
    Ok(())
}

/// The rows of a batch on the disk; none if they are not what `asker` says to `problems`, or not rows.
fn read_back(file: &Path, asker: &str, (first, problems): (usize, &[Problem]), n_samples: usize) -> Option<Vec<Row>> {
    let rows = lines::read_whole::<Row>(file).ok()?;
    let each = problems.iter().enumerate().flat_map(|(idx, problem)| {
        let asked = asked(asker, problem);
        (0..n_samples).map(move |sample| (first + idx, sample, asked.clone()))
    });
    rows.iter().map(|row| (row.problem, row.sample, row.asked.clone())).eq(each).then_some(rows)
}

/// Names a problem with all that it is asked for and judged against, by whom: SHA-256.
fn asked(asker: &str, problem: &Problem) -> String {
    let row = serde_json::to_string(problem).expect("text, numbers and maps with text for keys");
    sha256_hex(&format!("{asker}\n{row}"))
}

/// The point of a curve that one way of asking makes.
fn point(way: Way, samples: &[Vec<Sample>]) -> BudgetPoint {
    let all = || samples.iter().flatten();
    let n = all().count().max(1);
    let accuracy = |own: &Vec<Sample>| {
        let judged: Vec<bool> = own.iter().filter_map(|sample| sample.correct).collect();
        pass_at_k(judged.len(), judged.iter().filter(|right| **right).count(), 1)
    };
    let values: Vec<f64> = samples.iter().filter_map(accuracy).collect();
    let (caps, waits) = match way {
        Way::Cap(tokens) => (Some(tokens), None),
        Way::Wait(times) => (None, Some(times)),
        Way::Sampled | Way::Greedy => (None, None),
    };
    BudgetPoint {
        cap: caps,
        waits,
        thinking_tokens: all().map(|sample| sample.n_thinking_tokens as f64).sum::<f64>() / n as f64,
        accuracy: Estimate::of(&values, Range::Fraction),
        control: Control::of(all().filter_map(|sample| sample.within_budget)),
    }
}
