//! The rows of the miniature's files: prompts, pairs of responses, responses that do harm or not, and demonstrations.

use std::collections::HashSet;

use rollout::random::{Draws, Stream};
use serde::Serialize;

use super::{Domain, Grade, Instruction};
use crate::data::language::Language;

/// What a file has rows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum RowKind {
    /// Instructions without a response: what reinforcement learning asks.
    Prompts,
    /// The same with a response of middling quality to compare with.
    References,
    /// Two responses to an instruction, the better one named, both about as long.
    Pairs,
    /// A response, and whether it is safe: it neither helps with harm nor insults.
    Safety,
    /// Instructions with a good response, though seldom the best: what is imitated.
    Demonstrations,
}

/// One row, without the keys that its kind does not have.
#[derive(Debug, Serialize, PartialEq)]
pub struct Row {
    /// Names the instruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The instruction.
    pub question: String,
    /// The better completion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// The worse one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// A completion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion: Option<String>,
    /// Whether it is safe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<bool>,
    /// A response to compare others with, without thoughts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// What responses are judged for.
    pub domain: Domain,
    /// The language of the instruction.
    pub language: Language,
}

/// Seed and number of a row come behind this in addresses.
const DOMAIN: u64 = 0x0069_6e73_7472_7563;

/// How many characters the chosen and the rejected completions so far may differ in all, beyond one pair.
const LENGTH_SLACK: i64 = 40;

/// Share of prompts that ask for harm, and of rows about safety.
const HARMFUL: f64 = 0.3;
const HARMFUL_AMONG_SAFETY: f64 = 0.6;

/// Grades of middling quality, and good ones.
const MIDDLING: [(Grade, f64); 2] = [(Grade::Bare, 0.6), (Grade::Wrong, 0.4)];
const GOOD: [(Grade, f64); 3] = [(Grade::Friendly, 0.15), (Grade::Plain, 0.7), (Grade::Bare, 0.15)];

/// Rows of a kind, of which each is a pure function of the seed and of those before it.
///
/// - `held_out`: of instructions that are held out, else of the others
///
/// Fewer than `n` come where there are not so many different instructions.
pub fn rows(kind: RowKind, n: usize, seed: u64, held_out: bool) -> Vec<Row> {
    let mut maker = Maker { kind, seen: HashSet::new(), longer: 0 };
    let pool: Vec<Instruction> = Language::ALL.into_iter().flat_map(Instruction::all).collect();
    let pool: Vec<Instruction> = pool.into_iter().filter(|instruction| instruction.is_held_out() == held_out).collect();
    let tries = (0..).take(n.saturating_mul(100)).filter_map(|index| {
        let mut draws = Stream::new(seed, &[DOMAIN, kind as u64, u64::from(held_out), index]).draws();
        let instruction = pick(kind, &pool, &mut draws);
        maker.row(&instruction, &mut draws)
    });
    tries.take(n).collect()
}

/// An instruction of a domain that the kind of row wants; within it each kind of task as often as in a corpus, for all are in
/// one pool.
fn pick(kind: RowKind, pool: &[Instruction], draws: &mut Draws) -> Instruction {
    let harmful = match kind {
        RowKind::Pairs => 0.0,
        RowKind::Safety => HARMFUL_AMONG_SAFETY,
        RowKind::Prompts | RowKind::References | RowKind::Demonstrations => HARMFUL,
    };
    let language = Language::ALL[draws.below(2)];
    let wanted = Instruction::draw_kind(harmful, draws);
    let fits = |instruction: &&Instruction| instruction.language == language && instruction.kind() == wanted;
    let fitting: Vec<&Instruction> = pool.iter().filter(fits).collect();
    fitting[draws.below(fitting.len())].clone()
}

struct Maker {
    kind: RowKind,
    /// What no second row may say.
    seen: HashSet<String>,
    /// By how many characters chosen completions have been longer, in all.
    longer: i64,
}

impl Maker {
    /// A row about `instruction`, unless there is one like it or its length does not suit.
    fn row(&mut self, instruction: &Instruction, draws: &mut Draws) -> Option<Row> {
        let (question, domain, language) = (instruction.question(), instruction.domain(), instruction.language);
        let mut row = Row {
            id: None,
            question,
            chosen: None,
            rejected: None,
            completion: None,
            label: None,
            reference: None,
            domain,
            language,
        };
        match self.kind {
            RowKind::Prompts => row.id = Some(instruction.id()),
            RowKind::References => {
                row.id = Some(instruction.id());
                row.reference = Some(instruction.response(weighted(&MIDDLING, draws), draws));
            }
            RowKind::Pairs => {
                let (chosen, rejected) = self.pair(instruction, draws)?;
                (row.chosen, row.rejected) = (Some(chosen), Some(rejected));
            }
            RowKind::Safety => {
                let (grade, label) = safety(domain, draws);
                (row.completion, row.label) = (Some(instruction.strict_completion(grade, draws)), Some(label));
            }
            RowKind::Demonstrations => {
                row.completion = Some(instruction.strict_completion(weighted(&GOOD, draws), draws));
            }
        }
        let texts = [Some(&row.question), row.chosen.as_ref(), row.rejected.as_ref(), row.completion.as_ref()];
        let key = texts.map(|text| text.map_or("", String::as_str)).join("\n");
        self.seen.insert(key).then_some(row)
    }

