//! What a step leaves behind: its metrics under TRL's names, and every completion as a row.

use policy::ModelConfig;
use rollout::{SamplingSeconds, StopReason};

use super::gathering::Rounds;
use super::judging::Times;
use super::learner::ScoredGroup;
use super::update::UpdateReport;
use crate::flops::{BACKWARD, Load, forward_flops};
use crate::grpo::Trajectory;
use crate::run::{CompletionRow, ComponentRow, LeftOut, StepRow};
use crate::telemetry::metrics::names;
use crate::telemetry::{StepMetrics, statistics};

/// Wall time of the parts of a step.
#[derive(Debug, Default)]
pub(super) struct Seconds {
    pub(super) judging: Times,
    /// Of `judging.sampling`, what the engines did.
    pub(super) engines: SamplingSeconds,
    pub(super) reference: f64,
    pub(super) old_logprobs: f64,
    pub(super) update: f64,
}

impl Seconds {
    /// Adds a round of sampling and judging.
    pub(super) fn add_rollout(&mut self, engines: SamplingSeconds, judging: Times) {
        self.engines.prefill += engines.prefill;
        self.engines.network += engines.network;
        self.engines.draw += engines.draw;
        self.engines.text += engines.text;
        self.judging.sampling += judging.sampling;
        self.judging.waited += judging.waited;
        self.judging.beside += judging.beside;
    }
}

/// What was asked of a model for one reward.
fn asked(name: &str, counts: &llm_judge::Counts) -> StepMetrics {
    let mut metrics = StepMetrics::new();
    for (what, value) in [
        ("requests", counts.n_requests as f64),
        ("retries", counts.n_retries as f64),
        ("cached", counts.n_cached as f64),
        ("no_verdict", counts.no_verdict.values().sum::<u64>() as f64),
        ("cost", counts.cost),
    ] {
        metrics.set(format!("judge/{name}/{what}"), value);
    }
    metrics
}

/// What came between the step before and this one, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Between {
    pub(super) evaluation: f64,
    pub(super) checkpoint: f64,
}

/// A finished step.
#[derive(Debug)]
pub(super) struct StepRecord {
    /// The groups that the step learned from, by number.
    pub(super) scored: Vec<ScoredGroup>,
    /// The groups that it sampled beside them, by number.
    pub(super) left_out: Vec<(ScoredGroup, LeftOut)>,
    /// Of dynamic sampling; none without it.
    pub(super) rounds: Option<Rounds>,
    /// Problems left, and the mean pass rate of those that have been asked; where pass rates are kept.
    pub(super) pass_rates: Option<(usize, Option<f64>)>,
    pub(super) trajectories: Vec<Trajectory>,
    pub(super) report: UpdateReport,
    pub(super) seconds: Seconds,
    /// Of the network, to count what was computed.
    pub(super) config: ModelConfig,
    /// Matrix operations a second at most; 0 where that is not known.
    pub(super) peak_flops: f64,
    /// beta of the KL term in the loss of this step.
    pub(super) kl_beta: f64,
    /// Whether the divergence from a reference was measured.
    pub(super) has_reference: bool,
    pub(super) importance_cap: Option<f64>,
    pub(super) chooses_tokens: bool,
    pub(super) has_entropy_bonus: bool,
    /// Shares of right answers and of kept formats, where a reward says so.
    pub(super) accuracy: Option<f64>,
    /// The share of right answers with the groups that were left out.
    pub(super) accuracy_of_all: Option<f64>,
    pub(super) format: Option<f64>,
    /// Whether the completions are kept with their tokens.
    pub(super) keeps_ids: bool,
    /// Whether thoughts that are too long are ended by a phrase.
    pub(super) forces_ends: bool,
    /// What was asked of models until now, by the name of the reward.
    pub(super) asked: Vec<(String, llm_judge::Counts)>,
}

impl StepRecord {
    /// Prompt and completion tokens, a prompt counted for each of its completions as in TRL.
    pub(super) fn n_tokens(&self) -> u64 {
        self.all().map(n_tokens).sum()
    }

