//! Shortens model text, so that a reason or an extract stays readable and bounded.

/// The first `max_chars` characters of `text`, with `…` behind them if something was cut off.
pub(crate) fn excerpt(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some((cut, _)) => format!("{}…", &text[..cut]),
    }
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn cuts_between_characters_and_says_so() {
        for (text, max_chars, expected) in
            [("", 3, ""), ("abc", 3, "abc"), ("abcd", 3, "abc…"), ("äöüß", 3, "äöü…"), ("x", 0, "…")]
        {
            assert_eq!(excerpt(text, max_chars), expected, "{text:?}, {max_chars}");
        }
    }
}
