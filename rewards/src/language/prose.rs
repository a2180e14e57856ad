//! Cuts what is in no language out of a text: code, LaTeX, addresses, tags.

/// The pieces of `text` between code, LaTeX, addresses and tags, in order.
///
/// One pass: a closing mark that was not found once is not searched for again, so that a megabyte of opening marks is read
/// twice at the most.
pub(super) fn prose(text: &str) -> Vec<&str> {
    let mut cutter = Cutter { text, missing: [false; KINDS] };
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(step) = text[at..].find(['`', '$', '\\', '<', ':', 'w', 'W']) {
        let mark = at + step;
        match cutter.neutral(mark) {
            Some((from, to)) => {
                pieces.push(&text[start..from.max(start)]);
                (start, at) = (to, to);
            }
            None => at = mark + 1,
        }
    }
    pieces.push(&text[start..]);
    pieces
}

/// How many kinds of closing marks are searched for in the whole rest of the text.
const KINDS: usize = 5;

/// What opens something, what closes it, and whether it must be on one line.
const FENCES: [(&str, &str); KINDS] =
    [("```", "```"), ("$$", "$$"), ("\\(", "\\)"), ("\\[", "\\]"), ("\\begin{", "\\end{")];

struct Cutter<'a> {
    text: &'a str,
    /// Kinds whose closing mark is not to be found any more.
    missing: [bool; KINDS],
}

impl Cutter<'_> {
    /// The neutral stretch that begins at the mark `at`, if one does: from byte to byte.
    fn neutral(&mut self, at: usize) -> Option<(usize, usize)> {
        let rest = &self.text[at..];
        for (kind, (open, close)) in FENCES.into_iter().enumerate() {
            if rest.starts_with(open) {
                return self.fenced(kind, at, open, close);
            }
        }
        match rest.as_bytes()[0] {
            b'`' => on_one_line(rest, '`').map(|length| (at, at + length)),
            b'$' => mathematics(rest).map(|length| (at, at + length)),
            // The command alone: what stands in its braces is read on.
            b'\\' => Some((at, at + 1 + rest[1..].bytes().take_while(u8::is_ascii_alphabetic).count())),
            b'<' => tag(rest).map(|length| (at, at + length)),
            b':' => address(self.text, at),
            _ => web_name(self.text, at),
        }
    }

    fn fenced(&mut self, kind: usize, at: usize, open: &str, close: &str) -> Option<(usize, usize)> {
        let inside = at + open.len();
        let end = (!self.missing[kind]).then(|| self.text[inside..].find(close)).flatten();
        match (end, open) {
            (Some(length), _) => Some((at, inside + length + close.len())),
            // Code that the token limit has cut off.
            (None, "```") => Some((at, self.text.len())),
            _ => {
                self.missing[kind] = true;
                Some((at, inside))
            }
        }
    }
}

/// Length of what `rest` begins with up to the next `mark`, if that is on the same line.
fn on_one_line(rest: &str, mark: char) -> Option<usize> {
    let end = 1 + rest[1..].find([mark, '\n'])?;
    rest[end..].starts_with(mark).then_some(end + 1)
}

/// Length of `$...$`. As in Markdown, no blank inside of the marks and no digit behind them: `$5 and $6` is money.
fn mathematics(rest: &str) -> Option<usize> {
    let length = on_one_line(rest, '$')?;
    let inside = &rest[1..length - 1];
    let blank = inside.starts_with(char::is_whitespace) || inside.ends_with(char::is_whitespace);
    let digit = rest[length..].starts_with(|c: char| c.is_ascii_digit());
    (!inside.is_empty() && !blank && !digit).then_some(length)
}

/// Longest tag, in bytes.
const MAX_TAG: usize = 64;

/// Length of a tag such as `<think>`, `</answer>` or `<|im_end|>`.
fn tag(rest: &str) -> Option<usize> {
    let bytes = &rest.as_bytes()[1..rest.len().min(MAX_TAG)];
    let length = bytes.iter().position(|&byte| byte == b'>')?;
    let name = &bytes[..length];
    let begins = name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || b"/|".contains(byte));
    let simple = name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/|_-".contains(byte));
    (begins && simple).then_some(length + 2)
}

/// From the start of the scheme to the end of an address whose `://` is at `at`.
fn address(text: &str, at: usize) -> Option<(usize, usize)> {
    if !text[at..].starts_with("://") {
        return None;
    }
    let scheme = text.as_bytes()[..at].iter().rev().take(16).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    (scheme > 0).then(|| (at - scheme, at + unbroken(&text[at..])))
}

/// An address without scheme: `www.` and what follows.
fn web_name(text: &str, at: usize) -> Option<(usize, usize)> {
    let begins = text.as_bytes()[at..].get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"www."));
    begins.then(|| (at, at + unbroken(&text[at..])))
}

/// Length of what `rest` begins with up to the next white space, or the next letter that no address has.
fn unbroken(rest: &str) -> usize {
    rest.find(|c: char| c.is_whitespace() || !c.is_ascii()).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_no_language_is_cut_out() {
        let check = |text: &str, expected: &str| {
            let pieces: Vec<&str> = prose(text).into_iter().map(str::trim).filter(|piece| !piece.is_empty()).collect();
            assert_eq!(pieces.join("|"), expected, "{text:?}");
        };
        check("", "");
        check("plain text: nothing is cut, now or we will", "plain text: nothing is cut, now or we will");
        check("a ```python\nfor x in y\n``` b", "a|b");
        check("a ```python\nfor x", "a");
        check("a `for x` b `c\nd`", "a|b `c\nd`");
        check("a $x + y$ b", "a|b");
        check("a $$x\n+ y$$ b $$ c", "a|b|c");
        check("costs $5 and then $10 for all", "costs $5 and then $10 for all");
        check("a \\(x \\text{und} y\\) b \\[z\\] c", "a|b|c");
        check("a \\(x b", "a|x b");
        check("a \\begin{align} x und y \\end{align} b", "a|align} b");
        check("so \\boxed{vier} und \\frac{1}{2}", "so|{vier} und|{1}{2}");
        check("a <think>b</think> c <|im_end|> d < e > f <a b>", "a|b|c|d < e > f <a b>");
        check("see https://a.org/the-way?x=y and www.b.org/is. So", "see|and|So");
        check("siehe http://a.org/中文", "siehe|中文");
        check("a :// b", "a :// b");
        check("\\", "");
        check("\\ö", "ö");
    }

    #[test]
    fn opening_marks_without_end_cost_one_pass() {
        for mark in ["```", "`", "$", "$$", "\\(", "\\[", "\\begin{", "<", "<a", "a://", "www.", "\\", "w", "$ ", "`\n"]
        {
            let text = mark.repeat(1_000_000 / mark.len());
            let n_bytes: usize = prose(&text).iter().map(|piece| piece.len()).sum();
            assert!(n_bytes <= text.len(), "{mark}");
        }
    }
}
