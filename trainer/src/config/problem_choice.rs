//! Keys of `[stage.problems]` about which of a file's problems are asked, after how often each has been solved.

use serde::{Deserialize, Serialize};

use super::checks::Section;
use super::rewards::Rewards;

/// Which problems of a file are asked. By default all of them, once in every epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Choice {
    /// Problems are dropped for good at the end of an epoch when the fraction of their completions that were right, of all so
    /// far, is this or more; in (0, 1]. Default none (ScaleRL, arXiv 2510.13786: 0.9).
    pub drop_pass_rate: Option<f64>,
    /// Default `none`.
    pub curriculum: Curriculum,
}

/// `stage.problems.curriculum`: in which order problems are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Curriculum {
    /// `none`: every epoch asks all of them, each in a random order of its own.
    #[default]
    None,
    /// `pass_rate`: each step draws them without replacement, with probabilities proportional to 1 - s, s being the fraction
    /// of a problem's completions that were right so far (Kimi k1.5, arXiv 2501.12599, prioritised sampling).
    PassRate,
}

impl Choice {
    /// Whether it asks how often problems have been solved.
    pub fn needs_pass_rates(self) -> bool {
        self.drop_pass_rate.is_some() || self.curriculum == Curriculum::PassRate
    }

    /// The keys that ask for it.
    fn written(self) -> impl Iterator<Item = &'static str> {
        let drops = self.drop_pass_rate.map(|_| "drop_pass_rate");
        drops.into_iter().chain((self.curriculum == Curriculum::PassRate).then_some("curriculum"))
    }

    pub(crate) fn check(self, at: &mut Section<'_, '_>) {
        if let Some(rate) = self.drop_pass_rate {
            let why = "a fraction of completions; 1 drops what has never been answered wrongly";
            at.holds("drop_pass_rate", rate, rate > 0.0 && rate <= 1.0, "expected more than 0, and 1 at most", why);
        }
    }

    /// Notes each key that is written although problems are made without end.
    pub(crate) fn refuse(self, at: &mut Section<'_, '_>) {
        for key in self.written() {
            let title = format!("`{key}` and `countdown` exclude each other");
            let help = "a pass rate is kept of problems that come again: ask those of a file, [stage.problems.jsonl], or take \
                        the key out";
            at.fail(key, title, "problems that are made without end do not come again", help);
        }
    }

    /// Notes each key that is written although no reward of `stage.rewards` says what is right.
    pub(crate) fn check_with(self, rewards: &Rewards, at: &mut Section<'_, '_>) {
        for key in self.written().filter(|_| !rewards.judge_answers()) {
            let title = format!("`{key}` is set, but no reward of `stage.rewards` judges answers");
            let help = "add a reward such as [stage.rewards.accuracy], with weight 0 if it is only to count";
            at.fail(key, title, "no completion would ever be right", help);
        }
    }
}
