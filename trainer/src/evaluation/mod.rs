//! What samples of held-out problems say about a policy: numbers with intervals, and nothing that samples.
//!
//! Pure functions over what has been judged. [docs/evaluation.md](../../../docs/evaluation.md) has the definitions.
//!
//! - `pass`: pass@k; `vote`: cons@k; `estimate`: means over problems with 95 % intervals;
//! - `summary`: all of it over a set of problems and over its parts;
//! - `results`: models side by side, as tables;
//! - `scaling`: s1's measures of accuracy against thinking tokens.

mod estimate;
mod pass;
mod results;
mod scaling;
mod summary;
mod vote;

pub use estimate::{Estimate, Range, wilson};
pub use pass::pass_at_k;
pub use results::{BudgetCurve, BudgetPoint, Results, SetResult, columns};
pub use scaling::{Control, Scaling};
pub use summary::{Asked, Label, Measured, Measures, Metric, Part, Sample, Score, Summary};
pub use vote::voted;

#[cfg(test)]
mod tests {
    /// What scripts/golden/evaluation.py computed.
    pub(super) fn golden() -> serde_json::Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/evaluation.json");
        serde_json::from_str(&std::fs::read_to_string(path).expect("the golden file")).expect("JSON")
    }
}
