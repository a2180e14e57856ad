//! A run's completions judged again with other rewards: what would have changed.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;

use rewards::{Judgement, Problem};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Case, Judged, Needs, judge};
use crate::config::{Algorithm, Rewards};
use crate::judges::{Judges, advantages_of};
use crate::run::completions::{self, CompletionRow};
use crate::run::{FileError, LineError, StepRow};

/// Examples that are printed.
const EXAMPLES: usize = 10;

/// Why a run cannot be judged again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file system.
    #[error(transparent)]
    File(#[from] FileError),
    /// A row of completions.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The folder has no completions.
    #[error("{path}: no completions in this folder (a run writes them to completions/STAGE)")]
    Nothing {
        /// The folder.
        path: String,
    },
    /// The rewards need what the run did not keep.
    #[error("stage {stage}, step {step}, problem {problem}: {reason}")]
    Gold {
        /// The stage.
        stage: String,
        /// The step.
        step: u64,
        /// The problem.
        problem: String,
        /// What is missing.
        reason: String,
    },
    /// A reward that could not judge.
    #[error("{0}")]
    Judge(String),
}

/// What a change of rewards would have meant.
#[derive(Debug, Default)]
pub struct Changes {
    n_completions: usize,
    n_groups: usize,
    gained: usize,
    lost: usize,
    flipped: usize,
    reward: [Mean; 2],
    components: BTreeMap<String, [Mean; 2]>,
    examples: Vec<(f32, String)>,
    /// One line for each completion.
    pub rows: Vec<ReplayRow>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: Option<f32>) {
        if let Some(value) = value {
            self.sum += f64::from(value);
            self.count += 1;
        }
    }
}

impl fmt::Display for Mean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 { f.pad("none") } else { f.pad(&format!("{:.3}", self.sum / self.count as f64)) }
    }
}

/// A completion with both judgements.
#[derive(Debug, Serialize)]
pub struct ReplayRow {
    stage: String,
    step: u64,
    group: usize,
    row: usize,
    reward_before: Option<f32>,
    reward: Option<f32>,
    advantage_before: f32,
    advantage: f32,
    components: Map<String, Value>,
}

/// Judges every completion of a run folder again.
///
/// - `stage`: that stage only; all of them if none is given
///
/// # Errors
/// If a file cannot be read, or the rewards need a gold that the problems do not have.
pub fn replay(
    run: &Path,
    stage: Option<&str>,
    judges: &Judges,
    rewards: &Rewards,
    algorithm: &Algorithm,
    mut on_step: impl FnMut(&str, u64),
) -> Result<Changes, ReplayError> {
    let (mut changes, needs) = (Changes::default(), Needs::of(rewards));
    for name in completions::stages(run)?.iter().filter(|name| stage.is_none_or(|stage| stage == *name)) {
        for step in completions::steps(run, name)? {
            let mut rows = completions::read(run, name, step)?;
            // What the step did not learn from has no part in its advantages.
            rows.retain(|row| row.left_out.is_none());
            for row in &rows {
                let kept = (row.token_ids.is_some(), row.n_thinking_tokens.is_some());
                needs.check(true, kept.0, kept.1).map_err(|reason| ReplayError::Gold {
                    stage: name.clone(),
                    step,
                    problem: row.problem_id.clone(),
                    reason: format!("{reason}, which this run did not keep: none of its own rewards looks at it"),
                })?;
            }
            let groups: Vec<&[CompletionRow]> = rows.chunk_by(|a, b| a.group == b.group).collect();
            let cases: Vec<Vec<Case>> = groups.iter().map(|rows| rows.iter().map(case).collect()).collect();
            for group in &cases {
                let problem = &group[0].problem;
                judges.rubric().check_gold(problem).map_err(|error| ReplayError::Gold {
                    stage: name.clone(),
                    step,
                    problem: problem.id.clone(),
                    reason: error.to_string(),
                })?;
            }
            let parts: Vec<&[Case]> = cases.iter().map(Vec::as_slice).collect();
            let judged = judge(judges, rewards, &parts, step);
            if let Some(failure) = judges.failure() {
                return Err(ReplayError::Judge(failure));
            }
            let groups_judged: Vec<Vec<&Judgement>> =
                judged.iter().map(|group| group.iter().map(|judged| &judged.judgement).collect()).collect();
            let advantages = advantages_of(&groups_judged, None, algorithm);
            for ((before, after), advantages) in groups.iter().zip(&judged).zip(&advantages) {
                changes.add_group(name, before, after, advantages);
            }
            on_step(name, step);
        }
    }
    if changes.n_completions == 0 {
        return Err(ReplayError::Nothing { path: run.display().to_string() });
    }
    Ok(changes)
}

