//! Finds the closed boxes of a completion in one pass.

/// A closed `\boxed{...}` or `\fbox{...}`: where it starts and ends, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Boxed<'a> {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) content: &'a str,
}

const COMMANDS: [&str; 3] = ["\\boxed", "\\fbox", "\\framebox"];

/// All closed boxes that are not empty and lie in no other box, in order. Braces are counted, escaped ones left out; a box
/// without braces (`\boxed 5`) ends with its line or formula. Work is linear: open braces wait on a stack.
pub(super) fn boxes(text: &str) -> Vec<Boxed<'_>> {
    let bytes = text.as_bytes();
    // Where each open brace is, and where its box starts if it opens one.
    let mut open: Vec<(usize, Option<usize>)> = Vec::new();
    let mut found: Vec<Boxed<'_>> = Vec::new();
    if !text.contains("box") {
        return found;
    }
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => {
                let rest = &text[at..];
                let Some(command) = COMMANDS.into_iter().find(|command| rest.starts_with(command)) else {
                    // `\\}` is a line break and a brace.
                    let line_break = rest.starts_with("\\\\}");
                    at += if line_break || matches!(bytes.get(at + 1), Some(b'{' | b'}')) { 2 } else { 1 };
                    continue;
                };
                let after = at + command.len();
                let gap = text[after..].len() - text[after..].trim_start_matches([' ', '\t', '\n']).len();
                match bytes.get(after + gap) {
                    Some(b'{') => {
                        open.push((after + gap, Some(at)));
                        at = after + gap + 1;
                    }
                    Some(next) if gap > 0 || next.is_ascii_digit() => {
                        let length = text[after..].find(['$', '\n']).unwrap_or(text.len() - after);
                        push(
                            &mut found,
                            Boxed { start: at, end: after + length, content: &text[after..after + length] },
                        );
                        at = after + length;
                    }
                    _ => at = after,
                }
            }
            b'{' => {
                open.push((at, None));
                at += 1;
            }
            b'}' => {
                if let Some((brace, Some(start))) = open.pop() {
                    push(&mut found, Boxed { start, end: at + 1, content: &text[brace + 1..at] });
                }
                at += 1;
            }
            _ => at += 1,
        }
    }
    found
}

/// Whether the last box of `text` is never closed, as where the completion was cut off in it.
pub(super) fn ends_in_open_box(text: &str) -> bool {
    let Some(at) = text.rfind("\\boxed{") else { return false };
    let mut depth = 0_usize;
    for byte in text[at..].bytes() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return false,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    true
}

/// Adds a box, which takes the place of those inside of it.
fn push<'a>(found: &mut Vec<Boxed<'a>>, new: Boxed<'a>) {
    if new.content.trim().is_empty() {
        return;
    }
    while found.last().is_some_and(|earlier| earlier.start > new.start) {
        found.pop();
    }
    found.push(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_close_where_their_braces_do() {
        let check = |text: &str, expected: &[&str]| {
            let contents: Vec<&str> = boxes(text).iter().map(|found| found.content).collect();
            assert_eq!(contents, expected, "{text:?}");
        };
        check("none", &[]);
        check(r"\boxed{5}", &["5"]);
        check(r"\boxed {5} and \fbox{6}", &["5", "6"]);
        check(r"\boxed{\frac{1}{2}}", &[r"\frac{1}{2}"]);
        check(r"\boxed{\{1, 2\}}", &[r"\{1, 2\}"]);
        check(r"\boxed{\boxed{5}}", &[r"\boxed{5}"]);
        check(r"\boxed{\left\{ 1 \right.}", &[r"\left\{ 1 \right."]);
        check(r"\boxed{5} then \boxed{6", &["5"]);
        check(r"\boxed{} \boxed{5} \boxed{ }", &["5"]);
        check(r"f = { \boxed{5}", &["5"]);
        check(r"} \boxed{5} }", &["5"]);
        check(r"$\boxed 5$ is", &[" 5"]);
        check(r"\boxed5 is", &["5 is"]);
        check("\\boxed", &[]);
        check("\\boxed{ä}", &["ä"]);
    }
}
