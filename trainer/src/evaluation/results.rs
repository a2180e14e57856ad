//! Models side by side on sets of problems: the figures of an evaluation, and its tables.

use serde::Serialize;

use super::{Asked, Control, Estimate, Measured, Measures, Metric, Scaling, Summary};

/// All figures of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// The name of the stage, or of whatever asked.
    pub stage: String,
    /// The models, in the order of the rows of tables.
    pub models: Vec<String>,
    /// Every model on every set, model by model.
    pub results: Vec<SetResult>,
}

/// A model on a set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetResult {
    /// The model.
    pub model: String,
    /// The set.
    pub set: String,
    /// What its samples say.
    #[serde(flatten)]
    pub summary: Summary,
    /// Accuracy against thinking tokens, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetCurve>,
}

/// Accuracy against thinking tokens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BudgetCurve {
    /// By thinking tokens, the fewest first.
    pub points: Vec<BudgetPoint>,
    /// What they say together; none where no reward says what is right.
    pub scaling: Option<Scaling>,
    /// The share of completions within their bounds, over all points that have bounds.
    pub control: Option<Control>,
}

/// One way of budgeting thoughts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BudgetPoint {
    /// The tokens after which thoughts were ended; none where they were not.
    pub cap: Option<u64>,
    /// How many times they were kept going; none where they were not.
    pub waits: Option<u64>,
    /// Mean thinking tokens of a completion.
    pub thinking_tokens: f64,
    /// pass@1; none where no reward says what is right.
    pub accuracy: Option<Estimate>,
    /// The share of completions that keep to the cap.
    pub control: Option<Control>,
}

impl BudgetPoint {
    /// Its name in tables.
    pub fn name(&self) -> String {
        match (self.cap, self.waits) {
            (Some(tokens), _) => format!("cap {tokens}"),
            (None, Some(times)) => format!("wait {times}"),
            (None, None) => "as it is".to_owned(),
        }
    }
}

impl BudgetCurve {
    /// The curve through points; none through none.
    pub fn of(mut points: Vec<BudgetPoint>) -> Option<Self> {
        points.sort_by(|a, b| a.thinking_tokens.total_cmp(&b.thinking_tokens));
        let known: Vec<(f64, f64)> =
            points.iter().filter_map(|point| Some((point.thinking_tokens, point.accuracy?.mean))).collect();
        let controls: Vec<Control> = points.iter().filter_map(|point| point.control).collect();
        let n: usize = controls.iter().map(|control| control.n).sum();
        let kept: f64 = controls.iter().map(|control| control.fraction * control.n as f64).sum();
        let control = (n > 0).then(|| Control { n, fraction: kept / n as f64 });
        (!points.is_empty()).then(|| Self { scaling: Scaling::of(&known), control, points })
    }
}

impl SetResult {
    /// What the samples of a model to a set say.
    pub fn new(model: &str, set: &str, asked: &[Asked], measures: &Measures, budget: Vec<BudgetPoint>) -> Self {
        let (model, set) = (model.to_owned(), set.to_owned());
        Self { model, set, summary: Summary::of(asked, measures), budget: BudgetCurve::of(budget) }
    }

    /// The first figures, for a line of a log.
    pub fn in_short(&self) -> String {
        let first = [Metric::PassAt(1), Metric::Format, Metric::Tokens];
        let one = |metric: &Metric| Some(format!("{metric} {}", cell(metric, &self.summary.get(metric)?)));
        first.iter().filter_map(one).collect::<Vec<_>>().join("  ")
    }
}

impl Results {
    /// The curves, where thinking was budgeted: model, set, curve.
    pub fn budgets(&self) -> impl Iterator<Item = (&str, &str, &BudgetCurve)> {
        self.results.iter().filter_map(|result| Some((&*result.model, &*result.set, result.budget.as_ref()?)))
    }

    /// The points of all curves as comma-separated values; none where thinking was not budgeted.
    pub fn budget_csv(&self) -> Option<String> {
        let mut text = "set,model,point,thinking_tokens,accuracy,low,high,control\n".to_owned();
        let mut any = false;
        for (model, set, curve) in self.budgets() {
            any = true;
            for point in &curve.points {
                let show = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
                let [low, high] = [0, 1].map(|end| show(point.accuracy.and_then(|a| Some(a.interval?[end]))));
                let accuracy = show(point.accuracy.map(|accuracy| accuracy.mean));
                let control = show(point.control.map(|control| control.fraction));
                let (name, tokens) = (point.name(), point.thinking_tokens);
                text += &format!("{set},{model},{name},{tokens:.3},{accuracy},{low},{high},{control}\n");
            }
        }
        any.then_some(text)
    }

    /// The sets in their order, each with what the models have come to on it.
    pub fn by_set(&self) -> Vec<(&str, Vec<&SetResult>)> {
        let mut sets: Vec<(&str, Vec<&SetResult>)> = Vec::new();
        for result in &self.results {
            match sets.iter_mut().find(|(set, _)| *set == result.set) {
                Some((_, own)) => own.push(result),
                None => sets.push((&result.set, vec![result])),
            }
        }
        sets
    }

    /// The tables: for each set one row a model and one column a metric, then its parts, then the budgets.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for (set, own) in self.by_set() {
            let Summary { n_problems, n_samples, .. } = own[0].summary;
            let problems = if n_problems == 1 { "problem" } else { "problems" };
            let each = if n_samples == 1 { "a sample" } else { "samples" };
            let n_samples = if n_samples == 1 { String::new() } else { format!("{n_samples} ") };
            if !text.is_empty() {
                text.push('\n');
            }
            text += &format!("### {set}: {n_problems} {problems}, {n_samples}{each} each\n\n{}", main_table(&own));
            for table in [parts_table(&own), budget_table(&own)].into_iter().flatten() {
                text += &format!("\n{table}");
            }
        }
        text
    }
}

