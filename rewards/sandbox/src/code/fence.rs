//! Finds the program in a completion: the last closed fenced code block after the reasoning.

use serde::{Deserialize, Serialize};

/// Which fenced blocks count as a program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fence {
    /// Those marked as the language, in open-r1's way; for Python `python`, `python3` or `py`.
    Marked,
    /// Those marked as the language and those with no mark. The default.
    #[default]
    MarkedOrBare,
    /// Every block, whatever its mark.
    Any,
}

/// The content of the last closed block of `text` that `fence` takes for a program in one of `languages`.
///
/// Fences are those of CommonMark: three or more back-ticks or tildes on a line, closed by at least as many of the same.
/// What lies before the last `</think>` is reasoning, and so is everything if `<think>` is open at the end; `is_thinking`
/// says that it was open at the start. One pass.
pub(crate) fn last_block(text: &str, is_thinking: bool, fence: Fence, languages: &[&str]) -> Option<String> {
    let answer = match text.rfind("</think>") {
        Some(at) if !text[at..].contains("<think>") => &text[at + "</think>".len()..],
        None if !is_thinking && !text.contains("<think>") => text,
        _ => return None,
    };
    let mut found = None;
    let mut open: Option<Open<'_>> = None;
    let mut at = 0;
    for line in answer.split_inclusive('\n') {
        let begins = at;
        at += line.len();
        match &open {
            None => open = Open::at(line, at),
            Some(block) if block.is_closed_by(line) => {
                if block.counts(fence, languages) {
                    found = Some((block.indent, &answer[block.content..begins]));
                }
                open = None;
            }
            Some(_) => {}
        }
    }
    found.map(|(indent, content)| unindented(content, indent))
}

/// An opening fence.
struct Open<'a> {
    mark: char,
    n_marks: usize,
    indent: usize,
    language: &'a str,
    /// Where the content begins.
    content: usize,
}

impl<'a> Open<'a> {
    /// The fence that `line` opens, if it does; `content` is where the next line begins.
    fn at(line: &'a str, content: usize) -> Option<Self> {
        let trimmed = line.trim_start_matches([' ', '\t']);
        let (mark, n_marks) = marks(trimmed)?;
        let info = trimmed[n_marks..].trim();
        // "```x```" on one line is code within text.
        if mark == '`' && info.contains('`') {
            return None;
        }
        let language = info.split([' ', '\t', '{', ',']).next().unwrap_or("");
        Some(Self { mark, n_marks, indent: line.len() - trimmed.len(), language, content })
    }

    fn is_closed_by(&self, line: &str) -> bool {
        let line = line.trim();
        marks(line).is_some_and(|(mark, n_marks)| mark == self.mark && n_marks >= self.n_marks && n_marks == line.len())
    }

    fn counts(&self, fence: Fence, languages: &[&str]) -> bool {
        let is_marked = languages.iter().any(|language| self.language.eq_ignore_ascii_case(language));
        match fence {
            Fence::Marked => is_marked,
            Fence::MarkedOrBare => is_marked || self.language.is_empty(),
            Fence::Any => true,
        }
    }
}

/// The three or more equal marks that `line` begins with.
fn marks(line: &str) -> Option<(char, usize)> {
    let mark = line.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let n_marks = line.len() - line.trim_start_matches(mark).len();
    (n_marks >= 3).then_some((mark, n_marks))
}

/// `content` without up to `indent` blanks at the start of each line, as in a block that stands inside a list.
fn unindented(content: &str, indent: usize) -> String {
    let strip = |line: &'_ str| {
        let n_blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
        n_blanks.min(indent)
    };
    content.split_inclusive('\n').map(|line| &line[strip(line)..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, fence: Fence, expected: Option<&str>) {
        assert_eq!(last_block(text, false, fence, &["python", "py"]).as_deref(), expected, "{text:?}, {fence:?}");
    }

    #[test]
    fn the_last_closed_block_counts() {
        use Fence::{Any, Marked, MarkedOrBare};
        for (text, fence, expected) in [
            ("```python\na\n```", Marked, Some("a\n")),
            ("```Python3\na\n```", Marked, None),
            ("```PY\na\n```\n", Marked, Some("a\n")),
            ("x\n```python\na\n```\ny\n```py\nb\n```\nz", Marked, Some("b\n")),
            ("```python\na\n```\n```\nout\n```", Marked, Some("a\n")),
            ("```python\na\n```\n```\nb\n```", MarkedOrBare, Some("b\n")),
            ("```python\na\n```\n```bash\nb\n```", MarkedOrBare, Some("a\n")),
            ("```python\na\n```\n```bash\nb\n```", Any, Some("b\n")),
            ("```python\na\n```\n```python\nb", Marked, Some("a\n")),
            ("```python\n```", Marked, Some("")),
            ("~~~python\n```\na\n~~~", Marked, Some("```\na\n")),
            ("````python\n```\n````", Marked, Some("```\n")),
            ("```python title=x\na\n```", Marked, Some("a\n")),
            ("```python\r\na\r\n```\r\n", Marked, Some("a\r\n")),
            ("1. so\n   ```python\n   if a:\n       b\n   ```", Marked, Some("if a:\n    b\n")),
            ("`python`", Any, None),
            ("```python a```", Any, None),
            ("print(1)", Any, None),
            ("", Any, None),
            ("```pythonx\na\n```", MarkedOrBare, None),
        ] {
            check(text, fence, expected);
        }
    }

    #[test]
    fn reasoning_is_not_searched() {
        let block = "```python\na\n```\n";
        for (text, expected) in [
            (format!("<think>{block}</think>"), None),
            (format!("<think>x</think>{block}"), Some("a\n")),
            (format!("<think>{block}"), None),
            (format!("x</think>{block}"), Some("a\n")),
            (format!("<think>x</think>{block}<think>y"), None),
        ] {
            check(&text, Fence::Marked, expected);
        }
        assert_eq!(last_block(block, true, Fence::Marked, &["python"]), None, "the template has opened the reasoning");
    }

    #[test]
    fn long_texts_take_one_pass() {
        for text in ["```\n".repeat(250_000), "`".repeat(1_000_000), "```python\n".repeat(100_000)] {
            let _ = last_block(&text, false, Fence::Any, &["python"]);
        }
    }
}
