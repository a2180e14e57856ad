//! The tests of a problem, as its data row holds them.

use rewards::{GoldError, Problem};
use serde_json::{Map, Value};

/// The field of the data row.
pub(crate) const FIELD: &str = "tests";

/// Tests of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Suite {
    /// The program is run once for each, reads `stdin` and must print `stdout`.
    Io(Vec<IoTest>),
    /// The program is loaded, then each is run.
    Asserts {
        /// Goes before each test.
        setup: String,
        /// Lines of the program's language, which raise an error where the program is wrong.
        tests: Vec<String>,
    },
}

/// What goes in and what should come out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IoTest {
    pub stdin: String,
    pub stdout: String,
}

enum Test {
    Io(IoTest),
    Assert(String),
}

impl Suite {
    /// The tests of `problem`, for the reward `reward`; at most `max_tests` of them.
    ///
    /// # Errors
    ///
    /// [`GoldError`] if there are none, too many, or any that cannot be used.
    pub fn of(problem: &Problem, reward: &str, max_tests: usize) -> Result<Self, GoldError> {
        let Some(value) = problem.gold.fields.get(FIELD) else {
            return Err(GoldError::Missing { reward: reward.to_owned(), field: FIELD });
        };
        let invalid = |reason: String| GoldError::Invalid { reward: reward.to_owned(), field: FIELD, reason };
        // Some data sets store the list as text.
        let read: Value;
        let value = match value {
            Value::String(text) => {
                read = serde_json::from_str(text).map_err(|error| invalid(format!("text that is no JSON: {error}")))?;
                &read
            }
            value => value,
        };
        let Value::Array(items) = value else {
            return Err(invalid("it must be a list of tests".to_owned()));
        };
        if items.is_empty() || items.len() > max_tests {
            return Err(invalid(format!("it has {} tests, and 1 to {max_tests} can be run", items.len())));
        }
        let (mut io, mut asserts) = (Vec::new(), Vec::new());
        for (number, item) in (1..).zip(items) {
            match test(item).map_err(|reason| invalid(format!("test {number}: {reason}")))? {
                Test::Io(test) => io.push(test),
                Test::Assert(test) => asserts.push(test),
            }
        }
        if asserts.is_empty() {
            return Ok(Self::Io(io));
        }
        if !io.is_empty() {
            return Err(invalid("it mixes tests of input and output with assertions".to_owned()));
        }
        match problem.gold.fields.get("setup") {
            None | Some(Value::Null) => Ok(Self::Asserts { setup: String::new(), tests: asserts }),
            Some(Value::String(setup)) => Ok(Self::Asserts { setup: setup.clone(), tests: asserts }),
            Some(_) => {
                let reason = "it must be text, the lines that go before each test".to_owned();
                Err(GoldError::Invalid { reward: reward.to_owned(), field: "setup", reason })
            }
        }
    }
}

fn test(item: &Value) -> Result<Test, String> {
    match item {
        Value::String(text) => assertion(text),
        Value::Object(fields) => {
            if let Some(unknown) = fields.keys().find(|key| !KEYS.contains(&key.as_str())) {
                return Err(format!("`{unknown}` is not known; a test is {{\"stdin\", \"stdout\"}} or {{\"assert\"}}"));
            }
            if let Some(kind) = text(fields, &["type"])?.filter(|kind| !["stdin_stdout", "assert"].contains(kind)) {
                return Err(format!("the type `{kind}` is not known; `stdin_stdout` and `assert` are"));
            }
            let stdin = text(fields, &["stdin", "input"])?;
            let stdout = text(fields, &["stdout", "output"])?;
            match (stdin, stdout, text(fields, &["assert"])?) {
                (None, None, Some(lines)) => assertion(lines),
                (stdin, Some(stdout), None) => {
                    Ok(Test::Io(IoTest { stdin: stdin.unwrap_or("").to_owned(), stdout: stdout.to_owned() }))
                }
                _ => Err("it needs either `stdout`, with or without `stdin`, or `assert`".to_owned()),
            }
        }
        _ => Err("it must be text or an object".to_owned()),
    }
}

