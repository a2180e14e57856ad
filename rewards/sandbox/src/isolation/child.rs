//! What happens in the new process between `clone` and `exec`: the root is built, privileges go, the program starts.
//!
//! The process is a copy of its parent that skipped what libc does around `fork`: nothing here allocates, locks, unwinds or
//! returns. Everything needed is made ready in a [`Plan`] before.

use std::ffi::CString;

use libc::{c_char, c_int, c_long, c_uint, c_void};

use super::identity::INNER_ID;
use super::landlock;
use super::view::View;

/// Steps by number, as [`Report::step`] counts them; number 0 is the end of the program itself.
pub(crate) const STEPS: [&str; 19] = [
    "end",
    "file descriptors",
    "waiting for the user map",
    "private mounts",
    "reading the interpreter's files",
    "a memory file system for the root",
    "folders of the root",
    "mounting into the root",
    "the scratch folder",
    "pivot_root",
    "host name",
    "files of the program",
    "dropping privileges",
    "landlock",
    "the first process",
    "limits and system call filter",
    "starting the interpreter",
    "namespaces",
    "user map",
];
/// The steps that the helper takes from outside.
pub(crate) const NAMESPACES: u32 = 17;
pub(crate) const USER_MAP: u32 = 18;
/// In the place of a step: everything is ready, and what happens from now on is the program's doing.
pub(crate) const READY: u32 = u32::MAX;

/// What the first process tells the watcher: where it failed, or how the program ended.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    /// Index into [`STEPS`], or [`READY`].
    pub step: u32,
    /// `errno` of a step, or the wait status of the program at step 0.
    pub value: i32,
}

/// Descriptors by the number they get in the sandbox: the four of the program, then those of the first process.
pub(crate) const N_FDS: usize = 6;
const CHANNEL: c_int = 3;
const STATUS: c_int = 4;
const GO: c_int = 5;

/// Everything the new process needs, ready before it exists.
pub(crate) struct Plan<'a> {
    /// The new root.
    pub view: &'a View,
    /// One slot for each of its binds.
    pub trees: Vec<c_int>,
    /// Options of the scratch folder's file system.
    pub scratch: CString,
    /// Files to write into it: name and content.
    pub files: Vec<(CString, &'a [u8])>,
    /// The program.
    pub executable: CString,
    /// Its arguments, ended by a null pointer.
    pub argv: Vec<*const c_char>,
    /// Its environment, likewise.
    pub envp: Vec<*const c_char>,
    /// Resource, and the value for its soft and its hard limit.
    pub limits: Vec<(c_uint, u64, u64)>,
    /// The system call filter.
    pub filter: &'a [libc::sock_filter],
    /// Version of Landlock; 0 for none.
    pub landlock: u32,
    /// Whether the caller is root, so that user and groups have to change.
    pub drop_root: bool,
    /// Standard input, output, error, result channel, status, go-ahead; -1 for no channel.
    pub fds: [c_int; N_FDS],
    /// Stack of the program's process until it starts.
    pub stack: Vec<u8>,
}

/// Ends the process if it is dropped: by unwinding, which must not reach the caller's frames in a copy of its process.
struct NoReturn;

impl Drop for NoReturn {
    fn drop(&mut self) {
        // SAFETY: ends the process and touches nothing.
        unsafe { libc::_exit(127) };
    }
}

/// Runs as the first process of the new namespaces; never returns.
///
/// # Safety
///
/// Only in a process just made by `clone` without `CLONE_VM`; the pointers in `plan` must be valid.
pub(crate) unsafe fn first_process(plan: &mut Plan<'_>) -> ! {
    let _no_return = NoReturn;
    // SAFETY: the caller's promise; each function below is safe between clone and exec.
    unsafe {
        reset_signals();
        arrange_fds(plan);
        must(2, c_long::from(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)));
        let mut byte = 0_u8;
        if libc::read(GO, (&raw mut byte).cast(), 1) != 1 {
            // The caller has died or given up.
            libc::_exit(127);
        }
        build_root(plan);
        must(10, c_long::from(libc::sethostname(c"sandbox".as_ptr(), 7)));
        write_files(plan);
        drop_privileges(plan.drop_root);
        if plan.landlock > 0 {
            must(13, landlock::restrict(plan.landlock));
        }
        start_and_wait(plan)
    }
}

/// Ends the process with a report of `step` if `result` is a failure.
unsafe fn must(step: u32, result: c_long) {
    if result < 0 {
        // SAFETY: `errno` of this thread; write and exit are always allowed.
        unsafe {
            report(Report { step, value: *libc::__errno_location() });
            libc::_exit(127);
        }
    }
}