    /// Every group that was sampled: those that the step learned from, then the others.
    fn all(&self) -> impl Iterator<Item = &ScoredGroup> {
        self.scored.iter().chain(self.left_out.iter().map(|(group, _)| group))
    }

    /// The step's line in metrics.jsonl.
    ///
    /// - `num_tokens`: since the start of the run, this step included
    /// - `step_time`: seconds of the whole step; `between`: of what came before it
    pub(super) fn metrics(&self, num_tokens: u64, step_time: f64, between: Between) -> StepMetrics {
        let mut metrics = StepMetrics::new();
        metrics.set(names::NUM_TOKENS, num_tokens as f64);
        metrics.extend(self.lengths());
        let rewards: Vec<Option<f32>> = self.trajectories.iter().map(|t| t.reward).collect();
        metrics.extend(statistics::rewards(&rewards, self.scored[0].judgements.len()));
        for name in self.component_names() {
            let scores = self.scores(&name);
            metrics.extend(statistics::component(&name, &scores));
        }
        for (name, share) in [(names::ACCURACY, self.accuracy), (names::FORMAT, self.format)] {
            share.into_iter().for_each(|share| metrics.set(name, share));
        }
        metrics.extend(self.round_metrics());
        for (name, counts) in &self.asked {
            metrics.extend(asked(name, counts));
        }
        if let Some((n_left, mean)) = self.pass_rates {
            metrics.set(names::PROBLEMS_LEFT, n_left as f64);
            metrics.set(names::PROBLEMS_PASS_RATE, mean.unwrap_or(f64::NAN));
        }
        metrics.extend(self.update_metrics());
        metrics.extend(self.rates(step_time));
        metrics.extend(self.timing(step_time, between));
        metrics.set(names::STEP_TIME, step_time);
        metrics
    }

    /// Every completion that was sampled, group by group.
    pub(super) fn rows(&self, step: u64) -> Vec<CompletionRow> {
        let learned = self.scored.iter().map(|group| (group, None));
        let left_out = self.left_out.iter().map(|(group, why)| (group, Some(*why)));
        let mut groups: Vec<_> = learned.chain(left_out).collect();
        groups.sort_by_key(|(group, _)| group.number);
        let (mut rows, mut trajectories) = (Vec::new(), self.trajectories.iter());
        for (scored, left_out) in groups {
            for row in 0..scored.group.completions.len() {
                let advantage = match left_out {
                    None => trajectories.next().expect("a trajectory for each completion").mean_advantage(),
                    Some(_) => 0.0,
                };
                rows.push(CompletionRow { left_out, advantage, ..self.row(step, scored, row) });
            }
        }
        rows
    }

    /// A completion as it was judged.
    fn row(&self, step: u64, scored: &ScoredGroup, row: usize) -> CompletionRow {
        let (completion, judgement) = (&scored.group.completions[row], &scored.judgements[row]);
        let components = judgement.components.iter().enumerate().map(|(idx, component)| {
            let verdict = &component.verdict;
            let mut steps = StepRow::all(&verdict.steps, &completion.text);
            // Empty for all completions of a group where none has a step.
            let placed = scored.steps.get(row).map_or(&[][..], |by_component| by_component[idx].as_slice());
            steps.iter_mut().zip(placed).for_each(|(step, placed)| step.end_token = Some(placed.end_token));
            let row = ComponentRow {
                score: verdict.score,
                reason: verdict.reason.to_string(),
                extracted: verdict.extracted.clone(),
                rule: verdict.rule.to_string(),
                steps,
            };
            (component.name.clone(), row)
        });
        CompletionRow {
            step,
            problem_id: scored.problem.id.clone(),
            group: scored.number,
            row,
            prompt: scored.group.prompt.text.clone(),
            text: completion.text.clone(),
            n_tokens: completion.ids.len(),
            stop_reason: stop_reason(completion.stop_reason).to_owned(),
            components: components.collect(),
            token_ids: self.keeps_ids.then(|| completion.ids.clone()),
            n_thinking_tokens: scored.thinking_tokens.get(row).copied(),
            forced: completion.forced.ranges().iter().map(|run| [run.start, run.end]).collect(),
            left_out: None,
            question: scored.problem.question.clone(),
            gold: scored.problem.gold.clone(),
            reward: judgement.reward,
            advantage: 0.0,
        }
    }

