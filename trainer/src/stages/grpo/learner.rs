//! One step of GRPO: Algorithm 1 of DeepSeekMath (Shao et al. 2024, arXiv 2402.03300), in the paper's order.

use std::time::Instant;

use policy::{Policy, ReferencePolicy};
use rewards::{Judgement, Problem};
use rollout::{ForcedEnd, Group, Template, Tokenizer};

use super::super::{Model, StageError};
use super::flat::Flat;
use super::gathering::Gathered;
use super::judging::Judged;
use super::report::{Seconds, StepRecord};
use super::sampling::forced_end;
use super::update::{Batch, UpdateReport};
use crate::address::{self, Purpose};
use crate::bench::machine;
use crate::config::{self, GrpoStage};
use crate::data::{Course, Questions};
use crate::grpo::{EntropyControl, Trajectory, split};
use crate::judges::{Judges, Step};
use crate::optim::{AdamW, AdamWConfig, DecayScope, Schedule};
use crate::prompts;
use crate::scoring::Needs;
use crate::telemetry::Progress;

/// A group whose completions have been judged.
#[derive(Debug)]
pub(super) struct ScoredGroup {
    /// Its index within the step.
    pub(super) number: usize,
    pub(super) problem: Problem,
    pub(super) group: Group,
    pub(super) judgements: Vec<Judgement>,
    /// Of each completion, where a reward asks for it; else empty.
    pub(super) thinking_tokens: Vec<usize>,
    /// By completion and component, where a reward has scored a step of the group; else empty.
    pub(super) steps: Vec<Vec<Vec<Step>>>,
}

impl ScoredGroup {
    pub(super) fn new(number: usize, problem: Problem, judged: Judged) -> Self {
        let Judged { group, judgements, thinking_tokens, steps } = judged;
        Self { number, problem, group, judgements, thinking_tokens, steps }
    }
}

/// A step that could not be finished.
#[derive(Debug)]
pub(super) struct StepFailure {
    pub(super) error: StageError,
    /// What was sampled and judged, if it came so far.
    pub(super) record: Option<StepRecord>,
}

impl From<StageError> for Box<StepFailure> {
    fn from(error: StageError) -> Self {
        Self::new(StepFailure { error, record: None })
    }
}

/// Policy, reference and optimiser of a stage, and what they learn from.
pub(super) struct Learner<'a> {
    pub(super) settings: &'a GrpoStage,
    pub(super) seed: u64,
    pub(super) stage_idx: usize,
    /// π_θ
    pub(super) policy: Policy,
    /// π_ref; none where no step asks for it (`kl_beta = 0`).
    pub(super) reference: Option<ReferencePolicy>,
    /// The step before which the reference was taken from the policy; 0 is the start of the stage.
    pub(super) reference_step: u64,
    pub(super) tokenizer: Tokenizer,
    /// The text around questions.
    pub(super) template: Template,
    /// What ends thoughts that are too long; none lets them go on.
    pub(super) forced_end: Option<ForcedEnd>,
    pub(super) optimizer: AdamW,
    pub(super) schedule: Schedule,
    /// Where the coefficient of the entropy bonus stands.
    pub(super) entropy_control: EntropyControl,
    pub(super) judges: Judges,
    /// Matrix operations a second that the machine can do at most, measured when the stage began; 0 where it was not.
    pub(super) peak_flops: f64,
    pub(super) questions: Questions,
    /// How far the stage has come with them.
    pub(super) course: Course,
}

impl<'a> Learner<'a> {
    pub(super) fn new(settings: &'a GrpoStage, model: Model, seed: u64, stage_idx: usize) -> Result<Self, StageError> {
        let judges = Judges::new(&settings.rewards)?;
        let questions = Questions::open(&settings.problems, judges.rubric(), seed, stage_idx)?;
        let Model { policy, tokenizer } = model;
        Ok(Self {
            template: prompts::template(&settings.prompt, &tokenizer)?,
            forced_end: forced_end(&settings.rollout, &tokenizer)?,
            course: Course::new(&questions),
            questions,
            reference: settings.grpo.needs_reference().then(|| policy.reference()),
            reference_step: 0,
            optimizer: AdamW::new(policy.parameters(), adamw(&settings.optimizer)),
            schedule: schedule(&settings.optimizer, settings.steps),
            entropy_control: EntropyControl::new(settings.grpo.entropy_coefficient),
            peak_flops: peak_flops(&policy),
            settings,
            seed,
            stage_idx,
            policy,
            tokenizer,
            judges,
        })
    }

    /// One step: sample, judge, compare, update. `step` counts from 1.
    ///
    /// # Errors
    /// If a prompt does not fit the model, or a loss or gradient is not finite: that update is not made, and the completions
    /// it would have learned from come back with the error.
    pub(super) fn step(&mut self, step: u64, progress: &Progress) -> Result<StepRecord, Box<StepFailure>> {
        let settings = self.settings;
        let mut seconds = Seconds::default();
        self.refresh_reference(step);
        // Taken over when the step is done: until then a checkpoint is of the step before.
        let mut course = self.course.clone();
        course.begin_step(step);
        // D_b, {o_i} from π_old = π_θ, and beside it r_i: Algorithm 1 lines 4 to 7
        let gathered = self.gather(step, &mut course, progress, &mut seconds)?;
        let flat = Flat::of(&gathered.scored);
        let mut report = UpdateReport::default();
        if let Some(failure) = self.judges.failure() {
            let trajectories = self.trajectories(step, &flat, None);
            let record = self.record(step, gathered, &course, trajectories, report, seconds);
            return Err(Box::new(StepFailure { error: StageError::Judge { step, failure }, record: Some(record) }));
        }
        let clock = Instant::now();
        let ref_logprobs = self.ref_logprobs(step, &flat, &mut report.logprob_flops); // log π_ref
        seconds.reference = clock.elapsed().as_secs_f64();
        let trajectories = self.trajectories(step, &flat, ref_logprobs.as_deref()); // Â_it, line 8
        let order = self.order(step, trajectories.len());
        let minibatches = split(&order, settings.grpo.minibatches as usize).map_err(StageError::from)?;
        let clock = Instant::now();
        let flops = &mut report.logprob_flops;
        let old_logprobs = self.old_logprobs(step, &flat, &trajectories, &minibatches, flops); // log π_old
        seconds.old_logprobs = clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        let batch = Batch { flat, trajectories: &trajectories, old_logprobs, ref_logprobs };
        let updated = self.updates(step, &batch, &minibatches, progress, &mut report); // lines 9 and 10
        seconds.update = clock.elapsed().as_secs_f64();
        let record = self.record(step, gathered, &course, trajectories, report, seconds);
        match updated {
            Ok(()) => {
                self.course = course;
                Ok(record)
            }
            Err(error) => Err(Box::new(StepFailure { error, record: Some(record) })),
        }
    }

