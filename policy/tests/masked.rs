//! Rows of which only some tokens are targets: loss and gradients against transformers, and what a mask may change.
//!
//! Golden files: scripts/golden/sft.py (transformers, float32, eager attention, padded rows, labels of -100).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use policy::{Checkpointing, Dtype, PackedBatch, Policy, Row};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

/// Token ids of a conversation, and which of them are learned.
type Conversation = (Vec<i64>, Vec<bool>);

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden")
}

fn load(model: &str) -> Policy {
    Policy::load(&golden().join("models").join(model), Dtype::Float32, Device::Cpu).unwrap()
}

fn conversations(stored: &BTreeMap<String, Tensor>) -> Vec<Conversation> {
    let (n_rows, _) = stored["input_ids"].size2().unwrap();
    let row = |i| {
        let of = |name: &str| stored[name].get(i).masked_select(&stored["attention_mask"].get(i).to_kind(Kind::Bool));
        let ids = Vec::<i64>::try_from(of("input_ids")).unwrap();
        (ids, Vec::<i64>::try_from(of("labels")).unwrap().iter().map(|&label| label != -100).collect())
    };
    (0..n_rows).map(row).collect()
}

/// The loss of `rows` and the gradient of every parameter; `n_targets` divides, whatever the rows.
fn pass(policy: &Policy, rows: &[Conversation], n_targets: usize, chunk: i64) -> (f64, Vec<Tensor>) {
    policy.parameters().iter().for_each(|(_, p)| p.shallow_clone().zero_grad());
    let loss = accumulate(policy, rows, n_targets, chunk);
    (loss, policy.parameters().iter().map(|(_, p)| p.grad().copy()).collect())
}

fn accumulate(policy: &Policy, rows: &[Conversation], n_targets: usize, chunk: i64) -> f64 {
    let rows: Vec<Row> = rows.iter().map(|(ids, is_target)| Row { ids, is_target }).collect();
    let batch = PackedBatch::masked(&rows);
    let weights = policy.trainable_weights();
    let mut total = 0.0;
    let Ok(behind_head) =
        policy.forward(&weights, &batch, Checkpointing::None).loss_in_chunks(1.0, chunk, |_, stats| {
            let loss = -stats.logprobs.sum(Kind::Float) / n_targets as f64;
            total += loss.double_value(&[]);
            Ok::<_, Infallible>(loss)
        });
    behind_head.backward();
    total
}

/// The norm of the difference over the norm of what is expected.
fn relative(got: &Tensor, expected: &Tensor) -> f64 {
    (got - expected).norm().double_value(&[]) / expected.norm().double_value(&[]).max(1e-6)
}

