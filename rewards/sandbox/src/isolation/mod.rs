//! How a program is shut in, layer by layer.
//!
//! 1. **Namespaces** (`spawn`, `identity`): user, mount, process, network, IPC, host name and cgroup namespaces of its own.
//!    There is no network interface that is up, no process but its own to see or to signal, no privilege outside.
//! 2. **File view** (`view`, `child`): a new root of the interpreter's own files, read-only, five devices, and one scratch
//!    folder in memory. `/proc`, `/sys`, `/etc`, `/home`, `/tmp` do not exist. The old root is gone from the namespace.
//! 3. **Identity** (`identity`, `child`): an ordinary user without capabilities, who can gain none (`no_new_privs`, empty
//!    bounding set, no set-user-id file in sight).
//! 4. **Landlock** (`landlock`), where the kernel has it: the same file rules once more, held by another mechanism; no TCP,
//!    no signal and no abstract socket outwards.
//! 5. **System call filter** (`seccomp`): what is not on the list is refused.
//! 6. **Limits** (`child`): processor time, address space, processes, open files, file size, nothing else locked or queued.
//! 7. **The watcher** (`spawn`): counts output and the clock. The first process of the namespace is ours; when it is
//!    killed, or ends, or the caller dies, the kernel kills every other process of the namespace with it.

//!
//! A run passes through three processes of ours. The caller writes an `order` and watches. The `helper`, a small process
//! started once, makes the namespaces: a caller with many gigabytes would pay for a copy of its page tables at every run.
//! The first process of the namespaces builds the walls and starts the program.

pub(crate) mod child;
pub(crate) mod helper;
pub(crate) mod identity;
pub(crate) mod landlock;
pub(crate) mod launch;
pub(crate) mod order;
pub(crate) mod seccomp;
pub(crate) mod spawn;
pub(crate) mod view;
pub(crate) mod wire;

use std::io;
use std::os::fd::OwnedFd;

/// Read end and write end of a new pipe.
fn make_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}
