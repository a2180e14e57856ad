//! The two languages of generated text: which one a question is asked in, and which one each phrase of an answer is in.

use rollout::random::Draws;
use serde::{Deserialize, Serialize};

/// A language that problems are asked in and transcripts are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    En,
    /// Chinese, in simplified characters.
    Zh,
}

impl Language {
    /// Both.
    pub const ALL: [Self; 2] = [Self::En, Self::Zh];

    /// The BCP-47 tag, as rows carry it in `language`.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::En => Self::Zh,
            Self::Zh => Self::En,
        }
    }

    /// The text in this language, of a pair `[English, Chinese]`.
    pub fn of<T: Copy>(self, twins: [T; 2]) -> T {
        twins[self as usize]
    }
}

/// Whether thoughts keep to the question's language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manner {
    /// All phrases are in the question's language.
    Own,
    /// All phrases are in the other language.
    Other,
    /// Each phrase is in either, with equal chances, as DeepSeek-R1-Zero mixed them.
    Mixed,
}

/// Relative weights of the [`Manner`]s.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MannerWeights {
    /// [`Manner::Own`]
    pub own: f64,
    /// [`Manner::Other`]
    pub other: f64,
    /// [`Manner::Mixed`]
    pub mixed: f64,
}

impl Default for MannerWeights {
    fn default() -> Self {
        Self { own: 1.0, other: 0.0, mixed: 0.0 }
    }
}

impl MannerWeights {
    /// The weights in the order of `Own`, `Other`, `Mixed`.
    pub fn weights(&self) -> [f64; 3] {
        [self.own, self.other, self.mixed]
    }

    /// Draws how a text answers a question in `own`; `draws` then go into its phrases.
    pub fn draw(&self, own: Language, mut draws: Draws) -> Speech {
        let manner = [Manner::Own, Manner::Other, Manner::Mixed][draws.weighted(&self.weights())];
        Speech { own, manner, draws }
    }
}

/// Says phrase by phrase which language comes next.
#[derive(Debug)]
pub struct Speech {
    own: Language,
    manner: Manner,
    draws: Draws,
}

impl Speech {
    /// A text in `language` and no other.
    pub fn only(language: Language, draws: Draws) -> Self {
        Self { own: language, manner: Manner::Own, draws }
    }

    /// The language of the question.
    pub fn own(&self) -> Language {
        self.own
    }

    /// How the text treats it.
    pub fn manner(&self) -> Manner {
        self.manner
    }

    /// The language of the next phrase.
    pub fn next_language(&mut self) -> Language {
        match self.manner {
            Manner::Own => self.own,
            Manner::Other => self.own.other(),
            Manner::Mixed => [self.own, self.own.other()][self.draws.below(2)],
        }
    }

    /// The next phrase, of a pair `[English, Chinese]`.
    pub fn say<T: Copy>(&mut self, twins: [T; 2]) -> T {
        self.next_language().of(twins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollout::random::Stream;

    #[test]
    fn manners_come_up_as_weighted_and_keep_to_their_languages() {
        let weights = MannerWeights { own: 0.3, other: 0.1, mixed: 0.6 };
        let mut counts = [0; 3];
        for index in 0..4_000 {
            let mut speech = weights.draw(Language::Zh, Stream::new(1, &[index]).draws());
            counts[speech.manner() as usize] += 1;
            let n_own = (0..200).filter(|_| speech.next_language() == Language::Zh).count();
            match speech.manner() {
                Manner::Own => assert_eq!(n_own, 200),
                Manner::Other => assert_eq!(n_own, 0),
                Manner::Mixed => assert!((60..140).contains(&n_own), "{n_own}"),
            }
        }
        for (count, weight) in counts.into_iter().zip(weights.weights()) {
            assert!((f64::from(count) / 4_000.0 - weight).abs() < 0.03, "{counts:?}");
        }
    }

    #[test]
    fn tags_are_those_of_the_run_file() {
        for language in Language::ALL {
            assert_eq!(serde_json::json!(language), language.tag());
            assert_eq!(language.other().other(), language);
        }
        assert_eq!((Language::En.of(["a", "b"]), Language::Zh.of(["a", "b"])), ("a", "b"));
    }
}
