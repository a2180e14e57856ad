//! A stage of kind `grpo`: DeepSeekMath's Algorithm 1 from question to update.

use serde::{Deserialize, Serialize};

use super::algorithm::Algorithm;
use super::checks::Section;
use super::data::{Checkpoint, Eval, Problems, WrittenProblems};
use super::optimizer::{Optimizer, Schedule};
use super::rewards::{Rewards, WrittenRewards};
use super::rollout::{Prompt, Rollout};
use super::source::{Init, InputMut};
use super::stage::{Stage, StageKind, StageSettings, WrittenStage};

/// A stage of kind `grpo` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenGrpo {
    name: Option<String>,
    init: Option<String>,
    steps: u64,
    #[serde(default)]
    prompt: Prompt,
    #[serde(default)]
    problems: WrittenProblems,
    #[serde(default)]
    rollout: Rollout,
    #[serde(default)]
    grpo: Algorithm,
    #[serde(default)]
    rewards: WrittenRewards,
    optimizer: Optimizer,
    eval: Option<Eval>,
    #[serde(default)]
    checkpoint: Checkpoint,
}

/// A stage of kind `grpo`. One step is one rollout: sample, judge, update.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GrpoStage {
    /// Unique in the run. Default: the kind.
    pub name: String,
    /// The weights it starts from, also those of the first reference. Default `previous`.
    pub init: Init,
    /// Rollouts. Required, 1 or more.
    pub steps: u64,
    /// The text around a question.
    pub prompt: Prompt,
    /// Where questions come from. Required.
    pub problems: Problems,
    /// How completions are sampled.
    pub rollout: Rollout,
    /// The objective.
    pub grpo: Algorithm,
    /// What the reward is made of. Required.
    pub rewards: Rewards,
    /// How weights are moved. Required.
    pub optimizer: Optimizer,
    /// What is held out; without the table nothing is evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval: Option<Eval>,
    /// When state is saved.
    pub checkpoint: Checkpoint,
}

impl WrittenStage for WrittenGrpo {
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn resolve(self: Box<Self>, name: String, at: &mut Section<'_, '_>) -> Option<Stage> {
        let init = at.init("init", self.init.as_deref());
        at.at_least("steps", self.steps, 1, "one step is one rollout: sample, judge, update");
        self.prompt.check(&mut at.table("prompt"));
        self.rollout.check(&mut at.table("rollout"));
        self.grpo.check(&self.rollout, &mut at.table("grpo"));
        let rewards = self.rewards.resolve(&mut at.table("rewards"));
        self.rollout.check_with(&rewards, &mut at.table("rollout"));
        self.grpo.check_with(&rewards, &self.rollout, &mut at.table("grpo"));
        self.optimizer.check(self.steps, &mut at.table("optimizer"));
        self.checkpoint.check(&mut at.table("checkpoint"));
        let eval = self.eval.map(|eval| eval.resolve(&mut at.table("eval")));
        let problems = self.problems.resolve(&mut at.table("problems"))?;
        if let Problems::Jsonl(jsonl) = &problems {
            jsonl.choice.check_with(&rewards, &mut at.table("problems"));
        }
        Some(Stage::Grpo(Box::new(GrpoStage {
            name,
            init,
            steps: self.steps,
            prompt: self.prompt,
            problems,
            rollout: self.rollout,
            grpo: self.grpo.resolve(),
            rewards,
            optimizer: self.optimizer,
            eval,
            checkpoint: self.checkpoint,
        })))
    }
}

impl StageSettings for GrpoStage {
    fn kind(&self) -> StageKind {
        StageKind::Grpo
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn steps(&self) -> Option<u64> {
        Some(self.steps)
    }

    fn init(&self) -> Option<&Init> {
        Some(&self.init)
    }

    fn optimizer(&self) -> Option<&Optimizer> {
        Some(&self.optimizer)
    }

    fn checkpoint(&self) -> Option<&Checkpoint> {
        Some(&self.checkpoint)
    }

    fn visit_inputs(&mut self, visit: &mut dyn FnMut(InputMut<'_>)) {
        visit(InputMut::Init(&mut self.init));
        self.problems.visit_inputs(visit);
        self.rewards.visit_inputs(visit);
        if let Some(eval) = &mut self.eval {
            visit(InputMut::Artifact(&mut eval.problems));
        }
    }

    fn forget_where_and_when(&mut self, is_last: bool) {
        self.checkpoint = Checkpoint::default();
        self.rewards.forget_where_and_when();
        // What a user who ran out of memory lowers before going on; it changes rounding, as threads and device do.
        self.rollout.max_batch = Rollout::default().max_batch;
        self.grpo.micro_batch_tokens = Algorithm::default().micro_batch_tokens;
        self.grpo.logits_chunk_tokens = Algorithm::default().logits_chunk_tokens;
        self.grpo.checkpointing = Algorithm::default().checkpointing;
        if is_last && self.optimizer.schedule == Schedule::Constant {
            self.steps = 0;
        }
    }
}
