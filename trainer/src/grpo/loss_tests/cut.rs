//! What changes nothing: how a minibatch is cut, in which order it is packed, what is left out.

use super::*;

/// One, two, eight and all pieces: cuts fall inside of completions, as chunks of logits do.
#[test]
fn the_cut_changes_nothing() {
    let flat = golden_batch();
    let n_tokens = flat.n_tokens();
    let surrogate = Surrogate::Clip { low: 0.2, high: 0.28, delta: None };
    let kl = Objective { surrogate, kl_beta: 0.04, kl_times_ratio: true, ..PLAIN };
    let objective = Objective { importance: Some(Importance::capped(2.0)), ..kl };
    for aggregation in AGGREGATIONS {
        let weights = flat.weights(aggregation);
        for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-6)] {
            let Outcome { loss, gradient, stats, .. } = evaluate(&flat, &weights, &objective, kind, n_tokens);
            for n_pieces in [2, 8, n_tokens] {
                let what = format!("{aggregation:?} {kind:?} in {n_pieces}");
                let cut = evaluate(&flat, &weights, &objective, kind, (n_tokens + n_pieces - 1) / n_pieces);
                let cut_stats = cut.stats;
                close(cut.loss, loss, tolerance, &what);
                all_close(&cut.gradient, &gradient, tolerance, &what);
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
    let rest = flat.rows(&kept);
    for aggregation in AGGREGATIONS {
        let weights = flat.weights(aggregation);
        for importance in [None, Some(Importance::capped(2.0))] {
            let objective = Objective { importance, ..PLAIN };
            let Outcome { loss, gradient, stats, .. } = evaluate_whole(&flat, &weights, &objective);
            let Outcome { loss: rest_loss, gradient: rest_gradient, stats: mut rest_stats, .. } =
                evaluate_whole(&rest, &only(&weights), &objective);
            let what = format!("{aggregation:?} {importance:?}");
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
