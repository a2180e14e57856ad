//! Runs what is missing, each in a process of its own, some at once; and ends them with this process.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::board::Board;
use super::runs::{PlannedRun, RunState};
use crate::run::atomic::FileError;
use crate::run::directory::is_in_use;

/// Between two looks at the processes. A run takes minutes, and one that ends is noticed at once by people's measure.
const PAUSE: Duration = Duration::from_millis(50);

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is done.
    Done,
    /// It was asked to stop, and has saved; or it was not begun any more.
    Stopped,
    /// It failed, with the reason.
    Failed(String),
}

/// How runs are run.
pub struct Jobs<'a> {
    /// This program.
    pub program: &'a Path,
    /// How many at once, 1 or more.
    pub n_jobs: usize,
    /// Set by Ctrl-C: the running ones are asked to save, and no other is begun.
    pub stop: &'a AtomicBool,
    /// What shows the progress.
    pub board: &'a mut Board,
}

/// A run whose process is alive.
struct Running {
    run_idx: usize,
    child: Child,
    asked_to_stop: bool,
}

impl Jobs<'_> {
    /// Runs every one of `runs` that is not done, and calls `on_end` with its number after each that ends.
    ///
    /// The ending of each run, in the order of `runs`. A run that fails does not stop the others.
    ///
    /// # Errors
    /// If a run file cannot be written, or a process cannot be started or asked.
    pub fn run(
        &mut self,
        runs: &[PlannedRun],
        mut on_end: impl FnMut(usize, &Ending, &mut Board) -> Result<(), FileError>,
    ) -> Result<Vec<Ending>, FileError> {
        let mut endings: Vec<Ending> = runs.iter().map(|_| Ending::Stopped).collect();
        let mut queue: VecDeque<usize> = VecDeque::new();
        for (run_idx, run) in runs.iter().enumerate() {
            if run.state == RunState::Done { endings[run_idx] = Ending::Done } else { queue.push_back(run_idx) }
        }
        let mut running: Vec<Running> = Vec::new();
        loop {
            let stopping = self.stop.load(Ordering::Relaxed);
            while !stopping && running.len() < self.n_jobs {
                let Some(run_idx) = self.next(runs, &mut queue) else { break };
                running.push(self.start(run_idx, &runs[run_idx])?);
            }
            if running.is_empty() && (stopping || queue.is_empty()) {
                return Ok(endings);
            }
            std::thread::sleep(PAUSE);
            let mut alive = Vec::new();
            for mut job in running {
                let run = &runs[job.run_idx];
                if stopping && !job.asked_to_stop {
                    job.asked_to_stop = true;
                    terminate(&job.child);
                }
                match job.child.try_wait().map_err(FileError::at(self.program, "wait for a run of the program"))? {
                    None => {
                        self.board.shows(job.run_idx, last_step(&run.output).as_deref());
                        alive.push(job);
                    }
                    Some(status) => {
                        let ending = ending(status, run, job.asked_to_stop);
                        self.board.ended(job.run_idx, &ending);
                        on_end(job.run_idx, &ending, self.board)?;
                        endings[job.run_idx] = ending;
                    }
                }
            }
            running = alive;
        }
    }

    /// The next run whose folder no process of an earlier start still writes to.
    fn next(&mut self, runs: &[PlannedRun], queue: &mut VecDeque<usize>) -> Option<usize> {
        for _ in 0..queue.len() {
            let run_idx = queue.pop_front()?;
            // A folder whose lock cannot be asked is left to the run to complain about.
            if !is_in_use(&runs[run_idx].folder).unwrap_or(false) {
                return Some(run_idx);
            }
            self.board.waits(run_idx);
            queue.push_back(run_idx);
        }
        None
    }

    fn start(&mut self, run_idx: usize, run: &PlannedRun) -> Result<Running, FileError> {
        run.write_file()?;
        let output = File::create(&run.output).map_err(FileError::at(&run.output, "create the file"))?;
        let errors = output.try_clone().map_err(FileError::at(&run.output, "create the file"))?;
        let mut command = Command::new(self.program);
        command.arg("--config").arg(&run.file).arg("--no-progress");
        // The folder may have been begun since it was looked at, by a process that has ended since.
        if run.folder.join("run.json").exists() {
            command.arg("--resume");
        }
        if let Some(threads) = threads(self.n_jobs, run.resolved.run.threads) {
            command.arg("--set").arg(format!("run.threads={threads}"));
        }
        // Ctrl-C in a terminal goes to a whole group of processes. A second one means "at once" to a run, so it is
        // this process that passes it on, and once.
        command.process_group(0).stdin(Stdio::null()).stdout(output).stderr(errors);
        end_with_this_process(&mut command);
        let child = command.spawn().map_err(FileError::at(self.program, "start a run of the program"))?;
        self.board.started(run_idx);
        Ok(Running { run_idx, child, asked_to_stop: false })
    }
}

/// Threads of a run if `n_jobs` share the machine; None leaves it to the run file, which says so or means all.
fn threads(n_jobs: usize, wanted: usize) -> Option<usize> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    (n_jobs > 1 && wanted == 0).then(|| (all / n_jobs).max(1))
}

/// A run whose parent is gone, in whatever way, saves and stops as if asked to.
fn end_with_this_process(command: &mut Command) {
    let parent = std::process::id();
    let prepare = move || {
        // SAFETY: prctl and getppid take and give numbers; both may be called between fork and exec.
        let (set, now) = unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM), libc::getppid()) };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
        // It may have gone before it was asked for.
        if u32::try_from(now) == Ok(parent) { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) };
}

/// Asks a run to finish its step, save and stop.
fn terminate(child: &Child) {
    let id = libc::pid_t::try_from(child.id()).expect("a process id");
    // SAFETY: kill takes two numbers; the child has not been waited for, so the id is its own.
    unsafe { libc::kill(id, libc::SIGTERM) };
}

fn ending(status: ExitStatus, run: &PlannedRun, asked_to_stop: bool) -> Ending {
    match status.code() {
        Some(0) => Ending::Done,
        // Before it has begun to listen, a run ends by the signal itself, without a code.
        Some(130) | None if asked_to_stop => Ending::Stopped,
        Some(130) => Ending::Failed(format!("it was stopped from outside; see {}", run.output.display())),
        Some(code) => Ending::Failed(
            failure(&run.output).unwrap_or_else(|| format!("exit code {code}; see {}", run.output.display())),
        ),
        None => Ending::Failed(format!("{status}; see {}", run.output.display())),
    }
}

/// What a run said last about why it failed.
fn failure(output: &Path) -> Option<String> {
    let text = fs::read_to_string(output).ok()?;
    let lines: Vec<&str> = text.lines().collect();
    let begin = lines.iter().rposition(|line| line.starts_with("error"))?;
    let said: Vec<&str> =
        lines[begin..].iter().map(|line| line.trim()).filter(|line| !line.is_empty()).take(4).collect();
    Some(said.join(" ").trim_start_matches("error: ").to_owned())
}

/// The last line about a step, `step 20/200  reward ...`, among the last kilobytes of what a run has said.
fn last_step(output: &Path) -> Option<String> {
    let mut file = File::open(output).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(4096))).ok()?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).ok()?;
    let text = String::from_utf8_lossy(&tail);
    text.lines().rev().find(|line| line.starts_with("step ") && line.contains('/')).map(str::to_owned)
}
