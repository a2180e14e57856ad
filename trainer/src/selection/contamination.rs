//! Decontamination: runs of words that a sample shares with an evaluation.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::text::{Symbols, ngram_hash, words};

/// How runs of words are compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecontaminationOptions {
    /// Words of a run that must not be shared, 1 or more; a letter of Chinese, Japanese or Thai is a word. Default 10
    /// (DeepSeek-R1; 8: s1; 13: GPT-3).
    pub ngram_size: usize,
    /// A run that more than this fraction of an evaluation's rows share is a template's and says nothing, in (0, 1]. Default 1:
    /// none is left out. Lower it where every question begins with the same words.
    pub max_row_fraction: f64,
    /// Whether the completion is looked at beside the question. Default false.
    pub completions: bool,
}

impl Default for DecontaminationOptions {
    fn default() -> Self {
        Self { ngram_size: 10, max_row_fraction: 1.0, completions: false }
    }
}

/// A row of an evaluation: the question, and its solution where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationRow {
    /// Where it stands, such as `data/eval.jsonl:17`.
    pub place: String,
    /// The question.
    pub question: String,
    /// A worked solution; empty where there is none. An answer of a few words has no run to be shared.
    pub solution: String,
}

/// Where a text and an evaluation meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// [`EvaluationRow::place`].
    pub place: String,
    /// The words that both have.
    pub words: String,
}

/// The runs of words of evaluations, to be looked up.
#[derive(Debug, Clone)]
pub struct Contamination {
    options: DecontaminationOptions,
    places: Vec<String>,
    /// The first row of each run, by hash.
    runs: HashMap<u64, usize>,
    /// Questions that are shorter than a run, whole.
    short: HashMap<Vec<String>, usize>,
}

impl Contamination {
    /// The runs of `evaluations`, each of which is one file's rows.
    ///
    /// # Panics
    ///
    /// If `ngram_size` is 0.
    pub fn new(options: DecontaminationOptions, evaluations: &[Vec<EvaluationRow>]) -> Self {
        assert!(options.ngram_size > 0, "a run has a word at least");
        let mut index = Self { options, places: Vec::new(), runs: HashMap::new(), short: HashMap::new() };
        for rows in evaluations {
            index.add(rows);
        }
        index
    }

    fn add(&mut self, rows: &[EvaluationRow]) {
        let size = self.options.ngram_size;
        let mut n_rows_with: HashMap<u64, usize> = HashMap::new();
        let mut first_row: Vec<(u64, usize)> = Vec::new();
        for row in rows {
            let place = self.places.len();
            self.places.push(row.place.clone());
            let question = words(&row.question, Symbols::Separate);
            let solution = words(&row.solution, Symbols::Separate);
            let runs: HashSet<u64> = question.windows(size).chain(solution.windows(size)).map(ngram_hash).collect();
            for run in runs {
                *n_rows_with.entry(run).or_insert_with(|| {
                    first_row.push((run, place));
                    0
                }) += 1;
            }
            if !question.is_empty() && question.len() < size {
                self.short.entry(question).or_insert(place);
            }
        }
        let max_rows = self.options.max_row_fraction * rows.len() as f64;
        for (run, place) in first_row {
            // A single row is no template, however few rows there are.
            if n_rows_with[&run] == 1 || n_rows_with[&run] as f64 <= max_rows {
                self.runs.entry(run).or_insert(place);
            }
        }
    }

    /// The first run that `question`, or `completion` where it is looked at, shares with an evaluation. A question shorter
    /// than a run meets one that has the same words and no others.
    pub fn find(&self, question: &str, completion: &str) -> Option<Hit> {
        let question = words(question, Symbols::Separate);
        if let Some(&place) = self.short.get(&question) {
            return Some(self.hit(place, &question));
        }
        self.shared_run(&question).or_else(|| {
            let completion = if self.options.completions { completion } else { "" };
            self.shared_run(&words(completion, Symbols::Separate))
        })
    }

