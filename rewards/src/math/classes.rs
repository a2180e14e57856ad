//! Which of several answers are the same answer.

use std::collections::HashMap;

use super::extract::Found;
use super::gold::GoldAnswer;
use super::{Accuracy, BUDGET_WORDS, Budget};

impl Accuracy {
    /// Sorts answers into classes of the same meaning, as for a majority vote; gives back the class of each, numbered from 0 in
    /// the order in which classes are first seen.
    ///
    /// An answer belongs to the first class whose first answer it would be right for, were that one the gold: numbers by value,
    /// expressions by meaning, options by letter, words as words, and what is not understood as text. Work is bounded by one
    /// verdict for each pair of an answer and a class; an answer spelled as one before costs nothing.
    pub fn classes(&self, answers: &[&str]) -> Vec<usize> {
        let mut firsts: Vec<GoldAnswer> = Vec::new();
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut class_of = |answer| {
            let class = firsts.iter().position(|first| self.answers(first, answer));
            class.unwrap_or_else(|| {
                firsts.push(GoldAnswer::read(answer, &Budget::new(BUDGET_WORDS)));
                firsts.len() - 1
            })
        };
        answers.iter().map(|answer| *known.entry(answer.trim()).or_insert_with_key(|answer| class_of(answer))).collect()
    }

    fn answers(&self, gold: &GoldAnswer, answer: &str) -> bool {
        let found = Found { text: answer.into(), rule: "boxed", behind: "", boxes: Vec::new() };
        self.compare(gold, &found).score == Some(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answers: &[&str], classes: &[usize]) {
        assert_eq!(Accuracy::default().classes(answers), classes, "{answers:?}");
    }

    #[test]
    fn what_means_the_same_is_one_class() {
        check(&[], &[]);
        check(&["42", "43", " 42 ", "42.0", r"\frac{84}{2}"], &[0, 1, 0, 0, 0]);
        check(&["1/3", "0.5", r"\frac{2}{6}", "1/2"], &[0, 1, 0, 1]);
        check(&["B", "(B)", "C", "B."], &[0, 0, 1, 0]);
        check(&["Paris", "paris", "London"], &[0, 0, 1]);
        check(&["x+1", "1+x", "x-1"], &[0, 0, 1]);
        check(&["(1, 2)", "(2, 1)", "(1,2)"], &[0, 1, 0]);
        check(&["3 + 5", "8", "(3 + 5)", "9"], &[0, 0, 0, 1]);
        // What is not understood is compared as text.
        check(&[r"\frac{", r"\frac{ ", r"\frac{1", "", ""], &[0, 0, 1, 2, 2]);
    }

    #[test]
    fn spellings_cost_once() {
        let hostile = "(".repeat(4000);
        let answers: Vec<&str> = (0..500).map(|n| if n % 2 == 0 { hostile.as_str() } else { "9^9^9^9" }).collect();
        let classes = Accuracy::default().classes(&answers);
        assert_eq!(classes, (0..500).map(|n| n % 2).collect::<Vec<_>>());
    }
}
