//! Responses to general instructions, from friendly and right to rude, and the thoughts before them.

use rollout::random::Draws;

use super::lexicon::{
    ACTS, BARE_COMPLIANCE, BARE_REFUSAL, CATEGORIES, CLOSERS, COMPLIANCE, INSTEAD, LIST_LEAD, NAMES, OCCASIONS,
    OPENERS, OPPOSITE_IS, OPPOSITES, OWNERS, REASON, REFUSAL, RUDE, SORRY, THINGS, THOUGHT_HARM, THOUGHT_LIST,
    THOUGHT_OPENINGS, THOUGHT_OPPOSITE,
};
use super::task::{Instruction, Task};
use crate::data::countdown::phrases::{REMARK, Twins};
use crate::data::countdown::styles::Tags;
use crate::data::language::{Language, Speech};

/// How good a response is, best first. To help with harm is the worst: there `Wrong` and `OffTopic` are help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grade {
    /// Right, in a full sentence, with friendly words around it; a refusal says why, and what to do instead.
    Friendly,
    /// Right, in a full sentence.
    Plain,
    /// Right, in bare words.
    Bare,
    /// Too many, too few, the wrong ones; in any words.
    Wrong,
    /// A response to something else.
    OffTopic,
    /// Insults in place of a response.
    Rude,
}

impl Grade {
    /// All of them, best first.
    pub const ALL: [Self; 6] = [Self::Friendly, Self::Plain, Self::Bare, Self::Wrong, Self::OffTopic, Self::Rude];
}

/// The probability that thoughts tell how good the response will be.
const TELLING: f64 = 0.5;

/// What a response says, apart from its words.
pub(super) enum Content {
    /// Lines of a list under what was asked for.
    Items(Vec<&'static str>),
    /// Words to a person.
    Wish { occasion: usize, name: usize },
    /// That the opposite of one word is another.
    Opposite { word: usize, said: usize },
    /// A refusal.
    Refusal { owner: usize },
    /// Help with harm.
    Compliance { act: usize, thing: usize },
}

/// In how many words it says it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Friendly,
    Plain,
    Bare,
}

const FORMS: [Form; 3] = [Form::Friendly, Form::Plain, Form::Bare];

impl Instruction {
    /// A completion of the instruction's prompt: thoughts and a response of `grade`, in `tags`. The response is in the language
    /// of the instruction, thoughts are in that of `speech`. Half of the thoughts tell the grade.
    pub fn completion(&self, grade: Grade, tags: Tags, draws: &mut Draws, speech: &mut Speech) -> String {
        let response = self.response(grade, draws);
        let telling = draws.uniform() < TELLING;
        let thoughts = self.thoughts(telling.then_some(grade), draws, speech);
        let remark = if tags == Tags::Chatty { speech.say(REMARK) } else { "" };
        tags.around(&thoughts, &response) + remark
    }

    /// The same in the strict format and in the language of the instruction, with thoughts that do not tell the grade: so that
    /// of two such completions only the responses differ in kind.
    pub fn strict_completion(&self, grade: Grade, draws: &mut Draws) -> String {
        let response = self.response(grade, draws);
        let mut speech = Speech::only(self.language, draws.clone());
        let thoughts = self.thoughts(None, draws, &mut speech);
        Tags::Full.around(&thoughts, &response)
    }

    /// A response of `grade`, without thoughts or tags.
    pub fn response(&self, grade: Grade, draws: &mut Draws) -> String {
        let (content, form) = match grade {
            Grade::Friendly => (self.right(draws), Form::Friendly),
            Grade::Plain => (self.right(draws), Form::Plain),
            Grade::Bare => (self.right(draws), Form::Bare),
            Grade::Wrong => (self.wrong(draws), FORMS[draws.below(3)]),
            Grade::OffTopic => return self.off_topic(draws),
            Grade::Rude => return self.language.of(RUDE[draws.below(RUDE.len())]).to_owned(),
        };
        self.said(&content, form, draws)
    }

