//! The loss against TRL's, cut into pieces, by finite differences, and at the edges of float32.

use super::*;
use crate::grpo::{Aggregation, token_weights};
use serde::Deserialize;
use std::collections::HashMap;

/// One clip, no KL.
const PLAIN: Objective = Objective {
    clip_epsilon_low: 0.2,
    clip_epsilon_high: 0.2,
    kl_beta: 0.0,
    kl_times_ratio: false,
    importance_cap: None,
};

/// Tensors of one minibatch, flat, with the length of each completion.
struct Flat {
    logprobs: Tensor,
    old_logprobs: Tensor,
    ref_logprobs: Tensor,
    sampler_logprobs: Option<Tensor>,
    advantages: Tensor,
    lengths: Vec<usize>,
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
        advantages: spread(&Vec::<f64>::try_from(&batch["advantages"]).unwrap(), &lengths),
        lengths,
    }
}

/// Loss, gradient `[n_tokens]` and sums, the tokens taken in chunks of `chunk_tokens`.
fn evaluate(
    flat: &Flat,
    weights: &Tensor,
    objective: &Objective,
    kind: Kind,
    chunk_tokens: i64,
) -> (f64, Tensor, LossStats) {
    let leaf = flat.logprobs.to_kind(kind).copy().set_requires_grad(true);
    let (mut total, mut stats) = (0.0, LossStats::default());
    let n_tokens = leaf.size()[0];
    for start in (0..n_tokens).step_by(chunk_tokens as usize) {
        let part = |tensor: &Tensor| tensor.to_kind(kind).narrow(0, start, chunk_tokens.min(n_tokens - start));
        let (old_logprobs, ref_logprobs) = (part(&flat.old_logprobs), part(&flat.ref_logprobs));
        let (advantages, weights) = (part(&flat.advantages), part(weights));
        let sampler_logprobs = flat.sampler_logprobs.as_ref().map(part);
        let batch = TokenBatch {
            logprobs: &part(&leaf),
            old_logprobs: &old_logprobs,
            sampler_logprobs: sampler_logprobs.as_ref(),
            ref_logprobs: Some(&ref_logprobs), // without beta it is measured only
            advantages: &advantages,
            weights: &weights,
        };
        let (loss, part_stats) = grpo_loss(&batch, objective).unwrap();
        loss.backward();
        total += loss.double_value(&[]);
        stats.merge(&part_stats);
    }
    (total, leaf.grad(), stats)
}

#[track_caller]
fn close(got: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((got - expected).abs() <= tolerance * expected.abs(), "{what}: {got}, expected {expected}");
}

/// Every element within `tolerance` of the expected one, relative to it or to a hundredth of the greatest: where policy
/// and KL gradient cancel to less, TRL's float32 differs from its own float64 by more than 1e-6 too.
#[track_caller]
fn all_close(got: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
    let (got, expected) = (got.to_kind(Kind::Double), expected.to_kind(Kind::Double));
    let floor = expected.abs().max() * 1e-2;
    let worst = ((got - &expected).abs() / expected.abs().maximum(&floor)).max().double_value(&[]);
    assert!(worst <= tolerance, "{what}: relative difference {worst}");
}

#[derive(Deserialize)]
struct Manifest {
    max_completion_length: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    loss_type: String,
    micro_batches: usize,
    kl_beta: f64,
    kl_times_ratio: bool,
    clip_epsilon: f64,
    clip_epsilon_high: f64,
    importance_cap: Option<f64>,
    metrics: Option<HashMap<String, f64>>,
}

impl Case {
    fn objective(&self) -> Objective {
        Objective {
            clip_epsilon_low: self.clip_epsilon,
            clip_epsilon_high: self.clip_epsilon_high,
            kl_beta: self.kl_beta,
            kl_times_ratio: self.kl_times_ratio,
            importance_cap: self.importance_cap,
        }
    }

    /// Ours under TRL's name. Its `bnpo` averages over the tokens of a micro-batch, which is one of ours only if that
    /// is the whole batch.
    fn aggregation(&self) -> Option<Aggregation> {
        match (self.loss_type.as_str(), self.micro_batches) {
            ("grpo", _) => Some(Aggregation::PerCompletion),
            ("dapo", _) | ("bnpo", 1) => Some(Aggregation::PerToken),
            ("dr_grpo", _) => Some(Aggregation::Constant),
            ("bnpo", _) => None,
            (other, _) => panic!("unknown loss type {other}"),
        }
    }
}

