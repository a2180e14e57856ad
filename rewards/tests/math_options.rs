//! The accuracy reward's settings, what its verdicts say, and which part of a completion it looks at.

use rewards::{
    Accuracy, AccuracyOptions, CompletionView, Gold, GoldError, OnUnreadableGold, Problem, RewardFn, Unevaluated,
    Verdict,
};

fn problem(gold: &str) -> Problem {
    Problem { id: "p".to_owned(), question: "What is two plus three?".to_owned(), gold: Gold::text(gold) }
}

fn judge(options: AccuracyOptions, gold: &str, completion: &str) -> Verdict {
    Accuracy::new(options).judge(&problem(gold), &CompletionView::new(completion, 1, false))
}

#[test]
fn the_verdict_says_what_was_found_and_by_which_rule() {
    let check = |completion: &str, rule: &str, extracted: Option<&str>, score: f32| {
        let verdict = judge(AccuracyOptions::default(), "5", completion);
        assert_eq!(verdict.rule, rule, "{completion:?}");
        assert_eq!(verdict.extracted.as_deref(), extracted, "{completion:?}");
        assert_eq!(verdict.score, Some(score), "{completion:?}: {}", verdict.reason);
        assert!(!verdict.reason.is_empty());
    };
    check(r"so \boxed{5}", "boxed", Some("5"), 1.0);
    check(r"\boxed{4} or \boxed{5}", "boxed", Some("4 or 5"), 0.0);
    check("<answer> 5 </answer>", "answer_tag", Some("5"), 1.0);
    check("#### 5", "hashes", Some("5"), 1.0);
    check("The answer is 6.", "cue", Some("6"), 0.0);
    check("We add and get 5", "last_value", Some("5"), 1.0);
    check("", "no_answer", None, 0.0);
    check("no idea", "last_value", Some("no idea"), 0.0);
    check("<think>5", "unclosed_think", None, 0.0);
    check(r"\boxed{5", "no_answer", None, 0.0);
}

#[test]
fn each_place_can_be_switched_off() {
    let all = || AccuracyOptions::default();
    let check = |options: AccuracyOptions, rule: &str| {
        let completion = "I get 1.\n#### 2\nThe answer is 3.\n<answer>4</answer>\n$\\boxed{5}$";
        assert_eq!(judge(options, "9", completion).rule, rule);
    };
    check(all(), "boxed");
    check(AccuracyOptions { boxed: false, ..all() }, "answer_tag");
    check(AccuracyOptions { boxed: false, answer_tag: false, ..all() }, "hashes");
    check(AccuracyOptions { boxed: false, answer_tag: false, hashes: false, ..all() }, "cue");
    check(AccuracyOptions { boxed: false, answer_tag: false, hashes: false, cue: false, ..all() }, "last_value");
    let none =
        AccuracyOptions { boxed: false, answer_tag: false, hashes: false, cue: false, last_value: false, ..all() };
    check(none, "no_answer");
}

