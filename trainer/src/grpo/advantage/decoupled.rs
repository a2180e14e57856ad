//! Advantages of several rules, each normalised by itself: GDPO.

use super::{AdvantageRule, Moments, narrow};

/// The score of one rule for one completion, with its weight; `None` where the rule did not apply.
pub type WeightedScore = (f64, Option<f32>);

/// Advantages by GDPO (arXiv 2601.05242), as TRL computes them (`multi_objective_aggregation = "normalize_then_sum"`): each
/// rule's scores are centred on their group's mean and divided by its deviation + epsilon, the weighted sum of these is
/// centred on the batch's mean and divided by the batch's deviation + epsilon. So a rule with a small spread counts as much
/// as one with a large spread.
///
/// - `groups`: for each group and completion the scores of all rules, in one order
/// - `rule`: how deviations are estimated; baseline and scale are given by GDPO
/// - Result: one advantage for each completion; 0 where no rule applied
pub fn decoupled_advantages(groups: &[Vec<Vec<WeightedScore>>], rule: &AdvantageRule) -> Vec<Vec<f32>> {
    let wide =
        |scores: &Vec<WeightedScore>| scores.iter().map(|&(weight, score)| (weight, score.map(f64::from))).collect();
    let groups: Vec<Vec<WideScores>> = groups.iter().map(|group| group.iter().map(wide).collect()).collect();
    narrow(decoupled_in_float64(&groups, rule))
}

/// The scores of one completion in float64.
pub(super) type WideScores = Vec<(f64, Option<f64>)>;

/// [`decoupled_advantages`] before the result is rounded to float32.
pub(super) fn decoupled_in_float64(groups: &[Vec<WideScores>], rule: &AdvantageRule) -> Vec<Vec<f64>> {
    let sums: Vec<Vec<Option<f64>>> = groups.iter().map(|group| sums_of_normalised(group, rule)).collect();
    let Moments { mean, std } = rule.moments(sums.iter().flatten().flatten().copied());
    let whitened = |sum: &Option<f64>| sum.map_or(0.0, |sum| (sum - mean) / (std + rule.epsilon));
    sums.iter().map(|group| group.iter().map(whitened).collect()).collect()
}

fn sums_of_normalised(group: &[WideScores], rule: &AdvantageRule) -> Vec<Option<f64>> {
    let n_rules = group.first().map_or(0, Vec::len);
    let of_rule = |index: usize| group.iter().filter_map(move |scores| scores[index].1);
    let moments: Vec<Moments> = (0..n_rules).map(|index| rule.moments(of_rule(index))).collect();
    let sum = |scores: &WideScores| {
        // A weight of 0 only records: such a rule makes no reward where no other applies.
        let counted = scores.iter().zip(&moments).filter(|((weight, _), _)| *weight != 0.0);
        let terms = counted.filter_map(|(&(weight, score), Moments { mean, std })| {
            Some(weight * (score? - mean) / (std + rule.epsilon))
        });
        terms.reduce(|sum, term| sum + term)
    };
    group.iter().map(sum).collect()
}