#[test]
fn loss_and_gradients_are_those_of_transformers_in_either_engine() {
    let manifest = std::fs::read_to_string(golden().join("sft/manifest.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&manifest).unwrap();
    assert_eq!(cases.len(), 3);
    let mut largest = (0.0f64, 0.0f64);
    for case in cases {
        let (model, expected) = (case["model"].as_str().unwrap(), case["loss"].as_f64().unwrap());
        let stored = policy::read_tensors(&golden().join(format!("sft/{model}.safetensors"))).unwrap();
        let rows = conversations(&stored);
        let n_targets = rows.iter().flat_map(|(_, is_target)| is_target).filter(|&&is_target| is_target).count();
        assert_eq!(n_targets as u64, case["n_targets"].as_u64().unwrap());
        for policy in [load(model), load(model).by_libtorch()] {
            for chunk in [1000, 7] {
                let (loss, gradients) = pass(&policy, &rows, n_targets, chunk);
                let what = format!("{model}, chunks of {chunk}");
                largest.0 = largest.0.max((loss - expected).abs() / expected);
                // float32: sums over 92 targets and up to 64 keys in another order.
                assert!((loss - expected).abs() <= 1e-6 * expected, "{what}: {loss}, not {expected}");
                let (mut difference, mut norm) = (0.0, 0.0);
                for ((name, _), gradient) in policy.parameters().iter().zip(&gradients) {
                    let expected = &stored[&format!("gradient/{name}")];
                    // A bias is a sum over all rows in which nearly everything cancels.
                    let own = relative(gradient, expected);
                    assert!(own <= 5e-6, "{what}: gradient of {name} is off by {own:.1e}");
                    difference += (gradient - expected).norm().double_value(&[]).powi(2);
                    norm += expected.norm().double_value(&[]).powi(2);
                }
                let difference = (difference / norm).sqrt();
                largest.1 = largest.1.max(difference);
                // Two float32 programs apart, either of them about half as far from the exact gradient.
                assert!(difference <= 2e-6, "{what}: the gradient is off by {difference:.1e}");
            }
        }
    }
    println!("largest relative difference: loss {:.1e}, gradient {:.1e}", largest.0, largest.1);
}

/// Three rows: two turns, one turn, and a turn with words of the user behind it.
fn rows(vocab: i64) -> Vec<Conversation> {
    let row = |n: i64, targets: &[(i64, i64)]| {
        let ids = (0..n).map(|i| (i * i * 7 + 3 * n + i) % vocab).collect();
        (ids, (0..n).map(|i| targets.iter().any(|&(start, end)| (start..end).contains(&i))).collect())
    };
    vec![row(21, &[(4, 8), (15, 21)]), row(12, &[(7, 12)]), row(30, &[(10, 19)])]
}

#[test]
fn rows_do_not_see_one_another() {
    let policy = load("qwen2_tied");
    let rows = rows(policy.config().vocab_size);
    let logprobs = |rows: &[Conversation]| {
        let rows: Vec<Row> = rows.iter().map(|(ids, is_target)| Row { ids, is_target }).collect();
        let batch = PackedBatch::masked(&rows);
        let stats = policy.packed_logprobs(&policy.frozen_weights(), &batch, 1.0, 1000);
        Vec::<f32>::try_from(stats.logprobs).unwrap()
    };
    let alone: Vec<f32> = rows.iter().flat_map(|row| logprobs(std::slice::from_ref(row))).collect();
    assert_eq!(logprobs(&rows), alone);
}

#[test]
fn a_batch_cut_into_parts_has_the_gradient_of_the_whole() {
    let policy = load("qwen3_untied");
    let rows = rows(policy.config().vocab_size);
    let (loss, whole) = pass(&policy, &rows, 24, 1000);
    policy.parameters().iter().for_each(|(_, p)| p.shallow_clone().zero_grad());
    let parts: f64 = rows.iter().map(|row| accumulate(&policy, std::slice::from_ref(row), 24, 1000)).sum();
    assert!((loss - parts).abs() < 1e-6 * loss, "{loss} {parts}");
    for ((name, parameter), expected) in policy.parameters().iter().zip(&whole) {
        let difference = relative(&parameter.grad(), expected);
        assert!(difference <= 2e-6, "{name}: {difference:.1e}");
    }
}

#[test]
fn what_no_target_depends_on_has_no_gradient_and_a_flipped_mask_is_seen() {
    let policy = load("llama3_scaled");
    let mut changed = rows(policy.config().vocab_size);
    let (loss, gradients) = pass(&policy, &changed, 24, 1000);
    // Behind the last target of its row: neither learned nor read by what is learned.
    changed[2].0[25] = (changed[2].0[25] + 1) % policy.config().vocab_size;
    let (same_loss, same_gradients) = pass(&policy, &changed, 24, 1000);
    assert!(loss == same_loss && gradients == same_gradients);
    // A row without a target is as good as none.
    changed.push((vec![5, 6, 7], vec![false; 3]));
    assert!(pass(&policy, &changed, 24, 1000) == (loss, gradients.iter().map(Tensor::copy).collect()));
    for token in [10, 20] {
        let mut flipped = changed.clone();
        flipped[2].1[token] ^= true;
        let (other_loss, other_gradients) = pass(&policy, &flipped, 24, 1000);
        assert!(loss != other_loss && gradients != other_gradients, "token {token}");
    }
}

#[test]
#[should_panic(expected = "nothing stands before the first token")]
fn the_first_token_is_no_target() {
    PackedBatch::masked(&[Row { ids: &[1, 2], is_target: &[true, true] }]);
}
