//! Loss and gradient of every parameter against TRL, from token ids on: packing, shared prompts, head in chunks, loss.
//!
//! Golden files: scripts/golden/loss_model.py (TRL 1.16's own `_compute_loss`, float32). TRL runs each completion behind a
//! copy of its prompt, padded; here a prompt is computed once and nothing is padded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use grpo_train::grpo::{Chosen, LossError, Objective, RatioLevel, Scope, Sequences, Surrogate, TokenBatch, grpo_loss};
use policy::{Checkpointing, Dtype, PackedBatch, Policy, SharedPrompt, TokenStats};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

#[derive(Deserialize)]
struct Case {
    name: String,
    model: String,
    kl_beta: f64,
    kl_times_ratio: bool,
    temperature: f64,
    clip_epsilon: f64,
    clip_epsilon_high: f64,
    group_size: usize,
    n_tokens: usize,
    loss: f64,
    ratio: RatioLevel,
    entropy_coef: f64,
}

impl Case {
    fn objective(&self) -> Objective {
        Objective {
            ratio: self.ratio,
            surrogate: Surrogate::Clip { low: self.clip_epsilon, high: self.clip_epsilon_high, delta: None },
            kl_beta: self.kl_beta,
            kl_times_ratio: self.kl_times_ratio,
            ..Objective::grpo(self.clip_epsilon)
        }
    }
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden")
}

/// The rows of a padded table, each without its padding.
fn rows<T: Copy + tch::kind::Element>(table: &Tensor, mask: &Tensor) -> Vec<Vec<T>> {
    let (n_rows, _) = mask.size2().unwrap();
    let row = |i| Vec::<T>::try_from(&table.get(i).masked_select(&mask.get(i).to_kind(Kind::Bool))).unwrap();
    (0..n_rows).map(row).collect()
}

struct Batch {
    prompts: Vec<Vec<i64>>,
    completions: Vec<Vec<i64>>,
    old_logprobs: Vec<Vec<f32>>,
    ref_logprobs: Vec<Vec<f32>>,
    advantages: Vec<f32>,
    normalizers: Vec<f64>,
}

impl Batch {
    fn of(stored: &BTreeMap<String, Tensor>) -> Self {
        let (prompt_mask, mask) = (&stored["prompt_mask"], &stored["completion_mask"]);
        Self {
            prompts: rows(&stored["prompt_ids"], prompt_mask),
            completions: rows(&stored["completion_ids"], mask),
            old_logprobs: rows(&stored["old_logprobs"], mask),
            ref_logprobs: rows(&stored["ref_logprobs"], mask),
            advantages: Vec::try_from(&stored["advantages"]).unwrap(),
            normalizers: Vec::try_from(&stored["row_normalizers"]).unwrap(),
        }
    }

    /// Loss of the given completions; their gradient is added to the policy's.
    fn backward(&self, policy: &Policy, case: &Case, members: &[usize], chunk_tokens: i64) -> f64 {
        let groups: Vec<SharedPrompt> = members
            .chunk_by(|a, b| a / case.group_size == b / case.group_size)
            .map(|group| SharedPrompt {
                prompt: &self.prompts[group[0]],
                completions: group.iter().map(|&row| self.completions[row].as_slice()).collect(),
            })
            .collect();
        let batch = PackedBatch::new(&groups);
        let join = |of: &dyn Fn(usize) -> Vec<f32>| {
            Tensor::from_slice(&members.iter().flat_map(|&row| of(row)).collect::<Vec<f32>>())
        };
        let spread = |value: &dyn Fn(usize) -> f32| join(&|row| vec![value(row); self.completions[row].len()]);
        let old_logprobs = join(&|row| self.old_logprobs[row].clone());
        let ref_logprobs = join(&|row| self.ref_logprobs[row].clone());
        let advantages = spread(&|row| self.advantages[row]);
        let weights = spread(&|row| (1.0 / self.normalizers[row]) as f32);
        let entropy_weights = spread(&|_| (case.entropy_coef / case.n_tokens as f64) as f32);
        let lengths: Vec<usize> = members.iter().map(|&row| self.completions[row].len()).collect();
        let sequences = Sequences::of(&lengths, Device::Cpu);
        let objective = case.objective();
        let network = policy.trainable_weights();
        let tape = policy.forward(&network, &batch, Checkpointing::None);
        let mut total = 0.0;
        let mut loss = |start: i64, stats: &TokenStats| {
            let part = |tensor: &Tensor| tensor.narrow(0, start, stats.logprobs.size()[0]);
            let (ref_logprobs, entropy_weights) = (part(&ref_logprobs), part(&entropy_weights));
            let has_bonus = case.entropy_coef != 0.0;
            let tokens = TokenBatch {
                logprobs: &stats.logprobs,
                old_logprobs: &part(&old_logprobs),
                sampler_logprobs: None,
                ref_logprobs: (case.kl_beta != 0.0).then_some(&ref_logprobs),
                entropies: has_bonus.then_some(&stats.entropy),
                advantages: &part(&advantages),
                weights: &part(&weights),
                chosen: Chosen { entropy: has_bonus.then_some(&entropy_weights), ..Chosen::default() },
                sequences: Some(&sequences),
            };
            let (loss, _) = grpo_loss(&tokens, &objective)?;
            total += loss.double_value(&[]);
            Ok::<_, LossError>(loss)
        };
        match objective.scope() {
            Scope::Token => tape.loss_in_chunks(case.temperature, chunk_tokens, loss),
            Scope::Sequence => tape.loss_at_once(case.temperature, chunk_tokens, |stats| loss(0, stats)),
        }
        .unwrap()
        .backward();
        total
    }
}

/// For each cut of the eight completions into micro-batches: loss and gradients are TRL's.
#[test]
fn loss_and_gradients_are_those_of_trl_however_the_batch_is_cut() {
    let manifest = std::fs::read_to_string(golden().join("loss/model_manifest.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&manifest).unwrap();
    assert_eq!(cases.len(), 8);
    assert!(cases.iter().any(|case| case.objective().scope() == Scope::Sequence));
    assert!(cases.iter().any(|case| case.entropy_coef != 0.0));
    for case in cases {
        let stored = policy::read_tensors(&golden().join(format!("loss/{}.safetensors", case.name))).unwrap();
        let batch = Batch::of(&stored);
        assert_eq!(batch.completions.iter().map(Vec::len).sum::<usize>(), case.n_tokens);
        for (n_micro_batches, chunk_tokens) in [(1, 1000), (1, 7), (2, 1000), (8, 5)] {
            let policy = Policy::load(&golden().join("models").join(&case.model), Dtype::Float32, Device::Cpu).unwrap();
            let all: Vec<usize> = (0..batch.completions.len()).collect();
            let parts = all.chunks(all.len() / n_micro_batches);
            let loss: f64 = parts.map(|members| batch.backward(&policy, &case, members, chunk_tokens)).sum();
            let what = format!("{}, {n_micro_batches} micro-batches, chunks of {chunk_tokens}", case.name);
            assert!((loss - case.loss).abs() <= 1e-5 * case.loss.abs(), "{what}: {loss}, not {}", case.loss);
            for (name, parameter) in policy.parameters() {
                let expected = &stored[&format!("gradient/{name}")];
                let difference = (parameter.grad() - expected).norm().double_value(&[]);
                let relative = difference / expected.norm().double_value(&[]).max(1e-6);
                assert!(relative <= 1e-5, "{what}: gradient of {name} is off by {relative}");
            }
        }
    }
}
