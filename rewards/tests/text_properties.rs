//! What must hold of the rewards on text, whatever the text: a verdict within bounds, the same each time, at any size.

use proptest::prelude::*;
use rewards::{
    As, Choice, ChoiceOptions, CodeFormat, CodeFormatOptions, CompletionView, Cosine, CosineOptions, Exact,
    ExactOptions, Gold, KimiLength, KimiLengthOptions, LanguageConsistency, LanguageConsistencyOptions, LanguageOver,
    LengthLimits, LengthLimitsOptions, MatchOver, Multiply, MultiplyOptions, NgramUnit, OpenR1Format, Problem,
    R1Format, ReasoningSteps, RegexMatch, RegexMatchOptions, Repetition, RepetitionOptions, RewardFn, Rubric,
    SoftOverlong, SoftOverlongOptions, StepSums, TagCount, ThinkFormat, Weighted, mean_of_steps,
};
use serde_json::json;

/// Every reward on text that always has a score, with its range.
fn rewards() -> Vec<(Box<dyn RewardFn>, f32, f32)> {
    let exact = || Box::new(Exact::new(ExactOptions { ignore_case: true, collapse_white_space: true }));
    let regex =
        |over| RegexMatch::new(RegexMatchOptions { pattern: r"(?s)(a|b)*\d{2,5}.*<".to_owned(), over }).unwrap();
    let language = |language: &str, over| {
        let options = LanguageConsistencyOptions { language: Some(language.to_owned()), over, no_words: 0.5 };
        LanguageConsistency::new(options).unwrap()
    };
    let cosine =
        |variant| Cosine::new(CosineOptions { variant, max_length: 20, ..CosineOptions::default() }, exact()).unwrap();
    let kimi =
        |variant| KimiLength::new(KimiLengthOptions { variant, ..KimiLengthOptions::default() }, exact()).unwrap();
    let repetition =
        |unit| Repetition::new(RepetitionOptions { unit, ngram_size: 3, ..RepetitionOptions::default() }).unwrap();
    let limits = LengthLimitsOptions { min_tokens: 3, ..LengthLimitsOptions::default() };
    vec![
        (Box::new(R1Format::new()), 0.0, 1.0),
        (Box::new(OpenR1Format::new()), 0.0, 1.0),
        (Box::new(TagCount::new()), 0.0, 1.0),
        (Box::new(ThinkFormat::new()), 0.0, 1.0),
        (Box::new(CodeFormat::new(CodeFormatOptions::default()).unwrap()), 0.0, 1.0),
        (Box::new(ReasoningSteps::new()), 0.0, 1.0),
        (exact(), 0.0, 1.0),
        (Box::new(Choice::new(ChoiceOptions::default()).unwrap()), 0.0, 1.0),
        (Box::new(Multiply::new(MultiplyOptions::default()).unwrap()), 0.0, 1.0),
        (Box::new(regex(MatchOver::Completion)), 0.0, 1.0),
        (Box::new(regex(MatchOver::Answer)), 0.0, 1.0),
        (Box::new(language("en", LanguageOver::Completion)), 0.0, 1.0),
        (Box::new(language("zh", LanguageOver::Thinking)), 0.0, 1.0),
        (Box::new(language("ru", LanguageOver::Completion)), 0.0, 1.0),
        (Box::new(cosine(As::Corrected)), -1.0, 1.0),
        (Box::new(cosine(As::OpenR1)), -1.0, 1.0),
        (Box::new(kimi(As::Corrected)), -0.5, 0.5),
        (Box::new(kimi(As::OpenR1)), -0.5, 0.5),
        (Box::new(repetition(NgramUnit::Tokens)), -1.0, 0.0),
        (Box::new(repetition(NgramUnit::Words)), -1.0, 0.0),
        (Box::new(SoftOverlong::new(SoftOverlongOptions { max_tokens: 20, buffer_tokens: 10 }).unwrap()), -1.0, 0.0),
        (Box::new(LengthLimits::new(limits).unwrap()), 0.0, 1.0),
    ]
}

/// A problem that every reward above can judge, except that `multiply` gets its number in `target`.
fn problem() -> Problem {
    let mut gold = Gold { target: Some(12), ..Gold::text("B") };
    gold.fields.insert("choices".to_owned(), json!(["red", "12", "the green one", "äß"]));
    Problem { id: String::new(), question: String::new(), gold }
}