/// scripts/golden/loss.py, torch 2.11, trl 1.16: loss, gradient at every token and the logged means, in float64 and
/// float32 from the same float32 inputs.
#[test]
fn equal_to_trl() {
    let manifest: Manifest = serde_json::from_str(&std::fs::read_to_string(golden("manifest.json")).unwrap()).unwrap();
    let (flat, expected) = (golden_batch(), tensors("expected.safetensors"));
    let mask = tensors("batch.safetensors")["mask"].to_kind(Kind::Bool);
    let n_capped = manifest.cases.iter().filter(|case| case.importance_cap.is_some()).count();
    assert!(manifest.cases.len() >= 32 && n_capped >= 4, "{} cases, {n_capped} capped", manifest.cases.len());
    for case in &manifest.cases {
        let rows: Vec<f64> =
            Vec::try_from(expected[&format!("{}/row_normalizers", case.name)].to_kind(Kind::Double)).unwrap();
        let stored: Vec<f64> = rows.iter().map(|row| 1.0 / row).collect();
        let weights = case
            .aggregation()
            .map_or(stored, |aggregation| token_weights(&flat.lengths, aggregation, manifest.max_completion_length));
        let weights = spread(&weights, &flat.lengths);
        for (kind, key, tolerance) in [(Kind::Double, "float64", 1e-12), (Kind::Float, "float32", 1e-6)] {
            let (loss, gradient, stats) = evaluate(&flat, &weights, &case.objective(), kind, 1 << 20);
            let at = |what: &str| &expected[&format!("{}/{key}/{what}", case.name)];
            let what = format!("{} {key}", case.name);
            close(loss, at("loss").double_value(&[]), tolerance, &what);
            close(stats.loss(case.kl_beta), loss, tolerance, &what);
            all_close(&gradient, &at("gradient").masked_select(&mask), tolerance, &what);
            check_metrics(case, &stats, &what);
        }
    }
}

fn check_metrics(case: &Case, stats: &LossStats, what: &str) {
    let Some(metrics) = &case.metrics else { return };
    for (name, got) in [
        ("clip_ratio/low_mean", stats.clip_ratio_low()),
        ("clip_ratio/high_mean", stats.clip_ratio_high()),
        ("clip_ratio/region_mean", stats.clip_ratio_region()),
    ] {
        assert!(metrics[name] > 0.0, "{what}: the batch clips nothing");
        close(got, metrics[name], 1e-6, &format!("{what} {name}"));
    }
    if case.kl_beta != 0.0 {
        close(stats.kl_mean(), metrics["kl"], 1e-6, &format!("{what} kl"));
    }
}

/// One, two, eight and all pieces: cuts fall inside of completions, as chunks of logits do.
#[test]
fn the_cut_changes_nothing() {
    let flat = golden_batch();
    let n_tokens = flat.lengths.iter().sum::<usize>() as i64;
    let kl = Objective { clip_epsilon_high: 0.28, kl_beta: 0.04, kl_times_ratio: true, ..PLAIN };
    let objective = Objective { importance_cap: Some(2.0), ..kl };
    for aggregation in [Aggregation::PerCompletion, Aggregation::PerToken, Aggregation::Constant] {
        let weights = spread(&token_weights(&flat.lengths, aggregation, 32), &flat.lengths);
        for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-6)] {
            let (loss, gradient, stats) = evaluate(&flat, &weights, &objective, kind, n_tokens);
            for n_pieces in [2, 8, n_tokens] {
                let what = format!("{aggregation:?} {kind:?} in {n_pieces}");
                let (cut_loss, cut_gradient, cut_stats) =
                    evaluate(&flat, &weights, &objective, kind, (n_tokens + n_pieces - 1) / n_pieces);
                close(cut_loss, loss, tolerance, &what);
                all_close(&cut_gradient, &gradient, tolerance, &what);
                close(cut_stats.loss(0.04), stats.loss(0.04), 1e-12, &what);
                close(cut_stats.kl_sum, stats.kl_sum, 1e-12, &what);
                close(cut_stats.gap_sum, stats.gap_sum, 1e-12, &what);
                close(cut_stats.importance_sum, stats.importance_sum, 1e-12, &what);
                let exact = |s: &LossStats| (s.n_tokens, s.n_clipped_low, s.n_clipped_high, s.n_saturated, s.gap_max);
                assert_eq!(exact(&cut_stats), exact(&stats), "{what}");
                let exact = |s: &LossStats| (s.n_importance_capped, s.importance_max);
                assert_eq!(exact(&cut_stats), exact(&stats), "{what}");
                assert_eq!((cut_stats.ratio_min, cut_stats.ratio_max), (stats.ratio_min, stats.ratio_max), "{what}");
            }
        }
    }
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
        advantages: Tensor::from_slice(&[advantage]),
        lengths: vec![1],
    };
    let (loss, gradient, stats) = evaluate(&flat, &Tensor::from_slice(&[1.0_f64]), objective, kind, 1);
    (loss, gradient.double_value(&[0]), stats)
}

