//! The escape table: what a hostile program tries, as whoever runs the tests and, if that is root, as an ordinary user too.
//!
//! Each attempt says `ESCAPED` if it succeeds. Attempts marked as a control are also run outside of the sandbox, where they
//! must succeed: an attempt that cannot work anywhere proves nothing.

mod support;

use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::{End, Limits, Outcome, Sandbox};

const LIMITS: Limits = Limits {
    cpu_seconds: 1,
    wall_seconds: 1.6,
    memory_mb: 256,
    processes: 8,
    open_files: 64,
    scratch_mb: 8,
    output_kb: 64,
};

/// Marks the command line of every process of this test program's sandboxes, so that survivors can be found.
fn mark() -> String {
    format!("escape_table_{}", std::process::id())
}

/// What a hostile program could want to reach: all of it is really there.
struct Outside {
    folder: tempfile::TempDir,
    tcp: TcpListener,
    udp: UdpSocket,
    unix: UnixListener,
    abstract_name: String,
    _abstract_socket: UnixListener,
}

impl Outside {
    fn new() -> Self {
        use std::os::linux::net::SocketAddrExt as _;
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        std::fs::write(folder.path().join("secret"), "the secret").unwrap();
        let abstract_name = mark();
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let outside = Self {
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            udp: UdpSocket::bind("127.0.0.1:0").unwrap(),
            unix: UnixListener::bind(folder.path().join("socket")).unwrap(),
            _abstract_socket: UnixListener::bind_addr(&address).unwrap(),
            abstract_name,
            folder,
        };
        outside.tcp.set_nonblocking(true).unwrap();
        outside.udp.set_nonblocking(true).unwrap();
        outside.unix.set_nonblocking(true).unwrap();
        outside
    }

    /// `attempt` with the names of what is outside, and with the means that every attempt uses.
    fn program(&self, attempt: &str) -> String {
        let prelude = format!(
            "import os, sys, socket, time, signal, resource\nFOLDER = {:?}\nPID = {}\nTCP = {}\nUDP = {}\nABSTRACT = {:?}\nSCRATCH = os.getcwd()\n\
             def attempt(action, *arguments):\n    try:\n        found = action(*arguments)\n    except Exception as error:\n        \
             print('held', type(error).__name__)\n    else:\n        print('ESCAPED', action, arguments, found)\n\
             def syscall(number, *arguments):\n    import ctypes\n    libc = ctypes.CDLL(None, use_errno=True)\n    \
             result = libc.syscall(number, *arguments)\n    return result, ctypes.get_errno()\n",
            self.folder.path().to_str().unwrap(),
            std::process::id(),
            self.tcp.local_addr().unwrap().port(),
            self.udp.local_addr().unwrap().port(),
            self.abstract_name,
        );
        prelude + attempt
    }

