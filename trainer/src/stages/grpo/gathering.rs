//! Which groups a step learns from: all that it samples, or those that are mixed (DAPO, arXiv 2503.14476, section 3.2).

use rewards::Problem;

use super::super::{NonFinite, StageError};
use super::judging::Panel;
use super::learner::{Learner, ScoredGroup};
use super::report::Seconds;
use crate::config::Keep;
use crate::data::Course;
use crate::judges::Judges;
use crate::run::LeftOut;
use crate::telemetry::{Progress, statistics};

/// What a step has sampled and judged.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The groups to learn from, by number: `prompts_per_step` of them.
    pub(super) scored: Vec<ScoredGroup>,
    /// The others, by number.
    pub(super) left_out: Vec<(ScoredGroup, LeftOut)>,
    /// Of dynamic sampling; none without it.
    pub(super) rounds: Option<Rounds>,
}

/// What dynamic sampling took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rounds {
    /// Times that the engines were started.
    pub(super) n_rounds: u64,
    /// Groups that the step learns from and that are mixed.
    pub(super) n_mixed: usize,
}

impl Learner<'_> {
    /// Asks the next questions of `course` and samples and judges their groups: once, or with dynamic sampling until
    /// `prompts_per_step` groups are mixed or the bound on rounds is reached.
    ///
    /// # Errors
    /// If a prompt does not fit the model, or what was sampled is not finite.
    pub(super) fn gather(
        &self,
        step: u64,
        course: &mut Course,
        progress: &Progress,
        seconds: &mut Seconds,
    ) -> Result<Gathered, StageError> {
        let rollout = &self.settings.rollout;
        let n_wanted = rollout.prompts_per_step as usize;
        let max_rounds = rollout.dynamic_sampling.map_or(1, |dynamic| dynamic.max_rounds);
        let is_mixed = |group: &ScoredGroup| {
            rollout.dynamic_sampling.is_none_or(|dynamic| is_mixed(group, dynamic.keep, &self.judges))
        };
        let (mut groups, mut mixed, mut n_rounds) = (Vec::new(), Vec::new(), 0);
        while n_rounds < max_rounds && self.judges.failure().is_none() {
            let n_asked = round_size(n_wanted, groups.len(), mixed.iter().filter(|mixed| **mixed).count());
            if n_asked == 0 {
                break;
            }
            let asked = course.next(&self.questions, n_asked as u64)?;
            let (rows, questions) = asked.into_iter().map(|question| (question.row, question.problem)).unzip();
            let scored = self.round(step, groups.len(), questions, progress, seconds)?;
            self.record_rates(course, &scored, rows);
            mixed.extend(scored.iter().map(is_mixed));
            groups.extend(scored);
            n_rounds += 1;
        }
        let n_mixed = mixed.iter().filter(|mixed| **mixed).count().min(n_wanted);
        let (mut scored, mut left_out) = (Vec::new(), Vec::new());
        for (group, why) in groups.into_iter().zip(choose(&mixed, n_wanted)) {
            match why {
                None => scored.push(group),
                Some(why) => left_out.push((group, why)),
            }
        }
        let rounds = rollout.dynamic_sampling.map(|_| Rounds { n_rounds, n_mixed });
        Ok(Gathered { scored, left_out, rounds })
    }

    /// Counts which of the completions are right; `rows`: of each group's problem, where a pass rate is kept.
    fn record_rates(&self, course: &mut Course, scored: &[ScoredGroup], rows: Vec<Option<usize>>) {
        for (group, row) in scored.iter().zip(rows) {
            let Some(row) = row else { continue };
            let said: Vec<bool> =
                group.judgements.iter().filter_map(|judgement| self.judges.is_right(judgement)).collect();
            course.record(row, said.len() as u64, said.iter().filter(|right| **right).count() as u64);
        }
    }

    /// Samples and judges a group for each of `questions`; the first has the number `first_group` within the step.
    fn round(
        &self,
        step: u64,
        first_group: usize,
        questions: Vec<Problem>,
        progress: &Progress,
        seconds: &mut Seconds,
    ) -> Result<Vec<ScoredGroup>, StageError> {
        let panel = Panel { judges: &self.judges, tokenizer: &self.tokenizer, problems: &questions, step };
        let (engines, judged, times) =
            panel.judge_while(|hand_over| self.sample(step, first_group, &questions, progress, hand_over))?;
        seconds.add_rollout(engines, times);
        NonFinite::refuse_in(judged.iter().map(|judged| &judged.group), &questions, first_group)
            .map_err(|what| StageError::NonFinite { step, what })?;
        let scored = |(number, (problem, judged))| ScoredGroup::new(number, problem, judged);
        Ok((first_group..).zip(questions.into_iter().zip(judged)).map(scored).collect())
    }
}

