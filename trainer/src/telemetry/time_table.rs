//! Where the time went: the parts of the steps of a stage.

use super::format::{compact, duration};
use super::metrics::{MetricsRow, names};
use super::table;

/// The parts of a step, which add up to it, and what they are called.
const PARTS: [(&str, &str); 13] = [
    (names::TIMING_PREFILL, "sampling: prompts"),
    (names::TIMING_DECODE_NETWORK, "sampling: network"),
    (names::TIMING_DECODE_DRAW, "sampling: drawing"),
    (names::TIMING_DECODE_TEXT, "sampling: text and stops"),
    (names::TIMING_IDLE, "sampling: idle engines"),
    (names::TIMING_REWARD, "rewards, waited for"),
    (names::TIMING_REFERENCE, "reference"),
    (names::TIMING_OLD_LOGPROBS, "old log-probabilities"),
    (names::TIMING_FORWARD, "update: forward"),
    (names::TIMING_HEAD, "update: head and loss"),
    (names::TIMING_BACKWARD, "update: backward"),
    (names::TIMING_OPTIMIZER, "update: optimiser"),
    (names::TIMING_OTHER, "other"),
];

/// A stage's time by parts.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeTable {
    stage: String,
    rows: Vec<[String; 3]>,
    notes: Vec<String>,
}

impl TimeTable {
    /// The table of each stage that says where its time went, in the order of their first rows.
    pub fn of(metrics: &[MetricsRow]) -> Vec<TimeTable> {
        let mut stages: Vec<&str> = Vec::new();
        for row in metrics {
            if !stages.contains(&row.stage.as_str()) {
                stages.push(&row.stage);
            }
        }
        stages.into_iter().filter_map(|stage| TimeTable::of_stage(stage, metrics)).collect()
    }

    /// The stage it is of.
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let notes: String = self.notes.iter().map(|note| format!("\n{note}")).collect();
        format!("{}{notes}", table::text(&self.rows))
    }

    /// For `report.md`.
    pub fn markdown(&self) -> String {
        let notes: String = self.notes.iter().map(|note| format!("- {note}\n")).collect();
        format!("## Where the time went: {}\n\n{}\n{notes}", self.stage, table::markdown(&self.rows))
    }

    fn of_stage(stage: &str, metrics: &[MetricsRow]) -> Option<TimeTable> {
        let column = |name: &str| -> Vec<f64> {
            let of_stage = metrics.iter().filter(|row| row.stage == stage);
            of_stage.filter_map(|row| row.metrics.get(name)).filter(|value| value.is_finite()).collect()
        };
        let steps = column(names::STEP_TIME);
        let total: f64 = steps.iter().sum();
        let mut rows = vec![["part of a step".to_owned(), "median, s".to_owned(), "share".to_owned()]];
        for (name, label) in PARTS {
            let values = column(name);
            let sum: f64 = values.iter().sum();
            if sum > 0.0 {
                rows.push([label.to_owned(), seconds(median(values)), format!("{:.1} %", 100.0 * sum / total)]);
            }
        }
        if rows.len() == 1 {
            return None;
        }
        let n_steps = steps.len();
        rows.push([format!("step, {n_steps} of them"), seconds(median(steps)), "100 %".to_owned()]);
        let mut notes = Vec::new();
        for (what, tokens, flops, share) in [
            ("sampling", names::TOKENS_PER_SECOND, names::SAMPLING_FLOPS, names::SAMPLING_PEAK_SHARE),
            ("update", names::TRAINING_TOKENS_PER_SECOND, names::TRAINING_FLOPS, names::TRAINING_PEAK_SHARE),
        ] {
            let [tokens, flops, share] = [column(tokens), column(flops), column(share)].map(median);
            if tokens.is_finite() && flops.is_finite() {
                let share =
                    if share.is_finite() { format!(", {:.0} % of the peak", 100.0 * share) } else { String::new() };
                notes.push(format!("{what}: {} tokens/s, {} FLOP/s{share}", compact(tokens), compact(flops)));
            }
        }
        let sum = |name: &str| column(name).iter().sum::<f64>();
        if !column(names::TIMING_REWARD_BESIDE).is_empty() {
            notes.push(format!(
                "rewards computed beside sampling: {}; between steps: evaluations {}, checkpoints {}",
                duration(sum(names::TIMING_REWARD_BESIDE)),
                duration(sum(names::TIMING_EVALUATION)),
                duration(sum(names::TIMING_CHECKPOINT)),
            ));
        }
        Some(TimeTable { stage: stage.to_owned(), rows, notes })
    }
}

fn seconds(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// NaN of no numbers.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::metrics::StepMetrics;
    use super::*;

    fn row(stage: &str, step: u64, parts: &[(&str, f64)]) -> MetricsRow {
        let mut metrics = StepMetrics::new();
        parts.iter().for_each(|(name, value)| metrics.set(*name, *value));
        MetricsRow { stage: stage.to_owned(), step, metrics }
    }

    #[test]
    fn medians_and_shares_of_each_stage() {
        let of = |step, network: f64, forward: f64| {
            let parts = [
                (names::STEP_TIME, network + forward),
                (names::TIMING_DECODE_NETWORK, network),
                (names::TIMING_FORWARD, forward),
                (names::TOKENS_PER_SECOND, 1000.0 * network),
                (names::SAMPLING_FLOPS, 2e9),
                (names::TIMING_REWARD_BESIDE, 0.25),
                (names::TIMING_CHECKPOINT, 40.0),
            ];
            row("rl", step, &parts)
        };
        let metrics = [row("base", 1, &[(names::STEP_TIME, 1.0)]), of(1, 1.0, 1.0), of(2, 2.0, 3.0), of(3, 9.0, 4.0)];
        let tables = TimeTable::of(&metrics);
        assert_eq!(tables.iter().map(TimeTable::stage).collect::<Vec<_>>(), ["rl"], "the base says nothing of parts");
        let expected = "\
part of a step      median, s    share
──────────────────────────────────────
sampling: network       2.000   60.0 %
update: forward         3.000   40.0 %
step, 3 of them         5.000    100 %
sampling: 2.00k tokens/s, 2.00G FLOP/s
rewards computed beside sampling: 1 s; between steps: evaluations 0 s, checkpoints 2 min 00 s";
        assert_eq!(tables[0].text(), expected);
        assert!(tables[0].markdown().contains("| sampling: network | 2.000 | 60.0 % |\n"), "{}", tables[0].markdown());
        assert!(TimeTable::of(&[]).is_empty());
    }

    #[test]
    fn medians() {
        assert_eq!([median(vec![3.0, 1.0, 2.0]), median(vec![4.0, 1.0, 2.0, 3.0])], [2.0, 2.5]);
        assert!(median(Vec::new()).is_nan());
    }
}
