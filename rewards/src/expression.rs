//! A reward written as an arithmetic expression over other rewards and over facts about the completion.

use evalexpr::{ContextWithMutableVariables, HashMapContext, Node, Value, build_operator_tree};

use crate::{CompletionView, Verdict};

/// What an expression can use beside the other rewards of its rubric, and what each is.
pub const FEATURES: [(&str, &str); 9] = [
    ("tokens", "length of the completion in tokens, the end token included"),
    ("words", "words of the completion, divided by white space"),
    ("chars", "characters of the completion"),
    ("thinking_tokens", "tokens up to and with </think>; all of them if it is never closed"),
    ("truncated", "1 if the token limit cut the completion off, or 0"),
    ("group_size", "completions of the group"),
    ("group_mean_tokens", "mean length of the completions of the group, in tokens"),
    ("group_max_tokens", "length of the longest completion of the group, in tokens"),
    ("step", "the step of the stage, counted from 1"),
];

/// An expression of the crate evalexpr in its last MIT version, 11: `+ - * / % ^`, comparisons, `&& || !`,
/// `if(condition, then, else)`, `min`, `max`, `floor`, `round`, `math::exp`, `math::cos` and the like.
///
/// Whole numbers are read as numbers with a fraction, so that `1 / 3` is a third; true and false are 1 and 0. An
/// expression over a reward that does not apply does not apply either, and so does one without a finite value.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    tree: Node,
    variables: Vec<String>,
}

/// Why an expression cannot be a reward.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It cannot be read, or not be evaluated.
    #[error("`{text}` is no expression: {reason}")]
    Malformed {
        /// The expression.
        text: String,
        /// What is wrong, in evalexpr's words.
        reason: String,
    },
    /// A name that is neither a reward nor a feature.
    #[error("`{name}` in `{text}` is unknown; known here are {known}")]
    Unknown {
        /// The expression.
        text: String,
        /// The name.
        name: String,
        /// Rewards and features.
        known: String,
    },
}

/// What the expression may look up for one completion.
pub(crate) struct Facts<'a> {
    pub(crate) completion: &'a CompletionView<'a>,
    pub(crate) group: &'a [CompletionView<'a>],
    pub(crate) step: u64,
}

impl Expression {
    /// Reads an expression over the rewards `names` and the [`FEATURES`].
    ///
    /// # Errors
    ///
    /// [`ExpressionError`] if it is malformed, names something unknown, or mixes up numbers and texts.
    pub fn new(text: &str, names: &[&str]) -> Result<Self, ExpressionError> {
        let malformed = |reason: String| ExpressionError::Malformed { text: text.to_owned(), reason };
        let tree = build_operator_tree(&with_fractions(text)).map_err(|error| malformed(error.to_string()))?;
        let mut variables: Vec<String> = tree.iter_variable_identifiers().map(str::to_owned).collect();
        variables.sort();
        variables.dedup();
        let known = || names.iter().copied().chain(FEATURES.iter().map(|(name, _)| *name));
        if let Some(name) = variables.iter().find(|name| !known().any(|known| known == name.as_str())) {
            let known = known().collect::<Vec<_>>().join(", ");
            return Err(ExpressionError::Unknown { text: text.to_owned(), name: name.clone(), known });
        }
        let expression = Self { text: text.to_owned(), tree, variables };
        // A try with numbers finds what can only be found by evaluating: texts, tuples, assignments, unknown functions.
        expression.value(|_| Some(1.0)).map_err(malformed)?;
        Ok(expression)
    }

    /// Whether the expression looks at `name`.
    pub fn uses(&self, name: &str) -> bool {
        self.variables.iter().any(|variable| variable == name)
    }

    /// The verdict, from the scores of other rewards.
    ///
    /// - `score(name)`: of the rewards named when it was built
    pub(crate) fn judge(&self, facts: &Facts<'_>, score: impl Fn(&str) -> Option<Option<f32>>) -> Verdict {
        let mut missing = None;
        let lookup = |name: &str| {
            let value = match score(name) {
                Some(score) => score.map(f64::from),
                None => feature(name, facts),
            };
            if value.is_none() {
                missing = Some(name.to_owned());
            }
            value
        };
        let value = self.value(lookup);
        if let Some(name) = missing {
            return Verdict::not_applicable("needs", format!("`{name}` has no value here"));
        }
        match value {
            Ok(value) if (value as f32).is_finite() => {
                Verdict::scored(value as f32, "expression", format!("{} = {value}", self.text))
            }
            Ok(value) => Verdict::not_applicable("not_finite", format!("{} = {value}", self.text)),
            Err(reason) => Verdict::not_applicable("no_value", format!("{}: {reason}", self.text)),
        }
    }

