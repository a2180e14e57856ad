//! Thoughts that are ended by a phrase: where it stands, what comes before and behind it, and what the policy says of it.

mod support;

use rollout::{Error, ForcedEnd, Generator, Prompt, SamplingParams, StopReason};
use support::{load, logprobs, pairs, sample, stream};

fn params(forced_end: Option<ForcedEnd>) -> SamplingParams {
    SamplingParams { forced_end, ..support::params() }
}

fn forced_end(unless: &str) -> ForcedEnd {
    // The second token of the phrase is a stop token: put in, it stops nothing.
    ForcedEnd { ids: vec![70, 3, 71], after_tokens: [4, 9], answer_tokens: 5, unless: unless.to_owned() }
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
        assert!(forced.forced.ranges().iter().eq([&(budget..budget + 3)]));
        assert_eq!(forced.ids[..budget], plain.ids[..budget]);
        assert_eq!(forced.ids[budget..budget + 3], forced_end.ids);
        assert_eq!(forced.text, tokenizer.decode(&forced.ids));
        let n_answer = forced.ids.len() - (budget + 3);
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
    let (trained, sampled) = logprobs(&policy, &groups);
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
