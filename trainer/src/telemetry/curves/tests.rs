//! The picture of a made-up run.

use super::*;
use crate::telemetry::{EvalSummary, StepMetrics};

/// Noise in [-1, 1) that is the same in every run of the test.
fn noise(seed: u64) -> f64 {
    let mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((mixed ^ (mixed >> 32)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn row(stage: &str, step: u64, n_steps: u64) -> MetricsRow {
    let progress = step as f64 / n_steps as f64;
    let rise = 1.0 / (1.0 + (-(progress - 0.42) * 9.0).exp());
    let wobble = |channel: u64, size: f64| size * noise(step * 16 + channel);
    let accuracy = (0.2 + 0.62 * rise + wobble(0, 0.06)).clamp(0.0, 1.0);
    let format = (0.35 + 0.64 * (1.0 - (-progress * 14.0).exp()) + wobble(1, 0.03)).clamp(0.0, 1.0);
    let metrics = StepMetrics::from([
        (names::ACCURACY, accuracy),
        (names::FORMAT, format),
        (names::MEAN_LENGTH, 46.0 + 58.0 * rise - 8.0 * (-(progress - 0.08).powi(2) * 300.0).exp() + wobble(2, 5.0)),
        (names::REWARD, accuracy + 0.2 * format),
        (names::KL, (0.11 * progress.sqrt() * (1.0 + wobble(3, 0.25))).max(0.0)),
        (names::ENTROPY, 1.35 - 0.9 * rise + wobble(4, 0.05)),
        (names::LOGPROB_GAP_MAX, 4e-6 * (1.0 + 0.7 * noise(step * 16 + 5)).powi(2)),
        (names::LOGPROB_GAP_MEAN, 2.4e-7 * (1.0 + wobble(6, 0.2))),
        (names::LOSS, wobble(7, 1e-4)),
        (names::GRAD_NORM, 0.4 + wobble(8, 0.2)),
    ]);
    MetricsRow { stage: stage.into(), step, metrics }
}

fn eval(stage: &str, step: u64, pass_at_1: f64, format: f64, mean_tokens: f64) -> EvalRow {
    let result = EvalSummary {
        pass_at_1,
        pass_at_1_ci95: [pass_at_1 - 0.025, pass_at_1 + 0.025],
        format,
        mean_tokens,
        n_problems: 1024,
        samples_per_problem: 1,
    };
    EvalRow { stage: stage.into(), step, result, seconds: 1.0 }
}

fn run() -> (Vec<MetricsRow>, Vec<EvalRow>) {
    let metrics = (1..=240).map(|step| row("r1_zero", step, 240)).collect();
    let evals = vec![
        eval("r1_zero", 0, 0.204, 0.36, 47.0),
        eval("r1_zero", 120, 0.61, 0.98, 86.0),
        eval("r1_zero", 240, 0.815, 0.99, 104.0),
    ];
    (metrics, evals)
}

/// Where the written picture can be looked at: `CURVES_OUT=folder cargo test curves`.
fn keep(svg: &str, name: &str) {
    if let Some(folder) = std::env::var_os("CURVES_OUT") {
        std::fs::write(Path::new(&folder).join(name), svg).unwrap();
    }
}

#[test]
fn a_run_is_drawn_in_six_panels() {
    let (metrics, evals) = run();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("curves.svg");
    Curves { title: "r1_zero", metrics: &metrics, evals: &evals }.write(&path).unwrap();
    let svg = std::fs::read_to_string(&path).unwrap();
    keep(&svg, "run.svg");
    assert!(svg.starts_with("<svg width=\"1200\" height=\"646\" viewBox=\"0 0 9600 5168\""), "{}", &svg[..120]);
    for title in ["Accuracy and format", "Completion length", "Reward", "KL to", "Entropy", "Log-prob gap", "held-out"]
    {
        assert!(svg.contains(title), "{title}");
    }
    assert!(!svg.contains("Gradient norm"), "the seventh panel has no place");
    // Raw and smoothed, for eight curves; every held-out point of three curves is a disc and a rim.
    assert_eq!(svg.matches("<circle").count(), 2 * 3 * 3);
    assert!(svg.len() < 400_000, "{} bytes", svg.len());
}

#[test]
fn the_curve_follows_the_numbers() {
    // A metric that rises must end higher in the picture than it began; upside down or reversed fails here.
    let (metrics, _) = run();
    let curves = Curves { title: "t", metrics: &metrics, evals: &[] };
    let svg = curves.svg();
    // The accuracy's trend is the first thick blue line with more than the two points of the key.
    let thick = format!("stroke-width=\"{}\"", (2.6 * FINE).round());
    let mut blue = svg.lines().filter(|l| l.contains("<polyline") && l.contains("#0072B2") && l.contains(&thick));
    let trend = blue.find(|line| line.len() > 1_000).unwrap();
    let points = trend.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
    let points: Vec<(f64, f64)> = points
        .split_whitespace()
        .map(|point| point.split_once(',').map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).unwrap())
        .collect();
    let (first, last) = (points[0], points[points.len() - 1]);
    assert!(points.len() > 100 && last.0 > first.0 && last.1 < first.1 - 100.0 * FINE, "{first:?} {last:?}");
}

#[test]
fn a_stage_without_rewards_shows_loss_and_gradient() {
    let metrics: Vec<MetricsRow> = (1..=60)
        .map(|step| {
            let loss = 1.1 + 3.0 * (-(step as f64) / 12.0).exp() + 0.05 * noise(step);
            let values =
                [(names::LOSS, loss), (names::GRAD_NORM, 1.0 + 0.3 * noise(step + 99)), ("learning_rate", 1e-3)];
            MetricsRow { stage: "pretrain".into(), step, metrics: StepMetrics::from(values) }
        })
        .collect();
    let svg = Curves { title: "countdown_base", metrics: &metrics, evals: &[] }.svg();
    keep(&svg, "pretrain.svg");
    assert!(svg.contains("Loss") && svg.contains("Gradient norm") && svg.contains("Learning rate"));
    assert!(!svg.contains("Accuracy") && !svg.contains("held-out"));
}

#[test]
fn stages_lie_side_by_side() {
    let metrics: Vec<MetricsRow> =
        (1..=40).map(|step| row("warm_up", step, 80)).chain((1..=80).map(|step| row("rl", step, 80))).collect();
    let evals = [eval("rl", 0, 0.3, 0.4, 50.0), eval("rl", 80, 0.8, 1.0, 100.0)];
    let curves = Curves { title: "two stages", metrics: &metrics, evals: &evals };
    assert_eq!(curves.stage_ends(), [("warm_up", 40.0), ("rl", 120.0)]);
    assert_eq!((curves.x("rl", 0), curves.x("rl", 80), curves.inner_borders()), (40.0, 120.0, vec![40.0]));
    keep(&curves.svg(), "stages.svg");
}

#[test]
fn no_steps_and_one_step_are_no_trouble() {
    assert!(Curves { title: "nothing", metrics: &[], evals: &[] }.svg().contains("nothing"));
    let metrics = [row("rl", 1, 1)];
    let svg = Curves { title: "a <b> & \"c\"", metrics: &metrics, evals: &[] }.svg();
    keep(&svg, "one.svg");
    assert!(svg.contains("a &lt;b&gt; &amp; &quot;c&quot;") && svg.contains("Accuracy"));
}
