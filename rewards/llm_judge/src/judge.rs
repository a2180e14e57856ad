//! The reward `llm_judge`: a model says whether an answer agrees with the gold, or gives it a mark.

use rewards::{CompletionView, GoldError, InvalidOption, Problem, RewardFn, Verdict, summary};
use serde::{Deserialize, Serialize};

use crate::clean::clean;
use crate::client::{ChatClient, ClientError, Failure, NoReply};
use crate::counts::Counts;
use crate::http::{Reply, excerpt};
use crate::options::{ClientOptions, NAME, invalid};
use crate::request::Request;
use crate::{prompt, read};

/// How much of the judge's analysis a verdict keeps, in characters.
const ANALYSIS_CHARS: usize = 200;
/// How much of the answer a verdict keeps, in characters.
const ANSWER_CHARS: usize = 80;

/// What the model is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Whether the answer agrees with the field `gold`: 1 or 0 (DeepSeek-R1's Listing 4). The default.
    #[default]
    Correctness,
    /// A mark from 1 to 10 by a rubric: its score is (mark - 1) / 9.
    Score,
}

/// What of a completion is judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// The summary alone, as R1's judges read it: see [`summary`]. The default.
    #[default]
    Answer,
    /// Everything.
    Completion,
}

/// Settings of [`LlmJudge`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlmJudgeOptions {
    /// What the model is asked. Default correctness.
    #[serde(default)]
    pub mode: Mode,
    /// What earns a high mark, in your words. Required by `mode = "score"`, of no use otherwise. Default "".
    #[serde(default)]
    pub rubric: String,
    /// What of a completion is judged. Default answer.
    #[serde(default)]
    pub over: Over,
    /// Longest text that the model is shown, in characters, from 100 to 1000000: of a longer one the middle is cut out.
    /// Default 20000.
    #[serde(default = "default_max_chars")]
    pub max_chars: usize,
    /// The model, and how it is asked. Required.
    pub server: ClientOptions,
}

pub(crate) fn default_max_chars() -> usize {
    20_000
}

/// Whether a longest text makes sense.
pub(crate) fn check_max_chars(max_chars: usize) -> Result<(), InvalidOption> {
    if (100..=1_000_000).contains(&max_chars) {
        return Ok(());
    }
    Err(invalid("max_chars", format!("is {max_chars}: it must be from 100 to 1000000")))
}

impl LlmJudgeOptions {
    /// The defaults, for `server`.
    pub fn new(server: ClientOptions) -> Self {
        let (mode, over) = (Mode::default(), Over::default());
        Self { mode, rubric: String::new(), over, max_chars: default_max_chars(), server }
    }

    /// Whether these settings make sense. Asks nothing, reads no file and no variable.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used, with the remedy.
    pub fn check(&self) -> Result<(), InvalidOption> {
        check_max_chars(self.max_chars)?;
        match (self.mode, self.rubric.trim().is_empty()) {
            (Mode::Score, true) => Err(invalid("rubric", "is empty: say in words what earns a high mark")),
            (Mode::Correctness, false) => {
                Err(invalid("rubric", "is used by `mode = \"score\"` alone: take it out, or set the mode"))
            }
            _ => self.server.check(),
        }
    }
}

/// Scores by a language model.
///
/// The model is asked once for each completion, at most [`ClientOptions::concurrency`] at once over all groups; the same
/// answer to the same question is asked once. Texts are shown between fences, as data, and only a reply of the asked-for
/// JSON is a verdict. Judging is as repeatable as the model is; with a cache, what was judged once stays.
///
/// A clone is the same reward with the same client: one for the rubric, one to ask for the [`failure`](LlmJudge::failure).
///
/// `rule` of the verdict: `correct` (1), `incorrect` (0), `score`, `no_answer` (0: there is no summary; the
/// model is not asked). Not applicable: `gold`; `refusal`, `cut_off`, `filtered`, `malformed`,
/// `echo` (the model gave no verdict);
/// `rejected`, `garbled` (the server cannot answer this text); `outage` (skipped); `judge_stopped` (see `failure`).
#[derive(Debug, Clone)]
pub struct LlmJudge {
    options: LlmJudgeOptions,
    client: ChatClient,
}

/// What becomes of one completion.
enum Case {
    Decided(Verdict),
    /// By the reply to the request with this index.
    Asked(usize),
}

impl LlmJudge {
    /// A reward by `options`. Reads the key; asks nothing and writes nothing.
    ///
    /// # Errors
    ///
    /// As [`ChatClient::new`], or for a setting that makes no sense.
    pub fn new(options: LlmJudgeOptions) -> Result<Self, ClientError> {
        options.check()?;
        Ok(Self { client: ChatClient::new(options.server.clone())?, options })
    }

    /// Why the run is to end, if it is. To be asked after judging: verdicts cannot stop a run.
    pub fn failure(&self) -> Option<Failure> {
        self.client.failure()
    }

    /// What was asked so far, and what it cost.
    pub fn counts(&self) -> Counts {
        self.client.counts()
    }

    /// What asks.
    pub fn client(&self) -> &ChatClient {
        &self.client
    }

