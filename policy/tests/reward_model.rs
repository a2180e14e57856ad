//! The reward model against transformers, its engines against each other, and its folders.
//!
//! Golden files: scripts/golden/reward_model.py (transformers, float32, eager attention). Weights are random. Gradients of
//! the losses are held to those of PyTorch where the losses are, in tests/reward_model_loss.rs.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use policy::{Checkpointing, Dtype, Head, ModelConfig, Policy, RewardModel};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

const MODELS: [&str; 3] = ["qwen2", "qwen3", "llama"];

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(path)
}

fn load(model: &str, dtype: Dtype) -> RewardModel {
    RewardModel::load(&golden("reward_models").join(model), dtype, Device::Cpu).unwrap()
}

/// Sequences and their scores.
fn expected(model: &str) -> (Vec<Vec<i64>>, Vec<f32>) {
    let manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(golden("reward_models/manifest.json")).unwrap()).unwrap();
    let get = |key: &str| manifest[model][key].clone();
    (serde_json::from_value(get("sequences")).unwrap(), serde_json::from_value(get("scores")).unwrap())
}

fn scores(model: &RewardModel, sequences: &[Vec<i64>]) -> Vec<f32> {
    let sequences: Vec<&[i64]> = sequences.iter().map(Vec::as_slice).collect();
    model.scores(&model.frozen_weights(), &sequences)
}

fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn scores_are_those_of_transformers() {
    for name in MODELS {
        let (sequences, expected) = expected(name);
        let check = |model: RewardModel, engine: &str, tolerance: f32| {
            let difference = max_difference(&scores(&model, &sequences), &expected);
            println!("{name}, {engine}: largest difference {difference:.1e}");
            assert!(difference <= tolerance, "{name}, {engine}: {difference}");
        };
        check(load(name, Dtype::Float32), "kernels", 1e-5);
        check(load(name, Dtype::Float32).by_libtorch(), "libtorch", 1e-5);
        // In bfloat16 inputs of matrix products are rounded to 8 bits; scores are of the size of 1.
        check(load(name, Dtype::BFloat16), "kernels in bfloat16", 0.1);
        check(load(name, Dtype::BFloat16).by_libtorch(), "libtorch in bfloat16", 0.1);
    }
}

#[test]
fn a_score_does_not_depend_on_its_neighbours() {
    for name in MODELS {
        let (sequences, _) = expected(name);
        for dtype in [Dtype::Float32, Dtype::BFloat16] {
            let model = load(name, dtype);
            let together = scores(&model, &sequences);
            let alone: Vec<f32> = sequences.iter().flat_map(|s| scores(&model, std::slice::from_ref(s))).collect();
            assert_eq!(together, alone, "{name}, {dtype:?}");
            assert!(scores(&model, &[]).is_empty());
        }
    }
}

#[test]
fn trailing_pad_tokens_are_not_read() {
    let model = load("qwen2", Dtype::Float32);
    let pad = 2;
    let with = scores(&model, &[vec![7, 8, 9, pad, pad], vec![pad, pad], vec![7, pad, 9]]);
    let without = scores(&model, &[vec![7, 8, 9], vec![pad], vec![7, pad, 9]]);
    assert_eq!(with, without);
}

/// The gradient of every parameter for a loss that pulls each score by another factor.
fn gradients(model: &RewardModel, checkpointing: Checkpointing) -> Vec<Tensor> {
    model.parameters().iter().for_each(|(_, p)| p.shallow_clone().zero_grad());
    let (sequences, _) = expected("qwen2");
    let sequences: Vec<&[i64]> = sequences.iter().map(Vec::as_slice).collect();
    let loss = |scores: &Tensor| {
        let factors = (Tensor::arange(scores.size()[0], (Kind::Float, Device::Cpu)) + 1.0).sin();
        Ok::<_, Infallible>((scores * factors).sum(Kind::Float) + scores.square().sum(Kind::Float))
    };
    let Ok(()) = model.differentiate(&model.trainable_weights(), &sequences, checkpointing, loss);
    model.parameters().iter().map(|(_, p)| p.grad().copy()).collect()
}

/// Relative to the largest gradient of each parameter.
fn agree(name: &str, model: &RewardModel, got: &[Tensor], expected: &[Tensor], tolerance: f64) {
    for (((parameter, _), a), b) in model.parameters().iter().zip(got).zip(expected) {
        let scale = b.abs().max().double_value(&[]).max(1e-3);
        let difference = (a - b).abs().max().double_value(&[]) / scale;
        assert!(difference <= tolerance, "{name}, {parameter}: {difference}");
    }
}

#[test]
fn gradients_are_those_of_libtorch() {
    for name in MODELS {
        let (ours, theirs) = (load(name, Dtype::Float32), load(name, Dtype::Float32).by_libtorch());
        let expected = gradients(&theirs, Checkpointing::None);
        agree(name, &ours, &gradients(&ours, Checkpointing::None), &expected, 3e-5);
        for dtype in [Dtype::Float32, Dtype::BFloat16] {
            for model in [load(name, dtype), load(name, dtype).by_libtorch()] {
                let (kept, again) = (gradients(&model, Checkpointing::None), gradients(&model, Checkpointing::Blocks));
                assert!(kept == again, "{name}, {dtype:?}: computing blocks again changes no bit");
                let tolerance = if dtype == Dtype::Float32 { 3e-5 } else { 0.15 };
                agree(name, &model, &kept, &expected, tolerance);
            }
        }
    }
}

