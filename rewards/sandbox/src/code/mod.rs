//! The `code` reward: the program in a completion, run against the tests of its problem.

mod compare;
mod fence;
mod grade;
mod suite;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rewards::{CompletionView, GoldError, Problem, RewardFn, Verdict};
use serde::{Deserialize, Serialize};

pub use fence::Fence;

use crate::slots::Slots;
use crate::text::excerpt;
use crate::{Interpreter, InterpreterError, Limits, Missing, Sandbox};
use grade::{Grade, Grader, NoGrade};
use suite::Suite;

const NAME: &str = "code";
/// Why nothing is judged any more.
const FAILED_BEFORE: &str = "the machine has failed before to run a program";
/// Longest extract that a verdict keeps, in characters.
const EXTRACT_CHARS: usize = 256;
/// How much of a completion an error shows, in characters.
const COMPLETION_CHARS: usize = 120;

/// What a program is written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Python 3; fences `python`, `python3`, `py`.
    #[default]
    Python,
}

impl Language {
    /// The marks of its fenced blocks.
    fn marks(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["python", "python3", "py"],
        }
    }
}

/// What passed tests are worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scoring {
    /// The share of tests passed. The default, and open-r1's `code`.
    #[default]
    Fraction,
    /// 1 if every test is passed, else 0; stops at the first that is not.
    All,
}

/// Settings of [`Code`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CodeOptions {
    /// What the programs are written in. Default Python.
    pub language: Language,
    /// What passed tests are worth. Default the share of them.
    pub scoring: Scoring,
    /// Which fenced blocks count. Default those marked as the language and those with no mark.
    pub fence: Fence,
    /// Programs run at once, from 1 to 1024, over all callers of the reward. Default 2.
    pub workers: usize,
    /// The interpreter. Default the `python3` that the shell would find.
    pub interpreter: Option<PathBuf>,
    /// Further files and folders that programs may read, at their own places. Default none.
    pub read_only: Vec<PathBuf>,
    /// Longest program that is run, in bytes, up to 524288. Default 65536.
    pub max_program_bytes: usize,
    /// Most tests that a problem may have. Default 256.
    pub max_tests: usize,
    /// Seconds by the clock for all tests of a program together, from 0.1 to 86400. Tests that are left then have failed.
    /// Default 120.
    pub total_seconds: f64,
    /// Limits of each run: of one input-and-output test, or of all assert tests of a program up to one in which it ends.
    pub limits: Limits,
}

impl Default for CodeOptions {
    fn default() -> Self {
        Self {
            language: Language::Python,
            scoring: Scoring::Fraction,
            fence: Fence::MarkedOrBare,
            workers: 2,
            interpreter: None,
            read_only: Vec::new(),
            max_program_bytes: 1 << 16,
            max_tests: 256,
            total_seconds: 120.0,
            limits: Limits::default(),
        }
    }
}

/// Why there is no code reward. Programs are then not run at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// An option out of its range.
    #[error("reward `code`: {name} is {value}: it must be from {least} to {most}")]
    Option {
        /// The field.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The least value that works.
        least: f64,
        /// The greatest one.
        most: f64,
    },
    /// The machine lacks something.
    #[error("reward `code`: {0}")]
    Missing(#[from] Missing),
}

impl From<InterpreterError> for CodeError {
    fn from(error: InterpreterError) -> Self {
        Self::Missing(error.into())
    }
}

/// The first completion whose program could not be run, because the machine failed: out of processes, memory or files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeFailure {
    /// What happened, the second time too.
    pub reason: String,
    /// Id of the problem.
    pub problem: String,
    /// The beginning of the completion.
    pub completion: String,
}

impl fmt::Display for CodeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, problem, completion } = self;
        write!(f, "reward `code`: the program of a completion of problem `{problem}` could not be run: {reason}")?;
        write!(f, "; look for processes, memory, files and disk that have run out")?;
        write!(f, "\n  the completion begins: {completion}")
    }
}

impl std::error::Error for CodeFailure {}

