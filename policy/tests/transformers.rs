//! The network against transformers: the same folders, the same numbers.
//!
//! Golden files: scripts/golden/models.py (transformers, float32, eager attention). Each model is random, with random
//! biases and norms, so that nothing that is left out goes unseen.

use policy::{Dtype, PackedBatch, Policy, SharedPrompt};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden")
}

/// Every golden model and the lines of its file in `folder`.
fn each_model(folder: &str, mut check: impl FnMut(&str, &Policy, &Value)) {
    let mut names: Vec<_> =
        std::fs::read_dir(golden().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 9, "the golden files are all there");
    for file in names {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let policy = Policy::load(&golden().join("models").join(&name), Dtype::Float32, Device::Cpu).unwrap();
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            check(&name, &policy, &serde_json::from_str(line).unwrap());
        }
    }
}

fn ids(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Log-probabilities of ids[1..] by one packed sequence: a prompt of one token and its one completion.
fn packed_logprobs(policy: &Policy, ids: &[i64]) -> Vec<f32> {
    let batch = PackedBatch::new(&[SharedPrompt { prompt: &ids[..1], completions: vec![&ids[1..]] }], Device::Cpu);
    policy.packed_logprobs(&policy.frozen_weights(), &batch, 1.0, 64).logprobs.try_into().unwrap()
}

/// The same as a row of plain text.
fn text_logprobs(policy: &Policy, ids: &[i64]) -> Vec<f32> {
    let batch = PackedBatch::text(&[ids.to_vec()], Device::Cpu);
    policy.packed_logprobs(&policy.frozen_weights(), &batch, 1.0, 1000).logprobs.try_into().unwrap()
}

/// Log-probabilities by prefill of the first token and decoding of the rest, beside eleven other rows.
fn decoded_logprobs(policy: &Policy, ids: &[i64]) -> Vec<f32> {
    let sampler = policy.sampler();
    let mut cache = sampler.kv_cache(12);
    let prompt = sampler.prefill(&ids[..1]);
    // The others are longer, as far as the context lets them grow beside the row that is watched.
    let room = policy.config().max_position_embeddings as usize - ids.len();
    let longer = sampler.prefill(&ids[..(ids.len() / 2).min(room).max(1)]);
    (0..12).for_each(|row| cache.admit(row, if row == 5 { &prompt } else { &longer }));
    let logprob = |logits: &Tensor, id: i64| logits.log_softmax(-1, Kind::Float).double_value(&[id]) as f32;
    let mut logprobs = vec![logprob(&prompt.logits, ids[1])];
    for pair in ids[1..].windows(2) {
        let logits = sampler.decode(&[pair[0]; 12], &mut cache);
        logprobs.push(logprob(&logits.get(5), pair[1]));
    }
    logprobs
}

#[test]
fn logprobs_are_those_of_transformers() {
    each_model("logprobs", |name, policy, line| {
        let (ids, expected) = (ids(&line["ids"]), floats(&line["logprobs"]));
        let packed = packed_logprobs(policy, &ids);
        let difference = max_difference(&packed, &expected);
        println!("{name}: {} tokens, largest difference {difference:.1e}", ids.len());
        assert!(difference <= 1e-4, "{name}: {difference}");
        assert!(max_difference(&text_logprobs(policy, &ids), &expected) <= 1e-4, "{name}, as text");
    });
}

#[test]
fn cached_decoding_gives_the_logprobs_of_the_full_forward_pass_to_the_bit() {
    each_model("logprobs", |name, policy, line| {
        let ids = ids(&line["ids"]);
        assert_eq!(decoded_logprobs(policy, &ids), packed_logprobs(policy, &ids), "{name}, {} tokens", ids.len());
    });
}

#[test]
fn greedy_tokens_are_those_of_transformers() {
    each_model("greedy", |name, policy, line| {
        let (prompt, expected) = (ids(&line["prompt_ids"]), ids(&line["greedy_ids"]));
        let sampler = policy.sampler();
        let mut cache = sampler.kv_cache(1);
        let encoded = sampler.prefill(&prompt);
        cache.admit(0, &encoded);
        let mut greedy = vec![encoded.logits.argmax(-1, false).int64_value(&[])];
        while greedy.len() < expected.len() {
            let logits = sampler.decode(&greedy[greedy.len() - 1..], &mut cache);
            greedy.push(logits.argmax(-1, false).int64_value(&[0]));
        }
        assert_eq!(greedy, expected, "{name}");
    });
}

#[test]
fn a_shared_prompt_changes_nothing() {
    each_model("logprobs", |name, policy, line| {
        let ids = ids(&line["ids"]);
        if ids.len() < 20 {
            return;
        }
        // Three completions of one prompt, of different lengths, one of a single token; and a second group behind them.
        let (prompt, rest) = ids.split_at(6);
        let completions = [&rest[..9], &rest[3..4], &rest[2..]];
        let groups = [
            SharedPrompt { prompt, completions: completions.to_vec() },
            SharedPrompt { prompt: &rest[..4], completions: vec![&ids[..7]] },
        ];
        let together: Vec<f32> = {
            let batch = PackedBatch::new(&groups, Device::Cpu);
            policy.packed_logprobs(&policy.frozen_weights(), &batch, 1.0, 5).logprobs.try_into().unwrap()
        };
        let mut alone = Vec::new();
        for group in &groups {
            for completion in &group.completions {
                let sequence = [group.prompt, completion].concat();
                alone.extend(&text_logprobs(policy, &sequence)[group.prompt.len() - 1..]);
            }
        }
        assert!(max_difference(&together, &alone) <= 1e-5, "{name}");
    });
}

#[test]
fn gradients_do_not_depend_on_chunks_or_on_sharing_the_prompt() {
    each_model("logprobs", |name, policy, line| {
        let ids = ids(&line["ids"]);
        if ids.len() < 20 {
            return;
        }
        let (prompt, rest) = ids.split_at(6);
        let gradients = |groups: &[SharedPrompt], chunk: i64| -> Vec<Tensor> {
            policy.parameters().iter().for_each(|(_, p)| p.shallow_clone().zero_grad());
            let batch = PackedBatch::new(groups, Device::Cpu);
            let weights = policy.trainable_weights();
            let tape = policy.forward(&weights, &batch);
            policy::backward_in_chunks(tape, weights.head(), batch.targets(), 1.0, chunk, |_, stats| {
                Ok::<_, std::convert::Infallible>(stats.logprobs.square().sum(Kind::Float))
            })
            .unwrap();
            policy.parameters().iter().map(|(_, p)| p.grad().copy()).collect()
        };
        let shared = [SharedPrompt { prompt, completions: vec![&rest[..9], &rest[3..12]] }];
        let apart = [
            SharedPrompt { prompt, completions: vec![&rest[..9]] },
            SharedPrompt { prompt, completions: vec![&rest[3..12]] },
        ];
        let whole = gradients(&shared, 1000);
        for (other, what) in [(gradients(&shared, 4), "chunks"), (gradients(&apart, 1000), "sharing")] {
            for (((parameter, _), a), b) in policy.parameters().iter().zip(&whole).zip(&other) {
                let scale = a.abs().max().double_value(&[]).max(1e-3);
                let difference = (a - b).abs().max().double_value(&[]) / scale;
                assert!(difference <= 2e-5, "{name}, {parameter}, {what}: {difference}");
            }
        }
    });
}
