//! Every completion of every step on disk: `completions/STAGE/step_000001.jsonl`, one line a completion.

use std::fmt;
use std::io::Write;
use std::path::Path;

use rewards::{StepScore, ends_in_characters};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::atomic::{self, FileError};
use super::checkpoint::parse_step;
use super::directory::completions_file;
use super::lines::{self, LineError, ResumePoint};

/// One completion with everything that was decided about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompletionRow {
    /// The step it was sampled in.
    pub step: u64,
    /// The problem it answers.
    pub problem_id: String,
    /// Index of its group within the step.
    pub group: usize,
    /// Index within the group.
    pub row: usize,
    /// The rendered prompt.
    pub prompt: String,
    /// The completion's text.
    pub text: String,
    /// Its length in tokens, the end token included.
    pub n_tokens: usize,
    /// Why it ended: `end_token`, `stop_string`, `max_tokens`.
    pub stop_reason: String,
    /// Its tokens, where a reward of the run looks at them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_ids: Option<Vec<i64>>,
    /// The length of its thoughts in tokens, where a reward of the run looks at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_thinking_tokens: Option<usize>,
    /// The question, without the template.
    #[serde(default)]
    pub question: String,
    /// What it was judged against, so that it can be judged again.
    #[serde(default)]
    pub gold: rewards::Gold,
    /// Runs of tokens that the program has put in, from and to (exclusive); empty where the policy drew them all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forced: Vec<[usize; 2]>,
    /// Why the step did not learn from its group; none where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// The reward components by name, in the order of the rubric.
    #[serde(with = "ordered_map")]
    pub components: Vec<(String, ComponentRow)>,
    /// The weighted sum r_i; `None` if no component applied.
    pub reward: Option<f32>,
    /// The advantage A_i.
    pub advantage: f32,
}

/// Why a step does not learn from a group that it has sampled (dynamic sampling).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// `not_mixed`: its rewards, or whether its completions are right, do not differ.
    NotMixed,
    /// `surplus`: it is mixed, but groups before it are enough.
    Surplus,
}

/// What one rule said about a completion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComponentRow {
    /// The score before weighting; `None` if the rule does not apply.
    pub score: Option<f32>,
    /// Why.
    pub reason: String,
    /// What was judged, such as the answer found.
    pub extracted: Option<String>,
    /// The rule that decided.
    pub rule: String,
    /// The steps it scored, in the order of the text; none for most rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRow>,
}

/// What one step of a completion is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// Where it ends in the text, in characters, exclusive.
    pub end: usize,
    /// Tokens of the completion until there, where its tokens are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_token: Option<usize>,
    /// Its score.
    pub score: f32,
}

impl StepRow {
    /// The steps of a verdict on `text`, whose tokens are not known.
    pub fn all(steps: &[StepScore], text: &str) -> Vec<Self> {
        let ends = ends_in_characters(steps, text).into_iter().zip(steps);
        ends.map(|(end, step)| Self { end, end_token: None, score: step.score }).collect()
    }
}

/// A JSON object as a list of pairs: unlike a map it keeps the rubric's order.
mod ordered_map {
    use super::{ComponentRow, Deserializer, MapAccess, SerializeMap, Serializer, Visitor, fmt};

    type Pairs = Vec<(String, ComponentRow)>;

