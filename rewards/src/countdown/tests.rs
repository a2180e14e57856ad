//! Tables of answers with the rule that decides on each and the reason it gives.

use super::*;
use crate::Gold;

fn problem(numbers: &[i64], target: i64) -> Problem {
    Problem { id: "p".to_owned(), question: "q".to_owned(), gold: Gold::countdown(numbers.to_vec(), target) }
}

fn judge(numbers: &[i64], target: i64, text: &str) -> Verdict {
    Countdown::default().judge(&problem(numbers, target), &CompletionView::new(text, 1, false))
}

fn tier(rule: &str) -> f32 {
    match rule {
        "correct" => 1.0,
        "no_answer" => 0.0,
        _ => 0.1,
    }
}

/// The answer `expression` is decided by `rule` with `reason`, gets that rule's tier, and is what the verdict extracts.
fn check(numbers: &[i64], target: i64, expression: &str, rule: &str, reason: &str) {
    let verdict = judge(numbers, target, &format!("<think>hm</think><answer> {expression}\n</answer>"));
    assert_eq!((verdict.rule.as_ref(), verdict.reason.as_ref()), (rule, reason), "{expression:?}");
    assert_eq!(verdict.score, Some(tier(rule)), "{expression:?}");
    assert_eq!(verdict.extracted.as_deref(), Some(expression.trim()), "{expression:?}");
}

/// The completion `text` for 4, 6, 8 to 24 is decided by `rule`.
fn check_text(text: &str, rule: &str) {
    let verdict = judge(&[4, 6, 8], 24, text);
    assert_eq!(verdict.rule, rule, "{text:?}: {}", verdict.reason);
    assert_eq!(verdict.score, Some(tier(rule)), "{text:?}");
}

#[test]
fn right_answers() {
    for (numbers, target, expression) in [
        (&[4, 6, 8][..], 18, "4 + 6 + 8"),
        (&[4, 6, 8], 24, "(8 - 4) * 6"),
        (&[8, 4, 6], 24, "6*(8-4)"),
        (&[4, 6, 8], 24, "6\t*\n( 8 -\r\n4 )\u{c}"),
        (&[4, 6, 8], 24, "(((6)))*((8-4))"),
        (&[4, 6, 8], -18, "-4-6-8"),
        (&[4, 6, 8], -18, "-(4+6+8)"),
        (&[4, 6], 10, "4 - -6"),
        (&[2, 3], 5, "2--3"),
        (&[2, 3], -6, "2*-3"),
        (&[2, 3], -6, "+-+2*+3"),
        (&[2, 3], 5, "- - 2 + + 3"),
        (&[2, 3, 4], 10, "2*3+4"),
        (&[2, 3, 4], 14, "2+3*4"),
        (&[2, 3, 4], -5, "2-3-4"),
        (&[2, 3, 4], 3, "2-(3-4)"),
        (&[24, 3, 2], 4, "24/3/2"),
        (&[24, 3, 2], 16, "24/(3/2)"),
        (&[1, 3, 3], 1, "1/3*3"),
        (&[1, 3, 4, 6], 24, "6/(1-3/4)"),
        (&[3, 3, 8, 8], 24, "8/(3-8/3)"),
        (&[5, 5, 5, 1], 24, "5*(5-1/5)"),
        (&[7], 7, "7"),
        (&[7], 7, "(7)"),
        (&[7, 7], 49, "7*7"),
        (&[0, 5], 5, "0+5"),
        (&[0, 5], 0, "0/5"),
        (&[i64::MAX, 1], i64::MAX, "9223372036854775807*1"),
        (&[i64::MAX, i64::MAX, 1], 1, "9223372036854775807/9223372036854775807*1"),
        (&[100_000_000_000_000_001, 100_000_000_000_000_000, 1], 1, "100000000000000001/1-100000000000000000"),
    ] {
        check(numbers, target, expression, "correct", &format!("equals {target}"));
    }
}

