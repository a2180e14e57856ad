//! Thoughts that are ended by a phrase: where it stands, what comes before and behind it, and what the policy says of it.

use std::path::Path;

use policy::{Dtype, PackedBatch, Policy, SharedPrompt};
use rollout::random::Stream;
use rollout::{Completion, Error, ForcedEnd, Generator, Group, Prompt, SamplingParams, StopReason, Tokenizer};
use tch::Device;

const TEMPERATURE: f64 = 0.8;

fn load() -> (Policy, Tokenizer) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models/qwen2_tied");
    let policy = Policy::load(&folder, Dtype::Float32, Device::Cpu).unwrap();
    let tokenizer = Tokenizer::load(&folder, policy.config().vocab_size).unwrap();
    (policy, tokenizer)
}

fn params(forced_end: Option<ForcedEnd>) -> SamplingParams {
    SamplingParams {
        temperature: TEMPERATURE,
        max_tokens: 30,
        stop_token_ids: (0..12).collect(),
        forced_end,
        ..SamplingParams::default()
    }
}

fn forced_end(unless: &str) -> ForcedEnd {
    // The second token of the phrase is a stop token: put in, it stops nothing.
    ForcedEnd { ids: vec![70, 3, 71], after_tokens: [4, 9], answer_tokens: 5, unless: unless.to_owned() }
}

fn stream(group: usize, row: usize) -> Stream {
    Stream::new(2, &[group as u64, row as u64])
}

fn sample(policy: &Policy, tokenizer: &Tokenizer, params: &SamplingParams, max_batch: usize) -> Vec<Group> {
    let prompts = (0..7).map(|n| Prompt { ids: (20..=20 + 2 * n).collect(), text: n.to_string() }).collect();
    let generator = Generator { policy, tokenizer, params, max_batch };
    generator.generate(prompts, 6, stream, |_| ()).unwrap()
}

fn pairs<'a>(a: &'a [Group], b: &'a [Group]) -> impl Iterator<Item = ((usize, usize), &'a Completion, &'a Completion)> {
    a.iter().zip(b).enumerate().flat_map(|(group, (a, b))| {
        a.completions.iter().zip(&b.completions).enumerate().map(move |(row, (a, b))| ((group, row), a, b))
    })
}

#[test]
fn thoughts_end_when_their_budget_is_used_up() {
    let (policy, tokenizer) = load();
    let plain = sample(&policy, &tokenizer, &params(None), 10);
    // A text that some completions come to in time and others do not.
    let unless = tokenizer.decode(&plain[0].completions[0].ids[1..2]);
    let forced_end = forced_end(&unless);
    let forced = sample(&policy, &tokenizer, &params(Some(forced_end.clone())), 10);
    let (mut n_forced, mut n_ended, mut n_short, mut stops) = (0, 0, 0, Vec::new());
    for ((group, row), plain, forced) in pairs(&plain, &forced) {
        assert!(plain.forced.is_empty());
        let budget = forced_end.budget(&stream(group, row));
        let is_short = plain.ids.len() <= budget;
        if is_short || tokenizer.decode(&plain.ids[..budget]).contains(&unless) {
            assert_eq!(plain, forced, "left alone, with the numbers it would have had");
            n_short += usize::from(is_short);
            n_ended += usize::from(!is_short);
            continue;
        }
        n_forced += 1;
        assert_eq!(forced.forced, budget..budget + 3);
        assert_eq!(forced.ids[..budget], plain.ids[..budget]);
        assert_eq!(forced.ids[forced.forced.clone()], forced_end.ids);
        assert_eq!(forced.text, tokenizer.decode(&forced.ids));
        let n_answer = forced.ids.len() - forced.forced.end;
        let ends = params(None).stop_token_ids.contains(&forced.ids[forced.ids.len() - 1]);
        assert_eq!(forced.stop_reason == StopReason::EndToken, ends && n_answer > 0);
        assert!((1..=5).contains(&n_answer) && (ends || n_answer == 5), "{n_answer} tokens behind the phrase");
        stops.push(forced.stop_reason);
    }
    assert!(n_forced > 5 && n_ended > 0 && n_short > 0, "{n_forced} {n_ended} {n_short}");
    assert!(stops.contains(&StopReason::MaxTokens) && stops.contains(&StopReason::EndToken), "{stops:?}");
    // Neither neighbours nor the way that the network is computed change anything.
    assert_eq!(forced, sample(&policy, &tokenizer, &params(Some(forced_end.clone())), 3));
    let theirs = sample(&load().0.by_libtorch(), &tokenizer, &params(Some(forced_end)), 10);
    for (at, a, b) in pairs(&forced, &theirs) {
        assert_eq!((&a.ids, &a.forced, a.stop_reason), (&b.ids, &b.forced, b.stop_reason), "{at:?}");
    }
}

/// Log-probabilities of drawn tokens, and of those put in, are those of a forward pass over the whole: to the bit.
#[test]
fn what_the_policy_says_of_them_is_what_the_trainer_computes() {
    let (policy, tokenizer) = load();
    let groups = sample(&policy, &tokenizer, &params(Some(forced_end("none"))), 10);
    let shared: Vec<SharedPrompt> = groups
        .iter()
        .map(|group| SharedPrompt {
            prompt: &group.prompt.ids,
            completions: group.completions.iter().map(|completion| completion.ids.as_slice()).collect(),
        })
        .collect();
    let stats = policy.packed_logprobs(&policy.frozen_weights(), &PackedBatch::new(&shared), TEMPERATURE, 4096);
    let trained = Vec::<f32>::try_from(&stats.logprobs).unwrap();
    let sampled: Vec<f32> = groups.iter().flat_map(|g| &g.completions).flat_map(|c| c.logprobs.clone()).collect();
    assert!(groups.iter().flat_map(|group| &group.completions).any(|completion| !completion.forced.is_empty()));
    assert_eq!(trained, sampled);
}

#[test]
fn a_phrase_that_leaves_no_room_is_refused() {
    let (policy, tokenizer) = load();
    let params = SamplingParams { max_tokens: 16, ..params(Some(forced_end("none"))) };
    let generator = Generator { policy: &policy, tokenizer: &tokenizer, params: &params, max_batch: 4 };
    let error = generator.generate(vec![Prompt { ids: vec![20], text: String::new() }], 2, stream, |_| ()).unwrap_err();
    assert!(matches!(error, Error::ForcedEnd { n_tokens: 17, n_phrase_tokens: 3, max_tokens: 16 }), "{error}");
}
