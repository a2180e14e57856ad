//! The shaping rewards against those of TRL, open-r1 and the Kimi k1.5 report (scripts/golden/shaping.py, trl 1.16.0).

use std::collections::BTreeMap;
use std::fs;

use rewards::{
    CompletionView, Cosine, Gold, GoldError, KimiLength, Problem, Repetition, RewardFn, SoftOverlong, Verdict,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    reward: String,
    options: Value,
    groups: Vec<Vec<Completion>>,
    /// Score of each completion of each group; none where the reward does not apply.
    scores: Vec<Vec<Option<f64>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Completion {
    #[serde(default)]
    text: String,
    /// Where only the length counts: the first character, and how many there are.
    letter: Option<char>,
    #[serde(default)]
    n_chars: usize,
    n_tokens: usize,
    token_ids: Option<Vec<i64>>,
}

impl Completion {
    /// The text as the script has made it.
    fn text(&self) -> String {
        match self.letter {
            Some(letter) => std::iter::once(letter).chain("aöb".chars().cycle()).take(self.n_chars).collect(),
            None => self.text.clone(),
        }
    }

    fn view<'a>(&'a self, text: &'a str) -> CompletionView<'a> {
        let mut view = CompletionView::new(text, self.n_tokens, false);
        view.token_ids = self.token_ids.as_deref();
        view
    }
}

/// Right, wrong or not applicable by the first letter: what the script puts in the place of a judge of correctness.
struct FirstLetter;

impl RewardFn for FirstLetter {
    fn name(&self) -> &str {
        "first_letter"
    }

    fn check_gold(&self, _: &Problem) -> Result<(), GoldError> {
        Ok(())
    }

    fn judge(&self, _: &Problem, completion: &CompletionView<'_>) -> Verdict {
        match completion.text.chars().next() {
            Some('r') => Verdict::scored(1.0, "letter", "right"),
            Some('w') => Verdict::scored(0.0, "letter", "wrong"),
            _ => Verdict::not_applicable("letter", "neither"),
        }
    }
}

fn rows() -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/shaping.jsonl");
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

fn reward(name: &str, options: &Value) -> Box<dyn RewardFn> {
    fn read<T: for<'de> Deserialize<'de>>(options: &Value) -> T {
        T::deserialize(options).unwrap_or_else(|error| panic!("{options}: {error}"))
    }
    match name {
        "cosine" => Box::new(Cosine::new(read(options), Box::new(FirstLetter)).unwrap()),
        "kimi_length" => Box::new(KimiLength::new(read(options), Box::new(FirstLetter)).unwrap()),
        "repetition" => Box::new(Repetition::new(read(options)).unwrap()),
        "soft_overlong" => Box::new(SoftOverlong::new(read(options)).unwrap()),
        _ => panic!("no reward {name}"),
    }
}

/// Float64 in Python, rounded to float32 here; the cosines of two mathematics libraries may differ in the last bit before.
const TOLERANCE: f64 = 1e-6;

#[test]
fn scores_are_those_of_the_originals() {
    let problem = Problem { id: String::new(), question: String::new(), gold: Gold::default() };
    for row in rows() {
        let texts: Vec<Vec<String>> =
            row.groups.iter().map(|group| group.iter().map(Completion::text).collect()).collect();
        let views: Vec<Vec<CompletionView<'_>>> = (row.groups.iter().zip(&texts))
            .map(|(group, texts)| group.iter().zip(texts).map(|(completion, text)| completion.view(text)).collect())
            .collect();
        let groups: Vec<(&Problem, &[CompletionView<'_>])> =
            views.iter().map(|group| (&problem, group.as_slice())).collect();
        let verdicts = reward(&row.reward, &row.options).judge_batch(&groups);
        let found: Vec<Vec<Option<f32>>> =
            verdicts.iter().map(|group| group.iter().map(|verdict| verdict.score).collect()).collect();
        assert_eq!(found.len(), row.scores.len());
        for (found, expected) in found.concat().iter().zip(row.scores.concat()) {
            let context = format!("{} {}: {found:?}, not {expected:?}", row.reward, row.options);
            assert_eq!(found.is_some(), expected.is_some(), "{context}");
            let off = (f64::from(found.unwrap_or(0.0)) - expected.unwrap_or(0.0)).abs();
            assert!(off <= TOLERANCE * expected.unwrap_or(0.0).abs().max(1.0), "{context}");
        }
    }
}

#[test]
fn the_table_is_wide_enough_to_mean_something() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut different: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for row in rows() {
        let scores = row.scores.concat();
        *counts.entry(row.reward.clone()).or_default() += scores.len();
        let rounded = scores.iter().flatten().map(|score| (score * 1000.0).round() as i64);
        different.entry(row.reward).or_default().extend(rounded);
    }
    for (name, scores) in &mut different {
        scores.sort_unstable();
        scores.dedup();
        assert!(counts[name] >= 40 && scores.len() >= 5, "{name}: {} scores, {scores:?}", counts[name]);
    }
    assert_eq!(counts.len(), 4, "{counts:?}");
}
