//! What makes two starts the same run, and how two runs differ.

use std::path::PathBuf;

/// A run folder holds the run of another run file, or of the same one with other settings.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}: belongs to another run: it was started from {} ({}), this is {} ({}); {difference}set run.dir to another \
     folder, or delete this one",
    path.display(), theirs.display(), short(their_identity), ours.display(), short(our_identity)
)]
pub struct OtherRun {
    /// The folder.
    pub path: PathBuf,
    /// The run file of the run in it.
    pub theirs: PathBuf,
    /// That run's identity.
    pub their_identity: String,
    /// The run file given now.
    pub ours: PathBuf,
    /// Its identity.
    pub our_identity: String,
    /// The first line that differs, as a phrase that ends in `; `, or nothing.
    pub difference: String,
}

/// Enough of a hash to tell two apart by eye.
fn short(identity: &str) -> &str {
    identity.get(..12).unwrap_or(identity)
}

/// The first line in which two resolved run files differ, as a phrase that ends in `; `; nothing if they are equal.
pub fn first_difference(theirs: &str, ours: &str) -> String {
    let mut section = "";
    let (mut their_lines, mut our_lines) = (theirs.lines(), ours.lines());
    loop {
        match (their_lines.next(), our_lines.next()) {
            (None, None) => return String::new(),
            (Some(there), Some(here)) if there == here => {
                if there.starts_with('[') {
                    section = there;
                }
            }
            (Some(there), Some(here)) if section == "[run]" && says_where(there) && says_where(here) => {}
            (there, here) => {
                let (there, here) = (there.unwrap_or("nothing"), here.unwrap_or("nothing"));
                let place = if section.is_empty() { String::new() } else { format!("in {section} ") };
                return format!("{place}it has `{}`, this has `{}`; ", there.trim(), here.trim());
            }
        }
    }
}

/// Keys of `[run]` that two starts of one run may have different.
fn says_where(line: &str) -> bool {
    ["dir = ", "threads = ", "device = "].iter().any(|key| line.starts_with(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named_with_its_section() {
        let check = |theirs: &str, ours: &str, expected: &str| assert_eq!(first_difference(theirs, ours), expected);
        check("a = 1\n", "a = 1\n", "");
        check("[x]\na = 1\n[y]\nb = 1\n", "[x]\na = 1\n[y]\nb = 2\n", "in [y] it has `b = 1`, this has `b = 2`; ");
        let (theirs, ours) =
            ("[run]\nthreads = 1\ndtype = \"float32\"\n", "[run]\nthreads = 2\ndtype = \"bfloat16\"\n");
        check(theirs, ours, "in [run] it has `dtype = \"float32\"`, this has `dtype = \"bfloat16\"`; ");
        check("a = 1\n", "a = 1\nb = 2\n", "it has `nothing`, this has `b = 2`; ");
    }
}
