//! Writes one transcript: opening, search, checks, answer, in the tags and with the faults of its style.

use rollout::random::Draws;

use super::phrases::{self, Twins};
use super::problems::CountdownProblem;
use super::solve::{Attempt, Branch, branches};
use super::styles::{Depth, Style, StyleWeights, Tags};
use crate::data::language::Speech;

/// What an assistant of the given style says about `problem`, whose three numbers make its target with all values in
/// `1..=max_intermediate`. Begins with a space.
///
/// - `speech`: which language each phrase is in
pub fn transcript(
    problem: &CountdownProblem,
    max_intermediate: i64,
    weights: &StyleWeights,
    style: Style,
    mut draws: Draws,
    speech: Speech,
) -> String {
    let numbers = [problem.numbers[0], problem.numbers[1], problem.numbers[2]];
    let voice = Voice::draw(&mut draws);
    let branches = branches(numbers, max_intermediate);
    Writer { target: problem.target, branches, weights: *weights, style, voice, draws, speech }.completion()
}

/// The words in which a text says that a value is wrong or right; drawn once, then held.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    sizes: bool,
    yes: Twins,
}

impl Voice {
    /// Draws a voice.
    pub fn draw(draws: &mut Draws) -> Self {
        Self { sizes: draws.uniform() < 0.75, yes: phrases::YES[draws.below(2)] }
    }

    /// The verdict on a value held to be right.
    pub fn yes(self) -> Twins {
        self.yes
    }

    /// The verdict on a value held to be wrong.
    pub fn no(self, value: i64, target: i64) -> Twins {
        match (self.sizes, value.cmp(&target)) {
            (true, std::cmp::Ordering::Less) => phrases::TOO_SMALL,
            (true, std::cmp::Ordering::Greater) => phrases::TOO_BIG,
            _ => phrases::NO,
        }
    }
}

struct Writer {
    target: i64,
    branches: Vec<Branch>,
    weights: StyleWeights,
    style: Style,
    voice: Voice,
    draws: Draws,
    speech: Speech,
}

impl Writer {
    /// The whole completion: opening tag, thoughts, answer.
    fn completion(&mut self) -> String {
        let opening = self.opening();
        let (thoughts, answer) = match self.style.depth {
            Depth::Guess => (String::new(), Some(self.guess())),
            Depth::Short | Depth::Long => self.search(),
        };
        let thoughts = format!("{opening}{thoughts}");
        match self.style.tags {
            Tags::Full | Tags::Chatty | Tags::Unclosed | Tags::AnswerOnly => {
                let answer = answer.map_or_else(|| self.speech.say(phrases::GIVE_UP).to_owned(), |a| a.to_string());
                let remark = if self.style.tags == Tags::Chatty { self.speech.say(phrases::REMARK) } else { "" };
                self.style.tags.around(&thoughts, &answer) + remark
            }
            Tags::ThinkOnly | Tags::None => {
                let answer = self.plain_answer(answer);
                self.style.tags.around(&thoughts, &answer)
            }
        }
    }

    /// The answer as a sentence.
    fn plain_answer(&mut self, answer: Option<Attempt>) -> String {
        let language = self.speech.next_language();
        match answer {
            Some(attempt) => {
                format!("{}{attempt}{}", language.of(phrases::ANSWER_IS), language.of(phrases::FULL_STOP))
            }
            None => language.of(phrases::GIVE_UP_PLAINLY).to_owned(),
        }
    }

    fn opening(&mut self) -> &'static str {
        if self.draws.uniform() < self.weights.plain_opening {
            return self.speech.say(phrases::PLAIN_OPENING);
        }
        let openings = phrases::openings(self.style.depth);
        let opening = openings[self.draws.below(openings.len())];
        self.speech.say(opening)
    }

    /// First steps, each with everything that can follow it, until a check says yes or patience ends.
    ///
    /// A long search goes through the pairs in order, so that it misses and repeats nothing; a short one picks. A long one
    /// that has tried them all says so: without such ends in the corpus a policy would start again from the front.
    fn search(&mut self) -> (String, Option<Attempt>) {
        let mut branches = self.branches.clone();
        let long = self.style.depth == Depth::Long;
        if !long {
            self.draws.shuffle(&mut branches);
        }
        let patience = if !long {
            1 + self.draws.below(2)
        } else if self.draws.uniform() < self.weights.impatient {
            3 + self.draws.below(4)
        } else {
            usize::MAX
        };
        if long && self.draws.uniform() < self.weights.overlook {
            branches.iter_mut().for_each(|branch| branch.attempts.retain(|a| a.value() != self.target));
            branches.retain(|branch| !branch.attempts.is_empty());
        }
        let mut text = String::new();
        for branch in branches.iter().take(patience) {
            text.push_str(&format!("\n{}{}", branch.first, self.speech.say(phrases::THEN)));
            for &attempt in &branch.attempts {
                text.push_str(&format!(" {}", attempt.second));
                if self.check(attempt.value()) {
                    text.push_str(self.speech.say(self.voice.yes()));
                    return (text, Some(attempt));
                }
                text.push_str(self.speech.say(self.voice.no(attempt.value(), self.target)));
            }
        }
        if patience == usize::MAX {
            text.push('\n');
            text.push_str(self.speech.say(phrases::ALL_TRIED));
        }
        if self.draws.uniform() < self.weights.give_up {
            return (text, None);
        }
        text.push(if patience == usize::MAX { ' ' } else { '\n' });
        text.push_str(self.speech.say(phrases::WILL_GUESS));
        (text, Some(self.guess()))
    }

    /// What the transcript says about a value: the truth, unless it is careless.
    fn check(&mut self, value: i64) -> bool {
        let hit = value == self.target;
        let slip = if hit { self.weights.false_no } else { self.weights.false_yes };
        hit != (!self.style.careful && self.draws.uniform() < slip)
    }

    /// Some attempt, right with the probability of a lucky guess.
    fn guess(&mut self) -> Attempt {
        let lucky = self.draws.uniform() < self.weights.lucky_guess;
        let attempts = self.branches.iter().flat_map(|branch| &branch.attempts);
        let (hits, misses): (Vec<Attempt>, Vec<Attempt>) = attempts.partition(|a| a.value() == self.target);
        // Every problem has a hit; a few have no miss.
        let pool = if lucky || misses.is_empty() { hits } else { misses };
        pool[self.draws.below(pool.len())]
    }
}