#[test]
fn wrong_numbers() {
    for (numbers, target, expression, reason) in [
        (&[4, 6, 8][..], 24, "4*6", "does not use 8"),
        (&[4, 6, 8], 24, "24", "uses 24, which is not given"),
        (&[4, 6, 8], 24, "6*4*8/8", "uses 8 twice"),
        (&[4, 6, 8], 24, "(8-4)*6+6-6", "uses 6 3 times"),
        (&[4, 6, 8], 24, "(8-4)*6*1", "uses 1, which is not given"),
        (&[4, 6, 8], 24, "(8-4)*6+0", "uses 0, which is not given"),
        (&[4, 6, 8], 24, "46-8", "uses 46, which is not given"),
        (&[4, 6, 8], 24, "9+4+4", "uses 9, which is not given"),
        (&[4, 6, 8], 24, "4+4+9", "uses 4 twice"),
        (&[4, 6, 8], 24, "4/0", "uses 0, which is not given"),
        (&[7, 7], 49, "7", "uses 7 once, it is given twice"),
        (&[7, 7], 49, "7*7*7", "uses 7 3 times, it is given twice"),
        (&[7, 7, 7], 21, "7+7", "uses 7 twice, it is given 3 times"),
        (&[7], 7, "8-1", "uses 8, which is not given"),
        (&[1], 1, "18446744073709551615", "uses 18446744073709551615, which is not given"),
    ] {
        check(numbers, target, expression, "numbers", reason);
    }
}

#[test]
fn wrong_values() {
    for (numbers, target, expression, reason) in [
        (&[4, 6, 8][..], 24, "4+6+8", "equals 18, not 24"),
        (&[4, 6, 8], 24, "(4-8)*6", "equals -24, not 24"),
        (&[4, 6, 8], 24, "4*6/8", "equals 3, not 24"),
        (&[4, 6, 8], 24, "4+6/8", "equals 19/4, not 24"),
        (&[2, 3, 4], 10, "2+3*4", "equals 14, not 10"),
        (&[2, 3, 4], 3, "2-3-4", "equals -5, not 3"),
        (&[10, 3], 3, "10/3", "equals 10/3, not 3"),
        (&[10, 3], 10, "10/3", "equals 10/3, not 10"),
        (&[1, 5, 999_999], 5, "5+1/999999", "equals 4999996/999999, not 5"),
        (&[i64::MAX, 1], i64::MIN, "9223372036854775807+1", "equals 9223372036854775808, not -9223372036854775808"),
    ] {
        check(numbers, target, expression, "value", reason);
    }
    for (numbers, expression) in [
        (&[1, 5, 5][..], "1/(5-5)"),
        (&[0, 5], "5/0"),
        (&[0, 0], "0/0"),
        (&[0, 5], "-5/-0"),
        (&[0, 3, 4, 4], "0*(3/(4-4))"),
    ] {
        check(numbers, 0, expression, "division_by_zero", "divides by zero");
    }
}

