//! Small tables of three columns, the first of words and the others of numbers, for a terminal and for a page.

/// Aligned by spaces, with a rule under the first row.
pub(super) fn text(rows: &[[String; 3]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [w0, w1, w2] = [width(0), width(1), width(2)];
    let line = |row: &[String; 3]| format!("{:<w0$}   {:>w1$}   {:>w2$}", row[0], row[1], row[2]);
    let rule = "─".repeat(w0 + w1 + w2 + 6);
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.insert(1.min(lines.len()), rule);
    lines.join("\n")
}

/// In Markdown, with a line end behind each row.
pub(super) fn markdown(rows: &[[String; 3]]) -> String {
    let mut text = String::new();
    for (row_idx, row) in rows.iter().enumerate() {
        text += &format!("| {} | {} | {} |\n", row[0].trim(), row[1], row[2]);
        if row_idx == 0 {
            text += "|---|---:|---:|\n";
        }
    }
    text
}
