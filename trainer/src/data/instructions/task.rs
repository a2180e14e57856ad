//! A general instruction: what is asked, in which words, and whether it is held out.

use std::sync::LazyLock;

use rollout::random::{Draws, Stream};
use serde::Serialize;

use super::lexicon::{
    ACT, ACTS, CATEGORIES, HARM, LIST, LIST_OF_TWO, NAMES, OCCASIONS, OPPOSITE, OPPOSITES, OWNERS, THINGS,
};
use crate::data::language::Language;

/// What an instruction is judged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// Whether the response helps.
    Helpful,
    /// Whether it does no harm.
    Harmless,
}

/// What is asked. Numbers are places in the lexicon.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// So many of a category, or of two: `(how many, category)`.
    List(Vec<(usize, usize)>),
    /// Words to a person.
    Wish {
        /// Which words.
        occasion: usize,
        /// To whom.
        name: usize,
    },
    /// The opposite of a word.
    Opposite {
        /// The word.
        word: usize,
    },
    /// Help with harm.
    Harm {
        /// What is to be done.
        act: usize,
        /// To whose
        owner: usize,
        /// thing.
        thing: usize,
    },
}

/// A task in a language and a wording.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// What it is asked in.
    pub language: Language,
    /// What is asked.
    pub task: Task,
    /// Which of the wordings for such tasks.
    pub wording: usize,
}

/// Kinds of task: a list, a list of two, a wish, an opposite; harm.
const KINDS: usize = 5;

/// How often each kind comes up among those that ask for no harm.
const KIND_WEIGHTS: [f64; KINDS - 1] = [0.3, 0.25, 0.25, 0.2];

/// The kind that asks for harm.
const HARMFUL: usize = KINDS - 1;

/// Share of all instructions that no corpus and no training file has.
const HELD_OUT: f64 = 0.15;

/// The seed of the draw that holds out.
const HELD_OUT_SEED: u64 = 0x6865_6c64_206f_7574;

/// The instructions that are not held out, by language and kind.
static POOLS: LazyLock<[[Vec<Instruction>; KINDS]; 2]> = LazyLock::new(|| {
    Language::ALL.map(|language| {
        let mut pools: [Vec<Instruction>; KINDS] = Default::default();
        for instruction in Instruction::all(language).into_iter().filter(|instruction| !instruction.is_held_out()) {
            pools[instruction.kind()].push(instruction);
        }
        pools
    })
});

impl Task {
    /// What is wanted of a list, as `language` says it: `2 colours and 3 fruits`.
    pub(super) fn wanted(parts: &[(usize, usize)], language: Language) -> String {
        let part = |&(count, category): &(usize, usize)| format!("{count} {}", language.of(CATEGORIES[category].name));
        let parts: Vec<String> = parts.iter().map(part).collect();
        parts.join(language.of([" and ", "和 "]))
    }
}

impl Instruction {
    /// Every instruction in `language`, in a fixed order.
    pub fn all(language: Language) -> Vec<Self> {
        let mut tasks: Vec<(Task, usize)> = Vec::new();
        for (first, category) in (2..=5).flat_map(|count| (0..CATEGORIES.len()).map(move |c| (count, c))) {
            tasks.push((Task::List(vec![(first, category)]), LIST.len()));
            for (second, other) in (2..=3).flat_map(|count| (0..CATEGORIES.len()).map(move |c| (count, c))) {
                if first <= 3 && other != category {
                    tasks.push((Task::List(vec![(first, category), (second, other)]), LIST_OF_TWO.len()));
                }
            }
        }
        for (occasion, words) in OCCASIONS.iter().enumerate() {
            tasks.extend((0..NAMES.len()).map(|name| (Task::Wish { occasion, name }, words.asked.len())));
        }
        tasks.extend((0..OPPOSITES.len()).map(|word| (Task::Opposite { word }, OPPOSITE.len())));
        for act in 0..ACTS.len() {
            for (owner, thing) in (0..OWNERS.len()).flat_map(|owner| (0..THINGS.len()).map(move |t| (owner, t))) {
                tasks.push((Task::Harm { act, owner, thing }, HARM.len()));
            }
        }
        let worded =
            |(task, n): (Task, usize)| (0..n).map(move |wording| Self { language, task: task.clone(), wording });
        tasks.into_iter().flat_map(worded).collect()
    }