fn case(row: &CompletionRow) -> Case {
    Case {
        problem: Problem { id: row.problem_id.clone(), question: row.question.clone(), gold: row.gold.clone() },
        completion: row.text.clone(),
        prompt: Some(row.prompt.clone()),
        n_tokens: row.n_tokens,
        n_thinking_tokens: row.n_thinking_tokens,
        token_ids: row.token_ids.clone(),
        truncated: row.stop_reason == "max_tokens",
    }
}

impl Changes {
    fn add_group(&mut self, stage: &str, before: &[CompletionRow], after: &[Judged], advantages: &[f32]) {
        self.n_groups += 1;
        let signal = |mut advantages: Box<dyn Iterator<Item = f32> + '_>| advantages.any(|advantage| advantage != 0.0);
        let had = signal(Box::new(before.iter().map(|row| row.advantage)));
        let has = signal(Box::new(advantages.iter().copied()));
        self.gained += usize::from(has && !had);
        self.lost += usize::from(had && !has);
        for ((row, judged), &advantage) in before.iter().zip(after).zip(advantages) {
            self.add(stage, row, judged, advantage);
        }
    }

    fn add(&mut self, stage: &str, before: &CompletionRow, judged: &Judged, advantage: f32) {
        let after = &judged.judgement;
        self.n_completions += 1;
        self.flipped += usize::from(before.advantage * advantage < 0.0);
        self.reward[0].add(before.reward);
        self.reward[1].add(after.reward);
        for (name, component) in &before.components {
            self.components.entry(name.clone()).or_default()[0].add(component.score);
        }
        for component in &after.components {
            self.components.entry(component.name.clone()).or_default()[1].add(component.verdict.score);
        }
        if before.reward != after.reward {
            let change = (before.reward.unwrap_or(0.0) - after.reward.unwrap_or(0.0)).abs();
            self.keep_example(change, || example(stage, before, after.reward, &after.components));
        }
        let component = |c: &rewards::Component| {
            let mut value = json!({"score": c.verdict.score, "rule": c.verdict.rule});
            if !c.verdict.steps.is_empty() {
                value["steps"] = json!(StepRow::all(&c.verdict.steps, &before.text));
            }
            (c.name.clone(), value)
        };
        self.rows.push(ReplayRow {
            stage: stage.to_owned(),
            step: before.step,
            group: before.group,
            row: before.row,
            reward_before: before.reward,
            reward: after.reward,
            advantage_before: before.advantage,
            advantage,
            components: after.components.iter().map(component).collect(),
        });
    }

    /// The largest changes, in the order of the run where they are equal.
    fn keep_example(&mut self, change: f32, text: impl FnOnce() -> String) {
        let place = self.examples.partition_point(|(other, _)| *other >= change);
        if place < EXAMPLES {
            self.examples.insert(place, (change, text()));
            self.examples.truncate(EXAMPLES);
        }
    }
}

fn example(stage: &str, row: &CompletionRow, reward: Option<f32>, components: &[rewards::Component]) -> String {
    let number = |value: Option<f32>| value.map_or("none".to_owned(), |value| value.to_string());
    let mut text = format!(
        "{stage} step {}, group {}, row {} ({}): {} -> {}\n",
        row.step,
        row.group,
        row.row,
        row.problem_id,
        number(row.reward),
        number(reward)
    );
    for component in components {
        let verdict = &component.verdict;
        let _ = writeln!(text, "    {} {}: {}", component.name, number(verdict.score), verdict.reason);
    }
    let tail: String = row.text.chars().rev().take(160).collect::<Vec<_>>().into_iter().rev().collect();
    let _ = write!(text, "    .. {}", tail.trim().replace('\n', "\n       "));
    text
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} completions in {} groups\n", self.n_completions, self.n_groups)?;
        writeln!(f, "{:<28}{:>10}{:>10}", "mean", "before", "after")?;
        writeln!(f, "{:<28}{:>10}{:>10}", "reward", self.reward[0], self.reward[1])?;
        for (name, [before, after]) in &self.components {
            writeln!(f, "{:<28}{before:>10}{after:>10}", format!("  {name}"))?;
        }
        writeln!(f, "\ngroups that gain a signal    {:>9}", self.gained)?;
        writeln!(f, "groups that lose it          {:>9}", self.lost)?;
        writeln!(f, "advantages that flip sign    {:>9}", self.flipped)?;
        if !self.examples.is_empty() {
            writeln!(f, "\nthe largest changes:")?;
        }
        for (_, example) in &self.examples {
            writeln!(f, "\n  {example}")?;
        }
        Ok(())
    }
}