/// What at least one of the models is measured by on a set, in the order of columns.
pub fn columns<'a>(results: &[&'a SetResult]) -> Vec<&'a Metric> {
    let mut columns: Vec<&Metric> = Vec::new();
    for measured in results.iter().flat_map(|result| &result.summary.metrics) {
        if !columns.contains(&&measured.metric) {
            columns.push(&measured.metric);
        }
    }
    columns
}

/// One row a model, one column a metric.
fn main_table(results: &[&SetResult]) -> String {
    let columns = columns(results);
    let head: Vec<String> =
        std::iter::once("model".to_owned()).chain(columns.iter().map(ToString::to_string)).collect();
    let row = |result: &&SetResult| {
        std::iter::once(result.model.clone())
            .chain(columns.iter().map(|metric| found(&result.summary.metrics, metric)))
            .collect()
    };
    table(&head, &results.iter().map(row).collect::<Vec<_>>())
}

/// pass@1, or scores where no answer is judged, format and tokens by part; none where the set has no parts.
fn parts_table(results: &[&SetResult]) -> Option<String> {
    let parts = &results.first()?.summary.parts;
    if parts.is_empty() {
        return None;
    }
    let mut metrics = columns(results);
    let has_answers = metrics.contains(&&Metric::PassAt(1));
    metrics.retain(|metric| match metric {
        Metric::PassAt(1) | Metric::Format | Metric::Tokens => true,
        Metric::Score(_) => !has_answers,
        Metric::PassAt(_) | Metric::ConsAt(_) | Metric::Greedy | Metric::ThinkingTokens | Metric::Truncated => false,
    });
    let mut rows = Vec::new();
    for result in results {
        for part in &result.summary.parts {
            let mut row =
                vec![result.model.clone(), format!("{} {}", part.by.key(), part.value), part.n_problems.to_string()];
            row.extend(metrics.iter().map(|metric| found(&part.metrics, metric)));
            rows.push(row);
        }
    }
    let head = ["model", "part", "problems"].map(str::to_owned).into_iter();
    let head: Vec<String> = head.chain(metrics.iter().map(ToString::to_string)).collect();
    Some(table(&head, &rows))
}

/// Points of the curves and what they come to; none where thinking was not budgeted.
fn budget_table(results: &[&SetResult]) -> Option<String> {
    let mut rows = Vec::new();
    for result in results {
        let Some(curve) = &result.budget else { continue };
        for point in &curve.points {
            rows.push(vec![
                result.model.clone(),
                point.name(),
                format!("{:.1}", point.thinking_tokens),
                point.accuracy.map_or(String::new(), |accuracy| cell(&Metric::PassAt(1), &accuracy)),
                point.control.map_or(String::new(), |control| format!("{:.3}", control.fraction)),
            ]);
        }
    }
    if rows.is_empty() {
        return None;
    }
    let head = ["model", "thoughts", "thinking tokens", "pass@1", "control"].map(str::to_owned).to_vec();
    let mut text = table(&head, &rows);
    let scalings: Vec<Vec<String>> = results
        .iter()
        .filter_map(|result| {
            let curve = result.budget.as_ref()?;
            let scaling = curve.scaling?;
            let slope = scaling.slope.map_or("none".to_owned(), |slope| format!("{slope:+.3}"));
            let control = curve.control.map_or(String::new(), |control| format!("{:.3}", control.fraction));
            Some(vec![result.model.clone(), control, slope, format!("{:.3}", scaling.performance)])
        })
        .collect();
    if !scalings.is_empty() {
        let head = ["model", "control", "scaling (by 1,000 tokens)", "performance"].map(str::to_owned).to_vec();
        text += &format!("\n{}", table(&head, &scalings));
    }
    Some(text)
}

fn found(metrics: &[Measured], metric: &Metric) -> String {
    metrics.iter().find(|measured| measured.metric == *metric).map_or(String::new(), |m| cell(metric, &m.estimate))
}

/// A mean with its interval: lengths with one digit, everything else with three.
fn cell(metric: &Metric, estimate: &Estimate) -> String {
    let digits = if matches!(metric, Metric::Tokens | Metric::ThinkingTokens) { 1 } else { 3 };
    let show = |value: f64| format!("{value:.digits$}");
    match estimate.interval {
        Some([low, high]) => format!("{} ({}\u{2013}{})", show(estimate.mean), show(low), show(high)),
        None => show(estimate.mean),
    }
}

/// A table in Markdown whose columns are aligned, so that it is readable as it stands.
fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        std::iter::once(head)
            .chain(rows.iter().map(Vec::as_slice))
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
            .max(3)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &[String]| {
        let cells = row.iter().zip(&widths).enumerate();
        let cell = |(column, (cell, &width)): (usize, (&String, &usize))| match column {
            0 => format!(" {cell:<width$} |"),
            _ => format!(" {cell:>width$} |"),
        };
        format!("|{}\n", cells.map(cell).collect::<String>())
    };
    let rule = |(column, &width): (usize, &usize)| match column {
        0 => format!("{}|", "-".repeat(width + 2)),
        _ => format!("{}:|", "-".repeat(width + 1)),
    };
    let rule: String = widths.iter().enumerate().map(rule).collect();
    format!("{}|{rule}\n{}", line(head), rows.iter().map(|row| line(row)).collect::<String>())
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;