    /// The request for a completion, or the verdict where there is nothing to ask.
    fn request(&self, problem: &Problem, completion: &CompletionView<'_>) -> Result<Request, Verdict> {
        let answer = self.judged(completion);
        let gold = match self.options.mode {
            Mode::Correctness => Some(gold(problem).map_err(|e| Verdict::not_applicable("gold", e.to_string()))?),
            Mode::Score => None,
        };
        if answer.is_empty() {
            return Err(Verdict::scored(0.0, "no_answer", "there is no answer to judge"));
        }
        let max_chars = self.options.max_chars;
        Ok(match gold {
            Some(gold) => prompt::correctness(&problem.question, gold, answer, max_chars),
            None => prompt::score(&problem.question, answer, &self.options.rubric, max_chars),
        })
    }

    /// The part of a completion that is judged.
    fn judged<'a>(&self, completion: &CompletionView<'a>) -> &'a str {
        match self.options.over {
            Over::Completion => completion.text.trim(),
            Over::Answer => summary(completion.text, completion.think_prefilled).unwrap_or_default(),
        }
    }

    fn verdict(&self, reply: &Result<Reply, NoReply>, completion: &CompletionView<'_>) -> Verdict {
        let no_verdict = |name, reason: String| {
            self.client.count_no_verdict(name);
            Verdict::not_applicable(name, reason)
        };
        let reply = match reply {
            Ok(reply) => reply,
            Err(why) => return no_verdict(why.name(), excerpt(&why.to_string(), ANALYSIS_CHARS)),
        };
        // What the judge can quote is what it was shown.
        let shown = clean(self.judged(completion), self.options.max_chars);
        let judged = [&*shown];
        let verdict = match self.options.mode {
            Mode::Correctness => read::correctness(reply, &judged).map(|(is_correct, analysis)| {
                let (score, rule) = if is_correct { (1.0, "correct") } else { (0.0, "incorrect") };
                Verdict::scored(score, rule, excerpt(&analysis, ANALYSIS_CHARS))
            }),
            Mode::Score => read::score(reply, &judged).map(|(mark, analysis)| {
                let reason = format!("{mark} of 10: {}", excerpt(&analysis, ANALYSIS_CHARS));
                Verdict::scored(f32::from(mark - 1) / 9.0, "score", reason)
            }),
        };
        match verdict {
            Ok(verdict) => verdict.with_extracted(excerpt(self.judged(completion), ANSWER_CHARS)),
            Err(why) => {
                let said = reply.refusal.as_deref().unwrap_or(&reply.content);
                no_verdict(why.name(), format!("the judge said: {}", excerpt(said, ANALYSIS_CHARS)))
            }
        }
    }
}

/// The gold text of `problem`.
fn gold(problem: &Problem) -> Result<&str, GoldError> {
    let missing = || GoldError::Missing { reward: NAME.to_owned(), field: "gold" };
    let gold = problem.gold.text.as_deref().ok_or_else(missing)?.trim();
    if gold.is_empty() {
        let reason = "it is empty: give the right answer".to_owned();
        return Err(GoldError::Invalid { reward: NAME.to_owned(), field: "gold", reason });
    }
    Ok(gold)
}

impl RewardFn for LlmJudge {
    fn name(&self) -> &str {
        NAME
    }

    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        match self.options.mode {
            Mode::Correctness => gold(problem).map(|_| ()),
            Mode::Score => Ok(()),
        }
    }

    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let verdicts = self.judge_group(problem, std::slice::from_ref(completion));
        verdicts.into_iter().next().expect("one completion has one verdict")
    }

    fn judge_group(&self, problem: &Problem, completions: &[CompletionView<'_>]) -> Vec<Verdict> {
        self.judge_batch(&[(problem, completions)]).pop().expect("one group has one list of verdicts")
    }

    fn judge_batch(&self, groups: &[(&Problem, &[CompletionView<'_>])]) -> Vec<Vec<Verdict>> {
        let mut requests = Vec::new();
        let mut case = |problem: &Problem, completion: &CompletionView<'_>| match self.request(problem, completion) {
            Err(verdict) => Case::Decided(verdict),
            Ok(request) => {
                requests.push(request);
                Case::Asked(requests.len() - 1)
            }
        };
        let cases: Vec<Vec<Case>> = groups
            .iter()
            .map(|(problem, completions)| completions.iter().map(|one| case(problem, one)).collect())
            .collect();
        let replies = self.client.ask_all(&requests);
        let verdict = |(case, completion): (Case, &CompletionView<'_>)| match case {
            Case::Decided(verdict) => verdict,
            Case::Asked(idx) => self.verdict(&replies[idx], completion),
        };
        let group = |(cases, (_, completions)): (Vec<Case>, &(&Problem, &[CompletionView<'_>]))| {
            cases.into_iter().zip(*completions).map(verdict).collect()
        };
        cases.into_iter().zip(groups).map(group).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let check = |change: fn(&mut LlmJudgeOptions), option: &str| {
            let mut options = LlmJudgeOptions::new(ClientOptions::new("http://localhost:1/v1", "m"));
            assert_eq!(options.check(), Ok(()));
            change(&mut options);
            assert_eq!(options.check().unwrap_err().option, option);
        };
        check(|o| o.mode = Mode::Score, "rubric");
        check(|o| o.rubric = "Be kind.".to_owned(), "rubric");
        check(|o| o.max_chars = 99, "max_chars");
        check(|o| o.server.model = String::new(), "server.model");
    }
}