    /// Nothing has arrived and nothing has been left.
    fn is_untouched(&self) -> bool {
        let is_quiet = self.tcp.accept().is_err() && self.udp.recv(&mut [0; 8]).is_err() && self.unix.accept().is_err();
        let names: Vec<_> = std::fs::read_dir(self.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        let is_clean = names.len() == 2 && std::fs::read(self.folder.path().join("secret")).unwrap() == b"the secret";
        is_quiet && is_clean
    }
}

fn run(sandbox: &Sandbox, program: &str, stdin: &[u8]) -> (Outcome, f64) {
    let began = Instant::now();
    let name = format!("{}.py", mark());
    let outcome = sandbox.run_python(&name, &[(&name, program.as_bytes())], stdin, true, &LIMITS).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    assert!(seconds < LIMITS.wall_seconds + 2.0, "{seconds} seconds: {program}");
    assert_eq!(survivors(), Vec::<String>::new(), "{program}");
    (outcome, seconds)
}

/// Processes of this test program's sandboxes that are still there.
fn survivors() -> Vec<String> {
    support::processes(&format!("\0{}.py", mark()))
}

/// Attempts to reach something: name, program, whether it succeeds outside.
const REACH: [(&str, &str, bool); 24] = [
    ("tcp", "attempt(lambda: socket.create_connection(('127.0.0.1', TCP), 1))", true),
    ("tcp by address", "attempt(lambda: socket.create_connection(('1.1.1.1', 53), 1))", false),
    ("udp", "attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', UDP)))", true),
    ("dns", "attempt(lambda: socket.getaddrinfo('example.com', 80))", false),
    ("raw socket", "attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))", false),
    ("netlink", "attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))", true),
    ("unix socket", "attempt(lambda: socket.socket(socket.AF_UNIX).connect(FOLDER + '/socket'))", true),
    ("abstract socket", "attempt(lambda: socket.socket(socket.AF_UNIX).connect('\\0' + ABSTRACT))", true),
    (
        "socket pair to elsewhere",
        "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\nattempt(lambda: a.sendto(b'x', '\\0' + ABSTRACT))",
        false,
    ),
    ("a file", "attempt(lambda: open(FOLDER + '/secret').read())", true),
    ("passwd", "attempt(lambda: open('/etc/passwd').read())", true),
    ("shadow", "attempt(lambda: open('/etc/shadow').read())", false),
    ("home", "attempt(lambda: os.listdir('/home'))", true),
    ("upwards", "attempt(lambda: open('../' * 30 + FOLDER[1:] + '/secret').read())", true),
    ("proc", "attempt(lambda: open(f'/proc/{PID}/cmdline').read())", true),
    ("proc root", "attempt(lambda: open('/proc/1/root/etc/passwd').read())", false),
    ("sys", "attempt(lambda: os.listdir('/sys/class/net'))", true),
    ("environment", "attempt(lambda: os.environ['CARGO_MANIFEST_DIR'])", true),
    (
        "symlink",
        "os.chdir('/tmp' if SCRATCH != '/scratch' else '/scratch')\nname = f'link-{os.getpid()}'\nos.symlink(FOLDER + '/secret', name)\nattempt(lambda: open(name).read())\nos.unlink(name)",
        true,
    ),
    (
        "symlink to root",
        "os.chdir('/tmp' if SCRATCH != '/scratch' else '/scratch')\nname = f'link-{os.getpid()}'\nos.symlink('/', name)\nattempt(lambda: open(name + '/etc/passwd').read())\nos.unlink(name)",
        true,
    ),
    ("signal to the caller", "attempt(lambda: os.kill(PID, 0))", true),
    ("signal to the parent", "attempt(lambda: os.kill(os.getppid(), 0) if os.getppid() > 1 else 1 / 0)", true),
    ("a descriptor of the caller", "for d in range(4, 200): attempt(lambda: os.fstat(d))", false),
    ("run a shell", "attempt(lambda: os.execv('/bin/sh', ['sh', '-c', 'echo ESCAPED']))", true),
];

fn nothing_is_reached(sandbox: &Sandbox) {
    let outside = Outside::new();
    for (name, attempt, _) in REACH {
        let (outcome, _) = run(sandbox, &outside.program(attempt), b"");
        let said = String::from_utf8_lossy(&outcome.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&outcome.stderr).into_owned();
        assert_eq!(outcome.end, End::Exited(0), "{name}: {complaint}");
        assert!(said.contains("held") && !said.contains("ESCAPED"), "{name}: {said}");
        assert!(outside.is_untouched(), "{name}");
    }
    for (name, attempt, _) in REACH.iter().filter(|(_, _, succeeds_outside)| *succeeds_outside) {
        let mut python = Command::new(&sandbox.interpreter().executable);
        python.args(["-c", &outside.program(attempt)]).env("CARGO_MANIFEST_DIR", "x");
        let said = python.output().unwrap();
        assert!(String::from_utf8_lossy(&said.stdout).contains("ESCAPED"), "{name} fails outside too: {said:?}");
    }
    assert!(!outside.is_untouched(), "the attempts outside must have been noticed");
}

/// Attempts to write: nothing but the scratch folder takes anything.
const WRITE: [&str; 8] = [
    "attempt(lambda: open('/x', 'w'))",
    "attempt(lambda: open('/dev/x', 'w'))",
    "attempt(lambda: open('/dev/null/x', 'w'))",
    "attempt(lambda: open(FOLDER + '/x', 'w'))",
    "attempt(lambda: open(os.__file__, 'a'))",
    "attempt(lambda: open(os.path.dirname(os.__file__) + '/x.py', 'w'))",
    "attempt(lambda: os.chmod('/dev/null', 0o777))",
    "attempt(lambda: os.mkdir('/tmp'))",
];

fn nothing_is_written(sandbox: &Sandbox) {
    let outside = Outside::new();
    for attempt in WRITE {
        let (outcome, _) = run(sandbox, &outside.program(attempt), b"");
        let said = String::from_utf8_lossy(&outcome.stdout).into_owned();
        assert!(said.contains("held") && !said.contains("ESCAPED"), "{attempt}: {said}");
    }
    let keeps =
        "open('x', 'w').write('1')\nos.mkdir('d')\nos.rename('x', 'd/x')\nprint(open('d/x').read(), os.listdir('.'))";
    let (outcome, _) = run(sandbox, &outside.program(keeps), b"");
    assert!(outcome.stdout.starts_with(b"1 ["), "the scratch folder can be used: {outcome:?}");
    let (outcome, _) = run(sandbox, &outside.program("print(os.listdir('.'))"), b"");
    assert_eq!(outcome.stdout, format!("['{}.py']\n", mark()).into_bytes(), "and holds nothing of an earlier run");
    let exec = "open('x', 'w').write('#!' + sys.executable + '\\nprint(\"ESCAPED\")')\nos.chmod('x', 0o755)\nattempt(lambda: os.execv('./x', ['x']))";
    let (outcome, _) = run(sandbox, &outside.program(exec), b"");
    assert!(outcome.stdout.starts_with(b"held PermissionError"), "nothing in it can be executed: {outcome:?}");
    assert!(outside.is_untouched());
}

/// System calls that must not even reach the kernel's own checks: number on x86_64, number on aarch64.
const CALLS: [(&str, i64); 26] = [
    ("mount", libc::SYS_mount),
    ("umount2", libc::SYS_umount2),
    ("chroot", libc::SYS_chroot),
    ("pivot_root", libc::SYS_pivot_root),
    ("setuid", libc::SYS_setuid),
    ("setgid", libc::SYS_setgid),
    ("setresuid", libc::SYS_setresuid),
    ("setgroups", libc::SYS_setgroups),
    ("capset", libc::SYS_capset),
    ("ptrace", libc::SYS_ptrace),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("process_vm_writev", libc::SYS_process_vm_writev),
    ("kexec_load", libc::SYS_kexec_load),
    ("init_module", libc::SYS_init_module),
    ("bpf", libc::SYS_bpf),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("keyctl", libc::SYS_keyctl),
    ("add_key", libc::SYS_add_key),
    ("unshare", libc::SYS_unshare),
    ("setns", libc::SYS_setns),
    ("memfd_create", libc::SYS_memfd_create),
    ("shmget", libc::SYS_shmget),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("sethostname", libc::SYS_sethostname),
];

fn no_call_gets_through(sandbox: &Sandbox) {
    let outside = Outside::new();
    let mut program = String::new();
    for (name, number) in CALLS {
        program += &format!("print('{name}', syscall({number}, 0, 0, 0, 0, 0))\n");
    }
    let user_namespace = libc::CLONE_NEWUSER | libc::SIGCHLD;
    program += &format!("print('clone', syscall({}, {user_namespace}, 0, 0, 0, 0))\n", libc::SYS_clone);
    program += &format!("print('socket', syscall({}, 2, 1, 0))\n", libc::SYS_socket);
    program += "print('end', os.getuid(), os.geteuid(), os.getgid())\n";
    let (outcome, _) = run(sandbox, &outside.program(&program), b"");
    let said = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), CALLS.len() + 3, "{said}\n{}", String::from_utf8_lossy(&outcome.stderr));
    for line in &lines[..CALLS.len() + 2] {
        assert!(line.ends_with(&format!("(-1, {})", libc::EPERM)), "{line}");
    }
    assert_eq!(lines.last(), Some(&"end 65534 65534 65534"));
    // Told apart from a machine on which nothing works: the same way of calling, for something harmless.
    let (outcome, _) = run(sandbox, &outside.program(&format!("print(syscall({}))", libc::SYS_getuid)), b"");
    assert_eq!(outcome.stdout, b"(65534, 0)\n");
    let refused = Limits { wall_seconds: f64::NAN, ..LIMITS };
    assert!(sandbox.run_python("x.py", &[], b"", false, &refused).is_err());
}

