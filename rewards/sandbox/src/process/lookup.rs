//! Looks a program up as `exec` would, without running it.

use std::env;
use std::ffi::{CString, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Where `exec` looks if `PATH` is not set.
const PATH: &str = "/bin:/usr/bin";

/// The file that `program` stands for: itself if it holds a slash, else the first of that name in the folders of `PATH`.
pub(crate) fn find(program: &str) -> io::Result<PathBuf> {
    find_in(program, &env::var_os("PATH").unwrap_or_else(|| OsString::from(PATH)))
}

fn find_in(program: &str, folders: &OsString) -> io::Result<PathBuf> {
    if program.contains('/') {
        let path = PathBuf::from(program);
        return check(&path).map(|()| path);
    }
    let missing = || io::Error::new(ErrorKind::NotFound, format!("no folder of PATH has a program `{program}`"));
    let mut error = missing();
    for folder in env::split_paths(folders).filter(|_| !program.is_empty()) {
        let path = folder.join(program);
        match check(&path) {
            Ok(()) => return Ok(path),
            Err(found) if found.kind() == ErrorKind::PermissionDenied && path.is_file() => error = found,
            Err(_) => {}
        }
    }
    Err(error)
}

/// Whether this process may run `path`.
fn check(path: &Path) -> io::Result<()> {
    let named = |kind: ErrorKind, why: &str| Err(io::Error::new(kind, format!("{} {why}", path.display())));
    match path.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return named(error.kind(), "is not there"),
        Err(error) => return named(error.kind(), &format!("cannot be looked at: {error}")),
        Ok(data) if !data.is_file() => return named(ErrorKind::InvalidInput, "is no file"),
        Ok(_) => {}
    }
    let c_path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a C string that lives through the call.
    let may_run = unsafe { libc::faccessat(libc::AT_FDCWD, c_path.as_ptr(), libc::X_OK, libc::AT_EACCESS) } == 0;
    if may_run { Ok(()) } else { named(ErrorKind::PermissionDenied, "is not executable (chmod +x)") }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn programs_are_found_as_the_shell_finds_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (place, mode) in
            [("a/plain", 0o644), ("b/plain", 0o755), ("a/both", 0o755), ("b/both", 0o755), ("a/no", 0o600)]
        {
            fs::create_dir_all(at(place).parent().unwrap()).unwrap();
            fs::write(at(place), "#!/bin/sh\n").unwrap();
            fs::set_permissions(at(place), fs::Permissions::from_mode(mode)).unwrap();
        }
        let folders = env::join_paths([at("nowhere"), at("a"), at("b")]).unwrap();
        let check = |program: &str, expected: Result<&str, &str>| match (find_in(program, &folders), expected) {
            (Ok(found), Ok(place)) => assert_eq!(found, at(place), "{program}"),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{program}: {error}"),
            other => panic!("{program}: {other:?}"),
        };
        let path = |name: &str| at(name).to_str().unwrap().to_owned();
        check("plain", Ok("b/plain"));
        check("both", Ok("a/both"));
        check("no", Err("is not executable"));
        check("other", Err("no folder of PATH has a program `other`"));
        check("", Err("no folder of PATH"));
        check(&path("b/both"), Ok("b/both"));
        check(&path("a/plain"), Err("is not executable"));
        check(&path("a"), Err("is no file"));
        check(&path("a/other"), Err("is not there"));
        check(&path("a/both/x"), Err("cannot be looked at"));
    }
}