const KEYS: [&str; 6] = ["stdin", "input", "stdout", "output", "assert", "type"];

fn assertion(lines: &str) -> Result<Test, String> {
    if lines.trim().is_empty() {
        return Err("it is empty, so nothing could fail it".to_owned());
    }
    Ok(Test::Assert(lines.to_owned()))
}

/// The one of `keys` that is there, as text.
fn text<'a>(fields: &'a Map<String, Value>, keys: &[&str]) -> Result<Option<&'a str>, String> {
    let mut found = keys.iter().filter_map(|key| fields.get(*key).map(|value| (key, value)));
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some((_, Value::String(text))), None) => Ok(Some(text)),
        (Some((key, _)), None) => Err(format!("`{key}` must be text")),
        _ => Err(format!("it has both `{}`", keys.join("` and `"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &str) -> Result<Suite, GoldError> {
        let problem: Problem = serde_json::from_str(&format!(r#"{{"question": "q", {fields}}}"#)).unwrap();
        Suite::of(&problem, "code", 3)
    }

    #[test]
    fn suites_read() {
        let io = |rows: &[(&str, &str)]| {
            let tests = rows.iter().map(|&(a, b)| IoTest { stdin: a.to_owned(), stdout: b.to_owned() });
            Suite::Io(tests.collect())
        };
        let asserts = |setup: &str, tests: &[&str]| Suite::Asserts {
            setup: setup.to_owned(),
            tests: tests.iter().map(|&test| test.to_owned()).collect(),
        };
        for (fields, expected) in [
            (r#""tests": [{"stdin": "1", "stdout": "2"}]"#, io(&[("1", "2")])),
            (r#""tests": [{"input": "1", "output": "2", "type": "stdin_stdout"}]"#, io(&[("1", "2")])),
            (r#""tests": [{"stdout": "2"}]"#, io(&[("", "2")])),
            (r#""tests": "[{\"stdin\": \"1\", \"stdout\": \"2\"}]""#, io(&[("1", "2")])),
            (r#""tests": ["assert f(1) == 2"]"#, asserts("", &["assert f(1) == 2"])),
            (r#""tests": [{"assert": "a"}, "b"], "setup": "import math""#, asserts("import math", &["a", "b"])),
        ] {
            assert_eq!(read(fields), Ok(expected), "{fields}");
        }
    }

    #[test]
    fn suites_that_cannot_be_run_are_errors_of_the_data() {
        for (fields, words) in [
            (r#""gold": "4""#, "needs the field `tests`"),
            (r#""tests": []"#, "0 tests"),
            (r#""tests": ["a", "a", "a", "a"]"#, "1 to 3"),
            (r#""tests": 5"#, "a list of tests"),
            (r#""tests": "not json""#, "no JSON"),
            (r#""tests": [5]"#, "test 1: it must be text or an object"),
            (r#""tests": [" "]"#, "nothing could fail it"),
            (r#""tests": [{"stdin": "1"}]"#, "either `stdout`"),
            (r#""tests": [{"stdin": 1, "stdout": "2"}]"#, "`stdin` must be text"),
            (r#""tests": [{"stdin": "1", "input": "1", "stdout": "2"}]"#, "both `stdin` and `input`"),
            (r#""tests": [{"stdout": "2", "assert": "a"}]"#, "either `stdout`"),
            (r#""tests": [{"stdout": "2", "fn_name": "f"}]"#, "`fn_name` is not known"),
            (r#""tests": [{"stdout": "2", "type": "function_call"}]"#, "`function_call` is not known"),
            (r#""tests": [{"stdout": "2"}, "a"]"#, "mixes"),
            (r#""tests": ["a"], "setup": 5"#, "before each test"),
        ] {
            let message = read(fields).unwrap_err().to_string();
            assert!(message.contains(words), "{fields}: {message}");
        }
    }
}