    pub fn serialize<S: Serializer>(pairs: &Pairs, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(pairs.len()))?;
        for (name, component) in pairs {
            map.serialize_entry(name, component)?;
        }
        map.end()
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of reward components")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// Writes the completions of a step, all of them or none.
///
/// # Errors
/// The path and the system's error.
pub fn write(run: &Path, stage: &str, step: u64, rows: &[CompletionRow]) -> Result<(), FileError> {
    let path = completions_file(run, stage, step);
    atomic::create_folder(path.parent().unwrap_or(run))?;
    atomic::write_file_with(&path, |file| {
        for row in rows {
            serde_json::to_writer(&mut *file, row)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    })
}

/// The completions of a step, in the order they were written.
///
/// # Errors
/// The system's error, or a malformed line with its number.
pub fn read(run: &Path, stage: &str, step: u64) -> Result<Vec<CompletionRow>, LineError> {
    lines::read_whole(&completions_file(run, stage, step))
}

/// The stages of a run that have completions, sorted by name.
///
/// # Errors
/// The path and the system's error.
pub fn stages(run: &Path) -> Result<Vec<String>, FileError> {
    let folders = atomic::entries(&run.join("completions"))?.into_iter().filter(|path| path.is_dir());
    Ok(folders.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
}

/// The steps of a stage that have completions, ascending.
///
/// # Errors
/// The path and the system's error.
pub fn steps(run: &Path, stage: &str) -> Result<Vec<u64>, FileError> {
    let mut steps: Vec<u64> = atomic::entries(&run.join("completions").join(stage))?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .filter_map(|path| parse_step(path.file_stem()?.to_str()?))
        .collect();
    steps.sort_unstable();
    Ok(steps)
}

/// Removes the completions that lie after `point`. Returns the number of files removed.
///
/// # Errors
/// The path and the system's error.
pub fn remove_after(run: &Path, point: &ResumePoint<'_>) -> Result<usize, FileError> {
    let mut n_removed = 0;
    for stage in stages(run)? {
        for step in steps(run, &stage)?.into_iter().filter(|step| !point.keeps(&stage, *step)) {
            atomic::remove(&completions_file(run, &stage, step))?;
            n_removed += 1;
        }
    }
    Ok(n_removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(row: usize) -> CompletionRow {
        let component = |score, reason: &str, extracted: Option<&str>| ComponentRow {
            score,
            reason: reason.into(),
            extracted: extracted.map(Into::into),
            rule: "test".into(),
            steps: Vec::new(),
        };
        let mut right = component(Some(1.0), "right", Some("2*3"));
        let steps = [StepScore { end: 4, score: 1.0 }, StepScore { end: 24, score: -0.5 }];
        right.steps = StepRow::all(&steps, "line\nbreak \"quoted\" \u{1f600}");
        right.steps[0].end_token = Some(2);
        CompletionRow {
            step: 3,
            problem_id: "p\u{e9}".into(),
            group: 0,
            row,
            prompt: "2, 3 -> 6".into(),
            text: "line\nbreak \"quoted\" \u{1f600}".into(),
            n_tokens: 7,
            stop_reason: "end_token".into(),
            token_ids: None,
            n_thinking_tokens: None,
            forced: Vec::new(),
            left_out: None,
            question: "2, 3?".into(),
            gold: rewards::Gold::countdown(vec![2, 3], 6),
            components: vec![("zeta".into(), right), ("alpha".into(), component(None, "does not apply", None))],
            reward: Some(1.2),
            advantage: -0.1,
        }
    }

    #[test]
    fn rows_come_back_as_they_were_in_the_order_of_the_rubric() {
        let run = tempfile::tempdir().unwrap();
        let rows = [row(0), row(1)];
        write(run.path(), "rl", 3, &rows).unwrap();
        assert_eq!(read(run.path(), "rl", 3).unwrap(), rows);
        let text = std::fs::read_to_string(completions_file(run.path(), "rl", 3)).unwrap();
        let expected = concat!(
            r#"{"step":3,"problem_id":"pé","group":0,"row":0,"prompt":"2, 3 -> 6","text":"line\nbreak \"quoted\" 😀","#,
            r#""n_tokens":7,"stop_reason":"end_token","question":"2, 3?","gold":{"numbers":[2,3],"target":6},"components":{"#,
            r#""zeta":{"score":1.0,"reason":"right","extracted":"2*3","rule":"test","#,
            r#""steps":[{"end":4,"end_token":2,"score":1.0},{"end":21,"score":-0.5}]},"#,
            r#""alpha":{"score":null,"reason":"does not apply","extracted":null,"rule":"test"}},"#,
            r#""reward":1.2,"advantage":-0.1}"#,
        );
        assert_eq!(text.lines().next().unwrap(), expected);
    }

    #[test]
    fn a_resume_removes_the_steps_after_it() {
        let run = tempfile::tempdir().unwrap();
        for (stage, step) in [("sft", 50), ("rl", 1), ("rl", 2), ("rl", 3), ("late", 1)] {
            write(run.path(), stage, step, &[row(0)]).unwrap();
        }
        let earlier = ["sft".to_owned()];
        let point = ResumePoint { kept_stages: &earlier, stage: "rl", step: 2 };
        assert_eq!(remove_after(run.path(), &point).unwrap(), 2);
        assert_eq!(steps(run.path(), "sft").unwrap(), [50]);
        assert_eq!(steps(run.path(), "rl").unwrap(), [1, 2]);
        assert!(steps(run.path(), "late").unwrap().is_empty());
        assert_eq!(stages(run.path()).unwrap(), ["late", "rl", "sft"]);
    }
}
