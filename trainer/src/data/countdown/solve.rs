//! Enumerates what Countdown numbers can make: values, expressions, and the two-step searches of the transcripts.

use std::collections::BTreeSet;
use std::fmt;

/// One of the four operations of a Countdown equation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// `left + right`
    Add,
    /// `left - right`
    Sub,
    /// `left * right`
    Mul,
    /// `left / right`, only where it leaves no remainder
    Div,
}

impl Op {
    /// All four, in the order in which the question names them.
    pub const ALL: [Self; 4] = [Self::Add, Self::Sub, Self::Mul, Self::Div];

    /// The character of the operation.
    pub fn symbol(self) -> char {
        match self {
            Self::Add => '+',
            Self::Sub => '-',
            Self::Mul => '*',
            Self::Div => '/',
        }
    }
}

/// One operation carried out: `left op right = value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Step {
    /// Left operand.
    pub left: i64,
    /// The operation.
    pub op: Op,
    /// Right operand.
    pub right: i64,
    /// The exact result.
    pub value: i64,
}

impl Step {
    /// `a op b` written the one way round that gives a value in `1..=max`, or `None` if there is none.
    ///
    /// Sums and products keep the order given; differences and quotients put the larger number first.
    pub fn of(a: i64, op: Op, b: i64, max: i64) -> Option<Self> {
        let (left, right) = match op {
            Op::Add | Op::Mul => (a, b),
            Op::Sub | Op::Div => (a.max(b), a.min(b)),
        };
        let value = match op {
            Op::Add => left.checked_add(right)?,
            Op::Sub => left - right,
            Op::Mul => left.checked_mul(right)?,
            Op::Div => (right != 0 && left % right == 0).then(|| left / right)?,
        };
        (1..=max).contains(&value).then_some(Self { left, op, right, value })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} = {}", self.left, self.op.symbol(), self.right, self.value)
    }
}

/// A way to use three numbers: a first step, and a second one that takes the first one's value and the number left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt {
    /// The first step, over two of the three numbers.
    pub first: Step,
    /// The second step, over the first one's value and the third number.
    pub second: Step,
    /// Whether the first step's value is the left operand of the second.
    pub first_is_left: bool,
}

impl Attempt {
    /// The value of the whole expression.
    pub fn value(&self) -> i64 {
        self.second.value
    }
}

impl fmt::Display for Attempt {
    /// The expression as an answer writes it, the first step always in brackets: `7 * (8 - 3)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step { left, op, right, .. } = self.first;
        let inner = format!("({left} {} {right})", op.symbol());
        if self.first_is_left {
            write!(f, "{inner} {} {}", self.second.op.symbol(), self.second.right)
        } else {
            write!(f, "{} {} {inner}", self.second.left, self.second.op.symbol())
        }
    }
}

/// A first step with everything that can follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The first step.
    pub first: Step,
    /// The attempts that begin with it, at most one for each operation; never empty.
    pub attempts: Vec<Attempt>,
}

impl Branch {
    /// Whether one of the attempts hits `target`.
    pub fn reaches(&self, target: i64) -> bool {
        self.attempts.iter().any(|attempt| attempt.value() == target)
    }
}

/// Every first step over three numbers, each with every second step; all values lie in `1..=max`.
///
/// Nothing occurs twice, also when numbers are equal. Division by one is left out, because multiplication by one
/// is the same.
pub fn branches(numbers: [i64; 3], max: i64) -> Vec<Branch> {
    let mut out: Vec<Branch> = Vec::new();
    for (i, j, k) in [(0, 1, 2), (0, 2, 1), (1, 2, 0)] {
        for op in Op::ALL {
            let Some(first) = useful(numbers[i], op, numbers[j], max) else { continue };
            let rest = numbers[k];
            let attempts: Vec<_> = Op::ALL
                .iter()
                .filter_map(|&op| useful(first.value, op, rest, max))
                .map(|second| Attempt {
                    first,
                    second,
                    first_is_left: second.left == first.value && second.right == rest,
                })
                .collect();
            let seen = |branch: &Branch| {
                let (mut a, mut b) = ([branch.first.left, branch.first.right], [first.left, first.right]);
                a.sort_unstable();
                b.sort_unstable();
                a == b && branch.first.op == op
            };
            if !attempts.is_empty() && !out.iter().any(seen) {
                out.push(Branch { first, attempts });
            }
        }
    }
    out
}

