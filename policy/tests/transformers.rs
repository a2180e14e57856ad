//! The network against transformers: the same folders, the same numbers.
//!
//! Golden files: scripts/golden/models.py (transformers, float32, eager attention). Each model is random, with random
//! biases and norms, so that nothing that is left out goes unseen.

use policy::{Checkpointing, Distribution, Dtype, PackedBatch, Policy, SharedPrompt};
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
    let batch = PackedBatch::new(&[SharedPrompt { prompt: &ids[..1], completions: vec![&ids[1..]] }]);
    policy.packed_logprobs(&policy.frozen_weights(), &batch, 1.0, 64).logprobs.try_into().unwrap()
}

/// The same as a row of plain text.
fn text_logprobs(policy: &Policy, ids: &[i64]) -> Vec<f32> {
    let batch = PackedBatch::text(&[ids.to_vec()]);
    policy.packed_logprobs(&policy.frozen_weights(), &batch, 1.0, 1000).logprobs.try_into().unwrap()
}

/// Log-probabilities by prefill of the first token and decoding of the rest, beside eleven other rows.
fn decoded_logprobs(policy: &Policy, ids: &[i64]) -> Vec<f32> {
    let sampler = policy.sampler();
    let mut cache = sampler.kv_cache(12, ids.len());
    let prompt = sampler.prefill(&ids[..1]);
    // The others are longer, as far as the context lets them grow beside the row that is watched.
    let room = policy.config().max_position_embeddings as usize - ids.len();
    let longer = sampler.prefill(&ids[..(ids.len() / 2).min(room).max(1)]);
    (0..12).for_each(|row| cache.admit(row, if row == 5 { &prompt } else { &longer }));
    let logprob = |logits: &Tensor, id: i64| {
        let logits = Vec::<f32>::try_from(logits).unwrap();
        Distribution::new(&logits, 1.0, &mut vec![0.0; logits.len()]).logprob(logits[id as usize])
    };
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
        let folder = golden().join("models").join(name);
        let rounded = Policy::load(&folder, Dtype::BFloat16, Device::Cpu).unwrap();
        assert_eq!(decoded_logprobs(&rounded, &ids), packed_logprobs(&rounded, &ids), "{name} in bfloat16");
    });
}

#[test]
fn greedy_tokens_are_those_of_transformers() {
    each_model("greedy", |name, policy, line| {
        let (prompt, expected) = (ids(&line["prompt_ids"]), ids(&line["greedy_ids"]));
        let sampler = policy.sampler();
        let mut cache = sampler.kv_cache(1, prompt.len() + expected.len());
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
            let batch = PackedBatch::new(&groups);
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
            let batch = PackedBatch::new(groups);
            let weights = policy.trainable_weights();
            let tape = policy.forward(&weights, &batch, Checkpointing::None);
            tape.loss_in_chunks(1.0, chunk, |_, stats| {
                Ok::<_, std::convert::Infallible>(stats.logprobs.square().sum(Kind::Float))
            })
            .unwrap()
            .backward();
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

/// The gradient of every parameter for some groups, and the log-probabilities.
fn pass(policy: &Policy, groups: &[SharedPrompt], checkpointing: Checkpointing) -> (Vec<Tensor>, Tensor) {
    policy.parameters().iter().for_each(|(_, p)| p.shallow_clone().zero_grad());
    let batch = PackedBatch::new(groups);
    let weights = policy.trainable_weights();
    let mut logprobs = Vec::new();
    let tape = policy.forward(&weights, &batch, checkpointing);
    tape.loss_in_chunks(0.7, 7, |start, stats| {
        logprobs.push(stats.logprobs.detach().copy());
        let factors = (Tensor::arange(stats.logprobs.size()[0], (Kind::Float, Device::Cpu)) + start).sin();
        Ok::<_, std::convert::Infallible>((&stats.logprobs * factors).sum(Kind::Float))
    })
    .unwrap()
    .backward();
    (policy.parameters().iter().map(|(_, p)| p.grad().copy()).collect(), Tensor::cat(&logprobs, 0))
}

/// A group for each two lines of a file, and the policy.
fn each_group(dtype: Dtype, mut check: impl FnMut(&str, &dyn Fn() -> Policy, &[SharedPrompt])) {
    each_model("logprobs", |name, _, line| {
        let ids = ids(&line["ids"]);
        if ids.len() < 20 {
            return;
        }
        let (prompt, rest) = ids.split_at(6);
        let groups = [
            SharedPrompt { prompt, completions: vec![&rest[..9], &rest[3..4], &rest[2..]] },
            SharedPrompt { prompt: &rest[..4], completions: vec![&ids[..7]] },
        ];
        let load = || Policy::load(&golden().join("models").join(name), dtype, Device::Cpu).unwrap();
        check(name, &load, &groups);
    });
}

#[test]
fn gradients_are_those_of_libtorch() {
    each_group(Dtype::Float32, |name, load, groups| {
        let (ours, theirs) = (load(), load().by_libtorch());
        let (expected, logprobs) = pass(&theirs, groups, Checkpointing::None);
        let (gradients, own_logprobs) = pass(&ours, groups, Checkpointing::None);
        let difference = (&own_logprobs - &logprobs).abs().max().double_value(&[]);
        assert!(difference < 1e-4, "{name}: {difference}");
        for (((parameter, _), a), b) in ours.parameters().iter().zip(&gradients).zip(&expected) {
            let scale = b.abs().max().double_value(&[]).max(1e-3);
            let difference = (a - b).abs().max().double_value(&[]) / scale;
            assert!(difference <= 3e-5, "{name}, {parameter}: {difference}");
        }
    });
}

/// In bfloat16 inputs of matrix products are rounded to 8 bits: gradients agree with float32's to that.
#[test]
fn bfloat16_is_float32_to_the_rounding_of_its_inputs() {
    each_group(Dtype::BFloat16, |name, load, groups| {
        let exact = Policy::load(&golden().join("models").join(name), Dtype::Float32, Device::Cpu).unwrap();
        let (expected, logprobs) = pass(&exact, groups, Checkpointing::None);
        let (gradients, own_logprobs) = pass(&load(), groups, Checkpointing::None);
        let difference = (&own_logprobs - &logprobs).abs().max().double_value(&[]);
        assert!(difference < 0.25, "{name}: {difference}");
        for (((parameter, _), a), b) in exact.parameters().iter().zip(&gradients).zip(&expected) {
            let relative = (a - b).norm().double_value(&[]) / b.norm().double_value(&[]).max(1e-3);
            assert!(relative <= 0.05, "{name}, {parameter}: {relative}");
        }
    });
}

#[test]
fn computing_blocks_again_changes_no_bit() {
    for (dtype, by_libtorch) in [(Dtype::Float32, false), (Dtype::BFloat16, false), (Dtype::Float32, true)] {
        each_group(dtype, |name, load, groups| {
            let policy = if by_libtorch { load().by_libtorch() } else { load() };
            let (kept, _) = pass(&policy, groups, Checkpointing::None);
            let (again, _) = pass(&policy, groups, Checkpointing::Blocks);
            assert!(kept == again, "{name}, {dtype:?}");
        });
    }
}
