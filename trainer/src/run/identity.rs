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

/// The first line in which two resolved run files differ, as a phrase that ends in `; `; nothing if they are equal. What the
/// identity does not count (`Resolved::identity`) is passed over: it is not what makes them two runs.
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
            (Some(there), Some(here)) if is_not_counted(section, there) && is_not_counted(section, here) => {}
            (there, here) => {
                let (there, here) = (there.unwrap_or("nothing"), here.unwrap_or("nothing"));
                let place = if section.is_empty() { String::new() } else { format!("in {section} ") };
                return format!("{place}it has `{}`, this has `{}`; ", there.trim(), here.trim());
            }
        }
    }
}

/// Whether two starts of one run may differ in this line.
fn is_not_counted(section: &str, line: &str) -> bool {
    let keys: &[&str] = match section {
        "[run]" => &["dir", "threads", "device", "deterministic"],
        "[doctor]" | "[stage.checkpoint]" => return true,
        "[[stage]]" => &["batch_problems"],
        "[stage.sampling]" => &["max_batch"],
        section if section.starts_with("[stage.rewards.") => &["max_batch_tokens"],
        "[stage.rollout]" => &["max_batch"],
        "[stage.grpo]" => &["micro_batch_tokens", "logits_chunk_tokens", "checkpointing"],
        _ => return false,
    };
    line.split_once(" = ").is_some_and(|(key, _)| keys.contains(&key))
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
        let deterministic = "[run]\ndeterministic = true\nseed = 2\n";
        check(
            "[run]\ndeterministic = false\nseed = 1\n",
            deterministic,
            "in [run] it has `seed = 1`, this has `seed = 2`; ",
        );
        let doctor = "[doctor]\nenabled = true\non_dead = \"warn\"\n[stage.rollout]\nmax_batch = 8\ntop_k = 0\n";
        let other = "[doctor]\nenabled = false\non_dead = \"stop\"\n[stage.rollout]\nmax_batch = 4\ntop_k = 5\n";
        check(doctor, other, "in [stage.rollout] it has `top_k = 0`, this has `top_k = 5`; ");
        check(
            "[stage.grpo]\ncheckpointing = 1\n[stage.checkpoint]\nkeep = 1\n",
            "[stage.grpo]\ncheckpointing = 2\n[stage.checkpoint]\nkeep = 2\n",
            "",
        );
        check("a = 1\n", "a = 1\nb = 2\n", "it has `nothing`, this has `b = 2`; ");
    }
}
