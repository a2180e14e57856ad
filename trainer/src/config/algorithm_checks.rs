//! What is wrong with `[stage.grpo]`: values out of range, keys that contradict each other, and what no paper means.

use super::algorithm::{Algorithm, KlPlace, OldLogprobs, SurrogateKind};
use super::by_step;
use super::checks::Section;
use super::dynamic_sampling::Keep;
use super::rewards::{Judge, Reward, Rewards};
use super::rollout::Rollout;
use crate::grpo::{AdvantageScale, Aggregation, Baseline, ImportanceLevel, KlEstimator, RatioLevel, RewardCombination};

impl Algorithm {
    pub(crate) fn check(&self, rollout: &Rollout, at: &mut Section<'_, '_>) {
        self.check_surrogate(at);
        self.check_divergence(at);
        self.check_advantages(at);
        self.check_aggregation(rollout, at);
        self.check_tokens(at);
        self.check_minibatches(rollout, at);
        self.check_importance(at);
        at.at_least("micro_batch_tokens", self.micro_batch_tokens, 1, "tokens of one forward and backward pass");
        at.at_least("logits_chunk_tokens", self.logits_chunk_tokens, 1, "tokens whose logits are held at once");
    }

    fn check_surrogate(&self, at: &mut Section<'_, '_>) {
        let why = "a ratio clipped to exactly 1 has no gradient";
        at.positive("clip_epsilon", self.clip_epsilon, why);
        if let Some(high) = self.clip_epsilon_high {
            at.positive("clip_epsilon_high", high, why);
        }
        if let Some(delta) = self.clip_delta {
            let least = 1.0 + self.clip_range().1;
            let why = "below the upper end of the clip it would cut tokens that the clip leaves alone";
            let expected = format!("expected a finite number above 1 + `clip_epsilon_high` = {least}");
            at.holds("clip_delta", delta, delta.is_finite() && delta > least, &expected, why);
        }
        if let Some(cap) = self.cispo_cap {
            let why = "a cap below 1 would shrink tokens on which old and new policy agree";
            at.holds("cispo_cap", cap, cap.is_finite() && cap >= 1.0, "expected a finite number, 1 or more", why);
        }
        for (key, pair) in [
            ("sapo_temperatures", self.sapo_temperatures),
            ("vespo_positive", self.vespo_positive),
            ("vespo_negative", self.vespo_negative),
        ] {
            if let Some(bad) = pair.iter().flatten().find(|value| !value.is_finite() || **value <= 0.0) {
                at.fail(key, format!("`{key}` holds {bad}"), "expected two finite numbers above 0", "");
            }
        }
        use SurrogateKind::{Cispo, Clip, Sapo, Vespo};
        for (key, of) in [
            ("clip_epsilon", Clip),
            ("clip_epsilon_high", Clip),
            ("clip_delta", Clip),
            ("cispo_cap", Cispo),
            ("sapo_temperatures", Sapo),
            ("vespo_positive", Vespo),
            ("vespo_negative", Vespo),
        ] {
            // A resolved file gives the epsilons whatever reads them: they are refused where they are no defaults.
            let is_default = key.starts_with("clip_epsilon") && self.clip_range() == Self::default().clip_range();
            if self.surrogate != of && at.has(key) && !is_default {
                let title = format!("`{key}` is given, but `surrogate` is \"{}\"", self.surrogate.name());
                let help = format!("set `surrogate` to \"{}\", or take `{key}` out", of.name());
                at.fail(key, title, format!("read by \"{}\" only", of.name()), &help);
            }
        }
        if self.surrogate == Vespo && self.ratio != RatioLevel::Token {
            let help = "VESPO takes the product over the completion by itself: leave `ratio` at \"token\"";
            at.fail("ratio", "`surrogate` is \"vespo\", and `ratio` is not \"token\"", "expected \"token\"", help);
        }
        if self.surrogate == Vespo && self.importance_level == ImportanceLevel::Sequence {
            let title = "`surrogate` is \"vespo\", and `importance_level` is \"sequence\"";
            let help = "VESPO multiplies the weights of tokens into its product: leave `importance_level` at \"token\"";
            at.fail("importance_level", title, "expected \"token\"", help);
        }
    }

