//! The command line: what can be asked of the program, and in which words.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::bench::{PhaseKind, Shape};
use crate::config::{Checkpointing, Device, Dtype};
use crate::data::instructions::rows::RowKind;
use crate::data::language::Language;
use crate::show::SortKey;

#[path = "cli_examples.rs"]
mod examples;

use examples::{ABLATE, BENCH, EVAL, EXAMPLES, SCORE};

/// Group-relative policy optimisation of language models, in one process.
#[derive(Debug, Parser)]
#[command(name = "grpo-train", version, about, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Cli {
    /// A run, if no command is given.
    #[command(flatten)]
    pub run: RunArgs,
    /// What to do instead of a run.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// A run: `grpo-train --config F`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct RunArgs {
    /// The run file (TOML).
    #[arg(short, long, value_name = "FILE", required = true)]
    pub config: Option<PathBuf>,
    /// Set a key of the run file: `run.seed=2`, `stage.rollout.group_size=8`, `stage.NAME.steps=10`,
    /// `stage[0].steps=10`.
    #[arg(short, long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Refuse to begin: go on with the run in the folder, which has to be there. Without it a run that was stopped goes on as
    /// well, and one that is not there begins.
    #[arg(short, long)]
    pub resume: bool,
    /// Run this stage and all after it again, even if they are done.
    #[arg(long, value_name = "STAGE")]
    pub from: Option<String>,
    /// Run this stage alone, if it is not done; what it needs has to be done.
    #[arg(long, value_name = "STAGE")]
    pub only: Option<String>,
    /// Read the run file, print the plan and an estimate of memory, and touch nothing.
    #[arg(long, conflicts_with = "resume")]
    pub check: bool,
    /// Print plain lines instead of progress bars.
    #[arg(long)]
    pub no_progress: bool,
}

/// A command beside a run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run every arm of an ablation with every seed, as far as they are missing, and compare them.
    #[command(after_help = ABLATE)]
    Ablate(AblateArgs),
    /// Print the completions of one step of a run, readably.
    Show(ShowArgs),
    /// Log-probabilities of given tokens under a model.
    #[command(
        after_help = "Input lines {\"ids\": [..]}; output lines {\"logprobs\": [..]}: natural log, float32, of ids[1..]."
    )]
    Logprobs(LogprobsArgs),
    /// Scores of given token ids by a reward model, to check it against another implementation.
    #[command(after_help = "Input lines {\"ids\": [..]}, output lines {\"score\": x}.")]
    Scores(LogprobsArgs),
    /// Sample completions of given prompts from a model.
    #[command(
        after_help = "Input lines {\"prompt\": \"..\"} or {\"ids\": [..]}; output lines with text, ids, logprobs and stop_reason."
    )]
    Sample(SampleArgs),
    /// Sample a file of problems from a model, judge the answers, and print accuracy and the rest with 95 % intervals.
    #[command(after_help = EVAL)]
    Eval(EvalArgs),
    /// Judge completions that are already there: a file of cases, or all of a run folder.
    #[command(after_help = SCORE)]
    Score(ScoreArgs),
    /// Run a table of completions and expected scores as tests.
    #[command(after_help = "Each line is that of `score` with \"expected\": a reward, null, or scores by name.")]
    RewardTest(RewardTestArgs),
    /// Make Countdown problems as JSON lines, such as a held-out file.
    #[command(after_help = "Example:\n  grpo-train problems --n 1024 --seed 1 --output heldout.jsonl")]
    Problems(ProblemsArgs),
    /// Make general instructions and responses to them as JSON lines (docs/data.md).
    #[command(
        after_help = "Example:\n  grpo-train instructions --kind pairs --n 8000 --output data/preferences_train.jsonl"
    )]
    Instructions(InstructionsArgs),
    /// Measure the machine, and how much of it each phase of a step gets.
    #[command(after_help = BENCH)]
    Bench(BenchArgs),
}

/// `grpo-train ablate`
#[derive(Args, Clone, Debug, PartialEq)]
pub struct AblateArgs {
    /// The file of the ablation (TOML): a run file, or the name of one, with the tables `ablation` and `arm`.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// Runs at once; they share the cores.
    #[arg(long, value_name = "N", default_value = "1", value_parser = rows)]
    pub jobs: usize,
    /// Check every arm, list what is done and what is missing, and touch nothing.
    #[arg(long)]
    pub check: bool,
    /// Print plain lines instead of progress bars.
    #[arg(long)]
    pub no_progress: bool,
}

/// `grpo-train show RUN`
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ShowArgs {
    /// The run folder.
    pub run: PathBuf,
    /// Print the completions of this step, from 1; without it, where the time of all steps went.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub step: Option<u64>,
    /// The stage, if the run has several.
    #[arg(long, value_name = "NAME")]
    pub stage: Option<String>,
    /// The largest first; without it, in the order of prompts.
    #[arg(long, value_name = "BY", requires = "step")]
    pub sort: Option<SortKey>,
    /// Print the first K only.
    #[arg(long, value_name = "K", requires = "step")]
    pub limit: Option<usize>,
}

