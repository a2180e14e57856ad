//! A set of problems of a stage of kind `eval`: its rows, what judges them, and in which ways they are asked.

use rewards::Problem;
use rollout::{ForcedEnd, ForcedWait, SamplingParams, Tokenizer};

use super::super::StageError;
use super::super::exam::{judges_of, reference, scores_beside};
use crate::config::EvalSet;
use crate::data::problem_file;
use crate::evaluation::{Measures, Range};
use crate::judges::Judges;

/// A way of asking: the samples that the figures are made of, and those beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As the set says.
    Sampled,
    /// Once, the likeliest tokens.
    Greedy,
    /// With thoughts that are ended after so many tokens.
    Cap(u64),
    /// With thoughts that are kept going so many times.
    Wait(u64),
}

impl Way {
    /// Names the folder of its completions.
    pub(super) fn folder(self) -> String {
        match self {
            Self::Sampled => "sampled".to_owned(),
            Self::Greedy => "greedy".to_owned(),
            Self::Cap(tokens) => format!("cap_{tokens}"),
            Self::Wait(times) => format!("wait_{times}"),
        }
    }
}

/// A set with its rows read.
pub(super) struct OpenSet<'a> {
    pub(super) settings: &'a EvalSet,
    pub(super) problems: Vec<Problem>,
    pub(super) judges: Judges,
    /// Rewards whose scores are kept beside answer and format.
    pub(super) scores: Vec<(String, Range)>,
}

impl<'a> OpenSet<'a> {
    pub(super) fn open(settings: &'a EvalSet) -> Result<Self, StageError> {
        let path = settings.problems.path();
        let judges = judges_of(&settings.rewards, path, settings.layout)?;
        let mut problems = problem_file::read_as(path, settings.layout, judges.rubric())?;
        if !settings.domains.is_empty() {
            let domain =
                |problem: &Problem| problem.gold.fields.get("domain").and_then(|v| v.as_str().map(str::to_owned));
            problems.retain(|problem| domain(problem).is_some_and(|domain| settings.domains.contains(&domain)));
        }
        if settings.max_problems > 0 {
            problems.truncate(settings.max_problems as usize);
        }
        let refuse = |reason: String| {
            let (set, path) = (settings.name.clone(), path.to_owned());
            Err(StageError::Set { set, path, reason })
        };
        if problems.is_empty() {
            return refuse(format!("no row has a `domain` of {}", settings.domains.join(", ")));
        }
        if settings.win_by.is_some() && !problems.iter().any(|problem| reference(problem).is_some()) {
            return refuse("no row has a `reference`, which `win_by` compares completions with".to_owned());
        }
        let scores = scores_beside(&settings.rewards, &judges);
        Ok(Self { settings, problems, judges, scores })
    }

    pub(super) fn measures(&self) -> Measures {
        let pass_at = self.settings.pass_at.iter().map(|&k| k as usize).collect();
        Measures { pass_at, consensus: self.settings.consensus }
    }

    /// The ways of asking, the samples first.
    pub(super) fn ways(&self) -> Vec<Way> {
        let mut ways = vec![Way::Sampled];
        ways.extend(self.settings.greedy.then_some(Way::Greedy));
        if let Some(budget) = &self.settings.budget {
            ways.extend(budget.caps.iter().map(|&tokens| Way::Cap(tokens)));
            ways.extend(budget.waits.iter().map(|&times| Way::Wait(times)));
        }
        ways
    }

    /// Completions of a problem in one way.
    pub(super) fn n_samples(&self, way: Way) -> usize {
        if way == Way::Greedy { 1 } else { self.settings.samples_per_problem as usize }
    }

    /// The text that closes thoughts.
    pub(super) fn closing(&self) -> &str {
        self.settings.budget.as_ref().map_or("</think>", |budget| &budget.closing)
    }

    /// How completions are drawn; `stop_token_ids` are those of the model.
    pub(super) fn params(
        &self,
        way: Way,
        stop_token_ids: &[i64],
        tokenizer: &Tokenizer,
    ) -> Result<SamplingParams, StageError> {
        let settings = self.settings;
        let mut params = SamplingParams {
            temperature: settings.temperature,
            top_p: settings.top_p,
            max_tokens: settings.max_tokens as usize,
            stop_token_ids: stop_token_ids.to_vec(),
            stop_strings: settings.stop_strings.clone(),
            ..SamplingParams::default()
        };
        let budget = settings.budget.as_ref();
        match (way, budget) {
            (Way::Greedy, _) => params = SamplingParams { temperature: 0.0, top_p: 1.0, ..params },
            (Way::Cap(tokens), Some(budget)) => {
                params.forced_end = Some(ForcedEnd {
                    ids: tokenizer.encode_within(&budget.text)?,
                    after_tokens: [tokens as usize; 2],
                    answer_tokens: budget.answer_tokens as usize,
                    unless: budget.closing.clone(),
                });
            }
            (Way::Wait(times), Some(budget)) => {
                params.forced_wait = Some(ForcedWait {
                    ids: tokenizer.encode_within(&budget.wait_text)?,
                    closing: budget.closing.clone(),
                    until_tokens: usize::MAX,
                    most_times: times as usize,
                });
            }
            (Way::Sampled | Way::Cap(_) | Way::Wait(_), _) => {}
        }
        params.check()?;
        Ok(params)
    }

    /// The bounds that thinking tokens are to keep to; none where nothing is asked for. What ends thoughts is part of them.
    pub(super) fn bounds(way: Way, params: &SamplingParams) -> Option<[usize; 2]> {
        match (way, &params.forced_end) {
            (Way::Cap(tokens), Some(forced_end)) => Some([0, tokens as usize + forced_end.ids.len()]),
            _ => None,
        }
    }
}
