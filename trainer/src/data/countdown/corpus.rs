//! Writes Countdown transcripts, good and bad: the text from which a base model is made.

use rollout::r1_zero;
use rollout::random::{Draws, Stream};

use super::phrases;
use super::problems::{CountdownProblem, ProblemError, ProblemRanges, ProblemSource};
use super::solve::{Op, Step, branches};
use super::styles::{Style, StyleError, StyleWeights, usable};
use super::transcript::{Voice, transcript};
use crate::data::instructions::{Grade, Instruction, InstructionWeights};
use crate::data::language::{Language, Manner, MannerWeights, Speech};

/// The first index of every address used here, so that other users of the same seed draw other numbers.
const DOMAIN: u64 = 0x636f_7270_7573;

/// What follows a document's number in the addresses of what a corpus of one language does not draw, so that this changes
/// nothing in it.
const SPEECH: u64 = 1;
const INSTRUCTIONS: u64 = 2;

/// Sums on a page of them.
const SUMS: usize = 16;

/// Share of them that are made to hit the page's target.
const PAGE_HITS: f64 = 0.25;

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

/// What a corpus is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CorpusWeights {
    /// How Countdown problems are attempted.
    pub styles: StyleWeights,
    /// Which language thoughts are in.
    pub languages: MannerWeights,
    /// How often and how well general instructions are followed.
    pub instructions: InstructionWeights,
}

impl CorpusWeights {
    /// Checks every weight.
    ///
    /// # Errors
    /// Names the first key whose value cannot be used.
    pub fn validate(&self) -> Result<(), StyleError> {
        self.styles.validate()?;
        self.instructions.validate()?;
        if usable(&self.languages.weights()) { Ok(()) } else { Err(StyleError::Weights { name: "languages" }) }
    }
}

/// One document of the corpus: a prompt and one way of going on, or a page of sums.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The text up to and with `Assistant:`; empty on a page of sums.
    pub prompt: String,
    /// What follows; behind a prompt it begins with a space. The end-of-text token comes after it.
    pub completion: String,
    /// What it is about.
    pub about: About,
    /// The language of the question, or of the page.
    pub language: Language,
    /// Whether the text behind the question keeps to it.
    pub manner: Manner,
}

/// What a document is about.
#[derive(Clone, Debug, PartialEq)]
pub enum About {
    /// A page of sums.
    Sums,
    /// An attempt at a problem, and its style.
    Problem(CountdownProblem, Style),
    /// A general instruction, and how well it is followed.
    Instruction(Instruction, Grade),
}

/// An endless, addressed corpus: document number `i` is a pure function of the seed and `i`.
#[derive(Clone, Debug)]
pub struct Corpus {
    source: ProblemSource,
    weights: CorpusWeights,
    seed: u64,
}

impl Corpus {
    /// A corpus over the problems of `source`, and the instructions that are not held out.
    ///
    /// # Errors
    /// If the source's problems do not have three numbers, or a weight is unusable.
    pub fn new(source: ProblemSource, weights: CorpusWeights, seed: u64) -> Result<Self, CorpusError> {
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
        let language = self.source.language(self.seed, index).unwrap_or(Language::En);
        let draws = |path: &[u64]| Stream::new(self.seed, &[&[DOMAIN, index], path].concat()).draws();
        let speech = self.weights.languages.draw(language, draws(&[SPEECH]));
        let mut instructions = draws(&[INSTRUCTIONS]);
        if instructions.uniform() < self.weights.instructions.share {
            return Ok(self.instruction(&mut instructions, speech));
        }
        let mut draws = draws(&[]);
        if draws.uniform() < self.weights.styles.sums {
            return Ok(self.sums(&mut draws, speech));
        }
        let manner = speech.manner();
        let problem = self.source.problem(self.seed, index)?;
        let style = self.weights.styles.draw(&mut draws);
        let max = self.source.ranges().max_intermediate;
        let completion = transcript(&problem, max, &self.weights.styles, style, draws, speech);
        let prompt = r1_zero(&problem.question(language));
        Ok(Document { prompt, completion, about: About::Problem(problem, style), language, manner })
    }

    /// A general instruction, followed well or badly.
    fn instruction(&self, draws: &mut Draws, mut speech: Speech) -> Document {
        let weights = &self.weights.instructions;
        let (language, manner) = (speech.own(), speech.manner());
        let instruction = Instruction::draw(language, weights.harmful, draws);
        let grade = weights.grade(draws);
        let tags = self.weights.styles.tags.draw(draws);
        let completion = instruction.completion(grade, tags, draws, &mut speech);
        let prompt = r1_zero(&instruction.question());
        Document { prompt, completion, about: About::Instruction(instruction, grade), language, manner }
    }

