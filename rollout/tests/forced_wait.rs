//! Thoughts that are kept going: what is taken back, what is put in for it, how sampling goes on, and both bounds together.

mod support;

use policy::Policy;
use rollout::{Completion, Draws, ForcedEnd, ForcedWait, Group, Prompt, SamplingParams, Tokenizer};
use support::{load, logprobs, pairs, sample, stream};
use tch::Device;

fn params(forced_wait: Option<ForcedWait>) -> SamplingParams {
    SamplingParams { forced_wait, ..support::params() }
}

/// Keeps thoughts going that the text of two tokens closes, which some completions come to in time and others do not.
fn forced_wait(policy: &Policy, tokenizer: &Tokenizer) -> ForcedWait {
    let plain = sample(policy, tokenizer, &params(None), 10);
    let closing = tokenizer.decode(&plain[0].completions[0].ids[2..4]);
    // The second token is a stop token: put in, it stops nothing and closes nothing.
    ForcedWait { ids: vec![70, 3], closing, until_tokens: 30, most_times: 1 }
}

/// The tokens before what closes the thoughts of a completion, and behind it.
fn closed(completion: &Completion, tokenizer: &Tokenizer, closing: &str) -> Option<[usize; 2]> {
    let ids = &completion.ids;
    let by_text = (1..=ids.len()).find(|&n| tokenizer.decode(&ids[..n]).contains(closing));
    let end = by_text.or_else(|| (ids.last()? < &12).then_some(ids.len()))?;
    let begin = match by_text {
        Some(_) => {
            let at = tokenizer.decode(&ids[..end]).find(closing).unwrap();
            (0..=end).rev().find(|&n| tokenizer.decode(&ids[..n]).len() <= at).unwrap()
        }
        None => end - 1,
    };
    Some([begin, end])
}

#[test]
fn thoughts_that_close_too_early_go_on() {
    let (policy, tokenizer) = load();
    let by_two_tokens = forced_wait(&policy, &tokenizer);
    let plain = sample(&policy, &tokenizer, &params(None), 10);
    // Behind a prompt of a single token there is nothing that could be kept.
    let at_once = tokenizer.decode(&plain[0].completions[0].ids[..1]);
    let counts = |wait| check_one_wait(&policy, &tokenizer, &plain, wait);
    let (n_waited, n_alone, n_by_text, _) = counts(by_two_tokens.clone());
    assert!(n_waited > 10 && n_alone > 0 && n_by_text > 0, "{n_waited} {n_alone} {n_by_text}");
    let (n_waited, _, _, n_from_nothing) = counts(ForcedWait { closing: at_once, ..by_two_tokens });
    assert!(n_waited > 10 && n_from_nothing > 0, "{n_waited} {n_from_nothing}");
}

/// Holds every completion to what it was without the phrase; gives back how many were kept going, were left alone, closed their
/// thoughts by a text, and did so at once behind a prompt of one token.
fn check_one_wait(
    policy: &Policy,
    tokenizer: &Tokenizer,
    plain: &[Group],
    wait: ForcedWait,
) -> (usize, usize, usize, usize) {
    let waited = sample(policy, tokenizer, &params(Some(wait.clone())), 10);
    let (mut n_waited, mut n_alone, mut n_by_text, mut n_from_nothing) = (0, 0, 0, 0);
    for ((group, row), plain, waited) in pairs(plain, &waited) {
        let Some([begin, end]) = closed(plain, tokenizer, &wait.closing) else {
            assert_eq!(plain, waited, "left alone, with the numbers it would have had");
            n_alone += 1;
            continue;
        };
        if begin + 2 >= 30 {
            assert_eq!(plain, waited, "no room for more");
            continue;
        }
        n_waited += 1;
        n_by_text += usize::from(plain.ids[end - 1] >= 12);
        n_from_nothing += usize::from(begin == 0 && group == 0);
        assert!(waited.forced.ranges().iter().eq([&(begin..begin + 2)]));
        assert_eq!((&waited.ids[..begin], &waited.ids[begin..begin + 2]), (&plain.ids[..begin], &wait.ids[..]));
        assert_eq!(waited.text, tokenizer.decode(&waited.ids));
        assert!(waited.ids.len() > begin + 2, "goes on behind the phrase");
        // Every drawn token is what a draw from the whole before it gives, by a number that nothing was drawn by before.
        let prompt: Vec<i64> = (20..=20 + 2 * group as i64).collect();
        for position in (0..waited.ids.len()).filter(|position| !waited.forced.contains(*position)) {
            let n_taken_back = if position < begin { 0 } else { end - begin };
            let before = [&prompt, &waited.ids[..position]].concat();
            let logits = policy.sampler().prefill(&before).logits.unsqueeze(0);
            let uniform = stream(group, row).uniform((position + n_taken_back) as u64);
            let drawn = Draws::new(vec![uniform], vec![false], vec![None], &params(None), Device::Cpu).draw(&logits);
            assert_eq!((drawn.ids[0], drawn.logprobs[0]), (waited.ids[position], waited.logprobs[position]));
        }
    }
    // Neither neighbours nor the way that the network is computed change anything.
    assert_eq!(waited, sample(policy, tokenizer, &params(Some(wait.clone())), 3));
    let theirs = sample(&load().0.by_libtorch(), tokenizer, &params(Some(wait)), 10);
    for (at, a, b) in pairs(&waited, &theirs) {
        assert_eq!((&a.ids, &a.forced, a.stop_reason), (&b.ids, &b.forced, b.stop_reason), "{at:?}");
    }
    (n_waited, n_alone, n_by_text, n_from_nothing)
}

