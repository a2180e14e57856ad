//! What a few seeds say, held to mpmath's numbers: tests/golden/ablation.json, made by scripts/golden/ablation.py.

use serde_json::Value;

use super::*;

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/ablation.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn rows<'g>(golden: &'g Value, name: &str) -> &'g Vec<Value> {
    let rows = golden[name].as_array().unwrap();
    assert!(!rows.is_empty());
    rows
}

/// Relative 1e-12: sums of a hundred terms, and a bisection to the last bit.
fn check_near(got: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((got - expected).abs() <= 1e-12 * expected.abs().max(1e-7), "{what}: {got}, not {expected}");
}

#[test]
fn factors_are_those_of_students_t() {
    for row in rows(&golden(), "factors") {
        let df = row["df"].as_u64().unwrap() as u32;
        check_near(two_sided(0.95, df), &row["factor"], &format!("{df} degrees of freedom"));
    }
}

#[test]
fn means_have_students_interval() {
    for row in rows(&golden(), "intervals") {
        let values: Vec<f64> = row["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        let estimate = Estimate::of(&values);
        let [low, high] = estimate.interval().unwrap();
        for (got, name) in [(estimate.mean, "mean"), (estimate.deviation, "deviation"), (low, "low"), (high, "high")] {
            check_near(got, &row[name], &format!("{name} of {values:?}"));
        }
    }
    assert_eq!((Estimate::of(&[0.5]).half, Estimate::of(&[0.5]).mean), (None, 0.5));
    assert!(Estimate::of(&[]).mean.is_nan() && Estimate::of(&[]).interval().is_none());
}

/// Guenther's formula is an approximation: it may be one off, which is no matter beside a deviation known from few seeds.
#[test]
fn pairs_needed_are_those_of_the_noncentral_t() {
    for row in rows(&golden(), "pairs_needed") {
        let (mean, deviation) = (row["mean"].as_f64().unwrap(), row["deviation"].as_f64().unwrap());
        let exact = row["pairs"].as_u64().unwrap() as u32;
        match pairs_needed(mean, deviation) {
            Some(pairs) => assert!(pairs.abs_diff(exact) <= 1, "{mean}, {deviation}: {pairs}, not {exact}"),
            None => assert!(exact >= MOST_SEEDS, "{mean}, {deviation}: none, not {exact}"),
        }
    }
    assert_eq!(pairs_needed(0.0, 0.1), None);
}

#[test]
fn a_difference_is_paired_and_judged() {
    let check = |pairs: &[(f64, f64)], mean: f64, verdict: Verdict| {
        let difference = Difference::of(pairs);
        assert!((difference.estimate.mean - mean).abs() < 1e-12, "{pairs:?}: {difference:?}");
        assert_eq!(difference.verdict, verdict, "{pairs:?}");
    };
    // Seeds differ by far more than arms do: only pairing sees it.
    check(&[(0.11, 0.1), (0.52, 0.5), (0.915, 0.9)], 0.015, Verdict::Apart);
    check(&[(0.1, 0.11), (0.5, 0.52), (0.9, 0.915)], -0.015, Verdict::Apart);
    check(&[(0.3, 0.2), (0.2, 0.3), (0.25, 0.2)], 0.05 / 3.0, Verdict::NotApart(None));
    check(&[(0.3, 0.2), (0.3, 0.29)], 0.055, Verdict::NotApart(Some(13)));
    check(&[(0.5, 0.5), (0.6, 0.6)], 0.0, Verdict::Equal);
    // 0.3 - 0.2 and 0.4 - 0.3 differ in their last bit, and no interval of that width is one.
    check(&[(0.3, 0.2), (0.4, 0.3)], 0.1, Verdict::NoSpread);
    check(&[(0.2, 0.3), (0.3, 0.4), (0.5, 0.6)], -0.1, Verdict::NoSpread);
    assert_eq!(Difference::of(&[(0.3, 0.2), (0.4, 0.3)]).estimate.interval(), None);
    check(&[(0.3, 0.2), (0.4001, 0.3)], 0.100_05, Verdict::Apart);
    check(&[(0.5, 0.4)], 0.1, Verdict::TooFew);
    assert_eq!(Difference::of(&[]).verdict, Verdict::TooFew);
}

#[test]
fn the_area_is_a_mean_height() {
    let check = |points: &[(f64, f64)], expected: Option<f64>| assert_eq!(area(points), expected, "{points:?}");
    check(&[], None);
    check(&[(5.0, 0.25)], Some(0.25));
    check(&[(0.0, 0.5), (10.0, 0.5), (12.0, 0.5)], Some(0.5));
    // A triangle of height 1 over 4, then 6 flat: (2 + 6) / 10. Steps that are far apart count for more.
    check(&[(0.0, 0.0), (4.0, 1.0), (10.0, 1.0)], Some(0.8));
}