    /// A page of worked sums of the kind that searches are made of, each compared with one target.
    fn sums(&self, draws: &mut Draws, mut speech: Speech) -> Document {
        let ProblemRanges { targets: [low, high], .. } = *self.source.ranges();
        let target = draws.between(low, high);
        let voice = Voice::draw(draws);
        let (language, manner, [make, colon]) = (speech.own(), speech.manner(), phrases::PAGE);
        let opening = speech.next_language();
        let mut page = format!("{}{target}{}", opening.of(make), opening.of(colon));
        for _ in 0..SUMS {
            let hit = if draws.uniform() < PAGE_HITS { self.hit(target, draws) } else { None };
            let sum = hit.unwrap_or_else(|| self.sum(draws));
            let verdict = if sum.value == target { voice.yes() } else { voice.no(sum.value, target) };
            page.push_str(&format!(" {sum}{}", speech.say(verdict)));
        }
        Document { prompt: String::new(), completion: page, about: About::Sums, language, manner }
    }

    /// One step of some attempt at three numbers; never both, so that a page shows no way to solve a problem.
    fn sum(&self, draws: &mut Draws) -> Step {
        let ProblemRanges { numbers: [low, high], max_intermediate: max, .. } = *self.source.ranges();
        loop {
            let tree = branches([0; 3].map(|_| draws.between(low, high)), max);
            if !tree.is_empty() {
                let branch = &tree[draws.below(tree.len())];
                let second = branch.attempts[draws.below(branch.attempts.len())].second;
                return if draws.below(2) == 0 { branch.first } else { second };
            }
        }
    }

