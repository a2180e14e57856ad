//! Starts a sandboxed program and watches it: its output, its clock, its end.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use super::child::{self, N_FDS, Plan, Report, STEPS};
use super::identity::Identity;
use super::view::View;
use crate::sandbox::{End, Job, Outcome, RunError};
use crate::{Limits, pipes};

/// Most bytes a program may send over the result channel.
const CHANNEL_BYTES: usize = 4 << 20;
/// Stack of the program's process until it starts; it makes a few system calls there.
const STACK_BYTES: usize = 128 << 10;

/// What stays the same from run to run.
#[derive(Debug, Clone)]
pub(crate) struct Walls {
    pub view: View,
    pub identity: Identity,
    pub landlock: u32,
    pub filter: Vec<libc::sock_filter>,
}

/// Runs `job` and waits for it.
///
/// # Errors
///
/// [`RunError`] if a step of the isolation failed; the program has not run then.
pub(crate) fn run(walls: &Walls, job: &Job<'_>, limits: &Limits) -> Result<Outcome, RunError> {
    let began = Instant::now();
    let deadline = began + Duration::from_secs_f64(limits.wall_seconds);
    let [stdin, stdout, stderr, channel, status, go] = make_pipes().map_err(|source| failed("pipes", source))?;
    let argv = c_strings(job.argv)?;
    let envp = c_strings(job.env)?;
    let files = job.files.iter().map(|(name, content)| Ok((c_string(name)?, *content))).collect::<Result<_, _>>()?;
    let mut plan = Plan {
        view: &walls.view,
        trees: vec![-1; walls.view.binds.len()],
        scratch: c_string(&format!("size={}m,nr_inodes=4096,mode=1777", limits.scratch_mb))?,
        files,
        executable: c_string(job.executable)?,
        argv: pointers(&argv),
        envp: pointers(&envp),
        limits: rlimits(limits),
        filter: &walls.filter,
        landlock: walls.landlock,
        drop_root: walls.identity == Identity::DropFromRoot,
        fds: [
            stdin.0.as_raw_fd(),
            stdout.1.as_raw_fd(),
            stderr.1.as_raw_fd(),
            if job.has_channel { channel.1.as_raw_fd() } else { -1 },
            status.1.as_raw_fd(),
            go.0.as_raw_fd(),
        ],
        stack: vec![0; STACK_BYTES],
    };
    let process = start(&mut plan).map_err(|source| failed("namespaces", source))?;
    drop((stdin.0, stdout.1, stderr.1, channel.1, status.1, go.0));
    walls.identity.map(process.pid).map_err(|source| failed("user map", source))?;
    // Memory that runs out is to cost this program its life and not the caller. Anyone may raise this; where there is no
    // such file there is no such choice.
    let _ = std::fs::write(format!("/proc/{}/oom_score_adj", process.pid), "1000");
    // A program that has already failed no longer reads; the report says why.
    let _ = File::from(go.1).write_all(b"g");
    let mut watch = Watch {
        stdin: Some((File::from(stdin.1), job.stdin)),
        readers: [stdout.0, stderr.0, channel.0, status.0].map(|fd| Some(File::from(fd))),
        read: Default::default(),
        output_bytes: usize::try_from(limits.output_kb << 10).unwrap_or(usize::MAX),
    };
    let stopped = watch.until_end(deadline).map_err(|source| failed("watching", source))?;
    process.kill();
    // Every process of the namespace is gone now, so what is in the pipes is all there will be.
    if stopped.is_none() {
        watch.drain();
    }
    let [stdout, stderr, channel, status] = watch.read;
    let end = match stopped {
        Some(end) => end,
        None => ended(&status)?,
    };
    Ok(Outcome { end, stdout, stderr, channel, wall_seconds: began.elapsed().as_secs_f64() })
}

fn ended(status: &[u8]) -> Result<End, RunError> {
    let Some(&[a, b, c, d, e, f, g, h]) = status.get(..8).and_then(|bytes| <&[u8; 8]>::try_from(bytes).ok()) else {
        return Err(failed("the first process", io::Error::other("it ended without a word")));
    };
    let report = Report { step: u32::from_ne_bytes([a, b, c, d]), value: i32::from_ne_bytes([e, f, g, h]) };
    match report.step {
        0 if libc::WIFEXITED(report.value) => Ok(End::Exited(libc::WEXITSTATUS(report.value))),
        0 => Ok(End::Signalled(libc::WTERMSIG(report.value))),
        step => {
            let step = STEPS.get(step as usize).copied().unwrap_or("an unknown step");
            Err(failed(step, io::Error::from_raw_os_error(report.value)))
        }
    }
}

fn failed(step: &'static str, source: io::Error) -> RunError {
    RunError { step, source }
}

fn c_string(text: &str) -> Result<CString, RunError> {
    CString::new(text).map_err(|error| failed("arguments", error.into()))
}

