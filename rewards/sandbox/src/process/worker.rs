//! One running copy of a user's command, and the talk with it.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::protocol::{self, Answer};
use crate::pipes;

/// Longest line that is read, in bytes.
const LINE_BYTES: usize = 1 << 20;
/// How much of what the command says on standard error is kept, in bytes.
const STDERR_BYTES: usize = 4096;
/// How many lines of it an error shows.
const STDERR_LINES: usize = 10;
/// How long a command may take to end by itself after its input has ended.
const FAREWELL: Duration = Duration::from_millis(500);

/// A running command.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    stdin: Option<File>,
    stdout: Option<File>,
    stderr: Option<File>,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    complaints: Vec<u8>,
    /// Whether it has been waited for: from then on its number may be another process's.
    is_reaped: bool,
    /// Whether it has answered anything yet.
    pub is_warm: bool,
}

/// What came of a batch of questions.
#[derive(Debug)]
pub(crate) struct Talk {
    /// The answers by id; an error is one answer's own.
    pub answers: HashMap<u64, Result<Answer, String>>,
    /// Why the talk broke off, if it did; the worker is of no further use then.
    pub broken: Option<String>,
}

impl Worker {
    /// Starts `command`, whose first word is the program, in a process group of its own.
    pub fn start(command: &[String]) -> io::Result<Self> {
        let [program, arguments @ ..] = command else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the command is empty"));
        };
        let mut child = Command::new(program)
            .args(arguments)
            // A Python command then works without `flush`.
            .env("PYTHONUNBUFFERED", "1")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().map(|pipe| File::from(OwnedFd::from(pipe)));
        let stdout = child.stdout.take().map(|pipe| File::from(OwnedFd::from(pipe)));
        let stderr = child.stderr.take().map(|pipe| File::from(OwnedFd::from(pipe)));
        // From here on dropping it ends the process.
        let (partial, complaints) = (Vec::new(), Vec::new());
        let worker = Self { child, stdin, stdout, stderr, partial, complaints, is_reaped: false, is_warm: false };
        for file in [&worker.stdin, &worker.stdout, &worker.stderr].into_iter().flatten() {
            pipes::set_nonblocking(file)?;
        }
        Ok(worker)
    }

    /// Asks `questions` (ids and lines) all at once and reads until each is answered, the talk breaks off, or `limit` has
    /// passed. Answers may come in any order.
    pub fn ask(&mut self, questions: &[(u64, &str)], limit: Duration) -> Talk {
        let deadline = Instant::now() + limit;
        let text: String = questions.iter().map(|(_, line)| *line).collect();
        let mut rest = text.as_bytes();
        let mut open: HashSet<u64> = questions.iter().map(|(id, _)| *id).collect();
        let mut talk = Talk { answers: HashMap::new(), broken: None };
        while !open.is_empty() && talk.broken.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            talk.broken = if left.is_zero() {
                Some(format!("it did not answer within {} seconds", limit.as_secs_f64()))
            } else {
                self.exchange(&mut rest, &mut open, &mut talk.answers, left).err()
            };
        }
        // A line too many now would be taken for an answer to the next questions.
        if talk.broken.is_none() && !self.partial.is_empty() {
            talk.broken = Some("it printed more than one answer for each question".to_owned());
        }
        self.is_warm |= !talk.answers.is_empty();
        talk
    }

    /// One round: writes what the pipe takes, reads what is there.
    fn exchange(
        &mut self,
        rest: &mut &[u8],
        open: &mut HashSet<u64>,
        answers: &mut HashMap<u64, Result<Answer, String>>,
        left: Duration,
    ) -> Result<(), String> {
        let stdin = self.stdin.as_ref().filter(|_| !rest.is_empty());
        let files =
            [(stdin, libc::POLLOUT), (self.stdout.as_ref(), libc::POLLIN), (self.stderr.as_ref(), libc::POLLIN)];
        let happened = pipes::wait(&files, left).map_err(|error| format!("its pipes cannot be watched: {error}"))?;
        if happened[0] != 0 {
            match self.stdin.as_mut().map(|stdin| stdin.write(rest)) {
                Some(Ok(n_written)) => *rest = &rest[n_written..],
                Some(Err(error)) if is_passing(&error) => {}
                // It no longer reads; what it has still said is read below.
                _ => self.stdin = None,
            }
        }
        if happened[2] != 0 {
            self.read_complaints();
        }
        if happened[1] != 0 {
            let has_ended = self.read_lines()?;
            self.take_answers(open, answers)?;
            if has_ended && !open.is_empty() {
                return Err(self.farewell());
            }
        }
        Ok(())
    }

    /// Reads what standard output holds; whether it has ended.
    fn read_lines(&mut self) -> Result<bool, String> {
        let Some(stdout) = &mut self.stdout else { return Ok(true) };
        let mut buffer = [0; 1 << 16];
        match stdout.read(&mut buffer) {
            Ok(0) => {
                self.stdout = None;
                Ok(true)
            }
            Ok(n_read) => {
                self.partial.extend_from_slice(&buffer[..n_read]);
                Ok(false)
            }
            Err(error) if is_passing(&error) => Ok(false),
            Err(error) => Err(format!("its output cannot be read: {error}")),
        }
    }

    /// Takes the whole lines out of what has been read.
    fn take_answers(
        &mut self,
        open: &mut HashSet<u64>,
        answers: &mut HashMap<u64, Result<Answer, String>>,
    ) -> Result<(), String> {
        let mut begins = 0;
        while let Some(length) = self.partial[begins..].iter().position(|byte| *byte == b'\n') {
            let line = self.partial[begins..begins + length].trim_ascii();
            begins += length + 1;
            if line.is_empty() {
                continue;
            }
            let (id, answer) = protocol::answer(line)?;
            if !open.remove(&id) {
                let is_second = answers.contains_key(&id);
                if is_second {
                    // Which of the two is meant, nobody can say.
                    answers.insert(id, Err("it answered twice".to_owned()));
                }
                let kind = if is_second { "a second answer" } else { "an answer nobody asked for" };
                return Err(format!("it gave {kind}, with id {id}"));
            }
            answers.insert(id, answer);
        }
        self.partial.drain(..begins);
        if self.partial.len() > LINE_BYTES {
            return Err(format!("it printed a line of more than {LINE_BYTES} bytes"));
        }
        Ok(())
    }

    fn read_complaints(&mut self) {
        let Some(stderr) = &mut self.stderr else { return };
        let mut buffer = [0; 1 << 16];
        match stderr.read(&mut buffer) {
            Ok(n_read @ 1..) => {
                self.complaints.extend_from_slice(&buffer[..n_read]);
                let n_old = self.complaints.len().saturating_sub(STDERR_BYTES);
                self.complaints.drain(..n_old);
            }
            Err(error) if is_passing(&error) => {}
            _ => self.stderr = None,
        }
    }

    /// How it ended, once its output has.
    fn farewell(&mut self) -> String {
        self.stdin = None;
        match self.ends_within(FAREWELL).then(|| self.kill_group()) {
            Some(Ok(status)) => format!("it ended with {status}"),
            Some(Err(error)) => format!("it ended, and nobody knows how: {error}"),
            None => "it closed its output".to_owned(),
        }
    }

    /// Waits for its end, and leaves it to be waited for: until then its number stays its own.
    fn ends_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        loop {
            // SAFETY: zeroed is an empty answer, with room for what the kernel writes; the child has not been waited for.
            let has_ended = self.is_reaped
                || unsafe {
                    let mut answer: libc::siginfo_t = std::mem::zeroed();
                    libc::waitid(libc::P_PID, self.child.id(), &raw mut answer, flags) == 0 && answer.si_pid() != 0
                };
            if has_ended || Instant::now() >= deadline {
                return has_ended;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it and what it has started; how it ended.
    fn kill_group(&mut self) -> io::Result<ExitStatus> {
        if let Some(group) = i32::try_from(self.child.id()).ok().filter(|_| !self.is_reaped) {
            // SAFETY: the child leads this group and has not been waited for, so no other process or group has its number.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
        self.is_reaped = true;
        // Killed: it is gone, or will be as soon as the kernel lets it.
        self.child.wait()
    }

    /// The last lines it wrote to standard error.
    pub fn last_words(&mut self) -> Vec<String> {
        // What is in the pipe, without waiting for more; bounded, as it may still be writing.
        for _ in 0..64 {
            let files = [(self.stderr.as_ref(), libc::POLLIN)];
            if self.stderr.is_none() || pipes::wait(&files, Duration::ZERO).is_ok_and(|happened| happened[0] == 0) {
                break;
            }
            self.read_complaints();
        }
        let text = String::from_utf8_lossy(&self.complaints);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(STDERR_LINES)..].iter().map(|line| crate::text::excerpt(line, 200)).collect()
    }

    /// Lets it end by itself for a moment, then ends it and what it has started.
    fn end(&mut self) {
        self.stdin = None;
        if self.is_warm {
            self.ends_within(FAREWELL);
        }
        // How it ended is of no more interest.
        let _ = self.kill_group();
    }

    /// Ends it without waiting for it to end by itself.
    pub fn kill(mut self) {
        self.is_warm = false;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
