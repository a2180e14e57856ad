//! What a run file may say and what is known to hurt, or to do nothing.

use super::algorithm::{Algorithm, KlPlace, SurrogateKind};
use super::dynamic_sampling::Keep;
use super::grpo::GrpoStage;
use crate::grpo::{AdvantageScale, Aggregation, Baseline, Covariance, RatioLevel};

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
        let of_ratio = [grpo.unread_clip(), grpo.clip_of_another_ratio(), grpo.reversed_clip(), grpo.unread_ratio()];
        let of_level = [grpo.weighed_by_length(), grpo.level_of_another_paper(), grpo.never_left_behind()];
        let of_rest = [grpo.unpaid_price(), grpo.unread_reference(), grpo.unread_deviation(), grpo.no_comparison()];
        let found = of_ratio.into_iter().chain(of_level).chain(of_rest);
        let found = found.chain([grpo.unbounded_entropy(), grpo.half_of_dr_grpo(), batch, self.unmixed_by_reward()]);
        found.flatten().chain(self.too_late()).collect()
    }

    /// Groups of equal rewards are thrown away although they have advantages.
    fn unmixed_by_reward(&self) -> Option<String> {
        let keep = self.rollout.dynamic_sampling?.keep;
        let differs = self.grpo.advantage_baseline == Baseline::None
            || self.grpo.kl_in != KlPlace::Loss && self.grpo.needs_reference();
        (keep == Keep::MixedReward && differs).then(|| {
            "`dynamic_sampling` throws groups of equal rewards away, but here they have advantages: `advantage_baseline` is \"none\", or \
             the divergence is part of the reward"
                .to_owned()
        })
    }

    /// Changes that the stage does not live to see.
    fn too_late(&self) -> Vec<String> {
        fn late<T>(key: &str, changes: &[(u64, T)], steps: u64) -> Option<String> {
            let (step, _) = changes.iter().find(|(step, _)| *step > steps)?;
            Some(format!("`{key}` changes at step {step}, but the stage has {steps} steps"))
        }
        let steps = self.steps;
        let rewards = self.rewards.0.iter().filter_map(|reward| {
            late(&format!("rewards.{}.weight_from_step", reward.name), &reward.weight_from_step, steps)
        });
        [
            late("optimizer.learning_rate_from_step", &self.optimizer.learning_rate_from_step, steps),
            late("grpo.kl_beta_from_step", &self.grpo.kl_beta_from_step, steps),
            late("rollout.temperature_from_step", &self.rollout.temperature_from_step, steps),
            late("rollout.max_tokens_from_step", &self.rollout.max_tokens_from_step, steps),
        ]
        .into_iter()
        .flatten()
        .chain(rewards)
        .collect()
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

    /// With one update a step every ratio is 1, whatever it is taken over and whatever is made of it.
    fn unread_ratio(&self) -> Option<String> {
        // A product counts the gradient of a whole completion, not its mean over tokens, whatever its value is.
        let is_plain = self.ratio == RatioLevel::Product || self.ratio == RatioLevel::Token && self.clips();
        (!is_plain && self.updates_per_step() == 1).then(|| {
            format!(
                "`ratio` is \"{}\" and `surrogate` \"{}\", but a step has one update, at which every ratio is 1: this is REINFORCE with the \
                 group's baseline whatever they say; raise `minibatches` or `updates_per_batch`",
                self.ratio.name(),
                self.surrogate.name()
            )
        })
    }

    /// The one ratio of a completion is counted once for each of its tokens.
    fn weighed_by_length(&self) -> Option<String> {
        let is_whole = matches!(self.ratio, RatioLevel::Sequence | RatioLevel::Product);
        let is_luspo = self.ratio == RatioLevel::Sequence && self.aggregation == Aggregation::Sum;
        (is_whole && !is_luspo && self.aggregation != Aggregation::PerCompletion).then(|| {
            format!(
                "`ratio` is \"{}\", one for a whole completion, and `aggregation` is not \"per_completion\": long completions weigh more; \
                 the paper's form is \"per_completion\" (TRL warns of the same)",
                self.ratio.name()
            )
        })
    }

    /// CISPO and SAPO are defined on ratios of tokens.
    fn level_of_another_paper(&self) -> Option<String> {
        let is_of_tokens = matches!(self.surrogate, SurrogateKind::Cispo | SurrogateKind::Sapo);
        (is_of_tokens && self.ratio != RatioLevel::Token).then(|| {
            format!(
                "`surrogate` is \"{}\" and `ratio` \"{}\": its paper has ratios of tokens, and no paper both",
                self.surrogate.name(),
                self.ratio.name()
            )
        })
    }

    /// Before the first update nothing has moved that KL-Cov could put a price on.
    fn unpaid_price(&self) -> Option<String> {
        let is_priced = matches!(self.covariance, Some(Covariance::KlCov { .. }));
        (is_priced && self.updates_per_step() == 1).then(|| {
            "`covariance` is KL-Cov, but a step has one update, at which no token has moved: it does nothing and costs a forward pass; \
             raise `minibatches` or `updates_per_batch`"
                .to_owned()
        })
    }

    fn unread_reference(&self) -> Option<String> {
        let default = Self::default();
        let is_set = self.reference_refresh_steps != 0
            || self.kl_in != default.kl_in
            || self.kl_estimator != default.kl_estimator
            || self.kl_times_ratio;
        (is_set && !self.needs_reference()).then(|| {
            "`kl_beta` is 0 at every step: `reference_refresh_steps`, `kl_in`, `kl_estimator` and `kl_times_ratio` are not read".to_owned()
        })
    }

    fn unread_deviation(&self) -> Option<String> {
        let default = Self::default();
        let is_set = self.std_divisor != default.std_divisor || self.std_epsilon != default.std_epsilon;
        (is_set && self.advantage_scale == AdvantageScale::None)
            .then(|| "`advantage_scale` is \"none\": `std_divisor` and `std_epsilon` are not read".to_owned())
    }

    /// A reward of 0 or 1 without a baseline only ever pushes up.
    fn no_comparison(&self) -> Option<String> {
        (self.advantage_baseline == Baseline::None && self.advantage_scale != AdvantageScale::Tokens).then(|| {
            "`advantage_baseline` is \"none\" and `advantage_scale` is not \"tokens\": nothing is compared with anything, and rewards that are \
             never negative make every completion likelier; REINFORCE++ (arXiv 2501.03262) uses \"tokens\""
                .to_owned()
        })
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