fn c_strings(texts: &[String]) -> Result<Vec<CString>, RunError> {
    texts.iter().map(|text| c_string(text)).collect()
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

fn rlimits(limits: &Limits) -> Vec<(libc::c_uint, u64, u64)> {
    let cpu = u64::from(limits.cpu_seconds);
    let same = |resource: libc::__rlimit_resource_t, value: u64| (resource as libc::c_uint, value, value);
    vec![
        // At the soft limit a signal that can be caught, a second later one that cannot.
        (libc::RLIMIT_CPU as libc::c_uint, cpu, cpu + 1),
        same(libc::RLIMIT_AS, limits.memory_mb << 20),
        same(libc::RLIMIT_NPROC, u64::from(limits.processes)),
        same(libc::RLIMIT_NOFILE, u64::from(limits.open_files)),
        same(libc::RLIMIT_FSIZE, limits.scratch_mb << 20),
        // Not 0: with 0 the kernel still hands a core to a helper program of the machine, with 1 it does not.
        same(libc::RLIMIT_CORE, 1),
        same(libc::RLIMIT_MEMLOCK, 0),
        same(libc::RLIMIT_MSGQUEUE, 0),
        same(libc::RLIMIT_NICE, 0),
        same(libc::RLIMIT_RTPRIO, 0),
        same(libc::RLIMIT_SIGPENDING, 64),
        same(libc::RLIMIT_STACK, 8 << 20),
    ]
}

/// Six pipes: standard input, output, error, result channel, status, go-ahead; each as read end and write end.
fn make_pipes() -> io::Result<[(OwnedFd, OwnedFd); N_FDS]> {
    let mut made = Vec::with_capacity(N_FDS);
    for _ in 0..N_FDS {
        let mut ends = [-1; 2];
        // SAFETY: the array has room for both ends.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: two descriptors that the kernel has just made and that nobody else knows.
        made.push(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) });
    }
    made.try_into().map_err(|_| io::Error::other("a pipe is missing"))
}

/// The first process of a sandbox; killed and waited for when dropped, and with it every process of the sandbox.
struct Process {
    pid: libc::pid_t,
}

impl Process {
    fn kill(self) {
        drop(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SAFETY: a child of ours that has not been waited for, so the number cannot have passed to another process.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            while libc::waitpid(self.pid, std::ptr::null_mut(), libc::__WALL) < 0
                && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
            {}
        }
    }
}

fn start(plan: &mut Plan<'_>) -> io::Result<Process> {
    let flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP
        | libc::SIGCHLD;
    // SAFETY: without CLONE_VM the new process has a copy of everything, like after fork, and runs `first_process`, which
    // allocates nothing and never returns. Signals stay blocked until it has put away the handlers of this program.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let pid = libc::syscall(libc::SYS_clone, flags as libc::c_ulong, 0_usize, 0_usize, 0_usize, 0_usize);
        if pid == 0 {
            child::first_process(plan);
        }
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        if pid < 0 { Err(error) } else { Ok(Process { pid: pid as libc::pid_t }) }
    }
}

const STDOUT: usize = 0;
const STDERR: usize = 1;
const CHANNEL: usize = 2;
const STATUS: usize = 3;

/// The caller's ends of the pipes, and what came out of them.
struct Watch<'a> {
    stdin: Option<(File, &'a [u8])>,
    readers: [Option<File>; 4],
    read: [Vec<u8>; 4],
    output_bytes: usize,
}

impl Watch<'_> {
    /// Feeds and reads until the first process has reported or is gone (`None`), or has to be stopped.
    fn until_end(&mut self, deadline: Instant) -> io::Result<Option<End>> {
        if let Some((file, _)) = &self.stdin {
            pipes::set_nonblocking(file)?;
        }
        while self.readers[STATUS].is_some() && self.read[STATUS].len() < size_of::<Report>() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Some(End::WallLimit));
            }
            for (idx, events) in self.ready(left)? {
                if idx == self.readers.len() {
                    self.feed(events)?;
                } else {
                    self.take(idx)?;
                }
            }
            if self.read[STDOUT].len() + self.read[STDERR].len() > self.output_bytes
                || self.read[CHANNEL].len() > CHANNEL_BYTES
            {
                return Ok(Some(End::OutputLimit));
            }
        }
        Ok(None)
    }

    /// Which pipes have something to say; the index one past the readers is standard input.
    fn ready(&self, left: Duration) -> io::Result<Vec<(usize, i16)>> {
        let readers = self.readers.iter().map(|reader| (reader.as_ref(), libc::POLLIN));
        let stdin = self.stdin.as_ref().map(|(file, _)| file);
        let files: Vec<_> = readers.chain([(stdin, libc::POLLOUT)]).collect();
        let happened = pipes::wait(&files, left)?;
        Ok(happened.into_iter().enumerate().filter(|(_, events)| *events != 0).collect())
    }

    fn feed(&mut self, events: i16) -> io::Result<()> {
        let Some((file, rest)) = &mut self.stdin else { return Ok(()) };
        // No reader left: the program does not want more.
        let closed = events & (libc::POLLERR | libc::POLLNVAL) != 0;
        let written = if closed || rest.is_empty() { Ok(0) } else { file.write(rest) };
        match written {
            Ok(n_written) => *rest = &rest[n_written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => *rest = &[],
            Err(error) => return Err(error),
        }
        if closed || rest.is_empty() {
            self.stdin = None;
        }
        Ok(())
    }

    fn take(&mut self, idx: usize) -> io::Result<()> {
        let Some(file) = &mut self.readers[idx] else { return Ok(()) };
        let mut buffer = [0; 1 << 16];
        match file.read(&mut buffer) {
            Ok(0) => self.readers[idx] = None,
            Ok(n_read) => self.read[idx].extend_from_slice(&buffer[..n_read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What is left in the pipes, up to the same bounds.
    fn drain(&mut self) {
        for idx in 0..self.readers.len() {
            let most = if idx == CHANNEL { CHANNEL_BYTES } else { self.output_bytes };
            while self.readers[idx].is_some() && self.read[idx].len() <= most {
                // A pipe that cannot be read any more has nothing more to say.
                if self.take(idx).is_err() {
                    break;
                }
            }
        }
    }
}
