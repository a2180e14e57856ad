//! What the tests of this crate share.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::Read as _;

use sandbox::{CodeError, Missing};

/// What `made` holds; none where this machine cannot shut programs in, after a look at the refusal: it must name a remedy.
///
/// With `SANDBOX_REQUIRED` set, a refusal is a failure: for machines that are known to have what it takes.
pub fn unless_refused<T, E: std::fmt::Display + AsMissing>(made: Result<T, E>) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        Err(error) => {
            let message = error.to_string();
            assert!(std::env::var_os("SANDBOX_REQUIRED").is_none(), "refused: {message}");
            assert!(
                matches!(error.as_missing(), Some(Missing::Isolation { .. } | Missing::Interpreter(_))),
                "{message}"
            );
            assert!(
                ["sysctl", "ulimit", "CAP_SETUID", "Linux 5.12", "disk image", "mount", "install"]
                    .iter()
                    .any(|w| message.contains(w))
            );
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            eprintln!("SKIPPED {test}: this machine runs no programs (SANDBOX_REQUIRED makes it a failure): {message}");
            None
        }
    }
}

/// Errors that may be a refusal.
pub trait AsMissing {
    /// The refusal.
    fn as_missing(&self) -> Option<&Missing>;
}

impl AsMissing for Missing {
    fn as_missing(&self) -> Option<&Missing> {
        Some(self)
    }
}

impl AsMissing for CodeError {
    fn as_missing(&self) -> Option<&Missing> {
        match self {
            CodeError::Missing(missing) => Some(missing),
            _ => None,
        }
    }
}

/// Processes whose command line contains `words`.
pub fn processes(words: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let mut line = String::new();
        let file = std::fs::File::open(entry.path().join("cmdline"));
        if file.is_ok_and(|mut file| file.read_to_string(&mut line).is_ok()) && line.contains(words) {
            found.push(format!("{:?}: {line:?}", entry.file_name()));
        }
    }
    found
}
