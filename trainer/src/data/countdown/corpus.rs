//! Writes Countdown transcripts, good and bad: the text from which a base model is made.

use rollout::random::{Draws, Stream};

use super::problems::{CountdownProblem, ProblemError, ProblemRanges, ProblemSource};
use super::solve::branches;
use super::styles::{Style, StyleError, StyleWeights};
use super::transcript::transcript;

/// The first index of every address used here, so that other users of the same seed draw other numbers.
const DOMAIN: u64 = 0x636f_7270_7573;

/// Sums on a page of them.
const SUMS: usize = 16;

/// Why a corpus cannot be written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CorpusError {
    /// The problems.
    #[error(transparent)]
    Problem(#[from] ProblemError),
    /// The weights.
    #[error(transparent)]
    Style(#[from] StyleError),
    /// Problems with other than three numbers.
    #[error("`n_numbers` = {got:?}: transcripts are written for problems of three numbers, so it must be [3, 3]")]
    Numbers {
        /// What was given.
        got: [usize; 2],
    },
}

/// One document of the corpus: a prompt and one way of going on, or a page of sums.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The text up to and with `Assistant:`; empty on a page of sums.
    pub prompt: String,
    /// What follows; in a transcript it begins with a space. The end-of-text token comes after it.
    pub completion: String,
    /// The problem asked and the style of the completion; `None` on a page of sums.
    pub about: Option<(CountdownProblem, Style)>,
}

/// The R1-Zero template (arXiv 2501.12948, Table 1) around a question.
pub fn r1_zero_prompt(question: &str) -> String {
    format!(
        "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The \
         assistant first thinks about the reasoning process in the mind and then provides the user with the answer. \
         The reasoning process and answer are enclosed within <think> </think> and <answer> </answer> tags, \
         respectively, i.e., <think> reasoning process here </think> <answer> answer here </answer>. User: \
         {question}. Assistant:"
    )
}

/// An endless, addressed corpus: document number `i` is a pure function of the seed and `i`.
#[derive(Clone, Debug)]
pub struct Corpus {
    source: ProblemSource,
    weights: StyleWeights,
    seed: u64,
}

impl Corpus {
    /// A corpus over the problems of `source`.
    ///
    /// # Errors
    /// If the source's problems do not have three numbers, or a weight is unusable.
    pub fn new(source: ProblemSource, weights: StyleWeights, seed: u64) -> Result<Self, CorpusError> {
        weights.validate()?;
        match source.ranges().n_numbers {
            [3, 3] => Ok(Self { source, weights, seed }),
            got => Err(CorpusError::Numbers { got }),
        }
    }

    /// Document number `index`.
    ///
    /// # Errors
    /// If the source has no problem left to give.
    pub fn document(&self, index: u64) -> Result<Document, CorpusError> {
        let mut draws = Stream::new(self.seed, &[DOMAIN, index]).draws();
        if draws.uniform() < self.weights.sums {
            return Ok(Document { prompt: String::new(), completion: self.sums(&mut draws), about: None });
        }
        let problem = self.source.problem(self.seed, index)?;
        let style = self.weights.draw(&mut draws);
        let max = self.source.ranges().max_intermediate;
        let completion = transcript(&problem, max, &self.weights, style, draws);
        let prompt = r1_zero_prompt(&problem.question());
        Ok(Document { prompt, completion, about: Some((problem, style)) })
    }

