//! Whether a program printed what it should.

/// Whether `printed` is `expected`: the same number of lines, and on each the same words in the same order.
///
/// Blanks between words and at both ends of a line do not count, nor do empty lines at the start and the end of the whole.
/// Everything else does: an output that is only the beginning of the right one is wrong, and so is `1.0` for `1`.
pub(crate) fn same_output(expected: &str, printed: &str) -> bool {
    let mut expected = expected.trim().lines();
    let mut printed = printed.trim().lines();
    loop {
        match (expected.next(), printed.next()) {
            (None, None) => return true,
            (Some(expected), Some(printed)) if expected.split_whitespace().eq(printed.split_whitespace()) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::same_output;

    #[test]
    fn blanks_are_forgiven_and_nothing_else() {
        for (expected, printed, same) in [
            ("1", "1\n", true),
            ("1\n2", "1 \r\n 2\n\n", true),
            ("1 2", "1   2", true),
            ("\n1", "1", true),
            ("", "\n", true),
            ("1\n2\n3", "1\n2", false),
            ("1\n2", "1\n2\n3", false),
            ("1\n2", "", false),
            ("1 2", "1\n2", false),
            ("1\n2", "1\n\n2", false),
            ("12", "1 2", false),
            ("1", "1.0", false),
            ("Yes", "yes", false),
            ("", "1", false),
        ] {
            assert_eq!(same_output(expected, printed), same, "{expected:?} {printed:?}");
        }
    }
}
