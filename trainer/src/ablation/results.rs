//! What the finished runs of an ablation have measured.

use super::runs::PlannedRun;
use super::statistics::area;
use crate::run::lines::{self, LineError};
use crate::telemetry::statistics::mean;
use crate::telemetry::{EvalRow, MetricsRow, Summary};

/// A finished run.
pub(super) struct RunResult {
    /// Number of its arm.
    pub arm: usize,
    /// Its seed.
    pub seed: u64,
    evals: Vec<EvalRow>,
    metrics: Vec<MetricsRow>,
    /// Seconds it took, all its starts together.
    pub wall_seconds: f64,
    /// Prompt and completion tokens.
    pub num_tokens: u64,
}

/// Of the steps of a metric that is noisy from step to step, the last so many parts are its final value.
const FINAL_PART: usize = 10;

impl RunResult {
    /// Reads a run; none if it has not ended.
    ///
    /// # Errors
    /// If one of its logs cannot be read.
    pub fn read(run: &PlannedRun) -> Result<Option<RunResult>, LineError> {
        // One that is to be made longer is not done either.
        let whole = |summary: &Summary| summary.stages.last().is_some_and(|stage| stage.steps == run.n_steps());
        let Some(summary) = run.summary().filter(whole) else { return Ok(None) };
        let evals = lines::read(&run.folder.join("eval.jsonl"))?;
        let metrics = lines::read(&run.folder.join("metrics.jsonl"))?;
        let Summary { wall_seconds, num_tokens, .. } = summary;
        Ok(Some(RunResult { arm: run.arm, seed: run.seed, evals, metrics, wall_seconds, num_tokens }))
    }

    /// The values of a metric by step, in the last stage that has it; without those that are no numbers.
    pub fn curve(&self, metric: &str) -> Vec<(f64, f64)> {
        let of_eval: Option<fn(&EvalRow) -> f64> = match metric {
            "eval/pass_at_1" => Some(|row| row.result.pass_at_1),
            "eval/format" => Some(|row| row.result.format),
            "eval/mean_tokens" => Some(|row| row.result.mean_tokens),
            _ => None,
        };
        let points: Vec<(&str, f64, f64)> = match of_eval {
            Some(value) => self.evals.iter().map(|row| (row.stage.as_str(), row.step as f64, value(row))).collect(),
            None => {
                let points = self.metrics.iter().filter_map(|row| {
                    let value = row.metrics.get(metric).filter(|value| value.is_finite())?;
                    Some((row.stage.as_str(), row.step as f64, value))
                });
                points.collect()
            }
        };
        let Some(&(last_stage, _, _)) = points.last() else { return Vec::new() };
        points.iter().filter(|(stage, _, _)| *stage == last_stage).map(|&(_, step, value)| (step, value)).collect()
    }

    /// What a metric ended at: the last evaluation, or the mean over the last tenth of the steps.
    pub fn last(&self, metric: &str) -> Option<f64> {
        let values: Vec<f64> = self.curve(metric).into_iter().map(|(_, value)| value).collect();
        let n_last = if metric.starts_with("eval/") { 1 } else { values.len().div_ceil(FINAL_PART) };
        (!values.is_empty()).then(|| mean(&values[values.len() - n_last..]))
    }

    /// The mean height of its curve.
    pub fn area(&self, metric: &str) -> Option<f64> {
        area(&self.curve(metric))
    }

    /// The names of all metrics of its steps.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.metrics.iter().flat_map(|row| row.metrics.iter().map(|(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run whose reward rises by 1 a step, from a stage of ten steps before it; it was evaluated three times.
    fn run(folder: &std::path::Path) -> RunResult {
        let before = (1..=10).map(|step| format!("{{\"stage\":\"before\",\"step\":{step},\"reward\":99.0}}\n"));
        let steps =
            (1..=20).map(|step| format!("{{\"stage\":\"rl\",\"step\":{step},\"reward\":{step}.0,\"kl\":null}}\n"));
        std::fs::write(folder.join("metrics.jsonl"), before.chain(steps).collect::<String>()).unwrap();
        let eval = |(step, right): (u64, f64)| {
            format!(
                "{{\"stage\":\"rl\",\"step\":{step},\"pass_at_1\":{right},\"pass_at_1_ci95\":[0.0,1.0],\"format\":0.5,\
                 \"mean_tokens\":7.0,\"n_problems\":4,\"samples_per_problem\":1,\"seconds\":1.0}}\n"
            )
        };
        let evals = [(0, 0.0), (10, 0.5), (20, 1.0)].map(eval);
        std::fs::write(folder.join("eval.jsonl"), evals.concat()).unwrap();
        RunResult {
            arm: 0,
            seed: 1,
            evals: lines::read(&folder.join("eval.jsonl")).unwrap(),
            metrics: lines::read(&folder.join("metrics.jsonl")).unwrap(),
            num_tokens: 0,
            wall_seconds: 0.0,
        }
    }

    #[test]
    fn curves_end_in_the_last_evaluation_or_tenth_of_the_steps() {
        let folder = tempfile::tempdir().unwrap();
        let run = run(folder.path());
        let check = |metric: &str, last: Option<f64>, area: Option<f64>, n_points: usize| {
            assert_eq!(
                (run.last(metric), run.area(metric), run.curve(metric).len()),
                (last, area, n_points),
                "{metric}"
            );
        };
        check("eval/pass_at_1", Some(1.0), Some(0.5), 3);
        check("eval/mean_tokens", Some(7.0), Some(7.0), 3);
        // The last two of twenty steps, of the last stage alone.
        check("reward", Some(19.5), Some(10.5), 20);
        check("kl", None, None, 0);
        check("no_such", None, None, 0);
    }
}
