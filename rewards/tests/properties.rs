//! What must hold for every completion: no panic, no score out of its tiers, and agreement with independent references.

use proptest::prelude::*;
use rewards::{CompletionView, Countdown, Gold, Problem, R1Format, RewardFn, Rubric, Verdict, Weighted};

/// An expression with its parentheses in its shape.
#[derive(Debug, Clone)]
enum Expr {
    Number(u8),
    Negative(Box<Expr>),
    Binary(char, Box<Expr>, Box<Expr>),
}

/// A fraction in lowest terms with a positive denominator: the reference to compare exact rationals with. Eight numbers
/// up to 20 keep it far within `i128`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fraction(i128, i128);

impl Fraction {
    fn new(numerator: i128, denominator: i128) -> Option<Self> {
        let (mut a, mut b) = (numerator.abs(), denominator.abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let divisor = a * denominator.signum();
        (denominator != 0).then(|| Self(numerator / divisor, denominator / divisor))
    }
}

impl Expr {
    /// The value; `None` where it divides by zero.
    fn value(&self) -> Option<Fraction> {
        Some(match self {
            Expr::Number(number) => Fraction(i128::from(*number), 1),
            Expr::Negative(inner) => inner.value().map(|Fraction(n, d)| Fraction(-n, d))?,
            Expr::Binary(operator, left, right) => {
                let (Fraction(a, b), Fraction(c, d)) = (left.value()?, right.value()?);
                match operator {
                    '+' => Fraction::new(a * d + c * b, b * d)?,
                    '-' => Fraction::new(a * d - c * b, b * d)?,
                    '*' => Fraction::new(a * c, b * d)?,
                    _ => Fraction::new(a * d, b * c)?,
                }
            }
        })
    }

    fn numbers(&self) -> Vec<i64> {
        match self {
            Expr::Number(number) => vec![i64::from(*number)],
            Expr::Negative(inner) => inner.numbers(),
            Expr::Binary(_, left, right) => [left.numbers(), right.numbers()].concat(),
        }
    }

    /// 1 sum, 2 product, 3 sign or number.
    fn strength(&self) -> u8 {
        match self {
            Expr::Binary('+' | '-', ..) => 1,
            Expr::Binary(..) => 2,
            Expr::Number(_) | Expr::Negative(_) => 3,
        }
    }

    /// The tokens, with parentheses where precedence needs them, and where `noise` adds some.
    fn tokens(&self, least_strength: u8, noise: &mut impl Iterator<Item = u8>, tokens: &mut Vec<String>) {
        let parentheses = usize::from(self.strength() < least_strength) + usize::from(noise.next() == Some(0));
        tokens.extend(vec!["(".to_owned(); parentheses]);
        match self {
            Expr::Number(number) => tokens.push(number.to_string()),
            Expr::Negative(inner) => {
                tokens.push("-".to_owned());
                inner.tokens(3, noise, tokens);
            }
            Expr::Binary(operator, left, right) => {
                left.tokens(self.strength(), noise, tokens);
                tokens.push(operator.to_string());
                right.tokens(self.strength() + 1, noise, tokens);
            }
        }
        tokens.extend(vec![")".to_owned(); parentheses]);
    }

    fn text(&self, noise: &[u8], space: &str) -> String {
        let mut tokens = Vec::new();
        self.tokens(0, &mut noise.iter().map(|n| n % 8).cycle(), &mut tokens);
        tokens.join(space)
    }
}

fn expr() -> impl Strategy<Value = Expr> {
    (0_u8..=20)
        .prop_map(Expr::Number)
        .prop_recursive(4, 12, 2, |inner| {
            prop_oneof![
                1 => inner.clone().prop_map(|inner| Expr::Negative(Box::new(inner))),
                4 => (prop::sample::select(vec!['+', '-', '*', '/']), inner.clone(), inner)
                    .prop_map(|(operator, left, right)| Expr::Binary(operator, Box::new(left), Box::new(right))),
            ]
        })
        // Larger trees would not fit the reference.
        .prop_filter("at most eight numbers", |expr| expr.numbers().len() <= 8)
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..16)
}

