//! The system calls a sandboxed program may make, as a filter that the kernel runs before each of them.

use libc::sock_filter;

/// What a refused call returns: the program sees an ordinary error and goes on, so that a library which merely tries
/// something still works.
const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
/// `clone3` hides its flags behind a pointer, which no filter can follow; with this answer libc uses `clone` instead.
const NOT_THERE: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xc000_00b7;

/// Offsets in `struct seccomp_data`: number, architecture, low halves of the arguments (both targets are little-endian).
const NR: u32 = 0;
const ARCH: u32 = 4;
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

/// Every bit of `clone` that makes a namespace.
const NAMESPACE_FLAGS: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

/// Calls allowed with any argument. What is not here is refused: mount, ptrace, bpf, keyctl, unshare, setns, socket,
/// memfd_create (memory that no limit counts), io_uring, perf_event_open, userfaultfd and whatever future kernels bring.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_brk,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_mincore,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_sendfile,
    libc::SYS_copy_file_range,
    libc::SYS_openat,
    libc::SYS_close_range,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_utimensat,
    libc::SYS_umask,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_pselect6,
    libc::SYS_ppoll,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_signalfd4,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigsuspend,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_execve,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_futex,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getpgid,
    libc::SYS_setpgid,
    libc::SYS_getsid,
    libc::SYS_setsid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_getrusage,
    libc::SYS_getpriority,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_getcpu,
    libc::SYS_times,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_gettimeofday,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getitimer,
    libc::SYS_setitimer,
    libc::SYS_timer_create,
    libc::SYS_timer_settime,
    libc::SYS_timer_gettime,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_delete,
    libc::SYS_getrandom,
    // Between the two ends of a socket pair; no other socket can be made.
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
];

/// The same calls under the names that older programs use.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[libc::c_long] = &[
    libc::SYS_open,
    libc::SYS_creat,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_chmod,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_getdents,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_eventfd,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_select,
    libc::SYS_poll,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_setrlimit,
    libc::SYS_alarm,
    libc::SYS_pause,
    libc::SYS_time,
    libc::SYS_arch_prctl,
];
#[cfg(target_arch = "aarch64")]
const ALLOWED_HERE: &[libc::c_long] = &[];

/// Calls allowed for single values of one argument: number, argument, values.
const ALLOWED_FOR: &[(libc::c_long, u32, &[u32])] = &[
    (libc::SYS_prctl, 0, &[libc::PR_SET_NAME as u32, libc::PR_GET_NAME as u32, libc::PR_GET_DUMPABLE as u32]),
    (libc::SYS_socketpair, 0, &[libc::AF_UNIX as u32]),
    // Its own limits. Those of the first process, set low, would end that one before it has told how the program ended.
    (libc::SYS_prlimit64, 0, &[0]),
    // Terminal size and settings, non-blocking, close-on-exec, bytes waiting. Never TIOCSTI, which types into a terminal.
    (
        libc::SYS_ioctl,
        1,
        &[
            libc::TCGETS as u32,
            libc::TIOCGWINSZ as u32,
            libc::FIONBIO as u32,
            libc::FIOCLEX as u32,
            libc::FIONCLEX as u32,
            libc::FIONREAD as u32,
        ],
    ),
];

