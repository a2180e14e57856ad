//! Tables of completions and the choice that each one makes.

use serde_json::json;

use super::*;
use crate::Gold;

fn problem(gold: &str, choices: &[&str]) -> Problem {
    let mut gold = Gold::text(gold);
    if !choices.is_empty() {
        gold.fields.insert("choices".to_owned(), json!(choices));
    }
    Problem { id: String::new(), question: String::new(), gold }
}

fn judge(problem: &Problem, text: &str) -> Verdict {
    Choice::new(ChoiceOptions::default()).unwrap().judge(problem, &CompletionView::new(text, 1, false))
}

/// With gold B, `rule` decides on `text`.
fn check(text: &str, rule: &str) {
    let verdict = judge(&problem("B", &[]), text);
    assert_eq!(verdict.rule, rule, "{text:?}: {}", verdict.reason);
    assert_eq!(verdict.score, Some(if rule == "correct" { 1.0 } else { 0.0 }), "{text:?}");
}

#[test]
fn answers_in_tags_and_boxes() {
    for (content, rule) in [
        ("B", "correct"),
        (" b ", "correct"),
        ("(B)", "correct"),
        ("B.", "correct"),
        ("**B**", "correct"),
        ("\\text{B}", "correct"),
        ("\\textbf{(B)}", "correct"),
        ("$B$", "correct"),
        ("B) Paris", "correct"),
        ("B: Vitamin C", "correct"),
        ("(B) a car in Zone A.", "correct"),
        ("Option B", "correct"),
        ("B. Dog", "correct"),
        ("B. Vitamin D and Vitamin E", "correct"),
        ("B. but D", "several"),
        ("B, though D works", "several"),
        ("B. D is also right", "several"),
        ("The answer is B", "correct"),
        ("B, B", "correct"),
        ("C", "wrong"),
        ("A", "wrong"),
        ("(A) B-cells", "wrong"),
        ("A or B", "several"),
        ("A, B", "several"),
        ("A B C D E", "several"),
        ("(A) and (B)", "several"),
        ("A. or B.", "several"),
        ("B) or C)", "several"),
        ("B/C", "several"),
        ("not A, so B", "several"),
        ("AB", "no_choice"),
        ("F", "no_choice"),
        ("Paris", "no_choice"),
        ("A large city", "no_choice"),
        ("", "no_choice"),
        ("Bob", "no_choice"),
        ("B+", "no_choice"),
        ("\u{ff22}", "no_choice"),
    ] {
        check(&format!("<think>x</think><answer>{content}</answer>"), rule);
        check(&format!("So \\boxed{{{content}}} it is."), rule);
    }
    check("<answer>C</answer> no, <answer>B</answer>", "correct");
    check("<think>The answer is B</think><answer>C</answer>", "wrong");
    check("\\boxed{C}. Wait. \\boxed{B}", "correct");
    check("\\boxed{A}, \\boxed{B}", "several");
    check("\\boxed{B} and $\\boxed{B}$", "correct");
}

#[test]
fn answers_behind_cues() {
    for (text, rule) in [
        ("The answer is B.", "correct"),
        ("So the correct answer is option (B) because A is too small.", "correct"),
        ("**Answer:** B", "correct"),
        ("Answer: **B**", "correct"),
        ("Answer:\nB", "correct"),
        ("The answer is b", "correct"),
        ("The answer is Paris (B).", "correct"),
        ("答案是B。", "correct"),
        ("The answer is A. No: the answer is B.", "correct"),
        ("The answer is B.\nI hope that helps.", "correct"),
        ("The answer is B. The answer is simple.", "correct"),
        ("The answer is C.", "wrong"),
        ("The answer is A because B is too large.", "wrong"),
        ("The answer is A or B.", "several"),
        ("The answer is A, B.", "several"),
        ("The answer is either (A) or (B).", "several"),
        ("The answer is B. But D is also right.", "several"),
        ("The answer is B, though D works.", "several"),
        ("The answer is B. But D is wrong.", "correct"),
        ("The answer is B.\nD does not fit.", "correct"),
        ("The answer is not B.", "no_choice"),
        ("The answer is a big one: B", "no_choice"),
        ("The answer is Paris.", "no_choice"),
        ("The answer is", "no_choice"),
        ("Because of that.", "no_choice"),
    ] {
        check(text, rule);
        check(&format!("<think>A, B, C? The answer is D.</think>{text}"), rule);
    }
}

#[test]
fn answers_in_the_last_line() {
    for (text, rule) in [
        ("Let me see.\nB", "correct"),
        ("Let me see.\n(B)\n", "correct"),
        ("Let me see.\n**B.** Paris", "correct"),
        ("B) Paris", "correct"),
        ("Option B", "correct"),
        ("A\nB", "correct"),
        ("B\nA", "wrong"),
        ("A or B", "several"),
        ("I would say B", "no_choice"),
        ("B is nice and so is A", "no_choice"),
        ("A triangle", "no_choice"),
        ("", "no_choice"),
    ] {
        check(text, rule);
    }
}

#[test]
fn texts_of_choices_count_where_the_row_has_them() {
    let row = problem("(b)", &["Vitamin A", "Vitamin C", "both A and C", "Iron"]);
    for (text, rule) in [
        ("<answer>Vitamin C</answer>", "correct"),
        ("<answer>vitamin c.</answer>", "correct"),
        ("<answer>B</answer>", "correct"),
        ("<answer>Vitamin A</answer>", "wrong"),
        ("<answer>both A and C</answer>", "wrong"),
        ("<answer>E</answer>", "no_choice"),
        ("<answer>Vitamin K</answer>", "no_choice"),
    ] {
        assert_eq!(judge(&row, text).rule, rule, "{text:?}");
    }
    let row = problem("iron", &["Vitamin A", "Vitamin C", "both A and C", "Iron"]);
    assert_eq!(judge(&row, "\\boxed{D}").rule, "correct");
    // Two choices of one text: neither can be meant by it.
    assert_eq!(judge(&problem("A", &["x", "x"]), "<answer>x</answer>").rule, "no_choice");
}

#[test]
fn golds_and_settings_are_checked() {
    let choice = Choice::new(ChoiceOptions::default()).unwrap();
    let check = |gold: &str, choices: &[&str], good: bool| {
        assert_eq!(choice.check_gold(&problem(gold, choices)).is_ok(), good, "{gold:?}, {choices:?}");
    };
    check("A", &[], true);
    check(" (e). ", &[], true);
    check("F", &[], false);
    check("F", &["1", "2", "3", "4", "5", "6"], true);
    check("", &[], false);
    check("AB", &[], false);
    check("x", &["x", "y"], true);
    check("x", &["x", "x"], false);
    let message = choice.check_gold(&problem("F", &[])).unwrap_err().to_string();
    assert_eq!(
        message,
        "reward `choice` cannot use the field `gold`: \"F\" is neither a letter from A to E nor the text of one entry of `choices`"
    );
    for n_choices in [0, 1, 27] {
        assert!(Choice::new(ChoiceOptions { n_choices }).is_err());
    }
}
