//! Crashes and damage, played through on checkpoint folders.

use super::*;
use std::os::unix::fs::symlink;

fn state(step: u64) -> TrainerState {
    let extra = Map::from_iter([("last_refresh".to_owned(), Value::from(10))]);
    TrainerState { stage: "r1_zero".into(), step, num_tokens: 123 * step, n_updates: step, wall_seconds: 1.5, extra }
}

fn fill(writer: &CheckpointWriter, step: u64) {
    fs::write(writer.path().join("model.safetensors"), vec![step as u8; 5000]).unwrap();
    state(step).write(writer.path()).unwrap();
}

fn save(stage_dir: &Path, step: u64) -> Checkpoint {
    let writer = CheckpointWriter::create(stage_dir, step).unwrap();
    fill(&writer, step);
    writer.commit().unwrap()
}

fn names(stage_dir: &Path) -> Vec<String> {
    let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    atomic::entries(stage_dir).unwrap().into_iter().map(name).collect()
}

#[test]
fn the_newest_is_found_with_its_state() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(latest_valid(&dir.path().join("none")).unwrap(), Found { checkpoint: None, rejected: vec![] });
    save(dir.path(), 20);
    let written = save(dir.path(), 1_000_000);
    let found = latest_valid(dir.path()).unwrap();
    assert_eq!(found, Found { checkpoint: Some(written), rejected: vec![] });
    assert_eq!(found.checkpoint.unwrap().state, state(1_000_000));
}

#[test]
fn a_flipped_byte_falls_back_to_the_one_before_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), 20);
    let newest = save(dir.path(), 40);
    let mut bytes = fs::read(newest.path.join("model.safetensors")).unwrap();
    bytes[4321] ^= 0x10;
    fs::write(newest.path.join("model.safetensors"), bytes).unwrap();
    let found = latest_valid(dir.path()).unwrap();
    assert_eq!(found.checkpoint.unwrap().step, 20);
    let told = found.rejected[0].to_string();
    assert!(told.contains("step_000040") && told.contains("model.safetensors is damaged"), "{told}");

    // Trained again, the step replaces the damaged folder.
    save(dir.path(), 40);
    assert_eq!(latest_valid(dir.path()).unwrap().checkpoint.unwrap().step, 40);
}

#[test]
fn a_half_written_checkpoint_is_never_seen() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), 20);
    let writer = CheckpointWriter::create(dir.path(), 40).unwrap();
    fill(&writer, 40);
    // As after kill -9: no destructor runs.
    std::mem::forget(writer);
    assert_eq!(names(dir.path()), ["step_000020", "step_000040.tmp"]);
    let found = latest_valid(dir.path()).unwrap();
    assert_eq!((found.checkpoint.unwrap().step, found.rejected.len()), (20, 0));
    atomic::remove_temporaries(dir.path()).unwrap();
    assert_eq!(names(dir.path()), ["step_000020"]);
}

#[test]
fn a_state_of_another_step_or_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let writer = CheckpointWriter::create(dir.path(), 20).unwrap();
    fs::write(writer.path().join("model.safetensors"), "x").unwrap();
    assert!(matches!(writer.commit(), Err(CheckpointError::NoTrainerState { .. })));
    assert!(names(dir.path()).is_empty());

    let copied = save(dir.path(), 20).path;
    fs::rename(copied, dir.path().join("step_000030")).unwrap();
    let found = latest_valid(dir.path()).unwrap();
    assert!(found.checkpoint.is_none());
    assert_eq!(found.rejected[0].reason, "trainer_state.json is of step 20");
}

#[test]
fn pruning_keeps_the_newest_valid_ones() {
    let dir = tempfile::tempdir().unwrap();
    for step in [10, 20, 30] {
        save(dir.path(), step);
    }
    fs::write(dir.path().join("step_000030/model.safetensors"), "short").unwrap();
    let newest = save(dir.path(), 40);
    let removed = newest.prune_older(2).unwrap();
    assert_eq!(removed.len(), 2);
    assert_eq!(names(dir.path()), ["step_000020", "step_000040"]);
    // Even `keep = 0` cannot remove the checkpoint that was just verified.
    newest.prune_older(0).unwrap();
    assert_eq!(names(dir.path()), ["step_000040"]);
}

#[test]
fn a_checkpoint_without_manifest_does_not_count() {
    // What a crash in the middle of pruning leaves.
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), 20);
    fs::remove_file(save(dir.path(), 40).path.join(MANIFEST)).unwrap();
    let found = latest_valid(dir.path()).unwrap();
    assert_eq!(found.checkpoint.unwrap().step, 20);
    assert!(found.rejected[0].reason.contains("manifest.json is missing"));
}

#[test]
fn a_full_disk_leaves_the_last_checkpoint_intact() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), 20);
    let writer = CheckpointWriter::create(dir.path(), 40).unwrap();
    fill(&writer, 40);
    symlink("/dev/full", writer.path().join("manifest.json.tmp")).unwrap();
    let error = writer.commit().unwrap_err().to_string();
    assert!(error.contains("the disk is full"), "{error}");
    assert_eq!(names(dir.path()), ["step_000020"]);
    assert_eq!(latest_valid(dir.path()).unwrap().checkpoint.unwrap().step, 20);
}

#[test]
fn step_names_read_back() {
    let check = |name: &str, expected: Option<u64>| assert_eq!(parse_step(name), expected, "{name}");
    check("step_000020", Some(20));
    check("step_1234567", Some(1_234_567));
    check("step_20", None);
    check("step_+00020", None);
    check("step_000020.tmp", None);
    check("final", None);
}
