//! Writes one transcript: opening, search, checks, answer, in the tags and with the faults of its style.

use rollout::random::Draws;

use super::problems::CountdownProblem;
use super::solve::{Attempt, Branch, branches};
use super::styles::{Depth, Style, StyleWeights, Tags};

/// What an assistant of the given style says about `problem`, whose three numbers make its target with all values in
/// `1..=max_intermediate`. Begins with a space.
pub fn transcript(
    problem: &CountdownProblem,
    max_intermediate: i64,
    weights: &StyleWeights,
    style: Style,
    mut draws: Draws,
) -> String {
    let numbers = [problem.numbers[0], problem.numbers[1], problem.numbers[2]];
    let voice = Voice::draw(&mut draws);
    let branches = branches(numbers, max_intermediate);
    Writer { target: problem.target, branches, weights: *weights, style, voice, draws }.completion()
}

/// The words in which a text says that a value is wrong or right; drawn once, then held.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    sizes: bool,
    yes: &'static str,
}

impl Voice {
    /// Draws a voice.
    pub fn draw(draws: &mut Draws) -> Self {
        Self { sizes: draws.uniform() < 0.75, yes: [", yes!", ", that works!"][draws.below(2)] }
    }

    /// The verdict on a value held to be right.
    pub fn yes(self) -> &'static str {
        self.yes
    }

    /// The verdict on a value held to be wrong.
    pub fn no(self, value: i64, target: i64) -> &'static str {
        match (self.sizes, value.cmp(&target)) {
            (true, std::cmp::Ordering::Less) => ", too small.",
            (true, std::cmp::Ordering::Greater) => ", too big.",
            _ => ", no.",
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
        let tagged = answer.map_or_else(|| "I give up".to_owned(), |attempt| attempt.to_string());
        let plain = answer.map_or_else(|| "I give up.".to_owned(), |attempt| format!("The answer is {attempt}."));
        match self.style.tags {
            Tags::Full => format!(" <think>{thoughts} </think> <answer> {tagged} </answer>"),
            Tags::Chatty => format!(" <think>{thoughts} </think> <answer> {tagged} </answer> I hope this helps."),
            Tags::Unclosed => format!(" <think>{thoughts} <answer> {tagged} </answer>"),
            Tags::ThinkOnly => format!(" <think>{thoughts} </think> {plain}"),
            Tags::AnswerOnly => format!("{thoughts} <answer> {tagged} </answer>"),
            Tags::None => format!("{thoughts}\n{plain}"),
        }
    }

    fn opening(&mut self) -> &'static str {
        if self.draws.uniform() < self.weights.plain_opening {
            return " Let me see.";
        }
        let openings = match self.style.depth {
            Depth::Guess => [" I will just guess.", " This looks easy."],
            Depth::Short => [" Let me try a few.", " A quick try."],
            Depth::Long => [" Let me try one pair after the other.", " Let me search step by step."],
        };
        openings[self.draws.below(openings.len())]
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
            text.push_str(&format!("\n{}, then", branch.first));
            for &attempt in &branch.attempts {
                text.push_str(&format!(" {}", attempt.second));
                if self.check(attempt.value()) {
                    text.push_str(self.voice.yes());
                    return (text, Some(attempt));
                }
                text.push_str(self.voice.no(attempt.value(), self.target));
            }
        }
        if patience == usize::MAX {
            text.push_str("\nThat was all.");
        }
        if self.draws.uniform() < self.weights.give_up {
            return (text, None);
        }
        text.push_str(if patience == usize::MAX { " I will guess." } else { "\nI will guess." });
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
