//! pass@k: the chance that at least one of k samples is right.

/// The chance that at least one of `k` samples is right, estimated without bias from `n_right` right ones of `n`; none where
/// there are fewer than `k` samples, or `k` is 0.
///
/// 1 - C(n - c, k) / C(n, k), as the product 1 - prod of (1 - k / i) for i from n - c + 1 to n (Chen et al. 2021, arXiv
/// 2107.03374, section 2.1). For k = 1 it is the fraction of right samples, R1's pass@1.
///
/// # Panics
/// If more samples are right than there are.
pub fn pass_at_k(n: usize, n_right: usize, k: usize) -> Option<f64> {
    assert!(n_right <= n, "{n_right} of {n} samples are right");
    if k == 0 || k > n {
        return None;
    }
    // The same by the product, but for its rounding.
    if k == 1 {
        return Some(n_right as f64 / n as f64);
    }
    let n_wrong = n - n_right;
    // Any k samples have a right one among them. The product would have a factor of 0 or below.
    if n_wrong < k {
        return Some(1.0);
    }
    let none_right: f64 = (n_wrong + 1..=n).map(|i| 1.0 - k as f64 / i as f64).product();
    Some(1.0 - none_right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::tests::golden;

    // scripts/golden/evaluation.py: binomials of Python's whole numbers. Tolerance: up to 64 factors in float64.
    #[test]
    fn pass_at_k_is_that_of_whole_numbers() {
        let golden = golden();
        let cases = golden["pass_at_k"].as_array().expect("cases");
        assert!(cases.len() > 500, "{} cases", cases.len());
        for case in cases {
            let [n, c, k] = ["n", "c", "k"].map(|key| case[key].as_u64().expect("a count") as usize);
            let (ours, theirs) =
                (pass_at_k(n, c, k).expect("enough samples"), case["value"].as_f64().expect("a number"));
            assert!((ours - theirs).abs() <= 1e-12, "n {n}, c {c}, k {k}: {ours} and {theirs}");
        }
    }

    #[test]
    fn edges() {
        assert_eq!(pass_at_k(4, 2, 5), None);
        assert_eq!(pass_at_k(4, 2, 0), None);
        assert_eq!(pass_at_k(0, 0, 1), None);
        assert_eq!(pass_at_k(4, 0, 4), Some(0.0));
        assert_eq!(pass_at_k(4, 1, 4), Some(1.0));
        assert_eq!(pass_at_k(4, 4, 1), Some(1.0));
        assert_eq!(pass_at_k(4, 1, 1), Some(0.25));
    }
}