    fn check_divergence(&self, at: &mut Section<'_, '_>) {
        let why = "a negative weight would reward leaving the reference policy";
        at.not_negative("kl_beta", self.kl_beta, why);
        let fine = |beta: f64| beta.is_finite() && beta >= 0.0;
        by_step::check(
            "kl_beta_from_step",
            &self.kl_beta_from_step,
            fine,
            ["expected a finite number, 0 or more", why],
            at,
        );
        let mix = self.reference_mix;
        let why = "1 replaces the reference by the policy, 0 would never move it";
        at.holds("reference_mix", mix, mix > 0.0 && mix <= 1.0, "expected more than 0, and 1 at most", why);
        if mix != 1.0 && self.reference_refresh_steps == 0 {
            let help = "set `reference_refresh_steps` (TRL: 512), or take `reference_mix` out";
            at.fail(
                "reference_mix",
                "`reference_mix` is set, but `reference_refresh_steps` is 0",
                "is never read",
                help,
            );
        }
        if self.kl_in == KlPlace::Loss
            && self.kl_estimator == KlEstimator::K1
            && !self.kl_times_ratio
            && self.needs_reference()
        {
            let title = "`kl_estimator` is \"k1\" and `kl_in` is \"loss\"";
            let help = "the gradient of k1 in a loss is zero on average: nothing holds the policy to the reference. Use \"k2\" or \
                        \"k3\", set `kl_times_ratio`, or put it into the reward with `kl_in = \"reward\"`";
            at.fail("kl_estimator", title, "would have no effect but noise", help);
        }
        if self.kl_times_ratio && self.kl_in != KlPlace::Loss {
            let help = "tokens of a reward were drawn from π_old: there is nothing to correct. Take one of the two out";
            at.fail("kl_times_ratio", "`kl_times_ratio` is set, but `kl_in` is not \"loss\"", "is never read", help);
        }
    }

    fn check_advantages(&self, at: &mut Section<'_, '_>) {
        let why = "it keeps the division by the deviation finite";
        at.positive("std_epsilon", self.std_epsilon, why);
        if self.advantage_baseline == Baseline::None && self.advantage_scale == AdvantageScale::Group {
            let help = "REINFORCE++ compares over the tokens of the batch: set `advantage_scale` to \"tokens\", or `advantage_baseline` \
                        to \"group_mean\"";
            let title = "`advantage_baseline` is \"none\", but `advantage_scale` is \"group\"";
            at.fail("advantage_baseline", title, "what is not compared in the group cannot be scaled by it", help);
        }
        if self.reward_combination == RewardCombination::NormalizeThenSum {
            let decided = [
                ("advantage_baseline", self.advantage_baseline != Baseline::GroupMean),
                ("advantage_scale", self.advantage_scale != AdvantageScale::Group),
                ("supervision", self.supervision != super::Supervision::Outcome),
            ];
            for (key, _) in decided.iter().filter(|(_, is_other)| *is_other) {
                let title = format!("`{key}` is set, but `reward_combination` is \"normalize_then_sum\"");
                let help =
                    format!("GDPO normalises each reward in its group and the sum over the batch: take `{key}` out");
                at.fail(key, title, "is given by GDPO", &help);
            }
            if self.kl_in == KlPlace::Reward {
                let help = "GDPO normalises each reward by itself, and the divergence is none: use `kl_in = \"loss\"`";
                let title = "`kl_in` is \"reward\", but `reward_combination` is \"normalize_then_sum\"";
                at.fail("kl_in", title, "no paper says how", help);
            }
        }
        let by_steps = self.supervision == super::Supervision::Process;
        if by_steps && self.kl_in == KlPlace::Reward {
            let help = "use `kl_in = \"loss\"` (DeepSeekMath), or \"return\"";
            at.fail(
                "kl_in",
                "`kl_in` is \"reward\", but `supervision` is \"process\"",
                "steps have no sum over the completion",
                help,
            );
        }
        if by_steps && self.advantage_baseline == Baseline::LeaveOneOut {
            let help = "DeepSeekMath 4.1.3 normalises all steps of a group together: use \"group_mean\"";
            let title = "`advantage_baseline` is \"leave_one_out\", but `supervision` is \"process\"";
            at.fail("advantage_baseline", title, "no paper says how", help);
        }
        let differs_by_token = by_steps || self.kl_in == KlPlace::Return;
        if differs_by_token && matches!(self.ratio, RatioLevel::Sequence | RatioLevel::Product) {
            let key = if by_steps { "supervision" } else { "kl_in" };
            let title =
                format!("`{key}` gives each token an advantage of its own, but `ratio` is one of whole completions");
            let help = "use `ratio = \"sequence_token\"` (GSPO-token, arXiv 2507.18071 4.3) or \"token\"";
            at.fail("ratio", title, "one ratio cannot be clipped by many advantages", help);
        }
    }

