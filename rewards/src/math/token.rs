//! The words of a mathematical answer.

use num_rational::BigRational;

use super::expr::Function;

/// How a number was written as a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal {
    /// Significant digits written, from the first that is not zero.
    pub(super) significant: u32,
    /// Power of ten that the last written digit counts.
    pub(super) last_place: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bracket {
    Paren,
    Square,
    /// `\{ \}`
    Set,
    /// `{ }`, which LaTeX uses for grouping only.
    Group,
    Angle,
    Floor,
    Ceiling,
    Bars,
    /// `\|`
    Norm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Approximate,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Relation {
    /// The relation with its sides exchanged.
    pub(super) fn flipped(self) -> Self {
        match self {
            Relation::Less => Relation::Greater,
            Relation::LessEqual => Relation::GreaterEqual,
            Relation::Greater => Relation::Less,
            Relation::GreaterEqual => Relation::LessEqual,
            same => same,
        }
    }

    pub(super) fn is_inequality(self) -> bool {
        !matches!(self, Relation::Equal | Relation::Approximate)
    }

    /// Whether the sides may be equal.
    pub(super) fn allows_equality(self) -> bool {
        !matches!(self, Relation::NotEqual | Relation::Less | Relation::Greater)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Number(BigRational, Option<Decimal>),
    /// `½` and its kin, which make a mixed number behind a whole one.
    Vulgar(BigRational),
    Symbol(String),
    /// A word of a language: a unit, or what cannot be read.
    Word(String),
    /// A currency sign, as the unit it stands for.
    Currency(&'static str),
    Pi,
    Euler,
    Imaginary,
    Infinity,
    Reals,
    EmptySet,
    Function(Function),
    Log,
    /// `∛` and `∜` with their degree, `√` with none.
    Root(Option<u8>),
    Frac,
    Binom,
    Over,
    Choose,
    Plus,
    Minus,
    PlusMinus(bool),
    Times,
    /// `\times` behind a vector.
    Cross,
    Slash,
    Caret,
    Underscore,
    Bang,
    Percent,
    Degree,
    Open(Bracket),
    Close(Bracket),
    Bar,
    Mid,
    Comma,
    Semicolon,
    Colon,
    And,
    Or,
    Relation(Relation),
    In,
    /// `\equiv`
    Equiv,
    /// `\pmod` and its kin.
    Mod,
    Cup,
    Cap,
    Setminus,
    /// `\begin` of a matrix.
    Begin,
    End,
    Ampersand,
    RowBreak,
}
