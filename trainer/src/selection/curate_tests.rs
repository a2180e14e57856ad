//! Tests of curation: each step drops what it says, counts add up, and the order of rows changes nothing.

use proptest::prelude::*;

use super::super::filters::{Correctness, Filters};
use super::super::layout::Layout;
use super::super::screen::tests::sample;
use super::*;

fn screen() -> Screen {
    Screen::new(Filters { correct: Correctness::Ignored, ..Filters::default() }, Layout::ThinkAnswer, None, None)
        .unwrap()
}

fn row(domain: &str, question: &str, n_tokens: u64) -> Sample {
    let mut sample = Sample { n_tokens, ..sample(question, &format!("text of {question} {n_tokens}")) };
    sample.problem.gold.fields.insert("domain".to_owned(), domain.into());
    sample
}

fn solver(name: &str, max_pass_rate: f64, rates: &[(&str, u64, u64)]) -> Solver {
    let rate =
        |&(question, n_right, n_sampled): &(&str, u64, u64)| (question.to_owned(), PassRate { n_sampled, n_right });
    Solver { name: name.to_owned(), max_pass_rate, pass_rates: rates.iter().map(rate).collect() }
}

fn curated(samples: Vec<Sample>, solvers: &[Solver], n: u64, n_malformed: u64) -> Curated {
    Curation::begin(samples, n_malformed, &screen()).finish(solvers, n, &Stream::new(1, &[2])).unwrap()
}

#[test]
fn each_step_drops_what_it_says() {
    let samples = vec![
        row("a", "p", 10),
        row("a", " P", 12),
        row("a", "q", 5),
        row("b", "r", 7),
        row("b", "", 7),
        Sample { completion: " ".to_owned(), ..row("b", "s", 7) },
        Sample { truncated: true, ..row("b", "t", 7) },
        row("b", "u", 1),
    ];
    let solvers = [
        solver("small", 0.0, &[(" P", 0, 1), ("q", 1, 1), ("r", 0, 1), ("u", 0, 1)]),
        solver("large", 0.5, &[(" P", 1, 2), ("q", 2, 2), ("r", 2, 2), ("u", 0, 0)]),
    ];
    let curated = curated(samples, &solvers, 1, 3);
    let expected = "\
step                dropped   left
──────────────────────────────────
rows                            11
quality                   6      5
  malformed               3
  no completion           1
  no question             1
  truncated               1
questions                 1      4
  duplicate               1
difficulty                2      2
  solved by large         1
  solved by small         1
diversity                 1      1
  not drawn               1";
    assert_eq!(curated.funnel.text(), expected);
    assert!(curated.funnel.markdown().contains("| difficulty | 2 | 2 |\n| solved by large | 1 |  |\n"));
    // The longest of the texts of one question stays.
    assert!(curated.samples.iter().all(|sample| [" P", "u"].contains(&sample.problem.question.as_str())));
}

#[test]
fn a_problem_without_a_pass_rate_is_an_error() {
    let solvers = [solver("small", 0.0, &[("p", 0, 1)])];
    let samples = vec![row("a", "p", 1), row("a", "q", 1)];
    let error = Curation::begin(samples, 0, &screen()).finish(&solvers, 1, &Stream::new(1, &[])).unwrap_err();
    assert_eq!(error.to_string(), "the pass rates of `small` lack the problem \"q\": every problem needs one");
}

#[test]
fn domains_are_drawn_uniformly_and_long_rows_first() {
    let n_seeds = 2_000;
    let (mut rare, mut longest) = (0, 0);
    for seed in 0..n_seeds {
        let mut samples: Vec<Sample> = (0..9).map(|n| row("common", &format!("q{n}"), n)).collect();
        samples.push(row("rare", "r", 1));
        let drawn = Curation::begin(samples, 0, &screen()).finish(&[], 1, &Stream::new(seed, &[])).unwrap().samples;
        rare += u32::from(drawn[0].domain() == "rare");
        longest += u32::from(drawn[0].problem.question == "q8");
    }
    // 1/2 for each domain; 2^-0 / (2 - 2^-8) for the longest of nine. Four standard errors are 0.045 at most.
    let share = |n: u32| f64::from(n) / n_seeds as f64;
    assert!((share(rare) - 0.5).abs() < 0.045, "{rare}");
    assert!((share(longest) - 0.5 * 1.0 / (2.0 - 1.0 / 256.0)).abs() < 0.045, "{longest}");
}

#[test]
fn ranks_fall_by_half() {
    let mut draws = Stream::new(4, &[]).draws();
    let mut counts = [0_u32; 3];
    (0..7_000).for_each(|_| counts[rank(&mut draws, 3)] += 1);
    for (count, expected) in counts.iter().zip([4_000.0, 2_000.0, 1_000.0]) {
        assert!((f64::from(*count) - expected).abs() < 170.0, "{counts:?}");
    }
    assert_eq!(rank(&mut draws, 1), 0);
    assert!((0..100).all(|_| rank(&mut draws, 1_000) < 52));
}

fn any_rows() -> impl Strategy<Value = Vec<Sample>> {
    let one = (0..3_u8, 0..12_u8, 0..5_u64)
        .prop_map(|(domain, question, n_tokens)| row(&format!("d{domain}"), &format!("q{question}"), n_tokens));
    proptest::collection::vec(one, 0..30)
}

proptest! {
    #[test]
    fn counts_add_up_and_the_order_of_rows_changes_nothing(rows in any_rows(), n in 0..9_u64, n_malformed in 0..3_u64, seed: u64) {
        let first = curated(rows.clone(), &[], n, n_malformed);
        let mut n_left = rows.len() as u64 + n_malformed;
        for step in &first.funnel.steps {
            prop_assert_eq!(step.n_in, n_left);
            prop_assert_eq!(step.n_in, step.n_out + step.dropped.values().sum::<u64>());
            n_left = step.n_out;
        }
        prop_assert_eq!(n_left, first.samples.len() as u64);
        prop_assert!(n_left <= n);
        let mut shuffled = rows;
        Stream::new(seed, &[]).draws().shuffle(&mut shuffled);
        prop_assert_eq!(first, curated(shuffled, &[], n, n_malformed));
    }
}
