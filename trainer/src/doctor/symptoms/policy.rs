//! What the policy shows: how sure it is, how far it has gone, and whether its two engines agree.

use super::super::history::{STRETCH, all_at_least, mean};
use super::super::{Diagnosis, Facts, History, Observation, Symptom};

/// Steps in a row after which a jump is no single token's: the estimate of the divergence has a long tail.
const SETTLED: usize = 3;

/// Nats a token: the sampled tokens are e times less likely under the reference. A healthy main run stays below 0.3 in every
/// step.
const FAR: f64 = 1.0;

/// Share of tokens outside of the clip from which most of the gradient is gone; in healthy runs it is some per cent. Not so
/// where the ratio is one of whole completions: GSPO clips two orders of magnitude more tokens than GRPO, and learns better
/// (arXiv 2507.18071, 5.2).
const MOSTLY_CLIPPED: f64 = 0.5;

/// Entropy, as a fraction of that at the start, from which hardly anything is tried. A healthy main run falls as far, but
/// with nine answers of ten right, which is why the rule asks for accuracy too.
const SURE_OF_ITSELF: f64 = 0.1;

/// Share of right answers from which being sure is being right.
const GOOD: f64 = 0.5;

/// Nats: a mean gap that moves the ratio of every token by five per cent, a quarter of the usual clip.
const WIDE_GAP: f64 = 0.05;

/// A share of the first steps that can be lost.
const WORTH_LOSING: f64 = 0.05;

/// What is left of a share that is lost.
const LOST: f64 = 0.1;

/// Deviations of the first rewards by which the reward has fallen then: a medium effect by Cohen's measure.
const FALLEN: f64 = 0.5;

/// Growth over the start from which a gap is growing and not only there.
const GROWTH: f64 = 3.0;

/// A loss that is zero but for rounding.
const ZERO: f64 = 1e-5;

/// The divergence from the reference, or the ratio, has blown up; or what the policy could do at the start is gone, which is
/// how it shows where neither is measured.
pub(super) fn diverged(history: &History, facts: &Facts) -> Option<Diagnosis> {
    let steps = history.newest(SETTLED)?;
    let (kl, clipped) = (mean(steps, |step| step.kl), mean(steps, |step| step.clipped));
    let proof = if all_at_least(steps, FAR, |step| step.kl) {
        format!("kl is {:.2} nats a token, mean of {SETTLED} steps (over {FAR:.0} in each)", kl?)
    } else if facts.clips_tokens && all_at_least(steps, MOSTLY_CLIPPED, |step| step.clipped) {
        format!("the ratio of {:.0} % of tokens is outside of the clip, mean of {SETTLED} steps", 100.0 * clipped?)
    } else {
        lost(history, steps)?
    };
    let message = format!("the policy runs away: {proof}");
    let rate = facts.learning_rate;
    let slower = format!("a smaller optimizer.learning_rate: it is {rate:e}, try {:e}", rate / 10.0);
    let advice = [
        slower.as_str(),
        "optimizer.warmup_steps, and optimizer.max_grad_norm if gradients jump",
        "a larger grpo.kl_beta, or fewer updates of a rollout (grpo.updates_per_batch, grpo.minibatches)",
    ];
    let mut numbers = vec![("learning_rate", rate)];
    numbers.extend(kl.map(|value| ("kl", value)));
    numbers.extend(clipped.map(|value| ("clip_ratio_region_mean", value)));
    Some(Diagnosis::new(Symptom::Diverged, steps[0].step, message, &numbers, &advice))
}

/// A share of an observation.
type Share = fn(&Observation) -> Option<f64>;