    /// Two completions of different quality, the better one first; none that would make the better ones longer or shorter on the
    /// whole, so that length tells nothing (DeepSeek-R1, B.2).
    fn pair(&mut self, instruction: &Instruction, draws: &mut Draws) -> Option<(String, String)> {
        let [mut chosen, mut rejected] =
            [(); 2].map(|()| instruction.strict_completion(Grade::ALL[draws.below(6)], draws));
        if instruction.quality(&chosen) < instruction.quality(&rejected) {
            std::mem::swap(&mut chosen, &mut rejected);
        }
        let length = |text: &str| text.chars().count() as i64;
        let longer = self.longer + length(&chosen) - length(&rejected);
        let suits = longer.abs() <= LENGTH_SLACK || longer.abs() < self.longer.abs();
        if !suits || instruction.quality(&chosen) - instruction.quality(&rejected) < 0.1 {
            return None;
        }
        self.longer = longer;
        Some((chosen, rejected))
    }
}

/// A grade for a row about safety, and whether it is safe.
fn safety(domain: Domain, draws: &mut Draws) -> (Grade, bool) {
    let safe = draws.below(2) == 0;
    let grades: &[Grade] = match (domain, safe) {
        (_, true) => &[Grade::Friendly, Grade::Plain, Grade::Bare],
        (Domain::Helpful, false) => &[Grade::Rude],
        (Domain::Harmless, false) => &[Grade::Wrong, Grade::Wrong, Grade::OffTopic, Grade::Rude],
    };
    (grades[draws.below(grades.len())], safe)
}

fn weighted(grades: &[(Grade, f64)], draws: &mut Draws) -> Grade {
    let weights: Vec<f64> = grades.iter().map(|(_, weight)| *weight).collect();
    grades[draws.weighted(&weights)].0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// The completions and grades that rows of a kind hold.
    fn instruction(row: &Row) -> Instruction {
        Instruction::find(&row.question).unwrap()
    }

    #[test]
    fn rows_depend_on_kind_seed_and_place_alone() {
        let some = rows(RowKind::Pairs, 40, 1, false);
        assert_eq!(rows(RowKind::Pairs, 20, 1, false), some[..20]);
        assert_ne!(rows(RowKind::Pairs, 40, 2, false), some);
    }

    #[test]
    fn held_out_rows_have_instructions_of_their_own() {
        let questions = |held_out| -> HashSet<String> {
            rows(RowKind::Prompts, 300, 1, held_out).into_iter().map(|row| row.question).collect()
        };
        let (held_out, others) = (questions(true), questions(false));
        assert_eq!((held_out.len(), others.len()), (300, 300));
        assert!(held_out.is_disjoint(&others));
    }

    #[test]
    fn the_better_one_is_chosen_and_length_tells_nothing() {
        let rows = rows(RowKind::Pairs, 400, 1, false);
        let length = |text: &Option<String>| text.as_ref().unwrap().chars().count() as f64;
        let (mut chosen, mut rejected) = (0.0, 0.0);
        for row in &rows {
            let quality = |text: &Option<String>| instruction(row).quality(text.as_ref().unwrap());
            assert!(quality(&row.chosen) > quality(&row.rejected) + 0.05, "{row:?}");
            assert_eq!(row.domain, Domain::Helpful);
            chosen += length(&row.chosen);
            rejected += length(&row.rejected);
        }
        assert!((chosen - rejected).abs() < 0.01 * chosen, "{chosen} {rejected}");
        let longer = rows.iter().filter(|row| length(&row.chosen) > length(&row.rejected)).count();
        assert!((150..250).contains(&longer), "{longer} of 400 chosen ones are the longer ones");
    }

    #[test]
    fn labels_say_what_is_safe_and_demonstrations_are_good() {
        for row in rows(RowKind::Safety, 200, 1, false) {
            let quality = instruction(&row).quality(row.completion.as_ref().unwrap());
            assert_eq!(row.label, Some(quality > 0.3), "{row:?}");
        }
        let rows = rows(RowKind::Demonstrations, 200, 1, false);
        let quality = |row: &Row| instruction(row).quality(row.completion.as_ref().unwrap());
        assert!(rows.iter().all(|row| quality(row) >= 0.4));
        let n_best = rows.iter().filter(|row| quality(row) > 0.99).count();
        assert!((10..60).contains(&n_best), "{n_best}");
    }

    #[test]
    fn the_files_that_ship_are_made_so() {
        let check = |name: &str, kind, n: usize, held_out| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data").join(name);
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(text.lines().count(), n, "{name}");
            for (row, line) in rows(kind, 100, 1, held_out).iter().zip(text.lines()) {
                assert_eq!(serde_json::to_string(row).unwrap(), line, "{name}");
            }
        };
        check("general_train.jsonl", RowKind::Prompts, 800, false);
        check("general_heldout.jsonl", RowKind::References, 200, true);
        check("general_sft.jsonl", RowKind::Demonstrations, 400, false);
        check("preferences_train.jsonl", RowKind::Pairs, 8_000, false);
        check("preferences_heldout.jsonl", RowKind::Pairs, 200, true);
        check("safety_train.jsonl", RowKind::Safety, 800, false);
        check("safety_heldout.jsonl", RowKind::Safety, 200, true);
    }
}
