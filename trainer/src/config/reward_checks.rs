//! What the keys of every reward may hold.

use super::checks::Section;
use super::rewards::Judge;

/// Domains have names, and what they limit judges completions itself.
pub(super) fn domains(domains: &[String], judge: &Judge, at: &mut Section<'_, '_>) {
    if domains.iter().any(|domain| domain.trim().is_empty()) {
        at.fail("domains", "a domain is empty", "expected names such as [\"math\"]", "");
    }
    if !domains.is_empty() && matches!(judge, Judge::Expression { .. }) {
        let help = "give `domains` to the rewards that it is computed from";
        at.fail("domains", "an expression has no domains of its own", "not here", help);
    }
}

/// Weights are finite, and those by step stand in order.
pub(super) fn weights(weight: f64, from_step: &[(u64, f64)], at: &mut Section<'_, '_>) {
    let fits = |weight: f64| (weight as f32).is_finite();
    at.holds("weight", weight, fits(weight), "expected a finite number", "weights are float32");
    let changes: Vec<(u64, f32)> = from_step.iter().map(|&(step, weight)| (step, weight as f32)).collect();
    if let Err(error) = rewards::Weight::new(weight as f32, changes) {
        at.fail("weight_from_step", error.to_string(), "expected [[step, weight], ..] in order", "");
    }
    if from_step.iter().any(|&(_, weight)| !fits(weight)) {
        at.fail("weight_from_step", "a weight is not finite", "expected finite numbers", "weights are float32");
    }
}
