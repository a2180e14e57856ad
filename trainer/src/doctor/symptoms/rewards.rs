//! What the rewards show: nothing to tell apart, and rewards that ask for the wrong thing.

use super::super::history::{STRETCH, all_at_least, mean};
use super::super::{Diagnosis, Facts, History, Observation, Side, Symptom};

/// Steps over which advantages of right and wrong answers are pooled, at most.
const POOLED_STEPS: usize = 2 * STRETCH;

/// Right answers below which their mean advantage says little.
const LEAST_RIGHT: f64 = 20.0;

/// A fall or rise of a share that is worth a word, however sure it is.
const LEAST_CHANGE: f64 = 0.1;

/// Standard errors that a fall has to have: it is looked for at every step, so that the usual two would be met by chance.
const SURE: f64 = 3.0;

/// Every group had equal rewards in the last `dead_steps` steps: all advantages are zero.
pub(super) fn nothing_to_learn(history: &History, facts: &Facts) -> Option<Diagnosis> {
    let steps = history.newest(facts.dead_steps).filter(|steps| all_at_least(steps, 1.0, |step| step.equal_groups))?;
    let (n, reward) = (steps.len(), mean(steps, |step| step.reward).unwrap_or(f64::NAN));
    let accuracy = mean(steps, |step| step.accuracy);
    let message = format!(
        "the rewards of every group were equal in {n} steps in a row (mean reward {reward:.3}{}): all advantages are 0, and \
         nothing can be learned",
        accuracy.map_or(String::new(), |share| format!(", accuracy {share:.2}"))
    );
    let advice: &[&str] = match accuracy {
        Some(share) if share > 0.99 => {
            &["harder problems: every answer is right", "stop here and evaluate: the task is learned"]
        }
        Some(share) if share < 0.01 => &[
            "easier problems, or a model that gets some of them right",
            "a reward that tells the wrong ones apart ([stage.rewards.format], a `partial` score)",
            "more completions of a question (rollout.group_size)",
        ],
        _ => &[
            "look at what the rewards say: grpo-train show RUN --step N",
            "a reward that differs between completions of a question ([stage.rewards])",
            "a higher rollout.temperature or rollout.group_size, if completions are all alike",
        ],
    };
    let mut numbers = vec![("frac_reward_zero_std", 1.0), ("steps", n as f64), ("reward", reward)];
    numbers.extend(accuracy.map(|share| ("accuracy", share)));
    Some(Diagnosis::new(Symptom::NothingToLearn, steps[0].step, message, &numbers, advice))
}

/// Right answers had a lower mean advantage than wrong ones, beyond what chance would do.
pub(super) fn right_answers_punished(history: &History, facts: &Facts) -> Option<Diagnosis> {
    let steps = (STRETCH..=POOLED_STEPS).rev().find_map(|n| history.newest(n))?;
    let (right, wrong) = (pooled(steps, |step| step.right)?, pooled(steps, |step| step.wrong)?);
    if right.n < LEAST_RIGHT || wrong.n < 1.0 {
        return None;
    }
    let (of_right, of_wrong) = (right.advantage_sum / right.n, wrong.advantage_sum / wrong.n);
    // Advantages have a deviation of about 1 within a group, so that n of them have a mean that is sure to 1 / sqrt(n).
    if of_right - of_wrong > -(SURE / right.n.sqrt()).max(LEAST_CHANGE) {
        return None;
    }
    let negative: Vec<String> = (facts.correctness.iter())
        .filter(|(_, weight)| *weight < 0.0)
        .map(|(name, weight)| format!("a positive weight: rewards.{name}.weight is {weight}"))
        .collect();
    let mut advice: Vec<&str> = negative.iter().map(String::as_str).collect();
    advice.extend([
        "look for a reward that is higher for wrong answers, and for its sign: grpo-train show RUN --step N --sort reward",
        "more weight for the reward that says what is right",
    ]);
    let message = format!(
        "right answers are punished: their mean advantage is {of_right:+.2}, that of wrong answers {of_wrong:+.2} ({} right, {} \
         wrong in {} steps)",
        right.n,
        wrong.n,
        steps.len()
    );
    let numbers = [("advantage_right", of_right), ("advantage_wrong", of_wrong), ("n_right", right.n)];
    Some(Diagnosis::new(Symptom::RightAnswersPunished, steps[0].step, message, &numbers, &advice))
}

