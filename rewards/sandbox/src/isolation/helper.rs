//! A small process that makes the namespaces: the caller's own program, started again, which does nothing else.
//!
//! `clone` copies the page tables of the process that calls it. A trainer has gigabytes of them; this process has not. It
//! has one thread, reads orders, and holds a leash for every run: when the caller lets go of it, or dies, the run is over.

use std::ffi::{CStr, c_char, c_int};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::child::Report;
use super::launch::{Failed, launch};
use super::order::Order;
use super::{seccomp, wire};
use crate::pipes;

/// Name under which the program is started to be the helper.
const NAME: &CStr = c"grpo-sandbox-helper";
/// Set for the helper: a program that sees it in `main` was not diverted, and must not start helpers in turn.
const GUARD: &str = "GRPO_SANDBOX_HELPER";
/// How long the helper may take to start; loading large libraries takes seconds on a slow disk.
const START: Duration = Duration::from_secs(60);

/// Run by the loader before `main`, like every function in this section: in the helper it does not come to `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn(c_int, *const *const c_char) = before_main;

extern "C" fn before_main(n_arguments: c_int, arguments: *const *const c_char) {
    // SAFETY: glibc passes what `main` gets: `n_arguments` C strings.
    let is_helper = n_arguments == 1 && unsafe { CStr::from_ptr(*arguments) } == NAME;
    if is_helper {
        // SAFETY: standard input is the control socket, which nothing else in this process knows.
        let control = unsafe { OwnedFd::from_raw_fd(0) };
        let served = serve(&control);
        // SAFETY: ends the process and touches nothing.
        unsafe { libc::_exit(i32::from(served.is_err())) };
    }
}

/// The helper, as the caller sees it. It ends with this value.
#[derive(Debug)]
pub(crate) struct Helper {
    control: OwnedFd,
    child: Child,
}

impl Helper {
    /// Starts one and waits for its first word.
    pub fn start() -> io::Result<Self> {
        if std::env::var_os(GUARD).is_some() {
            return Err(io::Error::other("this program cannot be started again as the helper of its sandbox"));
        }
        let (control, far) = wire::pair()?;
        let child = Command::new("/proc/self/exe")
            .arg0(std::ffi::OsStr::new(NAME.to_str().map_err(io::Error::other)?))
            .env(GUARD, "1")
            .stdin(Stdio::from(far))
            .stdout(Stdio::null())
            .spawn()?;
        let helper = Self { control, child };
        let control = File::from(helper.control.try_clone()?);
        let mut word = [0; 1];
        let is_ready = pipes::wait(&[(Some(&control), libc::POLLIN)], START)?[0] != 0
            && wire::receive(control.as_fd(), &mut word)?.0 == 1;
        if is_ready { Ok(helper) } else { Err(io::Error::other("the helper of the sandbox does not start")) }
    }

    /// Sends the descriptors of one run.
    pub fn send(&self, fds: &[RawFd]) -> io::Result<()> {
        wire::send(self.control.as_fd(), b"r", fds)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It ends when the socket does; `kill` is for one that hangs, and an error means that it is already gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run in progress.
struct Run {
    pid: libc::pid_t,
    /// Readable when the first process has ended.
    process: File,
    /// Readable when the caller has let go.
    leash: File,
    is_killed: bool,
}

/// Serves until the caller is gone.
fn serve(control: &OwnedFd) -> io::Result<()> {
    // SAFETY: before `main` there is one thread and no handler; the caller's socket may close at any time.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let filter = seccomp::filter();
    let control = File::from(control.try_clone()?);
    wire::send(control.as_fd(), b"h", &[])?;
    let mut runs: Vec<Run> = Vec::new();
    loop {
        let mut files = vec![(Some(&control), libc::POLLIN)];
        for run in &runs {
            files.push((Some(&run.process), libc::POLLIN));
            files.push(((!run.is_killed).then_some(&run.leash), libc::POLLIN));
        }
        let happened = pipes::wait(&files, Duration::from_secs(3600))?;
        for (run, happened) in runs.iter_mut().zip(happened[1..].chunks(2)) {
            if happened[1] != 0 {
                run.is_killed = true;
                // SAFETY: a child that has not been waited for.
                unsafe { libc::kill(run.pid, libc::SIGKILL) };
            }
        }
        let mut ended = happened[1..].chunks(2).map(|happened| happened[0] != 0);
        // Closing the leash tells the caller.
        runs.retain(|run| if ended.next().unwrap_or(false) { !reap(run.pid) } else { true });
        if happened[0] != 0 {
            let mut word = [0; 1];
            let (n_bytes, fds) = wire::receive(control.as_fd(), &mut word)?;
            if n_bytes == 0 {
                // The first processes have asked the kernel to be killed with this one.
                return Ok(());
            }
            runs.extend(begin(fds, &filter));
        }
    }
}

/// Waits for a process that has ended; whether it was there to be waited for.
fn reap(pid: libc::pid_t) -> bool {
    // SAFETY: a child of this process; the status is not wanted.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL | libc::WNOHANG) == pid }
}

/// Starts a run and tells its caller how that went.
fn begin(fds: Vec<OwnedFd>, filter: &[libc::sock_filter]) -> Option<Run> {
    let [order, leash, stdin, stdout, stderr, channel, status] = <[OwnedFd; 7]>::try_from(fds).ok()?;
    let fds = [&stdin, &stdout, &stderr, &channel, &status].map(std::os::fd::AsRawFd::as_raw_fd);
    let started = Order::read(order).map_err(|error| (11, error));
    let started = started.and_then(|(order, contents)| launch(&order, &contents, &fds, filter)).and_then(watchable);
    let report = match &started {
        Ok(_) => Report { step: 0, value: 0 },
        Err((step, error)) => Report { step: *step, value: error.raw_os_error().unwrap_or(libc::EINVAL) },
    };
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&report.step.to_ne_bytes());
    bytes[4..].copy_from_slice(&report.value.to_ne_bytes());
    // A caller that is no longer there needs no answer; the closed leash ends the run.
    let _ = wire::send(leash.as_fd(), &bytes, &[]);
    let (pid, process) = started.ok()?;
    Some(Run { pid, process, leash: leash.into(), is_killed: false })
}

/// `pid` with a descriptor that shows its end.
fn watchable(pid: libc::pid_t) -> Result<(libc::pid_t, File), Failed> {
    // SAFETY: a child that has not been waited for; the result is checked.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        let error = io::Error::last_os_error();
        // SAFETY: likewise.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        return Err((super::child::NAMESPACES, error));
    }
    // SAFETY: a descriptor that the kernel has just made and that nobody else knows.
    Ok((pid, unsafe { File::from_raw_fd(fd as RawFd) }))
}
