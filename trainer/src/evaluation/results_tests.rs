//! The tables of two made-up models.

use std::collections::BTreeMap;

use super::*;
use crate::evaluation::{Label, Range, Sample, Score};

fn asked(level: &str, correct: [bool; 2], n_tokens: usize) -> Asked {
    let sample = |correct: bool| Sample {
        correct: Some(correct),
        answer: Some(if correct { "1" } else { "2" }.to_owned()),
        formatted: Some(true),
        n_tokens,
        n_thinking_tokens: n_tokens / 2,
        truncated: false,
        within_budget: None,
        scores: Vec::new(),
    };
    let labels = BTreeMap::from([(Label::Level, level.to_owned())]);
    Asked { labels, samples: correct.map(sample).to_vec(), greedy: None }
}

fn point(cap: Option<u64>, waits: Option<u64>, thinking_tokens: f64, right: [f64; 2]) -> BudgetPoint {
    let control = cap.map(|_| Control { n: 4, fraction: 0.75 });
    BudgetPoint { cap, waits, thinking_tokens, accuracy: Estimate::of(&right, Range::Fraction), control }
}

fn results() -> Results {
    let budget = vec![
        point(None, None, 100.0, [0.5, 0.5]),
        point(Some(20), None, 20.0, [0.0, 0.5]),
        point(None, Some(2), 300.0, [1.0, 0.5]),
    ];
    let one = |model: &str, asked: &[Asked], budget| SetResult::new(model, "sums", asked, &Measures::default(), budget);
    let base = [asked("1", [true, false], 10), asked("2", [false, false], 30)];
    let zero = [asked("1", [true, true], 20), asked("2", [true, false], 50)];
    Results {
        stage: "table".to_owned(),
        models: vec!["base".to_owned(), "zero".to_owned()],
        results: vec![one("base", &base, Vec::new()), one("zero", &zero, budget)],
    }
}

#[test]
fn parts_have_scores_where_no_answer_is_judged_and_no_empty_column() {
    let scored = |level: &str, value: f64| {
        let mut asked = asked(level, [true; 2], 10);
        for sample in &mut asked.samples {
            (sample.correct, sample.answer, sample.formatted) = (None, None, None);
            sample.scores = vec![Score { name: "liked".to_owned(), value: Some(value), range: Range::Fraction }];
        }
        asked
    };
    let asked = [scored("1", 0.25), scored("2", 0.75)];
    let result = SetResult::new("base", "talk", &asked, &Measures::default(), Vec::new());
    let results = Results { stage: "table".to_owned(), models: vec!["base".to_owned()], results: vec![result] };
    let text = results.markdown();
    let parts: Vec<Vec<&str>> = (text.lines().filter(|line| line.contains("part") || line.contains("level")))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(parts[0], ["model", "part", "problems", "liked", "tokens"], "{text}");
    assert!(parts[1][3].starts_with("0.250 (") && parts[2][3].starts_with("0.750 ("), "{text}");
}

#[test]
fn tables_have_a_row_a_model_and_a_column_a_metric() {
    let text = results().markdown();
    let cells = |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().to_owned()).collect() };
    let lines: Vec<Vec<String>> = text.lines().map(cells).collect();
    let begins = |line: &&Vec<String>, first: &[&str]| line.get(1..=first.len()).is_some_and(|cells| cells == first);
    let find = |first: &[&str]| lines.iter().find(|line| begins(line, first)).expect(first[0]);
    assert!(text.starts_with("### sums: 2 problems, 2 samples each\n\n| model "), "{text}");
    assert_eq!(
        find(&["model", "pass@1"])[1..7],
        ["model", "pass@1", "format", "tokens", "thinking tokens", "truncated"]
    );
    let base = find(&["base"]);
    assert!(base[2].starts_with("0.250 (0.000\u{2013}") && base[4].starts_with("20.0 ("), "{base:?}");
    // Wilson's of one trial: 1/2 +- z / (2 sqrt(1 + z^2)).
    assert_eq!(find(&["zero", "level 2"])[3..5], ["1", "0.500 (0.055\u{2013}0.945)"]);
    assert_eq!(find(&["zero", "cap 20"])[3..6], ["20.0", "0.250 (0.000\u{2013}1.000)", "0.750"]);
    assert_eq!(find(&["zero", "wait 2"])[3], "300.0");
    // Slopes by 1,000 tokens: 3.125 and 1.25 and about 1.786.
    assert_eq!(find(&["zero", "0.750"])[2..5], ["0.750", "+2.054", "0.750"]);
    assert_eq!(lines.iter().filter(|line| line.get(1).is_some_and(|cell| cell == "base")).count(), 3);
}

#[test]
fn points_are_written_as_values() {
    let csv = results().budget_csv().unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "set,model,point,thinking_tokens,accuracy,low,high,control");
    assert_eq!(lines[1], "sums,zero,cap 20,20.000,0.250000,0.000000,1.000000,0.750000");
    assert!(lines[2].starts_with("sums,zero,as it is,100.000,0.500000,") && lines[2].ends_with(','));
    assert_eq!(lines.len(), 4);
    assert_eq!(BudgetCurve::of(Vec::new()), None);
    let json = serde_json::to_value(results()).unwrap();
    assert_eq!(json["results"][1]["budget"]["points"][0]["cap"], 20);
    assert_eq!(json["results"][0]["n_problems"], 2);
}
