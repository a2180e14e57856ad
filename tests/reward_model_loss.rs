//! Losses of a reward model and the gradient of every parameter against TRL and PyTorch, from token ids on.
//!
//! Golden files: scripts/golden/reward_model.py (TRL 1.16's own `RewardTrainer.compute_loss`, and PyTorch's binary
//! cross-entropy; float32). They run padded rows; here sequences lie side by side.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use grpo_train::reward_model::{MarginStats, log_loss, margins_of_labels, margins_of_pairs};
use policy::{Checkpointing, Dtype, RewardModel};
use serde::Deserialize;
use tch::{Device, Tensor};

#[derive(Deserialize)]
struct Case {
    /// The chosen of every pair, then the rejected.
    sequences: Vec<Vec<i64>>,
    labels: Vec<u8>,
    pairwise: f64,
    pointwise: f64,
    metrics: BTreeMap<String, f64>,
}

impl Case {
    /// Pair by pair.
    fn pairs(&self) -> Vec<&[i64]> {
        let (chosen, rejected) = self.sequences.split_at(self.sequences.len() / 2);
        chosen.iter().zip(rejected).flat_map(|(a, b)| [a.as_slice(), b.as_slice()]).collect()
    }
}

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/reward_models").join(path)
}

fn each_case(mut check: impl FnMut(&str, &RewardModel, &Case, &BTreeMap<String, Tensor>)) {
    let text = std::fs::read_to_string(golden("manifest.json")).unwrap();
    let cases: BTreeMap<String, Case> = serde_json::from_str(&text).unwrap();
    assert_eq!(cases.len(), 3);
    for (name, case) in &cases {
        let gradients = policy::read_tensors(&golden(&format!("{name}.safetensors"))).unwrap();
        let load = || RewardModel::load(&golden(name), Dtype::Float32, Device::Cpu).unwrap();
        check(&format!("{name}, kernels"), &load(), case, &gradients);
        check(&format!("{name}, libtorch"), &load().by_libtorch(), case, &gradients);
    }
}

/// Loss and gradients, `n_at_once` sequences at a time; `loss` gets the index of the first.
fn learn(
    model: &RewardModel,
    sequences: &[&[i64]],
    n_at_once: usize,
    loss: impl Fn(usize, &Tensor) -> Tensor,
) -> (f64, Vec<Tensor>) {
    model.parameters().iter().for_each(|(_, p)| p.shallow_clone().zero_grad());
    let weights = model.trainable_weights();
    let mut sum = 0.0;
    for (index, part) in sequences.chunks(n_at_once).enumerate() {
        let Ok(()) = model.differentiate(&weights, part, Checkpointing::None, |scores| {
            let loss = loss(index * n_at_once, scores);
            sum += loss.double_value(&[]);
            Ok::<_, Infallible>(loss)
        });
    }
    (sum, model.parameters().iter().map(|(_, p)| p.grad().copy()).collect())
}

/// Float32 sums in another order: to 1e-5 of a gradient's largest entry.
fn agree(what: &str, model: &RewardModel, (loss, got): (f64, Vec<Tensor>), expected: f64, of: impl Fn(&str) -> Tensor) {
    assert!((loss - expected).abs() <= 1e-6, "{what}: {loss}, not {expected}");
    let mut worst: f64 = 0.0;
    for ((parameter, _), gradient) in model.parameters().iter().zip(&got) {
        let expected = of(parameter);
        let scale = expected.abs().max().double_value(&[]).max(1e-2);
        worst = worst.max((gradient - expected).abs().max().double_value(&[]) / scale);
    }
    println!("{what}: largest difference of a gradient {worst:.1e}");
    assert!(worst <= 1e-5, "{what}: {worst}");
}

#[test]
fn the_loss_of_pairs_is_that_of_trl() {
    each_case(|name, model, case, golden| {
        let pairs = case.pairs();
        for n_at_once in [pairs.len(), 2] {
            let got = learn(model, &pairs, n_at_once, |_, scores| {
                log_loss(&margins_of_pairs(scores), (pairs.len() / 2) as f64)
            });
            let of = |parameter: &str| golden[&format!("pairwise/{parameter}")].shallow_clone();
            agree(&format!("{name}, {n_at_once} at once"), model, got, case.pairwise, of);
        }
    });
}

#[test]
fn the_loss_of_labels_is_binary_cross_entropy() {
    each_case(|name, model, case, golden| {
        let sequences: Vec<&[i64]> = case.sequences.iter().map(Vec::as_slice).collect();
        let labels: Vec<bool> = case.labels.iter().map(|&label| label == 1).collect();
        for n_at_once in [sequences.len(), 3] {
            let got = learn(model, &sequences, n_at_once, |first, scores| {
                let labels = &labels[first..(first + n_at_once).min(labels.len())];
                log_loss(&margins_of_labels(scores, labels), sequences.len() as f64)
            });
            let of = |parameter: &str| golden[&format!("pointwise/{parameter}")].shallow_clone();
            agree(&format!("{name}, {n_at_once} at once"), model, got, case.pointwise, of);
        }
        let scores = model.scores(&model.frozen_weights(), &sequences);
        let stats = MarginStats::of_labels(&scores, &labels);
        assert!((stats.loss() - case.pointwise).abs() <= 1e-6, "{name}");
    });
}

#[test]
fn metrics_are_those_of_trl() {
    each_case(|name, model, case, _| {
        let stats = MarginStats::of_pairs(&model.scores(&model.frozen_weights(), &case.pairs()));
        let got = [
            ("accuracy", stats.accuracy()),
            ("margin", stats.margin()),
            ("mean_reward", stats.mean_reward()),
            ("min_reward", f64::from(stats.min_reward())),
            ("max_reward", f64::from(stats.max_reward())),
        ];
        assert_eq!(case.metrics.len(), got.len());
        for (metric, value) in got {
            assert!((value - case.metrics[metric]).abs() <= 1e-5, "{name}, {metric}: {value}");
        }
        assert!((stats.loss() - case.pairwise).abs() <= 1e-6, "{name}");
    });
}
