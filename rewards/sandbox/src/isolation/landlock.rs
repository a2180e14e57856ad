//! The file rules once more, by Landlock: a second mechanism, should the first have a hole.
//!
//! Called between `clone` and `exec`, so nothing here allocates. Numbers from `linux/landlock.h`.

use libc::{c_int, c_long};

const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const MAKE_SYM: u64 = 1 << 12;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;

/// `struct landlock_ruleset_attr`, with the fields of version 6.
#[repr(C)]
struct RulesetAttr {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: c_int,
}

/// The version of Landlock this kernel has; 0 where it has none or it is switched off.
pub(crate) fn version() -> u32 {
    // SAFETY: with a null pointer, size 0 and flag 1 the call only returns a number.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, 1_u32) };
    u32::try_from(answer).unwrap_or(0)
}

/// Every file right that `version` knows. Those a kernel does not know cannot be named to it.
fn handled(version: u32) -> u64 {
    let n_rights = match version {
        0 | 1 => 13,
        2 => 14,
        3 | 4 => 15,
        _ => 16,
    };
    (1 << n_rights) - 1
}

/// Restricts the calling process and its future children. 0 or -1 with `errno`, like the calls it makes.
///
/// # Safety
///
/// The root is already the new one, and `no_new_privs` is set. Safe between `clone` and `exec`.
pub(crate) unsafe fn restrict(version: u32) -> c_long {
    let all = handled(version);
    let attr = RulesetAttr {
        handled_access_fs: all,
        // No rule follows for binding and connecting TCP, so both are refused.
        handled_access_net: if version >= 4 { 3 } else { 0 },
        // Abstract sockets and signals end at the sandbox.
        scoped: if version >= 6 { 3 } else { 0 },
    };
    let size: usize = match version {
        0..=3 => 8,
        4 | 5 => 16,
        _ => 24,
    };
    // SAFETY: `attr` lives through the call and is at least `size` bytes long.
    let ruleset = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attr, size, 0_u32) };
    if ruleset < 0 {
        return ruleset;
    }
    let ruleset = ruleset as c_int;
    let scratch = READ_FILE
        | READ_DIR
        | WRITE_FILE
        | REMOVE_DIR
        | REMOVE_FILE
        | MAKE_DIR
        | MAKE_REG
        | MAKE_SYM
        | ((REFER | TRUNCATE) & all);
    for (path, rights) in
        [(c"/", EXECUTE | READ_FILE | READ_DIR), (c"/scratch", scratch), (c"/dev", READ_FILE | READ_DIR | WRITE_FILE)]
    {
        // SAFETY: a C string and flags; the result is checked.
        let parent_fd = unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
        if parent_fd < 0 {
            return -1;
        }
        let beneath = PathBeneathAttr { allowed_access: rights & all, parent_fd };
        // SAFETY: `beneath` lives through the call; 1 is LANDLOCK_RULE_PATH_BENEATH.
        let added = unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, 1_u32, &raw const beneath, 0_u32) };
        // SAFETY: a descriptor opened above.
        unsafe { libc::close(parent_fd) };
        if added < 0 {
            return added;
        }
    }
    // SAFETY: a ruleset made above.
    let restricted = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0_u32) };
    // SAFETY: the same descriptor, closed once.
    unsafe { libc::close(ruleset) };
    restricted
}
