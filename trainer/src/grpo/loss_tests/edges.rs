//! The loss at the edges: log-ratios without bound, what is not finite, what does not fit.

use super::*;

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
                    entropies: None,
                    advantages,
                    weights,
                    chosen: Chosen::default(),
                    sequences: None,
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
        entropies: None,
        advantages: values,
        weights: values,
        chosen: Chosen::default(),
        sequences: None,
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
    let capped = Objective { importance: Some(Importance::capped(2.0)), ..PLAIN };
    assert_eq!(grpo_loss(&batch, &capped).unwrap_err(), LossError::MissingSampler { cap: 2.0 });
    let by_sequence = Objective { ratio: RatioLevel::Sequence, ..PLAIN };
    let three = Sequences::of(&[3], tch::Device::Cpu);
    for sequences in [None, Some(&three)] {
        let refused = grpo_loss(&TokenBatch { sequences, ..batch }, &by_sequence).unwrap_err();
        assert_eq!(refused, LossError::MissingSequences);
    }
    let chosen = Chosen { entropy: Some(&ok), ..Chosen::default() };
    assert_eq!(grpo_loss(&TokenBatch { chosen, ..batch }, &PLAIN).unwrap_err(), LossError::MissingEntropies);
}

#[test]
fn no_token_is_no_loss() {
    let none = Tensor::from_slice::<f32>(&[]);
    let (loss, stats) = grpo_loss(&flat_batch(&none), &PLAIN).unwrap();
    assert_eq!((loss.double_value(&[]), stats), (0.0, LossStats::default()));
}

/// Five completions whose log-ratios to pi_old, of pi_ref and to the sampler are of any size, all signs in one completion.
fn extreme() -> Flat {
    let log_ratios = [1e4, -1e4, 0.0, 1e4, 1e4, -1e4, -1e4, -1e4, 25.0, -25.0, 19.0, 0.1];
    let lengths = vec![2, 1, 2, 3, 4];
    let values = |of: fn(f64) -> f64| Tensor::from_slice(&log_ratios.map(of));
    Flat {
        logprobs: values(|log_ratio| log_ratio.min(0.0)),
        old_logprobs: values(|log_ratio| -log_ratio.max(0.0)),
        ref_logprobs: values(|log_ratio| -1e4 - log_ratio),
        sampler_logprobs: Some(values(|log_ratio| log_ratio / 2.0)),
        entropies: Some(values(f64::abs)),
        advantages: spread(&[1.0, -1.0, -0.5, 0.0, 2.0], &lengths),
        kept: None,
        covariance_kl: None,
        entropy_weights: None,
        lengths,
    }
}

#[test]
fn every_objective_is_finite_at_any_log_ratio() {
    let flat = extreme();
    let importances = [ImportanceLevel::Token, ImportanceLevel::Sequence]
        .map(|level| Some(Importance { level, floor: Some(0.5), ..Importance::capped(2.0) }));
    let flipped = Flat { advantages: -&flat.advantages, ..flat.map(flat.lengths.clone(), Tensor::shallow_clone) };
    for flat in [flat, flipped] {
        let weights = flat.weights(Aggregation::Sum);
        for objective in every_objective() {
            for importance in [None].into_iter().chain(importances) {
                let objective = Objective { importance, off_policy_threshold: Some(0.1), ..objective };
                for kind in [Kind::Float, Kind::Double] {
                    let got = evaluate(&flat, &weights, &objective, kind, flat.n_tokens());
                    let greatest = got.gradient.abs().max().double_value(&[]);
                    assert!(got.loss.is_finite() && greatest.is_finite(), "{objective:?} {kind:?}: {greatest}");
                }
            }
        }
    }
}

/// Tokens of weight 0 take no part: whatever is given for them, loss and gradient are the same bits, and theirs is 0.
#[test]
fn what_has_no_weight_is_not_read() {
    let mut flat = golden_batch();
    let n_tokens = flat.n_tokens();
    let absent: Vec<bool> = (0..n_tokens).map(|t| t % 5 == 1 || t < 3).collect();
    let absent = Tensor::from_slice(&absent);
    let ones = Tensor::ones([n_tokens], (Kind::Double, tch::Device::Cpu));
    flat.entropies = Some(&ones * 0.5);
    flat.entropy_weights = Some(&ones * 1e-3);
    flat.kept = Some(&ones * 1.0);
    flat.covariance_kl = Some(&ones * 0.1);
    let weights = flat.weights(Aggregation::PerToken).masked_fill(&absent, 0.0);
    let with = |value: f64| flat.map(flat.lengths.clone(), |tensor| tensor.masked_fill(&absent, value));
    let zeros = with(0.0);
    for objective in every_objective() {
        for importance in [None, Some(Importance { level: ImportanceLevel::Sequence, ..Importance::capped(2.0) })] {
            let objective = Objective { importance, off_policy_threshold: Some(0.05), ..objective };
            let expected = evaluate_whole(&zeros, &weights, &objective);
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let got = evaluate_whole(&with(value), &weights, &objective);
                let what = format!("{objective:?} {value}");
                assert_eq!(got.loss.to_bits(), expected.loss.to_bits(), "{what}");
                assert!(got.gradient.equal(&expected.gradient), "{what}");
                let of_entropies = got.entropy_gradient.unwrap();
                assert!(of_entropies.equal(expected.entropy_gradient.as_ref().unwrap()), "{what}");
                for gradient in [&got.gradient, &of_entropies] {
                    let of_absent = gradient.masked_select(&absent);
                    assert!(of_absent.equal(&of_absent.zeros_like()), "{what}");
                }
                assert_eq!(got.stats, expected.stats, "{what}");
            }
        }
    }
}