/// How a greedy program must end.
#[derive(Debug, Clone, Copy)]
enum Stop {
    Wall,
    Output,
    Cpu,
    /// By itself, after printing numbers of which none exceeds this.
    AtMost(u64),
}

const GREED: [(&str, &str, Stop); 21] = [
    ("endless loop", "while True: pass", Stop::Cpu),
    ("endless loop that catches", "signal.signal(signal.SIGXCPU, lambda *_: None)\nwhile True: pass", Stop::Cpu),
    ("endless loop in a regular expression", "import re\nre.match('(a+)+$', 'a' * 99 + 'b')", Stop::Cpu),
    ("a number without end", "9 ** 9 ** 9 ** 9", Stop::Cpu),
    ("sleep", "time.sleep(1000)", Stop::Wall),
    (
        "sleep, deaf to signals",
        "for s in range(1, 32):\n    try: signal.signal(s, signal.SIG_IGN)\n    except OSError: pass\nwhile True: time.sleep(1000)",
        Stop::Wall,
    ),
    ("waits for input", "os.read(os.pipe()[0], 1)", Stop::Wall),
    ("endless output", "while True: print('x' * 1000)", Stop::Output),
    ("endless complaints", "while True: os.write(2, b'x' * 1000)", Stop::Output),
    ("endless answers", "while True: os.write(3, b'x' * 10000)", Stop::Output),
    ("output after closing it", "os.close(1); os.close(2); time.sleep(1000)", Stop::Wall),
    (
        "fork bomb",
        "n = 1\nwhile True:\n    try:\n        if os.fork() == 0: time.sleep(1000)\n        n += 1\n    except OSError: break\nprint(n)",
        Stop::AtMost(8),
    ),
    ("fork bomb of all", "while True:\n    try: os.fork()\n    except OSError: time.sleep(0.01)", Stop::Wall),
    (
        "threads",
        "import threading\nn = 1\ntry:\n    while True: threading.Thread(target=time.sleep, args=(1000,), daemon=True).start(); n += 1\nexcept RuntimeError: print(n, flush=True); os._exit(0)",
        Stop::AtMost(8),
    ),
    (
        "memory",
        "kept = []\nn = 0\ntry:\n    while True: kept.append(bytearray(1 << 20)); n += 1\nexcept MemoryError: kept = None; print(n)",
        Stop::AtMost(256),
    ),
    (
        "memory by mapping",
        "import mmap\nkept = []\nn = 0\ntry:\n    while True: kept.append(mmap.mmap(-1, 1 << 20)); n += 1\nexcept (MemoryError, OSError): print(n)",
        Stop::AtMost(256),
    ),
    (
        "the scratch folder",
        "n = 0\ntry:\n    while True: open(f'f{n}', 'wb').write(b'x' * (1 << 20)); n += 1\nexcept OSError: print(n)",
        Stop::AtMost(8),
    ),
    (
        "one large file",
        "f = open('f', 'wb')\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\ntry: f.truncate(1 << 40); print(1 << 40)\nexcept OSError: print(0)",
        Stop::AtMost(0),
    ),
    (
        "many files",
        "n = 0\ntry:\n    while True: open(f'f{n}', 'w').close(); n += 1\nexcept OSError: print(n)",
        Stop::AtMost(4096),
    ),
    ("descriptors", "n = 0\ntry:\n    while True: os.dup(1); n += 1\nexcept OSError: print(n)", Stop::AtMost(64)),
    (
        "raised limits",
        "n = 0\nfor r in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE):\n    for l in (-1, resource.getrlimit(r)[1] + 1):\n        try: resource.setrlimit(r, (l, l)); n += 1\n        except (OSError, ValueError): pass\nprint(n)",
        Stop::AtMost(0),
    ),
];