/// On policy the gradient is minus the gradient coefficient of DeepSeekMath's appendix, `A + beta (pi_ref/pi_theta -
/// 1)`; with the ratio in the KL term it is that of the divergence itself, `A + beta log(pi_ref/pi_theta)`.
#[test]
fn the_gradient_coefficient_of_the_paper() {
    for (advantage, log_ref_ratio, kl_beta) in [(1.5, 0.0, 0.0), (-0.5, 0.3, 0.04), (0.0, -0.7, 0.04), (2.0, 1.2, 1.0)]
    {
        for (kl_times_ratio, kl_coefficient) in [(false, f64::exp_m1(log_ref_ratio)), (true, log_ref_ratio)] {
            let objective = Objective { kl_beta, kl_times_ratio, ..PLAIN };
            let (_, gradient, _) = one_token(-1.0, -1.0, -1.0 + log_ref_ratio, advantage, &objective, Kind::Double);
            assert!((gradient + advantage + kl_beta * kl_coefficient).abs() < 1e-14, "{gradient} {objective:?}");
        }
    }
}

#[test]
fn flipping_the_advantage_flips_the_gradient() {
    for log_ratio in [-0.1, 0.0, 0.1] {
        let (_, up, _) = one_token(-1.0 + log_ratio, -1.0, 0.0, 0.7, &PLAIN, Kind::Double);
        let (_, down, _) = one_token(-1.0 + log_ratio, -1.0, 0.0, -0.7, &PLAIN, Kind::Double);
        assert!(up < 0.0 && up == -down, "{up} {down}");
    }
}

/// The clip cuts a step that has gone far enough in its own direction, and never one that leads back.
#[test]
fn the_clip_is_one_sided() {
    let objective = Objective { clip_epsilon_high: 0.28, ..PLAIN };
    for (ratio, advantage, moves, low, high) in [
        (1.5, 1.0, false, 0, 1),
        (1.5, -1.0, true, 0, 0),
        (0.5, -1.0, false, 1, 0),
        (0.5, 1.0, true, 0, 0),
        (1.25, 1.0, true, 0, 0), // inside of the raised upper bound 1.28
    ] {
        let (loss, gradient, stats) = one_token(f64::ln(ratio) - 1.0, -1.0, 0.0, advantage, &objective, Kind::Double);
        assert_eq!(gradient != 0.0, moves, "{ratio} {advantage}: {gradient}");
        assert_eq!((stats.n_clipped_low, stats.n_clipped_high), (low, high), "{ratio} {advantage}");
        let expected = if moves { -ratio * advantage } else { -advantage * if ratio > 1.0 { 1.28 } else { 0.8 } };
        close(loss, expected, 1e-14, "loss");
    }
}

