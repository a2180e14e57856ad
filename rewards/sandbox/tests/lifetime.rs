//! What happens when a part is missing: no namespaces, no helper, no caller.

mod support;

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::{Limits, Sandbox};

/// The caller, or its helper, is killed in the middle of a run: the program goes with it.
#[test]
fn no_program_outlives_its_caller() {
    const MARK: &str = "SANDBOX_TEST_CALLER";
    if std::env::var_os(MARK).is_some() {
        if let Some(sandbox) = support::unless_refused(Sandbox::probe()) {
            let limits = Limits { wall_seconds: 60.0, ..Limits::default() };
            let name = format!("lifetime_{}.py", std::process::id());
            let fork = b"import os, time\nos.fork()\ntime.sleep(1000)";
            let _ = sandbox.run_python(&name, &[(&name, fork)], b"", false, &limits);
        }
        return;
    }
    for kills_helper in [false, true] {
        let mut caller = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "no_program_outlives_its_caller"])
            .env(MARK, "1")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let program = format!("\0lifetime_{}.py", caller.id());
        let mut is_refused = false;
        wait_until(|| {
            is_refused = caller.try_wait().unwrap().is_some();
            is_refused || support::processes(&program).len() == 2
        });
        if is_refused {
            assert!(support::unless_refused(Sandbox::probe()).is_none(), "the program has not run");
            return;
        }
        if kills_helper {
            let helpers = helpers_of(caller.id());
            assert_eq!(helpers.len(), 1);
            // SAFETY: a process whose parent is there and has not waited for it.
            unsafe { libc::kill(helpers[0], libc::SIGKILL) };
        } else {
            caller.kill().unwrap();
        }
        caller.wait().unwrap();
        wait_until(|| support::processes(&program).is_empty());
    }
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The helper is killed by somebody: the next run starts another. In a process of its own, which has one helper only.
#[test]
fn a_lost_helper_is_replaced() {
    const MARK: &str = "SANDBOX_TEST_HELPER";
    if std::env::var_os(MARK).is_none() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output =
            command.args(["--exact", "a_lost_helper_is_replaced", "--nocapture"]).env(MARK, "1").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        return;
    }
    let Some(sandbox) = support::unless_refused(Sandbox::probe()) else { return };
    let run = || sandbox.run_python("x.py", &[("x.py", b"print(1)")], b"", false, &Limits::default()).unwrap().stdout;
    assert_eq!(run(), b"1\n");
    let first = helpers_of(std::process::id());
    assert_eq!(first.len(), 1);
    // SAFETY: a child of this process that is waited for when the sandbox replaces it.
    unsafe { libc::kill(first[0], libc::SIGKILL) };
    assert_eq!(run(), b"1\n");
    let second = helpers_of(std::process::id());
    assert!(second.len() == 1 && second != first, "{first:?} {second:?}");
    drop(sandbox);
    assert_eq!(helpers_of(std::process::id()), Vec::<i32>::new());
}

fn helpers_of(parent: u32) -> Vec<i32> {
    let wanted = parent.to_string();
    let numbers = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    let is_helper = |pid: &i32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // "PID (NAME) STATE PARENT ..."
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
        line.starts_with("grpo-sandbox-helper") && parent == Some(wanted.as_str())
    };
    numbers.filter(is_helper).collect()
}

/// Where the kernel gives no user namespace, nothing is run: this test program runs again in a namespace that allows none.
#[test]
fn a_machine_without_namespaces_is_refused() {
    const MARK: &str = "SANDBOX_TEST_WITHOUT_NAMESPACES";
    if std::env::var_os(MARK).is_some() {
        let message = Sandbox::probe().expect_err("there are no namespaces").to_string();
        let names_remedy = message.contains("user.max_user_namespaces") || message.contains("allow unprivileged user");
        assert!(message.contains("could not be shut in") && names_remedy, "{message}");
        return;
    }
    // SAFETY: reads two numbers.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let files = [
        (c"/proc/self/setgroups", "deny".to_owned()),
        (c"/proc/self/uid_map", format!("0 {uid} 1")),
        (c"/proc/self/gid_map", format!("0 {gid} 1")),
        (c"/proc/sys/user/max_user_namespaces", "0".to_owned()),
    ];
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_machine_without_namespaces_is_refused", "--nocapture"]).env(MARK, "1");
    let prepare = move || {
        // SAFETY: system calls on texts made before.
        let has_namespace = unsafe { libc::unshare(libc::CLONE_NEWUSER) } == 0;
        for (path, text) in files.iter().filter(|_| has_namespace) {
            // SAFETY: likewise.
            unsafe {
                let fd = libc::open(path.as_ptr(), libc::O_WRONLY);
                if libc::write(fd, text.as_ptr().cast(), text.len()) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                libc::close(fd);
            }
        }
        // Without a namespace to begin with, the machine is of the refused kind as it is.
        Ok(())
    };
    // SAFETY: between fork and exec there are only system calls.
    let output = unsafe { command.pre_exec(prepare) }.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