/// Eight bytes into a pipe: written as a whole.
unsafe fn report(report: Report) {
    // SAFETY: `report` lives through the call.
    unsafe { libc::write(STATUS, (&raw const report).cast(), size_of::<Report>()) };
}

/// Handlers of the caller must not run in this copy, and an ignored signal would be inherited by the program.
unsafe fn reset_signals() {
    // SAFETY: zeroed is SIG_DFL with an empty mask; numbers that cannot be changed are refused, which is harmless.
    unsafe {
        let default: libc::sigaction = std::mem::zeroed();
        for signal in 1..=64 {
            libc::sigaction(signal, &raw const default, std::ptr::null_mut());
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Moves the wanted descriptors to 0..6 and closes every other one, whoever opened it.
unsafe fn arrange_fds(plan: &mut Plan<'_>) {
    // SAFETY: system calls on numbers; results are checked.
    unsafe {
        // First out of the way of the numbers they are to get.
        for fd in plan.fds.iter_mut().filter(|fd| **fd >= 0) {
            *fd = libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, 32);
            if *fd < 0 {
                // The status pipe is not in its place, so nothing can be reported; the caller sees it closed.
                libc::_exit(127);
            }
        }
        for (place, fd) in (0_i32..).zip(plan.fds) {
            if fd < 0 {
                libc::close(place);
            } else if libc::dup2(fd, place) < 0 {
                libc::_exit(127);
            }
        }
        must(1, libc::syscall(libc::SYS_close_range, 6_u32, c_uint::MAX, 0_u32));
        must(1, c_long::from(libc::fcntl(STATUS, libc::F_SETFD, libc::FD_CLOEXEC)));
        must(1, c_long::from(libc::fcntl(GO, libc::F_SETFD, libc::FD_CLOEXEC)));
    }
}

unsafe fn build_root(plan: &mut Plan<'_>) {
    let view = plan.view;
    let here = c".".as_ptr();
    // SAFETY: C strings made before; results are checked.
    unsafe {
        let private = libc::MS_REC | libc::MS_PRIVATE;
        must(
            3,
            c_long::from(libc::mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), private, std::ptr::null())),
        );
        // Before the base is covered: they may lie below it.
        for (tree, bind) in plan.trees.iter_mut().zip(&view.binds) {
            // OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC and AT_RECURSIVE.
            let flags = 1_u32 | libc::O_CLOEXEC as u32 | libc::AT_RECURSIVE as u32;
            let fd = libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, bind.source.as_ptr(), flags);
            must(4, fd);
            *tree = fd as c_int;
        }
        let flags = libc::MS_NOSUID | libc::MS_NODEV;
        must(5, mount_memory(view.base.as_ptr(), flags, c"size=1m,nr_inodes=4096,mode=755".as_ptr()));
        must(5, c_long::from(libc::chdir(view.base.as_ptr())));
        for folder in &view.folders {
            must(6, c_long::from(libc::mkdir(folder.as_ptr(), 0o755)));
        }
        for (content, place) in &view.links {
            must(6, c_long::from(libc::symlink(content.as_ptr(), place.as_ptr())));
        }
        for (tree, bind) in plan.trees.iter().zip(&view.binds) {
            if !bind.is_folder {
                must(6, c_long::from(libc::mknod(bind.target.as_ptr(), libc::S_IFREG | 0o644, 0)));
            }
            must(7, attach(*tree, bind.target.as_ptr(), bind.is_device));
        }
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        must(8, mount_memory(c"scratch".as_ptr(), flags, plan.scratch.as_ptr()));
        let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV;
        must(9, c_long::from(libc::mount(std::ptr::null(), here, std::ptr::null(), flags, std::ptr::null())));
        // Old root onto new root, then the old one off again: it is nowhere in this namespace afterwards.
        must(9, libc::syscall(libc::SYS_pivot_root, here, here));
        must(9, c_long::from(libc::umount2(here, libc::MNT_DETACH)));
        must(9, c_long::from(libc::chdir(c"/scratch".as_ptr())));
    }
}

unsafe fn mount_memory(place: *const c_char, flags: libc::c_ulong, options: *const c_char) -> c_long {
    let kind = c"tmpfs".as_ptr();
    // SAFETY: C strings that live through the call.
    c_long::from(unsafe { libc::mount(kind, place, kind, flags, options.cast()) })
}

