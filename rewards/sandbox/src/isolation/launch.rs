//! Starts the first process of a sandbox; runs in the helper.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use super::child::{self, Plan};
use super::identity::Identity;
use super::order::Order;
use crate::Limits;

/// Stack of the program's process until it starts; it makes a few system calls there.
const STACK_BYTES: usize = 128 << 10;

/// A step that failed, as an index into [`child::STEPS`], and what the kernel said.
pub(crate) type Failed = (u32, io::Error);

/// Starts what `order` says with the descriptors `fds` (standard input, output, error, channel, status); returns the first
/// process, which waits for nothing more.
pub(crate) fn launch(
    order: &Order,
    contents: &[Vec<u8>],
    fds: &[RawFd; 5],
    filter: &[libc::sock_filter],
) -> Result<libc::pid_t, Failed> {
    let argv = c_strings(&order.argv).map_err(|error| (11, error))?;
    let envp = c_strings(&order.env).map_err(|error| (11, error))?;
    let names: Vec<String> = order.files.iter().map(|(name, _)| name.clone()).collect();
    let files = c_strings(&names).map_err(|error| (11, error))?;
    let [executable, scratch] =
        [order.executable.clone(), format!("size={}m,nr_inodes=4096,mode=1777", order.limits.scratch_mb)]
            .map(|text| CString::new(text).map_err(|error| (11, io::Error::from(error))));
    let (wait, go) = super::make_pipe().map_err(|error| (1, error))?;
    let [stdin, stdout, stderr, channel, status] = *fds;
    let mut plan = Plan {
        view: &order.walls.view,
        trees: vec![-1; order.walls.view.binds.len()],
        scratch: scratch?,
        files: files.into_iter().zip(contents.iter().map(Vec::as_slice)).collect(),
        executable: executable?,
        argv: pointers(&argv),
        envp: pointers(&envp),
        limits: rlimits(&order.limits),
        filter,
        landlock: order.walls.landlock,
        drop_root: order.walls.identity == Identity::DropFromRoot,
        fds: [stdin, stdout, stderr, if order.has_channel { channel } else { -1 }, status, wait.as_raw_fd()],
        stack: vec![0; STACK_BYTES],
    };
    let pid = start(&mut plan).map_err(|error| (child::NAMESPACES, error))?;
    if let Err(error) = let_go(order, pid, go) {
        // SAFETY: a child of this process that has not been waited for.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL);
        }
        return Err((child::USER_MAP, error));
    }
    Ok(pid)
}

/// Does what has to be done from outside, then lets the first process go on.
fn let_go(order: &Order, pid: libc::pid_t, go: OwnedFd) -> io::Result<()> {
    order.walls.identity.map(pid)?;
    // Memory that runs out is to cost this program its life and not the caller. Anyone may raise this; where there is no
    // such file there is no such choice.
    let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), "1000");
    // A process that has already failed no longer reads; its report says why.
    let _ = File::from(go).write_all(b"g");
    Ok(())
}

fn c_strings(texts: &[String]) -> io::Result<Vec<CString>> {
    texts.iter().map(|text| CString::new(text.as_str()).map_err(io::Error::from)).collect()
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

fn start(plan: &mut Plan<'_>) -> io::Result<libc::pid_t> {
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
        if pid < 0 { Err(error) } else { Ok(pid as libc::pid_t) }
    }
}
