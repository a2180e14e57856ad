//! From `[stage.rewards]` to what judges completions.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use llm_judge::{ClientError, Counts, LlmJudge, Mode};
use policy::Dtype;
use rewards::{
    Accuracy, AccuracyOptions, Choice, CodeFormat, Cosine, Countdown, Exact, Expression, ExpressionError, InDomains,
    InvalidOption, InvalidPartial, Judgement, KimiLength, LanguageConsistency, LengthLimits, Multiply, OpenR1Format,
    R1Format, ReasoningSteps, RegexMatch, Repetition, RewardFn, Rubric, RubricError, SoftOverlong, StepSums, TagCount,
    ThinkFormat, Weight, Weighted,
};
use sandbox::{Code, CodeError, Process, ProcessError};
use tch::Device;

use crate::config::{Algorithm, CountdownOptions, Judge, NoOptions, Problems, Reward, Rewards};
use crate::data::instructions::InstructionQuality;
use crate::grpo::{RewardCombination, WeightedScore, advantages, decoupled_advantages};
use crate::reward_model::{ModelJudge, ScorerError};

/// Kinds whose score is 1 for a right answer: "accuracy" in logs.
const CORRECTNESS: [&str; 7] = ["accuracy", "countdown", "multiply", "code", "choice", "exact", "llm_judge"];

/// Kinds whose score is 1 for a kept format: "format" in logs.
const FORMATS: [&str; 4] = ["format", "think_format", "open_r1_format", "code_format"];

/// Verdicts of these that found no answer to judge; the names are those of the kinds above.
const UNANSWERED: [&str; 3] = ["no_answer", "no_choice", "no_code"];

/// The rewards of a stage, ready to judge.
pub struct Judges {
    rubric: Rubric,
    outside: Vec<(String, Outside)>,
    /// Names of the rewards that say whether an answer is right.
    accuracy: Vec<String>,
    /// Names of those that say whether a format is kept.
    format: Vec<String>,
    /// Names of patterns in which a thinking tag occurs.
    think_patterns: Vec<String>,
}

/// A reward that needs the machine, and may fail for reasons that lie in no completion.
enum Outside {
    Process(Process),
    Code(Code),
    RewardModel(ModelJudge),
    LlmJudge(Box<LlmJudge>),
}

impl Outside {
    fn failure(&self) -> Option<String> {
        match self {
            Self::Process(process) => process.failure().map(|failure| failure.to_string()),
            Self::Code(code) => code.failure().map(|failure| failure.to_string()),
            Self::RewardModel(_) => None,
            Self::LlmJudge(judge) => judge.failure().map(|failure| failure.to_string()),
        }
    }
}

/// A step of a completion's reasoning with its score, for process supervision (DeepSeekMath 4.1.3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Tokens of the completion until the end of the step: the index behind its last token.
    pub end_token: usize,
    /// What the judge gave it, finite, before weighting.
    pub score: f32,
}

