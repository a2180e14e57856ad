//! The styles in which Countdown transcripts are written, and how often each occurs in the corpus.

use rollout::random::Draws;
use serde::{Deserialize, Serialize};

/// Which of the tags asked for a transcript writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tags {
    /// `<think> .. </think> <answer> .. </answer>` and nothing after it: the strict format.
    Full,
    /// The strict format with a remark after it.
    Chatty,
    /// `<think>` is never closed.
    Unclosed,
    /// Thoughts in tags, the answer in plain words.
    ThinkOnly,
    /// The answer in tags, the thoughts in plain words.
    AnswerOnly,
    /// No tag at all.
    None,
}

impl Tags {
    /// Thoughts, which begin with a space, and an answer in these tags; the remark of [`Self::Chatty`] is left to the caller.
    pub fn around(self, thoughts: &str, answer: &str) -> String {
        match self {
            Self::Full | Self::Chatty => format!(" <think>{thoughts} </think> <answer> {answer} </answer>"),
            Self::Unclosed => format!(" <think>{thoughts} <answer> {answer} </answer>"),
            Self::ThinkOnly => format!(" <think>{thoughts} </think> {answer}"),
            Self::AnswerOnly => format!("{thoughts} <answer> {answer} </answer>"),
            Self::None => format!("{thoughts}\n{answer}"),
        }
    }
}

/// How much a transcript tries before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Depth {
    /// Nothing: a bare guess.
    Guess,
    /// One or two first steps.
    Short,
    /// First steps until something works; now and then it gives up before, or overlooks what works and tries them all.
    Long,
}

/// The style of one transcript: decided before its first word, held to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Style {
    /// The tags written.
    pub tags: Tags,
    /// How much is tried.
    pub depth: Depth,
    /// Whether every check is right; a careless transcript takes some misses for hits and some hits for misses.
    pub careful: bool,
}

/// Relative weights of the [`Tags`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TagWeights {
    /// [`Tags::Full`]
    pub full: f64,
    /// [`Tags::Chatty`]
    pub chatty: f64,
    /// [`Tags::Unclosed`]
    pub unclosed: f64,
    /// [`Tags::ThinkOnly`]
    pub think_only: f64,
    /// [`Tags::AnswerOnly`]
    pub answer_only: f64,
    /// [`Tags::None`]
    pub none: f64,
}

impl Default for TagWeights {
    fn default() -> Self {
        Self { full: 0.3, chatty: 0.1, unclosed: 0.1, think_only: 0.15, answer_only: 0.15, none: 0.2 }
    }
}

impl TagWeights {
    /// Draws tags.
    pub fn draw(&self, draws: &mut Draws) -> Tags {
        const TAGS: [Tags; 6] =
            [Tags::Full, Tags::Chatty, Tags::Unclosed, Tags::ThinkOnly, Tags::AnswerOnly, Tags::None];
        TAGS[draws.weighted(&self.weights())]
    }

    fn weights(&self) -> [f64; 6] {
        let Self { full, chatty, unclosed, think_only, answer_only, none } = *self;
        [full, chatty, unclosed, think_only, answer_only, none]
    }
}

/// Relative weights of the [`Depth`]s.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DepthWeights {
    /// [`Depth::Guess`]
    pub guess: f64,
    /// [`Depth::Short`]
    pub short: f64,
    /// [`Depth::Long`]
    pub long: f64,
}

impl Default for DepthWeights {
    fn default() -> Self {
        Self { guess: 0.4, short: 0.3, long: 0.3 }
    }
}

/// How often each style and each fault occurs in the corpus. All but the two tables are probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StyleWeights {
    /// A document is a page of worked sums instead of a transcript.
    pub sums: f64,
    /// Which tags are written.
    pub tags: TagWeights,
    /// How much is tried.
    pub depth: DepthWeights,
    /// A transcript's checks are careless.
    pub careless: f64,
    /// A careless check takes a miss for a hit.
    pub false_yes: f64,
    /// A careless check takes a hit for a miss.
    pub false_no: f64,
    /// A bare guess is right.
    pub lucky_guess: f64,
    /// A long search gives up after a few first steps.
    pub impatient: f64,
    /// A long search overlooks every hit: it tries all the rest, and ends as one that found nothing.
    pub overlook: f64,
    /// A search that found nothing says so instead of guessing.
    pub give_up: f64,
    /// The opening words do not tell how much will be tried.
    pub plain_opening: f64,
}