/// Ratios pi_old / pi_sampler of 1/2, 1, 3 and e^30 under C = 2, worked by hand; the gap is to the sampler.
#[test]
fn importance_weights_are_cut_at_their_cap() {
    let log_importance = [f64::ln(0.5), 0.0, f64::ln(3.0), 30.0];
    let ones = Tensor::ones([4], (Kind::Double, tch::Device::Cpu));
    let flat = Flat {
        logprobs: -&ones,
        old_logprobs: -&ones,
        ref_logprobs: -&ones,
        sampler_logprobs: Some(-&ones - Tensor::from_slice(&log_importance)),
        advantages: ones.copy(),
        lengths: vec![4],
    };
    let capped = Objective { importance_cap: Some(2.0), ..PLAIN };
    let (loss, gradient, stats) = evaluate(&flat, &ones, &capped, Kind::Double, 4);
    close(loss, -(0.5 + 1.0 + 2.0 + 2.0), 1e-14, "loss");
    all_close(&gradient, &Tensor::from_slice(&[-0.5, -1.0, -2.0, -2.0]), 1e-14, "gradient");
    close(stats.importance_mean(), 5.5 / 4.0, 1e-14, "mean");
    close(stats.importance_max, f64::exp(MAX_LOG_RATIO), 1e-14, "max");
    assert_eq!((stats.importance_clipped_ratio(), stats.n_saturated), (0.5, 1));
    close(stats.gap_mean(), (f64::ln(2.0) + f64::ln(3.0) + 30.0) / 4.0, 1e-14, "gap");
    // Without a cap the sampler is measured against and no more.
    let (loss, _, stats) = evaluate(&flat, &ones, &PLAIN, Kind::Double, 4);
    assert_eq!((loss, stats.importance_sum, stats.gap_max), (-4.0, 0.0, 30.0));
}

/// Completions whose gradient is exactly zero may be left out of the loss: under every aggregation the loss, the gradient
/// of the others and the clipped fractions stay what they are with them.
#[test]
fn what_is_left_out_changes_nothing() {
    let mut flat = golden_batch();
    let idle = |row: usize| row % 3 == 1;
    let n_rows = flat.lengths.len();
    let kept: Vec<usize> = (0..n_rows).filter(|&row| !idle(row)).collect();
    let signs: Vec<f64> = (0..n_rows).map(|row| f64::from(u8::from(!idle(row)))).collect();
    let signs = spread(&signs, &flat.lengths);
    flat.advantages = &flat.advantages * &signs;
    let mask = signs.to_kind(Kind::Bool);
    let only = |tensor: &Tensor| tensor.masked_select(&mask);
    let rest = Flat {
        logprobs: only(&flat.logprobs),
        old_logprobs: only(&flat.old_logprobs),
        ref_logprobs: only(&flat.ref_logprobs),
        sampler_logprobs: flat.sampler_logprobs.as_ref().map(only),
        advantages: only(&flat.advantages),
        lengths: kept.iter().map(|&row| flat.lengths[row]).collect(),
    };
    for aggregation in [Aggregation::PerCompletion, Aggregation::PerToken, Aggregation::Constant] {
        let weights = spread(&token_weights(&flat.lengths, aggregation, 32), &flat.lengths);
        for importance_cap in [None, Some(2.0)] {
            let objective = Objective { importance_cap, ..PLAIN };
            let (loss, gradient, stats) = evaluate(&flat, &weights, &objective, Kind::Double, 1 << 20);
            let (rest_loss, rest_gradient, mut rest_stats) =
                evaluate(&rest, &only(&weights), &objective, Kind::Double, 1 << 20);
            let what = format!("{aggregation:?} {importance_cap:?}");
            assert_eq!(gradient.masked_select(&mask.logical_not()).abs().max().double_value(&[]), 0.0, "{what}");
            assert!(only(&gradient).equal(&rest_gradient), "{what}");
            close(rest_loss, loss, 1e-14, &what);
            rest_stats.n_left_out = stats.n_tokens - rest_stats.n_tokens;
            assert!(rest_stats.n_left_out > 0 && stats.clip_ratio_low() > 0.0 && stats.clip_ratio_high() > 0.0);
            let shares = |s: &LossStats| (s.clip_ratio_low(), s.clip_ratio_high(), s.clip_ratio_region());
            assert_eq!(shares(&rest_stats), shares(&stats), "{what}");
        }
    }
}

#[test]
fn gradients_stay_finite_at_any_log_ratio() {
    let objective = Objective { kl_beta: 0.04, ..PLAIN };
    for kind in [Kind::Float, Kind::Double] {
        for log_ratio in [1e4, 100.0, 20.5, 19.5, -19.5, -100.0, -1e4] {
            for advantage in [1.0, -1.0, 0.0] {
                for reference in [-1.0, -1e4] {
                    let (logprob, old) = if log_ratio < 0.0 { (log_ratio, 0.0) } else { (0.0, -log_ratio) };
                    let (loss, gradient, stats) = one_token(logprob, old, reference, advantage, &objective, kind);
                    assert!(loss.is_finite() && gradient.is_finite(), "{log_ratio} {advantage}: {loss} {gradient}");
                    let saturated = log_ratio > MAX_LOG_RATIO || reference - logprob > MAX_LOG_RATIO;
                    assert_eq!(stats.n_saturated, u64::from(saturated), "{logprob} {old} {reference}");
                    assert_eq!(stats.gap_max, log_ratio.abs());
                }
            }
        }
    }
    // Just below the bound nothing is cut.
    let (loss, gradient, _) = one_token(0.0, -19.5, 0.0, -1.0, &PLAIN, Kind::Double);
    close(loss, f64::exp(19.5), 1e-14, "loss");
    close(gradient, f64::exp(19.5), 1e-14, "gradient");
}

