//! A stage of kind `eval`: models side by side on sets of problems.

use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::checks::Section;
use super::data::Checkpoint;
use super::optimizer::Optimizer;
use super::rewards::{Rewards, WrittenRewards};
use super::rollout::{Prompt, Rollout, check_top_p};
use super::source::{Artifact, Init, InputMut};
use super::stage::{Makes, Stage, StageKind, StageSettings, WrittenStage};
use crate::data::Layout;

/// A stage of kind `eval` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenEval {
    name: Option<String>,
    #[serde(default = "previous")]
    models: Vec<String>,
    #[serde(default)]
    prompt: Prompt,
    #[serde(default = "max_batch")]
    max_batch: u64,
    #[serde(default)]
    set: Vec<WrittenSet>,
}

fn previous() -> Vec<String> {
    vec!["previous".to_owned()]
}

fn max_batch() -> u64 {
    Rollout::default().max_batch
}

/// `[[stage.set]]` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSet {
    name: String,
    problems: Artifact,
    layout: Option<Layout>,
    #[serde(default)]
    domains: Vec<String>,
    #[serde(default)]
    max_problems: u64,
    #[serde(default = "samples")]
    samples_per_problem: u64,
    #[serde(default = "temperature")]
    temperature: f64,
    #[serde(default = "top_p")]
    top_p: f64,
    #[serde(default = "max_tokens")]
    max_tokens: u64,
    #[serde(default)]
    stop_strings: Vec<String>,
    #[serde(default)]
    pass_at: Vec<u64>,
    #[serde(default)]
    consensus: bool,
    #[serde(default)]
    greedy: bool,
    win_by: Option<String>,
    #[serde(default)]
    rewards: WrittenRewards,
    budget: Option<Budget>,
}

fn samples() -> u64 {
    16
}

fn temperature() -> f64 {
    0.6
}

fn top_p() -> f64 {
    0.95
}

fn max_tokens() -> u64 {
    32_768
}

/// A stage of kind `eval`. It samples, judges, and changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvalStage {
    /// Unique in the run. Default: the kind.
    pub name: String,
    /// The models, one row of the table each: `base`, `previous`, names of earlier stages, folders. Default `["previous"]`.
    pub models: Vec<Init>,
    /// The text around a question.
    pub prompt: Prompt,
    /// Rows decoded at once. Default 256. Changes memory and speed only.
    pub max_batch: u64,
    /// `[[stage.set]]`: what they are asked; at least one.
    #[serde(rename = "set")]
    pub sets: Vec<EvalSet>,
}

/// `[[stage.set]]`: a set of problems, how it is asked, and what is measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvalSet {
    /// Unique in the stage: letters, digits, _ or -. Required.
    pub name: String,
    /// A file of problems, absolute; or the stage that makes it. Written relative to the run file's folder. Required.
    pub problems: Artifact,
    /// The layout of its rows. Default none: each row is recognised by its keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// The rows whose field `domain` is one of these. Default [] (all).
    pub domains: Vec<String>,
    /// The first so many of these; 0 (the default) means all.
    pub max_problems: u64,
    /// k: completions per problem. Default 16 (DeepSeek-R1 D.1: 16 for MATH-500, 64 for AIME).
    pub samples_per_problem: u64,
    /// Divides the logits, above 0. Default 0.6 (DeepSeek-R1 D.1).
    pub temperature: f64,
    /// Samples among the likeliest tokens that together have this probability, in (0, 1]. Default 0.95 (DeepSeek-R1 D.1).
    pub top_p: f64,
    /// The longest completion, in tokens. Default 32768 (DeepSeek-R1 D.1).
    pub max_tokens: u64,
    /// Texts that end a completion, which keeps them. Default none.
    pub stop_strings: Vec<String>,
    /// The k of pass@k beside 1, each `samples_per_problem` at most. Default none.
    pub pass_at: Vec<u64>,
    /// Whether cons@k, the majority vote over all samples, is measured. Default false.
    pub consensus: bool,
    /// Whether each problem is also asked once at temperature 0. Default false.
    pub greedy: bool,
    /// The name of a reward of the set: how often a completion scores more by it than the row's `reference`. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub win_by: Option<String>,
    /// What judges. Default: the answer by value (a Countdown problem as an equation), and R1's format.
    #[serde(skip_serializing_if = "has_none")]
    pub rewards: Rewards,
    /// Accuracy against thinking tokens; without the table (the default) it is not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

fn has_none(rewards: &Rewards) -> bool {
    rewards.0.is_empty()
}

