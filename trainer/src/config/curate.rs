//! A stage of kind `curate`: many rows brought down to a few good, hard and different ones, as s1 does.

use serde::{Deserialize, Serialize};

use super::checks::Section;
use super::data::Checkpoint;
use super::optimizer::Optimizer;
use super::rewards::{Rewards, WrittenRewards};
use super::rollout::Prompt;
use super::sample::batch_problems;
use super::sampling::Sampling;
use super::selecting::{Decontamination, LayoutSettings, check_filters};
use super::source::{Artifact, Init, InputMut};
use super::stage::{Makes, Stage, StageKind, StageSettings, WrittenStage};
use crate::selection::{Correctness, Filters};

/// A stage of kind `curate` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenCurate {
    name: Option<String>,
    n: u64,
    data: Vec<Artifact>,
    #[serde(default = "batch_problems")]
    batch_problems: u64,
    #[serde(default)]
    difficulty: Vec<WrittenDifficulty>,
    #[serde(default)]
    prompt: Prompt,
    #[serde(default)]
    sampling: Sampling,
    #[serde(default)]
    rewards: WrittenRewards,
    #[serde(default)]
    filters: Filters,
    decontamination: Option<Decontamination>,
    #[serde(default)]
    layout: LayoutSettings,
}

/// `[[stage.difficulty]]` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDifficulty {
    model: String,
    #[serde(default = "one")]
    samples_per_problem: u64,
    #[serde(default)]
    max_pass_rate: f64,
}

fn one() -> u64 {
    1
}

/// `[[stage.difficulty]]`: a model that is asked every problem; what it solves too often is dropped.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difficulty {
    /// The model: `base`, `previous`, the name of an earlier stage, or a folder. Required.
    pub model: Init,
    /// Samples of each problem. Default 1 (s1).
    pub samples_per_problem: u64,
    /// Problems that it solves in more than this fraction of its samples are dropped, in [0, 1). Default 0 (s1).
    pub max_pass_rate: f64,
}

/// A stage of kind `curate` (s1, arXiv 2501.19393, section 2.2): quality, difficulty, diversity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CurateStage {
    /// Unique in the run. Default: the kind.
    pub name: String,
    /// Rows that are drawn; fewer where fewer are left. Required (s1: 1,000).
    pub n: u64,
    /// Files of JSON Lines with `question` and `completion`, absolute; or stages that make them. Required.
    pub data: Vec<Artifact>,
    /// Problems that are sampled, judged and written down together. Default 32.
    pub batch_problems: u64,
    /// Models that say how hard a problem is. Default none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub difficulty: Vec<Difficulty>,
    /// The text around a question that they are asked.
    pub prompt: Prompt,
    /// How their completions are sampled.
    pub sampling: Sampling,
    /// What judges them. Required with `difficulty`.
    pub rewards: Rewards,
    /// What a row has to be. `correct` is `ignored` by default here (s1).
    pub filters: Filters,
    /// The evaluations that no row may share a run of words with; without the table none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decontamination: Option<Decontamination>,
    /// How reasoning and summary lie in completions, and how they are written.
    pub layout: LayoutSettings,
}

impl CurateStage {
    /// Takes out what does not decide what models answer: the rows, which are compared one by one, and what is chosen of them.
    pub(super) fn forget_choice(&mut self) {
        self.data.clear();
        self.n = 1;
        self.difficulty.iter_mut().for_each(|asked| asked.max_pass_rate = 0.0);
        self.filters = Filters::default();
        self.decontamination = None;
        self.layout = LayoutSettings::default();
    }
}

impl WrittenStage for WrittenCurate {
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn resolve(self: Box<Self>, name: String, at: &mut Section<'_, '_>) -> Option<Stage> {
        at.at_least("n", self.n, 1, "nothing would be left");
        at.at_least("batch_problems", self.batch_problems, 1, "problems are sampled a batch at a time");
        if self.data.is_empty() {
            at.fail("data", "`data` is empty", "expected a file, or a stage that makes data", "");
        }
        let data = self.data.iter().map(|data| at.artifact("data", data, Makes::Data)).collect();
        let difficulty = self.difficulty.into_iter().enumerate();
        let difficulty: Vec<Difficulty> =
            difficulty.map(|(idx, table)| table.resolve(&mut at.table(&format!("difficulty[{idx}]")))).collect();
        self.prompt.check(&mut at.table("prompt"));
        self.sampling.check(&mut at.table("sampling"));
        let rewards = match (difficulty.is_empty(), self.rewards.is_empty()) {
            (true, true) => Rewards::default(),
            (true, false) => {
                let help = "add [[stage.difficulty]] with the model that is to be judged, or take the rewards out";
                at.fail("rewards", "there are rewards, but nothing is sampled", "is never read", help);
                Rewards::default()
            }
            (false, _) => self.rewards.resolve(&mut at.table("rewards")),
        };
        if !difficulty.is_empty() && !rewards.0.is_empty() && !rewards.judge_answers() {
            let help = "add a reward such as [stage.rewards.accuracy]";
            let title = "no reward of `stage.rewards` judges answers, but `difficulty` counts the right ones";
            at.fail("rewards", title, "no problem would ever be solved", help);
        }
        let mut filters = self.filters;
        if !at.table("filters").has("correct") {
            filters.correct = Correctness::Ignored;
        }
        check_filters(&filters, None, &mut at.table("filters"));
        let decontamination = self.decontamination.map(|table| table.resolve(&mut at.table("decontamination")));
        self.layout.check(&mut at.table("layout"));
        Some(Stage::Curate(Box::new(CurateStage {
            name,
            n: self.n,
            data,
            batch_problems: self.batch_problems,
            difficulty,
            prompt: self.prompt,
            sampling: self.sampling,
            rewards,
            filters,
            decontamination,
            layout: self.layout,
        })))
    }
}

impl WrittenDifficulty {
    fn resolve(self, at: &mut Section<'_, '_>) -> Difficulty {
        at.at_least("samples_per_problem", self.samples_per_problem, 1, "a pass rate is a share of samples");
        let fine = (0.0..1.0).contains(&self.max_pass_rate);
        let why = "problems that are solved more often are dropped; at 1 none would be";
        at.holds("max_pass_rate", self.max_pass_rate, fine, "expected 0 or more, and less than 1", why);
        Difficulty {
            model: at.init("model", Some(&self.model)),
            samples_per_problem: self.samples_per_problem,
            max_pass_rate: self.max_pass_rate,
        }
    }
}

impl StageSettings for CurateStage {
    fn kind(&self) -> StageKind {
        StageKind::Curate
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn steps(&self) -> Option<u64> {
        None
    }

    fn init(&self) -> Option<&Init> {
        None
    }

    fn optimizer(&self) -> Option<&Optimizer> {
        None
    }

    fn checkpoint(&self) -> Option<&Checkpoint> {
        None
    }

    fn visit_inputs(&mut self, visit: &mut dyn FnMut(InputMut<'_>)) {
        self.data.iter_mut().for_each(|data| visit(InputMut::Artifact(data)));
        self.difficulty.iter_mut().for_each(|difficulty| visit(InputMut::Init(&mut difficulty.model)));
        if let Some(table) = &mut self.decontamination {
            table.visit_inputs(visit);
        }
        self.rewards.visit_inputs(visit);
    }

    fn forget_where_and_when(&mut self, _is_last: bool) {
        self.batch_problems = batch_problems();
        self.sampling.forget_speed();
        self.rewards.forget_where_and_when();
    }
}
