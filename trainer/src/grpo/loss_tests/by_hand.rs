//! The loss of single tokens, worked by hand.

use super::*;

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
    let surrogate = Surrogate::Clip { low: 0.2, high: 0.28, delta: None };
    let objective = Objective { surrogate, ..PLAIN };
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
        entropies: None,
        advantages: ones.copy(),
        kept: None,
        covariance_kl: None,
        entropy_weights: None,
        lengths: vec![4],
    };
    let capped = Objective { importance: Some(Importance::capped(2.0)), ..PLAIN };
    let Outcome { loss, gradient, stats, .. } = evaluate_whole(&flat, &ones, &capped);
    close(loss, -(0.5 + 1.0 + 2.0 + 2.0), 1e-14, "loss");
    all_close(&gradient, &Tensor::from_slice(&[-0.5, -1.0, -2.0, -2.0]), 1e-14, "gradient");
    close(stats.importance_mean(), 5.5 / 4.0, 1e-14, "mean");
    close(stats.importance_max, f64::exp(MAX_LOG_RATIO), 1e-14, "max");
    assert_eq!((stats.importance_clipped_ratio(), stats.n_saturated), (0.5, 1));
    close(stats.gap_mean(), (f64::ln(2.0) + f64::ln(3.0) + 30.0) / 4.0, 1e-14, "gap");
    // Without a cap the sampler is measured against and no more.
    let Outcome { loss, stats, .. } = evaluate_whole(&flat, &ones, &PLAIN);
    assert_eq!((loss, stats.importance_sum, stats.gap_max), (-4.0, 0.0, 30.0));
}

/// What an adaptive coefficient follows is the entropy of the tokens that the bonus acts on, whatever the bonus is.
#[test]
fn the_entropy_of_kept_tokens_is_measured_apart() {
    let ones = Tensor::ones([4], (Kind::Double, tch::Device::Cpu));
    for bonus in [0.0, 0.1] {
        let flat = Flat {
            logprobs: -&ones,
            old_logprobs: -&ones,
            ref_logprobs: -&ones,
            sampler_logprobs: None,
            entropies: Some(Tensor::from_slice(&[1.0, 2.0, 4.0, 8.0])),
            advantages: ones.copy(),
            kept: Some(Tensor::from_slice(&[0.0, 1.0, 1.0, 0.0])),
            covariance_kl: None,
            entropy_weights: Some(&ones * bonus),
            lengths: vec![4],
        };
        let stats = evaluate_whole(&flat, &ones, &PLAIN).stats;
        close(stats.kept_entropy_mean(), 3.0, 1e-14, "kept");
        close(stats.entropy_mean(), 15.0 / 4.0, 1e-14, "all");
    }
}
