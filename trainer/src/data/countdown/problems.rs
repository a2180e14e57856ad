//! Makes Countdown problems: problem number `i` of a seed is a pure function of both, and held-out ones never come up.

use std::collections::HashSet;

use rollout::random::Stream;
use serde::{Deserialize, Serialize};

use super::solve::reachable;
use crate::data::language::Language;

/// The first index of every address used here, so that other users of the same seed draw other numbers.
const DOMAIN: u64 = 0x636f_756e_7464;

/// The same for the languages, so that they change no problem.
const LANGUAGES: u64 = 0x6c61_6e67_7561_6765;

/// Draws of numbers before the generator gives up on finding a problem that is not excluded.
const MAX_DRAWS: usize = 10_000;

/// The space from which problems are drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProblemRanges {
    /// How many numbers a problem has, from and to (inclusive).
    pub n_numbers: [usize; 2],
    /// The numbers, from and to (inclusive).
    pub numbers: [i64; 2],
    /// The targets, from and to (inclusive).
    pub targets: [i64; 2],
    /// Every target can be made with all intermediate values in `1..=max_intermediate`.
    pub max_intermediate: i64,
    /// The languages in which problems are asked, each as often; none twice.
    pub languages: Vec<Language>,
}

impl Default for ProblemRanges {
    fn default() -> Self {
        let languages = vec![Language::En];
        Self { n_numbers: [3, 3], numbers: [1, 20], targets: [1, 99], max_intermediate: 99, languages }
    }
}

/// Why no problems can be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProblemError {
    /// A range whose end lies before its start, or beyond what is supported.
    #[error("`{name}` = [{from}, {to}]: needs {least} <= from <= to <= {most}")]
    Range {
        /// The key.
        name: &'static str,
        /// Start given.
        from: i64,
        /// End given.
        to: i64,
        /// The least start.
        least: i64,
        /// The largest end.
        most: i64,
    },
    /// No language, or one of them twice.
    #[error("`languages` = {got:?}: name \"en\", \"zh\" or both, each once")]
    Languages {
        /// Their tags.
        got: Vec<&'static str>,
    },
    /// Nothing left to draw.
    #[error(
        "no problem found in {draws} draws of numbers: widen `targets` or `numbers`, raise `max_intermediate`, or exclude fewer problems"
    )]
    Exhausted {
        /// How many lists of numbers were tried.
        draws: usize,
    },
}

/// One Countdown problem: make `target` from `numbers`, each used exactly once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CountdownProblem {
    /// The numbers in the order in which the question lists them.
    pub numbers: Vec<i64>,
    /// The value to make.
    pub target: i64,
}

impl CountdownProblem {
    /// The question without its final full stop (the R1-Zero template adds one): TinyZero's in English, the same in Chinese.
    pub fn question(&self, language: Language) -> String {
        let numbers: Vec<String> = self.numbers.iter().map(ToString::to_string).collect();
        let (numbers, target) = (numbers.join(", "), self.target);
        match language {
            Language::En => format!(
                "Using the numbers [{numbers}], create an equation that equals {target}. You can use basic arithmetic \
                 operations (+, -, *, /) and each number can only be used once. Show your work in <think> </think> tags. \
                 And return the final answer in <answer> </answer> tags, for example <answer> (1 + 2) / 3 </answer>"
            ),
            Language::Zh => format!(
                "用数字 [{numbers}] 组成一个等于 {target} 的算式。可以用加减乘除 (+, -, *, /)，每个数字只能用一次。\
                 思考过程写在 <think> </think> 标签里，最后的答案写在 <answer> </answer> 标签里，例如 <answer> (1 + 2) / 3 \
                 </answer>"
            ),
        }
    }

    /// A name that is the same for the same numbers in any order: `countdown-3-7-8-is-24`.
    pub fn id(&self) -> String {
        let (numbers, target) = self.key();
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        format!("countdown-{}-is-{target}", numbers.join("-"))
    }

    /// The identity of the problem: its numbers sorted, and its target.
    pub fn key(&self) -> (Vec<i64>, i64) {
        let mut numbers = self.numbers.clone();
        numbers.sort_unstable();
        (numbers, self.target)
    }
}

