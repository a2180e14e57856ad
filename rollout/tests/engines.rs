//! The same completions whichever way the network is computed: many rows, refilled as they end.

use std::path::Path;

use policy::{Dtype, Policy};
use rollout::random::Stream;
use rollout::{Generator, Group, Prompt, SamplingParams, Tokenizer};
use tch::Device;

#[test]
fn both_engines_sample_the_same_completions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models/qwen3_tied");
    let load = || Policy::load(&folder, Dtype::Float32, Device::Cpu).unwrap();
    let params = SamplingParams {
        max_tokens: 40,
        min_tokens: 3,
        top_p: 0.95,
        stop_token_ids: (0..6).collect(),
        ..SamplingParams::default()
    };
    let prompts: Vec<Prompt> =
        (0..9).map(|n| Prompt { ids: (10..=10 + 3 * n).collect(), text: n.to_string() }).collect();
    let sample = |policy: &Policy| -> Vec<Group> {
        let tokenizer = Tokenizer::load(&folder, policy.config().vocab_size).unwrap();
        let generator = Generator { policy, tokenizer: &tokenizer, params: &params, max_batch: 11 };
        let stream = |group: usize, row: usize| Stream::new(2, &[group as u64, row as u64]);
        generator.generate(prompts.clone(), 4, stream, |_| ()).unwrap()
    };
    let (ours, theirs) = (sample(&load()), sample(&load().by_libtorch()));
    let mut lengths = Vec::new();
    for (a, b) in ours.iter().flat_map(|g| &g.completions).zip(theirs.iter().flat_map(|g| &g.completions)) {
        assert_eq!((&a.ids, a.stop_reason), (&b.ids, b.stop_reason));
        let differences = a.logprobs.iter().zip(&b.logprobs).map(|(a, b)| (a - b).abs());
        assert!(differences.fold(0.0, f32::max) < 1e-4);
        lengths.push(a.ids.len());
    }
    assert_eq!(lengths.len(), 36);
    assert!(lengths.iter().min() < lengths.iter().max(), "rows end at different times");
}
