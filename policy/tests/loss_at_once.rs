//! Losses that are no sum over tokens, and losses of entropies: the gradients of every parameter.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use policy::{Checkpointing, Dtype, PackedBatch, Policy, SharedPrompt, TokenStats};
use tch::{Device, Kind, Tensor};

const MODELS: [&str; 3] = ["qwen2_tied", "qwen3_untied", "llama_tied"];

fn load(model: &str, dtype: Dtype) -> Policy {
    let models: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models");
    Policy::load(&models.join(model), dtype, Device::Cpu).unwrap()
}

/// Lengths of the completions.
const LENGTHS: [usize; 4] = [9, 1, 17, 7];

fn batch(policy: &Policy) -> PackedBatch {
    let vocab = policy.config().vocab_size;
    let completions = LENGTHS.map(|n| (0..n as i64).map(|i| (i * i * 7 + 3 * n as i64) % vocab).collect::<Vec<_>>());
    let rows: Vec<&[i64]> = completions.iter().map(Vec::as_slice).collect();
    PackedBatch::new(&[
        SharedPrompt { prompt: &[1, 2, 3, 5], completions: rows[..3].to_vec() },
        SharedPrompt { prompt: &[8, 13], completions: rows[3..].to_vec() },
    ])
}

fn n_tokens() -> i64 {
    LENGTHS.iter().sum::<usize>() as i64
}

/// How a loss is differentiated.
#[derive(Clone, Copy, Debug)]
enum Way {
    InChunks,
    AtOnce,
}

/// The gradient of every parameter; `loss` gets the index of the first token.
fn gradients(policy: &Policy, way: Way, chunk: i64, loss: &dyn Fn(i64, &TokenStats) -> Tensor) -> Vec<Tensor> {
    policy.parameters().iter().for_each(|(_, p)| p.shallow_clone().zero_grad());
    let (batch, weights) = (batch(policy), policy.trainable_weights());
    let tape = policy.forward(&weights, &batch, Checkpointing::None);
    let Ok(behind_head) = match way {
        Way::InChunks => tape.loss_in_chunks(0.7, chunk, |start, stats| Ok::<_, Infallible>(loss(start, stats))),
        Way::AtOnce => tape.loss_at_once(0.7, chunk, |stats| Ok::<_, Infallible>(loss(0, stats))),
    };
    behind_head.backward();
    policy.parameters().iter().map(|(_, p)| p.grad().copy()).collect()
}

/// A sum over tokens, with and without a term of entropies.
fn of_tokens(with_entropy: bool) -> impl Fn(i64, &TokenStats) -> Tensor {
    move |start, stats| {
        let n_tokens = stats.logprobs.size()[0];
        let factors = Tensor::from_slice(&(start..start + n_tokens).map(|i| (i as f32).sin()).collect::<Vec<_>>());
        let sum = (&stats.logprobs * &factors).sum(Kind::Float);
        if with_entropy { sum - (&stats.entropy * (factors + 0.5)).sum(Kind::Float) } else { sum }
    }
}

/// exp of the mean log-ratio of each completion, and a bonus for the mean entropy of each.
fn of_sequences(_: i64, stats: &TokenStats) -> Tensor {
    let lengths = LENGTHS.map(|n| n as i64);
    let mean = |tensor: &Tensor| {
        let of_each: Vec<Tensor> =
            tensor.split_with_sizes(lengths, 0).iter().map(|part| part.mean(Kind::Float)).collect();
        Tensor::stack(&of_each, 0)
    };
    let ratios = mean(&(&stats.logprobs - (&stats.logprobs.detach() - 0.1))).exp();
    let advantages = Tensor::from_slice(&[1.0_f32, -0.5, 0.7, -1.2]);
    -(ratios * advantages).sum(Kind::Float) - mean(&stats.entropy).square().sum(Kind::Float) * 0.2
}

/// The largest difference, over the largest gradient of the parameter.
fn agree(what: &str, policy: &Policy, got: &[Tensor], expected: &[Tensor], tolerance: f64) {
    for (((parameter, _), a), b) in policy.parameters().iter().zip(got).zip(expected) {
        let difference = (a - b).abs().max().double_value(&[]) / b.abs().max().double_value(&[]).max(1e-3);
        assert!(difference <= tolerance, "{what}, {parameter}: {difference}");
    }
}

#[test]
fn a_sum_over_tokens_has_the_gradient_of_its_chunks_to_the_bit() {
    for model in MODELS {
        for (dtype, by_libtorch) in [(Dtype::Float32, false), (Dtype::BFloat16, false), (Dtype::Float32, true)] {
            let policy = load(model, dtype);
            let policy = if by_libtorch { policy.by_libtorch() } else { policy };
            for (chunk, with_entropy) in [(1000, true), (17, true), (5, true), (5, false)] {
                let run = |way| gradients(&policy, way, chunk, &of_tokens(with_entropy));
                let what = format!("{model}, {dtype:?}, by libtorch: {by_libtorch}, {chunk}, entropy: {with_entropy}");
                assert!(run(Way::InChunks) == run(Way::AtOnce), "{what}");
            }
        }
    }
}