/// Groups to ask for next: as many as are missing, over the share of those sampled that are mixed, so that one round more is
/// likely to do; never more than a step's own.
fn round_size(n_wanted: usize, n_sampled: usize, n_mixed: usize) -> usize {
    let n_missing = n_wanted.saturating_sub(n_mixed);
    if n_sampled == 0 {
        return n_wanted;
    }
    (n_missing * n_sampled).div_ceil(n_mixed.max(1)).min(n_wanted)
}

/// Which groups a step does not learn from: of those that are `mixed` it takes the first `n_wanted`, and where they are too
/// few, the first of the others, so that a step always has its size.
fn choose(mixed: &[bool], n_wanted: usize) -> Vec<Option<LeftOut>> {
    let n_mixed = mixed.iter().filter(|mixed| **mixed).count();
    let (mut mixed_left, mut others_left) = (n_wanted.min(n_mixed), n_wanted.saturating_sub(n_mixed));
    let choice = |&is_mixed: &bool| {
        let (left, why) = match is_mixed {
            true => (&mut mixed_left, LeftOut::Surplus),
            false => (&mut others_left, LeftOut::NotMixed),
        };
        if *left == 0 {
            return Some(why);
        }
        *left -= 1;
        None
    };
    mixed.iter().map(choice).collect()
}

fn is_mixed(group: &ScoredGroup, keep: Keep, judges: &Judges) -> bool {
    let judgements = &group.judgements;
    match keep {
        Keep::MixedReward => {
            let rewards: Vec<Option<f32>> = judgements.iter().map(|judgement| judgement.reward).collect();
            statistics::differ(&rewards)
        }
        Keep::MixedAccuracy => {
            let any = |right| judgements.iter().any(|judgement| judges.is_right(judgement) == Some(right));
            any(true) && any(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_asks_for_what_is_likely_to_be_missing() {
        let check = |[wanted, sampled, mixed]: [usize; 3], expected| {
            assert_eq!(round_size(wanted, sampled, mixed), expected, "{wanted} wanted, {mixed} of {sampled} mixed");
        };
        check([32, 0, 0], 32);
        check([32, 32, 32], 0);
        check([32, 32, 16], 32);
        check([32, 32, 24], 11);
        check([32, 64, 31], 3);
        check([32, 32, 0], 32);
        check([32, 40, 40], 0);
    }

    #[test]
    fn a_step_has_its_size_and_takes_what_comes_first() {
        let check = |mixed: &[u8], wanted: usize, expected: &str| {
            let mixed: Vec<bool> = mixed.iter().map(|&mixed| mixed == 1).collect();
            let letter = |why: &Option<LeftOut>| match why {
                None => 'L',
                Some(LeftOut::NotMixed) => 'n',
                Some(LeftOut::Surplus) => 's',
            };
            assert_eq!(choose(&mixed, wanted).iter().map(letter).collect::<String>(), expected, "{mixed:?}");
        };
        check(&[1, 1, 1], 3, "LLL");
        check(&[1, 0, 1, 0, 1, 1], 3, "LnLnLs");
        // The bound was reached: the first of the others fill up.
        check(&[0, 1, 0, 0, 1, 0], 4, "LLLnLn");
        check(&[0, 0, 0, 0], 2, "LLnn");
    }
}