impl WrittenStage for WrittenEval {
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn resolve(self: Box<Self>, name: String, at: &mut Section<'_, '_>) -> Option<Stage> {
        at.at_least("max_batch", self.max_batch, 1, "rows have to be decoded somewhere");
        if self.models.is_empty() {
            let help = "name \"base\", \"previous\", earlier stages, or Hugging Face folders";
            at.fail("models", "`models` is empty", "expected a model", help);
        }
        let models: Vec<Init> = self.models.iter().map(|written| at.init("models", Some(written))).collect();
        if let Some((twice, _)) = models.iter().enumerate().find(|(idx, model)| models[..*idx].contains(model)) {
            let title = format!("`models` has `{}` twice", self.models[twice]);
            at.fail("models", title, "expected each model once", "remove one of them");
        }
        if self.set.is_empty() {
            let help = "add a [[stage.set]] with a `name` and `problems`";
            at.fail("", "the stage has no set of problems", "expected a [[stage.set]]", help);
        }
        let mut sets: Vec<EvalSet> = Vec::new();
        for (idx, set) in self.set.into_iter().enumerate() {
            let set = set.resolve(&mut at.table(&format!("set[{idx}]")));
            if sets.iter().any(|earlier| earlier.name == set.name) {
                let title = format!("two sets are called `{}`", set.name);
                at.fail(&format!("set[{idx}].name"), title, "expected another name", "it names files");
            }
            sets.push(set);
        }
        Some(Stage::Eval(Box::new(EvalStage { name, models, prompt: self.prompt, max_batch: self.max_batch, sets })))
    }
}

impl WrittenSet {
    fn resolve(self, at: &mut Section<'_, '_>) -> EvalSet {
        if self.name.is_empty() || !self.name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) {
            let title = format!("`{}` cannot name a set", self.name);
            at.fail("name", title, "expected letters, digits, _ or -", "it names files");
        }
        at.at_least("samples_per_problem", self.samples_per_problem, 1, "pass@1 is the mean of the samples");
        at.positive("temperature", self.temperature, "the likeliest tokens alone are asked for with greedy = true");
        check_top_p(self.top_p, at);
        at.at_least("max_tokens", self.max_tokens, 1, "a completion needs a token");
        if self.stop_strings.iter().any(String::is_empty) {
            at.fail("stop_strings", "an empty stop string", "would end every completion at once", "remove it");
        }
        let k = self.samples_per_problem;
        if let Some(wrong) = self.pass_at.iter().find(|&&wanted| wanted == 0 || wanted > k) {
            let title = format!("pass@{wrong} cannot be estimated from {k} samples");
            let help = format!("raise samples_per_problem, or write 1 to {k}");
            at.fail("pass_at", title, format!("expected 1 to {k}"), &help);
        }
        let rewards = match self.rewards.is_empty() {
            true => Rewards::default(),
            false => self.rewards.resolve(&mut at.table("rewards")),
        };
        if let Some(name) = self.win_by.as_deref().filter(|name| !rewards.0.iter().any(|reward| reward.name == *name)) {
            let known: Vec<&str> = rewards.0.iter().map(|reward| reward.name.as_str()).collect();
            at.unknown("win_by", &format!("the set has no reward `{name}`"), name, &known, "add its table to the set");
        }
        if let Some(budget) = &self.budget {
            budget.check(self.max_tokens, &mut at.table("budget"));
        }
        EvalSet {
            problems: at.artifact("problems", &self.problems, Makes::Data),
            name: self.name,
            layout: self.layout,
            domains: self.domains,
            max_problems: self.max_problems,
            samples_per_problem: k,
            temperature: self.temperature,
            top_p: self.top_p,
            max_tokens: self.max_tokens,
            stop_strings: self.stop_strings,
            pass_at: self.pass_at,
            consensus: self.consensus,
            greedy: self.greedy,
            win_by: self.win_by,
            rewards,
            budget: self.budget,
        }
    }
}

impl EvalStage {
    /// The longest completion of any set, in tokens.
    pub fn most_tokens(&self) -> u64 {
        self.sets.iter().map(|set| set.max_tokens).max().unwrap_or(0)
    }

    /// The set with the longest completions.
    pub fn longest_set(&self) -> Option<usize> {
        (0..self.sets.len()).max_by_key(|&idx| self.sets[idx].max_tokens)
    }

    /// Leaves one model and one set, with what decides its answers and verdicts. Not its choice of rows: they are compared
    /// themselves.
    ///
    /// - `is_forced`: whether thoughts are cut short or kept going
    pub fn leave_only(&mut self, model_idx: usize, set_idx: usize, is_forced: bool) {
        self.models = vec![self.models[model_idx].clone()];
        let set = EvalSet {
            name: String::new(),
            domains: Vec::new(),
            max_problems: 0,
            pass_at: Vec::new(),
            consensus: false,
            greedy: false,
            budget: self.sets[set_idx].budget.clone().and_then(|budget| budget.without_points(is_forced)),
            ..self.sets[set_idx].clone()
        };
        self.sets = vec![set];
    }
}

impl StageSettings for EvalStage {
    fn kind(&self) -> StageKind {
        StageKind::Eval
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn steps(&self) -> Option<u64> {
        None
    }

    /// The first of its models, by which memory is estimated.
    fn init(&self) -> Option<&Init> {
        self.models.first()
    }

    fn optimizer(&self) -> Option<&Optimizer> {
        None
    }

    fn checkpoint(&self) -> Option<&Checkpoint> {
        None
    }

    fn visit_inputs(&mut self, visit: &mut dyn FnMut(InputMut<'_>)) {
        self.models.iter_mut().for_each(|model| visit(InputMut::Init(model)));
        for set in &mut self.sets {
            visit(InputMut::Artifact(&mut set.problems));
            set.rewards.visit_inputs(visit);
        }
    }

    fn forget_where_and_when(&mut self, _is_last: bool) {
        self.max_batch = max_batch();
        self.sets.iter_mut().for_each(|set| set.rewards.forget_where_and_when());
    }
}