#[test]
fn answers_that_are_no_expression() {
    let only = "only digits and + - * / ( ) are allowed";
    for (expression, reason) in [
        ("", "the answer is empty"),
        ("()", "no number before `)`"),
        ("4+", "ends without a number"),
        ("-", "ends without a number"),
        ("(4", "a parenthesis is never closed"),
        ("((4+6)*8", "a parenthesis is never closed"),
        ("4+6)*8", "a parenthesis is closed that was never opened"),
        (")4(", "no number before `)`"),
        ("(4+6)8", "no operator before `8`"),
        ("4(6)", "no operator before `(`"),
        ("(4)(6)", "no operator before `(`"),
        ("4 6 8", "no operator before `6`"),
        ("4,000", &format!("contains ',': {only}")),
        ("*4", "no number before `*`"),
        ("4+/6", "no number before `/`"),
        ("4* *6", "no number before `*`"),
        ("4/ /6", "no number before `/`"),
        ("4**6", "`**` is not allowed: only + - * / ( )"),
        ("4//6", "`//` is not allowed: only + - * / ( )"),
        ("4^6", &format!("contains '^': {only}")),
        ("4%6", &format!("contains '%': {only}")),
        ("(8-4)*6 = 24", "contains `=`: the expression alone is the answer"),
        ("24 = (8-4)*6", "contains `=`: the expression alone is the answer"),
        ("4.0+6+8", "contains a decimal point: only whole numbers are allowed"),
        ("4.", "contains a decimal point: only whole numbers are allowed"),
        (".5", "contains a decimal point: only whole numbers are allowed"),
        ("04+6+8", "writes a number with leading zeros"),
        ("00", "writes a number with leading zeros"),
        ("4e1", &format!("contains 'e': {only}")),
        ("0x4", &format!("contains 'x': {only}")),
        ("4_0", &format!("contains '_': {only}")),
        ("x", &format!("contains 'x': {only}")),
        ("four", &format!("contains 'f': {only}")),
        ("(8−4)*6", &format!("contains '−': {only}")),
        ("(8-4)×6", &format!("contains '×': {only}")),
        ("24÷6", &format!("contains '÷': {only}")),
        ("٤+6+8", &format!("contains '٤': {only}")),
        ("４+6+8", &format!("contains '４': {only}")),
        ("²", &format!("contains '²': {only}")),
        ("4\u{a0}+6", &format!("contains '\\u{{a0}}': {only}")),
        ("4\u{b}+6", &format!("contains '\\u{{b}}': {only}")),
        ("4\0", &format!("contains '\\0': {only}")),
        ("[4+6]", &format!("contains '[': {only}")),
        ("\\boxed{24}", &format!("contains '\\\\': {only}")),
        ("__import__('os')", &format!("contains '_': {only}")),
        ("4 or 6", &format!("contains 'o': {only}")),
        ("<think>4</think>", &format!("contains '<': {only}")),
        ("99999999999999999999", "uses a number of 20 digits, which is not given"),
    ] {
        check(&[4, 6, 8], 24, expression, "unreadable", reason);
    }
}

#[test]
fn which_answer_counts() {
    for (text, rule) in [
        ("<answer>(8-4)*6</answer>", "correct"),
        ("<answer>(8-4)*6", "no_answer"),
        ("(8-4)*6</answer>", "no_answer"),
        ("(8-4)*6", "no_answer"),
        ("", "no_answer"),
        ("<ANSWER>(8-4)*6</ANSWER>", "no_answer"),
        ("<answer>(8-4)*6</ answer>", "no_answer"),
        ("\\boxed{(8-4)*6}", "no_answer"),
        ("<answer>4</answer><answer>(8-4)*6</answer>", "correct"),
        ("<answer>(8-4)*6</answer><answer>4</answer>", "numbers"),
        ("<answer>(8-4)*6</answer><answer></answer>", "unreadable"),
        ("<answer>(8-4)*6</answer> wait <answer>4", "correct"),
        ("<answer>(8-4)*6</answer></answer>", "correct"),
        ("put it in <answer> tags. <answer>(8-4)*6</answer>", "correct"),
        ("<answer><answer>(8-4)*6</answer></answer>", "correct"),
        ("<answer>(8-4)*6<answer></answer>", "unreadable"),
        ("<think><answer>(8-4)*6</answer></think>", "correct"),
        ("<think><answer>(8-4)*6</answer>", "correct"),
        ("<answer>(8-4)*6</answer>\nUser: and now?\nthe end", "correct"),
        ("<answer>\n(8-4)\n*6\n</answer>\n\n", "correct"),
        ("<answer>\u{3000}(8-4)*6\u{a0}</answer>", "correct"),
        ("<answer><think>a</think>(8-4)*6</answer>", "unreadable"),
    ] {
        check_text(text, rule);
    }
}