/// Makes the mounts in `tree` read-only, with all below them, and attaches them at `target`.
unsafe fn attach(tree: c_int, target: *const c_char, is_device: bool) -> c_long {
    /// `struct mount_attr`.
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns_fd: u64,
    }
    // RDONLY, NOSUID, and NODEV or, for a device, NOEXEC.
    let set = 1 | 2 | if is_device { 8 } else { 4 };
    let attr = MountAttr { set, clear: 0, propagation: 0, userns_fd: 0 };
    let (here, flags) = (c"".as_ptr(), (libc::AT_EMPTY_PATH | libc::AT_RECURSIVE) as u32);
    // SAFETY: `attr` lives through the call and its size is given; C strings that live as long; a tree opened before.
    unsafe {
        let size = size_of::<MountAttr>();
        let done = libc::syscall(libc::SYS_mount_setattr, tree, here, flags, &raw const attr, size);
        if done < 0 {
            return done;
        }
        // MOVE_MOUNT_F_EMPTY_PATH.
        let done = libc::syscall(libc::SYS_move_mount, tree, here, libc::AT_FDCWD, target, 4_u32);
        libc::close(tree);
        done
    }
}

unsafe fn write_files(plan: &Plan<'_>) {
    for (name, content) in &plan.files {
        // SAFETY: C strings and slices that live through the calls; results are checked.
        unsafe {
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
            let fd = libc::open(name.as_ptr(), flags, 0o644);
            must(11, c_long::from(fd));
            let mut rest = *content;
            while !rest.is_empty() {
                let n_written = libc::write(fd, rest.as_ptr().cast(), rest.len());
                must(11, n_written as c_long);
                let Some(left) = rest.get(n_written as usize..) else { libc::_exit(127) };
                rest = left;
            }
            libc::close(fd);
        }
    }
}

unsafe fn drop_privileges(drop_root: bool) {
    // SAFETY: system calls on numbers and on structures that live through them; results are checked.
    unsafe {
        // Until the kernel knows no further capability.
        let mut capability: libc::c_ulong = 0;
        while capability < 64 && libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) == 0 {
            capability += 1;
        }
        // NOROOT and NO_CAP_AMBIENT_RAISE, each with its lock: user 0 means nothing any more, and no capability outlives exec.
        must(12, c_long::from(libc::prctl(libc::PR_SET_SECUREBITS, 1 | 2 | 64 | 128, 0, 0, 0)));
        if drop_root {
            // By number: the wrappers of libc would ask the threads of the original to do the same.
            must(12, libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()));
            must(12, libc::syscall(libc::SYS_setresgid, INNER_ID, INNER_ID, INNER_ID));
            must(12, libc::syscall(libc::SYS_setresuid, INNER_ID, INNER_ID, INNER_ID));
        }
        // _LINUX_CAPABILITY_VERSION_3, this process; then effective, permitted, inheritable, twice.
        let header = [0x2008_0522_u32, 0];
        let none = [0_u32; 6];
        must(12, libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()));
        must(12, c_long::from(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)));
        // A change of user clears it.
        must(12, c_long::from(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)));
    }
}

/// Starts the program as the second process and reports how it ends. With the first process, every other one ends too.
unsafe fn start_and_wait(plan: &mut Plan<'_>) -> ! {
    // SAFETY: the stack is this process's own copy and nothing else uses it; with CLONE_VFORK this process sleeps until
    // the other one has started the program or ended, so that they may share their memory.
    unsafe {
        let size = plan.stack.len() & !15;
        let top = plan.stack.as_mut_ptr().add(size);
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let program = libc::clone(second_process, top.cast(), flags, (&raw mut *plan).cast());
        must(14, c_long::from(program));
        // Whoever waits for the end of the output must not wait for this process.
        must(14, libc::syscall(libc::SYS_close_range, 0_u32, CHANNEL as c_uint, 0_u32));
        loop {
            let mut status = 0;
            let ended = libc::wait4(-1, &raw mut status, 0, std::ptr::null_mut());
            if ended == program {
                report(Report { step: 0, value: status });
                libc::_exit(0);
            }
            if ended < 0 && *libc::__errno_location() != libc::EINTR {
                must(14, -1);
            }
        }
    }
}

extern "C" fn second_process(plan: *mut c_void) -> c_int {
    // SAFETY: `start_and_wait` passes its plan, which lives while this process shares its memory.
    unsafe {
        let plan: &Plan<'_> = &*plan.cast();
        must(15, c_long::from(libc::setsid()));
        for &(resource, soft, hard) in &plan.limits {
            let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
            must(15, libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, std::ptr::null::<u8>()));
        }
        let filter = libc::sock_fprog { len: plan.filter.len() as u16, filter: plan.filter.as_ptr().cast_mut() };
        // SECCOMP_SET_MODE_FILTER.
        must(15, libc::syscall(libc::SYS_seccomp, 1_u32, 0_u32, &raw const filter));
        report(Report { step: READY, value: 0 });
        must(16, c_long::from(libc::execve(plan.executable.as_ptr(), plan.argv.as_ptr(), plan.envp.as_ptr())));
        libc::_exit(127)
    }
}
