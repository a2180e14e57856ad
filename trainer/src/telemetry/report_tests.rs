//! Intervals against hand-computed values; the files of a finished run.

use super::*;

fn samples(correct: &[u8]) -> Vec<EvalSample> {
    correct.iter().map(|c| EvalSample { correct: *c == 1, formatted: true, n_tokens: 10 }).collect()
}

fn check_interval(correct: &[u8], samples_per_problem: usize, pass_at_1: f64, interval: [f64; 2]) {
    let got = EvalSummary::new(&samples(correct), samples_per_problem);
    assert!((got.pass_at_1 - pass_at_1).abs() < 1e-12, "{}", got.pass_at_1);
    for (end, expected) in got.pass_at_1_ci95.iter().zip(interval) {
        assert!((end - expected).abs() < 5e-5, "{:?}, not {interval:?}", got.pass_at_1_ci95);
    }
}

#[test]
fn one_sample_a_problem_has_wilsons_interval() {
    // The roots p of (p - k/n)^2 = z^2 p (1 - p) / n, which is the condition behind the formula, from the quadratic
    // formula.
    check_interval(&[0; 10], 1, 0.0, [0.0, 0.27753]);
    check_interval(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1, 0.1, [0.01788, 0.40415]);
    check_interval(&[1, 1, 1, 1, 1, 0, 0, 0, 0, 0], 1, 0.5, [0.23659, 0.76341]);
    check_interval(&[1; 10], 1, 1.0, [0.72247, 1.0]);
}

#[test]
fn several_samples_a_problem_are_clustered() {
    // Problem means 1, 0.5, 0.5 and 0.5, five times over: Student's t(0.975, 19) is 2.0930.
    let answers: Vec<u8> = [1, 1, 1, 0, 0, 1, 1, 0].repeat(5);
    let half = 2.093_024 * (20.0_f64 / 19.0 * 0.75 * 0.25 * 0.25 / 20.0).sqrt();
    check_interval(&answers, 2, 0.625, [0.625 - half, 0.625 + half]);
    // Copies of one sample are no new knowledge: eight times the same answers, the interval of the problems alone.
    let copies: Vec<u8> = [1_u8, 0, 1, 0].iter().flat_map(|c| [*c; 8]).collect();
    check_interval(&copies, 8, 0.5, [0.15004, 0.84996]);
    // Nothing but right answers does not make it certain.
    check_interval(&[1; 20], 2, 1.0, [0.72247, 1.0]);
}

#[test]
fn shares_and_lengths() {
    let sample = |formatted, n_tokens| EvalSample { correct: false, formatted, n_tokens };
    let eval = EvalSummary::new(&[sample(true, 10), sample(false, 20), sample(true, 30), sample(true, 40)], 2);
    assert_eq!((eval.format, eval.mean_tokens, eval.n_problems, eval.samples_per_problem), (0.75, 25.0, 2, 2));
}

fn summary() -> Summary {
    let eval = |pass_at_1, ci: [f64; 2], format, mean_tokens| EvalSummary {
        pass_at_1,
        pass_at_1_ci95: ci,
        format,
        mean_tokens,
        n_problems: 1024,
        samples_per_problem: 1,
    };
    let before = eval(0.2041, [0.1806, 0.2299], 0.3125, 48.2);
    let after = eval(0.8125, [0.7874, 0.8352], 0.9951, 97.64);
    let info = RunInfo {
        identity: "ab".into(),
        run_file: "configs/r1_zero.toml".into(),
        version: "0.1.0".into(),
        commit: "abc123".into(),
        libtorch: "2.11.0".into(),
        device: "cpu".into(),
        threads: 2,
        machine: Machine { cpu: "Example CPU".into(), cores: 2, memory_gib: 16 },
        command: vec!["grpo-train".into(), "--config".into(), "configs/r1_zero.toml".into()],
        started_at: "2026-11-23T07:15:00Z".into(),
        resumed: vec![],
    };
    let stage = StageSummary { name: "r1_zero".into(), steps: 200, before: Some(before), after: Some(after) };
    let silent = StageSummary { name: "warm_up".into(), steps: 5, before: None, after: None };
    Summary::new(&info, 1, 392.4, 1_234_567, vec![silent, stage])
}

#[test]
fn the_table_on_a_terminal() {
    let expected = "\
1,024 held-out problems        before         after
───────────────────────────────────────────────────
pass@1                          0.204         0.812
  95 % interval           0.181–0.230   0.787–0.835
format                          0.312         0.995
mean completion tokens           48.2          97.6";
    assert_eq!(summary().table().unwrap(), expected);
    assert_eq!(Summary { before: None, ..summary() }.table(), None);
}

#[test]
fn the_report_shows_table_picture_and_origin() {
    let text = summary().markdown("r1_zero", &[]);
    for part in [
        "# r1_zero\n",
        "| 1,024 held-out problems | before | after |\n|---|---:|---:|\n| pass@1 | 0.204 | 0.812 |\n",
        "![Training curves](curves.svg)",
        "- Command: `grpo-train --config configs/r1_zero.toml`\n",
        "- Stages: warm_up (5 steps), r1_zero (200 steps)\n",
        "- Wall time: 6 min 32 s\n",
        "- Tokens: 1,234,567\n",
        "- Machine: Example CPU, 2 cores, 16 GiB; device cpu, 2 threads\n",
        "- Program: grpo-train 0.1.0 (abc123), libtorch 2.11.0\n",
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
}

#[test]
fn the_report_says_what_the_doctor_said() {
    assert!(!summary().markdown("r1_zero", &[]).contains("doctor"));
    let row = r#"{"stage":"r1_zero","step":12,"symptom":"all_truncated","kind":"warning","since":10,"message":"cut off",
                  "numbers":{"clipped_ratio":1.0},"advice":["a larger rollout.max_tokens"]}"#;
    let told = Summary { doctor: vec![serde_json::from_str(row).unwrap()], ..summary() };
    let expected =
        "\n## The doctor said\n\n- the doctor, stage r1_zero, step 12: cut off\n  - try: a larger rollout.max_tokens\n";
    assert!(told.markdown("r1_zero", &[]).ends_with(expected));
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(json["doctor"][0]["numbers"]["clipped_ratio"], 1.0);
}

#[test]
fn the_summary_has_the_promised_keys() {
    let folder = tempfile::tempdir().unwrap();
    summary().write(folder.path(), "r1_zero", &[]).unwrap();
    let text = std::fs::read_to_string(folder.path().join("summary.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["before"]["pass_at_1"], 0.2041);
    assert_eq!(value["after"]["pass_at_1_ci95"][1], 0.8352);
    assert_eq!(value["after"]["format"], 0.9951);
    assert_eq!(value["after"]["mean_tokens"], 97.64);
    assert_eq!(value["wall_seconds"], 392.4);
    assert_eq!(value["commit"], "abc123");
    assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), summary());
}