/// Text made of what the rewards look for, of halves of it, and of anything else.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "<think>", "</think>", "<answer>", "</answer>", "\n", "\n", " ", "```python\n", "```", "\\boxed{", "}", "{", "\\fbox{",
        ]).prop_map(str::to_owned),
        3 => prop::sample::select(vec![
            "A", "B", "(C)", "D.", "or", "The answer is ", "Answer: ", "**", "$", "$$", "\\(", "\\)", "\\[", "\\]", "\\begin{a}",
            "\\end{a}", "\\text{", "`", "答案是", "12", "-12", "_", "1_2", "Step 1:", "First,", "\n- ", "www.", "http://", "<", ">", "|",
        ]).prop_map(str::to_owned),
        3 => prop::sample::select(vec![
            "the", "und", "x", "sin", "GCD", "don't", "qu'", "и", "это", "我们", "です", "カー", "우리", "ก", "۱", "א", "e\u{301}", "\u{200d}",
            "İ", "ß", "\u{1F468}\u{200d}\u{1F469}", "\u{0}", "\u{feff}", "\u{202e}", "ﷺ", "①", "Ⅳ", "〇", "𝑥", "'", "’",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Bound of a reason, in characters: 40 quoted ones may each be written as an escape of ten.
const REASON_CHARS: usize = 500;

fn check(reward: &dyn RewardFn, low: f32, high: f32, view: &CompletionView<'_>) -> Result<(), TestCaseError> {
    let verdict = reward.judge(&problem(), view);
    let context = format!("{}: {verdict:?}", reward.name());
    let in_range = verdict.score.is_some_and(|score| (low..=high).contains(&score));
    let unknown_tokens = verdict.rule == "no_tokens" && view.token_ids.is_none();
    prop_assert!(in_range || (verdict.score.is_none() && unknown_tokens), "{}", context);
    prop_assert!(verdict.reason.chars().count() < REASON_CHARS, "{}", context);
    prop_assert!(verdict.extracted.as_ref().is_none_or(|text| text.chars().count() < 300), "{}", context);
    prop_assert_eq!(&reward.judge(&problem(), view), &verdict);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_text_gets_a_verdict_in_range(
        text in soup(),
        n_tokens in prop_oneof![0_usize..40, any::<usize>()],
        token_ids in prop::option::of(prop::collection::vec(prop_oneof![0_i64..4, any::<i64>()], 0..40)),
        prompt in prop::option::of(soup()),
        prefilled: bool,
    ) {
        let mut view = CompletionView::new(&text, n_tokens, false).with_think_prefilled(prefilled);
        view.prompt = prompt.as_deref();
        view.token_ids = token_ids.as_deref();
        for (reward, low, high) in rewards() {
            check(reward.as_ref(), low, high, &view)?;
        }
    }

    #[test]
    fn a_group_has_one_verdict_for_each(texts in prop::collection::vec(soup(), 0..5)) {
        let views: Vec<_> = texts.iter().map(|text| CompletionView::new(text, text.len(), false)).collect();
        let (problem, (left, right)) = (problem(), views.split_at(views.len() / 2));
        for (reward, low, high) in rewards() {
            let verdicts = reward.judge_group(&problem, &views);
            prop_assert_eq!(verdicts.len(), views.len(), "{}", reward.name());
            prop_assert!(verdicts.iter().filter_map(|verdict| verdict.score).all(|score| (low..=high).contains(&score)));
            let batch = reward.judge_batch(&[(&problem, left), (&problem, right)]);
            prop_assert_eq!(batch.iter().map(Vec::len).collect::<Vec<_>>(), [left.len(), right.len()]);
        }
    }

    #[test]
    fn any_gold_is_judged_or_refused(gold in soup(), tag in prop_oneof![soup(), "[a-z]{2,3}(-[A-Za-z]{4})?"], text in soup()) {
        let mut gold = Gold::text(gold);
        gold.fields.insert("language".to_owned(), json!(tag));
        let problem = Problem { id: String::new(), question: String::new(), gold };
        for (reward, ..) in rewards() {
            let verdict = reward.judge(&problem, &CompletionView::new(&text, 1, false).with_token_ids(&[1]));
            prop_assert_eq!(reward.check_gold(&problem).is_ok(), verdict.score.is_some(), "{}: {:?}", reward.name(), verdict);
        }
    }

    #[test]
    fn prefilled_think_is_a_think_written(text in soup()) {
        let whole = format!("<think>\n{text}");
        let written = CompletionView::new(&whole, 1, false);
        let prefilled = CompletionView::new(&text, 1, false).with_think_prefilled(true);
        for (reward, ..) in rewards().into_iter().take(5) {
            let (written, prefilled) = (reward.judge(&problem(), &written), reward.judge(&problem(), &prefilled));
            prop_assert_eq!(written.score, prefilled.score, "{}", reward.name());
        }
    }
}

proptest! {
    /// Of `step_sums`, which has no score without a step: its steps end in order at characters of the text, and a rubric
    /// carries them through.
    #[test]
    fn sums_are_steps_of_their_text(
        pieces in prop::collection::vec(prop_oneof![
            5 => prop::sample::select(vec!["1", "12", "3 ", " + ", "-", " * ", "/", "(", ")", " = ", " = ", "=", "3 + 4 = 7"])
                .prop_map(str::to_owned),
            1 => soup(),
        ], 0..60),
        prefilled: bool,
    ) {
        let text = pieces.concat();
        let view = CompletionView::new(&text, 1, false).with_think_prefilled(prefilled);
        let verdict = StepSums::new().judge(&problem(), &view);
        prop_assert_eq!(verdict.score, mean_of_steps(&verdict.steps));
        prop_assert!(verdict.score.is_none_or(|score| (0.0..=1.0).contains(&score)));
        let ends: Vec<usize> = verdict.steps.iter().map(|step| step.end).collect();
        prop_assert!(ends.is_sorted_by(|a, b| a < b) && ends.iter().all(|&end| text[..end].ends_with(|c: char| c.is_ascii_digit() || c == ')')));
        let rubric = Rubric::new(vec![Weighted::new("sums", 1.0, Box::new(StepSums::new()))]).unwrap();
        prop_assert_eq!(&rubric.judge_group(&problem(), &[view])[0].components[0].verdict, &verdict);
    }
}

/// A megabyte of what each search begins at: in a search that starts again at each of them, this test would not end.
#[test]
fn a_megabyte_is_judged_in_one_pass() {
    let pieces = [
        "<think>",
        "<think>\n",
        "\n</think>\n<answer>\n",
        "\n</answer> ",
        "<answer>",
        "</answer>",
        "</think>",
        "<answer>B</answer>",
        "```python",
        "```",
        "\\boxed{",
        "\\boxed{B}",
        "{",
        "}",
        "\\",
        "The answer is ",
        "The answer is B or ",
        "Answer:\n",
        "A",
        "A ",
        "A, B, ",
        "(A) or ",
        "1. ",
        "1",
        "9_",
        "Step 1",
        "\n-",
        "$",
        "$x",
        "`",
        "\\(",
        "\\begin{",
        "<",
        "www",
        "a://",
        "the und ",
        "我",
        "です",
        "я ",
        "e\u{301}",
        "\u{301}",
        "'",
        "a'",
        " ",
        "\n",
        "ab",
        "<|",
        "İ",
    ];
    for piece in pieces {
        let text = piece.repeat(1_000_000 / piece.len());
        for prefix in ["", "<think>\nx\n</think>\n<answer>\n```python"] {
            let text = format!("{prefix}{text}");
            let ids: Vec<i64> = text.bytes().map(i64::from).collect();
            let view = CompletionView::new(&text, text.len(), true).with_token_ids(&ids);
            for (reward, low, high) in rewards() {
                let verdict = reward.judge(&problem(), &view);
                assert!(
                    verdict.score.is_some_and(|score| (low..=high).contains(&score)),
                    "{}: {piece:?}",
                    reward.name()
                );
                assert!(verdict.reason.chars().count() < REASON_CHARS, "{}: {piece:?}", reward.name());
            }
            assert!(StepSums::new().judge(&problem(), &view).steps.is_empty(), "{piece:?}");
        }
    }
}
