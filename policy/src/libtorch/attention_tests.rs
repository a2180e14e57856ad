//! The layout that the flash kernel gets, checked on the CPU: each of its sequences by itself gives what the loop gives.

use super::*;

/// Numbers without a pattern that matters, `[tokens, heads, 8]`.
fn numbers(n_tokens: i64, n_heads: i64, seed: f64) -> Tensor {
    let at = Tensor::arange(n_tokens * n_heads * 8, (Kind::Double, Device::Cpu)) * 0.7 + seed;
    at.square().sin().reshape([n_tokens, n_heads, 8]).to_kind(Kind::Float)
}

/// What the kernel computes: causal attention within each sequence, the last query at the place of the last key.
fn by_ragged(ragged: &Ragged, heads: &Heads) -> Tensor {
    let (key, value) = (ragged.repeated(&heads.key), ragged.repeated(&heads.value));
    let starts = |t: &Tensor| Vec::<i32>::try_from(t).unwrap().into_iter().map(i64::from).collect::<Vec<_>>();
    let (queries, keys) = (starts(&ragged.query_starts), starts(&ragged.key_starts));
    assert_eq!(queries.len(), keys.len());
    assert_eq!((queries.last(), keys.last()), (Some(&heads.query.size()[0]), Some(&key.size()[0])));
    let mut longest = (0, 0);
    let outputs: Vec<Tensor> = queries
        .windows(2)
        .zip(keys.windows(2))
        .map(|(q, k)| {
            let (n_queries, n_keys) = (q[1] - q[0], k[1] - k[0]);
            longest = (longest.0.max(n_queries), longest.1.max(n_keys));
            let hidden = Tensor::ones([n_queries, n_keys], (Kind::Bool, Device::Cpu)).triu(n_keys - n_queries + 1);
            let mask =
                Tensor::zeros([n_queries, n_keys], (Kind::Float, Device::Cpu)).masked_fill(&hidden, f64::NEG_INFINITY);
            let part = |t: &Tensor| t.narrow(0, k[0], n_keys);
            one(&heads.query.narrow(0, q[0], n_queries), &part(&key), &part(&value), Some(&mask))
        })
        .collect();
    assert_eq!(longest, (ragged.longest_query, ragged.longest_key));
    Tensor::cat(&outputs, 0)
}

#[track_caller]
fn check(segments: &[(i64, &[i64])]) {
    let segments: Vec<Segment> =
        segments.iter().map(|&(n_prompt, n_inputs)| Segment { n_prompt, n_inputs: n_inputs.to_vec() }).collect();
    let n_tokens = segments.iter().map(|s| s.n_prompt + s.n_inputs.iter().sum::<i64>()).sum();
    let leaf = |n_heads, seed| numbers(n_tokens, n_heads, seed).set_requires_grad(true);
    let run = |attend: &dyn Fn(&Heads) -> Tensor| {
        let heads = Heads { query: leaf(4, 1.0), key: leaf(2, 2.0), value: leaf(2, 3.0) };
        let output = attend(&heads);
        (&output * numbers(n_tokens, 4, 4.0).flatten(1, 2)).sum(Kind::Float).backward();
        [output.detach(), heads.query.grad(), heads.key.grad(), heads.value.grad()]
    };
    let causal = causal_mask(&segments, Kind::Float, Device::Cpu);
    let expected = run(&|heads| by_sequence(heads, &segments, &causal));
    let found = run(&|heads| by_ragged(&Ragged::new(&segments, Device::Cpu), heads));
    for (a, b) in expected.iter().zip(&found) {
        let difference = (a - b).abs().max().double_value(&[]);
        assert!(difference < 1e-5, "{segments:?}: {difference}");
    }
}

#[test]
fn the_sequences_of_the_flash_kernel_are_those_of_the_loop() {
    check(&[(5, &[])]);
    check(&[(3, &[]), (1, &[]), (7, &[])]);
    check(&[(4, &[6])]);
    check(&[(4, &[6, 0, 1, 9]), (1, &[0]), (5, &[]), (2, &[3, 3])]);
}

#[test]
fn no_flash_attention_is_used_on_the_cpu() {
    let heads = Heads { query: numbers(5, 4, 1.0), key: numbers(5, 2, 2.0), value: numbers(5, 2, 3.0) };
    let segments = [Segment { n_prompt: 5, n_inputs: vec![] }];
    let packing = Packing::new(&segments, Kernels::Flash, Kind::Float, Device::Cpu);
    let error = packing.try_attend(&heads).unwrap_err().to_string();
    assert!(error.contains("for GPUs only"), "{error}");
}