    /// A sum or a difference that makes `target`, if the one drawn lies inside the ranges.
    fn hit(&self, target: i64, draws: &mut Draws) -> Option<Step> {
        let ProblemRanges { numbers: [low, high], max_intermediate: max, .. } = *self.source.ranges();
        let right = draws.between(low, high);
        if draws.below(2) == 0 {
            (right < target).then(|| Step::of(target - right, Op::Add, right, max))?
        } else {
            (target + right <= max).then(|| Step::of(target + right, Op::Sub, right, max))?
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::countdown::styles::{Depth, Tags};

    fn corpus(excluded: &[CountdownProblem], seed: u64) -> Corpus {
        let source = ProblemSource::new(ProblemRanges::default(), excluded).unwrap();
        Corpus::new(source, CorpusWeights::default(), seed).unwrap()
    }

    /// The transcripts among the first `count` documents: problem, style and completion.
    fn transcripts(count: u64) -> Vec<(CountdownProblem, Style, String)> {
        let corpus = corpus(&[], 1);
        let documents = (0..count).map(|index| corpus.document(index).unwrap());
        let transcript = |document: Document| match document.about {
            About::Problem(problem, style) => Some((problem, style, document.completion)),
            About::Sums | About::Instruction(..) => None,
        };
        documents.filter_map(transcript).collect()
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

    fn tagged_answer(completion: &str) -> Option<&str> {
        let (_, rest) = completion.split_once("<answer> ")?;
        rest.split_once(" </answer>").map(|(answer, _)| answer).filter(|answer| answer.contains('('))
    }

    #[test]
    fn a_document_depends_on_seed_and_index_alone() {
        let all: Vec<Document> = (0..50).map(|index| corpus(&[], 1).document(index).unwrap()).collect();
        assert_eq!(corpus(&[], 1).document(31).unwrap(), all[31]);
        assert_ne!(corpus(&[], 2).document(31).unwrap(), all[31]);
    }

    #[test]
    fn excluded_problems_never_occur() {
        let excluded: Vec<CountdownProblem> = transcripts(300).into_iter().map(|(problem, ..)| problem).collect();
        let keys: Vec<_> = excluded.iter().map(CountdownProblem::key).collect();
        let corpus = corpus(&excluded, 1);
        for index in 0..2_000 {
            let About::Problem(problem, _) = corpus.document(index).unwrap().about else { continue };
            assert!(!keys.contains(&problem.key()), "{}", problem.id());
        }
    }

    #[test]
    fn arithmetic_is_always_right_and_careful_checks_are_too() {
        let mut wrong = 0;
        for (problem, style, completion) in transcripts(3_000) {
            for (step, value, yes) in checks(&completion) {
                assert_eq!(compute(&step), value, "{completion}");
                if yes != (value == problem.target) {
                    assert!(!style.careful, "{completion}");
                    wrong += 1;
                }
            }
        }
        assert!(wrong > 200, "careless transcripts made only {wrong} wrong checks");
    }

    #[test]
    fn answers_use_the_numbers_and_hold_what_the_last_check_said() {
        let mut right = 0;
        for (problem, _, completion) in transcripts(3_000) {
            let Some(answer) = tagged_answer(&completion) else { continue };
            let (value, numbers) = evaluate(answer);
            assert_eq!(numbers, problem.key().0);
            if let Some((_, found, true)) = checks(&completion).last() {
                assert_eq!(value, *found, "{completion}");
            }
            right += i32::from(value == problem.target);
        }
        assert!(right > 300, "{right}");
    }

    #[test]
    fn patient_careful_searches_repeat_nothing_and_mostly_succeed() {
        let (mut searches, mut successes) = (0, 0);
        for (_, style, completion) in transcripts(4_000) {
            let first = completion.lines().filter_map(|line| line.split_once(", then")).map(|(step, _)| step);
            let first: Vec<&str> = first.collect();
            let distinct: std::collections::HashSet<&&str> = first.iter().collect();
            assert_eq!(distinct.len(), first.len(), "{completion}");
            if style.depth == Depth::Long && style.careful {
                searches += 1;
                successes += i32::from(checks(&completion).last().is_some_and(|(_, _, yes)| *yes));
            }
        }
        assert!(successes * 10 > searches * 8, "{successes} of {searches}");
    }

    #[test]
    fn a_search_that_overlooks_tries_all_the_rest_and_says_so() {
        let (mut overlooked, mut searches) = (0, 0);
        for (problem, style, completion) in transcripts(4_000) {
            let exhausted = completion.contains("\nThat was all.");
            assert!(!exhausted || style.depth == Depth::Long, "{completion}");
            if style.depth != Depth::Long || !style.careful {
                continue;
            }
            searches += 1;
            if exhausted {
                overlooked += 1;
                let tried = checks(&completion).len();
                let tree = branches([0, 1, 2].map(|i| problem.numbers[i]), 99);
                let misses = tree.iter().flat_map(|b| &b.attempts).filter(|a| a.value() != problem.target).count();
                assert_eq!(tried, misses, "{completion}");
            }
        }
        let expected = StyleWeights::default().overlook * (1.0 - StyleWeights::default().impatient);
        assert!((f64::from(overlooked) / f64::from(searches) - expected).abs() < 0.02, "{overlooked} of {searches}");
    }

    #[test]
    fn tags_are_those_of_the_style() {
        for (_, style, text) in transcripts(1_000) {
            let tags = ["<think>", "</think>", "<answer>", "</answer>"].into_iter().filter(|tag| text.contains(tag));
            let tags = tags.count();
            let strict = tags == 4 && text.starts_with(" <think>") && text.ends_with(" </answer>");
            assert_eq!(strict, style.tags == Tags::Full, "{text}");
            assert_eq!(tags == 0, style.tags == Tags::None, "{text}");
            assert!(text.starts_with(' '), "{text:?}");
        }
    }

    #[test]
    fn pages_of_sums_are_right_and_as_many_as_asked_for() {
        let corpus = corpus(&[], 1);
        let documents = (0..2_000).map(|index| corpus.document(index).unwrap());
        let pages: Vec<Document> = documents.filter(|document| document.about == About::Sums).collect();
        assert!((pages.len() as f64 / 2_000.0 - StyleWeights::default().sums).abs() < 0.03, "{}", pages.len());
        for page in &pages {
            let (head, sums) = page.completion.split_once(": ").unwrap();
            let target: i64 = head.strip_prefix("Make ").unwrap().parse().unwrap();
            let sums = checks(sums);
            assert_eq!(sums.len(), SUMS);
            for (sum, value, yes) in sums {
                assert_eq!(compute(&sum), value);
                assert_eq!(yes, value == target, "{}", page.completion);
            }
        }
    }

    #[test]
    fn other_counts_of_numbers_are_refused() {
        let ranges = ProblemRanges { n_numbers: [3, 4], ..ProblemRanges::default() };
        let source = ProblemSource::new(ranges, []).unwrap();
        let error = Corpus::new(source, CorpusWeights::default(), 1).unwrap_err();
        assert_eq!(error, CorpusError::Numbers { got: [3, 4] });
    }
}