/// Text that looks like a completion from afar: tags, halves of tags, arithmetic, anything.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec!["<think>", "</think>", "<answer>", "</answer>"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["<", ">", "</", "<answer", "<think >", "</Answer>", "answer>"]).prop_map(str::to_owned),
        3 => prop::sample::select(vec!["1", "2", "3", "23", "+", "-", "*", "/", "(", ")", " ", "\n", "=", ".", "**"])
            .prop_map(str::to_owned),
        1 => any::<String>(),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// The strict format with up to one piece of it changed.
fn nearly_formatted() -> impl Strategy<Value = String> {
    let pieces = ["", "<think>", "a", "</think>", "\n", "<answer>", "b", "</answer>", ""];
    let change = prop::sample::select(vec!["", " ", "x", "<think>", "</think>", "<answer>", "</answer>", "<"]);
    (0..=pieces.len(), change, any::<bool>()).prop_map(move |(place, change, insert)| {
        let mut pieces = pieces.to_vec();
        if insert {
            pieces.insert(place, change);
        } else if place < pieces.len() {
            pieces[place] = change;
        }
        pieces.concat()
    })
}

fn problem(numbers: Vec<i64>, target: i64) -> Problem {
    Problem { id: String::new(), question: String::new(), gold: Gold::countdown(numbers, target) }
}

fn countdown(numbers: Vec<i64>, target: i64, text: &str) -> Verdict {
    Countdown::default().judge(&problem(numbers, target), &CompletionView::new(text, 1, false))
}

fn format(text: &str) -> Verdict {
    R1Format::new().judge(&problem(vec![], 0), &CompletionView::new(text, 1, false))
}

fn answer(expression: &str) -> String {
    format!("<think>a</think><answer>{expression}</answer>")
}

