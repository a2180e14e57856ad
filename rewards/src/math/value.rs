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
    pub(super) percent: bool,
    pub(super) unit: Option<String>,
    /// The same as a number with a unit, where its letters may be one: `5 m` besides `5` times `m`.
    pub(super) measured: Option<Box<Scalar>>,
}

impl Scalar {
    pub(super) fn plain(expr: Expr) -> Self {
        Self { expr, decimal: None, percent: false, unit: None, measured: None }
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
    /// A union of intervals.
    Spans(Vec<Span>),
    Matrix(Vec<Vec<Scalar>>),
    /// Sides joined by `=` only.
    Equation(Chain),
    /// Sides joined by at least one of `< > ≤ ≥ ≠`.
    Inequality(Chain),
    Ratio(Vec<Expr>),
    /// A numeral and its base.
    Based(String, u32),
}

impl Value {
    /// What kind of answer this is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Scalar(scalar) if scalar.percent => "percentage",
            Value::Scalar(scalar) if scalar.unit.is_some() => "quantity with a unit",
            Value::Scalar(scalar) if scalar.decimal.is_some() => "decimal",
            Value::Scalar(Scalar { expr, .. }) => match expr {
                Expr::Number(_) => "number",
                Expr::Negative(inner) if matches!(**inner, Expr::Number(_)) => "number",
                Expr::Quotient(_) => "fraction",
                expr if expr.has_symbols() => "symbolic expression",
                _ => "expression",
            },
            Value::List(_) => "list",
            Value::Set(_) => "set",
            Value::Tuple(..) => "tuple or interval",
            Value::Spans(_) => "interval",
            Value::Matrix(_) => "matrix",
            Value::Equation(_) => "equation",
            Value::Inequality(_) => "inequality",
            Value::Ratio(_) => "ratio",
            Value::Based(..) => "numeral with a base",
        }
    }
}