/// The gradient of the head is summed chunk by chunk; nothing else depends on where chunks end.
#[test]
fn chunks_change_a_gradient_by_the_rounding_of_their_sum() {
    for model in MODELS {
        let policy = load(model, Dtype::Float32);
        let whole = gradients(&policy, Way::AtOnce, n_tokens(), &of_sequences);
        for n_chunks in [2, 7] {
            let chunk = (n_tokens() + n_chunks - 1) / n_chunks;
            let cut = gradients(&policy, Way::AtOnce, chunk, &of_sequences);
            agree(&format!("{model}, {n_chunks} chunks"), &policy, &cut, &whole, 2e-6);
        }
    }
}

#[test]
fn a_loss_of_sequences_has_the_gradient_of_libtorch() {
    for model in MODELS {
        let (ours, theirs) = (load(model, Dtype::Float32), load(model, Dtype::Float32).by_libtorch());
        let expected = gradients(&theirs, Way::AtOnce, 1000, &of_sequences);
        for chunk in [1000, 5] {
            let what = format!("{model}, chunks of {chunk}");
            agree(&what, &ours, &gradients(&ours, Way::AtOnce, chunk, &of_sequences), &expected, 3e-5);
            agree(&what, &theirs, &gradients(&theirs, Way::AtOnce, chunk, &of_sequences), &expected, 3e-5);
        }
    }
}

/// In bfloat16 inputs of matrix products are rounded to 8 bits: gradients agree with float32's to that.
#[test]
fn in_bfloat16_it_is_that_of_float32_to_the_rounding_of_inputs() {
    for model in MODELS {
        let expected = gradients(&load(model, Dtype::Float32), Way::AtOnce, 5, &of_sequences);
        for policy in [load(model, Dtype::BFloat16), load(model, Dtype::BFloat16).by_libtorch()] {
            let got = gradients(&policy, Way::AtOnce, 5, &of_sequences);
            for (((parameter, _), a), b) in policy.parameters().iter().zip(&got).zip(&expected) {
                let relative = (a - b).norm().double_value(&[]) / b.norm().double_value(&[]).max(1e-3);
                assert!(relative <= 0.08, "{model}, {parameter}: {relative}");
            }
        }
    }
}

/// The rise of a loss of entropies along its own gradient is the square of that gradient.
#[test]
fn the_gradient_of_entropies_is_a_finite_difference_through_the_model() {
    for model in MODELS {
        for policy in [load(model, Dtype::Float32), load(model, Dtype::Float32).by_libtorch()] {
            let entropies = |_: i64, stats: &TokenStats| stats.entropy.sum(Kind::Float);
            let gradients = gradients(&policy, Way::AtOnce, 5, &entropies);
            let square: f64 = gradients.iter().map(|g| g.square().sum(Kind::Double).double_value(&[])).sum();
            let at = |step: f64| {
                let move_by = |(parameter, gradient): (&(String, Tensor), &Tensor)| {
                    tch::no_grad(|| parameter.1.shallow_clone().g_add_(&(gradient * step)))
                };
                policy.parameters().iter().zip(&gradients).for_each(|pair| drop(move_by(pair)));
                let stats = policy.packed_logprobs(&policy.frozen_weights(), &batch(&policy), 0.7, 1000);
                stats.entropy.sum(Kind::Double).double_value(&[])
            };
            // The whole way is about a hundredth of a nat of a sum over 34 tokens.
            let step = 0.01 / square;
            let rise = (at(step) - at(-2.0 * step)) / (2.0 * step);
            assert!((rise / square - 1.0).abs() < 0.01, "{model}: {rise}, not {square}");
        }
    }
}

#[test]
fn a_loss_that_fails_adds_no_gradient() {
    for policy in [load(MODELS[0], Dtype::Float32), load(MODELS[0], Dtype::Float32).by_libtorch()] {
        let before = gradients(&policy, Way::AtOnce, 5, &of_sequences);
        let (batch, weights) = (batch(&policy), policy.trainable_weights());
        let tape = policy.forward(&weights, &batch, Checkpointing::None);
        assert_eq!(tape.loss_at_once(1.0, 5, |_| Err("refused")).err(), Some("refused"));
        let after: Vec<Tensor> = policy.parameters().iter().map(|(_, p)| p.grad()).collect();
        assert!(before == after);
    }
}
