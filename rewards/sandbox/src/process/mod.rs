//! The `process` reward: a command of the user's that answers scores.

mod lookup;
mod protocol;
mod worker;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rewards::{CompletionView, GoldError, Problem, RewardFn, Verdict};
use serde::{Deserialize, Serialize};

use crate::slots::Slots;
use crate::text::excerpt;
use worker::Worker;

const NAME: &str = "process";
/// How much of a completion an error shows, in characters.
const COMPLETION_CHARS: usize = 120;

/// What a completion gets that the command could not judge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The run stops: [`Process::failure`] says so, and everything from then on is not applicable. The default.
    #[default]
    Stop,
    /// No score: it leaves the baseline.
    NotApplicable,
    /// The score 0.
    Zero,
}

/// Settings of [`Process`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessOptions {
    /// The program and its arguments, as `["python3", "my_reward.py"]`; no shell is involved.
    pub command: Vec<String>,
    /// Copies of it that run at once, from 1 to 256. Default 1.
    #[serde(default = "default_workers")]
    pub workers: usize,
    /// Seconds that a copy may take for its part of a batch, from 0.05 to 86400. Default 60.
    #[serde(default = "default_batch_seconds")]
    pub batch_seconds: f64,
    /// Seconds more for the first batch of a copy that has just been started, from 0 to 86400: for imports, and for models
    /// that it loads. Default 60.
    #[serde(default = "default_start_seconds")]
    pub start_seconds: f64,
    /// What happens to a completion that could not be judged. Default stop.
    #[serde(default)]
    pub on_error: OnError,
}

fn default_workers() -> usize {
    1
}

fn default_batch_seconds() -> f64 {
    60.0
}

fn default_start_seconds() -> f64 {
    60.0
}

impl ProcessOptions {
    /// The defaults, for `command`.
    pub fn new(command: Vec<String>) -> Self {
        Self {
            command,
            workers: default_workers(),
            batch_seconds: default_batch_seconds(),
            start_seconds: default_start_seconds(),
            on_error: OnError::Stop,
        }
    }
}

