//! The comparison in words and figures: cells for a terminal and for a page, rows for a spreadsheet.

use super::comparison::{Comparison, Figure};
use super::statistics::{Difference, Estimate, MOST_SEEDS, Verdict};

/// Head and body of the table of one metric: two rows for each arm, so that it fits a terminal.
pub(super) fn cells(comparison: &Comparison, names: &[&str]) -> Vec<Vec<String>> {
    let against = format!("against {}", names.first().copied().unwrap_or_default());
    let head = ["arm", "seeds", "measure", "mean", &against, "told apart?"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (name, arm) in names.iter().zip(&comparison.arms) {
        for (measure, figure) in [("final", &arm.last), ("area", &arm.area)] {
            let n_seeds = figure.estimate.n.to_string();
            let mut row = vec![(*name).to_owned(), n_seeds, measure.to_owned(), estimate(&figure.estimate)];
            row.extend(figure.difference.as_ref().map_or_else(
                || [String::new(), String::new()],
                |difference| [change(difference), verdict(difference)],
            ));
            rows.push(row);
        }
    }
    rows
}

/// `0.412 ± 0.031`
pub(super) fn estimate(estimate: &Estimate) -> String {
    match estimate.half {
        _ if estimate.n == 0 => "–".to_owned(),
        None => number(estimate.mean),
        Some(half) => format!("{} ± {}", number(estimate.mean), number(half)),
    }
}

/// `−0.014 [−0.060, 0.032]`
fn change(difference: &Difference) -> String {
    let Estimate { n, mean, .. } = difference.estimate;
    match difference.estimate.interval() {
        _ if n == 0 => "–".to_owned(),
        None => signed(mean),
        Some([low, high]) => format!("{} [{}, {}]", signed(mean), number(low), number(high)),
    }
}

/// Whether a difference tells two arms apart, in a few words.
fn verdict(difference: &Difference) -> String {
    let seeds = |n: usize| if n == 1 { "1 seed".to_owned() } else { format!("{n} seeds") };
    match difference.verdict {
        Verdict::TooFew if difference.estimate.n == 0 => "–".to_owned(),
        Verdict::TooFew => "too few: 1 seed".to_owned(),
        Verdict::Equal => "equal".to_owned(),
        Verdict::NoSpread => format!("same in all {}; spread unknown", seeds(difference.estimate.n)),
        Verdict::Apart if difference.estimate.mean > 0.0 => "yes, higher".to_owned(),
        Verdict::Apart => "yes, lower".to_owned(),
        Verdict::NotApart(Some(n)) => format!("not with {}; about {n}", seeds(difference.estimate.n)),
        Verdict::NotApart(None) => format!("not with {}; {MOST_SEEDS} or more", seeds(difference.estimate.n)),
    }
}

fn signed(value: f64) -> String {
    if value > 0.0 { format!("+{}", number(value)) } else { number(value) }
}

/// To about three digits.
pub(super) fn number(value: f64) -> String {
    let text = match value.abs() {
        _ if !value.is_finite() => return "–".to_owned(),
        0.0 => "0".to_owned(),
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 10.0 => format!("{value:.2}"),
        size if size >= 1e-2 => format!("{value:.3}"),
        size if size >= 1e-4 => format!("{value:.5}"),
        _ => format!("{value:.1e}"),
    };
    text.replace('-', "\u{2212}")
}

/// Aligned by spaces, with a rule under the first row; the first column to the left, the others to the right.
pub(super) fn text(rows: &[Vec<String>]) -> String {
    let n_columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned() + "\n"
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    let rule = "─".repeat(widths.iter().sum::<usize>() + 3 * n_columns.saturating_sub(1)) + "\n";
    lines.insert(1.min(lines.len()), rule);
    lines.concat()
}

/// In Markdown.
pub(super) fn markdown(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (row_idx, row) in rows.iter().enumerate() {
        text += &format!("| {} |\n", row.join(" | "));
        if row_idx == 0 {
            text += &format!("|---|{}\n", "---:|".repeat(row.len() - 1));
        }
    }
    text
}

/// The head of `table.csv`.
pub(super) const CSV_HEAD: &str = "metric,measure,arm,seeds,mean,low,high,difference,difference_low,difference_high,\
                                   pairs,verdict,seeds_needed,values\n";

/// The rows of `table.csv` for one metric; no cell has a comma or a quote in it.
pub(super) fn csv(comparison: &Comparison, names: &[&str]) -> String {
    let mut text = String::new();
    for (name, arm) in names.iter().zip(&comparison.arms) {
        for (measure, figure) in [("final", &arm.last), ("area", &arm.area)] {
            text += &csv_row(&comparison.metric, measure, name, figure);
        }
    }
    text
}

/// One row of `table.csv`: figures in full, and the values of single seeds as `seed:value` with spaces between.
pub(super) fn csv_row(metric: &str, measure: &str, arm: &str, figure: &Figure) -> String {
    let full = |value: f64| if value.is_finite() { value.to_string() } else { String::new() };
    let ends = |estimate: &Estimate| estimate.interval().map_or([String::new(), String::new()], |ends| ends.map(full));
    let Estimate { n, mean, .. } = figure.estimate;
    let [low, high] = ends(&figure.estimate);
    let mut row = vec![metric.to_owned(), measure.to_owned(), arm.to_owned(), n.to_string(), full(mean), low, high];
    row.extend(match &figure.difference {
        None => [const { String::new() }; 6],
        Some(difference) => {
            let [low, high] = ends(&difference.estimate);
            let (word, needed) = match difference.verdict {
                Verdict::TooFew => ("too_few", String::new()),
                Verdict::Equal => ("equal", String::new()),
                Verdict::NoSpread => ("no_spread", String::new()),
                Verdict::Apart => ("apart", String::new()),
                Verdict::NotApart(needed) => ("not_apart", needed.map_or(String::new(), |n| n.to_string())),
            };
            let Estimate { n, mean, .. } = difference.estimate;
            [full(mean), low, high, n.to_string(), word.to_owned(), needed]
        }
    });
    let values: Vec<String> = figure.values.iter().map(|(seed, value)| format!("{seed}:{value}")).collect();
    row.push(values.join(" "));
    row.join(",") + "\n"
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
