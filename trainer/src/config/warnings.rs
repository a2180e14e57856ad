//! What a run file may say and what is known to hurt, or to do nothing.

use super::algorithm::{Algorithm, SurrogateKind};
use super::grpo::GrpoStage;
use crate::grpo::{AdvantageScale, Aggregation, RatioLevel};

/// From here on a bonus let the entropy grow without bound.
const UNBOUNDED_ENTROPY: f64 = 0.01;
/// A token's ratio leaves 1 by more than this after an update or two; the mean log-ratio of a completion hardly ever does.
const NARROW: f64 = 0.01;

impl GrpoStage {
    /// One sentence for each thing that is legal and known to hurt or to do nothing: the keys, the reason and its source.
    pub fn warnings(&self) -> Vec<String> {
        let grpo = &self.grpo;
        let one_question = matches!(grpo.advantage_scale, AdvantageScale::Batch | AdvantageScale::Centred)
            && self.rollout.prompts_per_step == 1;
        let batch = one_question.then(|| {
            "`advantage_scale` takes the deviation over the step, but `prompts_per_step` is 1: it is that of the one group"
                .to_owned()
        });
        let found = [grpo.unread_clip(), grpo.clip_of_another_ratio(), grpo.reversed_clip(), grpo.never_left_behind()];
        found.into_iter().chain([grpo.unbounded_entropy(), grpo.half_of_dr_grpo(), batch]).flatten().collect()
    }
}

impl Algorithm {
    fn clips(&self) -> bool {
        self.surrogate == SurrogateKind::Clip
    }

    /// With one update a step the ratio is 1 and nothing is clipped.
    fn unread_clip(&self) -> Option<String> {
        let default = Self::default();
        let (low, high) = self.clip_range();
        let is_set = (low, high) != default.clip_range() || self.clip_delta.is_some();
        (self.clips() && is_set && self.updates_per_step() == 1).then(|| {
            format!(
                "a clip to [1 - {low}, 1 + {high}] is set, but a step has one update, at which the ratio is 1: raise `minibatches` \
                 or `updates_per_batch`, or leave the clip alone"
            )
        })
    }

    /// Ratios of tokens and of completions differ in size by orders of magnitude.
    fn clip_of_another_ratio(&self) -> Option<String> {
        let (low, high) = self.clip_range();
        if !self.clips() || self.updates_per_step() == 1 {
            return None;
        }
        match self.ratio {
            RatioLevel::Sequence | RatioLevel::SequenceToken if low.min(high) >= NARROW => Some(format!(
                "`ratio` is one of whole completions and `clip_epsilon` {low}: their mean ratio hardly ever leaves that range, so \
                 nothing is clipped; GSPO uses 3e-4 and 4e-4 (arXiv 2507.18071, 5.1)"
            )),
            RatioLevel::Token if low.max(high) < NARROW => Some(format!(
                "`ratio` is \"token\" and `clip_epsilon` {low}: most tokens leave that range after the first update and are not learned \
                 from; so narrow a clip is GSPO's, for `ratio = \"sequence\"`"
            )),
            _ => None,
        }
    }

    /// A clip that holds likely tokens harder than unlikely ones costs entropy.
    fn reversed_clip(&self) -> Option<String> {
        let (low, high) = self.clip_range();
        (self.clips() && high < low).then(|| {
            format!(
                "`clip_epsilon_high` {high} is below `clip_epsilon` {low}: unlikely tokens are held back more than likely ones and \
                 the entropy falls; DAPO raises the upper one (arXiv 2503.14476, 3.1)"
            )
        })
    }

    /// The mask of completions left behind reads how far the policy has moved since they were sampled.
    fn never_left_behind(&self) -> Option<String> {
        self.off_policy_threshold.filter(|_| self.updates_per_step() == 1).map(|threshold| {
            format!(
                "`off_policy_threshold` is {threshold}, but a step has one update, made by the policy that sampled: no completion is \
                 ever left out for it"
            )
        })
    }

    fn unbounded_entropy(&self) -> Option<String> {
        let alpha = self.entropy_coefficient;
        (alpha >= UNBOUNDED_ENTROPY && self.adaptive_entropy.is_none()).then(|| {
            format!(
                "`entropy_coefficient` is {alpha}: at {UNBOUNDED_ENTROPY} the entropy grew without bound, at 0.005 it was steady \
                 (arXiv 2505.22617); `adaptive_entropy` takes the bonus away when the entropy is high enough"
            )
        })
    }

    fn half_of_dr_grpo(&self) -> Option<String> {
        (self.aggregation == Aggregation::Constant && self.advantage_scale == AdvantageScale::Group).then(|| {
            "`aggregation` is \"constant\" and `advantage_scale` \"group\": the bias of lengths is taken out and that of easy and hard \
             questions is kept; Dr. GRPO takes out both, with \"none\" (arXiv 2503.20783, 3.1)"
                .to_owned()
        })
    }
}