/// Which model, and what it computes on.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ModelArgs {
    /// The model: a Hugging Face folder.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Number format of the forward pass: float32 or bfloat16.
    #[arg(long, default_value = "float32")]
    pub dtype: Dtype,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    pub device: Device,
    /// CPU threads; 0 = all cores.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads)]
    pub threads: usize,
}

/// `grpo-train logprobs` and `grpo-train scores`
#[derive(Args, Clone, Debug, PartialEq)]
pub struct LogprobsArgs {
    /// Which model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// JSON lines to read.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// JSON lines to write.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

/// `grpo-train sample`
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SampleArgs {
    /// Which model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// JSON lines to read.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// JSON lines to write.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Divides the logits; 0 always takes the likeliest token.
    #[arg(long, value_name = "T", default_value_t = 1.0, value_parser = temperature)]
    pub temperature: f64,
    /// Sample among the likeliest tokens of this total probability, in (0, 1].
    #[arg(long, value_name = "P", default_value_t = 1.0, value_parser = top_p)]
    pub top_p: f64,
    /// Sample among the K likeliest tokens; 0 = all.
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=MOST))]
    pub top_k: u64,
    /// Sample among tokens at least this fraction as likely as the likeliest, in [0, 1).
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = min_p)]
    pub min_p: f64,
    /// The longest completion, in tokens.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub max_tokens: u64,
    /// Completions of each prompt.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub n: u64,
    /// Every random number is a pure function of it and of where it is used.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// A text that ends a completion; may be given several times.
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
}

/// `grpo-train eval`
#[derive(Args, Clone, Debug, PartialEq)]
pub struct EvalArgs {
    /// Which model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// A file of problems: JSON Lines or one JSON array, in the layout of this project, GSM8K, MATH, AIME or Countdown.
    #[arg(long, value_name = "FILE")]
    pub problems: PathBuf,
    /// A reward by its kind, with settings as JSON; may be given several times. Without one, the answer by value and R1's format.
    #[arg(long, value_name = "NAME[:JSON]")]
    pub reward: Vec<String>,
    /// Ask the question alone, without R1-Zero's template around it.
    #[arg(long)]
    pub no_template: bool,
    /// The first N problems; 0 = all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_problems: u64,
    /// Completions of each problem.
    #[arg(long, value_name = "K", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub n: u64,
    /// Divides the logits; 0 always takes the likeliest token.
    #[arg(long, value_name = "T", default_value_t = 0.6, value_parser = temperature)]
    pub temperature: f64,
    /// Sample among the likeliest tokens of this total probability, in (0, 1].
    #[arg(long, value_name = "P", default_value_t = 0.95, value_parser = top_p)]
    pub top_p: f64,
    /// The longest completion, in tokens.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub max_tokens: u64,
    /// A text that ends a completion; may be given several times.
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// Also pass@K, K at most the number of completions; may be given several times.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub pass_at: Vec<u64>,
    /// Also the majority vote over all completions of a problem.
    #[arg(long)]
    pub consensus: bool,
    /// Every random number is a pure function of it and of where it is used.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Write the figures here, as JSON.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Which rewards.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct RewardArgs {
    /// From a run file, or by name.
    #[command(flatten)]
    pub source: RewardSource,
    /// Set a key of the run file.
    #[arg(short, long = "set", value_name = "KEY=VALUE", requires = "config")]
    pub set: Vec<String>,
    /// The stage: of the run file if it has several with rewards, and of the run folder.
    #[arg(long, value_name = "NAME")]
    pub stage: Option<String>,
}

/// Where rewards come from.
#[derive(Args, Clone, Debug, PartialEq)]
#[group(required = true, multiple = false)]
pub struct RewardSource {
    /// The run file (a whole one) whose rewards judge.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A reward by its kind, with settings as JSON; may be given several times.
    #[arg(long, value_name = "NAME[:JSON]")]
    pub reward: Vec<String>,
}

/// `grpo-train score`
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ScoreArgs {
    /// Which rewards.
    #[command(flatten)]
    pub rewards: RewardArgs,
    /// JSON lines to read, or a run folder.
    #[arg(long, value_name = "FILE|RUN")]
    pub input: PathBuf,
    /// JSON lines to write; may be left out for a run folder.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Threads that judge; 0 = all cores.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads)]
    pub jobs: usize,
    /// The step that weights and expressions are taken at, for a file of cases.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub step: u64,
}

/// `grpo-train reward-test`
#[derive(Args, Clone, Debug, PartialEq)]
pub struct RewardTestArgs {
    /// JSON lines: cases with `expected`.
    pub file: PathBuf,
    /// Which rewards.
    #[command(flatten)]
    pub rewards: RewardArgs,
    /// The largest difference that is no failure.
    #[arg(long, value_name = "X", default_value_t = 1e-6)]
    pub tolerance: f64,
}

