//! A rubric over rules that answer what the test wants.

use super::*;
use crate::{Countdown, Gold, R1Format};

/// Scores by the number of tokens: one entry for each completion, or whatever the test wants a broken rule to return.
struct Fixed(Vec<Option<f32>>);

impl RewardFn for Fixed {
    fn name(&self) -> &str {
        "fixed"
    }

    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        match problem.gold.text {
            Some(_) => Ok(()),
            None => Err(GoldError::Missing { reward: "fixed".to_owned(), field: "gold" }),
        }
    }

    fn judge(&self, _: &Problem, completion: &CompletionView<'_>) -> Verdict {
        Verdict { score: self.0[completion.n_tokens], ..Verdict::scored(0.0, "fixed", "as told") }
    }

    /// Group-relative in the crudest way: it sees the whole group at once.
    fn judge_group(&self, _: &Problem, _: &[CompletionView<'_>]) -> Vec<Verdict> {
        self.0.iter().map(|&score| Verdict { score, ..Verdict::scored(0.0, "fixed", "as told") }).collect()
    }
}

fn fixed(scores: &[Option<f32>]) -> Box<dyn RewardFn> {
    Box::new(Fixed(scores.to_vec()))
}

fn problem() -> Problem {
    Problem { id: "p".to_owned(), question: "q".to_owned(), gold: Gold::countdown(vec![2, 3, 4], 24) }
}

fn rewards_of(components: Vec<Weighted>, n_completions: usize) -> Vec<Option<f32>> {
    let completions = vec![CompletionView::new("", 0, false); n_completions];
    let judgements = Rubric::new(components).unwrap().judge_group(&problem(), &completions);
    judgements.iter().map(|judgement| judgement.reward).collect()
}

#[test]
fn reward_is_the_weighted_sum_of_what_applies() {
    let check = |components: &[(f32, Option<f32>)], expected: Option<f32>| {
        let components = components
            .iter()
            .enumerate()
            .map(|(i, &(weight, score))| Weighted::new(i.to_string(), weight, fixed(&[score])));
        assert_eq!(rewards_of(components.collect(), 1), [expected]);
    };
    check(&[(1.0, Some(0.5))], Some(0.5));
    check(&[(1.0, Some(1.0)), (0.25, Some(1.0))], Some(1.25));
    check(&[(1.0, Some(1.0)), (-0.5, Some(1.0))], Some(0.5));
    check(&[(0.0, Some(1.0)), (2.0, Some(0.5))], Some(1.0));
    check(&[(1.0, None), (2.0, Some(0.5))], Some(1.0));
    check(&[(1.0, Some(0.0)), (2.0, None)], Some(0.0));
    check(&[(1.0, None), (2.0, None)], None);
    check(&[(0.0, Some(1.0)), (2.0, None)], None);
    check(&[(0.0, Some(1.0))], None);
    check(&[(1.0, Some(f32::NAN)), (1.0, Some(1.0))], Some(1.0));
    check(&[(1.0, Some(f32::INFINITY))], None);
    check(&[(f32::MAX, Some(f32::MAX))], Some(f32::MAX));
    check(&[(f32::MAX, Some(2.0)), (f32::MAX, Some(-1.5))], Some(f32::MAX / 2.0));
    check(&[(1e8, Some(1.0)), (1.0, Some(1.0)), (-1e8, Some(1.0))], Some(1.0));
}

#[test]
fn a_group_keeps_its_order_and_each_component_its_verdict() {
    let rubric = Rubric::new(vec![
        Weighted::new("accuracy", 1.0, Box::new(Countdown::default())),
        Weighted::new("format", 0.2, Box::new(R1Format::new())),
    ])
    .unwrap();
    let texts = ["<think>a</think><answer>2*3*4</answer>", "<answer>2*3*4</answer>", "<answer>2</answer>", ""];
    let completions: Vec<_> = texts.iter().map(|text| CompletionView::new(text, 9, false)).collect();
    let judgements = rubric.judge_group(&problem(), &completions);
    assert_eq!(judgements.iter().map(|j| j.reward).collect::<Vec<_>>(), [1.2, 1.0, 0.1, 0.0].map(Some));
    for judgement in &judgements {
        let names: Vec<_> = judgement.components.iter().map(|c| (c.name.as_str(), c.weight)).collect();
        assert_eq!(names, [("accuracy", 1.0), ("format", 0.2)]);
    }
    assert_eq!(judgements[2].components[0].verdict.rule, "numbers");
    assert_eq!(judgements[2].components[1].verdict.rule, "no_think");
    assert_eq!(rubric.judge_group(&problem(), &completions), judgements, "judging twice gives the same");
    assert!(rubric.judge_group(&problem(), &[]).is_empty());
    let written = serde_json::to_string(&judgements).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Judgement>>(&written).unwrap(), judgements);
}

#[test]
fn a_rule_that_loses_count_is_set_aside() {
    for n_verdicts in [0, 1, 3] {
        let broken = fixed(&vec![Some(1.0); n_verdicts]);
        let rewards =
            rewards_of(vec![Weighted::new("a", 1.0, broken), Weighted::new("b", 1.0, fixed(&[Some(0.5); 2]))], 2);
        assert_eq!(rewards, [Some(0.5), Some(0.5)], "{n_verdicts} verdicts for 2 completions");
    }
}

