//! Runs a program against the tests of its problem.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::compare::same_output;
use super::suite::{IoTest, Suite};
use crate::text::{excerpt, last_line};
use crate::{End, Limits, Outcome, RunError, Sandbox};

/// The judge's half of an assert test, and the line to the program's half; both run inside the sandbox.
const HARNESS: [(&str, &[u8]); 2] =
    [("harness.py", include_bytes!("harness.py")), ("harness_line.py", include_bytes!("harness_line.py"))];
/// The program's name in the scratch folder; `harness.py` knows it too.
const SOLUTION: &str = "solution.py";
/// Longest piece of output that a reason quotes, in characters.
const QUOTED_CHARS: usize = 60;
/// How long a machine that has failed is left alone before it is tried once more.
const PAUSE: Duration = Duration::from_millis(300);

/// How a program did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grade {
    pub n_passed: usize,
    pub n_tests: usize,
    /// The first test it failed, if it failed one.
    pub failure: Option<Failure>,
}

/// Why a test failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Counted from 1; 0 where the program could not even be loaded.
    pub test: usize,
    /// Short name of the kind.
    pub rule: &'static str,
    pub why: String,
}

/// Why there is no grade.
#[derive(Debug)]
pub(crate) enum NoGrade {
    /// A test is no program.
    Gold(String),
    /// The sandbox did not work.
    Sandbox(RunError),
}

impl From<RunError> for NoGrade {
    fn from(error: RunError) -> Self {
        Self::Sandbox(error)
    }
}

/// What holds for every program of a reward.
pub(crate) struct Grader<'a> {
    pub sandbox: &'a Sandbox,
    pub limits: &'a Limits,
    pub total_seconds: f64,
    /// Whether the first failed test settles it.
    pub stops_at_failure: bool,
}

impl Grader<'_> {
    /// Runs `program` against `suite`.
    pub fn grade(&self, program: &str, suite: &Suite) -> Result<Grade, NoGrade> {
        let n_tests = match suite {
            Suite::Io(tests) => tests.len(),
            Suite::Asserts { tests, .. } => tests.len(),
        };
        let run = Run {
            grader: self,
            program: program.as_bytes(),
            deadline: Instant::now() + Duration::from_secs_f64(self.total_seconds),
            grade: Grade { n_passed: 0, n_tests, failure: None },
        };
        match suite {
            Suite::Io(tests) => run.io(tests),
            Suite::Asserts { setup, tests } => run.asserts(setup, tests),
        }
    }

    /// One run in the sandbox, tried once more if the machine fails.
    fn run(
        &self,
        script: &str,
        files: &[(&str, &[u8])],
        stdin: &[u8],
        has_channel: bool,
        limits: &Limits,
    ) -> Result<Outcome, RunError> {
        self.sandbox.run_python(script, files, stdin, has_channel, limits).or_else(|_| {
            std::thread::sleep(PAUSE);
            self.sandbox.run_python(script, files, stdin, has_channel, limits)
        })
    }
}

/// One program on its way through its tests.
struct Run<'a> {
    grader: &'a Grader<'a>,
    program: &'a [u8],
    deadline: Instant,
    grade: Grade,
}

/// One line of the harness.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Result { test: usize, passed: bool, why: String, gone: bool },
    Unreadable { test: usize, unreadable: String },
    Failed { failed: String },
    Loaded { loaded: bool },
}

