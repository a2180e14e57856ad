//! Who a sandboxed program is: an ordinary user inside, nobody in particular outside.

use std::fs::OpenOptions;
use std::io::{self, Write as _};

use serde::{Deserialize, Serialize};

/// User and group inside; by convention "nobody".
pub(crate) const INNER_ID: u32 = 65534;

/// How the ids of the sandbox's user namespace stand to those of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Identity {
    /// The caller is root: 0 stays 0 while the root is built, then the program becomes nobody, outside as well as inside.
    /// Root itself would not do: the kernel exempts it from the limit on processes.
    DropFromRoot,
    /// The caller is an ordinary user: the one id it may map is its own.
    Own {
        /// The caller's user.
        uid: u32,
        /// The caller's group.
        gid: u32,
    },
}

impl Identity {
    /// As whom the caller runs.
    pub fn of_caller() -> Self {
        // SAFETY: these calls read two numbers of the process and cannot fail.
        match unsafe { (libc::geteuid(), libc::getegid()) } {
            (0, _) => Self::DropFromRoot,
            (uid, gid) => Self::Own { uid, gid },
        }
    }

    /// Writes the maps of the new process `pid`, which waits for them.
    ///
    /// # Errors
    ///
    /// What the kernel says: as root, that this process lacks `CAP_SETUID`, or that its own namespace has no such user.
    pub fn map(self, pid: libc::pid_t) -> io::Result<()> {
        let (users, groups) = match self {
            Self::DropFromRoot => {
                let both = format!("0 0 1\n{INNER_ID} {INNER_ID} 1\n");
                (both.clone(), both)
            }
            Self::Own { uid, gid } => {
                // The kernel's condition for an unprivileged group map: groups can then no longer be dropped either.
                write(pid, "setgroups", "deny")?;
                (format!("{INNER_ID} {uid} 1\n"), format!("{INNER_ID} {gid} 1\n"))
            }
        };
        write(pid, "uid_map", &users)?;
        write(pid, "gid_map", &groups)
    }
}

fn write(pid: libc::pid_t, file: &str, text: &str) -> io::Result<()> {
    // One write: the kernel takes a map as a whole or not at all.
    OpenOptions::new().write(true).open(format!("/proc/{pid}/{file}"))?.write_all(text.as_bytes())
}
