//! The weighted sum of several rules, with its breakdown.

use serde::{Deserialize, Serialize};

use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

/// A rule with its name and weight in a [`Rubric`].
pub struct Weighted {
    name: String,
    weight: f32,
    reward_fn: Box<dyn RewardFn>,
}

impl Weighted {
    /// `reward_fn` as the component `name`, which enters the sum times `weight`. A negative weight makes a penalty, and a
    /// weight of zero a component that is only recorded.
    pub fn new(name: impl Into<String>, weight: f32, reward_fn: Box<dyn RewardFn>) -> Self {
        Self { name: name.into(), weight, reward_fn }
    }
}

/// The weighted sum of rules: what a completion earns, and what each rule said to it.
pub struct Rubric {
    components: Vec<Weighted>,
}

/// Why a rubric cannot be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RubricError {
    /// There is nothing to judge by.
    #[error("a rubric needs at least one reward")]
    NoComponents,
    /// Two components would share one column of the log.
    #[error("reward `{name}` is named twice: names must differ")]
    DuplicateName {
        /// The repeated name.
        name: String,
    },
    /// A component without a name.
    #[error("reward number {component_idx} (counted from 0) has an empty name")]
    EmptyName {
        /// Its place in the list.
        component_idx: usize,
    },
    /// A weight that would make every sum meaningless.
    #[error("reward `{name}` has weight {weight}: it must be a finite number")]
    Weight {
        /// The component.
        name: String,
        /// Its weight.
        weight: f32,
    },
}

/// What a completion earned, and how the sum came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// `r_i`: sum of weight times score over the components that apply, finite. `None` if none applies: such a completion
    /// leaves the group's baseline.
    pub reward: Option<f32>,
    /// One entry for each component of the rubric, in its order.
    pub components: Vec<Component>,
}

/// One summand of a [`Judgement`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Name of the component in the rubric.
    pub name: String,
    /// Its weight in the sum.
    pub weight: f32,
    /// What its rule found.
    pub verdict: Verdict,
}

impl Rubric {
    /// The weighted sum of `components`, which keep their order in every [`Judgement`].
    ///
    /// # Errors
    ///
    /// [`RubricError`] if there is no component, a name is empty or repeated, or a weight is not finite.
    pub fn new(components: Vec<Weighted>) -> Result<Self, RubricError> {
        if components.is_empty() {
            return Err(RubricError::NoComponents);
        }
        for (component_idx, component) in components.iter().enumerate() {
            if component.name.is_empty() {
                return Err(RubricError::EmptyName { component_idx });
            }
            if components[..component_idx].iter().any(|earlier| earlier.name == component.name) {
                return Err(RubricError::DuplicateName { name: component.name.clone() });
            }
            if !component.weight.is_finite() {
                return Err(RubricError::Weight { name: component.name.clone(), weight: component.weight });
            }
        }
        Ok(Self { components })
    }

    /// Names and weights of the components, in order.
    pub fn components(&self) -> impl Iterator<Item = (&str, f32)> {
        self.components.iter().map(|component| (component.name.as_str(), component.weight))
    }

    /// Whether every component can judge `problem`.
    ///
    /// # Errors
    ///
    /// The first component's [`GoldError`].
    pub fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        self.components.iter().try_for_each(|component| component.reward_fn.check_gold(problem))
    }

    /// Judges the completions of one problem by every component; the result has their number and order.
    pub fn judge_group(&self, problem: &Problem, completions: &[CompletionView<'_>]) -> Vec<Judgement> {
        let mut judgements: Vec<Judgement> =
            completions.iter().map(|_| Judgement { reward: None, components: Vec::new() }).collect();
        for component in &self.components {
            let verdicts = component.reward_fn.judge_group(problem, completions);
            for (judgement, verdict) in judgements.iter_mut().zip(one_each(verdicts, completions.len())) {
                judgement.components.push(Component {
                    name: component.name.clone(),
                    weight: component.weight,
                    verdict: finite(verdict),
                });
            }
        }
        for judgement in &mut judgements {
            judgement.reward = weighted_sum(&judgement.components);
        }
        judgements
    }
}

/// `verdicts` if there is one for each completion. A rule that returned another number has lost track of which belongs to
/// which, so none of them can be used.
fn one_each(verdicts: Vec<Verdict>, n_completions: usize) -> Vec<Verdict> {
    if verdicts.len() == n_completions {
        return verdicts;
    }
    let reason = format!("the reward returned {} verdicts for {n_completions} completions", verdicts.len());
    vec![Verdict::not_applicable("verdict_count", reason); n_completions]
}

/// `verdict`, without a score that would poison the group's mean.
fn finite(verdict: Verdict) -> Verdict {
    match verdict.score {
        Some(score) if !score.is_finite() => {
            let reason = format!("the reward returned the score {score}: {}", verdict.reason);
            Verdict { score: None, reason: reason.into(), rule: "non_finite_score".into(), ..verdict }
        }
        _ => verdict,
    }
}

fn weighted_sum(components: &[Component]) -> Option<f32> {
    // In float64, so that the order of the components cannot show in a float32 reward.
    let terms = components.iter().filter_map(|c| c.verdict.score.map(|score| f64::from(c.weight) * f64::from(score)));
    let sum = terms.reduce(|sum, term| sum + term)?;
    Some(sum.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32)
}

#[cfg(test)]
mod tests {
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
            assert_eq!(names, rubric.components().collect::<Vec<_>>());
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
}