    fn check_aggregation(&self, rollout: &Rollout, at: &mut Section<'_, '_>) {
        match (self.aggregation, self.local_completions) {
            (Aggregation::Local, None) => {
                let help = "TRL's bnpo averages over the batch of one device: set `local_completions` to its number of completions";
                at.fail(
                    "aggregation",
                    "`aggregation` is \"local\", and `local_completions` is not given",
                    "needs a block",
                    help,
                );
            }
            (Aggregation::Local, Some(n)) => at.at_least("local_completions", n, 1, "a block of completions"),
            (_, Some(_)) => {
                let help = "set `aggregation` to \"local\", or take `local_completions` out";
                at.fail(
                    "local_completions",
                    "`local_completions` is given, but `aggregation` is not \"local\"",
                    "is never read",
                    help,
                );
            }
            _ => {}
        }
        let completions = rollout.completions_per_step() / self.minibatches.max(1);
        if let Some(n) = self.local_completions.filter(|&n| n > 0 && !completions.is_multiple_of(n)) {
            let title = format!("`local_completions` is {n}: {completions} completions cannot be cut into such blocks");
            let help = format!(
                "prompts_per_step * group_size / `minibatches` = {completions} completions are cut into blocks"
            );
            at.fail("local_completions", title, format!("expected a divisor of {completions}"), &help);
        }
    }

    /// What is chosen or favoured among tokens.
    fn check_tokens(&self, at: &mut Section<'_, '_>) {
        let fraction = self.top_entropy_fraction;
        let fine = fraction > 0.0 && fraction <= 1.0;
        at.holds("top_entropy_fraction", fraction, fine, "expected more than 0, and 1 at most", "1 keeps every token");
        let why = "a negative bonus would make the policy surer of itself";
        at.not_negative("entropy_coefficient", self.entropy_coefficient, why);
        if let Some(adaptive) = &self.adaptive_entropy {
            let (least, most, alpha) = (adaptive.min, adaptive.max, self.entropy_coefficient);
            let expected = format!("expected {least} to {most}, the bounds of `adaptive_entropy`");
            at.holds(
                "entropy_coefficient",
                alpha,
                (least..=most).contains(&alpha),
                &expected,
                "it would jump at the first update",
            );
            let mut at = at.table("adaptive_entropy");
            at.not_negative("target", adaptive.target, "");
            at.positive("delta", adaptive.delta, "");
            at.not_negative("min", adaptive.min, "");
            let fine = adaptive.max.is_finite() && adaptive.max >= adaptive.min;
            at.holds(
                "max",
                adaptive.max,
                fine,
                &format!("expected {} or more", adaptive.min),
                "it is the greatest coefficient",
            );
        }
        let Some(covariance) = &self.covariance else { return };
        super::covariance::check(covariance, &mut at.table("covariance"));
        if self.ratio != RatioLevel::Token {
            let title = "`covariance` chooses single tokens, but `ratio` is one of whole completions";
            let help = "Clip-Cov and KL-Cov (arXiv 2505.22617) are of token ratios: set `ratio` to \"token\", or take `covariance` out";
            at.fail("covariance", title, "contradicts `ratio`", help);
        }
    }