/// The format is kept more often than in an earlier stretch, and answers are right less often.
pub(super) fn format_over_accuracy(history: &History, _: &Facts) -> Option<Diagnosis> {
    let format = |steps: &[Observation]| mean(steps, |step| step.format);
    let (since, [format_before, format_now], [before, now]) = against_accuracy(history, |then, now| {
        let (then, now) = (format(then)?, format(now)?);
        (now - then >= LEAST_CHANGE).then_some([then, now])
    })?;
    let message = format!(
        "the format is learned and the answers are lost: format {format_before:.2} -> {format_now:.2}, accuracy {before:.2} -> \
         {now:.2} since step {since}"
    );
    let numbers = [
        ("format_before", format_before),
        ("format_now", format_now),
        ("accuracy_before", before),
        ("accuracy_now", now),
    ];
    let advice = [
        "less weight for the format (rewards.format.weight)",
        "a smaller optimizer.learning_rate, or a larger grpo.kl_beta",
    ];
    Some(Diagnosis::new(Symptom::FormatOverAccuracy, since, message, &numbers, &advice))
}

/// The reward is higher than in an earlier stretch, and answers are right less often.
pub(super) fn reward_over_accuracy(history: &History, _: &Facts) -> Option<Diagnosis> {
    let reward = |steps: &[Observation]| mean(steps, |step| step.reward);
    let (since, [reward_before, reward_now], [before, now]) = against_accuracy(history, |then, now| {
        let deviation = mean(then, |step| step.reward_std)?;
        let (then, now) = (reward(then)?, reward(now)?);
        // A fifth of a deviation is a small effect by Cohen's measure, and far more than the error of a stretch's mean.
        (now - then >= 0.2 * deviation && now > then).then_some([then, now])
    })?;
    let message = format!(
        "the reward rises while answers get worse: reward {reward_before:.3} -> {reward_now:.3}, accuracy {before:.2} -> \
         {now:.2} since step {since}"
    );
    let numbers = [
        ("reward_before", reward_before),
        ("reward_now", reward_now),
        ("accuracy_before", before),
        ("accuracy_now", now),
    ];
    let advice = [
        "see which reward rises (rewards/NAME/mean in metrics.jsonl), and lower its weight",
        "the sign of each rewards.NAME.weight",
    ];
    Some(Diagnosis::new(Symptom::RewardOverAccuracy, since, message, &numbers, &advice))
}

/// The earlier stretch of highest accuracy from which `rises` and accuracy falls surely: its first step, what rises, and
/// accuracy then and now.
fn against_accuracy(
    history: &History,
    rises: impl Fn(&[Observation], &[Observation]) -> Option<[f64; 2]>,
) -> Option<(u64, [f64; 2], [f64; 2])> {
    let now = history.newest(STRETCH)?;
    let accuracy_now = mean(now, |step| step.accuracy)?;
    // Answers to one question go together, so that the groups are what is counted.
    let n = mean(now, |step| step.n_groups)? * STRETCH as f64;
    let fell = |steps: &[Observation]| {
        let then = mean(steps, |step| step.accuracy)?;
        let error = ((then * (1.0 - then) + accuracy_now * (1.0 - accuracy_now)) / n).sqrt();
        let surely = then - accuracy_now >= (SURE * error).max(LEAST_CHANGE);
        let rise = if surely { rises(steps, now) } else { None };
        rise.map(|rise| (steps[0].step, rise, [then, accuracy_now]))
    };
    history.earlier().filter_map(fell).max_by(|a, b| a.2[0].total_cmp(&b.2[0]))
}

fn pooled(steps: &[Observation], side: impl Fn(&Observation) -> Option<Side>) -> Option<Side> {
    let sides: Option<Vec<Side>> = steps.iter().map(side).collect();
    sides.map(|sides| Side {
        n: sides.iter().map(|side| side.n).sum(),
        advantage_sum: sides.iter().map(|side| side.advantage_sum).sum(),
    })
}