/// float32 resolves 6e-8 around 1: `exp(d) - d - 1` would give 0 or 1.2e-7 for a divergence of 5e-9.
#[test]
fn a_small_divergence_keeps_its_digits() {
    let (_, _, stats) = one_token(-1.0, -1.0, -1.0 + 1e-3, 0.0, &PLAIN, Kind::Float);
    let d = f64::from((-1.0_f32 + 1e-3) - -1.0_f32);
    close(stats.kl_sum, d.exp_m1() - d, 1e-3, "kl");
}

#[test]
fn what_is_not_finite_is_named() {
    let names = ["logprobs", "old_logprobs", "advantages", "weights", "ref_logprobs", "sampler_logprobs"];
    for kind in [Kind::Float, Kind::Double] {
        for name in names {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let columns = names.map(|column| {
                    Tensor::from_slice(&[-1.0, -1.0, if column == name { bad } else { -1.0 }]).to_kind(kind)
                });
                let [logprobs, old_logprobs, advantages, weights, ref_logprobs, sampler_logprobs] = &columns;
                let batch = TokenBatch {
                    logprobs,
                    old_logprobs,
                    sampler_logprobs: Some(sampler_logprobs),
                    ref_logprobs: Some(ref_logprobs),
                    advantages,
                    weights,
                };
                match grpo_loss(&batch, &PLAIN) {
                    Err(LossError::NonFinite { name: named, token_idx: 2, value }) => {
                        assert_eq!(named, name);
                        assert!(value == bad || value.is_nan() && bad.is_nan(), "{value} for {bad}");
                    }
                    other => panic!("{name} {bad}: {other:?}"),
                }
            }
        }
    }
}

/// A batch with the same numbers in every field that has to be there.
fn flat_batch(values: &Tensor) -> TokenBatch<'_> {
    TokenBatch {
        logprobs: values,
        old_logprobs: values,
        sampler_logprobs: None,
        ref_logprobs: None,
        advantages: values,
        weights: values,
    }
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let ok = Tensor::from_slice(&[-1.0_f32, -2.0]);
    let batch = flat_batch(&ok);
    assert!(grpo_loss(&batch, &PLAIN).is_ok());
    let (long, wide, double) = (Tensor::from_slice(&[-1.0_f32; 3]), ok.unsqueeze(0), ok.to_kind(Kind::Double));
    for bad in [&long, &wide, &double] {
        let refused = grpo_loss(&TokenBatch { weights: bad, ..batch }, &PLAIN).unwrap_err();
        assert!(matches!(refused, LossError::Mismatch { name: "weights", .. }), "{refused}");
        let refused = grpo_loss(&TokenBatch { ref_logprobs: Some(bad), ..batch }, &PLAIN).unwrap_err();
        assert!(matches!(refused, LossError::Mismatch { name: "ref_logprobs", .. }), "{refused}");
    }
    let half = ok.to_kind(Kind::BFloat16);
    assert!(matches!(grpo_loss(&flat_batch(&half), &PLAIN), Err(LossError::Mismatch { name: "logprobs", .. })));
    let with_kl = Objective { kl_beta: 0.1, ..PLAIN };
    assert_eq!(grpo_loss(&batch, &with_kl).unwrap_err(), LossError::MissingReference { kl_beta: 0.1 });
    let capped = Objective { importance_cap: Some(2.0), ..PLAIN };
    assert_eq!(grpo_loss(&batch, &capped).unwrap_err(), LossError::MissingSampler { cap: 2.0 });
}

#[test]
fn no_token_is_no_loss() {
    let none = Tensor::from_slice::<f32>(&[]);
    let (loss, stats) = grpo_loss(&flat_batch(&none), &PLAIN).unwrap();
    assert_eq!((loss.double_value(&[]), stats), (0.0, LossStats::default()));
}
