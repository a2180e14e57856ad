//! Has a sandboxed program started and watches it: its output, its clock, its end.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use super::child::{NAMESPACES, READY, Report, STEPS};
use super::helper::Helper;
use super::order::{Order, Walls};
use super::{make_pipe, wire};
use crate::sandbox::{End, Job, Outcome, RunError};
use crate::{Limits, pipes};

/// Most bytes a program may send over the result channel.
const CHANNEL_BYTES: usize = 4 << 20;

/// The step at which the helper is not there.
pub(crate) const HELPER: &str = "the helper";

/// Runs `job` and waits for it.
///
/// # Errors
///
/// [`RunError`] if a step of the isolation failed; the program has not run then.
pub(crate) fn run(helper: &Helper, walls: &Walls, job: &Job<'_>, limits: &Limits) -> Result<Outcome, RunError> {
    let began = Instant::now();
    let deadline = began + Duration::from_secs_f64(limits.wall_seconds);
    let order = Order {
        walls: walls.clone(),
        limits: limits.clone(),
        executable: job.executable.to_owned(),
        argv: job.argv.to_vec(),
        env: job.env.to_vec(),
        files: job.files.iter().map(|(name, content)| ((*name).to_owned(), content.len())).collect(),
        has_channel: job.has_channel,
    };
    let contents: Vec<&[u8]> = job.files.iter().map(|(_, content)| *content).collect();
    let (leash, mut watch) = start(helper, &order, &contents, job.stdin, limits).map_err(|e| failed(HELPER, e))?;
    let stopped = match leash.started(deadline)? {
        true => watch.until_end(deadline).map_err(|source| failed("watching", source))?,
        false => Some(End::WallLimit),
    };
    leash.end().map_err(|source| failed(HELPER, source))?;
    // Every process of the namespace is gone now, so what is in the pipes is all there will be.
    if stopped.is_none() {
        watch.drain();
    }
    let [stdout, stderr, channel, status] = watch.read;
    let end = match stopped {
        Some(end) => end,
        None => how_it_ended(&status)?,
    };
    Ok(Outcome { end, stdout, stderr, channel, wall_seconds: began.elapsed().as_secs_f64() })
}

/// Hands `order` to the helper.
fn start<'a>(
    helper: &Helper,
    order: &Order,
    contents: &[&[u8]],
    stdin: &'a [u8],
    limits: &Limits,
) -> io::Result<(Leash, Watch<'a>)> {
    let (leash, far_leash) = wire::pair()?;
    let (stdin_reader, stdin_writer) = make_pipe()?;
    let [stdout, stderr, channel, status] = [make_pipe()?, make_pipe()?, make_pipe()?, make_pipe()?];
    let order = order.write(contents)?;
    let fds = [&order, &far_leash, &stdin_reader, &stdout.1, &stderr.1, &channel.1, &status.1];
    helper.send(&fds.map(std::os::fd::AsRawFd::as_raw_fd))?;
    let watch = Watch {
        stdin: Some((File::from(stdin_writer), stdin)),
        readers: [stdout.0, stderr.0, channel.0, status.0].map(|fd| Some(File::from(fd))),
        read: Default::default(),
        output_bytes: usize::try_from(limits.output_kb << 10).unwrap_or(usize::MAX),
    };
    Ok((Leash(File::from(leash)), watch))
}

/// Holds a sandbox: when it is let go, by whatever way, the helper kills every process of it.
struct Leash(File);

impl Leash {
    /// Waits until the helper says that the first process is there; `false` if the time is up before.
    fn started(&self, deadline: Instant) -> Result<bool, RunError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let happened = pipes::wait(&[(Some(&self.0), libc::POLLIN)], left).map_err(|e| failed(HELPER, e))?;
            if happened[0] != 0 {
                break;
            }
        }
        let mut answer = [0; 8];
        let (n_bytes, _) = wire::receive(self.0.as_fd(), &mut answer).map_err(|e| failed(HELPER, e))?;
        if n_bytes == 0 {
            return Err(failed(HELPER, io::ErrorKind::BrokenPipe.into()));
        }
        match ended(&answer[..n_bytes]) {
            Ok(_) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Has every process killed that is left, and waits until all are gone.
    fn end(self) -> io::Result<()> {
        // SAFETY: a descriptor that is open.
        if unsafe { libc::shutdown(self.0.as_raw_fd(), libc::SHUT_WR) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // The helper closes its end when it has seen the first process end, and with that one all have.
        while wire::receive(self.0.as_fd(), &mut [0; 8])?.0 > 0 {}
        Ok(())
    }
}

/// The reports of a run, after that of its readiness if it came so far.
fn last_report(status: &[u8]) -> (bool, &[u8]) {
    let is_ready = status.get(..4) == Some(&READY.to_ne_bytes());
    (is_ready, if is_ready { &status[size_of::<Report>().min(status.len())..] } else { status })
}

/// How a run ended, by its reports. A first process that is gone without a word was killed: before the program started by
/// the machine, afterwards by what the program has done to it, so that it is the program's failure.
fn how_it_ended(status: &[u8]) -> Result<End, RunError> {
    match last_report(status) {
        (true, []) => Ok(End::Signalled(libc::SIGKILL)),
        (_, report) => ended(report),
    }
}

/// What the eight bytes of a report say.
fn ended(status: &[u8]) -> Result<End, RunError> {
    let Some(&[a, b, c, d, e, f, g, h]) = status.get(..8).and_then(|bytes| <&[u8; 8]>::try_from(bytes).ok()) else {
        return Err(failed("the first process", io::Error::other("it ended without a word")));
    };
    let report = Report { step: u32::from_ne_bytes([a, b, c, d]), value: i32::from_ne_bytes([e, f, g, h]) };
    match report.step {
        0 if libc::WIFEXITED(report.value) => Ok(End::Exited(libc::WEXITSTATUS(report.value))),
        0 => Ok(End::Signalled(libc::WTERMSIG(report.value))),
        step => {
            let step = STEPS.get(step as usize).copied().unwrap_or(STEPS[NAMESPACES as usize]);
            Err(failed(step, io::Error::from_raw_os_error(report.value)))
        }
    }
}

fn failed(step: &'static str, source: io::Error) -> RunError {
    RunError { step, source }
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
        while self.readers[STATUS].is_some() && last_report(&self.read[STATUS]).1.len() < size_of::<Report>() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_process_without_a_word_is_the_programs_doing_once_it_runs() {
        let bytes = |reports: &[(u32, i32)]| -> Vec<u8> {
            reports.iter().flat_map(|(step, value)| [step.to_ne_bytes(), value.to_ne_bytes()].concat()).collect()
        };
        let check = |reports: &[(u32, i32)], expected: Result<End, &str>| {
            let found = how_it_ended(&bytes(reports));
            assert_eq!(
                found.as_ref().map_err(|error| error.step),
                expected.as_ref().map_err(|step| *step),
                "{reports:?}"
            );
        };
        check(&[(READY, 0), (0, 3 << 8)], Ok(End::Exited(3)));
        check(&[(READY, 0), (0, libc::SIGXCPU)], Ok(End::Signalled(libc::SIGXCPU)));
        check(&[(READY, 0)], Ok(End::Signalled(libc::SIGKILL)));
        check(&[], Err("the first process"));
        check(&[(9, libc::EPERM)], Err("pivot_root"));
        check(&[(READY, 0), (16, libc::ENOENT)], Err("starting the interpreter"));
    }
}
