//! Runs one program of a model, shut in; refuses to exist where the machine cannot shut it in.

use std::io;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use crate::interpreter::{Interpreter, InterpreterError};
use crate::isolation::helper::Helper;
use crate::isolation::identity::Identity;
use crate::isolation::order::Walls;
use crate::isolation::view::View;
use crate::isolation::{landlock, spawn};
use crate::{InvalidLimit, Limits};

/// A place where programs of a model can be run. That one exists means that this machine has shown it can be kept shut:
/// there is no other way to get one than to [`probe`](Sandbox::probe), and no way to run without it.
///
/// What holds a program, layer by layer: namespaces (user, mount, process, network, IPC, host name, cgroup), a new
/// read-only root with the interpreter's files and one scratch folder in memory, an ordinary user without capabilities and
/// without a way to gain any, Landlock where the kernel has it, a list of allowed system calls, resource limits, and a
/// watcher that counts output and the clock and kills the whole process tree.
///
/// It needs Linux 5.12 or newer on x86_64 or aarch64 with user namespaces, as an ordinary user or as root. It does not hold
/// against a hole in the kernel, and it does not hide how long anything takes.
///
/// Runs are started by a helper, a process of a few megabytes that lives as long as the sandbox: the calling program,
/// started once more and diverted before its `main`. So a run costs the same however much memory the caller has in use.
#[derive(Debug)]
pub struct Sandbox {
    walls: Walls,
    helper: RwLock<Helper>,
    interpreter: Interpreter,
}

/// One run: a program with its files and its input.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The file to run, as the sandbox sees it.
    pub executable: &'a str,
    /// Its arguments, its own name first.
    pub argv: &'a [String],
    /// Its environment, as `NAME=value`.
    pub env: &'a [String],
    /// Files in the scratch folder, which is its working folder: name and content.
    pub files: &'a [(&'a str, &'a [u8])],
    /// What it reads from standard input.
    pub stdin: &'a [u8],
    /// Whether it gets a further pipe as descriptor 3, to answer over.
    pub has_channel: bool,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal: `SIGXCPU` and `SIGKILL` where it used up its processor time.
    Signalled(i32),
    /// Stopped at [`Limits::wall_seconds`].
    WallLimit,
    /// Stopped at [`Limits::output_kb`].
    OutputLimit,
}

/// What a run left behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// What it printed, up to a little more than [`Limits::output_kb`].
    pub stdout: Vec<u8>,
    /// What it complained about, within the same bound.
    pub stderr: Vec<u8>,
    /// What it answered over descriptor 3, up to 4 MiB.
    pub channel: Vec<u8>,
    /// Seconds from the start of the isolation to the end of the program.
    pub wall_seconds: f64,
}

