//! The weighted sum of several rules, with its breakdown.

mod weight;

use serde::{Deserialize, Serialize};

use crate::expression::{Expression, Facts};
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};
pub use weight::{Weight, WeightOrder};

/// A rule with its name and weight in a [`Rubric`].
pub struct Weighted {
    name: String,
    weight: Weight,
    rule: Rule,
}

/// What a component of a rubric judges by.
enum Rule {
    /// The completion.
    Judge(Box<dyn RewardFn>),
    /// The verdicts of the components before it.
    Expression(Expression),
}

impl Weighted {
    /// `reward_fn` as the component `name`, which enters the sum times `weight`. A negative weight makes a penalty, and a
    /// weight of zero a component that is only recorded.
    pub fn new(name: impl Into<String>, weight: impl Into<Weight>, reward_fn: Box<dyn RewardFn>) -> Self {
        Self { name: name.into(), weight: weight.into(), rule: Rule::Judge(reward_fn) }
    }

    /// An expression over the components before it, and over facts about the completion.
    pub fn expression(name: impl Into<String>, weight: impl Into<Weight>, expression: Expression) -> Self {
        Self { name: name.into(), weight: weight.into(), rule: Rule::Expression(expression) }
    }
}

/// The weighted sum of rules: what a completion earns, and what each rule said to it.
pub struct Rubric {
    components: Vec<Weighted>,
    /// Names that problems may select beside those of the components.
    also_known: Vec<String>,
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
    /// An expression over something that stands behind it, or nowhere.
    #[error("reward `{name}` is computed from `{of}`, which does not come before it")]
    Order {
        /// The component.
        name: String,
        /// What it needs.
        of: String,
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
    /// Its weight in the sum, at the step that was judged.
    pub weight: f32,
    /// What its rule found.
    pub verdict: Verdict,
}

/// The completions of one problem.
pub type JudgedGroup<'a> = (&'a Problem, &'a [CompletionView<'a>]);

impl Rubric {
    /// The weighted sum of `components`, which keep their order in every [`Judgement`].
    ///
    /// # Errors
    ///
    /// [`RubricError`] if there is no component, a name is empty or repeated, a weight is not finite, or an expression
    /// looks at a component that does not come before it.
    pub fn new(components: Vec<Weighted>) -> Result<Self, RubricError> {
        if components.is_empty() {
            return Err(RubricError::NoComponents);
        }
        for (component_idx, component) in components.iter().enumerate() {
            let (before, name) = (&components[..component_idx], || component.name.clone());
            if component.name.is_empty() {
                return Err(RubricError::EmptyName { component_idx });
            }
            if before.iter().any(|earlier| earlier.name == component.name) {
                return Err(RubricError::DuplicateName { name: name() });
            }
            if let Some(weight) = component.weight.values().find(|weight| !weight.is_finite()) {
                return Err(RubricError::Weight { name: name(), weight });
            }
            if let Rule::Expression(expression) = &component.rule
                && let Some(later) = components[component_idx..].iter().find(|other| expression.uses(&other.name))
            {
                return Err(RubricError::Order { name: name(), of: later.name.clone() });
            }
        }
        Ok(Self { components, also_known: Vec::new() })
    }

    /// The same rubric, for problems that may also select rewards of these names, which are not asked here.
    #[must_use]
    pub fn knowing(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.also_known.extend(names);
        self
    }