/// The strict format by cutting from both ends: the reference for the automaton.
fn is_formatted(text: &str) -> bool {
    let cut = || {
        let inner = text.trim().strip_prefix("<think>")?.strip_suffix("</answer>")?;
        let (think, rest) = inner.split_once("</think>")?;
        Some([think, rest.trim_start().strip_prefix("<answer>")?])
    };
    let tags = ["<think>", "</think>", "<answer>", "</answer>"];
    cut().is_some_and(|blocks| {
        blocks.iter().all(|block| !block.trim().is_empty() && !tags.iter().any(|tag| block.contains(tag)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_text_gets_a_verdict_in_its_tiers(text in soup(), numbers in prop::collection::vec(any::<i64>(), 0..5), target: i64) {
        let verdict = countdown(numbers.clone(), target, &text);
        let has_gold = !numbers.is_empty() && numbers.iter().all(|&n| n >= 0);
        if has_gold {
            prop_assert!([0.0, 0.1, 1.0].map(Some).contains(&verdict.score), "{verdict:?}");
        } else {
            prop_assert_eq!(verdict.score, None);
        }
        prop_assert!(verdict.reason.chars().count() < 200);
        prop_assert_eq!(countdown(numbers, target, &text), verdict);
    }

    #[test]
    fn arithmetic_soup_is_right_only_with_every_number_once(
        pieces in prop::collection::vec(prop::sample::select(vec!["1", "2", "3", "+", "-", "*", "/", "(", ")", " "]), 1..9),
    ) {
        let expression = pieces.concat();
        let verdict = countdown(vec![1, 2], 3, &answer(&expression));
        if verdict.score == Some(1.0) {
            let digits: String = expression.chars().filter(char::is_ascii_digit).collect();
            prop_assert!(digits == "12" || digits == "21", "{expression}");
        } else {
            prop_assert_eq!(verdict.score, Some(0.1));
        }
    }

    #[test]
    fn values_agree_with_the_reference(expr in expr(), noise in noise(), offset in 1_i64..5) {
        let (numbers, text) = (expr.numbers(), answer(&expr.text(&noise, " ")));
        match expr.value() {
            None => prop_assert_eq!(countdown(numbers, 0, &text).rule, "division_by_zero"),
            Some(Fraction(value, 1)) => {
                let value = i64::try_from(value).unwrap();
                prop_assert_eq!(countdown(numbers.clone(), value, &text).score, Some(1.0), "{} = {}", text, value);
                let wrong = countdown(numbers, value + offset, &text);
                prop_assert_eq!(wrong.score, Some(0.1));
                prop_assert_eq!(wrong.reason, format!("equals {value}, not {}", value + offset));
            }
            Some(Fraction(numerator, denominator)) => {
                for target in [numerator / denominator, numerator].map(|n| i64::try_from(n).unwrap()) {
                    let verdict = countdown(numbers.clone(), target, &text);
                    prop_assert_eq!(verdict.score, Some(0.1));
                    prop_assert_eq!(verdict.reason, format!("equals {numerator}/{denominator}, not {target}"));
                }
            }
        }
    }

    #[test]
    fn white_space_and_the_order_of_the_numbers_change_nothing(
        (expr, shuffled) in expr().prop_flat_map(|expr| (Just(expr.clone()), Just(expr.numbers()).prop_shuffle())),
        noise in noise(),
        space in prop::sample::select(vec![" ", "\n", "\t \r\n", "   "]),
        target in -20_i64..40,
    ) {
        let dense = countdown(expr.numbers(), target, &answer(&expr.text(&noise, "")));
        let spaced = countdown(shuffled, target, &answer(&expr.text(&noise, space)));
        prop_assert_eq!((dense.score, dense.reason, dense.rule), (spaced.score, spaced.reason, spaced.rule));
    }

    #[test]
    fn what_stands_before_the_answer_changes_nothing(text in soup(), expr in expr(), noise in noise(), target in -20_i64..40) {
        let last = answer(&expr.text(&noise, ""));
        let alone = countdown(expr.numbers(), target, &last);
        prop_assert_eq!(countdown(expr.numbers(), target, &format!("{text}{last}")), alone);
    }

    #[test]
    fn a_number_left_out_or_added_is_wrong(expr in expr(), noise in noise(), extra in 0_i64..30) {
        let text = answer(&expr.text(&noise, ""));
        let target = expr.value().map_or(0, |Fraction(numerator, _)| i64::try_from(numerator).unwrap());
        let mut more = expr.numbers();
        more.push(extra);
        prop_assert_eq!(countdown(more, target, &text).rule, "numbers");
        let fewer = expr.numbers()[1..].to_vec();
        prop_assert!(fewer.is_empty() || countdown(fewer, target, &text).rule == "numbers");
    }

    #[test]
    fn format_agrees_with_the_reference(text in prop_oneof![soup(), nearly_formatted()]) {
        let verdict = format(&text);
        prop_assert_eq!(verdict.score, Some(if is_formatted(&text) { 1.0 } else { 0.0 }), "{:?}: {:?}", text, verdict);
        prop_assert!(verdict.reason.chars().count() < 500);
        prop_assert_eq!(format(&text), verdict);
    }

    #[test]
    fn a_group_is_judged_completion_by_completion(texts in prop::collection::vec(soup(), 0..5)) {
        let rubric = Rubric::new(vec![
            Weighted::new("countdown", 1.0, Box::new(Countdown::default())),
            Weighted::new("format", 0.2, Box::new(R1Format::new())),
        ]).unwrap();
        let problem = problem(vec![1, 2], 3);
        let completions: Vec<_> = texts.iter().map(|text| CompletionView::new(text, 1, false)).collect();
        let judgements = rubric.judge_group(&problem, &completions);
        prop_assert_eq!(judgements.len(), texts.len());
        for (judgement, text) in judgements.iter().zip(&texts) {
            prop_assert_eq!(&judgement.components[0].verdict, &countdown(vec![1, 2], 3, text));
            prop_assert_eq!(&judgement.components[1].verdict, &format(text));
            prop_assert!(judgement.reward.is_some_and(f32::is_finite));
        }
    }
}