impl Run<'_> {
    fn io(mut self, tests: &[IoTest]) -> Result<Grade, NoGrade> {
        for (number, test) in (1..).zip(tests) {
            let Some(limits) = self.limits_left() else {
                self.fail(number, "time_limit", "the time for all tests together was used up".to_owned());
                break;
            };
            let files = [(SOLUTION, self.program)];
            let outcome = self.grader.run(SOLUTION, &files, test.stdin.as_bytes(), false, &limits)?;
            let printed = String::from_utf8_lossy(&outcome.stdout);
            if outcome.end != End::Exited(0) {
                let (rule, why) = ending(&outcome, &limits);
                self.fail(number, rule, why);
            } else if same_output(&test.stdout, &printed) {
                self.grade.n_passed += 1;
            } else {
                self.fail(number, "wrong_output", difference(&test.stdout, &printed));
            }
            if self.is_settled() {
                break;
            }
        }
        Ok(self.grade)
    }

    /// All tests go to one run of the program. When the program ends in the middle of a test, that test and the rest go to
    /// a fresh one, so that a test fails by its own doing only.
    fn asserts(mut self, setup: &str, tests: &[String]) -> Result<Grade, NoGrade> {
        let mut first = 0;
        while first < tests.len() && !self.is_settled() {
            let Some(limits) = self.limits_left() else {
                self.fail(first + 1, "time_limit", "the time for all tests together was used up".to_owned());
                break;
            };
            let files = [HARNESS[0], HARNESS[1], (SOLUTION, self.program)];
            let wanted = json!({"setup": setup, "tests": tests[first..]}).to_string();
            let outcome = self.grader.run("harness.py", &files, wanted.as_bytes(), true, &limits)?;
            let done = self.read(&outcome, first)?;
            let Some(n_done) = done else {
                if self.grade.failure.is_none() {
                    let (rule, why) = ending(&outcome, &limits);
                    self.fail(0, rule, format!("the program was not loaded: {why}"));
                }
                break;
            };
            if n_done == 0 {
                let (rule, why) = ending(&outcome, &limits);
                self.fail(first + 1, rule, why);
            }
            first += n_done.max(1);
        }
        Ok(self.grade)
    }

    /// Counts the results in `outcome`, whose first test is number `first`; returns how many tests are settled by it, or
    /// `None` if the program could not be loaded.
    fn read(&mut self, outcome: &Outcome, first: usize) -> Result<Option<usize>, NoGrade> {
        let mut n_done = 0;
        let mut is_loaded = false;
        for line in outcome.channel.split_inclusive(|byte| *byte == b'\n') {
            // Only the harness writes here; a last line cut short was cut by the end of the run.
            let Ok(line) = serde_json::from_slice::<Line>(line) else { break };
            match line {
                Line::Loaded { loaded } => is_loaded = loaded,
                Line::Failed { failed } => {
                    self.fail(0, "load_error", format!("the program could not be loaded: {}", excerpt(&failed, 160)));
                }
                Line::Unreadable { test, unreadable } => {
                    let why = format!("test {} cannot be read: {}", first + test + 1, excerpt(&unreadable, 160));
                    return Err(NoGrade::Gold(why));
                }
                // Not the first test of this run: earlier ones may have used up what it needed.
                Line::Result { test: 1.., gone: true, .. } => break,
                Line::Result { test, passed, why, .. } => {
                    if passed {
                        self.grade.n_passed += 1;
                    } else {
                        let rule = if why.starts_with("assertion failed") { "assertion" } else { "error" };
                        self.fail(first + test + 1, rule, excerpt(&why, 160));
                    }
                    n_done += 1;
                }
            }
        }
        Ok(is_loaded.then_some(n_done))
    }

    fn fail(&mut self, test: usize, rule: &'static str, why: String) {
        if self.grade.failure.is_none() {
            self.grade.failure = Some(Failure { test, rule, why });
        }
    }

    fn is_settled(&self) -> bool {
        self.grader.stops_at_failure && self.grade.failure.is_some()
    }

    /// The limits of the next run; none if no time is left for one.
    fn limits_left(&self) -> Option<Limits> {
        let left = self.deadline.saturating_duration_since(Instant::now()).as_secs_f64();
        let limits = self.grader.limits.clone();
        (left >= 0.1).then(|| Limits { wall_seconds: limits.wall_seconds.min(left), ..limits })
    }
}

/// Kind and description of an end that is a failure.
fn ending(outcome: &Outcome, limits: &Limits) -> (&'static str, String) {
    match outcome.end {
        End::WallLimit => ("time_limit", format!("stopped after {:.1} seconds", outcome.wall_seconds)),
        End::OutputLimit => ("output_limit", format!("printed more than {} KiB", limits.output_kb)),
        End::Signalled(libc::SIGXCPU) => {
            ("time_limit", format!("used more than {} seconds of processor time", limits.cpu_seconds))
        }
        End::Signalled(signal) => ("error", format!("was ended by signal {signal}")),
        End::Exited(code) => {
            let said = last_line(&outcome.stderr).unwrap_or_else(|| "no word on standard error".to_owned());
            ("error", format!("ended with code {code}: {said}"))
        }
    }
}

/// The first line on which two outputs differ.
fn difference(expected: &str, printed: &str) -> String {
    let (mut wanted, mut got) = (expected.trim().lines(), printed.trim().lines());
    let quoted =
        |line: Option<&str>| line.map_or("nothing".to_owned(), |line| format!("\"{}\"", excerpt(line, QUOTED_CHARS)));
    for number in 1.. {
        let (wanted, got) = (wanted.next(), got.next());
        let same = match (wanted, got) {
            (Some(wanted), Some(got)) => wanted.split_whitespace().eq(got.split_whitespace()),
            _ => false,
        };
        if !same {
            return format!("line {number} should be {} and is {}", quoted(wanted), quoted(got));
        }
    }
    String::new()
}
