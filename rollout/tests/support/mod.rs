//! What the tests of forced phrases share: a small model with random weights, prompts of many lengths, comparisons.

use std::path::Path;

use policy::{Dtype, PackedBatch, Policy, SharedPrompt};
use rollout::random::Stream;
use rollout::{Completion, Generator, Group, Prompt, SamplingParams, Tokenizer};
use tch::Device;

pub const TEMPERATURE: f64 = 0.8;

pub fn load() -> (Policy, Tokenizer) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models/qwen2_tied");
    let policy = Policy::load(&folder, Dtype::Float32, Device::Cpu).unwrap();
    let tokenizer = Tokenizer::load(&folder, policy.config().vocab_size).unwrap();
    (policy, tokenizer)
}

pub fn params() -> SamplingParams {
    SamplingParams {
        temperature: TEMPERATURE,
        max_tokens: 30,
        stop_token_ids: (0..12).collect(),
        ..SamplingParams::default()
    }
}

pub fn stream(group: usize, row: usize) -> Stream {
    Stream::new(2, &[group as u64, row as u64])
}

/// Six completions of each of seven prompts, the first of them a single token.
pub fn sample(policy: &Policy, tokenizer: &Tokenizer, params: &SamplingParams, max_batch: usize) -> Vec<Group> {
    let prompts = (0..7).map(|n| Prompt { ids: (20..=20 + 2 * n).collect(), text: n.to_string() }).collect();
    let generator = Generator { policy, tokenizer, params, max_batch };
    generator.generate(prompts, 6, stream, |_| ()).unwrap()
}

pub fn pairs<'a>(
    a: &'a [Group],
    b: &'a [Group],
) -> impl Iterator<Item = ((usize, usize), &'a Completion, &'a Completion)> {
    a.iter().zip(b).enumerate().flat_map(|(group, (a, b))| {
        a.completions.iter().zip(&b.completions).enumerate().map(move |(row, (a, b))| ((group, row), a, b))
    })
}

/// The log-probabilities of all tokens by a forward pass over the whole, and those that came with the samples.
pub fn logprobs(policy: &Policy, groups: &[Group]) -> (Vec<f32>, Vec<f32>) {
    let shared: Vec<SharedPrompt> = groups
        .iter()
        .map(|group| SharedPrompt {
            prompt: &group.prompt.ids,
            completions: group.completions.iter().map(|completion| completion.ids.as_slice()).collect(),
        })
        .collect();
    let stats = policy.packed_logprobs(&policy.frozen_weights(), &PackedBatch::new(&shared), TEMPERATURE, 4096);
    let trained = Vec::<f32>::try_from(&stats.logprobs).unwrap();
    (trained, groups.iter().flat_map(|g| &g.completions).flat_map(|c| c.logprobs.clone()).collect())
}