/// Runs the program of a completion against the tests of its problem, in a [`Sandbox`].
///
/// The program is the last closed fenced block after the reasoning ([`Fence`] says which blocks count). The data row's
/// `tests` is a list, or text holding one as JSON, of either kind:
///
/// - `{"stdin": .., "stdout": ..}` (`input` and `output` mean the same): the program is run once for each and must end
///   with code 0. Outputs are compared line by line and word by word; blanks do not count, everything else does.
/// - `"assert f(2) == 4"` or `{"assert": ".."}`, after the row's optional `setup`: the program is loaded once, as a module,
///   then each test is run. A test may be any lines, passes if it raises nothing, and may refer to whatever the program
///   defines, by name or by `from solution import f`.
///
/// The score is the share of tests passed, or all or nothing ([`Scoring`]). `rule` of the verdict is `passed`, or the kind
/// of the first failure: `no_code`, `too_long`, `load_error`, `wrong_output`, `assertion`, `error`, `time_limit`,
/// `output_limit`; not applicable with `gold` (tests that cannot be run) and `sandbox` (the machine failed).
///
/// A run that the machine fails is tried once more; if that fails too, [`failure`](Code::failure) says so and everything
/// from then on is not applicable. Whatever a program does to its own sandbox is a failed test of its own and no failure of
/// the machine. A clone is the same reward with the same sandbox: one for the rubric, one to ask.
///
/// # What a program cannot do
///
/// Assert tests run in another process than the program and see stand-ins of its functions; expected values, comparison
/// and result stay there. What the program answers is data, an object that the test has handed it, or a stand-in for an
/// object of its own, which is compared with data as data or not at all. So a program passes `assert f(2) == 4` only by
/// answering 4. What remains possible:
///
/// - A test that asks the program for a judgement (`assert f(2)`, `assert a == b` of two objects of the program's own
///   classes, `len` of one) believes the answer, and an object that changes may answer otherwise each time.
/// - What a test hands the program, the program may use as the test itself may: call it, make objects of its classes, set
///   their fields and return them.
/// - A name that a test neither defines nor imports is the program's, but for Python's own, modules of pure functions such
///   as `math` (taken from the program's imports, unchanged), and a few libraries, which are then not defined.
///
/// In return, some tests are not possible: those that catch an error of a class of the program's own, hand it arrays of
/// numpy, or use a library that they have not imported themselves.
///
/// # Deviations from open-r1
///
/// `code_reward` of open-r1 (`src/open_r1/rewards.py`) is the original of the first kind, with [`Fence::Marked`]. It is the
/// same but for these, on purpose (`tests/golden/code.jsonl` shows each):
///
/// - open-r1 compares as many lines as the shorter output has, so that the beginning of the right output passes, and so
///   does the right output with more behind it. Here the number of lines must agree.
/// - Blanks between words do not count here, nor do empty lines at the beginning of what a test expects.
/// - open-r1 takes a block out of the reasoning. Here only what comes after it counts.
/// - open-r1's block ends at the next three back-ticks, wherever they stand. Here it ends at a closing fence on a line of its
///   own; fences of tildes, indented ones, and `py`, `python3` and words behind the mark are understood.
/// - open-r1 runs an empty program where there is none, in a hosted sandbox, for at most five seconds.
///
/// A process that ends at its limit of processor time is judged the same on every machine; the limits by the clock are
/// the exception to that, and are set wide.
#[derive(Debug, Clone)]
pub struct Code(Arc<Shared>);

/// What the clones share.
#[derive(Debug)]
struct Shared {
    options: CodeOptions,
    sandbox: Sandbox,
    slots: Slots,
    failure: OnceLock<CodeFailure>,
}

/// One program with its tests, and the first completion that has it.
struct Task<'a> {
    program: String,
    suite: &'a Suite,
    problem: &'a Problem,
    text: &'a str,
}

impl Code {
    /// A reward by `options`. Makes the sandbox and proves it by a trial run.
    ///
    /// # Errors
    ///
    /// [`CodeError`] for an option out of range, or where this machine cannot shut a program in.
    pub fn new(options: CodeOptions) -> Result<Self, CodeError> {
        let rows = [
            ("workers", options.workers as f64, 1.0, 1024.0),
            ("max_program_bytes", options.max_program_bytes as f64, 1.0, 524_288.0),
            ("max_tests", options.max_tests as f64, 1.0, 65_536.0),
            ("total_seconds", options.total_seconds, 0.1, 86_400.0),
        ];
        for (name, value, least, most) in rows {
            if !(least..=most).contains(&value) {
                return Err(CodeError::Option { name, value, least, most });
            }
        }
        let interpreter = Interpreter::find(options.interpreter.as_deref())?;
        let sandbox = Sandbox::probe_for(interpreter, &options.read_only, &options.limits)?;
        let slots = Slots::new(options.workers);
        Ok(Self(Arc::new(Shared { options, sandbox, slots, failure: OnceLock::new() })))
    }

    /// The sandbox that programs are run in.
    pub fn sandbox(&self) -> &Sandbox {
        &self.0.sandbox
    }

    /// The first completion whose program the machine could not run; once there, it stays. To be asked after judging: the
    /// verdicts themselves cannot stop a run.
    pub fn failure(&self) -> Option<CodeFailure> {
        self.0.failure.get().cloned()
    }
}