/// `grpo-train problems`
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ProblemsArgs {
    /// How many problems.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub n: u64,
    /// Every problem is a pure function of it and of its number.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Numbers of a problem, from and to (inclusive), within 2 to 6.
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], default_values_t = [3, 3])]
    pub n_numbers: Vec<usize>,
    /// The numbers, from and to (inclusive).
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], default_values_t = [1, 20])]
    pub numbers: Vec<i64>,
    /// The targets, from and to (inclusive).
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], default_values_t = [1, 99])]
    pub targets: Vec<i64>,
    /// Every target can be made with intermediate values in 1 to this.
    #[arg(long, value_name = "MAX", default_value_t = 99)]
    pub max_intermediate: i64,
    /// The languages in which problems are asked, each as often: en, zh. Beside English alone, rows say theirs.
    #[arg(long, num_args = 1.., value_name = "LANGUAGE", default_value = "en")]
    pub languages: Vec<Language>,
    /// JSON lines of problems that must not come up.
    #[arg(long, value_name = "FILE")]
    pub exclude: Option<PathBuf>,
    /// JSON lines to write.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

/// `grpo-train instructions`
#[derive(Args, Clone, Debug, PartialEq)]
pub struct InstructionsArgs {
    /// What rows have beside the instruction.
    #[arg(long, value_name = "KIND")]
    pub kind: RowKind,
    /// How many rows.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub n: u64,
    /// Every file is a pure function of it, of the kind and of the instructions.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Take the instructions that no corpus and no training file has.
    #[arg(long)]
    pub held_out: bool,
    /// JSON lines to write.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

/// `grpo-train bench`
#[derive(Args, Clone, Debug, PartialEq)]
pub struct BenchArgs {
    /// A run file: its model, and the size of its first stage that samples.
    #[arg(short, long, value_name = "FILE", conflicts_with = "shape")]
    pub config: Option<PathBuf>,
    /// Set a key of the run file.
    #[arg(short, long = "set", value_name = "KEY=VALUE", requires = "config")]
    pub set: Vec<String>,
    /// A built-in shape with random weights; small, if there is no run file.
    #[arg(long, value_name = "SHAPE")]
    pub shape: Option<Shape>,
    /// Number format of the passes; float32, or that of the run file.
    #[arg(long)]
    pub dtype: Option<Dtype>,
    /// auto, cpu, cuda or cuda:N; auto, or that of the run file.
    #[arg(long)]
    pub device: Option<Device>,
    /// CPU threads; 0 = all cores, or what the run file says.
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// What to measure beside the machine.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "PHASE",
        default_value = "prefill,decode,sampling,reference,update,optimizer"
    )]
    pub phases: Vec<PhaseKind>,
    /// Sequences that `decode` decodes at once, one measurement each.
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "8,32,128", value_parser = rows)]
    pub rows: Vec<usize>,
    /// Prompts of a step; 16, or those of the run file.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub prompts: Option<u64>,
    /// Completions of each; 8, or those of the run file.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub group_size: Option<u64>,
    /// Tokens of a prompt; 32.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub prompt_tokens: Option<u64>,
    /// Tokens of a completion; 64, or the most of the run file.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub tokens: Option<u64>,
    /// Sequences that `sampling` decodes at once; all of a step, or those of the run file.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub max_batch: Option<u64>,
    /// Tokens of one forward and backward pass.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub micro_batch_tokens: Option<u64>,
    /// Tokens whose logits are held at once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub logits_chunk_tokens: Option<u64>,
    /// What a forward pass keeps for the backward pass.
    #[arg(long)]
    pub checkpointing: Option<Checkpointing>,
    /// Measured runs of a phase, beside one that warms up.
    #[arg(long, value_name = "N", default_value = "5", value_parser = rows)]
    pub repetitions: usize,
    /// Seconds for a phase; when they are over, no further run of it is begun.
    #[arg(long, value_name = "S", default_value_t = 20.0, value_parser = seconds)]
    pub seconds: f64,
    /// Take the machine's limits from an earlier `--json` and do not measure them again.
    #[arg(long, value_name = "FILE")]
    pub limits: Option<PathBuf>,
    /// Also write everything as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// More tokens, completions or candidates than any machine holds.
const MOST: u64 = 1 << 24;

fn threads(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n <= 4096).ok_or_else(|| "expected a number, 0 (all cores) to 4096".to_owned())
}

fn rows(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=MOST as usize).contains(n))
        .ok_or_else(|| "expected a number, 1 or more".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    number(text, |value| value >= 0.0 && value.is_finite(), "0 or more")
}

fn temperature(text: &str) -> Result<f64, String> {
    number(text, |value| value >= 0.0 && value.is_finite(), "0 or more")
}

fn top_p(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0 && value <= 1.0, "more than 0, and 1 at most")
}

fn min_p(text: &str) -> Result<f64, String> {
    number(text, |value| (0.0..1.0).contains(&value), "0 or more, and less than 1")
}

fn number(text: &str, fine: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    text.parse().ok().filter(|&value| fine(value)).ok_or_else(|| format!("expected a number, {expected}"))
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
