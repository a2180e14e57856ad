//! Expressions as they are read: numbers, symbols, and what is done to them.

use std::collections::BTreeSet;

use num_bigint::BigInt;
use num_rational::BigRational;

/// A function of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Function {
    Sin,
    Cos,
    Tan,
    Cot,
    Sec,
    Csc,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Ln,
    Exp,
    Abs,
    Floor,
    Ceiling,
    Factorial,
}

/// An expression. Depth and size are bounded by the reader ([`super::parse`]), so that walking it may recurse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expr {
    Number(BigRational),
    Symbol(String),
    Pi,
    Euler,
    Imaginary,
    Infinity,
    Negative(Box<Expr>),
    /// `±`; `true` for `∓`, which takes the other sign.
    PlusMinus(bool, Box<Expr>),
    Sum(Vec<Expr>),
    Product(Vec<Expr>),
    Quotient(Box<(Expr, Expr)>),
    Power(Box<(Expr, Expr)>),
    /// Base, argument.
    Log(Box<(Expr, Expr)>),
    /// n, k.
    Binomial(Box<(Expr, Expr)>),
    Apply(Function, Box<Expr>),
    /// A function without a formula, by its name, and its arguments. Of an unknown one, such as `f`, the first is a symbol
    /// that stands for the function itself.
    Call(String, Vec<Expr>),
}

impl Expr {
    pub(super) fn integer(value: i64) -> Self {
        Expr::Number(BigRational::from_integer(BigInt::from(value)))
    }

    /// The unknown function `name` of `arguments`.
    pub(super) fn unknown(name: &str, mut arguments: Vec<Expr>) -> Self {
        arguments.insert(0, Expr::Symbol(format!("{name}()")));
        Expr::Call(name.to_owned(), arguments)
    }

    pub(super) fn quotient(numerator: Expr, denominator: Expr) -> Self {
        Expr::Quotient(Box::new((numerator, denominator)))
    }

    pub(super) fn power(base: Expr, exponent: Expr) -> Self {
        Expr::Power(Box::new((base, exponent)))
    }

    pub(super) fn difference(left: Expr, right: Expr) -> Self {
        Expr::Sum(vec![left, Expr::Negative(Box::new(right))])
    }

    /// The parts directly below.
    pub(super) fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Number(_) | Expr::Symbol(_) | Expr::Pi | Expr::Euler | Expr::Imaginary | Expr::Infinity => vec![],
            Expr::Negative(inner) | Expr::PlusMinus(_, inner) | Expr::Apply(_, inner) => vec![inner],
            Expr::Sum(terms) | Expr::Product(terms) | Expr::Call(_, terms) => terms.iter().collect(),
            Expr::Quotient(pair) | Expr::Power(pair) | Expr::Log(pair) | Expr::Binomial(pair) => vec![&pair.0, &pair.1],
        }
    }

    /// Whether `wanted` holds of this expression or any part of it.
    pub(super) fn any(&self, wanted: &dyn Fn(&Expr) -> bool) -> bool {
        wanted(self) || self.children().iter().any(|child| child.any(wanted))
    }

    /// Adds the names of all symbols to `names`.
    pub(super) fn symbols<'a>(&'a self, names: &mut BTreeSet<&'a str>) {
        if let Expr::Symbol(name) = self {
            names.insert(name);
        }
        self.children().iter().for_each(|child| child.symbols(names));
    }

    pub(super) fn has_symbols(&self) -> bool {
        self.any(&|part| matches!(part, Expr::Symbol(_)))
    }

    /// The same expression with `±` read as `+` (and `∓` as `-`), or the other way round.
    pub(super) fn with_sign(&self, plus: bool) -> Expr {
        match self {
            Expr::PlusMinus(opposite, inner) => {
                let inner = inner.with_sign(plus);
                if plus == *opposite { Expr::Negative(Box::new(inner)) } else { inner }
            }
            other => other.rebuilt(&|child| child.with_sign(plus)),
        }
    }

    /// The same expression with `change` applied to every part directly below.
    pub(super) fn rebuilt(&self, change: &dyn Fn(&Expr) -> Expr) -> Expr {
        let pair = |pair: &(Expr, Expr)| Box::new((change(&pair.0), change(&pair.1)));
        let all = |terms: &[Expr]| terms.iter().map(change).collect();
        match self {
            Expr::Number(_) | Expr::Symbol(_) | Expr::Pi | Expr::Euler | Expr::Imaginary | Expr::Infinity => {
                self.clone()
            }
            Expr::Negative(inner) => Expr::Negative(Box::new(change(inner))),
            Expr::PlusMinus(opposite, inner) => Expr::PlusMinus(*opposite, Box::new(change(inner))),
            Expr::Apply(function, inner) => Expr::Apply(*function, Box::new(change(inner))),
            Expr::Sum(terms) => Expr::Sum(all(terms)),
            Expr::Product(factors) => Expr::Product(all(factors)),
            Expr::Call(name, arguments) => Expr::Call(name.clone(), all(arguments)),
            Expr::Quotient(inner) => Expr::Quotient(pair(inner)),
            Expr::Power(inner) => Expr::Power(pair(inner)),
            Expr::Log(inner) => Expr::Log(pair(inner)),
            Expr::Binomial(inner) => Expr::Binomial(pair(inner)),
        }
    }

    /// `a` and `b` with `self = a * symbol + b`, both free of the symbol; `None` where it is not of that form.
    pub(super) fn linear(&self, symbol: &str) -> Option<(Expr, Expr)> {
        let free = |expr: &Expr| !expr.any(&|part| matches!(part, Expr::Symbol(name) if name == symbol));
        if free(self) {
            return Some((Expr::integer(0), self.clone()));
        }
        match self {
            Expr::Symbol(_) => Some((Expr::integer(1), Expr::integer(0))),
            Expr::Negative(inner) => {
                let (a, b) = inner.linear(symbol)?;
                Some((Expr::Negative(Box::new(a)), Expr::Negative(Box::new(b))))
            }
            Expr::Sum(terms) => {
                let parts: Vec<_> = terms.iter().map(|term| term.linear(symbol)).collect::<Option<_>>()?;
                let (a, b) = parts.into_iter().unzip();
                Some((Expr::Sum(a), Expr::Sum(b)))
            }
            Expr::Product(factors) => {
                let (mut with, without): (Vec<&Expr>, Vec<&Expr>) = factors.iter().partition(|factor| !free(factor));
                let (a, b) = with.pop()?.linear(symbol)?;
                let times = |part: Expr| {
                    let mut product: Vec<Expr> = without.iter().map(|&factor| factor.clone()).collect();
                    product.push(part);
                    Expr::Product(product)
                };
                with.is_empty().then(|| (times(a), times(b)))
            }
            Expr::Quotient(pair) if free(&pair.1) => {
                let (a, b) = pair.0.linear(symbol)?;
                Some((Expr::quotient(a, pair.1.clone()), Expr::quotient(b, pair.1.clone())))
            }
            _ => None,
        }
    }
}
