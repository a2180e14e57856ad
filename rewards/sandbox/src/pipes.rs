//! Waiting for several pipes at once.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

/// Waits until one of `files` is ready for its events (`POLLIN`, `POLLOUT`), is broken, or `left` has passed. What happened
/// to each, in their order: 0 for nothing, and for a file that is not there.
pub(crate) fn wait(files: &[(Option<&File>, i16)], left: Duration) -> io::Result<Vec<i16>> {
    // A negative descriptor is left out by the kernel.
    let poll = |&(file, events): &(Option<&File>, i16)| libc::pollfd {
        fd: file.map_or(-1, std::os::fd::AsRawFd::as_raw_fd),
        events,
        revents: 0,
    };
    let mut polls: Vec<libc::pollfd> = files.iter().map(poll).collect();
    // Rounded up, or the last millisecond would be spent spinning.
    let timeout = i32::try_from(left.as_millis().saturating_add(1)).unwrap_or(i32::MAX);
    // SAFETY: the array and its length belong together.
    if unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, timeout) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        return Ok(vec![0; files.len()]);
    }
    Ok(polls.iter().map(|poll| poll.revents).collect())
}

/// Makes reads and writes of `file` return at once.
pub(crate) fn set_nonblocking(file: &File) -> io::Result<()> {
    // SAFETY: flags of a descriptor that is open.
    let done = unsafe {
        let flags = libc::fcntl(file.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