/// An endless, addressed supply of problems from [`ProblemRanges`], without the excluded ones.
#[derive(Clone, Debug)]
pub struct ProblemSource {
    ranges: ProblemRanges,
    excluded: HashSet<(Vec<i64>, i64)>,
}

impl ProblemSource {
    /// A source over `ranges` that never gives a problem of `excluded` (in any order of its numbers).
    ///
    /// # Errors
    /// If a range is empty or out of bounds.
    pub fn new<'a>(
        ranges: ProblemRanges,
        excluded: impl IntoIterator<Item = &'a CountdownProblem>,
    ) -> Result<Self, ProblemError> {
        let check = |name, [from, to]: [i64; 2], least, most| {
            let fits = least <= from && from <= to && to <= most;
            if fits { Ok(()) } else { Err(ProblemError::Range { name, from, to, least, most }) }
        };
        let max = ranges.max_intermediate;
        check("max_intermediate", [max, max], 1, 1_000_000)?;
        check("n_numbers", ranges.n_numbers.map(|n| i64::try_from(n).unwrap_or(i64::MAX)), 2, 6)?;
        check("numbers", ranges.numbers, 1, max)?;
        check("targets", ranges.targets, 1, max)?;
        let languages: HashSet<Language> = ranges.languages.iter().copied().collect();
        if languages.is_empty() || languages.len() < ranges.languages.len() {
            return Err(ProblemError::Languages {
                got: ranges.languages.iter().map(|language| language.tag()).collect(),
            });
        }
        Ok(Self { ranges, excluded: excluded.into_iter().map(CountdownProblem::key).collect() })
    }

    /// The ranges from which this source draws.
    pub fn ranges(&self) -> &ProblemRanges {
        &self.ranges
    }

    /// Whether the source would never give `problem`.
    pub fn excludes(&self, problem: &CountdownProblem) -> bool {
        self.excluded.contains(&problem.key())
    }

    /// The language in which problem number `index` of `seed` is asked. `None` where all are asked in English as a matter of
    /// course: then rows do not say so.
    pub fn language(&self, seed: u64, index: u64) -> Option<Language> {
        match self.ranges.languages[..] {
            [Language::En] => None,
            ref languages => Some(languages[Stream::new(seed, &[LANGUAGES, index]).draws().below(languages.len())]),
        }
    }

    /// Problem number `index` of `seed`: numbers uniform, then the target uniform among those they can make.
    ///
    /// # Errors
    /// If no problem that is allowed was found within a bounded number of draws.
    pub fn problem(&self, seed: u64, index: u64) -> Result<CountdownProblem, ProblemError> {
        let mut draws = Stream::new(seed, &[DOMAIN, index]).draws();
        let ProblemRanges { n_numbers, numbers: [low, high], targets: [least, most], max_intermediate, .. } =
            self.ranges;
        for _ in 0..MAX_DRAWS {
            let count = n_numbers[0] + draws.below(n_numbers[1] - n_numbers[0] + 1);
            let numbers: Vec<i64> = (0..count).map(|_| draws.between(low, high)).collect();
            let mut candidates: Vec<CountdownProblem> = reachable(&numbers, max_intermediate)
                .range(least..=most)
                .map(|&target| CountdownProblem { numbers: numbers.clone(), target })
                .collect();
            candidates.retain(|problem| !self.excludes(problem));
            if !candidates.is_empty() {
                return Ok(candidates.swap_remove(draws.below(candidates.len())));
            }
        }
        Err(ProblemError::Exhausted { draws: MAX_DRAWS })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(excluded: &[CountdownProblem]) -> ProblemSource {
        ProblemSource::new(ProblemRanges::default(), excluded).unwrap()
    }

    #[test]
    fn problems_are_solvable_and_inside_the_ranges() {
        let source = source(&[]);
        for index in 0..500 {
            let problem = source.problem(3, index).unwrap();
            assert_eq!(problem.numbers.len(), 3);
            assert!(problem.numbers.iter().all(|n| (1..=20).contains(n)));
            assert!((1..=99).contains(&problem.target));
            assert!(reachable(&problem.numbers, 99).contains(&problem.target));
        }
    }

    #[test]
    fn a_problem_depends_on_seed_and_index_alone() {
        let (whole, cut) = (source(&[]), source(&[]));
        let one = whole.problem(5, 17).unwrap();
        for index in 0..40 {
            whole.problem(5, index).unwrap();
        }
        assert_eq!(cut.problem(5, 17).unwrap(), one);
        assert_ne!(whole.problem(6, 17).unwrap(), one);
        assert_ne!(whole.problem(5, 18).unwrap(), one);
    }

    #[test]
    fn excluded_problems_never_come_up() {
        let ranges = ProblemRanges { numbers: [1, 5], targets: [1, 20], ..ProblemRanges::default() };
        let free = ProblemSource::new(ranges.clone(), []).unwrap();
        let excluded: Vec<_> = (0..100).map(|index| free.problem(1, index).unwrap()).collect();
        let source = ProblemSource::new(ranges, &excluded).unwrap();
        assert!((0..2_000).any(|index| excluded.contains(&free.problem(2, index).unwrap())));
        for index in 0..2_000 {
            let problem = source.problem(2, index).unwrap();
            assert!(excluded.iter().all(|out| out.key() != problem.key()), "{}", problem.id());
        }
    }

    #[test]
    fn an_empty_space_is_an_error() {
        let ranges = ProblemRanges { numbers: [1, 1], targets: [1, 1], ..ProblemRanges::default() };
        let only = CountdownProblem { numbers: vec![1, 1, 1], target: 1 };
        assert_eq!(ProblemSource::new(ranges.clone(), []).unwrap().problem(1, 0), Ok(only.clone()));
        let exhausted = ProblemSource::new(ranges, [&only]).unwrap().problem(1, 0);
        assert_eq!(exhausted, Err(ProblemError::Exhausted { draws: MAX_DRAWS }));
    }

    #[test]
    fn bad_ranges_are_refused_by_name() {
        let check = |ranges: ProblemRanges, expected: &str| {
            let error = ProblemSource::new(ranges, []).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(ProblemRanges { numbers: [9, 3], ..ProblemRanges::default() }, "`numbers` = [9, 3]");
        check(ProblemRanges { n_numbers: [3, 7], ..ProblemRanges::default() }, "`n_numbers` = [3, 7]");
        check(ProblemRanges { targets: [1, 120], ..ProblemRanges::default() }, "`targets` = [1, 120]");
        check(ProblemRanges { max_intermediate: 0, ..ProblemRanges::default() }, "`max_intermediate`");
    }

    #[test]
    fn the_question_is_tinyzeros() {
        let problem = CountdownProblem { numbers: vec![19, 36, 55], target: 65 };
        let question = problem.question(Language::En);
        assert!(question.starts_with("Using the numbers [19, 36, 55], create an equation that equals 65. You can"));
        assert!(question.ends_with("tags, for example <answer> (1 + 2) / 3 </answer>"));
        assert_eq!(problem.id(), "countdown-19-36-55-is-65");
        let question = problem.question(Language::Zh);
        assert!(question.starts_with("用数字 [19, 36, 55] 组成一个等于 65 的算式。可以"), "{question}");
        assert!(question.ends_with("标签里，例如 <answer> (1 + 2) / 3 </answer>"), "{question}");
    }

    #[test]
    fn languages_are_drawn_beside_the_problems() {
        let with = |languages: &[Language]| {
            ProblemSource::new(ProblemRanges { languages: languages.to_vec(), ..ProblemRanges::default() }, [])
        };
        let (both, chinese) = (with(&Language::ALL).unwrap(), with(&[Language::Zh]).unwrap());
        let n_chinese = (0..1_000).filter(|&index| both.language(1, index) == Some(Language::Zh)).count();
        assert!((430..570).contains(&n_chinese), "{n_chinese}");
        for index in 0..50 {
            assert_eq!(source(&[]).language(1, index), None);
            assert_eq!(chinese.language(1, index), Some(Language::Zh));
            assert_eq!(both.problem(1, index), source(&[]).problem(1, index));
        }
        for (languages, tags) in [(vec![], "[]"), (vec![Language::En; 2], r#"["en", "en"]"#)] {
            let error = with(&languages).unwrap_err().to_string();
            assert!(error.contains(&format!("`languages` = {tags}")), "{error}");
        }
    }
}
