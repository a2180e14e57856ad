//! Who may open which run folder.

use super::*;

fn facts(run_file: &str, resolved: &str) -> RunFacts {
    RunFacts {
        run_file: run_file.into(),
        resolved: resolved.into(),
        stages: Vec::new(),
        identity: crate::run::manifest::sha256_hex(resolved),
        libtorch: "2.11.0".into(),
        device: "cpu".into(),
        threads: 2,
    }
}

const RESOLVED: &str = "[run]\nseed = 1\n\n[stage.rollout]\ntemperature = 1.0\n";

#[test]
fn a_run_begins_and_resumes() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("runs/a");
    let facts = facts("a.toml", RESOLVED);
    let begun = RunDirectory::open(&path, OpenMode::Either, &facts).unwrap();
    assert_eq!(fs::read_to_string(path.join("run.toml")).unwrap(), RESOLVED);
    assert_eq!((begun.info().identity.len(), begun.info().resumed.len()), (64, 0));
    let started_at = begun.info().started_at.clone();
    drop(begun);

    fs::create_dir_all(path.join("checkpoints/r1/step_000020.tmp")).unwrap();
    let resumed = RunDirectory::open(&path, OpenMode::Resume, &facts).unwrap();
    assert_eq!((resumed.info().resumed.len(), &resumed.info().started_at), (1, &started_at));
    assert!(!path.join("checkpoints/r1/step_000020.tmp").exists());
    assert!(!resumed.is_finished());
    assert_eq!(resumed.completions("r1", 7), path.join("completions/r1/step_000007.jsonl"));
}

/// The message of the error that opening `path` gives.
fn refusal(path: &Path, mode: OpenMode, facts: &RunFacts) -> String {
    RunDirectory::open(path, mode, facts).unwrap_err().to_string()
}

#[test]
fn a_begun_run_goes_on() {
    let parent = tempfile::tempdir().unwrap();
    let facts = facts("a.toml", RESOLVED);
    drop(RunDirectory::open(parent.path(), OpenMode::Either, &facts).unwrap());
    let again = RunDirectory::open(parent.path(), OpenMode::Either, &facts).unwrap();
    assert_eq!(again.info().resumed.len(), 1);
}

#[test]
fn a_chain_of_which_a_stage_is_still_done_goes_on() {
    let parent = tempfile::tempdir().unwrap();
    let first = facts("a.toml", RESOLVED);
    drop(RunDirectory::open(parent.path(), OpenMode::Either, &first).unwrap());
    let mark = StageMark {
        stage: "dev1".into(),
        kind: "grpo".into(),
        identity: "same".into(),
        finished: false,
        steps: 1,
        num_tokens: 0,
        wall_seconds: 0.0,
    };
    let other = facts("a.toml", &RESOLVED.replace("1.0", "0.9"));
    let with = |identity: &str| RunFacts { stages: vec![("dev1".into(), identity.into())], ..other.clone() };
    mark.write(parent.path()).unwrap();
    assert!(refusal(parent.path(), OpenMode::Either, &with("same")).contains("belongs to another run"));
    StageMark { finished: true, ..mark }.write(parent.path()).unwrap();
    assert!(refusal(parent.path(), OpenMode::Either, &with("other")).contains("belongs to another run"));
    let changed = RunDirectory::open(parent.path(), OpenMode::Either, &with("same")).unwrap();
    assert_eq!(changed.info().identity, other.identity);
    assert!(fs::read_to_string(parent.path().join("run.toml")).unwrap().contains("0.9"));
}

#[test]
fn nothing_to_resume() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("new");
    let message = refusal(&path, OpenMode::Resume, &facts("a.toml", RESOLVED));
    assert!(message.contains("no run to resume"), "{message}");
    assert!(!path.exists(), "a refusal must create nothing");
}

#[test]
fn the_folder_of_another_run_is_refused_with_the_difference() {
    let parent = tempfile::tempdir().unwrap();
    drop(RunDirectory::open(parent.path(), OpenMode::Either, &facts("a.toml", RESOLVED)).unwrap());
    let other = facts("b.toml", &RESOLVED.replace("1.0", "0.9"));
    for mode in [OpenMode::Either, OpenMode::Resume] {
        let message = refusal(parent.path(), mode, &other);
        for part in ["from a.toml (", "this is b.toml (", "in [stage.rollout]", "`temperature = 0.9`", "run.dir"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}

#[test]
fn a_folder_with_other_things_is_refused_and_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("thesis.tex"), "mine").unwrap();
    let message = refusal(parent.path(), OpenMode::Either, &facts("a.toml", RESOLVED));
    assert!(message.contains("`thesis.tex`"), "{message}");
    assert_eq!(atomic::entries(parent.path()).unwrap().len(), 1);
}

#[test]
fn a_start_that_was_cut_short_does_not_block_the_next() {
    let parent = tempfile::tempdir().unwrap();
    for name in ["lock", "run.toml", "run.json.tmp"] {
        fs::write(parent.path().join(name), "").unwrap();
    }
    RunDirectory::open(parent.path(), OpenMode::Either, &facts("a.toml", RESOLVED)).unwrap();
    assert!(!parent.path().join("run.json.tmp").exists());
}

#[test]
fn two_processes_cannot_write_to_one_run() {
    let parent = tempfile::tempdir().unwrap();
    let facts = facts("a.toml", RESOLVED);
    let first = RunDirectory::open(parent.path(), OpenMode::Either, &facts).unwrap();
    // The lock belongs to the open file, so a second opening in this process is refused as another process would be.
    let message = refusal(parent.path(), OpenMode::Resume, &facts);
    assert!(message.contains(&format!("(process {})", std::process::id())), "{message}");
    drop(first);
    RunDirectory::open(parent.path(), OpenMode::Resume, &facts).unwrap();
}

#[test]
fn an_unwritable_place_is_named() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("file"), "").unwrap();
    let message = refusal(&parent.path().join("file/run"), OpenMode::Either, &facts("a.toml", RESOLVED));
    assert!(message.contains("file/run"), "{message}");
    // Not even root may create folders there.
    let message = refusal(Path::new("/proc/run"), OpenMode::Either, &facts("a.toml", RESOLVED));
    assert!(message.contains("/proc/run: cannot create the folder"), "{message}");
}

#[test]
fn damaged_run_json_is_an_error_with_its_place() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("run.json"), "{\"identity\": 3}").unwrap();
    let message = refusal(parent.path(), OpenMode::Resume, &facts("a.toml", RESOLVED));
    assert!(message.contains("run.json: ") && message.contains("line 1"), "{message}");
}
