//! The loss against TRL and papers, by hand, cut into pieces, and at the edges of float32. Here: what those tests share.

mod by_hand;
mod cut;
mod edges;
mod properties;
mod references;
mod switches;
mod trl;

use std::collections::HashMap;
use std::ops::Range;

use serde::Deserialize;

use super::*;
use crate::grpo::{
    Aggregation, Importance, ImportanceAction, ImportanceLevel, RatioLevel, Shares, Surrogate, token_weights,
};

/// One clip, no KL.
const PLAIN: Objective = Objective::grpo(0.2);

const RATIO_LEVELS: [RatioLevel; 4] =
    [RatioLevel::Token, RatioLevel::Sequence, RatioLevel::SequenceToken, RatioLevel::Product];

const AGGREGATIONS: [Aggregation; 5] =
    [Aggregation::PerCompletion, Aggregation::PerToken, Aggregation::Constant, Aggregation::Local, Aggregation::Sum];

const SHARES: Shares = Shares { max_tokens: 32, block: 4 };

/// One of each kind, and the clip with a bound of the unclipped ratio.
const SURROGATES: [Surrogate; 5] = [
    Surrogate::Clip { low: 0.2, high: 0.28, delta: None },
    Surrogate::Clip { low: 0.2, high: 0.28, delta: Some(1.5) },
    Surrogate::Cispo { cap: 1.6 },
    Surrogate::Sapo { positive: 1.0, negative: 1.05 },
    Surrogate::Vespo { positive: [2.0, 3.0], negative: [3.0, 2.0] },
];

/// Every surrogate at every level of the ratio, without a KL term and with every estimator of it, by itself and times the
/// ratio.
fn every_objective() -> Vec<Objective> {
    let kls = [KlEstimator::K1, KlEstimator::K2, KlEstimator::K3]
        .into_iter()
        .flat_map(|estimator| [(0.04, estimator, false), (0.04, estimator, true)])
        .chain([(0.0, KlEstimator::K3, false)]);
    let mut objectives = Vec::new();
    for (kl_beta, kl_estimator, kl_times_ratio) in kls {
        for ratio in RATIO_LEVELS {
            for surrogate in SURROGATES {
                objectives.push(Objective { ratio, surrogate, kl_beta, kl_estimator, kl_times_ratio, ..PLAIN });
            }
        }
    }
    objectives
}

/// Tensors of one minibatch, `[n_tokens]`, with the length of each completion.
#[derive(Debug)]
struct Flat {
    logprobs: Tensor,
    old_logprobs: Tensor,
    ref_logprobs: Tensor,
    sampler_logprobs: Option<Tensor>,
    entropies: Option<Tensor>,
    advantages: Tensor,
    kept: Option<Tensor>,
    covariance_kl: Option<Tensor>,
    entropy_weights: Option<Tensor>,
    lengths: Vec<usize>,
}

impl Flat {
    /// Every tensor as `of` makes it.
    fn map(&self, lengths: Vec<usize>, of: impl Fn(&Tensor) -> Tensor) -> Self {
        let optional = |tensor: &Option<Tensor>| tensor.as_ref().map(&of);
        Self {
            logprobs: of(&self.logprobs),
            old_logprobs: of(&self.old_logprobs),
            ref_logprobs: of(&self.ref_logprobs),
            sampler_logprobs: optional(&self.sampler_logprobs),
            entropies: optional(&self.entropies),
            advantages: of(&self.advantages),
            kept: optional(&self.kept),
            covariance_kl: optional(&self.covariance_kl),
            entropy_weights: optional(&self.entropy_weights),
            lengths,
        }
    }

    /// The tokens of these completions, in this order, as indices.
    fn tokens_of(&self, rows: &[usize]) -> Tensor {
        let start = |row: usize| self.lengths[..row].iter().sum::<usize>() as i64;
        let of = |&row: &usize| (start(row)..).take(self.lengths[row]);
        Tensor::from_slice(&rows.iter().flat_map(of).collect::<Vec<i64>>())
    }

    /// These completions, in this order.
    fn rows(&self, rows: &[usize]) -> Self {
        let tokens = self.tokens_of(rows);
        self.map(rows.iter().map(|&row| self.lengths[row]).collect(), |tensor| tensor.index_select(0, &tokens))
    }

    fn n_tokens(&self) -> i64 {
        self.lengths.iter().sum::<usize>() as i64
    }

    /// The aggregation weight of each token.
    fn weights(&self, aggregation: Aggregation) -> Tensor {
        spread(&token_weights(&self.lengths, aggregation, SHARES), &self.lengths)
    }

    /// The completions that have tokens within a range, each with as many as it has there.
    fn sequences(&self, range: &Range<i64>) -> Sequences {
        let mut start = 0;
        let within = |&length: &usize| {
            let end = start + length as i64;
            let n_within = end.min(range.end) - start.max(range.start);
            start = end;
            n_within.max(0) as usize
        };
        Sequences::of(&self.lengths.iter().map(within).collect::<Vec<_>>(), tch::Device::Cpu)
    }
}

fn golden(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/loss").join(name)
}

fn tensors(name: &str) -> HashMap<String, Tensor> {
    Tensor::read_safetensors(golden(name)).unwrap().into_iter().collect()
}

/// Per-completion values at each of its tokens, `[n_tokens]`, float64.
fn spread(values: &[f64], lengths: &[usize]) -> Tensor {
    let each = values.iter().zip(lengths).flat_map(|(&value, &length)| vec![value; length]).collect::<Vec<_>>();
    Tensor::from_slice(&each)
}