impl Shared {
    /// The program of `completion`, or the verdict that there is none.
    fn program(&self, completion: &CompletionView<'_>) -> Result<String, Verdict> {
        let marks = self.options.language.marks();
        let Some(program) = fence::last_block(completion.text, completion.think_prefilled, self.options.fence, marks)
        else {
            return Err(Verdict::scored(0.0, "no_code", "no closed code block after the reasoning"));
        };
        if program.len() > self.options.max_program_bytes {
            let (n_bytes, most) = (program.len(), self.options.max_program_bytes);
            let reason = format!("the program has {n_bytes} bytes, and at most {most} are run");
            return Err(Verdict::scored(0.0, "too_long", reason).with_extracted(excerpt(&program, EXTRACT_CHARS)));
        }
        Ok(program)
    }

    fn judge(&self, grader: &Grader<'_>, task: &Task<'_>) -> Verdict {
        if self.failure.get().is_some() {
            return Verdict::not_applicable("sandbox", FAILED_BEFORE);
        }
        let verdict = match grader.grade(&task.program, task.suite) {
            Err(NoGrade::Gold(reason)) => Verdict::not_applicable("gold", reason),
            Err(NoGrade::Sandbox(error)) => {
                self.failure.get_or_init(|| CodeFailure {
                    reason: error.to_string(),
                    problem: task.problem.id.clone(),
                    completion: excerpt(task.text, COMPLETION_CHARS),
                });
                Verdict::not_applicable("sandbox", error.to_string())
            }
            Ok(grade) => {
                let share = grade.n_passed as f32 / grade.n_tests as f32;
                let score = match self.options.scoring {
                    Scoring::Fraction => share,
                    Scoring::All => f32::from(u8::from(grade.n_passed == grade.n_tests)),
                };
                Verdict::scored(score, grade.failure.as_ref().map_or("passed", |failure| failure.rule), reason(&grade))
            }
        };
        verdict.with_extracted(excerpt(&task.program, EXTRACT_CHARS))
    }
}

fn reason(grade: &Grade) -> Cow<'static, str> {
    let counts = format!("{} of {} tests passed", grade.n_passed, grade.n_tests);
    match &grade.failure {
        None => counts.into(),
        Some(failure) if failure.test == 0 => format!("{counts}: {}", failure.why).into(),
        Some(failure) => format!("{counts}; test {}: {}", failure.test, failure.why).into(),
    }
}

impl RewardFn for Code {
    fn name(&self) -> &str {
        NAME
    }

    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        Suite::of(problem, NAME, self.0.options.max_tests).map(drop)
    }

    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let verdicts = self.judge_group(problem, std::slice::from_ref(completion));
        verdicts.into_iter().next().expect("one completion has one verdict")
    }

    fn judge_group(&self, problem: &Problem, completions: &[CompletionView<'_>]) -> Vec<Verdict> {
        self.judge_batch(&[(problem, completions)]).pop().expect("one group has one list of verdicts")
    }

    /// Runs every different program of the batch once, on [`CodeOptions::workers`] threads.
    fn judge_batch(&self, groups: &[(&Problem, &[CompletionView<'_>])]) -> Vec<Vec<Verdict>> {
        let shared = &*self.0;
        let suites: Vec<Result<Suite, GoldError>> =
            groups.iter().map(|(problem, _)| Suite::of(problem, NAME, shared.options.max_tests)).collect();
        let mut tasks: Vec<Task<'_>> = Vec::new();
        let mut known: HashMap<(usize, String), usize> = HashMap::new();
        // For each completion, the task that decides it, or its verdict.
        let mut plans: Vec<Vec<Result<usize, Verdict>>> = Vec::with_capacity(groups.len());
        for (group_idx, ((problem, completions), suite)) in groups.iter().zip(&suites).enumerate() {
            let plan = completions.iter().map(|completion| {
                let suite = suite.as_ref().map_err(|error| Verdict::not_applicable("gold", error.to_string()))?;
                let program = shared.program(completion)?;
                Ok(*known.entry((group_idx, program.clone())).or_insert_with(|| {
                    tasks.push(Task { program, suite, problem, text: completion.text });
                    tasks.len() - 1
                }))
            });
            plans.push(plan.collect());
        }
        let grader = Grader {
            sandbox: &shared.sandbox,
            limits: &shared.options.limits,
            total_seconds: shared.options.total_seconds,
            stops_at_failure: shared.options.scoring == Scoring::All,
        };
        let verdicts = shared.slots.map(&tasks, |task| shared.judge(&grader, task));
        let look_up = |plan: Result<usize, Verdict>| plan.map_or_else(|verdict| verdict, |idx| verdicts[idx].clone());
        plans.into_iter().map(|group| group.into_iter().map(look_up).collect()).collect()
    }
}