#[test]
fn a_rubric_that_makes_no_sense_is_refused() {
    let check = |components: &[(&str, f32)], expected: RubricError| {
        let components = components.iter().map(|&(name, weight)| Weighted::new(name, weight, fixed(&[])));
        assert_eq!(Rubric::new(components.collect()).err(), Some(expected));
    };
    check(&[], RubricError::NoComponents);
    check(&[("a", 1.0), ("b", 1.0), ("a", 2.0)], RubricError::DuplicateName { name: "a".to_owned() });
    check(&[("a", 1.0), ("", 1.0)], RubricError::EmptyName { component_idx: 1 });
    let infinite = f32::INFINITY;
    check(&[("a", infinite)], RubricError::Weight { name: "a".to_owned(), weight: infinite });
    let nan = Rubric::new(vec![Weighted::new("a", f32::NAN, fixed(&[]))]).err();
    assert!(matches!(nan, Some(RubricError::Weight { .. })), "{nan:?}");
}

#[test]
fn gold_is_checked_by_every_component() {
    let rubric = Rubric::new(vec![
        Weighted::new("countdown", 1.0, Box::new(Countdown::default())),
        Weighted::new("fixed", 1.0, fixed(&[])),
    ])
    .unwrap();
    assert!(matches!(rubric.check_gold(&problem()), Err(GoldError::Missing { field: "gold", .. })));
    let mut both = problem();
    both.gold.text = Some("24".to_owned());
    assert_eq!(rubric.check_gold(&both), Ok(()));
    both.gold.target = None;
    assert!(matches!(rubric.check_gold(&both), Err(GoldError::Missing { field: "target", .. })));
}

/// A problem judged by the rewards that its row names.
fn selecting(names: &[&str]) -> Problem {
    let mut problem = problem();
    problem.gold.fields.insert("rewards".to_owned(), serde_json::json!(names));
    problem
}

#[test]
fn a_problem_says_which_rewards_judge_it() {
    let parts = |a: &[Option<f32>], b: &[Option<f32>]| {
        Rubric::new(vec![Weighted::new("a", 1.0, fixed(a)), Weighted::new("b", 10.0, fixed(b))]).unwrap()
    };
    let rubric = parts(&[Some(1.0)], &[Some(1.0)]);
    let (all, first, none) = (problem(), selecting(&["a"]), selecting(&[]));
    let completions = [CompletionView::new("", 0, false)];
    let groups: Vec<JudgedGroup> = [&all, &first, &none].map(|problem| (problem, &completions[..])).into();
    let judged = rubric.judge_batch(&groups, 1);
    let rewards: Vec<Option<f32>> = judged.iter().map(|group| group[0].reward).collect();
    assert_eq!(rewards, [Some(11.0), Some(1.0), None]);
    assert_eq!(judged[1][0].components[1].verdict.rule, "not_selected");
    // `fixed` needs a gold text, and this problem has none: only what is selected is checked.
    assert!(rubric.check_gold(&all).is_err());
    assert_eq!(rubric.check_gold(&none), Ok(()));
    let error = rubric.check_gold(&selecting(&["c"])).unwrap_err().to_string();
    assert!(error.contains("`c`") && error.contains("a, b"), "{error}");
    let mut malformed = problem();
    malformed.gold.fields.insert("rewards".to_owned(), "a".into());
    assert!(matches!(rubric.check_gold(&malformed), Err(GoldError::Selection { .. })));
}

#[test]
fn weights_change_at_their_steps() {
    let weight = Weight::new(0.5, vec![(3, 0.0), (10, 2.0)]).unwrap();
    let rubric = Rubric::new(vec![Weighted::new("a", weight, fixed(&[Some(1.0)]))]).unwrap();
    let (problem, completions) = (problem(), [CompletionView::new("", 0, false)]);
    for (step, expected) in [(1, 0.5), (2, 0.5), (3, 0.0), (9, 0.0), (10, 2.0), (1000, 2.0)] {
        let judged = rubric.judge_batch(&[(&problem, &completions)], step);
        let reward = (expected != 0.0).then_some(expected);
        assert_eq!((judged[0][0].reward, judged[0][0].components[0].weight), (reward, expected), "{step}");
    }
    for bad in [vec![(5, 1.0), (5, 2.0)], vec![(9, 1.0), (2, 0.0)], vec![(1, 1.0)]] {
        assert!(Weight::new(1.0, bad.clone()).is_err(), "{bad:?}");
    }
}

#[test]
fn an_expression_sees_the_components_before_it() {
    let expression = |text: &str| Expression::new(text, &["a", "b"]).unwrap();
    let components = |text: &str| {
        vec![Weighted::new("a", 0.0, fixed(&[Some(1.0), None])), Weighted::expression("b", 1.0, expression(text))]
    };
    let rewards = rewards_of(components("a * 3 + step"), 2);
    assert_eq!(rewards, [Some(4.0), None], "where `a` does not apply, neither does what is made of it");
    let error = Rubric::new(components("b")).err().unwrap();
    assert_eq!(error, RubricError::Order { name: "b".to_owned(), of: "b".to_owned() });
}