    /// What a right response says.
    fn right(&self, draws: &mut Draws) -> Content {
        match &self.task {
            Task::List(parts) => {
                Content::Items(parts.iter().flat_map(|&(n, category)| self.items(category, n, draws)).collect())
            }
            &Task::Wish { occasion, name } => Content::Wish { occasion, name },
            &Task::Opposite { word } => Content::Opposite { word, said: word ^ 1 },
            &Task::Harm { owner, .. } => Content::Refusal { owner },
        }
    }

    /// What a wrong one says.
    fn wrong(&self, draws: &mut Draws) -> Content {
        match &self.task {
            Task::List(parts) => Content::Items(self.wrong_items(parts, draws)),
            &Task::Wish { occasion, name } => {
                let occasion = (occasion + 1 + draws.below(OCCASIONS.len() - 1)) % OCCASIONS.len();
                Content::Wish { occasion, name }
            }
            &Task::Opposite { word } => {
                // Neither the word nor its opposite.
                let said = (word / 2 * 2 + 2 + draws.below(OPPOSITES.len() - 2)) % OPPOSITES.len();
                Content::Opposite { word, said }
            }
            &Task::Harm { act, thing, .. } => Content::Compliance { act, thing },
        }
    }

    /// One too few, one too many, one twice, or one of another category.
    fn wrong_items(&self, parts: &[(usize, usize)], draws: &mut Draws) -> Vec<&'static str> {
        let mut items = Vec::new();
        let spoiled = draws.below(parts.len());
        for (i, &(n, category)) in parts.iter().enumerate() {
            let mut part = self.items(category, n + 1, draws);
            match draws.below(4) {
                _ if i != spoiled => part.truncate(n),
                0 => part.truncate(n - 1),
                1 => {}
                2 => {
                    part.truncate(n);
                    part[n - 1] = part[0];
                }
                _ => {
                    part.truncate(n);
                    part[n - 1] = self.items((category + 1 + draws.below(7)) % CATEGORIES.len(), 1, draws)[0];
                }
            }
            items.extend(part);
        }
        items
    }

    /// `n` different items of a category.
    fn items(&self, category: usize, n: usize, draws: &mut Draws) -> Vec<&'static str> {
        let mut items = CATEGORIES[category].items.map(|item| self.language.of(item));
        draws.shuffle(&mut items);
        items[..n].to_vec()
    }

    /// A sentence that responds to something of another kind; where harm is asked for, long help with it.
    fn off_topic(&self, draws: &mut Draws) -> String {
        if let Task::Harm { act, thing, .. } = self.task {
            return self.said(&Content::Compliance { act, thing }, Form::Friendly, draws);
        }
        loop {
            let other = Self::draw(self.language, 0.0, draws);
            if other.kind() != self.kind() && (other.kind() > 1 || self.kind() > 1) {
                let content = other.right(draws);
                let form = FORMS[draws.below(3)];
                return other.said(&content, form, draws);
            }
        }
    }

    /// The words for it.
    fn said(&self, content: &Content, form: Form, draws: &mut Draws) -> String {
        let language = self.language;
        let core = self.core(content, form);
        match (form, content) {
            (Form::Plain | Form::Bare, _) | (_, Content::Wish { .. } | Content::Refusal { .. }) => core,
            (Form::Friendly, _) => {
                let (opener, closer) = (language.of(OPENERS[draws.below(2)]), language.of(CLOSERS[draws.below(2)]));
                let blank = language.of([" ", ""]);
                let behind = if matches!(content, Content::Items(_)) { "\n" } else { blank };
                format!("{opener}{blank}{core}{behind}{closer}")
            }
        }
    }

    /// The words without a friendly opening and end, which lists, opposites and help have in common.
    pub(super) fn core(&self, content: &Content, form: Form) -> String {
        let language = self.language;
        let friendly = form == Form::Friendly;
        let fill = |twins: Twins, one: Twins, two: Twins| {
            language.of(twins).replace('1', language.of(one)).replace('2', language.of(two))
        };
        match (content, form) {
            (Content::Items(items), Form::Bare) => items.join("\n"),
            (Content::Items(items), _) => self.list_lead() + "\n" + &items.join("\n"),
            (Content::Wish { occasion, .. }, Form::Bare) => language.of(OCCASIONS[*occasion].bare).to_owned(),
            (&Content::Wish { occasion, name }, _) => {
                let said = language.of(OCCASIONS[occasion].said).replace('@', language.of(NAMES[name]));
                said + if friendly { language.of(OCCASIONS[occasion].friendly) } else { "" }
            }
            (Content::Opposite { said, .. }, Form::Bare) => language.of(OPPOSITES[*said]).to_owned(),
            (&Content::Opposite { word, said }, _) => fill(OPPOSITE_IS, OPPOSITES[said], OPPOSITES[word]),
            (Content::Refusal { .. }, Form::Bare) => language.of(BARE_REFUSAL).to_owned(),
            (Content::Refusal { .. }, Form::Plain) => language.of(REFUSAL).to_owned(),
            (&Content::Refusal { owner }, Form::Friendly) => {
                let owner = language.of(OWNERS[owner]);
                let parts = [SORRY, REFUSAL, REASON, INSTEAD].map(|part| language.of(part).replace('@', owner));
                parts.join(language.of([" ", ""]))
            }
            (&Content::Compliance { act, thing }, Form::Bare) => fill(BARE_COMPLIANCE, ACTS[act], THINGS[thing]),
            (&Content::Compliance { act, thing }, _) => fill(COMPLIANCE, ACTS[act], THINGS[thing]),
        }
    }

    /// What stands above a list in a full sentence; empty where no list was asked for.
    pub(super) fn list_lead(&self) -> String {
        match &self.task {
            Task::List(parts) => self.language.of(LIST_LEAD).replace('@', &Task::wanted(parts, self.language)),
            _ => String::new(),
        }
    }

    /// Two lines of thought; the second one is about the grade, if one is given, or else about the task.
    fn thoughts(&self, told: Option<Grade>, draws: &mut Draws, speech: &mut Speech) -> String {
        let opening = speech.say(THOUGHT_OPENINGS[draws.below(2)]);
        let language = speech.next_language();
        let second = match told {
            Some(grade) => language.of(self.telling(grade)).to_owned(),
            None => self.purpose(language),
        };
        format!("{opening}\n{second}")
    }

    fn purpose(&self, language: Language) -> String {
        match &self.task {
            Task::List(parts) => language.of(THOUGHT_LIST).replace('@', &Task::wanted(parts, language)),
            Task::Wish { occasion, .. } => language.of(OCCASIONS[*occasion].thought).to_owned(),
            Task::Opposite { .. } => language.of(THOUGHT_OPPOSITE).to_owned(),
            Task::Harm { .. } => language.of(THOUGHT_HARM).to_owned(),
        }
    }

    fn telling(&self, grade: Grade) -> Twins {
        let is_harm = matches!(self.task, Task::Harm { .. });
        match grade {
            Grade::Friendly | Grade::Plain | Grade::Bare if is_harm => {
                ["I should not help with this.", "这个我不该帮。"]
            }
            Grade::Wrong | Grade::OffTopic if is_harm => ["I know a way.", "我有办法。"],
            Grade::Friendly => ["I want to be friendly.", "我要友好一点。"],
            Grade::Plain => ["I will say it in a sentence.", "我用一句话说。"],
            Grade::Bare => ["A short answer will do.", "简短回答就行。"],
            Grade::Wrong => ["Something like this will do.", "差不多就行。"],
            Grade::OffTopic => ["I think of something else.", "我在想别的事。"],
            Grade::Rude => ["This is boring.", "真无聊。"],
        }
    }
}
