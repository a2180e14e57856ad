//! Judging completions that are already there: from a file of cases, or from a run folder.

pub mod cases;
pub mod replay;

use std::time::Instant;

use rayon::prelude::*;
use rewards::{CompletionView, JudgedGroup, Judgement, Problem};

use crate::config::{Judge, Rewards};
use crate::judges::Judges;

/// A completion to be judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The problem it answers.
    pub problem: Problem,
    /// Its text.
    pub completion: String,
    /// What the policy was asked, where it is known.
    pub prompt: Option<String>,
    /// Its length in tokens; 0 where it is not known and no reward asks.
    pub n_tokens: usize,
    /// The length of its thoughts in tokens, where it is known.
    pub n_thinking_tokens: Option<usize>,
    /// Its tokens, where they are known.
    pub token_ids: Option<Vec<i64>>,
    /// Whether the token limit cut it off.
    pub truncated: bool,
}

impl Case {
    fn view(&self) -> CompletionView<'_> {
        let mut view = CompletionView::new(&self.completion, self.n_tokens, self.truncated);
        if let Some(prompt) = &self.prompt {
            view = view.with_prompt(prompt).with_think_prefilled(prompt.trim_end().ends_with("<think>"));
        }
        if let Some(ids) = &self.token_ids {
            view = view.with_token_ids(ids);
        }
        if let Some(n) = self.n_thinking_tokens {
            view = view.with_thinking_tokens(n);
        }
        view
    }
}

/// A judgement, and what it took.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The reward and its parts.
    pub judgement: Judgement,
    /// Microseconds of one thread; of a group or batch that is judged as one, its completions' equal share.
    pub micros: f64,
}

/// Judges groups of cases, side by side, as in step `step`; the result has their number and order.
///
/// - `groups`: cases of one problem each; the gold of the first is that of all
pub fn judge(judges: &Judges, rewards: &Rewards, groups: &[&[Case]], step: u64) -> Vec<Vec<Judged>> {
    let views: Vec<Vec<CompletionView<'_>>> =
        groups.iter().map(|group| group.iter().map(Case::view).collect()).collect();
    let pairs: Vec<JudgedGroup<'_>> =
        groups.iter().zip(&views).map(|(group, views)| (&group[0].problem, views.as_slice())).collect();
    if rewards.0.iter().any(judges_batches) {
        let clock = Instant::now();
        let judged = judges.rubric().judge_batch(&pairs, step);
        let micros = clock.elapsed().as_secs_f64() * 1e6 / views.iter().map(Vec::len).sum::<usize>().max(1) as f64;
        return judged.into_iter().map(|group| with_time(group, micros)).collect();
    }
    let one = |pair: &JudgedGroup<'_>| {
        let clock = Instant::now();
        let judged = judges.rubric().judge_batch(std::slice::from_ref(pair), step).pop().unwrap_or_default();
        let micros = clock.elapsed().as_secs_f64() * 1e6 / judged.len().max(1) as f64;
        with_time(judged, micros)
    };
    pairs.par_iter().map(one).collect()
}

fn with_time(group: Vec<Judgement>, micros: f64) -> Vec<Judged> {
    group.into_iter().map(|judgement| Judged { judgement, micros }).collect()
}

/// Whether a reward compares completions of different problems, or has workers of its own.
fn judges_batches(reward: &crate::config::Reward) -> bool {
    use Judge::{Code, KimiLength, LlmJudge, Process};
    matches!(reward.judge, Code { .. } | KimiLength { .. } | LlmJudge { .. } | Process { .. })
}

/// What rewards must know of a completion beside its text: for each, the name of a reward that asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    tokens: Option<String>,
    token_ids: Option<String>,
    thinking_tokens: Option<String>,
}

impl Needs {
    /// What `rewards` need.
    pub fn of(rewards: &Rewards) -> Self {
        let first = |asks: &dyn Fn(&Judge) -> bool| {
            rewards.0.iter().find(|reward| asks(&reward.judge)).map(|reward| reward.name.clone())
        };
        let mentions = |judge: &Judge, words: &[&str]| match judge {
            Judge::Expression { options, .. } => words.iter().any(|word| options.mentions(word)),
            _ => false,
        };
        Self {
            tokens: first(&|judge| match judge {
                Judge::Cosine { options, .. } => options.variant != rewards::As::OpenR1,
                Judge::KimiLength { options, .. } => options.variant != rewards::As::OpenR1,
                Judge::LengthLimits { .. } | Judge::SoftOverlong { .. } => true,
                other => mentions(other, &["tokens", "group_mean_tokens", "group_max_tokens"]),
            }),
            token_ids: first(&|judge| match judge {
                Judge::Repetition { options, .. } => options.unit == rewards::NgramUnit::Tokens,
                _ => false,
            }),
            thinking_tokens: first(&|judge| mentions(judge, &["thinking_tokens"])),
        }
    }

    /// Whether completions have to be kept with their tokens, to be judged again.
    pub fn token_ids(&self) -> bool {
        self.token_ids.is_some()
    }

    /// Refuses a completion of which something is not known that a reward asks for.
    ///
    /// # Errors
    /// Names the reward and the field.
    pub fn check(&self, has_tokens: bool, has_token_ids: bool, has_thinking_tokens: bool) -> Result<(), String> {
        for (reward, has, field) in [
            (&self.tokens, has_tokens, "`tokens`, the completion's length"),
            (&self.token_ids, has_token_ids, "`token_ids` (or, for `repetition`, unit = \"words\")"),
            (&self.thinking_tokens, has_thinking_tokens, "`thinking_tokens`, the length of its thoughts"),
        ] {
            if let (Some(reward), false) = (reward, has) {
                return Err(format!("reward `{reward}` needs {field}"));
            }
        }
        Ok(())
    }
}