fn useful(a: i64, op: Op, b: i64, max: i64) -> Option<Step> {
    Step::of(a, op, b, max).filter(|step| step.op != Op::Div || step.right != 1)
}

/// Every value that an equation with all `numbers`, each once, can have, if every intermediate value lies in `1..=max`.
///
/// The work grows as the number of ways to split the list; meant for at most six numbers.
pub fn reachable(numbers: &[i64], max: i64) -> BTreeSet<i64> {
    let subsets = 1usize << numbers.len();
    let mut values: Vec<BTreeSet<i64>> = vec![BTreeSet::new(); subsets];
    for subset in 1..subsets {
        if subset.count_ones() == 1 {
            values[subset].insert(numbers[subset.trailing_zeros() as usize]);
            continue;
        }
        let mut made = BTreeSet::new();
        // Each split once: the part that holds the subset's lowest number is the left one.
        let lowest = subset & subset.wrapping_neg();
        let mut left = (subset - 1) & subset;
        while left > 0 {
            if left & lowest != 0 {
                for &a in &values[left] {
                    for &b in &values[subset ^ left] {
                        made.extend(Op::ALL.iter().filter_map(|&op| Step::of(a, op, b, max)).map(|step| step.value));
                    }
                }
            }
            left = (left - 1) & subset;
        }
        values[subset] = made;
    }
    values.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_exact_and_positive() {
        let check = |a, op, b, expected: Option<&str>| {
            assert_eq!(Step::of(a, op, b, 99).map(|step| step.to_string()).as_deref(), expected);
        };
        check(3, Op::Add, 8, Some("3 + 8 = 11"));
        check(3, Op::Sub, 8, Some("8 - 3 = 5"));
        check(8, Op::Sub, 8, None);
        check(4, Op::Div, 20, Some("20 / 4 = 5"));
        check(4, Op::Div, 21, None);
        check(20, Op::Mul, 5, None);
        check(19, Op::Mul, 5, Some("19 * 5 = 95"));
    }

    #[test]
    fn expressions_put_the_first_step_in_brackets() {
        let written: Vec<String> =
            branches([8, 3, 7], 99).iter().flat_map(|b| &b.attempts).map(ToString::to_string).collect();
        for expected in ["(8 - 3) * 7", "7 - (8 - 3)", "(8 * 3) + 7", "(8 * 7) - 3", "(8 + 7) / 3"] {
            assert!(written.contains(&expected.to_owned()), "{expected} is missing from {written:?}");
        }
        assert!(!written.contains(&"(8 + 3) / 7".to_owned()));
    }

    #[test]
    fn equal_numbers_make_no_repeats() {
        let mut written: Vec<String> =
            branches([5, 5, 7], 99).iter().flat_map(|b| &b.attempts).map(ToString::to_string).collect();
        let all = written.len();
        written.sort();
        written.dedup();
        assert_eq!(written.len(), all);
        assert_eq!(branches([5, 5, 5], 99).len(), 4 - 1 /* 5 * 5 and no second 5 - 5 */);
    }

    #[test]
    fn searches_and_subsets_reach_the_same_values() {
        for numbers in [[8, 3, 7], [5, 5, 7], [1, 1, 1], [20, 4, 2], [1, 13, 20]] {
            let searched: BTreeSet<i64> =
                branches(numbers, 99).iter().flat_map(|b| &b.attempts).map(Attempt::value).collect();
            assert_eq!(searched, reachable(&numbers, 99), "{numbers:?}");
        }
    }

    #[test]
    fn four_numbers_need_splits_in_two_pairs() {
        // (20 - 19) + (18 - 17) = 2 and (2 + 3) * (4 + 5) = 45 need both halves.
        assert!(reachable(&[20, 19, 18, 17], 99).contains(&2));
        assert!(reachable(&[2, 3, 4, 5], 99).contains(&45));
        assert_eq!(reachable(&[7], 99), BTreeSet::from([7]));
    }
}
