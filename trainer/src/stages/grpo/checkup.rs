//! The doctor's visit after each step: what it is shown, and where its words go.

use rewards::Judgement;
use rollout::{Completion, Group, StopReason, Tokenizer};

use super::super::{RunContext, StageError};
use super::learner::{Learner, ScoredGroup};
use super::report::StepRecord;
use crate::config::{Aggregation, GrpoStage, OnDead};
use crate::doctor::{Diagnosis, Doctor, DoctorRow, Facts, Kind, Observation, Side};
use crate::grpo::RatioLevel;
use crate::judges::Judges;
use crate::run::lines;
use crate::telemetry::format::printable;
use crate::telemetry::{MetricsRow, StepMetrics};

/// Tokens that are shown of an end of a prompt or completion.
const SHOWN_TOKENS: usize = 8;

/// Characters that are shown of a token.
const SHOWN_CHARS: usize = 24;

const THINK: &str = "<think>";

/// The doctor of a stage and what the run file says of it.
pub(super) struct Checkup {
    doctor: Doctor,
    stage: String,
    stops: bool,
}

impl Checkup {
    /// None if the run file wants none. A stage that goes on is taken up from metrics.jsonl and doctor.jsonl.
    pub(super) fn open(
        context: &RunContext,
        settings: &GrpoStage,
        judges: &Judges,
    ) -> Result<Option<Self>, StageError> {
        let wanted = &context.settings.doctor;
        if !wanted.enabled {
            return Ok(None);
        }
        let stage = settings.name.clone();
        let metrics: Vec<MetricsRow> = lines::read(&context.directory.metrics())?;
        let earlier = metrics.iter().filter(|row| row.stage == stage);
        let earlier = earlier.map(|row| Observation::of_metrics(row.step, &row.metrics)).collect();
        let mut said: Vec<DoctorRow> = lines::read(&context.directory.doctor())?;
        said.retain(|row| row.stage == stage || row.diagnosis.kind == Kind::Note);
        let doctor = Doctor::new(facts(context, settings, judges, 1)).resumed(earlier, &said);
        Ok(Some(Self { doctor, stage, stops: wanted.on_dead == OnDead::Stop }))
    }

    /// Looks at a step and says what there is to say. True if the stage is dead and is to end for it.
    pub(super) fn visit(
        &mut self,
        context: &RunContext,
        learner: &Learner,
        record: &StepRecord,
        step: u64,
        metrics: &StepMetrics,
    ) -> Result<bool, StageError> {
        self.doctor.know(facts(context, learner.settings, &learner.judges, step));
        for mut diagnosis in self.doctor.examine(observation(record, &learner.judges, step, metrics)) {
            if diagnosis.wants_tokens() {
                diagnosis.tokens = specimen(record, &learner.judges, &learner.tokenizer);
            }
            self.say(context, step, diagnosis)?;
        }
        Ok(self.stops && self.doctor.is_dead())
    }

    fn say(&self, context: &RunContext, step: u64, diagnosis: Diagnosis) -> Result<(), StageError> {
        let row = DoctorRow { stage: self.stage.clone(), step, diagnosis };
        context.progress.say(&row.to_string());
        Ok(context.log_doctor(&row)?)
    }
}

/// What the run file says of a step, counted from 1.
fn facts(context: &RunContext, settings: &GrpoStage, judges: &Judges, step: u64) -> Facts {
    let weight = |name: &String| {
        settings.rewards.0.iter().find(|reward| reward.name == *name).map(|reward| reward.weight_at(step))
    };
    Facts {
        dead_steps: context.settings.doctor.dead_steps as usize,
        max_tokens: settings.rollout.max_tokens_at(step),
        clips_tokens: settings.grpo.ratio == RatioLevel::Token,
        loss_cancels: settings.grpo.updates_per_step() == 1 && settings.grpo.aggregation == Aggregation::PerCompletion,
        learning_rate: settings.optimizer.learning_rate_at(step),
        correctness: judges.correctness().iter().filter_map(|name| Some((name.clone(), weight(name)?))).collect(),
    }
}