#[test]
fn options_read_from_json_and_refuse_what_they_do_not_know() {
    let read = |json: &str| serde_json::from_str::<AccuracyOptions>(json);
    assert_eq!(read("{}").unwrap(), AccuracyOptions::default());
    let options = read(r#"{"last_value": false, "on_unreadable_gold": "text"}"#).unwrap();
    assert!(!options.last_value && options.boxed);
    assert_eq!(options.on_unreadable_gold, OnUnreadableGold::Text);
    assert!(read(r#"{"last_values": false}"#).is_err());
    assert!(read(r#"{"on_unreadable_gold": "guess"}"#).is_err());
}

#[test]
fn an_unreadable_gold_is_an_error_a_text_or_skipped() {
    let gold = r"\sum_{n=1}^{\infty} \frac{1}{n^2";
    let with = |on_unreadable_gold| AccuracyOptions { on_unreadable_gold, ..AccuracyOptions::default() };
    let check = |policy: OnUnreadableGold| Accuracy::new(with(policy)).check_gold(&problem(gold));
    assert!(!Accuracy::readable(gold));
    assert!(matches!(check(OnUnreadableGold::Error), Err(GoldError::Invalid { field: "gold", .. })));
    assert_eq!(check(OnUnreadableGold::Text), Ok(()));
    assert_eq!(check(OnUnreadableGold::Skip), Ok(()));
    let boxed = format!("\\boxed{{{gold}}}}}");
    assert_eq!(judge(with(OnUnreadableGold::Error), gold, &boxed).score, None);
    assert_eq!(judge(with(OnUnreadableGold::Skip), gold, &boxed).rule, "gold");
    let tagged = format!("<answer>{}</answer>", gold.replace(' ', ""));
    assert_eq!(judge(with(OnUnreadableGold::Text), gold, &tagged).score, Some(1.0));
    assert_eq!(judge(with(OnUnreadableGold::Text), gold, r"\boxed{1}").score, Some(0.0));
    for gold in
        ["42", r"\frac12", "Paris", r"\text{no solution}", "(B)", "12 - 5 = 7 apples.\n#### 7", r"so $\boxed{x+1}$"]
    {
        assert!(Accuracy::readable(gold), "{gold}");
        assert_eq!(Accuracy::default().check_gold(&problem(gold)), Ok(()), "{gold}");
    }
    for gold in ["", "  ", "$$"] {
        assert!(!Accuracy::readable(gold), "{gold:?}");
        assert!(Accuracy::default().check_gold(&problem(gold)).is_err(), "{gold:?}");
    }
    let none = Problem { gold: Gold::default(), ..problem("") };
    let missing = Accuracy::default().check_gold(&none);
    assert!(matches!(missing, Err(GoldError::Missing { field: "gold", .. })), "{missing:?}");
    assert_eq!(Accuracy::default().judge(&none, &CompletionView::new("5", 1, false)).score, None);
}

#[test]
fn only_the_region_behind_prompt_and_reasoning_counts() {
    let reward = Accuracy::default();
    let check = |completion: &CompletionView<'_>, score: f32| {
        assert_eq!(reward.judge(&problem("5"), completion).score, Some(score), "{completion:?}");
    };
    let view = |text: &'static str| CompletionView::new(text, 1, false);
    check(&view(r"I thought \boxed{5}</think> \boxed{6}").with_think_prefilled(true), 0.0);
    check(&view(r"I thought \boxed{6}</think> \boxed{5}").with_think_prefilled(true), 1.0);
    check(&view(r"\boxed{5}").with_think_prefilled(true), 0.0);
    check(&view(r"\boxed{5}"), 1.0);
    let prompt = r"User: put the sum of 2 and 3 into \boxed{5}. Assistant:";
    check(&view(r"User: put the sum of 2 and 3 into \boxed{5}. Assistant:").with_prompt(prompt), 0.0);
    check(&view(r"User: put the sum of 2 and 3 into \boxed{5}. Assistant: \boxed{5}").with_prompt(prompt), 1.0);
    check(&view("What is two plus three? 5"), 1.0);
    // Cut off by the token limit: what is closed or followed by other text stands, the rest may be half a number.
    let cut = |text: &'static str| CompletionView::new(text, 1, true);
    check(&cut("The answer is 5"), 0.0);
    check(&cut("#### 5"), 0.0);
    check(&cut("The answer is 5. To check this, we"), 1.0);
    check(&cut(r"\boxed{5}"), 1.0);
    check(&cut("<answer>5</answer>"), 1.0);
}

#[test]
fn an_inequality_answers_an_interval_only_if_asked_to() {
    let lenient = AccuracyOptions { inequality_answers_interval: true, ..AccuracyOptions::default() };
    for (completion, strict) in [(r"\boxed{2 < x \le 5}", 0.0), (r"\boxed{(2, 5]}", 1.0)] {
        assert_eq!(judge(AccuracyOptions::default(), "(2,5]", completion).score, Some(strict), "{completion}");
        assert_eq!(judge(lenient.clone(), "(2,5]", completion).score, Some(1.0), "{completion}");
    }
    assert_eq!(judge(AccuracyOptions::default(), r"2 < x \le 5", r"\boxed{(2, 5]}").score, Some(1.0));
}

#[test]
fn arithmetic_left_to_the_reader_is_wrong_only_if_asked_to() {
    let strict = AccuracyOptions { unevaluated: Unevaluated::Wrong, ..AccuracyOptions::default() };
    for (gold, answer, score) in [
        ("391", r"17 \times 23", 0.0),
        ("391", r"\frac{782}{2}", 0.0),
        ("391", r"\sqrt{152881}", 0.0),
        ("391", r"(400 - 9)", 0.0),
        ("391", "782:2", 0.0),
        ("391", r"17 \times 23 = 391", 1.0),
        ("391", "391.0", 1.0),
        ("391", "391 apples", 1.0),
        ("4", "4m", 1.0),
        (r"\frac12", r"\frac24", 1.0),
        (r"\frac12", "50\\%", 1.0),
        (r"-\frac12", r"\frac{-1}{2}", 1.0),
        (r"\frac12", r"\frac14 + \frac14", 0.0),
        ("3.5", r"3\frac12", 1.0),
        ("3.5", "7/2", 1.0),
        ("3.5", r"3 + \frac12", 0.0),
        ("3000000", "3 million", 1.0),
        ("3000000", r"3 \times 10^6", 1.0),
        ("(1, 2)", "(1, 1 + 1)", 0.0),
        ("1, 2", r"1, \frac{4}{2}", 0.0),
        (r"2\sqrt3", r"\sqrt{12}", 1.0),
        ("2^{10}", r"4^5", 1.0),
        ("x + 2", "x + 1 + 1", 1.0),
    ] {
        let completion = format!("\\boxed{{{answer}}}");
        assert_eq!(judge(strict.clone(), gold, &completion).score, Some(score), "{gold} {answer}");
        assert_eq!(judge(AccuracyOptions::default(), gold, &completion).score, Some(1.0), "{gold} {answer}");
    }
    let cancelled = judge(AccuracyOptions::default(), "15", r"\boxed{x + 15 - x}");
    assert_eq!(cancelled.score, Some(0.0), "{}", cancelled.reason);
}

#[test]
fn a_group_is_judged_as_its_completions_are() {
    let reward = Accuracy::default();
    let texts = [r"\boxed{5}", r"\boxed{6}", "", "The answer is 5."];
    let completions: Vec<_> = texts.iter().map(|text| CompletionView::new(text, 1, false)).collect();
    let single: Vec<_> = completions.iter().map(|completion| reward.judge(&problem("5"), completion)).collect();
    assert_eq!(reward.judge_group(&problem("5"), &completions), single);
    assert_eq!(
        reward.judge_group(&problem(""), &completions).iter().filter(|v| v.score.is_none()).count(),
        texts.len()
    );
    assert_eq!(reward.name(), "accuracy");
}
