//! What the completions show: cut off, without an answer, too long, or a prompt that has begun them already.

use super::super::history::{all_at_least, mean};
use super::super::{Diagnosis, Facts, History, Symptom};

/// Steps in a row after which a share is no accident: a step has tens of completions at least.
const SETTLED: usize = 3;

/// Nearly all of a step's completions.
const NEARLY_ALL: f64 = 0.9;

/// Share of cut off completions in the first step up to which the limit was none.
const ENDED_AT_FIRST: f64 = 0.5;

/// A share of completions that is as good as none.
const NEARLY_NONE: f64 = 0.05;

/// Growth of the mean length that alone is no illness: thoughts that get longer are what R1-Zero is known for.
const GROWTH: f64 = 2.0;

/// Share of cut off completions from which growth is one: a quarter of the step then learns from no end.
const TOO_MANY_CUT: f64 = 0.25;

/// Nearly all completions were cut off at the token limit.
pub(super) fn all_truncated(history: &History, facts: &Facts) -> Option<Diagnosis> {
    let steps = history.newest(SETTLED).filter(|steps| all_at_least(steps, NEARLY_ALL, |step| step.truncated))?;
    let share = mean(steps, |step| step.truncated)?;
    let max_tokens = facts.max_tokens;
    let message = format!(
        "completions are cut off: {:.0} % of them reached rollout.max_tokens = {max_tokens} before they ended, in {SETTLED} steps \
         in a row",
        100.0 * share
    );
    let longer = format!("a larger rollout.max_tokens, such as {}", 4 * max_tokens);
    let mut advice = vec![
        longer.as_str(),
        "a text or token that ends a completion (rollout.stop_strings, rollout.stop_token_ids), if they go on after their answer",
        "the end tokens of the model (eos_token_id in its generation_config.json)",
    ];
    let at_first = history.first(1).and_then(|first| first[0].truncated).filter(|share| *share <= ENDED_AT_FIRST);
    let changed = at_first.map(|share| {
        format!("a smaller optimizer.learning_rate: {:.0} % were cut off in the first step, so it is the policy that changed", 100.0 * share)
    });
    changed.iter().for_each(|changed| advice.insert(0, changed));
    let numbers = [("clipped_ratio", share), ("max_tokens", max_tokens as f64)];
    Some(Diagnosis::new(Symptom::AllTruncated, steps[0].step, message, &numbers, &advice))
}

/// Whether every completion was cut off and none was right, for `dead_steps` steps.
pub(super) fn nothing_gets_through(history: &History, facts: &Facts) -> bool {
    let lost = |steps: &&[super::super::Observation]| {
        all_at_least(steps, 1.0, |step| step.truncated) && steps.iter().all(|step| step.accuracy == Some(0.0))
    };
    history.newest(facts.dead_steps).filter(lost).is_some()
}

/// No answer was found in nearly all completions.
pub(super) fn no_answers(history: &History, _: &Facts) -> Option<Diagnosis> {
    let steps = history.newest(SETTLED).filter(|steps| all_at_least(steps, NEARLY_ALL, |step| step.unanswered))?;
    let share = mean(steps, |step| step.unanswered)?;
    let message = format!(
        "answers are not found: in {:.0} % of completions there was none to judge, in {SETTLED} steps in a row",
        100.0 * share
    );
    let advice = [
        "prompt.template and the wording of the questions: do they ask for the tags or the box that the reward looks for?",
        "the reward's own options for where an answer may stand (grpo-train score RUN judges again without sampling)",
        "a model that follows the format now and then, or a reward for the format beside it",
    ];
    Some(Diagnosis::new(Symptom::NoAnswers, steps[0].step, message, &[("unanswered", share)], &advice))
}

/// The prompt leaves `<think>` open, and completions open it again or never please a reward for the format.
pub(super) fn prefilled_tag(history: &History, _: &Facts) -> Option<Diagnosis> {
    let steps = history.newest(SETTLED)?;
    let reopened = mean(steps, |step| step.reopened)?;
    let formed = mean(steps, |step| step.formed);
    let again = all_at_least(steps, 0.5, |step| step.reopened);
    let never = steps.iter().all(|step| step.formed.is_some_and(|share| share <= NEARLY_NONE));
    let (message, first) = if again {
        let share = 100.0 * reopened;
        (format!("the prompt opens <think> already, and {share:.0} % of completions open it again"), LEAVE_IT_OUT)
    } else if never {
        let share = 100.0 * formed?;
        let message = format!(
            "the prompt opens <think> already, so that completions do not; a reward that wants the tag from them is earned by {share:.0} %"
        );
        (
            message,
            "a reward that counts a prefilled tag: `format` and `think_format` do if the prompt ends with <think>",
        )
    } else {
        return None;
    };
    let mut numbers = vec![("reopened", reopened)];
    numbers.extend(formed.map(|share| ("formed", share)));
    let second = if again { "rewards that do not ask for the tag (rewards.regex.pattern)" } else { LEAVE_IT_OUT };
    let advice = [first, second, "prompt.template = \"r1_zero\", which opens no tag"];
    Some(Diagnosis::new(Symptom::PrefilledTag, steps[0].step, message, &numbers, &advice))
}

const LEAVE_IT_OUT: &str = "leave <think> out of the end of the prompt (the questions of problems.jsonl)";

/// Completions have grown, and many now end at the limit instead of by themselves.
pub(super) fn length_explosion(history: &History, facts: &Facts) -> Option<Diagnosis> {
    let (start, now) = history.ends()?;
    let (before, length) = (mean(start, |step| step.mean_length)?, mean(now, |step| step.mean_length)?);
    let (cut_before, cut) = (mean(start, |step| step.truncated)?, mean(now, |step| step.truncated)?);
    if length < GROWTH * before || cut < TOO_MANY_CUT || cut < GROWTH * cut_before {
        return None;
    }
    let message = format!(
        "completions grow into the limit: {before:.0} -> {length:.0} tokens since step {}, and {:.0} % now reach \
         rollout.max_tokens = {}",
        start[0].step,
        100.0 * cut,
        facts.max_tokens
    );
    let advice = [
        "grpo.aggregation = \"per_token\": under \"per_completion\" a long wrong answer costs less a token (DAPO, Dr. GRPO)",
        "a penalty near the limit ([stage.rewards.soft_overlong])",
        "a larger rollout.max_tokens, if the longer ones are the better ones",
    ];
    let numbers = [
        ("mean_length_before", before),
        ("mean_length", length),
        ("clipped_ratio", cut),
        ("clipped_before", cut_before),
    ];
    Some(Diagnosis::new(Symptom::LengthExplosion, start[0].step, message, &numbers, &advice))
}
