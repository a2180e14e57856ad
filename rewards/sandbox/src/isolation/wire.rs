//! Sends descriptors from one process to another, over a socket between them.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

/// Most descriptors in one message.
const MAX_FDS: usize = 8;
/// Room for the header and that many descriptors, aligned as the kernel wants it.
type Control = [u64; 8];

/// Two ends of a socket that keeps messages apart.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the array has room for both ends.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: two descriptors that the kernel has just made and that nobody else knows.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Sends `bytes` (at least one) and `fds` as one message.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[RawFd]) -> io::Result<()> {
    assert!(fds.len() <= MAX_FDS, "{} descriptors in one message", fds.len());
    let mut control: Control = [0; 8];
    let mut slice = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: zeroed is an empty header; everything it points to lives through the call, and `control` has room for
    // `MAX_FDS` descriptors with their header.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut slice;
        message.msg_iovlen = 1;
        if !fds.is_empty() {
            let size = size_of_val(fds) as u32;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(size) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size) as _;
            std::ptr::copy_nonoverlapping(fds.as_ptr().cast(), libc::CMSG_DATA(header), size as usize);
        }
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives one message of up to `buffer.len()` bytes: how many there were (0: the other end is closed), and its
/// descriptors.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control: Control = [0; 8];
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: as in `send`; the kernel says how much of `control` it has filled, and the descriptors in it are ours.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut slice;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of::<Control>() as _;
        let received = loop {
            let received = libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC);
            let error = io::Error::last_os_error();
            match usize::try_from(received) {
                Ok(received) => break received,
                Err(_) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(error),
            }
        };
        let mut fds = Vec::new();
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if !header.is_null() && (*header).cmsg_type == libc::SCM_RIGHTS {
            let n_bytes = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
            let data = libc::CMSG_DATA(header).cast::<RawFd>();
            for idx in 0..n_bytes / size_of::<RawFd>() {
                fds.push(OwnedFd::from_raw_fd(data.add(idx).read_unaligned()));
            }
        }
        Ok((received, fds))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn descriptors_arrive_in_order() {
        let (here, there) = pair().unwrap();
        let pipes: Vec<_> = (0..MAX_FDS).map(|_| std::io::pipe().unwrap()).collect();
        let fds: Vec<RawFd> = pipes.iter().map(|(_, writer)| writer.as_raw_fd()).collect();
        send(here.as_fd(), b"ab", &fds).unwrap();
        send(here.as_fd(), b"c", &[]).unwrap();
        let mut buffer = [0; 8];
        let (n_bytes, received) = receive(there.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..n_bytes], received.len()), (&b"ab"[..], MAX_FDS));
        for (idx, (fd, (mut reader, _))) in received.into_iter().zip(pipes).enumerate() {
            File::from(fd).write_all(&[idx as u8]).unwrap();
            let mut byte = [0; 1];
            reader.read_exact(&mut byte).unwrap();
            assert_eq!(byte, [idx as u8]);
        }
        assert_eq!(receive(there.as_fd(), &mut buffer).unwrap().0, 1);
        drop(here);
        assert_eq!(receive(there.as_fd(), &mut buffer).unwrap().0, 0);
    }
}