/// Why rewards cannot judge.
#[derive(Debug, thiserror::Error)]
pub enum JudgesError {
    /// They make no sense together.
    #[error(transparent)]
    Rubric(#[from] RubricError),
    /// One of them.
    #[error("reward `{name}`: {source}")]
    Reward {
        /// The name of its table.
        name: String,
        /// What is wrong with it.
        source: RewardError,
    },
}

/// What is wrong with one reward.
#[derive(Debug, thiserror::Error)]
pub enum RewardError {
    /// A setting.
    #[error(transparent)]
    Option(#[from] InvalidOption),
    /// A tier of the Countdown reward.
    #[error(transparent)]
    Partial(#[from] InvalidPartial),
    /// An expression.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// The sandbox.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The user's command.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A reward model.
    #[error(transparent)]
    Model(Box<ScorerError>),
    /// A model that is asked.
    #[error(transparent)]
    LlmJudge(#[from] ClientError),
    /// A reward that shapes one that there is not, or that does not judge by itself.
    #[error("`of` is \"{of}\": expected the name of a reward that judges completions; there are {known}")]
    Of {
        /// What it names.
        of: String,
        /// What it could name.
        known: String,
    },
}

impl Judges {
    /// Builds every reward. Programs are tried in the sandbox and commands are looked for, but no command is started, no model is
    /// asked, and none is loaded: that is [`Judges::load_models`].
    ///
    /// # Errors
    /// If a reward cannot be built: then nothing may be judged.
    pub fn new(settings: &Rewards) -> Result<Self, JudgesError> {
        let (mut components, mut outside) = (Vec::new(), Vec::new());
        for reward in &settings.0 {
            let at = |source| JudgesError::Reward { name: reward.name.clone(), source };
            let weight = weight(reward);
            components.push(if let Judge::Expression { options, .. } = &reward.judge {
                let names = others(settings, reward);
                let expression = Expression::new(&options.expression, &names).map_err(|e| at(e.into()))?;
                Weighted::expression(&reward.name, weight, expression)
            } else {
                let reward_fn = build(reward, settings, &mut outside).map_err(at)?;
                Weighted::new(&reward.name, weight, reward_fn)
            });
        }
        let names = |kinds| settings.of_kinds(kinds).map(|reward| reward.name.clone()).collect();
        let (accuracy, format) = (names(&CORRECTNESS), names(&FORMATS));
        let names_tag = |reward: &&Reward| matches!(&reward.judge, Judge::Regex { options, .. } if options.pattern.contains("think>"));
        let think_patterns = settings.0.iter().filter(names_tag).map(|reward| reward.name.clone()).collect();
        Ok(Self { rubric: Rubric::new(components)?, outside, accuracy, format, think_patterns })
    }

    /// What held-out problems are judged by, whatever a stage is rewarded for: the answer and the format, nothing else.
    ///
    /// By the stage's own rewards of these kinds, under their names; where it has none, by value (Countdown for Countdown
    /// problems) and by R1's format. Problems may select any reward of the stage.
    ///
    /// # Errors
    /// As [`Judges::new`].
    pub fn for_evaluation(settings: &Rewards, problems: &Problems) -> Result<Self, JudgesError> {
        let (mut judging, mut names) = (Vec::new(), settings.0.iter().map(|reward| reward.name.clone()));
        for (kinds, default, name) in [
            (&CORRECTNESS[..], answer_of(problems), "accuracy"),
            (&FORMATS[..], Judge::Format { options: NoOptions {}, of: String::new() }, "format"),
        ] {
            let own: Vec<Reward> = settings.of_kinds(kinds).cloned().collect();
            let default = || Reward {
                name: name.to_owned(),
                weight: 1.0,
                weight_from_step: vec![],
                domains: vec![],
                judge: default,
            };
            judging.extend(if own.is_empty() { vec![default()] } else { own });
        }
        let judges = Self::new(&Rewards(judging))?;
        let defaults = ["accuracy".to_owned(), "format".to_owned()];
        Ok(Self { rubric: judges.rubric.knowing(names.by_ref().chain(defaults)), ..judges })
    }

    /// Loads the reward models, which before that judge nothing.
    ///
    /// # Errors
    /// If the folder of one of them cannot be used.
    pub fn load_models(&self, dtype: Dtype, device: Device) -> Result<(), JudgesError> {
        self.each_model(|model| model.load(dtype, device))
    }

    /// Looks at the folders of the reward models that are there already, without their weights.
    ///
    /// # Errors
    /// If one of them cannot be used.
    pub fn check_models(&self) -> Result<(), JudgesError> {
        self.each_model(ModelJudge::check)
    }

    fn each_model(&self, visit: impl Fn(&ModelJudge) -> Result<(), ScorerError>) -> Result<(), JudgesError> {
        self.outside.iter().try_for_each(|(name, outside)| match outside {
            Outside::RewardModel(model) => visit(model).map_err(|error| JudgesError::Reward {
                name: name.clone(),
                source: RewardError::Model(Box::new(error)),
            }),
            Outside::Process(_) | Outside::Code(_) | Outside::LlmJudge(_) => Ok(()),
        })
    }

    /// What a set of problems is judged by where nothing is said: the answer by value (`is_countdown`: as an equation), and R1's
    /// format.
    ///
    /// # Errors
    /// As [`Judges::new`].
    pub fn of_answers(is_countdown: bool) -> Result<Self, JudgesError> {
        let answer = match is_countdown {
            true => Judge::Countdown { options: CountdownOptions { partial: 0.0 }, of: String::new() },
            false => Judge::Accuracy { options: AccuracyOptions::default(), of: String::new() },
        };
        let format = Judge::Format { options: NoOptions {}, of: String::new() };
        let reward = |name: &str, judge| Reward {
            name: name.to_owned(),
            weight: 1.0,
            weight_from_step: Vec::new(),
            domains: Vec::new(),
            judge,
        };
        Self::new(&Rewards(vec![reward("accuracy", answer), reward("format", format)]))
    }

    /// The rules and their sum.
    pub fn rubric(&self) -> &Rubric {
        &self.rubric
    }

    /// Whether a completion is right: every reward that says so and applies gives 1. None if none applies.
    pub fn is_right(&self, judgement: &Judgement) -> Option<bool> {
        all_full(judgement, &self.accuracy)
    }

    /// Whether a completion keeps its format: every reward that says so and applies gives 1. None if none applies.
    pub fn keeps_format(&self, judgement: &Judgement) -> Option<bool> {
        all_full(judgement, &self.format)
    }

    /// Whether every reward that says what is right, and applies, found no answer to judge. None if none applies.
    pub fn is_unanswered(&self, judgement: &Judgement) -> Option<bool> {
        let named = judgement.components.iter().filter(|component| self.accuracy.contains(&component.name));
        let scored = named.filter(|component| component.verdict.score.is_some());
        scored.map(|component| UNANSWERED.contains(&&*component.verdict.rule)).reduce(|all, one| all && one)
    }

    /// Names of the rewards that say whether an answer is right.
    pub fn correctness(&self) -> &[String] {
        &self.accuracy
    }

    /// Names of those that say whether a format is kept.
    pub fn formats(&self) -> &[String] {
        &self.format
    }

    /// Names of patterns in which a thinking tag occurs: such a reward sees the completion alone.
    pub fn think_patterns(&self) -> &[String] {
        &self.think_patterns
    }

    /// What was asked of models so far, by the name of the reward.
    pub fn asked(&self) -> Vec<(String, Counts)> {
        let asked = |(name, outside): &(String, Outside)| match outside {
            Outside::LlmJudge(judge) => Some((name.clone(), judge.counts())),
            Outside::Process(_) | Outside::Code(_) | Outside::RewardModel(_) => None,
        };
        self.outside.iter().filter_map(asked).collect()
    }

    /// Once `flag` is true, nothing waits any more for a server that is out: that is then a [`failure`](Judges::failure).
    pub fn stop_when(&self, flag: &Arc<AtomicBool>) {
        for (_, outside) in &self.outside {
            if let Outside::LlmJudge(judge) = outside {
                judge.client().stop_when(Arc::clone(flag));
            }
        }
    }

    /// What stopped a command of the user's, the sandbox, or a server from judging, if the run is to end for it.
    pub fn failure(&self) -> Option<String> {
        let failure = |(name, outside): &(String, Outside)| {
            let text = outside.failure()?;
            // The kind's own name, which it says, may not be that of the table.
            let text =
                text.split_once("`: ").filter(|(head, _)| head.starts_with("reward `")).map_or(&*text, |(_, t)| t);
            Some(format!("reward `{name}`: {text}"))
        };
        self.outside.iter().find_map(failure)
    }
}

fn all_full(judgement: &Judgement, names: &[String]) -> Option<bool> {
    let named = judgement.components.iter().filter(|component| names.contains(&component.name));
    named.filter_map(|component| component.verdict.score).map(|score| score == 1.0).reduce(|all, one| all && one)
}

fn answer_of(problems: &Problems) -> Judge {
    match problems {
        Problems::Mixture(sources) => answer_of(&sources[0].problems),
        Problems::Countdown(_) => Judge::Countdown { options: CountdownOptions { partial: 0.0 }, of: String::new() },
        Problems::Jsonl(_) => Judge::Accuracy { options: AccuracyOptions::default(), of: String::new() },
    }
}

/// The advantages of judged groups, one for each completion, by the combination that the run file asks for.
///
/// - `penalties`: what is taken off each reward before it is compared; none takes off nothing
pub fn advantages_of(
    groups: &[Vec<&Judgement>],
    penalties: Option<&[Vec<f32>]>,
    settings: &Algorithm,
) -> Vec<Vec<f32>> {
    let rule = settings.advantage_rule();
    match settings.reward_combination {
        RewardCombination::Sum => {
            let rewards = |(index, group): (usize, &Vec<&Judgement>)| -> Vec<Option<f32>> {
                let penalty = |row: usize| penalties.map_or(0.0, |penalties| penalties[index][row]);
                group.iter().enumerate().map(|(row, judged)| judged.reward.map(|r| r - penalty(row))).collect()
            };
            let rewards: Vec<Vec<Option<f32>>> = groups.iter().enumerate().map(rewards).collect();
            advantages(&rewards, &rule)
        }
        RewardCombination::NormalizeThenSum => {
            let scores = |judgement: &&Judgement| -> Vec<WeightedScore> {
                judgement.components.iter().map(|c| (f64::from(c.weight), c.verdict.score)).collect()
            };
            let groups: Vec<Vec<Vec<WeightedScore>>> =
                groups.iter().map(|group| group.iter().map(scores).collect()).collect();
            decoupled_advantages(&groups, &rule)
        }
    }
}

/// What judges completions as one reward says, of the problems that it is for.
///
/// - `all`: the rewards of the stage; `outside`: gets what may fail on the way, to be asked for it later
fn build(
    reward: &Reward,
    all: &Rewards,
    outside: &mut Vec<(String, Outside)>,
) -> Result<Box<dyn RewardFn>, RewardError> {
    let judge = build_for_all(reward, all, outside)?;
    Ok(if reward.domains.is_empty() { judge } else { Box::new(InDomains::new(judge, reward.domains.clone())) })
}

fn build_for_all(
    reward: &Reward,
    all: &Rewards,
    outside: &mut Vec<(String, Outside)>,
) -> Result<Box<dyn RewardFn>, RewardError> {
    Ok(match reward.judge.clone() {
        Judge::Accuracy { options, .. } => Box::new(Accuracy::new(options)),
        Judge::Choice { options, .. } => Box::new(Choice::new(options)?),
        Judge::Code { options, .. } => {
            let code = Code::new(options)?;
            outside.push((reward.name.clone(), Outside::Code(code.clone())));
            Box::new(code)
        }
        Judge::CodeFormat { options, .. } => Box::new(CodeFormat::new(options)?),
        Judge::Cosine { options, of } => Box::new(Cosine::new(options, shaped(&of, all, outside)?)?),
        Judge::Countdown { options, .. } => Box::new(Countdown::new(options.partial)?),
        Judge::Exact { options, .. } => Box::new(Exact::new(options)),
        Judge::Format { .. } => Box::new(R1Format::new()),
        Judge::InstructionQuality { .. } => Box::new(InstructionQuality),
        Judge::KimiLength { options, of } => Box::new(KimiLength::new(options, shaped(&of, all, outside)?)?),
        Judge::LanguageConsistency { options, .. } => Box::new(LanguageConsistency::new(options)?),
        Judge::LengthLimits { options, .. } => Box::new(LengthLimits::new(options)?),
        Judge::LlmJudge { options, .. } => {
            let judge = LlmJudge::new(options)?;
            outside.push((reward.name.clone(), Outside::LlmJudge(Box::new(judge.clone()))));
            Box::new(judge)
        }
        Judge::Multiply { options, .. } => Box::new(Multiply::new(options)?),
        Judge::OpenR1Format { .. } => Box::new(OpenR1Format::new()),
        Judge::ReasoningSteps { .. } => Box::new(ReasoningSteps::new()),
        Judge::Regex { options, .. } => Box::new(RegexMatch::new(options)?),
        Judge::Repetition { options, .. } => Box::new(Repetition::new(options)?),
        Judge::RewardModel { options, .. } => {
            let model = ModelJudge::new(options);
            outside.push((reward.name.clone(), Outside::RewardModel(model.clone())));
            Box::new(model)
        }
        Judge::SoftOverlong { options, .. } => Box::new(SoftOverlong::new(options)?),
        Judge::StepSums { .. } => Box::new(StepSums::new()),
        Judge::TagCount { .. } => Box::new(TagCount::new()),
        Judge::ThinkFormat { .. } => Box::new(ThinkFormat::new()),
        Judge::Process { options, .. } => {
            let process = Process::new(options)?;
            outside.push((reward.name.clone(), Outside::Process(process.clone())));
            Box::new(process)
        }
        Judge::Expression { .. } => unreachable!("expressions are no judges of completions"),
    })
}

/// The reward that another one shapes: an instance of its own, which judges once more.
fn shaped(of: &str, all: &Rewards, outside: &mut Vec<(String, Outside)>) -> Result<Box<dyn RewardFn>, RewardError> {
    // Programs, commands and models are too dear to be asked twice, and shaped rewards have no use for a second shape.
    let usable = |reward: &&Reward| {
        use Judge::{Code, Expression, LlmJudge, Process, RewardModel};
        !matches!(reward.judge, Expression { .. } | Code { .. } | LlmJudge { .. } | Process { .. } | RewardModel { .. })
            && reward.judge.of().is_empty()
    };
    match all.0.iter().filter(usable).find(|reward| reward.name == of) {
        Some(reward) => build(reward, all, outside),
        None => {
            let known: Vec<&str> = all.0.iter().filter(usable).map(|reward| reward.name.as_str()).collect();
            Err(RewardError::Of { of: of.to_owned(), known: known.join(", ") })
        }
    }
}

/// The names that an expression may use.
fn others<'a>(all: &'a Rewards, expression: &Reward) -> Vec<&'a str> {
    all.0.iter().map(|reward| reward.name.as_str()).filter(|name| *name != expression.name).collect()
}

fn weight(reward: &Reward) -> Weight {
    let changes = reward.weight_from_step.iter().map(|&(step, weight)| (step, weight as f32)).collect();
    Weight::new(reward.weight as f32, changes).expect("checked when the run file was read")
}

/// A setting that a reward cannot work with: which reward, which key, and why.
pub(crate) type Fault = (String, &'static str, String);

/// What is wrong with settings, as far as it shows without trying a program or looking for a command.
pub(crate) fn faults(rewards: &Rewards) -> Vec<Fault> {
    let fault = |reward: &Reward| {
        let name = || reward.name.clone();
        let error = match &reward.judge {
            Judge::Code { .. } | Judge::Process { .. } => return None,
            // Without the key, which is the environment's.
            Judge::LlmJudge { options, .. } => {
                let fault = options.check().err()?;
                return Some((name(), fault.option, fault.to_string()));
            }
            Judge::Expression { options, .. } => {
                let names = others(rewards, reward);
                let error = Expression::new(&options.expression, &names).err()?;
                return Some((name(), "expression", error.to_string()));
            }
            _ => build(reward, rewards, &mut Vec::new()).err()?,
        };
        let key = match &error {
            RewardError::Option(option) => option.option,
            RewardError::Partial(InvalidPartial(value)) => {
                return Some((name(), "partial", format!("`partial` is {value}: a wrong answer scores 0 to below 1")));
            }
            RewardError::Of { .. } => "of",
            _ => "",
        };
        Some((name(), key, error.to_string()))
    };
    rewards.0.iter().filter_map(fault).collect()
}

impl Rewards {
    /// Whether a reward says which answers are right.
    pub(crate) fn judge_answers(&self) -> bool {
        self.of_kinds(&CORRECTNESS).next().is_some()
    }

    fn of_kinds<'a>(&'a self, kinds: &'a [&str]) -> impl Iterator<Item = &'a Reward> {
        // A mark says how good an answer is, not whether it is right.
        let marks = |judge: &Judge| matches!(judge, Judge::LlmJudge { options, .. } if options.mode == Mode::Score);
        self.0.iter().filter(move |reward| kinds.contains(&reward.judge.kind()) && !marks(&reward.judge))
    }
}