/// Why there is no process reward.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// Nothing to run.
    #[error("reward `process`: the command is empty; it is a list, as [\"python3\", \"my_reward.py\"]")]
    Empty,
    /// An option out of its range.
    #[error("reward `process`: {name} is {value}: it must be from {least} to {most}")]
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
    /// There is no such program, or it is not one.
    #[error("reward `process`: `{command}` cannot be started: {source}")]
    Start {
        /// The command.
        command: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The first completion that a command could not judge, where that stops the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessFailure {
    /// The command.
    pub command: String,
    /// What happened.
    pub reason: String,
    /// Id of the problem.
    pub problem: String,
    /// The beginning of the completion.
    pub completion: String,
    /// The last lines that the command wrote to standard error.
    pub stderr: Vec<String>,
}

impl fmt::Display for ProcessFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, reason, problem, completion, stderr } = self;
        write!(f, "reward `process`: `{command}` could not judge a completion of problem `{problem}`: {reason}")?;
        write!(f, "\n  the completion begins: {completion}")?;
        for line in stderr {
            write!(f, "\n  stderr: {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ProcessFailure {}

/// Scores by a command of the user's, which is kept running: it reads a question a line and answers a line.
///
/// ```python
/// import json, sys
/// for line in sys.stdin:
///     row = json.loads(line)
///     score = 1.0 if row["gold"] in row["completion"] else 0.0
///     print(json.dumps({"id": row["id"], "score": score, "reason": "looked for the gold"}))
/// ```
///
/// A question has the fields of the data row, `problem` (the row's id), `id`, `completion`, `n_tokens`, `truncated`, and
/// `prompt` where it is known. An answer has `id`, `score` (a finite number, or null for not applicable) and perhaps
/// `reason` and `steps`, `[{"end": 17, "score": 0.5}, ..]`: what each step of the reasoning is worth, and where it ends, in
/// characters (Unicode scalar values, as Python counts them) of `completion`, exclusive, ascending. With steps `score` may be
/// left out: it is their mean. Answers may come in any order. Standard error is for whatever the command likes to say; its last lines are
/// shown when something goes wrong.
///
/// A batch is divided among the copies ([`ProcessOptions::workers`]), and each gets its part at once. A copy that ends, is
/// late, or prints anything but answers is stopped and started afresh, and the questions it has left open are asked once
/// more, one at a time, so that one bad completion does not spoil the others. What is still not answered then is handled
/// by [`ProcessOptions::on_error`]; after three of them in a row the rest of the part is not asked any more.
///
/// The command is the user's own and runs as the user, in no sandbox. Judging is as repeatable as the command is.
///
/// A clone is the same reward with the same copies of the command: one for the rubric, one to ask for the
/// [`failure`](Process::failure).
///
/// `rule` of the verdict is `process`, or `process_failed` where the command could not judge.
#[derive(Debug, Clone)]
pub struct Process(Arc<Shared>);

/// What the clones share.
#[derive(Debug)]
struct Shared {
    options: ProcessOptions,
    slots: Slots,
    idle: Mutex<Vec<Worker>>,
    next_id: AtomicU64,
    failure: OnceLock<ProcessFailure>,
    n_failures: AtomicUsize,
}

/// One completion to be judged.
struct Question<'a> {
    id: u64,
    line: String,
    problem: &'a Problem,
    text: &'a str,
}

/// What came of one question: the verdict, or the reason and the command's last words.
type Reply = Result<Verdict, (String, Vec<String>)>;

/// So many completions in a row that cannot be judged mean that none can.
const MAX_IN_A_ROW: usize = 3;

impl Process {
    /// A reward by `options`. Looks the program up; it is started when there is something to judge, and a command that
    /// does not start then is a [`failure`](Process::failure) like any other.
    ///
    /// # Errors
    ///
    /// [`ProcessError`] for an option out of range, or a program that is not there or may not be run.
    pub fn new(options: ProcessOptions) -> Result<Self, ProcessError> {
        if options.command.is_empty() {
            return Err(ProcessError::Empty);
        }
        for (name, value, least, most) in [
            ("workers", options.workers as f64, 1.0, 256.0),
            ("batch_seconds", options.batch_seconds, 0.05, 86_400.0),
            ("start_seconds", options.start_seconds, 0.0, 86_400.0),
        ] {
            if !(least..=most).contains(&value) {
                return Err(ProcessError::Option { name, value, least, most });
            }
        }
        lookup::find(&options.command[0])
            .map_err(|source| ProcessError::Start { command: options.command.join(" "), source })?;
        Ok(Self(Arc::new(Shared {
            slots: Slots::new(options.workers),
            options,
            idle: Mutex::new(Vec::new()),
            next_id: AtomicU64::new(1),
            failure: OnceLock::new(),
            n_failures: AtomicUsize::new(0),
        })))
    }

    /// The first completion that could not be judged, where [`OnError::Stop`] is set; once there, it stays. To be asked
    /// after judging: the verdicts themselves cannot stop a run.
    pub fn failure(&self) -> Option<ProcessFailure> {
        self.0.failure.get().cloned()
    }

    /// How many completions could not be judged so far, whatever [`ProcessOptions::on_error`] says.
    pub fn n_failures(&self) -> usize {
        self.0.n_failures.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Vec<Worker>> {
        // A list of workers cannot be left half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A running copy, idle or new.
    fn worker(&self) -> Result<Worker, String> {
        let idle = self.idle().pop();
        idle.map_or_else(|| Worker::start(&self.options.command), Ok)
            .map_err(|error| format!("it cannot be started: {error}"))
    }

    /// Asks `questions` at once; returns what was answered, and why the rest was not.
    fn ask(&self, questions: &[&Question<'_>], replies: &mut [Option<Reply>]) -> Option<(String, Vec<String>)> {
        let mut worker = match self.worker() {
            Ok(worker) => worker,
            Err(reason) => return Some((reason, Vec::new())),
        };
        let start_seconds = if worker.is_warm { 0.0 } else { self.options.start_seconds };
        let limit = Duration::from_secs_f64(self.options.batch_seconds + start_seconds);
        let lines: Vec<(u64, &str)> = questions.iter().map(|question| (question.id, &*question.line)).collect();
        let mut talk = worker.ask(&lines, limit);
        for (question, reply) in questions.iter().zip(replies) {
            let verdict = talk.answers.remove(&question.id).map(|answer| answer.and_then(|a| a.verdict(question.text)));
            *reply = verdict.map(|verdict| verdict.map_err(|why| (why, worker.last_words())));
        }
        let Some(reason) = talk.broken else {
            self.idle().push(worker);
            return None;
        };
        let last_words = worker.last_words();
        worker.kill();
        Some((reason, last_words))
    }

    /// One part of a batch: all at once, then what was left open one at a time.
    fn part(&self, questions: &[Question<'_>]) -> Vec<Reply> {
        let all: Vec<&Question<'_>> = questions.iter().collect();
        let mut replies: Vec<Option<Reply>> = questions.iter().map(|_| None).collect();
        let mut last = self.ask(&all, &mut replies);
        let mut n_in_a_row = 0;
        for (question, reply) in all.iter().zip(&mut replies) {
            if reply.is_some() || n_in_a_row == MAX_IN_A_ROW {
                continue;
            }
            match self.ask(&[question], std::slice::from_mut(reply)) {
                None => n_in_a_row = 0,
                Some(broken) => {
                    n_in_a_row += 1;
                    last = Some(broken.clone());
                    reply.get_or_insert(Err(broken));
                }
            }
        }
        // Those that were not asked again, for the reason of the last that was.
        let rest = last.unwrap_or_default();
        replies.into_iter().map(|reply| reply.unwrap_or_else(|| Err(rest.clone()))).collect()
    }

    fn verdict(&self, question: &Question<'_>, reply: Reply) -> Verdict {
        let (reason, stderr) = match reply {
            Ok(verdict) => return verdict,
            Err(failed) => failed,
        };
        self.n_failures.fetch_add(1, Ordering::Relaxed);
        let said = stderr.last().map_or_else(String::new, |line| format!("; stderr: {line}"));
        let text = format!("the command could not judge it: {reason}{said}");
        match self.options.on_error {
            OnError::Zero => Verdict::scored(0.0, "process_failed", text),
            OnError::NotApplicable => Verdict::not_applicable("process_failed", text),
            OnError::Stop => {
                self.failure.get_or_init(|| ProcessFailure {
                    command: self.options.command.join(" "),
                    reason,
                    problem: question.problem.id.clone(),
                    completion: excerpt(question.text, COMPLETION_CHARS),
                    stderr,
                });
                Verdict::not_applicable("process_failed", text)
            }
        }
    }
}

impl RewardFn for Process {
    fn name(&self) -> &str {
        NAME
    }

    /// Every problem will do: what the command needs of it, the command knows.
    fn check_gold(&self, _: &Problem) -> Result<(), GoldError> {
        Ok(())
    }

    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let verdicts = self.judge_group(problem, std::slice::from_ref(completion));
        verdicts.into_iter().next().expect("one completion has one verdict")
    }

    fn judge_group(&self, problem: &Problem, completions: &[CompletionView<'_>]) -> Vec<Verdict> {
        self.judge_batch(&[(problem, completions)]).pop().expect("one group has one list of verdicts")
    }

    fn judge_batch(&self, groups: &[(&Problem, &[CompletionView<'_>])]) -> Vec<Vec<Verdict>> {
        let shared = &*self.0;
        if shared.failure.get().is_some() {
            let stopped = Verdict::not_applicable("process_failed", "the command has failed before");
            return groups.iter().map(|(_, completions)| vec![stopped.clone(); completions.len()]).collect();
        }
        let mut questions = Vec::new();
        for &(problem, completions) in groups {
            for completion in completions {
                let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
                let line = protocol::question(id, problem, completion);
                questions.push(Question { id, line, problem, text: completion.text });
            }
        }
        let part_size = questions.len().div_ceil(shared.options.workers).max(1);
        let parts: Vec<&[Question<'_>]> = questions.chunks(part_size).collect();
        let replies = shared.slots.map(&parts, |part| shared.part(part));
        let mut verdicts =
            questions.iter().zip(replies.into_iter().flatten()).map(|(q, reply)| shared.verdict(q, reply));
        groups.iter().map(|(_, completions)| verdicts.by_ref().take(completions.len()).collect()).collect()
    }
}
