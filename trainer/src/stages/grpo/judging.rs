//! Judging beside sampling: a group goes to the judges when its last completion has ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use rayon::{ThreadPool, ThreadPoolBuilder};
use rewards::{CompletionView, JudgedGroup, Judgement, Problem, StepScore};
use rollout::{Completion, Group, StopReason, Tokenizer};

use crate::judges::{Judges, Step};

/// Who judges the groups of a step, and against what.
pub(in super::super) struct Panel<'a> {
    pub(in super::super) judges: &'a Judges,
    pub(in super::super) tokenizer: &'a Tokenizer,
    /// By number of the group.
    pub(in super::super) problems: &'a [Problem],
    pub(in super::super) step: u64,
}

/// A group that has been to the judges.
#[derive(Debug)]
pub(in super::super) struct Judged {
    pub(in super::super) group: Group,
    /// Empty if a log-probability of the group is not finite: such a group is not judged.
    pub(in super::super) judgements: Vec<Judgement>,
    /// Of each completion, where a reward asks for it; else empty.
    pub(in super::super) thinking_tokens: Vec<usize>,
    /// By completion and component, where a reward has scored a step of the group; else empty.
    pub(in super::super) steps: Vec<Vec<Vec<Step>>>,
}

/// What sampling and judging took, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Times {
    /// Until the last group had been sampled.
    pub(in super::super) sampling: f64,
    /// From then until the last group had been judged.
    pub(in super::super) waited: f64,
    /// Judging that was done while sampling went on.
    pub(in super::super) beside: f64,
}

/// A group with its number.
type Numbered<T> = (usize, T);

impl Panel<'_> {
    /// Judges what `sample` hands over, group by group and in any order, while it goes on; gives back what `sample` gave and
    /// every group in the order of numbers.
    ///
    /// The judgements are those of judging all at once afterwards: a verdict depends on its group alone, or else (see
    /// [`rewards::Rubric::compares_groups`]) nothing is judged before all is there.
    ///
    /// # Errors
    /// That of `sample`.
    pub(in super::super) fn judge_while<T, E>(
        &self,
        sample: impl FnOnce(&mut dyn FnMut(usize, Group)) -> Result<T, E>,
    ) -> Result<(T, Vec<Judged>, Times), E> {
        let began = Instant::now();
        let is_sampling = AtomicBool::new(true);
        let (sender, receiver) = mpsc::channel();
        let (sampled, (mut judged, seconds), times) = std::thread::scope(|scope| {
            let is_sampling = &is_sampling;
            let judge = scope.spawn(move || self.judge_each(&receiver, is_sampling));
            // The judge listens until the sender is gone; if it panics, joining it says so.
            let sampled = sample(&mut |number, group| drop(sender.send((number, group))));
            let ended = Instant::now();
            is_sampling.store(false, Ordering::Relaxed);
            drop(sender);
            let judged = judge.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let sampling = (ended - began).as_secs_f64();
            (sampled, judged, Times { sampling, waited: ended.elapsed().as_secs_f64(), beside: 0.0 })
        });
        judged.sort_by_key(|(number, _)| *number);
        let judged = judged.into_iter().map(|(_, judged)| judged).collect();
        Ok((sampled?, judged, Times { beside: (seconds - times.waited).max(0.0), ..times }))
    }

    /// Judges groups as they come, those that wait together; gives them back with the seconds that judging took.
    fn judge_each(
        &self,
        groups: &mpsc::Receiver<Numbered<Group>>,
        is_sampling: &AtomicBool,
    ) -> (Vec<Numbered<Judged>>, f64) {
        let one_thread = if self.judges.rubric().compares_groups() { None } else { one_thread() };
        let (mut judged, mut rest, mut seconds) = (Vec::new(), Vec::new(), 0.0);
        let mut timed = |judge: &dyn Fn(Vec<Numbered<Group>>) -> Vec<Numbered<Judged>>, groups| {
            let clock = Instant::now();
            judged.extend(judge(groups));
            seconds += clock.elapsed().as_secs_f64();
        };
        while let Ok(group) = groups.recv() {
            // With all that ended while the last was judged: a judge outside may take them side by side.
            let waiting: Vec<_> = std::iter::once(group).chain(groups.try_iter()).collect();
            match &one_thread {
                Some(pool) if is_sampling.load(Ordering::Relaxed) => {
                    timed(&|groups| pool.install(|| self.judge(groups)), waiting);
                }
                _ => rest.extend(waiting),
            }
        }
        timed(&|groups| self.judge(groups), rest);
        (judged, seconds)
    }

    fn judge(&self, groups: Vec<Numbered<Group>>) -> Vec<Numbered<Judged>> {
        let counts = |group: &Group| -> Vec<usize> {
            if !self.judges.rubric().uses("thinking_tokens") {
                return Vec::new();
            }
            group.completions.iter().map(|c| self.tokenizer.tokens_until(&c.ids, "</think>")).collect()
        };
        let thinking_tokens: Vec<Vec<usize>> = groups.iter().map(|(_, group)| counts(group)).collect();
        let views: Vec<Vec<CompletionView>> = (groups.iter().zip(&thinking_tokens))
            .filter(|((_, group), _)| is_finite(group))
            .map(|((_, group), thoughts)| {
                let one = |(row, completion)| view(group, completion, thoughts.get(row).copied());
                group.completions.iter().enumerate().map(one).collect()
            })
            .collect();
        let problems = groups.iter().filter(|(_, group)| is_finite(group)).map(|(number, _)| &self.problems[*number]);
        let pairs: Vec<JudgedGroup> =
            problems.zip(&views).map(|(problem, views)| (problem, views.as_slice())).collect();
        let mut judgements = self.judges.rubric().judge_batch(&pairs, self.step).into_iter();
        let judged = |((number, group), thinking_tokens): (Numbered<Group>, _)| {
            let judgements = if is_finite(&group) { judgements.next() } else { None }.unwrap_or_default();
            let steps = steps(self.tokenizer, &group, &judgements);
            (number, Judged { group, judgements, thinking_tokens, steps })
        };
        groups.into_iter().zip(thinking_tokens).map(judged).collect()
    }
}