    /// Names of the components, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.components.iter().map(|component| component.name.as_str())
    }

    /// Whether an expression looks at the feature `name`.
    pub fn uses(&self, name: &str) -> bool {
        let uses = |component: &Weighted| matches!(&component.rule, Rule::Expression(e) if e.uses(name));
        self.components.iter().any(uses)
    }

    /// Whether a judgement depends on what else is in the batch: then a step has to be judged as a whole.
    pub fn compares_groups(&self) -> bool {
        let compares = |component: &Weighted| matches!(&component.rule, Rule::Judge(rule) if rule.compares_groups());
        self.components.iter().any(compares)
    }

    /// Whether every component that is to judge `problem` can.
    ///
    /// # Errors
    ///
    /// The first component's [`GoldError`], or [`GoldError::Selection`] if the problem names a reward that there is not.
    pub fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        if let Some(selected) = problem.selected_rewards()? {
            let known = || self.names().chain(self.also_known.iter().map(String::as_str));
            let unknown = selected.iter().find(|name| !known().any(|known| known == **name));
            if let Some(name) = unknown {
                let known = known().collect::<Vec<_>>().join(", ");
                let reason = format!("names `{name}`, and the rewards here are {known}");
                return Err(GoldError::Selection { reason });
            }
        }
        let mut judges = self.components.iter().filter(|component| problem.selects(&component.name));
        judges.try_for_each(|component| component.rule.check_gold(problem))
    }

    /// Judges the completions of one problem, as in the first step; the result has their number and order.
    pub fn judge_group(&self, problem: &Problem, completions: &[CompletionView<'_>]) -> Vec<Judgement> {
        self.judge_batch(&[(problem, completions)], 1).pop().unwrap_or_default()
    }

    /// Judges groups of completions, side by side, by every component that each problem selects; the result has their
    /// number and order.
    ///
    /// - `step`: counted from 1; weights and expressions may depend on it
    pub fn judge_batch(&self, groups: &[JudgedGroup<'_>], step: u64) -> Vec<Vec<Judgement>> {
        let empty = Judgement { reward: None, components: Vec::new() };
        let mut judgements: Vec<Vec<Judgement>> =
            groups.iter().map(|(_, completions)| vec![empty.clone(); completions.len()]).collect();
        for component in &self.components {
            let verdicts = component.judge(groups, &judgements, step);
            let weight = component.weight.at(step);
            let texts = groups.iter().flat_map(|(_, completions)| completions.iter().map(|completion| completion.text));
            let judged = verdicts.into_iter().flatten().zip(texts);
            for (judgement, (verdict, text)) in judgements.iter_mut().flatten().zip(judged) {
                let verdict = verdict.sound(text);
                judgement.components.push(Component { name: component.name.clone(), weight, verdict });
            }
        }
        for judgement in judgements.iter_mut().flatten() {
            judgement.reward = weighted_sum(&judgement.components);
        }
        judgements
    }
}

impl Rule {
    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        match self {
            Self::Judge(reward_fn) => reward_fn.check_gold(problem),
            Self::Expression(_) => Ok(()),
        }
    }

    /// - `so_far`: the judgements by the components before this one
    fn judge(&self, groups: &[JudgedGroup<'_>], so_far: &[&[Judgement]], step: u64) -> Vec<Vec<Verdict>> {
        match self {
            Self::Judge(reward_fn) => reward_fn.judge_batch(groups),
            Self::Expression(expression) => {
                let pairs = groups.iter().zip(so_far);
                pairs.map(|((_, group), judgements)| by_expression(expression, group, judgements, step)).collect()
            }
        }
    }
}

fn by_expression(
    expression: &Expression,
    group: &[CompletionView<'_>],
    judgements: &[Judgement],
    step: u64,
) -> Vec<Verdict> {
    let one = |(completion, judgement): (&CompletionView<'_>, &Judgement)| {
        let of = |name: &str| judgement.components.iter().find(|c| c.name == name).map(|c| c.verdict.score);
        expression.judge(&Facts { completion, group, step }, of)
    };
    group.iter().zip(judgements).map(one).collect()
}

impl Weighted {
    /// A verdict for each completion of each group, whether the group selects this component or not.
    fn judge(&self, groups: &[JudgedGroup<'_>], so_far: &[Vec<Judgement>], step: u64) -> Vec<Vec<Verdict>> {
        let selects: Vec<bool> = groups.iter().map(|(problem, _)| problem.selects(&self.name)).collect();
        let judged: Vec<JudgedGroup<'_>> =
            groups.iter().zip(&selects).filter(|(_, selects)| **selects).map(|(group, _)| *group).collect();
        let of_judged: Vec<&[Judgement]> =
            so_far.iter().zip(&selects).filter(|(_, selects)| **selects).map(|(group, _)| group.as_slice()).collect();
        let mut verdicts = self.rule.judge(&judged, &of_judged, step).into_iter();
        let mut all = Vec::with_capacity(groups.len());
        for ((_, completions), selects) in groups.iter().zip(selects) {
            all.push(if selects {
                one_each(verdicts.next().unwrap_or_default(), completions.len())
            } else {
                vec![Verdict::not_applicable("not_selected", "the problem names other rewards"); completions.len()]
            });
        }
        all
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

/// A component of weight 0 is only recorded: where nothing else applies, there is no reward. (TRL's sum counts it, as 0.)
fn weighted_sum(components: &[Component]) -> Option<f32> {
    let components = components.iter().filter(|component| component.weight != 0.0);
    // In float64, so that the order of the components cannot show in a float32 reward.
    let terms = components.filter_map(|c| c.verdict.score.map(|score| f64::from(c.weight) * f64::from(score)));
    let sum = terms.reduce(|sum, term| sum + term)?;
    Some(sum.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32)
}

#[cfg(test)]
mod tests;
