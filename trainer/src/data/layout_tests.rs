//! Rows as the data sets have them, and rows that lack something.

use serde_json::json;

use super::*;

fn read(row: &Value, layout: Option<Layout>) -> Result<Problem, String> {
    problem(row.to_string().as_bytes(), layout)
}

/// A row, recognised and named, reads as the same problem.
fn check(layout: Layout, row: &Value, expected: Value) {
    let expected: Problem = serde_json::from_value(expected).unwrap();
    assert_eq!(read(row, None).as_ref(), Ok(&expected), "{row}");
    assert_eq!(read(row, Some(layout)).as_ref(), Ok(&expected), "{row} as {layout:?}");
}

#[test]
fn rows_of_known_data_sets_are_problems() {
    let rationale = "He eats 16 - 3 = <<16-3=13>>13.\n#### 1,300";
    check(
        Layout::Gsm8k,
        &json!({"question": "How many?", "answer": rationale}),
        json!({"question": "How many?", "gold": "1300", "solution": rationale}),
    );
    check(
        Layout::Math,
        &json!({"problem": "p", "solution": r"so \boxed{7}", "answer": r"\frac12", "subject": "Algebra", "level": 5,
               "unique_id": "test/algebra/1.json"}),
        json!({"id": "test/algebra/1.json", "question": "p", "gold": r"\frac12", "solution": r"so \boxed{7}", "level": "5",
               "subject": "Algebra"}),
    );
    check(
        Layout::Math,
        &json!({"problem": "p", "level": "Level 3", "type": "Number Theory", "solution": r"$\boxed{\frac{1}{2}}$."}),
        json!({"question": "p", "gold": r"\frac{1}{2}", "solution": r"$\boxed{\frac{1}{2}}$.", "level": "3",
               "subject": "Number Theory"}),
    );
    check(
        Layout::Aime,
        &json!({"ID": "2024-II-4", "Problem": "p", "Solution": "s", "Answer": 33}),
        json!({"id": "2024-II-4", "question": "p", "gold": "33", "Solution": "s"}),
    );
    check(Layout::Aime, &json!({"question": "p", "answer": "033"}), json!({"question": "p", "gold": "033"}));
    check(
        Layout::Aime,
        &json!({"id": 60, "problem": "p", "answer": "204", "year": "2024"}),
        json!({"id": "60", "question": "p", "gold": "204", "year": "2024"}),
    );
    let question = CountdownProblem { numbers: vec![44, 19, 35], target: 98 }.question(Language::En);
    check(
        Layout::Countdown,
        &json!({"target": 98, "nums": [44, 19, 35]}),
        json!({"question": question, "numbers": [44, 19, 35], "target": 98}),
    );
    for own in [
        json!({"id": "a", "question": "q", "gold": "4", "answer": "#### 5", "level": 2}),
        json!({"question": "q", "numbers": [1, 2], "target": 3, "answer": "7"}),
        json!({"question": "q", "answer": "Paris"}),
        json!({"question": "q", "problem": "p", "gold": "1"}),
        json!({"question": "q"}),
    ] {
        check(Layout::Own, &own, own.clone());
    }
}

#[test]
fn what_is_missing_is_named() {
    let check = |layout: Option<Layout>, row: Value, parts: &[&str]| {
        let reason = read(&row, layout).unwrap_err();
        assert!(parts.iter().all(|part| reason.contains(part)), "{row}: {reason}");
    };
    check(None, json!({"text": "a"}), &["missing field `question`", "GSM8K", "`nums`"]);
    check(None, json!({"question": 3}), &["expected a string", "column"]);
    check(None, json!({"problem": "p"}), &["`answer`", "`solution`"]);
    check(None, json!({"problem": "p", "solution": "so 7"}), &["no \\boxed answer"]);
    check(None, json!({"problem": ["p"], "answer": "1"}), &["`problem` is [\"p\"]"]);
    check(None, json!({"Problem": "p"}), &["missing key `answer` or `Answer`"]);
    check(None, json!({"Problem": "p", "Answer": "x"}), &["`answer` is \"x\"", "0 to 999"]);
    check(None, json!({"nums": [1, 2]}), &["needs `target`"]);
    check(None, json!({"nums": [1, "2"], "target": 3}), &["`nums` is no list"]);
    check(None, json!({"nums": [], "target": 3}), &["`nums` is empty"]);
    check(None, json!({"nums": [1, 2], "target": 3.5}), &["`target` is 3.5"]);
    check(None, json!({"question": "q", "answer": "####  "}), &["nothing behind"]);
    check(Some(Layout::Gsm8k), json!({"question": "q", "answer": "7"}), &["no `####`"]);
    check(Some(Layout::Math), json!({"question": "q", "gold": "7"}), &["missing key `problem`"]);
    check(Some(Layout::Countdown), json!({"numbers": [1], "target": 1}), &["needs `nums`"]);
    let malformed = problem(b"{\"question\": ", None).unwrap_err();
    assert!(malformed.contains("EOF") && malformed.contains("column"), "{malformed}");
}