/// What the policy could do in its first steps and no longer does in the `newest`, in words. The reward has to fall with it: a
/// reward that rises is what such a policy was asked for.
fn lost(history: &History, newest: &[Observation]) -> Option<String> {
    let first = history.first(SETTLED).filter(|first| first[SETTLED - 1].step < newest[0].step)?;
    let (reward_before, reward) = (mean(first, |step| step.reward)?, mean(newest, |step| step.reward)?);
    if reward_before - reward < FALLEN * mean(first, |step| step.reward_std)? {
        return None;
    }
    let shares: [(&str, Share); 2] = [("accuracy", |step| step.accuracy), ("format", |step| step.format)];
    shares.into_iter().find_map(|(name, share)| {
        let (before, now) = (mean(first, share)?, mean(newest, share)?);
        let is_lost = before >= WORTH_LOSING && now <= LOST * before;
        is_lost.then(|| {
            format!(
                "what it could do is gone, {name} {before:.2} -> {now:.2} and reward {reward_before:.3} -> {reward:.3} since \
                 step {}",
                first[0].step
            )
        })
    })
}

/// The policy has become sure of itself, and it is not because it is right.
pub(super) fn entropy_collapse(history: &History, _: &Facts) -> Option<Diagnosis> {
    let (start, now) = history.ends()?;
    let (before, entropy) = (mean(start, |step| step.entropy)?, mean(now, |step| step.entropy)?);
    let is_good = match mean(now, |step| step.accuracy) {
        Some(accuracy) => accuracy >= GOOD,
        None => mean(now, |step| step.reward)? > mean(start, |step| step.reward)?,
    };
    if is_good || entropy > SURE_OF_ITSELF * before {
        return None;
    }
    let accuracy = mean(now, |step| step.accuracy);
    let message = format!(
        "the policy is sure of itself without being right: entropy {before:.3} -> {entropy:.3} nats since step {}{}",
        start[0].step,
        accuracy.map_or(String::new(), |share| format!(", accuracy {share:.2}"))
    );
    let advice = [
        "a smaller optimizer.learning_rate",
        "grpo.clip_epsilon_high = 0.28, which lets unlikely tokens rise (DAPO)",
        "a larger grpo.kl_beta, or a higher rollout.temperature",
    ];
    let mut numbers = vec![("entropy_before", before), ("entropy", entropy)];
    numbers.extend(accuracy.map(|share| ("accuracy", share)));
    Some(Diagnosis::new(Symptom::EntropyCollapse, start[0].step, message, &numbers, &advice))
}

/// Sampler and trainer compute the same policy, and agree on it less and less.
pub(super) fn gap_grows(history: &History, _: &Facts) -> Option<Diagnosis> {
    let (start, now) = history.ends()?;
    let (before, gap) = (mean(start, |step| step.gap)?, mean(now, |step| step.gap)?);
    if gap < WIDE_GAP || gap < GROWTH * before {
        return None;
    }
    let message = format!(
        "sampler and trainer drift apart: the mean gap of their log-probabilities is {gap:.3} nats, {before:.4} in the first \
         {STRETCH} steps"
    );
    let advice = [
        "grpo.old_logprobs = \"recompute\" with grpo.importance_cap = 2.0",
        "run.dtype = \"float32\"",
        "a smaller optimizer.learning_rate: weights that grow are rounded more coarsely",
    ];
    let numbers = [("logprob_gap_before", before), ("logprob_gap", gap)];
    Some(Diagnosis::new(Symptom::GapGrows, start[0].step, message, &numbers, &advice))
}

/// A loss of zero that is none: with one update a step the ratio is 1, and advantages of a group sum to 0.
pub(super) fn loss_is_zero(history: &History, facts: &Facts) -> Option<Diagnosis> {
    let step = &history.newest(1)?[0];
    let (loss, grad_norm) = (step.policy_loss?, step.grad_norm?);
    let is_learning = step.equal_groups? < 1.0 && grad_norm > ZERO;
    if !facts.loss_cancels || loss.abs() > ZERO || !is_learning {
        return None;
    }
    let message = format!(
        "the policy loss is 0 ({loss:.1e}) because the ratio is 1 and the advantages of a group sum to 0; the gradient is not 0 \
         (norm {grad_norm:.3}): this is healthy"
    );
    let numbers = [("policy_loss", loss), ("grad_norm", grad_norm)];
    Some(Diagnosis::new(Symptom::LossIsZero, step.step, message, &numbers, &[]))
}
