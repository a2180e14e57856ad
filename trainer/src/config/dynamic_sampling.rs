//! `[stage.rollout.dynamic_sampling]`: groups that teach nothing are replaced by others.

use serde::{Deserialize, Serialize};

use super::checks::Section;
use super::rewards::{Judge, Rewards};

/// `[stage.rollout.dynamic_sampling]`: a step goes on asking until `prompts_per_step` groups are mixed (DAPO,
/// arXiv 2503.14476, section 3.2). Without the table a step learns from every group that it samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DynamicSampling {
    /// Which groups are mixed. Default `mixed_reward`.
    pub keep: Keep,
    /// Rounds of sampling in a step, 1 or more; what is missing then is filled with groups that are not mixed. Default 10
    /// (verl's recipe of DAPO, `max_num_gen_batches`).
    pub max_rounds: u64,
}

/// `stage.rollout.dynamic_sampling.keep`: what makes a group mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// `mixed_reward`: its rewards are not all equal.
    #[default]
    MixedReward,
    /// `mixed_accuracy`: some of its completions are right and some are wrong (DAPO, Eq. 8: 0 < correct < G).
    MixedAccuracy,
}

impl Default for DynamicSampling {
    fn default() -> Self {
        Self { keep: Keep::default(), max_rounds: 10 }
    }
}

impl DynamicSampling {
    pub(crate) fn check(self, rewards: &Rewards, at: &mut Section<'_, '_>) {
        at.at_least("max_rounds", self.max_rounds, 1, "1 samples once, and replaces nothing");
        if self.keep == Keep::MixedAccuracy && !rewards.judge_answers() {
            let title = "`keep` is \"mixed_accuracy\", but no reward of `stage.rewards` judges answers";
            let help = "add a reward such as [stage.rewards.accuracy], or set `keep` to \"mixed_reward\"";
            at.fail("keep", title, "no group would ever be mixed", help);
        }
        let compares = |judge: &Judge| matches!(judge, Judge::KimiLength { options, .. } if options.variant == rewards::As::OpenR1);
        if let Some(reward) = rewards.0.iter().find(|reward| compares(&reward.judge)) {
            let title =
                format!("`dynamic_sampling` and `rewards.{}` with `as = \"open_r1\"` exclude each other", reward.name);
            let help = "open-r1's reward compares the groups of a whole step, which are not known until the last has been \
                        judged: set `as` to \"corrected\", or take `dynamic_sampling` out";
            at.fail("", title, "groups are judged round by round", help);
        }
    }
}
