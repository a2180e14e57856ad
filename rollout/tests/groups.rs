//! Groups as they end: each once, whole, and the same as all at the end.

use std::path::Path;

use policy::{Dtype, Policy};
use rollout::random::Stream;
use rollout::{Generator, Prompt, SamplingParams, Tokenizer};
use tch::Device;

#[test]
fn every_group_is_handed_over_once_and_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models/qwen2_tied");
    let policy = Policy::load(&folder, Dtype::Float32, Device::Cpu).unwrap();
    let tokenizer = Tokenizer::load(&folder, policy.config().vocab_size).unwrap();
    let params = SamplingParams {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        max_tokens: 12,
        min_tokens: 0,
        stop_token_ids: (0..40).collect(),
        stop_strings: Vec::new(),
        forced_end: None,
        forced_wait: None,
    };
    // Two threads and two engines' worth of rows, so that groups come from both sides.
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global().expect("the first of this process");
    let generator = Generator { policy: &policy, tokenizer: &tokenizer, params: &params, max_batch: 64 };
    let prompts: Vec<Prompt> = (0..21).map(|n| Prompt { ids: vec![50 + n, 60, 70], text: n.to_string() }).collect();
    let stream = |group: usize, row: usize| Stream::new(1, &[group as u64, row as u64]);

    let mut handed_over = vec![None; prompts.len()];
    let mut progress = rollout::Progress::default();
    let seconds = generator
        .generate_each(
            &prompts,
            5,
            stream,
            |done| progress = done,
            |group, completions| {
                assert!(handed_over[group].replace(completions).is_none(), "group {group} came twice");
            },
        )
        .unwrap();
    let together = generator.generate(prompts.clone(), 5, stream, |_| ()).unwrap();
    let n_tokens = |group: &[rollout::Completion]| group.iter().map(|completion| completion.ids.len()).sum::<usize>();
    assert_eq!(progress.n_completions, 21 * 5);
    assert_eq!(progress.n_tokens, together.iter().map(|group| n_tokens(&group.completions)).sum::<usize>());
    for ((prompt, group), handed_over) in prompts.iter().zip(&together).zip(handed_over) {
        assert_eq!(&group.prompt, prompt);
        assert_eq!(group.completions.len(), 5);
        assert_eq!(handed_over.expect("every group comes"), group.completions);
    }
    for part in [seconds.prefill, seconds.network, seconds.draw, seconds.text] {
        assert!(part > 0.0, "{seconds:?}");
    }
    // Nothing asked for is a group of nothing, and no prompts are no groups.
    let empty = generator.generate(prompts[..2].to_vec(), 0, stream, |_| ()).unwrap();
    assert_eq!(empty.iter().map(|group| group.completions.len()).collect::<Vec<_>>(), [0, 0]);
    assert!(generator.generate(Vec::new(), 5, stream, |_| ()).unwrap().is_empty());
}
