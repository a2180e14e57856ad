//! Sums that are steps, what looks like one and is none, and text that means no good.

use super::*;

fn judge(text: &str) -> Verdict {
    let problem = Problem { id: String::new(), question: String::new(), gold: crate::Gold::default() };
    StepSums::new().judge(&problem, &CompletionView::new(text, 1, false))
}

/// The steps as the text up to each end, and the score.
fn check(text: &str, expected: &[(&str, f32)]) {
    let verdict = judge(text);
    let mut begin = 0;
    let mut found = Vec::new();
    for step in &verdict.steps {
        found.push((&text[begin..step.end], step.score));
        begin = step.end;
    }
    assert_eq!(found, expected, "{text:?}");
    assert_eq!(verdict.score, mean_of_steps(&verdict.steps), "{text:?}");
    assert_eq!(verdict.clone().sound(text), verdict, "{text:?}");
}

#[test]
fn a_search_of_the_embedded_base_has_its_sums_as_steps() {
    let text = " <think> Let me see.\n15 + 7 = 22, then 22 + 14 = 37, no. 22 - 14 = 8, no.\nI will guess. </think> \
                <answer> 1 + 1 = 3 </answer>";
    let steps = [(" <think> Let me see.\n15 + 7 = 22", 1.0), (", then 22 + 14 = 37", 0.0), (", no. 22 - 14 = 8", 1.0)];
    check(text, &steps);
    let verdict = judge(text);
    assert_eq!((verdict.rule.as_ref(), verdict.extracted.as_deref()), ("wrong", Some("22+14=37")));
    assert_eq!(verdict.reason, "2 of 3 sums are right");
    let prefilled = Problem { id: String::new(), question: String::new(), gold: crate::Gold::default() };
    let view = CompletionView::new("1 + 1 = 2 <think> 1 + 2 = 3", 1, false);
    assert_eq!(StepSums::new().judge(&prefilled, &view).steps.len(), 1);
    assert_eq!(StepSums::new().judge(&prefilled, &view.with_think_prefilled(true)).steps.len(), 2);
}

#[test]
fn sums_are_compared_exactly() {
    for right in [
        "3+4=7",
        "-3 + 4 = 1",
        "3 - 4 = -1",
        "12 / 8 = 3 / 2",
        "2 * (3 + 4) = 14",
        "36 = 22 + 14",
        "1 / 3 + 1 / 6 = 1/2",
        "9007199254740993 * 3 = 27021597764222979",
        "6 × 7 = 42",
        "84 ÷ 2 − 1 = 41",
        "6 · 7 = 42",
        "5 * -3 = -15",
    ] {
        check(right, &[(right, 1.0)]);
    }
    for wrong in ["3 + 4 = 8", "1 / 3 = 333333 / 1000000", "9007199254740993 + 1 = 9007199254740993", "5 / 0 = 5 / 0"] {
        check(wrong, &[(wrong, 0.0)]);
    }
}

#[test]
fn what_stands_around_an_equation_is_none_of_it() {
    for (text, step) in [
        ("- 3 + 4 = 7", ""),
        ("* 3 + 4 = 7", ""),
        ("1) 3 + 4 = 7", ""),
        ("1. 3 + 4 = 7.", "."),
        ("**3 + 4 = 7**", "**"),
        ("(3 + 4 = 7)", ")"),
        ("2 * (3 + 4 = 7)", ")"),
        ("Sum: 3 + 4 = 7!", "!"),
        ("3 + 4 = 7 (too small)", " (too small)"),
        ("$3 + 4 = 7$", "$"),
        ("so 3 + 4 = 7 apples", " apples"),
        ("3 + 4 = 7, then", ", then"),
        ("x = 3 + 4 = 7", ""),
        ("3 + 4 = 7 - ", " - "),
        ("\u{202e}3 + 4 = 7\u{202c}", "\u{202c}"),
    ] {
        check(text, &[(&text[..text.len() - step.len()], 1.0)]);
    }
    check("3 + 4 = 7 = 14 / 2 = 7", &[("3 + 4 = 7", 1.0), (" = 14 / 2", 1.0), (" = 7", 1.0)]);
    check("3 + 4 = 7 + 5 = 12", &[("3 + 4 = 7 + 5", 0.0), (" = 12", 1.0)]);
    check("3 + 4 = 7\n= 7 + 0", &[("3 + 4 = 7", 1.0)]);
    check("3 + 4 = 7, 3+4=7, 4 + 3 = 7, 3 + 4 = 7", &[("3 + 4 = 7", 1.0), (", 3+4=7, 4 + 3 = 7", 1.0)]);
}

#[test]
fn what_is_no_sum_of_whole_numbers_is_not_judged() {
    for text in [
        "",
        "=",
        "7 = 7",
        "7 = 8",
        "3 + = 7",
        "3 + 4 =",
        "x = 3 + 4",
        "3 + 4 = x",
        "x + 4 = 7",
        "2x + 4 = 7",
        "x * 3 + 4 = 8",
        "f(3) + 4 = 8",
        "1.5 + 2 = 3.5",
        "1,000 + 1 = 1,001",
        "7 / 2 = 3.5",
        "10 / 2 = 5%",
        "3 + 4 = 7x",
        "3 + 4 = 7(x)",
        "3 + 4 = 7 * x",
        "3 + 4 = 7 - x",
        "2^3 + 4 = 8",
        "3 + 4 = 7^2",
        "3 + 4 == 8",
        "3 + 4 != 8",
        "3 + 4 >= 8",
        "3 + 4 => 8",
        "3 + 4 := 8",
        "$4 + $3 + 4 = 8",
        "3 + 4 \n= 8",
        "3 ** 4 = 8",
        "007 + 1 = 9",
        "22 14 + 8 = 23",
        "1 + \u{202e}4 + 5 = 7",
        "３ + ４ = ８",
        "√ 4 + 5 = 8",
    ] {
        check(text, &[]);
        assert_eq!((judge(text).score, &*judge(text).rule), (None, "no_sums"), "{text:?}");
    }
}

#[test]
fn hostile_text_costs_a_pass() {
    let nines = format!("{} + 1 = 1", "9".repeat(100_000));
    let long = format!("1{} = 7", " + 1".repeat(100_000));
    let open = format!("{}1 + 1 = 2", "(".repeat(100_000));
    let closed = format!("{} 1 + 1 = 2", ")".repeat(100_000));
    let blanks = format!("1 + 1 {}", "=  \u{202e} ".repeat(100_000));
    for (text, n) in [(nines, 0), (long, 0), (open, 1), (closed, 1), (blanks, 0), ("=".repeat(100_000), 0)] {
        assert_eq!(judge(&text).steps.len(), n, "{}", &text[..20]);
    }
    let many: String = (0..20_000).map(|n| format!("{n} + 1 = {}, ", n + 1 + n % 2)).collect();
    let verdict = judge(&many);
    assert_eq!((verdict.steps.len(), verdict.score), (20_000, Some(0.5)));
    assert!(verdict.reason.len() < 100 && verdict.extracted.unwrap().len() < 100);
    // The most digits that are read, multiplied.
    let product = ["9999999999999999999"; 11].join(" * ");
    assert_eq!(judge(&format!("{product} = {product}")).score, Some(1.0));
}