    fn value(&self, mut lookup: impl FnMut(&str) -> Option<f64>) -> Result<f64, String> {
        let mut context = HashMapContext::new();
        for name in &self.variables {
            let Some(value) = lookup(name) else { return Err(format!("`{name}` has no value")) };
            context.set_value(name.clone(), Value::Float(value)).map_err(|error| error.to_string())?;
        }
        match self.tree.eval_with_context(&context).map_err(|error| error.to_string())? {
            Value::Float(value) => Ok(value),
            Value::Int(value) => Ok(value as f64),
            Value::Boolean(value) => Ok(f64::from(u8::from(value))),
            other => Err(format!("its value is {other}, which is no number")),
        }
    }
}

fn feature(name: &str, facts: &Facts<'_>) -> Option<f64> {
    let Facts { completion, group, step } = facts;
    let lengths = || group.iter().map(|completion| completion.n_tokens);
    Some(match name {
        "tokens" => completion.n_tokens as f64,
        "words" => completion.text.split_whitespace().count() as f64,
        "chars" => completion.text.chars().count() as f64,
        "thinking_tokens" => completion.n_thinking_tokens? as f64,
        "truncated" => f64::from(u8::from(completion.truncated)),
        "group_size" => group.len() as f64,
        "group_mean_tokens" => lengths().sum::<usize>() as f64 / group.len() as f64,
        "group_max_tokens" => lengths().max()? as f64,
        "step" => *step as f64,
        _ => return None,
    })
}

/// The same text with a fraction behind every whole number: evalexpr divides whole numbers without remainder.
fn with_fractions(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = rest.next() {
        out.push(c);
        let starts_number = c.is_ascii_digit() && !(before.is_alphanumeric() || before == '_' || before == '.');
        before = c;
        if !starts_number {
            continue;
        }
        while let Some(digit) = rest.next_if(char::is_ascii_digit) {
            out.push(digit);
            before = digit;
        }
        // 1e-3: the sign and the digits behind it belong to the number.
        if let Some(e) = rest.next_if(|c| matches!(c, 'e' | 'E')) {
            out.push(e);
            rest.next_if(|c| matches!(c, '+' | '-')).into_iter().for_each(|sign| out.push(sign));
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                out.push(digit);
            }
            before = '0';
            continue;
        }
        if !rest.peek().is_some_and(|next| *next == '.' || next.is_alphanumeric() || *next == '_') {
            out.push_str(".0");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, scores: &[(&str, Option<f32>)]) -> Verdict {
        let names: Vec<&str> = scores.iter().map(|(name, _)| *name).collect();
        let group = [CompletionView::new("one two three", 30, false), CompletionView::new("x", 10, true)];
        let facts = Facts { completion: &group[0], group: &group, step: 7 };
        let expression = Expression::new(text, &names).unwrap();
        expression.judge(&facts, |name| scores.iter().find(|(known, _)| *known == name).map(|(_, score)| *score))
    }

    #[test]
    fn values_are_those_of_arithmetic() {
        let check = |text: &str, expected: Option<f32>| {
            let got = value(text, &[("accuracy", Some(1.0)), ("format", Some(0.5)), ("absent", None)]);
            assert_eq!(got.score, expected, "{text}: {}", got.reason);
        };
        check("accuracy + 0.5 * format", Some(1.25));
        check("1 / 3 * 3", Some(1.0));
        check("7/2", Some(3.5));
        check("2 ^ 10", Some(1024.0));
        check("accuracy * (1 - tokens / 60)", Some(0.5));
        check("(tokens - group_mean_tokens) / group_max_tokens", Some(1.0 / 3.0));
        check("words + chars + group_size + step", Some(3.0 + 13.0 + 2.0 + 7.0));
        check("if(accuracy == 1 && format < 1, 2, 3)", Some(2.0));
        check("accuracy > 0.5", Some(1.0));
        check("truncated", Some(0.0));
        check("min(accuracy, format)", Some(0.5));
        check("math::exp(0) + math::abs(-2)", Some(3.0));
        check("1e3 + .5", Some(1000.5));
        check("tokens * 1e-3 + 2E+1", Some(20.03));
        check("1.5e1", Some(15.0));
        check("absent + 1", None);
        check("accuracy / 0", None);
        check("math::ln(0 - 1)", None);
        check("thinking_tokens", None);
        assert_eq!(value("absent + 1", &[("absent", None)]).rule, "needs");
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        let check = |text: &str, expected: &str| {
            let error = Expression::new(text, &["accuracy"]).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("accuracy +", "no expression");
        check("(accuracy", "no expression");
        check("", "no number");
        check("accuray * 2", "`accuray` in `accuray * 2` is unknown; known here are accuracy, tokens");
        check("\"a\"", "no number");
        check("accuracy = 2", "no expression");
        check("1, 2", "no number");
        check("shell(1)", "no expression");
    }
}
