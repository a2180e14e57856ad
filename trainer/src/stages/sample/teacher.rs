//! What another model makes of the samples that stay: it rewrites them, or says which of two is better.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{Display, Write};

use llm_judge::{ChatClient, ClientOptions, Counts, PairJudge, Rewriter};
use rewards::{CompletionView, JudgedGroup};
use serde::Serialize;

use super::super::asking::Asker;
use super::super::{RunContext, StageError};
use crate::config::{Preferences, Rewrite, SampleStage};
use crate::selection::{Reason, Rejection, Sample, Screen};
use crate::teacher::{Outcome, PairCounts, Paired, RewriteCounts, pairs, rewrite};

/// Samples with their fates, in the same order.
pub(super) struct Selected {
    pub(super) samples: Vec<Sample>,
    /// Why each is not in the data; none if it is.
    pub(super) fates: Vec<Option<Rejection>>,
}

impl Selected {
    /// The numbers of the samples that stay.
    fn numbers(&self) -> Vec<usize> {
        (0..self.fates.len()).filter(|&number| self.fates[number].is_none()).collect()
    }

    fn kept(&self, numbers: &[usize]) -> Vec<Sample> {
        numbers.iter().map(|&number| self.samples[number].clone()).collect()
    }
}

/// What was made, beside what has changed in the samples and their fates.
#[derive(Default)]
pub(super) struct Taught {
    /// The pairs that are the data; their members are numbers of samples.
    pub(super) paired: Option<Paired>,
    pub(super) report: Option<Report>,
}

/// What became of the samples, and what was asked for it by this process.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    Rewrite {
        #[serde(flatten)]
        counts: RewriteCounts,
        asked: Asked,
    },
    Preferences {
        #[serde(flatten)]
        counts: PairCounts,
        n_pairs: usize,
        asked: Asked,
    },
}

/// Who was asked, how often, and what it cost.
#[derive(Serialize)]
pub(super) struct Asked {
    model: String,
    #[serde(flatten)]
    counts: Counts,
}

/// Does with the samples that stay what the run file asks for; none if the user wants to end before all was asked.
///
/// What the model has answered is in its cache, so a stage that is taken up again asks for the rest.
///
/// # Errors
/// If the model or a reward fails: nothing is made of a part of the answers.
pub(super) fn teach(
    context: &RunContext,
    settings: &SampleStage,
    screen: &Screen,
    asker: &Asker,
    selected: &mut Selected,
) -> Result<Option<Taught>, StageError> {
    if let Some(table) = &settings.rewrite {
        let report = rewritten(context, settings, table, screen, asker, selected)?;
        return Ok(report.map(|report| Taught { report: Some(report), paired: None }));
    }
    if let Some(table) = &settings.preferences {
        return preferred(context, settings, table, selected);
    }
    Ok(Some(Taught::default()))
}

fn client(context: &RunContext, settings: &SampleStage, server: &ClientOptions) -> Result<ChatClient, StageError> {
    let client = ChatClient::new(server.clone())?;
    client.stop_when(context.stop.clone());
    context.progress.say(&format!("stage {}: asking {} at {}", settings.name, server.model, server.base_url));
    Ok(client)
}

fn rewritten(
    context: &RunContext,
    settings: &SampleStage,
    table: &Rewrite,
    screen: &Screen,
    asker: &Asker,
    selected: &mut Selected,
) -> Result<Option<Report>, StageError> {
    let client = client(context, settings, &table.server)?;
    let rewriter = Rewriter::new(client.clone(), table.options()).expect("checked when the run file was read");
    let (numbers, layout) = (selected.numbers(), settings.layout.sampled());
    let (is_to_stop, judged) = (|| context.asked_to_stop(), |new| judged_anew(new, asker));
    let samples = selected.kept(&numbers);
    let made = rewrite(&samples, &layout, screen, &rewriter, table.on_failure, is_to_stop, judged)?;
    let Some(made) = made else { return Ok(None) };
    for (number, outcome) in numbers.into_iter().zip(made.outcomes) {
        match outcome {
            Outcome::New(new) => selected.samples[number] = *new,
            Outcome::Kept(_) => {}
            Outcome::Dropped(reason) => {
                selected.fates[number] = Some(Rejection::new(Reason::NotRewritten, reason));
            }
        }
    }
    Ok(Some(Report::Rewrite { counts: made.counts, asked: Asked::of(&client) }))
}