#[test]
fn a_loss_that_fails_adds_no_gradient() {
    for model in [load("qwen2", Dtype::Float32), load("qwen2", Dtype::Float32).by_libtorch()] {
        let before = gradients(&model, Checkpointing::None);
        let refused =
            model.differentiate(&model.trainable_weights(), &[&[5, 6]], Checkpointing::None, |_| Err("refused"));
        assert_eq!(refused, Err("refused"));
        let after: Vec<Tensor> = model.parameters().iter().map(|(_, p)| p.grad()).collect();
        assert!(before == after);
    }
}

#[test]
fn a_saved_model_loads_with_the_same_scores() {
    for name in MODELS {
        let folder = tempfile::tempdir().unwrap();
        let (model, (sequences, _)) = (load(name, Dtype::Float32), expected(name));
        model.save(folder.path()).unwrap();
        let again = RewardModel::load(folder.path(), Dtype::Float32, Device::Cpu).unwrap();
        assert_eq!(scores(&again, &sequences), scores(&model, &sequences), "{name}");
        assert_eq!(again.config().head, Head::Score);
    }
}

#[test]
fn a_policy_gets_a_fresh_head() {
    for name in ["qwen2_tied", "qwen3_untied", "llama3_scaled"] {
        let source = golden("models").join(name);
        let numbers = |n: usize| (0..n).map(|i| (i as f32).cos()).collect::<Vec<f32>>();
        let model = RewardModel::from_policy(&source, Dtype::Float32, Device::Cpu, numbers).unwrap();
        let policy = Policy::load(&source, Dtype::Float32, Device::Cpu).unwrap();
        let (last, decoder) = model.parameters().split_last().unwrap();
        let hidden = policy.config().hidden_size;
        // The golden models' config.json has initializer_range = 0.02.
        let head = Tensor::from_slice(&numbers(hidden as usize)) * 0.02;
        assert!(last.0 == "score.weight" && last.1 == head.reshape([1, hidden]), "{name}");
        let of_policy: Vec<_> = policy.parameters().iter().filter(|(name, _)| name != "lm_head.weight").collect();
        assert_eq!(decoder.len(), of_policy.len());
        assert!(decoder.iter().zip(of_policy).all(|(a, b)| a == b), "{name}");

        let folder = tempfile::tempdir().unwrap();
        model.save(folder.path()).unwrap();
        let config = ModelConfig::load(folder.path()).unwrap();
        let architecture = config.json["architectures"][0].as_str().unwrap();
        assert!(architecture.ends_with("ForSequenceClassification"), "{architecture}");
        assert_eq!(
            (&config.json["id2label"], &config.json["label2id"]),
            (&json!({"0": "LABEL_0"}), &json!({"LABEL_0": 0}))
        );
    }
}

/// The config.json of a golden reward model with a change, beside its weights.
fn changed(change: impl Fn(&mut Value)) -> tempfile::TempDir {
    let (folder, source) = (tempfile::tempdir().unwrap(), golden("reward_models/qwen3"));
    let mut config: Value =
        serde_json::from_str(&std::fs::read_to_string(source.join("config.json")).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    std::fs::copy(source.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    folder
}

#[test]
fn what_cannot_be_scored_is_refused_by_name() {
    let refused = |folder: &Path| RewardModel::load(folder, Dtype::Float32, Device::Cpu).unwrap_err().to_string();
    let message = refused(&golden("models/qwen2_tied"));
    assert!(message.contains("has no `score.weight`") && message.contains("kind \"reward_model\""), "{message}");
    let two = changed(|config| config["id2label"] = json!({"0": "safe", "1": "unsafe"}));
    assert!(refused(two.path()).contains("a classifier of 2 labels"), "{}", refused(two.path()));
    let three = changed(|config| {
        config.as_object_mut().unwrap().remove("id2label");
        config["num_labels"] = json!(3);
    });
    assert!(refused(three.path()).contains("a classifier of 3 labels"), "{}", refused(three.path()));
    let unnamed = changed(|config| drop(config.as_object_mut().unwrap().remove("id2label")));
    assert!(refused(unnamed.path()).contains("a classifier of 2 labels"), "{}", refused(unnamed.path()));

    let as_policy = Policy::load(&golden("reward_models/qwen2"), Dtype::Float32, Device::Cpu).unwrap_err().to_string();
    assert!(as_policy.contains("it is a reward model"), "{as_policy}");
    let begun = RewardModel::from_policy(&golden("reward_models/qwen2"), Dtype::Float32, Device::Cpu, |n| vec![0.0; n]);
    assert!(begun.unwrap_err().to_string().contains("it is a reward model"));
}
