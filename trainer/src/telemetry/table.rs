//! Small tables, the first column of words and the others of numbers, for a terminal and for a page.

/// Aligned by spaces, with a rule under the first row.
pub(crate) fn text<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cell = |(column, cell): (usize, &String)| match (column, widths[column]) {
            (0, width) => format!("{cell:<width$}"),
            (_, width) => format!("{cell:>width$}"),
        };
        row.iter().enumerate().map(cell).collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    let rule = "─".repeat(widths.iter().sum::<usize>() + 3 * N.saturating_sub(1));
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.insert(1.min(lines.len()), rule);
    lines.join("\n")
}

/// In Markdown, with a line end behind each row.
pub(crate) fn markdown<const N: usize>(rows: &[[String; N]]) -> String {
    let mut text = String::new();
    for (row_idx, row) in rows.iter().enumerate() {
        text += &format!("| {} |\n", row.each_ref().map(|cell| cell.trim()).join(" | "));
        if row_idx == 0 {
            text += &format!("|---|{}\n", "---:|".repeat(N.saturating_sub(1)));
        }
    }
    text
}