    /// What dynamic sampling did, and how all that it sampled was judged: the other metrics are of what was learned from.
    fn round_metrics(&self) -> StepMetrics {
        let Some(Rounds { n_rounds, n_mixed }) = self.rounds else { return StepMetrics::new() };
        let rewards = self.all().flat_map(|group| &group.judgements).filter_map(|judgement| judgement.reward);
        let rewards: Vec<f64> = rewards.map(f64::from).collect();
        let n_left_out: u64 = self.left_out.iter().map(|(group, _)| n_tokens(group)).sum();
        let mut metrics = StepMetrics::from([
            (names::DYNAMIC_ROUNDS, n_rounds as f64),
            (names::DYNAMIC_SAMPLED, self.all().count() as f64),
            (names::DYNAMIC_MIXED, n_mixed as f64),
            (names::DYNAMIC_LEFT_OUT_TOKENS, n_left_out as f64),
            (names::DYNAMIC_REWARD, statistics::mean(&rewards)),
        ]);
        self.accuracy_of_all.into_iter().for_each(|share| metrics.set(names::DYNAMIC_ACCURACY, share));
        metrics
    }

    fn lengths(&self) -> StepMetrics {
        let completions = || self.scored.iter().flat_map(|scored| &scored.group.completions);
        let n_tokens: Vec<usize> = completions().map(|completion| completion.ids.len()).collect();
        let terminated: Vec<bool> =
            completions().map(|completion| completion.stop_reason != StopReason::MaxTokens).collect();
        let mut metrics = statistics::completion_lengths(&n_tokens, &terminated);
        if self.forces_ends {
            let n_forced = completions().filter(|completion| !completion.forced.is_empty()).count();
            metrics.set(names::FORCED_RATIO, n_forced as f64 / n_tokens.len() as f64);
        }
        metrics
    }

    fn component_names(&self) -> Vec<String> {
        self.scored[0].judgements[0].components.iter().map(|component| component.name.clone()).collect()
    }

    fn scores(&self, name: &str) -> Vec<Option<f32>> {
        let judgements = self.scored.iter().flat_map(|scored| &scored.judgements);
        let of_name = judgements.flat_map(|judgement| judgement.components.iter().filter(|c| c.name == name));
        of_name.map(|component| component.verdict.score).collect()
    }

    fn update_metrics(&self) -> StepMetrics {
        let UpdateReport { stats, first, n_updates, .. } = &self.report;
        let n_updates = (*n_updates).max(1) as f64;
        let mut metrics = StepMetrics::from([
            (names::ENTROPY, stats.entropy_mean()),
            (names::LOSS, stats.loss(self.kl_beta) / n_updates),
            (names::POLICY_LOSS, stats.policy_loss / n_updates),
            (names::GRAD_NORM, self.report.grad_norm_sum / n_updates),
            (names::LEARNING_RATE, self.report.learning_rate),
            ("clip_ratio/low_mean", stats.clip_ratio_low()),
            ("clip_ratio/low_min", self.report.clip_low_min),
            ("clip_ratio/high_mean", stats.clip_ratio_high()),
            ("clip_ratio/high_max", self.report.clip_high_max),
            (names::CLIP_REGION_MEAN, stats.clip_ratio_region()),
            (names::LOGPROB_GAP_MEAN, first.gap_mean()),
            (names::LOGPROB_GAP_MAX, first.gap_max),
        ]);
        if self.has_reference {
            metrics.set(names::KL, stats.kl_mean());
        }
        if self.chooses_tokens {
            metrics.set("tokens/unkept_ratio", stats.unkept_ratio());
        }
        if self.has_entropy_bonus {
            metrics.set("entropy_coef", self.report.entropy_coefficient);
        }
        if self.importance_cap.is_some() && stats.n_tokens > 0 {
            metrics.set("importance/mean", stats.importance_mean());
            metrics.set("importance/max", stats.importance_max);
            metrics.set("importance/clipped_ratio", stats.importance_clipped_ratio());
        }
        metrics
    }

