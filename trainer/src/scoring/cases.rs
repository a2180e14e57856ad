//! Cases in a JSON Lines file, and their verdicts in another.

use std::collections::HashMap;
use std::path::Path;

use rewards::{Gold, Problem, Rubric};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use super::{Case, Judged, Needs};
use crate::data::problem_file::{ProblemFileError, explain, read_rows};
use crate::run::StepRow;

/// A line of the input.
#[derive(Debug, Deserialize)]
struct Row {
    #[serde(default)]
    id: Value,
    #[serde(deserialize_with = "text_or_messages")]
    completion: String,
    prompt: Option<String>,
    #[serde(default)]
    question: String,
    group: Option<Value>,
    tokens: Option<usize>,
    thinking_tokens: Option<usize>,
    token_ids: Option<Vec<i64>>,
    #[serde(default)]
    truncated: bool,
    #[serde(default, deserialize_with = "present")]
    expected: Option<Value>,
    #[serde(flatten)]
    gold: Gold,
}

/// A text, or the last of a list of chat messages.
fn text_or_messages<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let last = |messages: &Vec<Value>| Some(messages.last()?.get("content")?.as_str()?.to_owned());
    let text = value.as_str().map(str::to_owned).or_else(|| value.as_array().and_then(last));
    text.ok_or_else(|| serde::de::Error::custom("`completion` is neither a text nor a list of chat messages"))
}

/// Tells `null`, which is an expectation, from a key that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The cases of a file, by group.
#[derive(Debug)]
pub struct CaseFile {
    /// Cases of one group lie together.
    pub cases: Vec<Case>,
    /// For each case: its line in the file (from 1), its id, its group if it names one, and what is expected of it.
    pub facts: Vec<CaseFacts>,
    /// Golds that no reward could read, though they were let through.
    pub n_unreadable: usize,
}

/// What is known of a case beside what is judged.
#[derive(Debug, Clone)]
pub struct CaseFacts {
    /// The line, counted from 1.
    pub line: usize,
    /// The id as written; the line if there is none.
    pub id: Value,
    /// The group it names; cases of a group have advantages.
    pub group: Option<String>,
    /// The score or scores that a test expects.
    pub expected: Option<Value>,
}

/// What is written for a case.
#[derive(Debug, Serialize)]
pub struct VerdictRow {
    /// As in the input.
    pub id: Value,
    /// The weighted sum; null if no reward applied.
    pub reward: Option<f32>,
    /// Score, reason, extract, rule and steps of each reward, by name.
    pub components: Map<String, Value>,
    /// Group-relative, for cases that name a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advantage: Option<f32>,
    /// Microseconds that judging took.
    pub micros: f64,
}