    /// A page of worked sums, of the kind that searches are made of.
    fn sums(&self, draws: &mut Draws) -> String {
        let ProblemRanges { numbers: [low, high], max_intermediate: max, .. } = *self.source.ranges();
        let mut sums: Vec<String> = Vec::with_capacity(SUMS);
        while sums.len() < SUMS {
            let tree = branches([0; 3].map(|_| draws.between(low, high)), max);
            if !tree.is_empty() {
                let branch = &tree[draws.below(tree.len())];
                sums.push(branch.first.to_string());
                sums.push(branch.attempts[draws.below(branch.attempts.len())].second.to_string());
            }
        }
        sums.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::countdown::styles::{Depth, Tags};

    fn documents(count: u64) -> Vec<Document> {
        let source = ProblemSource::new(ProblemRanges::default(), []).unwrap();
        let corpus = Corpus::new(source, StyleWeights::default(), 1).unwrap();
        (0..count).map(|index| corpus.document(index).unwrap()).collect()
    }

    /// The checked steps of a completion, as it wrote them: text of the step, its value, and whether it was said to hit.
    fn checks(completion: &str) -> Vec<(String, i64, bool)> {
        let steps = completion.split(['.', '!']).filter_map(|part| part.split_once("then ").or(Some(("", part))));
        let verdicts =
            steps.filter_map(|(_, part)| part.trim().split_once(", ")).filter(|(step, _)| step.contains('='));
        verdicts
            .map(|(step, verdict)| {
                let value = step.split_once(" = ").unwrap().1.parse().unwrap();
                (step.to_owned(), value, ["yes", "that works"].contains(&verdict))
            })
            .collect()
    }

    /// Carries out `a op b` as written.
    fn compute(step: &str) -> i64 {
        let words: Vec<&str> = step.split(' ').collect();
        let (a, b): (i64, i64) = (words[0].parse().unwrap(), words[2].parse().unwrap());
        match words[1] {
            "+" => a + b,
            "-" => a - b,
            "*" => a * b,
            "/" if a % b == 0 => a / b,
            other => panic!("{other} in {step}"),
        }
    }

    /// The value of an answer, `(a op b) op c` or `a op (b op c)`, and its numbers in order of size.
    fn evaluate(answer: &str) -> (i64, Vec<i64>) {
        let (open, close) = (answer.find('(').unwrap(), answer.find(')').unwrap());
        let inner = compute(&answer[open + 1..close]);
        let outer = format!("{}{inner}{}", &answer[..open], &answer[close + 1..]);
        let digits = |c: char| !c.is_ascii_digit();
        let mut numbers: Vec<i64> =
            answer.split(digits).filter(|word| !word.is_empty()).map(|word| word.parse().unwrap()).collect();
        numbers.sort_unstable();
        (compute(&outer), numbers)
    }

    fn tagged_answer(document: &Document) -> Option<&str> {
        let (_, rest) = document.completion.split_once("<answer> ")?;
        rest.split_once(" </answer>").map(|(answer, _)| answer).filter(|answer| answer.contains('('))
    }

    #[test]
    fn a_document_depends_on_seed_and_index_alone() {
        let all = documents(50);
        let source = ProblemSource::new(ProblemRanges::default(), []).unwrap();
        let alone = Corpus::new(source.clone(), StyleWeights::default(), 1).unwrap().document(31).unwrap();
        assert_eq!(alone, all[31]);
        assert_ne!(Corpus::new(source, StyleWeights::default(), 2).unwrap().document(31).unwrap(), all[31]);
    }

    #[test]
    fn excluded_problems_never_occur() {
        let excluded: Vec<CountdownProblem> = documents(300).into_iter().map(|document| document.problem).collect();
        let source = ProblemSource::new(ProblemRanges::default(), &excluded).unwrap();
        let corpus = Corpus::new(source, StyleWeights::default(), 1).unwrap();
        for index in 0..2_000 {
            let document = corpus.document(index).unwrap();
            assert!(excluded.iter().all(|out| out.key() != document.problem.key()), "{}", document.problem.id());
        }
    }

    #[test]
    fn arithmetic_is_always_right_and_careful_checks_are_too() {
        let mut wrong = 0;
        for document in documents(3_000) {
            for (step, value, yes) in checks(&document.completion) {
                assert_eq!(compute(&step), value, "{}", document.completion);
                if yes != (value == document.problem.target) {
                    assert!(!document.style.careful, "{}", document.completion);
                    wrong += 1;
                }
            }
        }
        assert!(wrong > 200, "careless transcripts made only {wrong} wrong checks");
    }

    #[test]
    fn answers_use_the_numbers_and_hold_what_the_last_check_said() {
        let mut right = 0;
        for document in documents(3_000) {
            let Some(answer) = tagged_answer(&document) else { continue };
            let (value, numbers) = evaluate(answer);
            assert_eq!(numbers, document.problem.key().0);
            let checks = checks(&document.completion);
            if let Some((_, found, true)) = checks.last() {
                assert_eq!(value, *found, "{}", document.completion);
            }
            right += i32::from(value == document.problem.target);
        }
        assert!(right > 300, "{right}");
    }

    #[test]
    fn patient_careful_searches_repeat_nothing_and_mostly_succeed() {
        let mut counts = [0, 0];
        for document in documents(4_000) {
            let first: Vec<&str> = document
                .completion
                .lines()
                .filter_map(|line| line.split_once(", then"))
                .map(|(step, _)| step)
                .collect();
            let mut distinct = first.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), first.len(), "{}", document.completion);
            if document.style.depth == Depth::Long && document.style.careful && document.style.tags == Tags::Full {
                counts[0] += 1;
                counts[1] += i32::from(checks(&document.completion).last().is_some_and(|(_, _, yes)| *yes));
            }
        }
        assert!(counts[1] * 10 > counts[0] * 8, "{counts:?}");
    }

    #[test]
    fn tags_are_those_of_the_style() {
        for document in documents(1_000) {
            let text = &document.completion;
            let tags: Vec<&str> =
                ["<think>", "</think>", "<answer>", "</answer>"].into_iter().filter(|tag| text.contains(tag)).collect();
            let strict = tags.len() == 4 && text.starts_with(" <think>") && text.ends_with(" </answer>");
            assert_eq!(strict, document.style.tags == Tags::Full, "{text}");
            assert_eq!(tags.is_empty(), document.style.tags == Tags::None, "{text}");
            assert!(text.starts_with(' '), "{text:?}");
        }
    }

    #[test]
    fn other_counts_of_numbers_are_refused() {
        let source = ProblemSource::new(ProblemRanges { n_numbers: [3, 4], ..ProblemRanges::default() }, []).unwrap();
        let error = Corpus::new(source, StyleWeights::default(), 1).unwrap_err();
        assert_eq!(error, CorpusError::Numbers { got: [3, 4] });
    }
}
