//! The reward of a model against the model itself.

use std::path::Path;

use policy::RewardModel;
use rewards::Gold;
use rollout::Tokenizer;

use super::*;
use crate::config::{Artifact, Over, Template};

fn options() -> RewardModelOptions {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/reward_models/qwen2");
    RewardModelOptions {
        model: Artifact::Path(folder),
        over: None,
        template: None,
        mean: 0.0,
        scale: 1.0,
        squash: Squash::None,
        no_summary: -3.0,
        max_batch_tokens: 40,
    }
}

fn loaded(options: RewardModelOptions) -> ModelJudge {
    let judge = ModelJudge::new(options);
    judge.load(Dtype::Float32, Device::Cpu).unwrap();
    judge
}

fn problem(question: &str) -> Problem {
    Problem { id: String::new(), question: question.to_owned(), gold: Gold::default() }
}

/// What the model itself gives for a prompt and a response.
fn score(prompt: &str, response: &str) -> f32 {
    let Artifact::Path(folder) = options().model else { panic!() };
    let tokenizer = Tokenizer::load(&folder, 104).unwrap();
    let ids = [tokenizer.encode(prompt).unwrap(), tokenizer.encode(response).unwrap(), vec![0]].concat();
    let model = RewardModel::load(&folder, Dtype::Float32, Device::Cpu).unwrap();
    model.scores(&model.frozen_weights(), &[&ids])[0]
}

#[test]
fn a_batch_is_scored_in_order_as_each_alone() {
    let judge = loaded(options());
    let problems = ["what", "how much is it"].map(problem);
    let texts = ["one", " two three", "", "one more time, and again"];
    let views = texts.map(|text| CompletionView::new(text, 1, false));
    let groups: Vec<JudgedGroup<'_>> = vec![(&problems[0], &views[..3]), (&problems[1], &views[3..])];
    let verdicts = judge.judge_batch(&groups);
    for ((problem, views), verdicts) in groups.iter().zip(&verdicts) {
        for (view, verdict) in views.iter().zip(verdicts) {
            assert_eq!(verdict.score, Some(score(&problem.question, view.text)), "{:?}", view.text);
            assert_eq!(&judge.judge(problem, view), verdict);
        }
    }
    assert_eq!((verdicts[0].len(), verdicts[1].len()), (3, 1));
}

#[test]
fn a_score_may_be_moved_and_squashed() {
    let raw = score("q", "a");
    let view = CompletionView::new("a", 1, false);
    let check = |options: RewardModelOptions, expected: f32| {
        let got = loaded(options).judge(&problem("q"), &view).score.unwrap();
        assert!((got - expected).abs() < 1e-6, "{got}, not {expected}");
    };
    check(RewardModelOptions { mean: 0.5, scale: 4.0, ..options() }, (raw - 0.5) / 4.0);
    check(RewardModelOptions { squash: Squash::Sigmoid, ..options() }, 1.0 / (1.0 + (-raw).exp()));
    let templated = RewardModelOptions { template: Some(Template::R1Zero), ..options() };
    let prompt = rollout::r1_zero("q");
    // 104 tokens of a vocabulary spell the template in more than the model's context.
    assert_eq!(loaded(templated).judge(&problem("q"), &view).rule, "too_long", "{} characters", prompt.len());
}

#[test]
fn the_summary_alone_is_read() {
    let judge = loaded(RewardModelOptions { over: Some(Over::Summary), ..options() });
    let judged = |text: &str, prefilled: bool| {
        judge.judge(&problem("q"), &CompletionView::new(text, 1, false).with_think_prefilled(prefilled))
    };
    assert_eq!(judged("<think>x</think><answer> a </answer>", false).score, Some(score("q", "a")));
    assert_eq!(judged("x</think> a", true).score, Some(score("q", "a")));
    let none = judged("thoughts without end", true);
    assert_eq!((none.score, &*none.rule), (Some(-3.0), "no_summary"));
}

#[test]
fn what_is_not_there_is_said() {
    let judge = ModelJudge::new(RewardModelOptions { model: Artifact::Stage("helpful".to_owned()), ..options() });
    assert!(judge.check().is_ok());
    assert!(judge.load(Dtype::Float32, Device::Cpu).unwrap_err().to_string().contains("name the folder"));
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models/qwen2_tied");
    let judge = ModelJudge::new(RewardModelOptions { model: Artifact::Path(policy), ..options() });
    let message = judge.load(Dtype::Float32, Device::Cpu).unwrap_err().to_string();
    assert!(message.contains("has no `score.weight`"), "{message}");
}

#[test]
#[should_panic = "Judges::load_models"]
fn nothing_is_judged_before_the_model_is_loaded() {
    ModelJudge::new(options()).judge(&problem("q"), &CompletionView::new("a", 1, false));
}
