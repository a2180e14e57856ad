//! Tells the program the commit it was built from: `GRPO_COMMIT`, a hash, with `-modified` if sources differ from it.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rustc-env=GRPO_COMMIT={}", commit().unwrap_or_else(|| "unknown".to_owned()));
    println!("cargo:rerun-if-changed=build.rs");
    // Where the commit and the sources come from. A path that does not exist would make cargo run this every time.
    for name in ["HEAD", "packed-refs", &git(&["symbolic-ref", "HEAD"]).unwrap_or_default()] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).is_file()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    for folder in SOURCES.iter().filter(|folder| Path::new(folder).is_dir()) {
        println!("cargo:rerun-if-changed={folder}");
    }
}

/// Relative to this package; cargo runs build scripts in its folder.
const SOURCES: [&str; 4] = ["src", "../policy/src", "../rewards/src", "../rollout/src"];

fn commit() -> Option<String> {
    let hash = git(&["rev-parse", "HEAD"])?;
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(SOURCES.iter().filter(|folder| Path::new(folder).is_dir()));
    let modified = !git(&status)?.is_empty();
    Some(if modified { hash + "-modified" } else { hash })
}

/// What git prints, without the line end; `None` without git, outside of a repository, or before the first commit.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim_end().to_owned())
}