    /// What was computed in a second, of each part's own.
    fn rates(&self, step_time: f64) -> StepMetrics {
        let completions = self.all().flat_map(|scored| &scored.group.completions);
        let n_sampled: usize = completions.map(|completion| completion.ids.len()).sum();
        let of = |scored: &ScoredGroup| {
            let lengths: Vec<usize> = scored.group.completions.iter().map(|c| c.ids.len()).collect();
            forward_flops(&self.config, &Load::sampled(scored.group.prompt.ids.len(), &lengths))
        };
        let sampling: f64 = self.all().map(of).sum();
        let update = self.report.forward_flops * (1.0 + BACKWARD);
        let all = sampling + self.report.logprob_flops + update;
        let per_second = |amount: f64, seconds: f64| amount / seconds.max(1e-9);
        let seconds = &self.seconds;
        let sampling_flops = per_second(sampling, seconds.judging.sampling);
        let training_flops = per_second(update, seconds.update);
        let mut rates = StepMetrics::from([
            (names::TOKENS_PER_SECOND, per_second(n_sampled as f64, seconds.judging.sampling)),
            (names::SAMPLING_FLOPS, sampling_flops),
            (names::TRAINING_TOKENS_PER_SECOND, per_second(self.report.n_tokens_computed as f64, seconds.update)),
            (names::TRAINING_FLOPS, training_flops),
            (names::FLOPS, per_second(all, step_time)),
        ]);
        if self.peak_flops > 0.0 {
            rates.set(names::SAMPLING_PEAK_SHARE, sampling_flops / self.peak_flops);
            rates.set(names::TRAINING_PEAK_SHARE, training_flops / self.peak_flops);
        }
        rates
    }

    /// Where the time of the step went. The parts that are not sums of others add up to `step_time`.
    fn timing(&self, step_time: f64, between: Between) -> StepMetrics {
        let Seconds { judging, engines, reference, old_logprobs, update } = self.seconds;
        let SamplingSeconds { prefill, network, draw, text } = engines;
        let idle = judging.sampling - (prefill + network + draw + text);
        let parts = judging.sampling + judging.waited + reference + old_logprobs + self.report.seconds.sum();
        let mut metrics = StepMetrics::from([
            ("timing/sampling", judging.sampling),
            (names::TIMING_PREFILL, prefill),
            ("timing/decode", network + draw + text),
            (names::TIMING_DECODE_NETWORK, network),
            (names::TIMING_DECODE_DRAW, draw),
            (names::TIMING_DECODE_TEXT, text),
            (names::TIMING_IDLE, idle),
            (names::TIMING_REWARD, judging.waited),
            (names::TIMING_REWARD_BESIDE, judging.beside),
            (names::TIMING_REFERENCE, reference),
            (names::TIMING_OLD_LOGPROBS, old_logprobs),
            ("timing/update", update),
        ]);
        metrics.extend(self.report.seconds.metrics());
        metrics.extend(StepMetrics::from([
            (names::TIMING_OTHER, step_time - parts),
            (names::TIMING_EVALUATION, between.evaluation),
            (names::TIMING_CHECKPOINT, between.checkpoint),
        ]));
        metrics
    }
}

/// Prompt and completion tokens of a group, the prompt counted for each completion.
fn n_tokens(scored: &ScoredGroup) -> u64 {
    let prompt = scored.group.prompt.ids.len();
    scored.group.completions.iter().map(|completion| (prompt + completion.ids.len()) as u64).sum()
}

/// As in the rows on disk.
pub(super) fn stop_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::EndToken => "end_token",
        StopReason::StopString => "stop_string",
        StopReason::MaxTokens => "max_tokens",
    }
}