fn greed_is_stopped(sandbox: &Sandbox) {
    let outside = Outside::new();
    for (name, attempt, stop) in GREED {
        let (outcome, seconds) = run(sandbox, &outside.program(attempt), b"");
        let said = String::from_utf8_lossy(&outcome.stdout).into_owned();
        let held = match stop {
            Stop::Wall => outcome.end == End::WallLimit,
            Stop::Output => {
                outcome.end == End::OutputLimit && outcome.channel.len() < 5 << 20 && said.len() < 256 << 10
            }
            Stop::Cpu => {
                matches!(outcome.end, End::Signalled(libc::SIGXCPU | libc::SIGKILL)) || outcome.end == End::WallLimit
            }
            Stop::AtMost(most) => {
                let numbers: Vec<u64> = said.lines().filter_map(|line| line.parse().ok()).collect();
                outcome.end == End::Exited(0) && !numbers.is_empty() && numbers.iter().all(|number| *number <= most)
            }
        };
        let complaint = String::from_utf8_lossy(&outcome.stderr);
        let complaint = complaint.get(..complaint.len().min(500)).unwrap_or("");
        assert!(held, "{name}: {:?} after {seconds} s, {}\n{complaint}", outcome.end, said.get(..200).unwrap_or(&said));
    }
}

