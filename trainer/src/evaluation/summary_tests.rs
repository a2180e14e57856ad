//! A small set measured by hand.

use super::*;

fn sample(correct: Option<bool>, answer: Option<&str>, n_tokens: usize) -> Sample {
    let score = Score {
        name: "language".to_owned(),
        value: correct.map(|c| if c { 1.0 } else { 0.5 }),
        range: Range::Fraction,
    };
    Sample {
        correct,
        answer: answer.map(str::to_owned),
        formatted: Some(n_tokens > 10),
        n_tokens,
        n_thinking_tokens: n_tokens / 2,
        truncated: n_tokens == 40,
        within_budget: None,
        scores: vec![score],
    }
}

fn asked(labels: &[(Label, &str)], samples: Vec<Sample>) -> Asked {
    let labels = labels.iter().map(|&(label, value)| (label, value.to_owned())).collect();
    Asked { labels, greedy: Some(samples[0].clone()), samples }
}

fn problems() -> Vec<Asked> {
    let (right, wrong) = (Some(true), Some(false));
    vec![
        asked(
            &[(Label::Domain, "math"), (Label::Level, "10")],
            vec![sample(wrong, Some("3"), 10), sample(right, Some("1/2"), 20), sample(right, Some("0.5"), 30)],
        ),
        asked(
            &[(Label::Domain, "math"), (Label::Level, "2")],
            vec![sample(right, Some("7"), 40), sample(wrong, None, 40), sample(wrong, None, 40)],
        ),
        asked(
            &[(Label::Domain, "math"), (Label::Level, "2")],
            vec![sample(wrong, None, 20), sample(wrong, None, 20), sample(wrong, None, 20)],
        ),
        // No reward says what is right here.
        asked(&[(Label::Domain, "helpful")], vec![sample(None, None, 4), sample(None, None, 4), sample(None, None, 4)]),
    ]
}

#[test]
fn a_set_and_its_parts_are_measured() {
    let measures = Measures { pass_at: vec![2], consensus: true };
    let summary = Summary::of(&problems(), &measures);
    assert_eq!((summary.n_problems, summary.n_samples), (4, 3));
    let names: Vec<String> = summary.metrics.iter().map(|measured| measured.metric.to_string()).collect();
    let columns =
        ["pass@1", "pass@2", "cons@3", "greedy", "format", "language", "tokens", "thinking tokens", "truncated"];
    assert_eq!(names, columns);
    let check = |metric: Metric, n: usize, mean: f64| {
        let estimate = summary.get(&metric).unwrap();
        assert_eq!(estimate.n, n, "{metric}");
        assert!((estimate.mean - mean).abs() < 1e-12, "{metric}: {}, not {mean}", estimate.mean);
    };
    check(Metric::PassAt(1), 3, (2.0 / 3.0 + 1.0 / 3.0) / 3.0);
    check(Metric::PassAt(2), 3, (1.0 + 2.0 / 3.0) / 3.0);
    check(Metric::ConsAt(3), 3, 2.0 / 3.0);
    check(Metric::Greedy, 3, 1.0 / 3.0);
    check(Metric::Format, 4, (2.0 / 3.0 + 1.0 + 1.0) / 4.0);
    check(Metric::Score("language".to_owned()), 3, (2.5 / 3.0 + 2.0 / 3.0 + 0.5) / 3.0);
    check(Metric::Tokens, 4, (20.0 + 40.0 + 20.0 + 4.0) / 4.0);
    check(Metric::ThinkingTokens, 4, (10.0 + 20.0 + 10.0 + 2.0) / 4.0);
    check(Metric::Truncated, 4, 0.25);
    // What no problem of a part says anything of has no row there; a division into one part is none.
    let parts: Vec<(Label, &str, usize)> =
        summary.parts.iter().map(|part| (part.by, &*part.value, part.n_problems)).collect();
    let divided =
        [(Label::Domain, "helpful", 1), (Label::Domain, "math", 3), (Label::Level, "2", 2), (Label::Level, "10", 1)];
    assert_eq!(parts, divided);
    for metric in [Metric::PassAt(1), Metric::ConsAt(3), Metric::Greedy] {
        assert!(summary.parts[0].metrics.iter().all(|measured| measured.metric != metric), "{metric}");
    }
    assert_eq!(summary.parts[2].metrics[0].estimate.mean, 1.0 / 6.0);
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["metrics"][3]["metric"], "greedy");
    assert_eq!(json["metrics"][3]["n"], 3);
    let ranges = [&json["metrics"][3]["range"], &json["metrics"][6]["range"]];
    assert_eq!(ranges, ["fraction", "unbounded"], "greedy and tokens");
    assert!(json["metrics"][3]["interval"][1].as_f64().unwrap() < 1.0);
    assert_eq!(json["parts"][2]["by"], "level");
}

#[test]
fn labels_are_read_from_rows() {
    let row = r#"{"question": "q", "level": 5, "subject": "Algebra", "domain": "", "language": null}"#;
    let problem: Problem = serde_json::from_str(row).unwrap();
    let labels = Label::ALL.map(|label| label.of(&problem));
    assert_eq!(labels, [None, Some("5".to_owned()), None, Some("Algebra".to_owned())]);
}
