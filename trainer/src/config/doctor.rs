//! `[doctor]`: what is said of a run that ails, and whether a dead one ends.

use serde::{Deserialize, Serialize};

use super::checks::Section;

/// `[doctor]`: looks at every step of the stages of kind `grpo`. docs/doctor.md has what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Doctor {
    /// Whether it looks. Default true. No result depends on it.
    pub enabled: bool,
    /// What happens when nothing can be learned any more. Default `warn`.
    pub on_dead: OnDead,
    /// Steps in a row without anything to learn from after which a run counts as dead, 1 or more. Default 10.
    pub dead_steps: u64,
}

/// `doctor.on_dead`: what happens when nothing can be learned any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDead {
    /// `warn`: it is said, and the run goes on.
    #[default]
    Warn,
    /// `stop`: the step is saved, and the run ends with exit code 1.
    Stop,
}

impl Default for Doctor {
    fn default() -> Self {
        Self { enabled: true, on_dead: OnDead::Warn, dead_steps: 10 }
    }
}

impl Doctor {
    pub(crate) fn resolve(self, at: &mut Section<'_, '_>) -> Self {
        at.at_least(
            "dead_steps",
            self.dead_steps,
            1,
            "a run is dead after so many steps without anything to learn from",
        );
        if self.on_dead == OnDead::Stop && !self.enabled {
            let help = "write `enabled = true`, or leave `on_dead` out";
            at.fail("on_dead", "`on_dead` is \"stop\", but nobody looks", "expected `enabled = true` beside it", help);
        }
        self
    }
}