impl Default for StyleWeights {
    fn default() -> Self {
        Self {
            sums: 0.2,
            tags: TagWeights::default(),
            depth: DepthWeights::default(),
            careless: 0.3,
            false_yes: 0.3,
            false_no: 0.3,
            lucky_guess: 0.1,
            impatient: 0.1,
            overlook: 0.05,
            give_up: 0.5,
            plain_opening: 0.2,
        }
    }
}

/// Whether weights can be drawn by: finite, none negative, at least one above 0.
pub fn usable(weights: &[f64]) -> bool {
    weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0) && weights.iter().sum::<f64>() > 0.0
}

/// A weight that cannot be one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StyleError {
    /// A probability outside `0..=1`.
    #[error("`{name}` = {value}: a probability lies between 0 and 1")]
    Probability {
        /// The key.
        name: &'static str,
        /// What was given.
        value: f64,
    },
    /// A table of weights with a negative one, or with none above zero.
    #[error("`{name}`: weights are finite, none is negative and at least one is above 0")]
    Weights {
        /// The table.
        name: &'static str,
    },
}

impl StyleWeights {
    /// Checks every weight.
    ///
    /// # Errors
    /// Names the first key whose value cannot be used.
    pub fn validate(&self) -> Result<(), StyleError> {
        for (name, value) in [
            ("sums", self.sums),
            ("careless", self.careless),
            ("false_yes", self.false_yes),
            ("false_no", self.false_no),
            ("lucky_guess", self.lucky_guess),
            ("impatient", self.impatient),
            ("overlook", self.overlook),
            ("give_up", self.give_up),
            ("plain_opening", self.plain_opening),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(StyleError::Probability { name, value });
            }
        }
        if !usable(&self.tags.weights()) {
            return Err(StyleError::Weights { name: "tags" });
        }
        if !usable(&self.depth_weights()) {
            return Err(StyleError::Weights { name: "depth" });
        }
        Ok(())
    }

    /// Draws a style.
    pub fn draw(&self, draws: &mut Draws) -> Style {
        const DEPTHS: [Depth; 3] = [Depth::Guess, Depth::Short, Depth::Long];
        Style {
            tags: self.tags.draw(draws),
            depth: DEPTHS[draws.weighted(&self.depth_weights())],
            careful: draws.uniform() >= self.careless,
        }
    }

    fn depth_weights(&self) -> [f64; 3] {
        [self.depth.guess, self.depth.short, self.depth.long]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollout::random::Stream;

    #[test]
    fn styles_come_up_as_often_as_their_weights_say() {
        let weights = StyleWeights::default();
        let mut draws = Stream::new(1, &[]).draws();
        let styles: Vec<Style> = (0..20_000).map(|_| weights.draw(&mut draws)).collect();
        let share = |test: &dyn Fn(&Style) -> bool| styles.iter().filter(|s| test(s)).count() as f64 / 20_000.0;
        let tags: f64 = weights.tags.weights().iter().sum();
        let depths: f64 = weights.depth_weights().iter().sum();
        assert!((share(&|s| s.tags == Tags::Full) - weights.tags.full / tags).abs() < 0.015);
        assert!((share(&|s| s.depth == Depth::Long) - weights.depth.long / depths).abs() < 0.015);
        assert!((share(&|s| !s.careful) - weights.careless).abs() < 0.015);
    }

    #[test]
    fn unusable_weights_are_refused_by_name() {
        let check = |weights: StyleWeights, expected: &str| {
            let error = weights.validate().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let base = StyleWeights::default();
        assert_eq!(base.validate(), Ok(()));
        check(StyleWeights { careless: 1.5, ..base }, "`careless` = 1.5");
        check(StyleWeights { give_up: f64::NAN, ..base }, "`give_up`");
        check(StyleWeights { depth: DepthWeights { guess: -1.0, ..base.depth }, ..base }, "`depth`");
        check(StyleWeights { depth: DepthWeights { guess: 0.0, short: 0.0, long: 0.0 }, ..base }, "`depth`");
    }
}