/// The steps of a group's completions, by component, with their ends in tokens; empty if there is none.
fn steps(tokenizer: &Tokenizer, group: &Group, judgements: &[Judgement]) -> Vec<Vec<Vec<Step>>> {
    let has_steps = |judgement: &Judgement| judgement.components.iter().any(|c| !c.verdict.steps.is_empty());
    if !judgements.iter().any(has_steps) {
        return Vec::new();
    }
    let of_completion = |(completion, judgement): (&Completion, &Judgement)| {
        // Where tokens end is asked once for all components, and only where there is something to place.
        let ends = has_steps(judgement).then(|| tokenizer.token_ends(&completion.ids));
        let place =
            |step: &StepScore| Some(Step { end_token: ends.as_ref()?.token_index_at(step.end), score: step.score });
        judgement.components.iter().map(|c| c.verdict.steps.iter().filter_map(place).collect()).collect()
    };
    group.completions.iter().zip(judgements).map(of_completion).collect()
}

/// While the engines have every core, judging takes no more than a thread beside them: the rules would spread over all
/// cores, and each completion would be in the way of the next. What waits for programs and commands of the user's does so
/// on threads of its own.
fn one_thread() -> Option<ThreadPool> {
    ThreadPoolBuilder::new().num_threads(1).build().ok()
}

fn is_finite(group: &Group) -> bool {
    group.completions.iter().all(|completion| completion.logprobs.iter().all(|value| value.is_finite()))
}

/// A completion as the judges see it.
pub(in crate::stages) fn view<'a>(
    group: &'a Group,
    completion: &'a Completion,
    n_thinking_tokens: Option<usize>,
) -> CompletionView<'a> {
    let truncated = completion.stop_reason == StopReason::MaxTokens;
    let view = CompletionView::new(&completion.text, completion.ids.len(), truncated)
        .with_prompt(&group.prompt.text)
        .with_token_ids(&completion.ids)
        .with_think_prefilled(group.prompt.text.trim_end().ends_with("<think>"));
    match n_thinking_tokens {
        Some(n) => view.with_thinking_tokens(n),
        None => view,
    }
}

#[cfg(test)]
#[path = "judging_tests.rs"]
mod tests;
