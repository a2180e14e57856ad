//! A stage of kind `sample`: rejection sampling, which makes data from a policy's own samples.

use serde::{Deserialize, Serialize};

use super::checks::Section;
use super::data::{Checkpoint, Problems, WrittenProblems};
use super::optimizer::Optimizer;
use super::rewards::{Rewards, WrittenRewards};
use super::rollout::Prompt;
use super::sampling::Sampling;
use super::selecting::{Decontamination, LayoutSettings, Mix, check_filters, check_keep, resolve_mix};
use super::source::{Init, InputMut};
use super::stage::{Stage, StageKind, StageSettings, WrittenStage};
use super::teacher::{Preferences, Rewrite, check_pairs, forget_servers};
use crate::selection::{Filters, Keep};

/// A stage of kind `sample` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenSample {
    name: Option<String>,
    init: Option<String>,
    n_problems: Option<u64>,
    #[serde(default = "samples_per_problem")]
    samples_per_problem: u64,
    #[serde(default = "batch_problems")]
    batch_problems: u64,
    #[serde(default)]
    prompt: Prompt,
    #[serde(default)]
    problems: WrittenProblems,
    #[serde(default)]
    sampling: Sampling,
    #[serde(default)]
    rewards: WrittenRewards,
    #[serde(default)]
    filters: Filters,
    decontamination: Option<Decontamination>,
    #[serde(default)]
    layout: LayoutSettings,
    #[serde(default)]
    keep: Keep,
    #[serde(default)]
    mix: Vec<Mix>,
    rewrite: Option<Rewrite>,
    preferences: Option<Preferences>,
}

fn samples_per_problem() -> u64 {
    4
}

/// Problems that are sampled, judged and written down together, unless the run file says otherwise.
pub(super) fn batch_problems() -> u64 {
    32
}

/// A stage of kind `sample` (DeepSeek-R1 2.3.1 and 2.3.3): samples of problems, judged and filtered; those that stay are data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SampleStage {
    /// Unique in the run. Default: the kind.
    pub name: String,
    /// The policy that samples. Default `previous`.
    pub init: Init,
    /// Problems that are asked. Default all rows of `[stage.problems.jsonl]`, once; required with other problems.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_problems: Option<u64>,
    /// k: samples of each problem. Default 4.
    pub samples_per_problem: u64,
    /// Problems that are sampled, judged and written down together: what a run that is cut short loses at most. Default 32.
    pub batch_problems: u64,
    /// The text around a question.
    pub prompt: Prompt,
    /// Where questions come from. Required.
    pub problems: Problems,
    /// How completions are sampled.
    pub sampling: Sampling,
    /// What judges them. Required.
    pub rewards: Rewards,
    /// What a sample has to be to stay.
    pub filters: Filters,
    /// The evaluations that no sample may share a run of words with; without the table none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decontamination: Option<Decontamination>,
    /// How reasoning and summary lie in completions, and how they are written.
    pub layout: LayoutSettings,
    /// Which of those that may stay are kept.
    pub keep: Keep,
    /// Other data that is mixed in. Default none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mix: Vec<Mix>,
    /// What rewrites those that stay. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// What makes pairs of those that stay. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferences: Option<Preferences>,
}

impl SampleStage {
    /// Takes out what does not decide what is sampled: how many problems are asked, and what is chosen of the samples.
    pub(super) fn forget_choice(&mut self) {
        self.n_problems = None;
        self.filters = Filters::default();
        self.decontamination = None;
        self.layout = LayoutSettings::default();
        self.keep = Keep::default();
        self.mix.clear();
        self.rewrite = None;
        self.preferences = None;
    }
}

