//! Turns the tokens of a Countdown answer into the steps that compute it, without recursion.

use std::borrow::Cow;

use super::lex::Token;

/// One step of the computation on a stack of values (postfix order).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Push a number.
    Number(u64),
    /// Change the sign of the top value.
    Negate,
    /// Replace the two top values by their sum, difference, product or quotient.
    Apply(Binary),
}

/// An operation on two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// What waits for its right operand, or for a closing parenthesis.
#[derive(Clone, Copy)]
enum Pending {
    Open,
    Negate,
    Apply(Binary),
}

/// The steps of an expression: the usual precedences, operators of one precedence from left to right, any number of signs
/// before an operand, no implicit multiplication. `Err` says what is not an expression.
///
/// This is the shunting-yard method: what is pending lies on the heap, so that ten thousand parentheses cost ten thousand
/// entries and no stack frame.
pub(super) fn parse(tokens: &[Token]) -> Result<Vec<Step>, Cow<'static, str>> {
    let mut steps = Vec::with_capacity(tokens.len());
    let mut pending = Vec::new();
    let mut after_operand = false;
    for &token in tokens {
        match (after_operand, token) {
            (false, Token::Number(number)) => {
                steps.push(Step::Number(number));
                after_operand = true;
            }
            (false, Token::Open) => pending.push(Pending::Open),
            (false, Token::Minus) => pending.push(Pending::Negate),
            (false, Token::Plus) => {}
            (true, Token::Close) => close(&mut pending, &mut steps)?,
            (true, Token::Plus) => operator(Binary::Add, &mut pending, &mut steps, &mut after_operand),
            (true, Token::Minus) => operator(Binary::Subtract, &mut pending, &mut steps, &mut after_operand),
            (true, Token::Times) => operator(Binary::Multiply, &mut pending, &mut steps, &mut after_operand),
            (true, Token::Divide) => operator(Binary::Divide, &mut pending, &mut steps, &mut after_operand),
            (true, Token::Number(_) | Token::Open) => {
                return Err(format!("no operator before `{}`", token.text()).into());
            }
            (false, Token::Close | Token::Times | Token::Divide) => {
                return Err(format!("no number before `{}`", token.text()).into());
            }
        }
    }
    if !after_operand {
        return Err(if tokens.is_empty() { "the answer is empty" } else { "ends without a number" }.into());
    }
    while let Some(waiting) = pending.pop() {
        steps.push(step(waiting).ok_or("a parenthesis is never closed")?);
    }
    Ok(steps)
}

/// Puts a binary operator on the pile, after everything that binds at least as strongly.
fn operator(binary: Binary, pending: &mut Vec<Pending>, steps: &mut Vec<Step>, after_operand: &mut bool) {
    while let Some(&waiting) = pending.last()
        && precedence(waiting) >= precedence(Pending::Apply(binary))
        && let Some(step) = step(waiting)
    {
        pending.pop();
        steps.push(step);
    }
    pending.push(Pending::Apply(binary));
    *after_operand = false;
}

/// Finishes everything back to the parenthesis that opens here.
fn close(pending: &mut Vec<Pending>, steps: &mut Vec<Step>) -> Result<(), Cow<'static, str>> {
    loop {
        let waiting = pending.pop().ok_or("a parenthesis is closed that was never opened")?;
        match step(waiting) {
            Some(step) => steps.push(step),
            None => return Ok(()),
        }
    }
}

fn precedence(pending: Pending) -> u8 {
    match pending {
        Pending::Open => 0,
        Pending::Apply(Binary::Add | Binary::Subtract) => 1,
        Pending::Apply(Binary::Multiply | Binary::Divide) => 2,
        Pending::Negate => 3,
    }
}

/// The step that carries out what was pending; an open parenthesis is none.
fn step(pending: Pending) -> Option<Step> {
    match pending {
        Pending::Open => None,
        Pending::Negate => Some(Step::Negate),
        Pending::Apply(binary) => Some(Step::Apply(binary)),
    }
}
