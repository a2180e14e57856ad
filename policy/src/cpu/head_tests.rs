//! The gradient of a row of logits, against finite differences in float64.

use super::{Distribution, differentiate};

const TEMPERATURE: f64 = 0.7;

/// Log-probability of `token`, and entropy, in float64.
fn exact(logits: &[f64], token: usize) -> (f64, f64) {
    let greatest = logits.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    let sum: f64 = logits.iter().map(|x| ((x - greatest) / TEMPERATURE).exp()).sum();
    let logprob = |x: f64| (x - greatest) / TEMPERATURE - sum.ln();
    (logprob(logits[token]), -logits.iter().map(|&x| logprob(x).exp() * logprob(x)).sum::<f64>())
}

/// The gradient of `slope` * log-probability + `of_entropy` * entropy.
fn gradient(logits: &[f32], token: usize, slope: f32, of_entropy: Option<f32>) -> Vec<f32> {
    let distribution = Distribution::new(logits, TEMPERATURE, &mut vec![0.0; logits.len()]);
    let (scale, mut gradient) = ((1.0 / TEMPERATURE) as f32, logits.to_vec());
    differentiate(&mut gradient, &distribution, slope * scale, of_entropy.map(|slope| slope * scale));
    gradient[token] += slope * scale;
    gradient
}

/// 37 logits: two whole vectors and a part of one.
fn logits() -> Vec<f32> {
    (0..37).map(|i| 3.0 * (i as f32 * 0.7).sin()).collect()
}

#[test]
fn the_gradient_is_that_of_finite_differences() {
    let logits = logits();
    for (slope, of_entropy) in [(1.3, None), (0.0, Some(1.0)), (-0.4, Some(-2.5))] {
        let value = |logits: &[f64]| {
            let (logprob, entropy) = exact(logits, 35);
            f64::from(slope) * logprob + f64::from(of_entropy.unwrap_or(0.0)) * entropy
        };
        for (index, got) in gradient(&logits, 35, slope, of_entropy).into_iter().enumerate() {
            let at = |step: f64| {
                let mut logits: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
                logits[index] += step;
                value(&logits)
            };
            let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
            let difference = (f64::from(got) - expected).abs();
            assert!(difference < 1e-6, "{slope}, {of_entropy:?}, logit {index}: {got}, not {expected}");
        }
    }
}

#[test]
fn an_entropy_of_no_weight_changes_no_gradient() {
    let logits = logits();
    let (without, with) = (gradient(&logits, 3, 1.3, None), gradient(&logits, 3, 1.3, Some(0.0)));
    assert_eq!(without, with);
}

#[test]
fn a_token_without_probability_has_no_gradient() {
    let mut logits = logits();
    (logits[4], logits[36]) = (f32::NEG_INFINITY, -1e30);
    let gradient = gradient(&logits, 3, 1.3, Some(2.0));
    assert!(gradient.iter().all(|x| x.is_finite()), "{gradient:?}");
    assert!(gradient[4].abs() < 1e-30 && gradient[36].abs() < 1e-30);
}