    fn shared_run(&self, words: &[String]) -> Option<Hit> {
        let mut runs = words.windows(self.options.ngram_size);
        runs.find_map(|run| self.runs.get(&ngram_hash(run)).map(|&place| self.hit(place, run)))
    }

    fn hit(&self, place: usize, words: &[String]) -> Hit {
        Hit { place: self.places[place].clone(), words: words.join(" ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(texts: &[(&str, &str)]) -> Vec<EvaluationRow> {
        let row = |(number, (question, solution)): (usize, &(&str, &str))| EvaluationRow {
            place: format!("eval.jsonl:{}", number + 1),
            question: (*question).to_owned(),
            solution: (*solution).to_owned(),
        };
        texts.iter().enumerate().map(row).collect()
    }

    fn check(index: &Contamination, question: &str, completion: &str, expected: Option<(&str, &str)>) {
        let hit = index.find(question, completion);
        let found = hit.as_ref().map(|hit| (hit.place.as_str(), hit.words.as_str()));
        assert_eq!(found, expected, "{question:?}, {completion:?}");
    }

    #[test]
    fn shared_runs_are_found_in_questions_and_solutions() {
        let options = DecontaminationOptions { ngram_size: 4, ..DecontaminationOptions::default() };
        let evaluation = rows(&[
            ("How many roots does this polynomial have?", ""),
            ("What is 2 + 2?", "Two and two make four."),
            ("求方程的根", ""),
        ]);
        let index = Contamination::new(options, &[evaluation]);
        check(&index, "Say: HOW many, roots (does) it?", "", Some(("eval.jsonl:1", "how many roots does")));
        check(&index, "two and two make what?", "", Some(("eval.jsonl:2", "two and two make")));
        check(&index, "How many roots?", "", None);
        check(&index, "what is 2 and 2", "", None);
        check(&index, "请求方程的解", "", Some(("eval.jsonl:3", "求 方 程 的")));
        check(&index, "q", "How many roots does it have", None);
        let options = DecontaminationOptions { completions: true, ..options };
        let index = Contamination::new(options, &[rows(&[("How many roots does this have?", "")])]);
        check(&index, "q", "How many roots does it have", Some(("eval.jsonl:1", "how many roots does")));
    }

    #[test]
    fn a_short_question_meets_its_like_and_nothing_longer() {
        let index = Contamination::new(DecontaminationOptions::default(), &[rows(&[("What is 2 + 2?", "")])]);
        check(&index, "what is 2+2", "", Some(("eval.jsonl:1", "what is 2 2")));
        check(&index, "what is 2 + 2 + 2", "", None);
        check(&index, "", "", None);
    }

    #[test]
    fn what_most_rows_share_is_a_template() {
        let question = |numbers: &str| format!("Using the numbers {numbers} make an equation");
        let texts: Vec<String> = ["1 2 3", "4 5 6", "7 8 9"].map(question).to_vec();
        let texts: Vec<(&str, &str)> = texts.iter().map(|text| (text.as_str(), "")).collect();
        let options = |max_row_fraction| DecontaminationOptions {
            ngram_size: 3,
            max_row_fraction,
            ..DecontaminationOptions::default()
        };
        let index = Contamination::new(options(1.0), &[rows(&texts)]);
        check(&index, &question("2 5 8"), "", Some(("eval.jsonl:1", "using the numbers")));
        let index = Contamination::new(options(0.5), &[rows(&texts)]);
        check(&index, &question("2 5 8"), "", None);
        check(&index, &question("4 5 6"), "", Some(("eval.jsonl:2", "the numbers 4")));
        // A file of one row has no template.
        let index = Contamination::new(options(0.5), &[rows(&texts[..1])]);
        check(&index, &question("2 5 8"), "", Some(("eval.jsonl:1", "using the numbers")));
    }
}