/// The padded golden batch without its padding.
fn golden_batch() -> Flat {
    let batch = tensors("batch.safetensors");
    let mask = batch["mask"].to_kind(Kind::Bool);
    let lengths: Vec<usize> =
        Vec::<i64>::try_from(batch["mask"].sum_dim_intlist([1_i64].as_slice(), false, Kind::Int64))
            .unwrap()
            .into_iter()
            .map(|length| length as usize)
            .collect();
    let flat = |name: &str| batch[name].masked_select(&mask);
    Flat {
        logprobs: flat("logprobs"),
        old_logprobs: flat("old_logprobs"),
        ref_logprobs: flat("ref_logprobs"),
        sampler_logprobs: Some(flat("sampler_logprobs")),
        entropies: None,
        advantages: spread(&Vec::<f64>::try_from(&batch["advantages"]).unwrap(), &lengths),
        kept: None,
        covariance_kl: None,
        entropy_weights: None,
        lengths,
    }
}

/// Loss and sums of a batch, and its gradients `[n_tokens]`.
struct Outcome {
    loss: f64,
    gradient: Tensor,
    /// Where there is a bonus for entropy.
    entropy_gradient: Option<Tensor>,
    stats: LossStats,
}

/// The tokens taken in chunks of `chunk_tokens`, whatever completions these cut through.
fn evaluate(flat: &Flat, weights: &Tensor, objective: &Objective, kind: Kind, chunk_tokens: i64) -> Outcome {
    let n_tokens = flat.n_tokens();
    let chunk = |start: i64| start..(start + chunk_tokens).min(n_tokens);
    let parts: Vec<_> = (0..n_tokens).step_by(chunk_tokens as usize).map(chunk).collect();
    evaluate_parts(flat, weights, objective, kind, &parts)
}

/// All tokens at once, in float64.
fn evaluate_whole(flat: &Flat, weights: &Tensor, objective: &Objective) -> Outcome {
    evaluate(flat, weights, objective, Kind::Double, flat.n_tokens())
}

/// The tokens of each range by themselves, in one graph.
fn evaluate_parts(flat: &Flat, weights: &Tensor, objective: &Objective, kind: Kind, parts: &[Range<i64>]) -> Outcome {
    let leaf = |tensor: &Tensor| tensor.to_kind(kind).copy().set_requires_grad(true);
    let (logprobs, entropies) = (leaf(&flat.logprobs), flat.entropies.as_ref().map(leaf));
    let (mut loss, mut stats) = (0.0, LossStats::default());
    for range in parts {
        let part = |tensor: &Tensor| tensor.to_kind(kind).narrow(0, range.start, range.end - range.start);
        let optional = |tensor: &Option<Tensor>| tensor.as_ref().map(part);
        let (kept, covariance_kl, entropy) =
            (optional(&flat.kept), optional(&flat.covariance_kl), optional(&flat.entropy_weights));
        let (sampler_logprobs, entropies) = (optional(&flat.sampler_logprobs), optional(&entropies));
        let batch = TokenBatch {
            logprobs: &part(&logprobs),
            old_logprobs: &part(&flat.old_logprobs),
            sampler_logprobs: sampler_logprobs.as_ref(),
            ref_logprobs: Some(&part(&flat.ref_logprobs)), // without beta it is measured only
            entropies: entropies.as_ref(),
            advantages: &part(&flat.advantages),
            weights: &part(weights),
            chosen: Chosen { kept: kept.as_ref(), covariance_kl: covariance_kl.as_ref(), entropy: entropy.as_ref() },
            sequences: Some(&flat.sequences(range)),
        };
        let (part_loss, part_stats) = grpo_loss(&batch, objective).unwrap();
        part_loss.backward();
        loss += part_loss.double_value(&[]);
        stats.merge(&part_stats);
    }
    let entropy_gradient = entropies.map(|leaf| leaf.grad()).filter(Tensor::defined);
    Outcome { loss, gradient: logprobs.grad(), entropy_gradient, stats }
}

#[track_caller]
fn close(got: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((got - expected).abs() <= tolerance * expected.abs(), "{what}: {got}, expected {expected}");
}

/// Every element within `tolerance` of the expected one, relative to it, or to a hundredth of the greatest or the median of
/// them, whichever is less: where policy and KL gradient cancel to less, TRL's float32 differs from its own float64 by more
/// than 1e-6 too.
#[track_caller]
fn all_close(got: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
    let (got, expected) = (got.to_kind(Kind::Double), expected.to_kind(Kind::Double));
    let size = expected.abs();
    let moved = size.masked_select(&size.ne(0.0));
    if moved.numel() == 0 {
        return assert_eq!(got.abs().max().double_value(&[]), 0.0, "{what}: a gradient where there is none");
    }
    let floor = (size.max() * 1e-2).minimum(&moved.median()).double_value(&[]);
    let worst = ((got - &expected).abs() / size.clamp_min(floor)).max().double_value(&[]);
    assert!(worst <= tolerance, "{what}: relative difference {worst}");
}

/// Loss and gradient of one token of weight 1.
fn one_token(
    logprob: f64,
    old: f64,
    reference: f64,
    advantage: f64,
    objective: &Objective,
    kind: Kind,
) -> (f64, f64, LossStats) {
    let flat = Flat {
        logprobs: Tensor::from_slice(&[logprob]),
        old_logprobs: Tensor::from_slice(&[old]),
        ref_logprobs: Tensor::from_slice(&[reference]),
        sampler_logprobs: None,
        entropies: None,
        advantages: Tensor::from_slice(&[advantage]),
        kept: None,
        covariance_kl: None,
        entropy_weights: None,
        lengths: vec![1],
    };
    let Outcome { loss, gradient, stats, .. } = evaluate(&flat, &Tensor::from_slice(&[1.0_f64]), objective, kind, 1);
    (loss, gradient.double_value(&[0]), stats)
}