    /// μ updates of Eq. 3 on each minibatch.
    fn updates(
        &mut self,
        step: u64,
        batch: &Batch,
        minibatches: &[Vec<usize>],
        progress: &Progress,
        report: &mut UpdateReport,
    ) -> Result<(), StageError> {
        let settings = &self.settings.grpo;
        progress.begin_update(settings.updates_per_step());
        let n_times = settings.updates_per_batch as usize;
        for minibatch in minibatches.iter().flat_map(|minibatch| std::iter::repeat_n(minibatch, n_times)) {
            self.update(step, batch, minibatch, report)?;
            progress.update(report.n_updates);
        }
        Ok(())
    }

    fn record(
        &self,
        step: u64,
        gathered: Gathered,
        course: &Course,
        trajectories: Vec<Trajectory>,
        report: UpdateReport,
        seconds: Seconds,
    ) -> StepRecord {
        let Gathered { scored, left_out, rounds } = gathered;
        let all = || scored.iter().chain(left_out.iter().map(|(group, _)| group));
        let share = |groups: &mut dyn Iterator<Item = &ScoredGroup>, of: fn(&Judges, &Judgement) -> Option<bool>| {
            let judgements = groups.flat_map(|group| &group.judgements);
            let said: Vec<bool> = judgements.filter_map(|judgement| of(&self.judges, judgement)).collect();
            let n_true = said.iter().filter(|yes| **yes).count();
            (!said.is_empty()).then(|| n_true as f64 / said.len() as f64)
        };
        let accuracy = share(&mut scored.iter(), Judges::is_right);
        let format = share(&mut scored.iter(), Judges::keeps_format);
        let accuracy_of_all = share(&mut all(), Judges::is_right);
        let kl_beta = self.settings.grpo.objective(step).kl_beta;
        let keeps_ids = Needs::of(&self.settings.rewards).token_ids();
        let importance_cap = self.settings.grpo.importance_cap;
        StepRecord {
            scored,
            left_out,
            rounds,
            pass_rates: course.pass_rates().map(|rates| (rates.n_left(), rates.mean())),
            trajectories,
            report,
            seconds,
            config: self.policy.config().clone(),
            peak_flops: self.peak_flops,
            kl_beta,
            has_reference: self.settings.grpo.kl_beta_at(step) != 0.0,
            importance_cap,
            chooses_tokens: self.settings.grpo.surveys(),
            has_entropy_bonus: self.settings.grpo.has_entropy_bonus(),
            accuracy,
            accuracy_of_all,
            format,
            keeps_ids,
            forces_ends: self.forced_end.is_some(),
            asked: self.judges.asked(),
        }
    }

    /// π_ref ← α π_θ + (1 - α) π_ref where the schedule says so (DeepSeek-R1: α = 1, every 400 steps of its own counting).
    fn refresh_reference(&mut self, step: u64) {
        let every = self.settings.grpo.reference_refresh_steps;
        let is_due = every > 0 && step > 1 && (step - 1).is_multiple_of(every);
        if let Some(reference) = self.reference.as_mut().filter(|_| is_due) {
            *reference = self.policy.mixed_into(reference, self.settings.grpo.reference_mix);
            self.reference_step = step;
        }
    }

    /// The order in which a rollout's trajectories fall into minibatches: random, addressed by the step.
    fn order(&self, step: u64, n_trajectories: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n_trajectories).collect();
        if self.settings.grpo.minibatches > 1 {
            address::stream(self.seed, self.stage_idx, Purpose::Split, &[step]).draws().shuffle(&mut order);
        }
        order
    }
}

/// The peak of the machine in the kind that a policy computes in. Of a GPU it is not known here (`grpo-train bench`).
fn peak_flops(policy: &Policy) -> f64 {
    match policy.device() {
        tch::Device::Cpu => machine::peak_flops(policy.dtype(), rayon::current_num_threads()),
        _ => 0.0,
    }
}

/// The optimiser of a run file.
pub(in super::super) fn adamw(settings: &config::Optimizer) -> AdamWConfig {
    AdamWConfig {
        betas: settings.betas,
        eps: settings.eps,
        weight_decay: settings.weight_decay,
        decay_scope: DecayScope::Matrices,
    }
}

/// The learning rate of a run file, as a function of the step.
pub(in super::super) fn schedule(settings: &config::Optimizer, steps: u64) -> Schedule {
    Schedule {
        learning_rate: settings.learning_rate,
        decay: settings.schedule,
        n_warmup_steps: settings.warmup_steps,
        n_steps: steps,
        final_lr_fraction: settings.final_lr_fraction,
    }
}
