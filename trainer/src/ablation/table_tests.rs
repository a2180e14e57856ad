//! What the table says of given values: figures, verdicts, and what is left empty.

use super::super::comparison::{ArmFigures, Figure};
use super::*;

/// Two arms by one metric; the second has no run with seed 3 yet.
fn comparison(second: &[(u64, f64)]) -> Comparison {
    let first = [(1, 0.5), (2, 0.7), (3, 0.6)];
    let arm = |values: &[(u64, f64)], of_first: Option<&ArmFigures>| ArmFigures {
        last: Figure::of(values.to_vec(), of_first.map(|first| &first.last)),
        area: Figure::of(values.to_vec(), of_first.map(|first| &first.area)),
    };
    let base = arm(&first, None);
    let other = arm(second, Some(&base));
    Comparison { metric: "reward".to_owned(), arms: vec![base, other] }
}

fn check(second: &[(u64, f64)], expected: [&str; 5]) {
    let rows = cells(&comparison(second), &["base", "other"]);
    assert_eq!(rows[1], ["base", "3", "final", "0.600 ± 0.248", "", ""]);
    assert_eq!((rows[3][2].as_str(), rows[4][2].as_str()), ("final", "area"));
    let [name, n_seeds, mean, difference, verdict] = expected;
    assert_eq!(rows[3], [name, n_seeds, "final", mean, difference, verdict], "{second:?}");
}

#[test]
fn arms_are_told_apart_by_pairs_of_seeds() {
    // Differences 0.1, 0.1 and 0.11: seeds spread far more, and pairing takes that out.
    check(&[(1, 0.6), (2, 0.8), (3, 0.71)], ["other", "3", "0.703 ± 0.249", "+0.103 [0.089, 0.118]", "yes, higher"]);
    check(&[(1, 0.4), (2, 0.6), (3, 0.49)], ["other", "3", "0.497 ± 0.249", "−0.103 [−0.118, −0.089]", "yes, lower"]);
    let not = ["other", "2", "0.600 ± 0", "0 [−1.271, 1.271]", "not with 2 seeds; 100 or more"];
    check(&[(1, 0.6), (2, 0.6)], not);
    check(&[(1, 0.5), (2, 0.7), (3, 0.6)], ["other", "3", "0.600 ± 0.248", "0 [0, 0]", "equal"]);
    let same = ["other", "3", "0.700 ± 0.248", "+0.100", "same in all 3 seeds; spread unknown"];
    check(&[(1, 0.6), (2, 0.8), (3, 0.7)], same);
    check(&[(3, 0.7)], ["other", "1", "0.700", "+0.100", "too few: 1 seed"]);
    check(&[], ["other", "0", "–", "–", "–"]);
}

#[test]
fn a_spreadsheet_gets_full_figures_and_single_seeds() {
    let rows = csv(&comparison(&[(1, 0.75)]), &["base", "other"]);
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[2], "reward,final,other,1,0.75,,,0.25,,,1,too_few,,1:0.75");
    let same = csv(&comparison(&[(1, 0.75), (2, 0.95)]), &["base", "other"]);
    assert!(same.lines().nth(2).is_some_and(|row| row.contains(",,,2,no_spread,,1:0.75")), "{same}");
    let n_columns = CSV_HEAD.split(',').count();
    assert!(rows.iter().all(|row| row.split(',').count() == n_columns), "{rows:#?}");
}

#[test]
fn numbers_have_about_three_digits() {
    let check = |value: f64, expected: &str| assert_eq!(number(value), expected);
    check(0.4123, "0.412");
    check(-0.0123, "−0.012");
    check(0.00123, "0.00123");
    check(2.5e-6, "2.5e−6");
    check(86.127, "86.13");
    check(12345.6, "12346");
    check(f64::NAN, "–");
}

#[test]
fn columns_are_aligned() {
    let rows = [["arm", "x"], ["a", "10"]].map(|row| row.map(str::to_owned).to_vec());
    assert_eq!(text(&rows), "arm    x\n────────\na     10\n");
    assert_eq!(markdown(&rows), "| arm | x |\n|---|---:|\n| a | 10 |\n");
}
