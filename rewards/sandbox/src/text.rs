//! Shortens foreign text, so that a reason stays readable and bounded.

/// The first `max_chars` characters of `text` on one line, with `…` behind them if something was cut off.
pub(crate) fn excerpt(text: &str, max_chars: usize) -> String {
    let mut short: String = text.chars().take(max_chars).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(max_chars).is_some() {
        short.push('…');
    }
    short
}

/// The last line of `bytes` that is not blank, shortened: where a program says what went wrong.
pub(crate) fn last_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().rev().find(|line| !line.trim().is_empty()).map(|line| excerpt(line.trim(), 160))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_made_short_and_harmless() {
        assert_eq!(excerpt("a\nb\u{1b}[0m", 10), "a b [0m");
        assert_eq!(excerpt("äöü", 2), "äö…");
        assert_eq!(last_line(b"a\nb\n\n").as_deref(), Some("b"));
        assert_eq!(last_line(b" \n"), None);
        assert_eq!(last_line(b"\xff").as_deref(), Some("\u{fffd}"));
    }
}
