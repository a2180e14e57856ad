//! What must hold of the accuracy reward for every gold and completion: no panic, bounded verdicts, and symmetries.
//!
//! `ACCURACY_CASES=10000000 cargo test --release -p rewards --test math_properties` runs as many random inputs.

use proptest::prelude::*;
use rewards::{Accuracy, AccuracyOptions, CompletionView, Gold, OnUnreadableGold, Problem, RewardFn, Verdict};

/// Random inputs for each property, unless the environment asks for more.
fn config() -> ProptestConfig {
    let cases = std::env::var("ACCURACY_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases.unwrap_or(2_000)) }
}

fn judge(gold: &str, completion: &str) -> Verdict {
    let options = AccuracyOptions { on_unreadable_gold: OnUnreadableGold::Text, ..AccuracyOptions::default() };
    let problem = Problem { id: String::new(), question: String::new(), gold: Gold::text(gold) };
    Accuracy::new(options).judge(&problem, &CompletionView::new(completion, 1, false))
}

/// Text made of what the readers know, in any order, and of what they do not.
fn soup() -> impl Strategy<Value = String> {
    let known = vec![
        "\\boxed{",
        "}",
        "{",
        "\\frac",
        "\\frac12",
        "\\sqrt",
        "\\sqrt[3]",
        "^",
        "_",
        "(",
        ")",
        "[",
        "]",
        "\\{",
        "\\}",
        "|",
        "\\left",
        "\\right",
        "\\pm",
        "\\cup",
        "\\in",
        "\\infty",
        "\\pi",
        "e",
        "i",
        "x",
        "y",
        "0",
        "1",
        "2",
        "3",
        "12",
        "0.5",
        "1,234",
        "-",
        "+",
        "\\cdot",
        "/",
        "!",
        "%",
        "\\%",
        "$",
        "\\$",
        "=",
        "<",
        "\\le",
        ">",
        "\\ne",
        "\\approx",
        ",",
        ";",
        ":",
        " ",
        "\n",
        ".",
        "\\text{",
        " and ",
        " or ",
        "\\begin{pmatrix}",
        "\\end{pmatrix}",
        "&",
        "\\\\",
        "\\log",
        "\\ln",
        "\\sin",
        "^\\circ",
        "\\binom",
        "\\overline{3}",
        "...",
        "e5",
        "cm",
        "meters",
        "per",
        "million",
        "A",
        "(B)",
        "\\textbf{",
        "The answer is ",
        "Answer: ",
        "#### ",
        "<answer>",
        "</answer>",
        "<think>",
        "</think>",
        "_2",
        "(base 2)",
        "½",
        "²",
        "√",
        "−",
        "∞",
        "\\mathbb{R}",
        "\\emptyset",
        "\\setminus",
        "\\mid",
        "\\choose",
        "\\over",
        "9^9^9",
        "100!",
        "\\lfloor",
        "\\rfloor",
        "答案是",
        "é",
        "\u{0}",
    ];
    let piece = prop_oneof![
        12 => prop::sample::select(known).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

/// Golds of every kind that is compared in its own way, so that soup meets each comparison.
fn typical_gold() -> impl Strategy<Value = String> {
    let golds = vec![
        "42",
        "0.125",
        "\\frac{3}{4}",
        "7\\frac{3}{4}",
        "28\\%",
        "\\$5.50",
        "5 \\text{ cm}",
        "3.0 \\times 10^8",
        "\\sqrt{2}",
        "2^{2018}",
        "\\ln 2",
        "\\sin 20^\\circ",
        "\\frac{\\pi}{2}",
        "3+4i",
        "x^2+2x+1",
        "(n-1)!",
        "y = 2x+3",
        "x + y \\le 1",
        "x > 5",
        "|x| < 2",
        "[0,9)",
        "(-\\infty,1) \\cup (3,\\infty)",
        "\\{1,2,3\\}",
        "1 \\pm \\sqrt{5}",
        "x=1, y=2",
        "(1,2),(2,1)",
        "(3,-5)",
        "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}",
        "3:4",
        "1011_2",
        "B",
        "\\textbf{(D)}\\ 25",
        "Tuesday",
        "\\emptyset",
    ];
    prop::sample::select(golds).prop_map(str::to_owned)
}

/// A whole number, a fraction or a root with the LaTeX that writes it.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        (-500_i32..500).prop_map(|n| n.to_string()),
        (1_i32..60, 2_i32..60).prop_map(|(n, d)| format!("\\frac{{{n}}}{{{d}}}")),
        (1_i32..9, 2_i32..99).prop_map(|(n, d)| format!("{n}\\sqrt{{{d}}}")),
        (1_i32..99).prop_map(|n| format!("\\frac{{{n}\\pi}}{{7}}")),
        (2_i32..9, 1_i32..9).prop_map(|(a, b)| format!("x^{{{a}}}+{b}x")),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_input_gets_a_bounded_verdict(
        gold in prop_oneof![soup(), typical_gold()],
        completion in soup(),
        boxed: bool,
    ) {
        let completion = if boxed { format!("\\boxed{{{completion}}}") } else { completion };
        let verdict = judge(&gold, &completion);
        prop_assert!(matches!(verdict.score, None | Some(0.0 | 1.0)));
        prop_assert_eq!(verdict.score.is_none(), verdict.rule == "gold");
        prop_assert!(verdict.reason.chars().count() < 300);
    }

    #[test]
    fn a_gold_answers_itself(gold in number()) {
        prop_assert_eq!(judge(&gold, &format!("\\boxed{{{gold}}}")).score, Some(1.0), "{}", gold);
        prop_assert_eq!(judge(&gold, &format!("<think>a</think><answer>{gold}</answer>")).score, Some(1.0), "{}", gold);
    }

    #[test]
    fn equality_is_symmetric(a in number(), b in number()) {
        let there = judge(&a, &format!("\\boxed{{{b}}}"));
        let back = judge(&b, &format!("\\boxed{{{a}}}"));
        prop_assert_eq!(there.score, back.score, "{} and {}", a, b);
    }

    #[test]
    fn a_number_off_by_a_little_is_another(n in -5000_i64..5000, d in 1_i64..500, off in 1_i64..100) {
        let gold = format!("\\frac{{{n}}}{{{d}}}");
        let other = format!("\\frac{{{}}}{{{}}}", n * 1_000_000_007 + off, d * 1_000_000_007);
        prop_assert_eq!(judge(&gold, &format!("\\boxed{{{other}}}")).score, Some(0.0), "{} and {}", gold, other);
    }

    #[test]
    fn spaces_and_text_before_change_nothing(gold in number(), answer in number(), before in soup()) {
        let verdict = judge(&gold, &format!("\\boxed{{{answer}}}"));
        let spaced = answer.replace('{', "{ ").replace('}', " }").replace('+', " + ");
        prop_assert_eq!(judge(&gold, &format!("\\boxed{{{spaced}}}")).score, verdict.score);
        // Behind an open <think> or in front of another box the completion says something else.
        prop_assume!(!before.contains("boxed"));
        let after = judge(&gold, &format!("{before} </think> so it must be \\boxed{{{answer}}}"));
        prop_assert_eq!(after.score, verdict.score, "{:?}", before);
    }

    #[test]
    fn a_second_value_is_wrong(gold in number(), other in -500_i32..500) {
        let other = format!("{other}.125");
        for joint in [",", " \\text{ or } ", " \\text{ and } "] {
            let verdict = judge(&gold, &format!("\\boxed{{{gold}{joint}{other}}}"));
            prop_assert_eq!(verdict.score, Some(0.0), "{} {} {}", gold, joint, other);
        }
    }
}
