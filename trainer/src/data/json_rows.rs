//! The rows of a file of JSON Lines, or of one JSON array, each with its line.

use serde::de::IgnoredAny;

/// The text of every row and the line that it begins in, counted from 1; in place of a row that cannot be told apart, why.
///
/// A file whose first character is `[` is an array: what is wrong between its rows ends it. Otherwise every line is a row, and
/// blank lines are passed over. Some editors put a mark of UTF-8 at the front, which is no part of it.
pub(super) fn rows(bytes: &[u8]) -> Vec<(usize, Result<&[u8], String>)> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.trim_ascii_start().starts_with(b"[") {
        return elements(bytes);
    }
    let lines = (1..).zip(bytes.split(|&byte| byte == b'\n'));
    lines.filter(|(_, text)| !text.trim_ascii().is_empty()).map(|(line, text)| (line, Ok(text))).collect()
}

/// The elements of the array that `bytes` holds.
fn elements(bytes: &[u8]) -> Vec<(usize, Result<&[u8], String>)> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    // Goes to the next character that is no white space; past the end there is none.
    let skip = |at: &mut usize, line: &mut usize| {
        while let Some(byte) = bytes.get(*at).filter(|byte| byte.is_ascii_whitespace()) {
            *line += usize::from(*byte == b'\n');
            *at += 1;
        }
        bytes.get(*at).copied()
    };
    skip(&mut at, &mut line);
    at += 1;
    let mut next = skip(&mut at, &mut line);
    while next != Some(b']') || !found.is_empty() {
        let mut stream = serde_json::Deserializer::from_slice(&bytes[at..]).into_iter::<IgnoredAny>();
        match stream.next() {
            Some(Ok(_)) => {
                let text = &bytes[at..at + stream.byte_offset()];
                found.push((line, Ok(text)));
                at += text.len();
                line += text.iter().filter(|&&byte| byte == b'\n').count();
            }
            Some(Err(error)) => {
                found.push((line + error.line() - 1, Err(on_its_line(&error))));
                return found;
            }
            None => {
                found.push((line, Err("the array is not closed: the file ends before its `]`".to_owned())));
                return found;
            }
        }
        match skip(&mut at, &mut line) {
            Some(b',') => at += 1,
            Some(b']') => break,
            _ => {
                found.push((line, Err("expected `,` or `]` behind a row of the array".to_owned())));
                return found;
            }
        }
        next = skip(&mut at, &mut line);
    }
    at += 1;
    if skip(&mut at, &mut line).is_some() {
        found.push((line, Err("there is more behind the end of the array".to_owned())));
    }
    found
}

/// serde's message about a row, whose line is told beside it.
pub(super) fn on_its_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(message) => format!("{message} (column {})", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(usize, Result<&str, &str>)]) {
        let found = rows(text.as_bytes());
        assert_eq!(found.len(), expected.len(), "{text:?}: {found:?}");
        for ((line, row), (expected_line, expected)) in found.into_iter().zip(expected) {
            assert_eq!(line, *expected_line, "{text:?}");
            match (row, expected) {
                (Ok(row), Ok(expected)) => assert_eq!(row, expected.as_bytes()),
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{text:?}: {reason}"),
                (row, _) => panic!("{text:?}: {row:?}"),
            }
        }
    }

    #[test]
    fn lines_and_arrays_are_cut_into_rows() {
        check("", &[]);
        check("{}\n\n {\"a\": 1}\r\n", &[(1, Ok("{}")), (3, Ok(" {\"a\": 1}\r"))]);
        check("\u{feff}{}", &[(1, Ok("{}"))]);
        check("\u{feff}[]", &[]);
        check(" \n[ ]\n", &[]);
        check("[{}, {\n\"a\": \"],[\"\n}\n,{}]", &[(1, Ok("{}")), (1, Ok("{\n\"a\": \"],[\"\n}")), (4, Ok("{}"))]);
        check("[\n{}\n,\n\n3]", &[(2, Ok("{}")), (5, Ok("3"))]);
    }

    #[test]
    fn broken_arrays_are_told_by_line() {
        check("[{}", &[(1, Ok("{}")), (1, Err("expected `,` or `]`"))]);
        check("[\n{}\n{}]", &[(2, Ok("{}")), (3, Err("expected `,` or `]`"))]);
        check("[\n{},\n", &[(2, Ok("{}")), (3, Err("not closed"))]);
        check("[", &[(1, Err("not closed"))]);
        check("[{},\n{\"a\":\n x}]", &[(1, Ok("{}")), (3, Err("expected value (column 2)"))]);
        check("[{}\n,]", &[(1, Ok("{}")), (2, Err("expected value"))]);
        check("[{}]\n{}", &[(1, Ok("{}")), (2, Err("behind the end"))]);
    }
}
