//! What an answer is, once it has been read.

use super::expr::Expr;
use super::token::{Bracket, Decimal, Relation};

/// One value, with what was written around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar {
    pub(super) expr: Expr,
    /// Set where the value is written as a decimal, whose digits say how exact it is meant to be.
    pub(super) decimal: Option<Decimal>,
    /// Whether a percent sign follows; `expr` is the number in front of it.
    /// Whether it is marked as approximate: `\approx 2.45`.
    pub(super) approximate: bool,
    pub(super) percent: bool,
    pub(super) unit: Option<String>,
    /// The same as a number with a unit, where its letters may be one: `5 m` besides `5` times `m`.
    pub(super) measured: Option<Box<Scalar>>,
}

impl Scalar {
    pub(super) fn plain(expr: Expr) -> Self {
        Self { expr, decimal: None, approximate: false, percent: false, unit: None, measured: None }
    }
}

/// An interval of the real line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) low: Expr,
    pub(super) high: Expr,
    pub(super) low_closed: bool,
    pub(super) high_closed: bool,
}

impl Span {
    pub(super) fn everything() -> Self {
        let low = Expr::Negative(Box::new(Expr::Infinity));
        Self { low, high: Expr::Infinity, low_closed: false, high_closed: false }
    }
}

/// `sides[0] relations[0] sides[1] relations[1] ...`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) sides: Vec<Scalar>,
    pub(super) relations: Vec<Relation>,
    /// Whether the first side is only a name for what is asked: `x`, `f(x)`, `m + n`, but not `2x`.
    pub(super) named: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Scalar(Scalar),
    /// Values without brackets around them; in no order.
    List(Vec<Value>),
    Set(Vec<Value>),
    /// Values in brackets, in order; two of them may also be an interval.
    Tuple(Bracket, Vec<Value>, Bracket),
    /// A union of intervals, and whether it was written as inequalities.
    Spans(Vec<Span>, bool),
    Matrix(Vec<Vec<Scalar>>),
    /// Sides joined by `=` only.
    Equation(Chain),
    /// Sides joined by at least one of `< > ≤ ≥ ≠`.
    Inequality(Chain),
    Ratio(Vec<Expr>),
    /// What it is about if it is named, residue, modulus.
    Congruence(Option<String>, Expr, Expr),
    /// A numeral and its base.
    Based(String, u32),
}

impl Value {
    /// What kind of answer this is, in words, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Scalar(scalar) if scalar.percent => "a percentage",
            Value::Scalar(scalar) if scalar.unit.is_some() => "a quantity with a unit",
            Value::Scalar(scalar) if scalar.decimal.is_some() => "a decimal",
            Value::Scalar(Scalar { expr, .. }) => match expr {
                Expr::Number(_) => "a number",
                Expr::Negative(inner) if matches!(**inner, Expr::Number(_)) => "a number",
                Expr::Quotient(_) => "a fraction",
                expr if expr.has_symbols() => "a symbolic expression",
                _ => "an expression",
            },
            Value::List(_) => "a list",
            Value::Set(_) => "a set",
            Value::Tuple(..) => "a tuple or interval",
            Value::Spans(..) => "an interval",
            Value::Matrix(_) => "a matrix",
            Value::Equation(_) => "an equation",
            Value::Inequality(_) => "an inequality",
            Value::Ratio(_) => "a ratio",
            Value::Congruence(..) => "a congruence",
            Value::Based(..) => "a numeral with a base",
        }
    }
}