/// The filter, ready for `SECCOMP_SET_MODE_FILTER`.
pub(crate) fn filter() -> Vec<sock_filter> {
    let mut program = vec![
        load(ARCH),
        // A call of another architecture has other numbers; no honest program mixes them.
        jump(libc::BPF_JEQ, AUDIT_ARCH, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(NR),
    ];
    if cfg!(target_arch = "x86_64") {
        // x32 calls: numbers from 2^30 on, the same architecture.
        program.extend([jump(libc::BPF_JGE, 0x4000_0000, 0, 1), answer(libc::SECCOMP_RET_KILL_PROCESS)]);
    }
    for &number in ALLOWED.iter().chain(ALLOWED_HERE) {
        program.extend([jump(libc::BPF_JEQ, number as u32, 0, 1), answer(libc::SECCOMP_RET_ALLOW)]);
    }
    for &(number, index, values) in ALLOWED_FOR {
        let n_skipped = u8::try_from(2 + 2 * values.len()).expect("a handful of values");
        program.extend([jump(libc::BPF_JEQ, number as u32, 0, n_skipped), load(argument(index))]);
        for &value in values {
            program.extend([jump(libc::BPF_JEQ, value, 0, 1), answer(libc::SECCOMP_RET_ALLOW)]);
        }
        program.push(answer(REFUSED));
    }
    program.extend([
        jump(libc::BPF_JEQ, libc::SYS_clone as u32, 0, 4),
        load(argument(0)),
        jump(libc::BPF_JSET, NAMESPACE_FLAGS, 0, 1),
        answer(REFUSED),
        answer(libc::SECCOMP_RET_ALLOW),
        jump(libc::BPF_JEQ, libc::SYS_clone3 as u32, 0, 1),
        answer(NOT_THERE),
        answer(REFUSED),
    ]);
    program
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn jump(test: u32, k: u32, if_true: u8, if_false: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt: if_true, jf: if_false, k }
}

fn answer(k: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer to call `number` with `arguments`, by the rules of classic BPF.
    fn run(arch: u32, number: u32, arguments: [u32; 2]) -> u32 {
        let program = filter();
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match u32::from(step.code) & 7 {
                libc::BPF_LD => {
                    accumulator = match step.k {
                        NR => number,
                        ARCH => arch,
                        offset => arguments[(offset as usize - 16) / 8],
                    }
                }
                libc::BPF_RET => return step.k,
                _ => {
                    let taken = match u32::from(step.code) & 0xf0 {
                        libc::BPF_JEQ => accumulator == step.k,
                        libc::BPF_JGE => accumulator >= step.k,
                        _ => accumulator & step.k != 0,
                    };
                    at += usize::from(if taken { step.jt } else { step.jf });
                }
            }
        }
    }

    #[test]
    fn calls_are_answered_as_listed() {
        let check = |number: libc::c_long, arguments: [u32; 2], expected: u32| {
            assert_eq!(run(AUDIT_ARCH, number as u32, arguments), expected, "call {number} with {arguments:?}");
        };
        for &number in ALLOWED.iter().chain(ALLOWED_HERE) {
            check(number, [0, 0], libc::SECCOMP_RET_ALLOW);
        }
        for number in [
            libc::SYS_mount,
            libc::SYS_ptrace,
            libc::SYS_bpf,
            libc::SYS_keyctl,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_socket,
            libc::SYS_memfd_create,
            libc::SYS_io_uring_setup,
            libc::SYS_process_vm_writev,
            libc::SYS_chroot,
            libc::SYS_kexec_load,
            libc::SYS_setuid,
            libc::SYS_shmget,
            100_000,
        ] {
            check(number, [0, 0], REFUSED);
        }
        check(libc::SYS_clone, [libc::SIGCHLD as u32, 0], libc::SECCOMP_RET_ALLOW);
        check(libc::SYS_clone, [libc::CLONE_NEWUSER as u32, 0], REFUSED);
        check(libc::SYS_clone3, [0, 0], NOT_THERE);
        check(libc::SYS_ioctl, [0, libc::FIONREAD as u32], libc::SECCOMP_RET_ALLOW);
        check(libc::SYS_ioctl, [0, libc::TIOCSTI as u32], REFUSED);
        check(libc::SYS_prctl, [libc::PR_SET_NAME as u32, 0], libc::SECCOMP_RET_ALLOW);
        check(libc::SYS_prlimit64, [0, 7], libc::SECCOMP_RET_ALLOW);
        check(libc::SYS_prlimit64, [1, 7], REFUSED);
        check(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as u32, 0], REFUSED);
        check(libc::SYS_socketpair, [libc::AF_INET as u32, 0], REFUSED);
        assert_eq!(run(3, libc::SYS_read as u32, [0, 0]), libc::SECCOMP_RET_KILL_PROCESS, "another architecture");
    }

    #[test]
    fn the_kernel_takes_programs_of_this_length() {
        assert!(filter().len() <= 4096);
    }
}
