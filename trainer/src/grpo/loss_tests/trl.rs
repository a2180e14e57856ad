//! The loss against TRL's: aggregation, clip, KL term and truncated importance weights.

use super::*;

#[derive(Deserialize)]
struct Manifest {
    max_completion_length: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    loss_type: String,
    micro_batches: usize,
    kl_beta: f64,
    kl_times_ratio: bool,
    clip_epsilon: f64,
    clip_epsilon_high: f64,
    importance_cap: Option<f64>,
    metrics: Option<HashMap<String, f64>>,
}

impl Case {
    fn objective(&self) -> Objective {
        Objective {
            surrogate: Surrogate::Clip { low: self.clip_epsilon, high: self.clip_epsilon_high, delta: None },
            kl_beta: self.kl_beta,
            kl_times_ratio: self.kl_times_ratio,
            importance: self.importance_cap.map(Importance::capped),
            ..PLAIN
        }
    }

    /// Ours under TRL's name.
    fn aggregation(&self) -> Aggregation {
        match self.loss_type.as_str() {
            "grpo" => Aggregation::PerCompletion,
            "dapo" => Aggregation::PerToken,
            "dr_grpo" => Aggregation::Constant,
            "bnpo" => Aggregation::Local,
            other => panic!("unknown loss type {other}"),
        }
    }
}

/// scripts/golden/loss.py, torch 2.11, trl 1.16: loss, gradient at every token and the logged means, in float64 and
/// float32 from the same float32 inputs.
#[test]
fn equal_to_trl() {
    let manifest: Manifest = serde_json::from_str(&std::fs::read_to_string(golden("manifest.json")).unwrap()).unwrap();
    let (flat, expected) = (golden_batch(), tensors("expected.safetensors"));
    let mask = tensors("batch.safetensors")["mask"].to_kind(Kind::Bool);
    let n_capped = manifest.cases.iter().filter(|case| case.importance_cap.is_some()).count();
    assert!(manifest.cases.len() >= 32 && n_capped >= 4, "{} cases, {n_capped} capped", manifest.cases.len());
    for case in &manifest.cases {
        let shares =
            Shares { max_tokens: manifest.max_completion_length, block: flat.lengths.len() / case.micro_batches };
        let weights = token_weights(&flat.lengths, case.aggregation(), shares);
        let rows: Vec<f64> =
            Vec::try_from(expected[&format!("{}/row_normalizers", case.name)].to_kind(Kind::Double)).unwrap();
        for (weight, row) in weights.iter().zip(rows) {
            close(*weight, 1.0 / row, 1e-15, &case.name);
        }
        let weights = spread(&weights, &flat.lengths);
        for (kind, key, tolerance) in [(Kind::Double, "float64", 1e-12), (Kind::Float, "float32", 1e-6)] {
            let Outcome { loss, gradient, stats, .. } =
                evaluate(&flat, &weights, &case.objective(), kind, flat.n_tokens());
            let at = |what: &str| &expected[&format!("{}/{key}/{what}", case.name)];
            let what = format!("{} {key}", case.name);
            close(loss, at("loss").double_value(&[]), tolerance, &what);
            close(stats.loss(case.kl_beta), loss, tolerance, &what);
            all_close(&gradient, &at("gradient").masked_select(&mask), tolerance, &what);
            check_metrics(case, &stats, &what);
        }
    }
}

fn check_metrics(case: &Case, stats: &LossStats, what: &str) {
    let Some(metrics) = &case.metrics else { return };
    for (name, got) in [
        ("clip_ratio/low_mean", stats.clip_ratio_low()),
        ("clip_ratio/high_mean", stats.clip_ratio_high()),
        ("clip_ratio/region_mean", stats.clip_ratio_region()),
    ] {
        assert!(metrics[name] > 0.0, "{what}: the batch clips nothing");
        close(got, metrics[name], 1e-6, &format!("{what} {name}"));
    }
    if case.kl_beta != 0.0 {
        close(stats.kl_mean(), metrics["kl"], 1e-6, &format!("{what} kl"));
    }
}