impl WrittenStage for WrittenSample {
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn resolve(self: Box<Self>, name: String, at: &mut Section<'_, '_>) -> Option<Stage> {
        let init = at.init("init", self.init.as_deref());
        at.at_least("n_problems", self.n_problems.unwrap_or(1), 1, "nothing would be sampled");
        at.at_least("samples_per_problem", self.samples_per_problem, 1, "nothing would be sampled");
        at.at_least("batch_problems", self.batch_problems, 1, "problems are sampled a batch at a time");
        self.prompt.check(&mut at.table("prompt"));
        self.sampling.check(&mut at.table("sampling"));
        let rewards = self.rewards.resolve(&mut at.table("rewards"));
        check_filters(&self.filters, Some(&rewards), &mut at.table("filters"));
        let decontamination = self.decontamination.map(|table| table.resolve(&mut at.table("decontamination")));
        self.layout.check(&mut at.table("layout"));
        check_keep(&self.keep, &mut at.table("keep"));
        let mix = resolve_mix(self.mix, at);
        let rewrite = self.rewrite.map(|table| table.resolve(&mut at.table("rewrite")));
        let preferences = self.preferences.map(|table| table.resolve(&mut at.table("preferences")));
        if preferences.is_some() {
            check_pairs(rewrite.is_some(), self.samples_per_problem, &self.keep, &self.layout, &mix, at);
        }
        let problems = self.problems.resolve(&mut at.table("problems"))?;
        check_problems(&problems, self.n_problems, at);
        refuse_weights_by_step(&problems, &rewards, at);
        Some(Stage::Sample(Box::new(SampleStage {
            name,
            init,
            n_problems: self.n_problems,
            samples_per_problem: self.samples_per_problem,
            batch_problems: self.batch_problems,
            prompt: self.prompt,
            problems,
            sampling: self.sampling,
            rewards,
            filters: self.filters,
            decontamination,
            layout: self.layout,
            keep: self.keep,
            mix,
            rewrite,
            preferences,
        })))
    }
}

/// There is an end to them, and nothing is asked of them that takes training.
fn check_problems(problems: &Problems, n_problems: Option<u64>, at: &mut Section<'_, '_>) {
    match problems {
        Problems::Jsonl(jsonl) if jsonl.choice.needs_pass_rates() => {
            let help =
                "every problem is asked once: take `drop_pass_rate` and `curriculum` out, they are for kind \"grpo\"";
            let title =
                "pass rates are kept of problems that come again, and a stage of kind \"sample\" asks each once";
            at.fail("problems", title, "is for training", help);
        }
        Problems::Countdown(_) | Problems::Mixture(_) if n_problems.is_none() => {
            let help = "set how many are to be asked, such as `n_problems = 1000`";
            at.fail("", "missing key `n_problems`", "these problems have no end", help);
        }
        Problems::Jsonl(_) | Problems::Countdown(_) | Problems::Mixture(_) => {}
    }
}

/// Nothing changes from step to step where there is none.
fn refuse_weights_by_step(problems: &Problems, rewards: &Rewards, at: &mut Section<'_, '_>) {
    let refuse = |at: &mut Section<'_, '_>| {
        let title = "a stage of kind \"sample\" has no steps: `weight_from_step` would never be looked at";
        let help = "take it out, and set `weight` to what is to hold; or make two stages of it, and mix their data";
        at.fail("weight_from_step", title, "is for training", help);
    };
    if let Problems::Mixture(sources) = problems {
        let by_step = sources.iter().enumerate().filter(|(_, source)| !source.weight_from_step.is_empty());
        by_step.for_each(|(idx, _)| refuse(&mut at.table("problems").table(&format!("source[{idx}]"))));
    }
    let by_step = rewards.0.iter().filter(|reward| !reward.weight_from_step.is_empty());
    by_step.for_each(|reward| refuse(&mut at.table("rewards").table(&reward.name)));
}

impl StageSettings for SampleStage {
    fn kind(&self) -> StageKind {
        StageKind::Sample
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn steps(&self) -> Option<u64> {
        None
    }

    fn init(&self) -> Option<&Init> {
        Some(&self.init)
    }

    fn optimizer(&self) -> Option<&Optimizer> {
        None
    }

    fn checkpoint(&self) -> Option<&Checkpoint> {
        None
    }

    fn visit_inputs(&mut self, visit: &mut dyn FnMut(InputMut<'_>)) {
        visit(InputMut::Init(&mut self.init));
        self.problems.visit_inputs(visit);
        self.rewards.visit_inputs(visit);
        if let Some(table) = &mut self.decontamination {
            table.visit_inputs(visit);
        }
        self.mix.iter_mut().for_each(|mix| visit(InputMut::Artifact(&mut mix.data)));
    }

    fn forget_where_and_when(&mut self, _is_last: bool) {
        self.batch_problems = batch_problems();
        self.sampling.forget_speed();
        self.rewards.forget_where_and_when();
        forget_servers(self.rewrite.as_mut(), self.preferences.as_mut());
    }
}