    fn check_minibatches(&self, rollout: &Rollout, at: &mut Section<'_, '_>) {
        at.at_least("minibatches", self.minibatches, 1, "1 keeps a rollout whole");
        let completions = rollout.completions_per_step();
        if self.minibatches > 0 && completions > 0 && !completions.is_multiple_of(self.minibatches) {
            let title = format!("{completions} completions cannot be cut into {} equal minibatches", self.minibatches);
            let label = format!("expected a divisor of {completions}");
            let help = format!(
                "a step has prompts_per_step * group_size = {} * {} = {completions} completions",
                rollout.prompts_per_step, rollout.group_size
            );
            at.fail("minibatches", title, label, &help);
        }
        at.at_least("updates_per_batch", self.updates_per_batch, 1, "0 would learn nothing");
    }

    fn check_importance(&self, at: &mut Section<'_, '_>) {
        if let Some(threshold) = self.off_policy_threshold {
            at.not_negative("off_policy_threshold", threshold, "nats a token that the policy may have moved away");
        }
        let Some(cap) = self.importance_cap else {
            for key in ["importance_floor", "importance_action", "importance_level"] {
                // A resolved file always gives the last two.
                if at.has(key) && (self.importance_floor.is_some() || !self.importance_is_default()) {
                    let title = format!("`{key}` is given, but `importance_cap` is not");
                    at.fail(key, title, "is never read", "set `importance_cap` (verl: 2, TRL: 3), or take it out");
                }
            }
            return;
        };
        let why = "the weight is cut from above: below 1 it would shrink tokens on which sampler and trainer agree";
        at.holds("importance_cap", cap, cap.is_finite() && cap >= 1.0, "expected a finite number, 1 or more", why);
        if let Some(floor) = self.importance_floor {
            let why = "the weight is cut from below: above 1 it would touch tokens on which sampler and trainer agree";
            at.holds("importance_floor", floor, (0.0..=1.0).contains(&floor), "expected 0 to 1", why);
        }
        if self.old_logprobs == OldLogprobs::Sampler {
            let title = "`importance_cap` is set, but `old_logprobs` is \"sampler\"";
            let help = "without recomputed log-probabilities there is no ratio of the trainer's to the sampler's: set \
                        `old_logprobs` to \"recompute\", or take `importance_cap` out";
            at.fail("importance_cap", title, "the weight would be 1 by definition", help);
        }
    }

    fn importance_is_default(&self) -> bool {
        let default = Self::default();
        self.importance_action == default.importance_action && self.importance_level == default.importance_level
    }

    /// What the rewards of the stage have to give.
    pub(super) fn check_with(&self, rewards: &Rewards, rollout: &Rollout, at: &mut Section<'_, '_>) {
        let scores_steps = |reward: &&Reward| matches!(reward.judge, Judge::StepSums { .. } | Judge::Process { .. });
        if self.supervision != super::Supervision::Process {
            return;
        }
        if !rewards.0.iter().any(|reward| scores_steps(&reward) && reward.can_count()) {
            let title = "`supervision` is \"process\", but no reward of `stage.rewards` scores steps";
            let help = "add `[stage.rewards.step_sums]`, or a `process` reward whose answers hold `steps`, with a weight other than 0";
            at.fail("supervision", title, "would be outcome supervision", help);
        }
        if rollout.dynamic_sampling.is_some_and(|dynamic| dynamic.keep == Keep::MixedReward) {
            let title = "`supervision` is \"process\", but `dynamic_sampling.keep` is \"mixed_reward\"";
            let help = "groups of equal sums may differ in their steps: use `keep = \"mixed_accuracy\"`, or take one of the two out";
            at.fail("supervision", title, "would throw away what steps can teach", help);
        }
    }
}