fn nobody_survives(sandbox: &Sandbox) {
    let outside = Outside::new();
    for (name, attempt) in [
        (
            "daemon",
            "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        for d in (0, 1, 2, 3): os.close(d)\n        time.sleep(1000)\n    os._exit(0)\nos.wait()",
        ),
        (
            "daemon, deaf",
            "if os.fork() == 0:\n    for s in range(1, 32):\n        try: signal.signal(s, signal.SIG_IGN)\n        except OSError: pass\n    while True: time.sleep(1000)",
        ),
        ("daemon with the output open", "if os.fork() == 0: time.sleep(1000)\nprint('parent')"),
        ("stopped child", "if os.fork() == 0: os.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(0.1)"),
        ("signals to everyone", "if os.fork() == 0: time.sleep(1000)\nos.kill(-1, signal.SIGKILL)\nos.wait()"),
        ("signals to the first process", "for s in range(1, 32): os.kill(1, s)\nprint('still there')"),
    ] {
        let (outcome, seconds) = run(sandbox, &outside.program(attempt), b"");
        assert!(seconds < 1.5 && outcome.end == End::Exited(0), "{name}: {:?} after {seconds} s", outcome.end);
    }
}

fn input_is_only_input(sandbox: &Sandbox) {
    let outside = Outside::new();
    for (name, program, stdin, expected) in [
        ("read all", "print(len(sys.stdin.read()))", "x".repeat(300_000), "300000\n"),
        ("closed at once", "os.close(0); print('on')", "x".repeat(300_000), "on\n"),
        ("ends", "input(); \ntry: input()\nexcept EOFError: print('end')", "one\n".to_owned(), "end\n"),
        ("cannot be written", "attempt(lambda: os.write(0, b'x'))", "one\n".to_owned(), "held OSError\n"),
        ("only four descriptors", "print([d for d in range(3000) if not_closed(d)])", String::new(), "[0, 1, 2, 3]\n"),
    ] {
        let program = format!(
            "def not_closed(d):\n    try: os.fstat(d); return True\n    except OSError: return False\n{program}"
        );
        let (outcome, _) = run(sandbox, &outside.program(&program), stdin.as_bytes());
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), expected, "{name}: {outcome:?}");
    }
}

#[test]
fn the_table_holds_for_whoever_runs_it() {
    // A descriptor that every process started from now on inherits, as careless libraries leave them.
    // SAFETY: a descriptor of this process, and a flag that makes a second one without close-on-exec.
    assert!(unsafe { libc::fcntl(0, libc::F_DUPFD, 50) } >= 50);
    let Some(sandbox) = support::unless_refused(Sandbox::probe()) else { return };
    println!("{:?}", sandbox.layers());
    nothing_is_reached(&sandbox);
    nothing_is_written(&sandbox);
    no_call_gets_through(&sandbox);
    greed_is_stopped(&sandbox);
    nobody_survives(&sandbox);
    input_is_only_input(&sandbox);
}

/// Root runs this test program again as a user that owns nothing; everyone else has done so above.
#[test]
fn the_table_holds_for_an_ordinary_user() {
    // SAFETY: reads a number.
    if unsafe { libc::geteuid() } != 0 {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("escape");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut child = Command::new(&program)
        .args(["--exact", "the_table_holds_for_whoever_runs_it", "--nocapture"])
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", "/")
        .current_dir("/")
        .uid(12345)
        .gid(12345)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    let stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::read_to_string(stdout).unwrap());
    let stderr = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    let status = child.wait().unwrap();
    let said = reader.join().unwrap();
    assert!(Instant::now() < deadline && status.success(), "{said}\n{stderr}");
    assert!(said.contains("1 passed"), "{said}");
    assert!(said.contains("ordinary user") || said.contains("this machine refuses"), "{said}");
    assert!(Path::new(&program).exists());
}