/// A run that could not be shut in, and so was no run.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox failed at `{step}`: {source}")]
pub struct RunError {
    /// The step of the isolation.
    pub step: &'static str,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

/// What this machine lacks for a sandbox, and what helps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// No interpreter.
    #[error("programs cannot be run: {0}")]
    Interpreter(#[from] InterpreterError),
    /// A limit that cannot be kept.
    #[error("programs cannot be run: {0}")]
    Limit(#[from] InvalidLimit),
    /// A path of the options or of the interpreter.
    #[error("programs cannot be run: a folder for the sandbox cannot be read: {0}")]
    View(#[source] io::Error),
    /// The process that starts the programs.
    #[error("programs cannot be run: the helper of the sandbox fails: {0}; it needs /proc, and glibc")]
    Helper(#[source] io::Error),
    /// A layer of the isolation.
    #[error("programs are not run on this machine, because they could not be shut in: {source}; {remedy}")]
    Isolation {
        /// The step that failed.
        source: RunError,
        /// What would help.
        remedy: &'static str,
    },
    /// The trial run did not do what it should.
    #[error("programs are not run on this machine, because a trial in the sandbox failed: {0}")]
    Trial(String),
}

impl Sandbox {
    /// A sandbox for the `python3` that the shell would find.
    ///
    /// # Errors
    ///
    /// [`Missing`], with the remedy, where this machine lacks something.
    pub fn probe() -> Result<Self, Missing> {
        Self::probe_for(Interpreter::find(None)?, &[], &Limits::default())
    }

    /// A sandbox for `interpreter` that also sees `read_only` (files and folders, at their own places), proven by a trial
    /// run within `limits`.
    ///
    /// # Errors
    ///
    /// [`Missing`], with the remedy, where this machine lacks something.
    pub fn probe_for(interpreter: Interpreter, read_only: &[PathBuf], limits: &Limits) -> Result<Self, Missing> {
        limits.check()?;
        let paths: Vec<PathBuf> = interpreter.paths.iter().chain(read_only).cloned().collect();
        let walls = Walls {
            view: View::new(&paths).map_err(Missing::View)?,
            identity: Identity::of_caller(),
            landlock: landlock::version(),
        };
        let helper = Helper::start().map_err(Missing::Helper)?;
        let sandbox = Self { walls, helper: RwLock::new(helper), interpreter };
        sandbox.trial(limits)?;
        Ok(sandbox)
    }

    /// Which layers hold here, for the log.
    pub fn layers(&self) -> Vec<String> {
        let identity = match self.walls.identity {
            Identity::DropFromRoot => "root dropped to nobody",
            Identity::Own { .. } => "ordinary user without capabilities",
        };
        let landlock = match self.walls.landlock {
            0 => "no landlock (not in this kernel)".to_owned(),
            version => format!("landlock version {version}"),
        };
        let rest = ["system call filter", "resource limits", "output and clock watched"].map(str::to_owned);
        let first = ["namespaces", "read-only root", identity].map(str::to_owned);
        first.into_iter().chain([landlock]).chain(rest).collect()
    }

    /// The interpreter it was made for.
    pub fn interpreter(&self) -> &Interpreter {
        &self.interpreter
    }

    /// Runs `job` within `limits` and waits for its end, which is the end of everything it started. May be called from
    /// several threads at once.
    ///
    /// # Errors
    ///
    /// [`RunError`] if it could not be shut in; it has not run then.
    pub fn run(&self, job: &Job<'_>, limits: &Limits) -> Result<Outcome, RunError> {
        if let Err(error) = limits.check() {
            return Err(RunError { step: "limits", source: io::Error::new(io::ErrorKind::InvalidInput, error) });
        }
        let outcome = {
            let helper = self.helper.read().unwrap_or_else(PoisonError::into_inner);
            spawn::run(&helper, &self.walls, job, limits)
        };
        match outcome {
            // Somebody has killed it: once more, with a new one.
            Err(RunError { step: spawn::HELPER, .. }) => {
                let mut helper = self.helper.write().unwrap_or_else(PoisonError::into_inner);
                *helper = Helper::start().map_err(|source| RunError { step: spawn::HELPER, source })?;
                spawn::run(&helper, &self.walls, job, limits)
            }
            outcome => outcome,
        }
    }

    /// Runs Python in the sandbox: `script` of `files` with `stdin`.
    ///
    /// # Errors
    ///
    /// Like [`run`](Sandbox::run).
    pub fn run_python(
        &self,
        script: &str,
        files: &[(&str, &[u8])],
        stdin: &[u8],
        has_channel: bool,
        limits: &Limits,
    ) -> Result<Outcome, RunError> {
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let executable = text(&self.interpreter.executable);
        let argv = [text(&self.interpreter.name), "-s".to_owned(), "-B".to_owned(), script.to_owned()];
        // The same order of sets on every run, and one thread where a library would start one for each core.
        let env = [
            "PATH=/usr/bin",
            "HOME=/scratch",
            "TMPDIR=/scratch",
            "LANG=C.UTF-8",
            "PYTHONHASHSEED=0",
            "PYTHONUTF8=1",
            "OMP_NUM_THREADS=1",
            "OPENBLAS_NUM_THREADS=1",
        ]
        .map(str::to_owned);
        self.run(&Job { executable: &executable, argv: &argv, env: &env, files, stdin, has_channel }, limits)
    }

    /// Runs a program whose answer is known, and which looks whether the walls stand.
    fn trial(&self, limits: &Limits) -> Result<(), Missing> {
        const TRIAL: &[u8] = b"import os, socket\n\
            assert not os.path.exists('/proc') and not os.path.exists('/home')\n\
            assert os.getuid() == 65534 and os.getpid() < 10\n\
            try:\n    socket.socket()\nexcept OSError:\n    print('shut in')\n";
        let outcome = self.run_python("trial.py", &[("trial.py", TRIAL)], b"", false, limits);
        let outcome = outcome.map_err(|source| Missing::Isolation { remedy: remedy(&source), source })?;
        if outcome.end == End::Exited(0) && outcome.stdout == b"shut in\n" {
            return Ok(());
        }
        let complaint = String::from_utf8_lossy(&outcome.stderr);
        Err(Missing::Trial(format!("{:?}, {}", outcome.end, complaint.lines().last().unwrap_or("no word on stderr"))))
    }
}

/// What helps against a step that failed.
fn remedy(error: &RunError) -> &'static str {
    match (error.step, error.source.raw_os_error()) {
        ("namespaces", Some(libc::ENOSPC)) => "raise user.max_user_namespaces (sysctl), which is used up or 0",
        ("namespaces", Some(libc::EAGAIN | libc::ENOMEM)) => "raise the limit on processes (ulimit -u) or free memory",
        ("user map", _) => {
            "as root, keep CAP_SETUID and CAP_SETGID and have a user 65534 (in a container: in its id map), or run as an \
             ordinary user"
        }
        ("namespaces" | "private mounts", _) => {
            "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, \
             kernel.apparmor_restrict_unprivileged_userns=0; in Docker: --security-opt seccomp=unconfined \
             --security-opt apparmor=unconfined, or --privileged)"
        }
        ("pivot_root", _) => "run on a disk image, not directly on an initramfs",
        (_, Some(libc::ENOSYS)) => "use Linux 5.12 or newer",
        _ => "see what the kernel said above; `mount` must be allowed in a user namespace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_names_a_remedy() {
        for (step, errno, words) in [
            ("namespaces", libc::ENOSPC, "max_user_namespaces"),
            ("namespaces", libc::EPERM, "unprivileged_userns_clone"),
            ("private mounts", libc::EACCES, "apparmor_restrict_unprivileged_userns"),
            ("user map", libc::EPERM, "CAP_SETUID"),
            ("reading the interpreter's files", libc::ENOSYS, "5.12"),
        ] {
            let source = RunError { step, source: io::Error::from_raw_os_error(errno) };
            let message = Missing::Isolation { remedy: remedy(&source), source }.to_string();
            assert!(message.contains(words) && message.contains(step), "{message}");
        }
    }
}