/// The numbers of a step, those that metrics.jsonl does not have included.
fn observation(record: &StepRecord, judges: &Judges, step: u64, metrics: &StepMetrics) -> Observation {
    let trajectories = &record.trajectories;
    let in_equal = |index: usize| {
        trajectories.iter().filter(|t| t.prompt_idx == index).all(|t| t.advantages.iter().all(|&a| a == 0.0))
    };
    let n_equal = (0..record.scored.len()).filter(|index| in_equal(*index)).count();
    let judged = || record.scored.iter().flat_map(|scored| scored.group.completions.iter().zip(&scored.judgements));
    let side = |is_right: bool| {
        let of_side = trajectories.iter().zip(judged()).filter(|(_, (_, j))| judges.is_right(j) == Some(is_right));
        of_side.fold(Side::default(), |side, (trajectory, _)| Side {
            n: side.n + 1.0,
            advantage_sum: side.advantage_sum + f64::from(trajectory.mean_advantage()),
        })
    };
    Observation {
        n_groups: Some(record.scored.len() as f64),
        equal_groups: Some(n_equal as f64 / record.scored.len() as f64),
        unanswered: share(judged().filter_map(|(_, judgement)| judges.is_unanswered(judgement))),
        formed: formed(&record.scored, judges),
        reopened: share(reopening(&record.scored).map(|(_, completion)| completion.text.contains(THINK))),
        right: record.accuracy.map(|_| side(true)),
        wrong: record.accuracy.map(|_| side(false)),
        ..Observation::of_metrics(step, metrics)
    }
}

/// Completions behind a prompt whose last `<think>` is still open. R1's template names both tags and leaves none open.
fn reopening(scored: &[ScoredGroup]) -> impl Iterator<Item = (&Group, &Completion)> {
    let is_open =
        |scored: &&ScoredGroup| scored.group.prompt.text.rfind(THINK) > scored.group.prompt.text.rfind("</think>");
    scored.iter().filter(is_open).flat_map(|scored| scored.group.completions.iter().map(|one| (&scored.group, one)))
}

/// The least share of completions that earn anything by a reward which wants the opening tag from them. The format rewards
/// count a tag that ends the prompt as written; a pattern does not.
fn formed(scored: &[ScoredGroup], judges: &Judges) -> Option<f64> {
    let sees_prefilled = scored.iter().all(|scored| scored.group.prompt.text.trim_end().ends_with(THINK));
    let formats = judges.formats().iter().filter(|_| !sees_prefilled);
    let shares = formats.chain(judges.think_patterns()).filter_map(|name| {
        let judgements = scored.iter().flat_map(|scored| &scored.judgements);
        share(judgements.filter_map(|judgement| Some(score(judgement, name)? > 0.0)))
    });
    shares.reduce(f64::min)
}

fn score(judgement: &Judgement, name: &str) -> Option<f32> {
    judgement.components.iter().find(|component| component.name == name)?.verdict.score
}

fn share(answers: impl Iterator<Item = bool>) -> Option<f64> {
    let (mut n, mut n_true) = (0.0, 0.0);
    for answer in answers {
        n += 1.0;
        n_true += f64::from(u8::from(answer));
    }
    (n > 0.0).then(|| n_true / n)
}

/// Where prompt and completion meet, and how the completion ends, token by token: of the first without an answer, or of the
/// first of all.
fn specimen(record: &StepRecord, judges: &Judges, tokenizer: &Tokenizer) -> Option<String> {
    let all = || {
        let scored = record.scored.iter();
        scored.flat_map(|s| {
            s.group.completions.iter().zip(&s.judgements).map(|(one, judgement)| (&s.group, one, judgement))
        })
    };
    let unanswered = all().find(|(_, _, judgement)| judges.is_unanswered(judgement) == Some(true));
    let (group, completion, _) = unanswered.or_else(|| all().next())?;
    let (prompt, ids) = (&group.prompt.ids, &completion.ids);
    let last = |ids: &[i64]| shown(tokenizer, &ids[ids.len().saturating_sub(SHOWN_TOKENS)..]);
    let first = shown(tokenizer, &ids[..ids.len().min(SHOWN_TOKENS)]);
    let end = if ids.len() > SHOWN_TOKENS { format!(" ... {}", last(ids)) } else { String::new() };
    let stop = if completion.stop_reason == StopReason::MaxTokens { "cut off" } else { "ended" };
    Some(format!("prompt ... {}\ncompletion {first}{end} ({stop} after {} tokens)", last(prompt), ids.len()))
}

/// Tokens side by side, quoted and escaped: what a model writes may hold anything.
fn shown(tokenizer: &Tokenizer, ids: &[i64]) -> String {
    let quoted = |id: &i64| {
        let text = tokenizer.decode(&[*id]);
        let short: String = text.chars().take(SHOWN_CHARS).collect();
        let more = if text.chars().count() > SHOWN_CHARS { "..." } else { "" };
        printable(&format!("{short:?}{more}"))
    };
    ids.iter().map(quoted).collect::<Vec<_>>().join(" ")
}