/// Reads cases and brings those of one group together.
///
/// - `needs`: what rewards must know of a completion beside its text
///
/// # Errors
/// If the file cannot be read, or a line is malformed, lacks what a reward needs, or has a gold that cannot be used.
pub fn read(path: &Path, rubric: &Rubric, needs: &Needs) -> Result<CaseFile, ProblemFileError> {
    let rows = read_rows(path, |row: Row, line| {
        needs.check(row.tokens.is_some(), row.token_ids.is_some(), row.thinking_tokens.is_some())?;
        let id = match &row.id {
            Value::Null => format!("line-{line}"),
            Value::String(id) => id.clone(),
            other => other.to_string(),
        };
        let problem = Problem { id, question: row.question, gold: row.gold };
        rubric.check_gold(&problem).map_err(|error| explain(&error, &problem))?;
        let case = Case {
            problem,
            completion: row.completion,
            prompt: row.prompt,
            n_tokens: row.tokens.unwrap_or(0),
            n_thinking_tokens: row.thinking_tokens,
            token_ids: row.token_ids,
            truncated: row.truncated,
        };
        let id = if row.id.is_null() { json!(format!("line-{line}")) } else { row.id };
        let facts = CaseFacts { line, id, group: row.group.map(|group| group.to_string()), expected: row.expected };
        Ok((case, facts))
    })?;
    // A group stands where its first case stands.
    let mut places: HashMap<String, (usize, Gold)> = HashMap::new();
    let mut keyed: Vec<(usize, usize, Case, CaseFacts)> = Vec::with_capacity(rows.len());
    for (idx, (case, facts)) in rows.into_iter().enumerate() {
        let place = match &facts.group {
            None => idx,
            Some(group) => {
                let (place, gold) = places.entry(group.clone()).or_insert_with(|| (idx, case.problem.gold.clone()));
                if let Some(field) = difference(gold, &case.problem.gold) {
                    let reason = format!("group {group} has another `{field}` above: its cases answer one problem");
                    return Err(ProblemFileError::Line { path: path.into(), line: facts.line, reason });
                }
                *place
            }
        };
        keyed.push((place, idx, case, facts));
    }
    keyed.sort_by_key(|(place, idx, ..)| (*place, *idx));
    let (cases, facts): (Vec<Case>, Vec<CaseFacts>) = keyed.into_iter().map(|(.., case, facts)| (case, facts)).unzip();
    let n_unreadable = cases.iter().filter(|case| unreadable(&case.problem)).count();
    Ok(CaseFile { cases, facts, n_unreadable })
}

/// The field in which two golds differ, of those that rewards judge by.
fn difference(a: &Gold, b: &Gold) -> Option<&'static str> {
    const FIELDS: [&str; 5] = ["tests", "setup", "choices", "language", "rewards"];
    if a.numbers != b.numbers {
        return Some("numbers");
    }
    if a.target != b.target {
        return Some("target");
    }
    if a.text != b.text {
        return Some("gold");
    }
    FIELDS.into_iter().find(|field| a.fields.get(*field) != b.fields.get(*field))
}

/// Whether a problem has a gold text that the accuracy reward cannot read.
pub fn unreadable(problem: &Problem) -> bool {
    problem.gold.text.as_deref().is_some_and(|gold| !rewards::Accuracy::readable(gold))
}

impl CaseFile {
    /// The cases, group by group.
    pub fn groups(&self) -> Vec<&[Case]> {
        let mut groups = Vec::new();
        let (mut rest, mut idx) = (self.cases.as_slice(), 0);
        while !rest.is_empty() {
            let mut n = 1;
            // A case without a group is a group of one.
            let group = &self.facts[idx].group;
            while group.is_some() && n < rest.len() && self.facts[idx + n].group == *group {
                n += 1;
            }
            let (group, others) = rest.split_at(n);
            groups.push(group);
            (rest, idx) = (others, idx + n);
        }
        groups
    }
}

/// The output lines, in the order of the input.
pub fn verdict_rows(file: &CaseFile, judged: Vec<Vec<Judged>>, advantages: &[Vec<f32>]) -> Vec<VerdictRow> {
    let flat = judged.into_iter().flatten().zip(advantages.iter().flatten()).zip(file.facts.iter().zip(&file.cases));
    let mut rows: Vec<(usize, VerdictRow)> = flat
        .map(|((judged, &advantage), (facts, case))| {
            let component = |c: rewards::Component| {
                let verdict = c.verdict;
                let mut value = json!({"score": verdict.score, "reason": verdict.reason, "extracted": verdict.extracted, "rule": verdict.rule});
                if !verdict.steps.is_empty() {
                    value["steps"] = json!(StepRow::all(&verdict.steps, &case.completion));
                }
                (c.name, value)
            };
            let row = VerdictRow {
                id: facts.id.clone(),
                reward: judged.judgement.reward,
                components: judged.judgement.components.into_iter().map(component).collect(),
                advantage: facts.group.is_some().then_some(advantage),
                micros: (judged.micros * 10.0).round() / 10.0,
            };
            (facts.line, row)
        })
        .collect();
    rows.sort_by_key(|(line, _)| *line);
    rows.into_iter().map(|(_, row)| row).collect()
}
