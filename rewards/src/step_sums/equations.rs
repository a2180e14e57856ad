//! Finds the equations between sums of whole numbers that a text writes down.
//!
//! Where something stands beside an equation that may belong to it (`x * 3 + 4 = 7`, `1 + 1.5 = 2.5`, `3 + 4 = 7 km^2`), it is
//! left alone: not to be judged is no harm, to be judged by its half is.

use std::borrow::Cow;

use num_rational::BigRational;

use crate::countdown;

/// Longest side that is read, in bytes: it bounds the digits of every value.
const MAX_SIDE_BYTES: usize = 256;

/// An equation that can be checked.
#[derive(Debug)]
pub(super) struct Equation {
    /// Where it ends in the text, in bytes, exclusive.
    pub(super) end: usize,
    /// Without blanks, in ASCII: the same of two that say the same.
    pub(super) text: String,
    /// Whether its sides are equal.
    pub(super) holds: bool,
}

/// The equations of `text` on each line, from left to right, at least one side of which is a sum, difference, product or
/// quotient. `a = b = c` is two. Every byte is looked at a fixed number of times.
pub(super) fn equations(text: &str) -> impl Iterator<Item = Equation> + '_ {
    text.split('\n').flat_map(move |line| {
        let parts = line.split('=').zip(line.split('=').skip(1));
        parts.filter_map(move |(left, right)| {
            let right = right_side(right)?;
            let end = right.as_ptr() as usize - text.as_ptr() as usize + right.len();
            equation(left_side(left)?, right, end)
        })
    })
}

fn equation(left: &str, right: &str, end: usize) -> Option<Equation> {
    let (left, right) = (in_ascii(left), in_ascii(right));
    let read = |side: &str| if side.len() <= MAX_SIDE_BYTES { countdown::read(side) } else { None };
    let (a, b) = (read(&left)?, read(&right)?);
    let is_a_sum = a.n_operations + b.n_operations > 0;
    // Neither side of a division by zero is equal to anything.
    let holds = a.value.zip(b.value).is_some_and(|(a, b): (BigRational, BigRational)| a == b);
    let text = format!("{left}={right}").replace(|c: char| c.is_ascii_whitespace(), "");
    is_a_sum.then_some(Equation { end, text, holds })
}

/// The sum at the end of what stands before the sign of equality.
fn left_side(part: &str) -> Option<&str> {
    let run = part.trim_end_matches(is_of_a_sum).len();
    let (mut start, mut open) = (run, Vec::new());
    for (at, c) in part[run..].char_indices().map(|(at, c)| (run + at, c)) {
        match c {
            '(' => open.push(at + 1),
            // `1)` counts lines.
            ')' if open.pop().is_none() => start = at + 1,
            _ => {}
        }
    }
    start = open.last().copied().unwrap_or(start);
    let (before, side) = part.split_at(start);
    let outer = before.trim_end_matches(is_passed_over);
    let touches = outer.len() == before.len() && !side.starts_with(is_blank);
    let side = side.trim_matches(is_blank);
    if side.starts_with(is_operator) {
        // Of something that is no number, or of a bullet or bold print.
        return (!outer.ends_with(ends_operand)).then(|| without_marks(side));
    }
    let belongs = outer.ends_with(is_operator)
        || outer.ends_with(['^', '√'])
        || touches && outer.ends_with(|c| ends_operand(c) || c == '.' || c == ',');
    (!belongs).then_some(side)
}

/// `side` without bullets and bold print before it: operators, but for a sign that stands at a number.
fn without_marks(side: &str) -> &str {
    let rest = side.trim_start_matches(|c| is_operator(c) || is_blank(c));
    let sign = side[..side.len() - rest.len()].chars().next_back().filter(|c| "+-−".contains(*c));
    &side[side.len() - rest.len() - sign.map_or(0, char::len_utf8)..]
}

/// The sum at the start of what stands behind the sign of equality.
fn right_side(part: &str) -> Option<&str> {
    let mut end = part.len() - part.trim_start_matches(is_of_a_sum).len();
    let mut open = Vec::new();
    for (at, c) in part[..end].char_indices() {
        match c {
            '(' => open.push(at),
            ')' if open.pop().is_none() => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    end = open.first().copied().unwrap_or(end);
    let (side, after) = part.split_at(end);
    let outer = after.trim_start_matches(is_passed_over);
    let touches = outer.len() == after.len() && !side.ends_with(is_blank);
    let side = side.trim_matches(is_blank);
    if side.ends_with(is_operator) {
        let side = side.trim_end_matches(|c| is_operator(c) || is_blank(c));
        return (!outer.starts_with(|c| is_operand(c) || c == '(')).then_some(side);
    }
    let is_decimal = outer.starts_with(['.', ',']) && outer[1..].starts_with(|c: char| c.is_ascii_digit());
    let belongs = outer.starts_with(is_operator)
        || outer.starts_with('^')
        || touches && (is_decimal || outer.starts_with(|c| is_operand(c) || c == '%' || c == '('));
    (!belongs).then_some(side)
}

fn is_of_a_sum(c: char) -> bool {
    c.is_ascii_digit() || c == '(' || c == ')' || is_blank(c) || is_operator(c)
}

fn is_operator(c: char) -> bool {
    "+-*/×·÷−".contains(c)
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// What a number beside it could be multiplied with.
fn is_operand(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '\\'
}

fn ends_operand(c: char) -> bool {
    is_operand(c) || ")]}".contains(c)
}

/// What hides nothing and joins nothing: blanks, the marks of mathematics, and characters without a width.
fn is_passed_over(c: char) -> bool {
    let has_no_width =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    c.is_whitespace() || c == '$' || has_no_width
}

fn in_ascii(side: &str) -> Cow<'_, str> {
    if side.is_ascii() {
        return side.into();
    }
    side.replace(['×', '·'], "*").replace('÷', "/").replace('−', "-").into()
}