#[test]
fn hostile_answers_cost_little_and_get_the_partial_tier() {
    let nested = |n: usize| format!("{}4{}", "(".repeat(n), ")".repeat(n));
    for (answer, rule) in [
        (nested(10_000), "too_long"),
        (nested(2_000), "numbers"),
        ("(".repeat(4_096), "unreadable"),
        ("-".repeat(4_000) + "4", "numbers"),
        ("4".repeat(4_096), "unreadable"),
        ("4".repeat(1_000_000), "too_long"),
        ("9**9**9**9".to_owned(), "unreadable"),
        ("4*".repeat(2_000) + "4", "numbers"),
        ("😀".repeat(1_000), "unreadable"),
        ("😀".repeat(1_025), "too_long"),
    ] {
        let verdict = judge(&[4, 6, 8], 24, &format!("<answer>{answer}</answer>"));
        let start = &answer[..4];
        assert_eq!((verdict.rule.as_ref(), verdict.score), (rule, Some(0.1)), "{start}...: {}", verdict.reason);
        assert!(verdict.reason.len() < 200 && verdict.extracted.unwrap().chars().count() <= EXTRACT_CHARS + 1);
    }
    for (text, rule) in [
        ("<answer>".repeat(125_000), "no_answer"),
        ("</answer>".repeat(111_111), "no_answer"),
        ("<".repeat(1_000_000), "no_answer"),
        ("<answer>(8-4)*6</answer>".repeat(40_000), "correct"),
        ("x".repeat(1_000_000) + "<answer>(8-4)*6</answer>", "correct"),
    ] {
        check_text(&text, rule);
    }
}

#[test]
fn parsing_needs_no_stack() {
    // On a stack of 64 KiB, where a parser with one frame for each parenthesis has long overflowed.
    let deep = std::thread::Builder::new().stack_size(64 << 10).spawn(|| {
        let tokens = lex::lex(&format!("{}4{}", "-(".repeat(100_000), ")".repeat(100_000))).unwrap();
        evaluate::evaluate(&parse::parse(&tokens).unwrap())
    });
    assert_eq!(deep.unwrap().join().unwrap(), Some(num_rational::BigRational::from_integer(4.into())));
}

#[test]
fn values_stay_exact_at_the_most_numbers_a_problem_may_give() {
    let numbers = [i64::MAX; MAX_NUMBERS];
    let product = vec![i64::MAX.to_string(); MAX_NUMBERS].join("*");
    let verdict = judge(&numbers, 1, &format!("<answer>{product}</answer>"));
    assert_eq!(verdict.rule, "value", "{}", verdict.reason);
    let quotient = vec![i64::MAX.to_string(); MAX_NUMBERS / 2].join("*");
    assert_eq!(judge(&numbers, 1, &format!("<answer>({quotient})/({quotient})</answer>")).rule, "correct");
}

#[test]
fn the_partial_tier_is_a_setting_between_zero_and_one() {
    for partial in [0.0, 0.1, 0.5, 0.99] {
        let verdict = Countdown::new(partial)
            .unwrap()
            .judge(&problem(&[1], 1), &CompletionView::new("<answer></answer>", 1, true));
        assert_eq!(verdict.score, Some(partial));
    }
    for partial in [-0.1, 1.0, 2.0, f32::INFINITY, f32::NAN] {
        assert!(Countdown::new(partial).is_err(), "{partial}");
    }
}

#[test]
fn a_gold_that_cannot_be_judged_against_is_refused_and_never_scores() {
    let check = |gold: Gold, expected: &str| {
        let problem = Problem { gold, ..problem(&[], 0) };
        let error = Countdown::default().check_gold(&problem).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        let verdict = Countdown::default().judge(&problem, &CompletionView::new("<answer>0</answer>", 1, false));
        assert_eq!((verdict.score, verdict.rule.as_ref(), verdict.reason.as_ref()), (None, "gold", error.as_str()));
    };
    check(Gold::default(), "`numbers`");
    check(Gold::text("24"), "`numbers`");
    check(Gold::countdown(vec![], 0), "`numbers`");
    check(Gold { target: None, ..Gold::countdown(vec![1], 0) }, "`target`");
    check(Gold::countdown(vec![3, -4], 0), "-4 is negative");
    check(Gold::countdown(vec![1; MAX_NUMBERS + 1], 0), "65 numbers");
    for gold in [Gold::countdown(vec![0], 0), Gold::countdown(vec![1; MAX_NUMBERS], -5)] {
        assert_eq!(Countdown::default().check_gold(&Problem { gold, ..problem(&[], 0) }), Ok(()));
    }
}