    /// The instruction whose question this is.
    pub fn find(question: &str) -> Option<Self> {
        let mut all = Language::ALL.into_iter().flat_map(Self::all);
        all.find(|instruction| instruction.question() == question)
    }

    /// Draws an instruction that is not held out.
    ///
    /// - `harmful`: the probability of one that asks for harm
    pub fn draw(language: Language, harmful: f64, draws: &mut Draws) -> Self {
        let kind = Self::draw_kind(harmful, draws);
        let pool = &POOLS[language as usize][kind];
        pool[draws.below(pool.len())].clone()
    }

    /// Draws what kind of task an instruction has.
    pub(super) fn draw_kind(harmful: f64, draws: &mut Draws) -> usize {
        if draws.uniform() < harmful { HARMFUL } else { draws.weighted(&KIND_WEIGHTS) }
    }

    /// Whether no corpus and no training file has it: a share drawn by the words of the question.
    pub fn is_held_out(&self) -> bool {
        // FNV-1a: a number for a text that is the same everywhere.
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let number = self.question().bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        Stream::new(HELD_OUT_SEED, &[number]).uniform(0) < HELD_OUT
    }

    /// What a response is judged for.
    pub fn domain(&self) -> Domain {
        if self.kind() == HARMFUL { Domain::Harmless } else { Domain::Helpful }
    }

    pub(super) fn kind(&self) -> usize {
        match &self.task {
            Task::List(parts) => parts.len() - 1,
            Task::Wish { .. } => 2,
            Task::Opposite { .. } => 3,
            Task::Harm { .. } => HARMFUL,
        }
    }

    /// The question. In Chinese it has no full stop, because the R1-Zero template adds its own.
    pub fn question(&self) -> String {
        let language = self.language;
        match &self.task {
            Task::List(parts) => {
                let wordings: &[_] = if parts.len() == 1 { &LIST } else { &LIST_OF_TWO };
                language.of(wordings[self.wording]).replace('@', &Task::wanted(parts, language))
            }
            Task::Wish { occasion, name } => {
                language.of(OCCASIONS[*occasion].asked[self.wording]).replace('@', language.of(NAMES[*name]))
            }
            Task::Opposite { word } => language.of(OPPOSITE[self.wording]).replace('@', language.of(OPPOSITES[*word])),
            Task::Harm { act, owner, thing } => {
                let words = [("1", ACTS[*act]), ("2", OWNERS[*owner]), ("3", THINGS[*thing])];
                let act = words
                    .iter()
                    .fold(language.of(ACT).to_owned(), |text, (mark, word)| text.replace(mark, language.of(*word)));
                language.of(HARM[self.wording]).replace('@', &act)
            }
        }
    }

    /// A name that no other instruction has: `en-list-3-animals-1`.
    pub fn id(&self) -> String {
        let what = match &self.task {
            Task::List(parts) => {
                format!("list-{}", Task::wanted(parts, Language::En).replace(" and ", "-").replace(' ', "-"))
            }
            Task::Wish { occasion, name } => format!("{}-{}", OCCASIONS[*occasion].id, NAMES[*name][0].to_lowercase()),
            Task::Opposite { word } => format!("opposite-{}", OPPOSITES[*word][0]),
            Task::Harm { act, owner, thing } => {
                format!("{}-{}-{}", ACTS[*act][0], OWNERS[*owner][0], THINGS[*thing][0])
            }
        };
        format!("{}-{what}-{}", self.language.tag(), self.wording + 1)
    }
}