#[test]
fn it_is_done_so_many_times_and_not_once_thoughts_are_long_enough() {
    let (policy, tokenizer) = load();
    let often = ForcedWait { most_times: 4, ..forced_wait(&policy, &tokenizer) };
    let most = |wait: &ForcedWait| {
        let groups = sample(&policy, &tokenizer, &params(Some(wait.clone())), 10);
        let counts = groups.iter().flat_map(|group| &group.completions).map(|c| c.forced.ranges().len());
        counts.max().unwrap()
    };
    assert_eq!(most(&often), 4);
    assert_eq!(most(&ForcedWait { most_times: 2, ..often.clone() }), 2);
    let plain = sample(&policy, &tokenizer, &params(None), 10);
    let never = params(Some(ForcedWait { most_times: 0, ..often.clone() }));
    assert_eq!(sample(&policy, &tokenizer, &never, 10), plain);
    let at_once = params(Some(ForcedWait { until_tokens: 0, ..often.clone() }));
    assert_eq!(sample(&policy, &tokenizer, &at_once, 10), plain);
    let short = ForcedWait { until_tokens: 6, ..often };
    let groups = sample(&policy, &tokenizer, &params(Some(short)), 10);
    let begins = || groups.iter().flat_map(|g| &g.completions).flat_map(|c| c.forced.ranges()).map(|range| range.start);
    assert!(begins().count() > 3 && begins().all(|begin| begin < 6));
}

/// Log-probabilities of drawn tokens, and of those put in, are those of a forward pass over the whole: to the bit.
#[test]
fn what_the_policy_says_of_them_is_what_the_trainer_computes() {
    let (policy, tokenizer) = load();
    let often = ForcedWait { most_times: 4, ..forced_wait(&policy, &tokenizer) };
    let groups = sample(&policy, &tokenizer, &params(Some(often)), 10);
    let (trained, sampled) = logprobs(&policy, &groups);
    assert_eq!(trained, sampled);
}

/// At temperature 0 what follows is what follows the same text as a prompt.
#[test]
fn greedy_completions_go_on_as_from_a_prompt() {
    let (policy, tokenizer) = load();
    let greedy = |forced_wait| SamplingParams { temperature: 0.0, ..params(forced_wait) };
    let plain = sample(&policy, &tokenizer, &greedy(None), 10);
    let closing = tokenizer.decode(&plain[3].completions[0].ids[1..3]);
    let wait = ForcedWait { ids: vec![70], closing, until_tokens: 30, most_times: 1 };
    let waited = sample(&policy, &tokenizer, &greedy(Some(wait)), 10);
    let begin = waited[3].completions[0].forced.ranges()[0].start;
    let ids = [&waited[3].prompt.ids, &waited[3].completions[0].ids[..=begin]].concat();
    let params = SamplingParams { max_tokens: 30 - begin - 1, ..greedy(None) };
    let generator = rollout::Generator { policy: &policy, tokenizer: &tokenizer, params: &params, max_batch: 1 };
    let rest = generator.generate(vec![Prompt { ids, text: String::new() }], 1, stream, |_| ()).unwrap();
    assert_eq!(waited[3].completions[0].ids[begin + 1..], rest[0].completions[0].ids);
}

#[test]
fn both_bounds_hold_together() {
    let (policy, tokenizer) = load();
    let wait = ForcedWait { most_times: 3, ..forced_wait(&policy, &tokenizer) };
    let forced_end =
        ForcedEnd { ids: vec![71, 72], after_tokens: [12, 12], answer_tokens: 5, unless: wait.closing.clone() };
    let both = SamplingParams { forced_end: Some(forced_end.clone()), ..params(Some(wait.clone())) };
    let groups = sample(&policy, &tokenizer, &both, 10);
    let (mut n_ended, mut n_both) = (0, 0);
    for completion in groups.iter().flat_map(|group| &group.completions) {
        let (ranges, ids) = (completion.forced.ranges(), &completion.ids);
        let (ends, waits): (Vec<_>, Vec<_>) =
            ranges.iter().cloned().partition(|range| ids[range.clone()] == forced_end.ids);
        assert!(ends.is_empty() || ends.iter().eq([&(12..14)]), "{ranges:?}");
        assert!(waits.iter().all(|range| ids[range.clone()] == wait.ids && range.end < 12), "{ranges:?}");
        assert!(ends.is_empty() || ids.len() <= 19);
        n_ended += ends.len();
        n_both += usize::from(!ends.is_empty() && !waits.is_empty());
    }
    assert!(n_ended > 3 && n_both > 0, "{n_ended} {n_both}");
    let (trained, sampled) = logprobs(&policy, &groups);
    assert_eq!(trained, sampled);
    assert_eq!(groups, sample(&policy, &tokenizer, &both, 2));
}
