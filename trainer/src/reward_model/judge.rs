//! The reward of kind `reward_model`: the score of a model as a rule among others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy::Dtype;
use rewards::{CompletionView, GoldError, JudgedGroup, Problem, RewardFn, Verdict};
use tch::Device;

use super::scorer::{Scorer, ScorerError};
use crate::config::{RewardModelOptions, Squash};

/// The score of a reward model, with `mean` taken off, divided by `scale`, and squashed if that is asked for.
///
/// `rule` of the verdict: `scored`, `no_summary` (the score that the settings give), `too_long` (beyond the model's context),
/// `tokenizer`, `template` (not applicable).
///
/// # Panics
/// It judges nothing before [`ModelJudge::load`]: who asks it to has a fault in the program, and a run without its reward would
/// pass for one with it.
#[derive(Clone)]
pub struct ModelJudge {
    options: Arc<RewardModelOptions>,
    /// None until the model is loaded. One batch at a time: a pass takes all threads.
    scorer: Arc<Mutex<Option<Scorer>>>,
}

/// What is known of a completion before the model is asked.
enum Place {
    /// It is this one of the sequences.
    Sequence(usize),
    Known(Verdict),
}

impl ModelJudge {
    /// The reward for `options`, whose model is not loaded yet.
    pub fn new(options: RewardModelOptions) -> Self {
        Self { options: Arc::new(options), scorer: Arc::default() }
    }

    /// Loads the model.
    ///
    /// # Errors
    /// If its folder cannot be used.
    pub fn load(&self, dtype: Dtype, device: Device) -> Result<(), ScorerError> {
        let scorer = Scorer::load(&self.options, dtype, device)?;
        *self.scorer() = Some(scorer);
        Ok(())
    }

    /// Looks at the folder of the model without its weights, if it is there already.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn check(&self) -> Result<(), ScorerError> {
        self.options.model.path_now().map_or(Ok(()), |folder| Scorer::check(folder, &self.options))
    }

    fn scorer(&self) -> MutexGuard<'_, Option<Scorer>> {
        self.scorer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, scorer: &Scorer, prompt: &str, view: &CompletionView<'_>, sequences: &mut Vec<Vec<i64>>) -> Place {
        match scorer.reader.sequence(prompt, view.text, view.think_prefilled) {
            Err(error) => Place::Known(Verdict::not_applicable("tokenizer", error.to_string())),
            Ok(None) => {
                let reason = "nothing follows the thoughts";
                Place::Known(Verdict::scored(self.options.no_summary, "no_summary", reason))
            }
            Ok(Some(ids)) if ids.len() > scorer.context() => {
                let reason = format!("{} tokens, and the reward model reads {}", ids.len(), scorer.context());
                Place::Known(Verdict::not_applicable("too_long", reason))
            }
            Ok(Some(ids)) => {
                sequences.push(ids);
                Place::Sequence(sequences.len() - 1)
            }
        }
    }

    fn verdict(&self, raw: f32) -> Verdict {
        let score = (raw - self.options.mean) / self.options.scale;
        let score = match self.options.squash {
            Squash::None => score,
            Squash::Sigmoid => 1.0 / (1.0 + (-score).exp()),
        };
        Verdict::scored(score, "scored", format!("the model gives {raw}"))
    }
}

impl RewardFn for ModelJudge {
    fn name(&self) -> &str {
        "reward_model"
    }

    fn check_gold(&self, _: &Problem) -> Result<(), GoldError> {
        Ok(())
    }

    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let verdicts = self.judge_group(problem, std::slice::from_ref(completion));
        verdicts.into_iter().next().expect("a verdict for each completion")
    }

    fn judge_group(&self, problem: &Problem, completions: &[CompletionView<'_>]) -> Vec<Verdict> {
        self.judge_batch(&[(problem, completions)]).pop().unwrap_or_default()
    }

    /// No score depends on others. But on a GPU a batch waits for the end of sampling, whose steps are recorded: a pass of
    /// another thread would get into the recording.
    fn compares_groups(&self) -> bool {
        self.scorer().as_ref().is_some_and(Scorer::is_on_gpu)
    }

    fn judge_batch(&self, groups: &[JudgedGroup<'_>]) -> Vec<Vec<Verdict>> {
        let scorer = self.scorer();
        let scorer = scorer.as_ref().expect("whoever judges calls `Judges::load_models` first");
        let (mut sequences, mut places) = (Vec::new(), Vec::new());
        for (problem, completions) in groups {
            let prompt = scorer.reader.prompt(&problem.question);
            let place = |view| match &prompt {
                Ok(prompt) => self.place(scorer, prompt, view, &mut sequences),
                Err(error) => Place::Known(Verdict::not_applicable("template", error.to_string())),
            };
            places.push(completions.iter().map(place).collect::<Vec<_>>());
        }
        let scores = scorer.scores(&sequences, self.options.max_batch_tokens as usize);
        let said = |place: Place| match place {
            Place::Sequence(idx) => self.verdict(scores[idx]),
            Place::Known(verdict) => verdict,
        };
        places.into_iter().map(|group| group.into_iter().map(said).collect()).collect()
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