fn preferred(
    context: &RunContext,
    settings: &SampleStage,
    table: &Preferences,
    selected: &mut Selected,
) -> Result<Option<Taught>, StageError> {
    let client = client(context, settings, &table.server)?;
    let judge = PairJudge::new(client.clone(), table.options()).expect("checked when the run file was read");
    let (numbers, layout) = (selected.numbers(), settings.layout.sampled());
    let is_to_stop = || context.asked_to_stop();
    let seed = context.settings.run.seed;
    let made = pairs(&selected.kept(&numbers), &layout, table.pairs(), &judge, seed, is_to_stop)?;
    let Some(mut paired) = made else { return Ok(None) };
    paired.members.iter_mut().flatten().for_each(|member| *member = numbers[*member]);
    let in_pairs: HashSet<usize> = paired.members.iter().flatten().copied().collect();
    for number in numbers.into_iter().filter(|number| !in_pairs.contains(number)) {
        selected.fates[number] = Some(Rejection::plain(Reason::NotPaired));
    }
    let (counts, n_pairs, asked) = (paired.counts, paired.pairs.len(), Asked::of(&client));
    let report = Report::Preferences { counts, n_pairs, asked };
    Ok(Some(Taught { paired: Some(paired), report: Some(report) }))
}

/// New completions with their lengths and verdicts. Each is judged as a group of its own, with the weights of step 1.
fn judged_anew(mut samples: Vec<Sample>, asker: &Asker) -> Result<Vec<Sample>, StageError> {
    let (judges, tokenizer) = (&asker.judges, &asker.model.tokenizer);
    let encode = |sample: &Sample| tokenizer.encode_within(&sample.completion);
    let ids: Vec<Vec<i64>> = samples.iter().map(encode).collect::<rollout::Result<_>>()?;
    for (sample, ids) in samples.iter_mut().zip(&ids) {
        // With the end token.
        sample.n_tokens = ids.len() as u64 + 1;
    }
    let counts_thoughts = judges.rubric().uses("thinking_tokens");
    let views: Vec<[CompletionView<'_>; 1]> = (samples.iter().zip(&ids))
        .map(|(sample, ids)| {
            let view = sample.view().with_token_ids(ids);
            let n_thoughts = counts_thoughts.then(|| tokenizer.tokens_until(ids, "</think>"));
            [n_thoughts.map_or(view, |n| view.with_thinking_tokens(n))]
        })
        .collect();
    let groups: Vec<JudgedGroup<'_>> =
        samples.iter().zip(&views).map(|(sample, view)| (&sample.problem, view.as_slice())).collect();
    let judgements = judges.rubric().judge_batch(&groups, 1);
    if let Some(failure) = judges.failure() {
        return Err(StageError::JudgedAnew(failure));
    }
    for (sample, judgement) in samples.iter_mut().zip(judgements.into_iter().flatten()) {
        sample.correct = judges.is_right(&judgement);
        sample.reward = judgement.reward;
        let scores = judgement.components.into_iter().map(|part| (part.name, part.verdict.score));
        sample.components = scores.collect();
    }
    Ok(samples)
}

impl Asked {
    fn of(client: &ChatClient) -> Self {
        Self { model: client.options().model.clone(), counts: client.counts() }
    }

    fn line(&self) -> String {
        let Counts { n_requests, n_retries, n_replies, n_cached, no_verdict, tokens_in, tokens_out, cost, .. } =
            &self.counts;
        let mut line = format!(
            "asked {}: {n_replies} replies to {n_requests} requests ({n_retries} of them sent again), {n_cached} from the \
             cache; {tokens_in} tokens in, {tokens_out} out, cost {cost:.4}",
            self.model
        );
        if !no_verdict.is_empty() {
            let _ = write!(line, "; of no use: {}", by_name(no_verdict));
        }
        line
    }
}

impl Report {
    /// What to show of it.
    pub(super) fn lines(&self) -> [String; 2] {
        match self {
            Self::Rewrite { counts: RewriteCounts { n_samples, n_rewritten, failures }, asked } => {
                let others = if failures.is_empty() { String::new() } else { format!("; not: {}", by_name(failures)) };
                [format!("rewritten: {n_rewritten} of {n_samples} samples{others}"), asked.line()]
            }
            Self::Preferences { counts, n_pairs, asked } => {
                let PairCounts { n_problems, n_compared, n_no_verdict, n_close, n_unbalanced } = counts;
                let pairs = format!(
                    "preferences: {n_pairs} pairs of {n_compared} that were compared, over {n_problems} problems; \
                     {n_no_verdict} without a verdict, {n_close} too close, {n_unbalanced} left out for the balance of lengths"
                );
                [pairs, asked.line()]
            }
        }
    }
}

fn by_name(counts: &BTreeMap<&'static str, impl Display>) -> String {
    let words: Vec<String> = counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
    words.join(", ")
}
