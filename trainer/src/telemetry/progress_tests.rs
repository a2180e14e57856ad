//! What is shown, in lines and in bars.

use super::*;
use std::sync::Arc;

/// A writer whose content stays readable.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn metrics() -> StepMetrics {
    StepMetrics::from([
        ("completions/mean_length", 64.21),
        ("reward", 0.4131),
        ("accuracy", 0.31),
        ("kl", 0.0021),
        ("loss", 1e-9),
        ("sampling/tokens_per_second", 31_249.0),
        ("step_time", 2.085),
    ])
}

const LINE: &str =
    "step 12/200  reward 0.413  accuracy 0.31  length 64.2  kl 0.0021  31.2k tok/s  2.1 s/step  left 6 min 32 s";

#[test]
fn one_line_a_step_on_the_stream_and_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (out, log) = (Shared::default(), folder.path().join("log.txt"));
    let progress = Progress::with_view(View::Lines(Mutex::new(Box::new(out.clone()))), &log).unwrap();
    progress.begin_stage("r1_zero", 11, 200);
    progress.begin_rollout(256);
    progress.rollout(10, 3e4);
    progress.begin_update(4);
    progress.say("checkpoint written");
    progress.step_done(12, &metrics()).unwrap();
    progress.finish().unwrap();
    assert_eq!(out.text(), format!("checkpoint written\n{LINE}\n"));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), out.text());
    // A resumed run goes on in the same log.
    Progress::new(ProgressMode::Lines, &log).unwrap();
    assert_eq!(std::fs::read_to_string(&log).unwrap(), out.text());
}

#[test]
fn a_stage_without_rewards_shows_its_loss() {
    let fields = describe(&StepMetrics::from([("loss", 2.31), ("step_time", 0.5)]));
    assert_eq!(fields, ["loss 2.3100", "0.5 s/step"]);
}

#[test]
fn the_bars_show_the_same_and_log_too() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.txt");
    let progress = Progress::with_view(View::Bars(Bars::new(ProgressDrawTarget::hidden())), &log).unwrap();
    progress.begin_stage("r1_zero", 11, 200);
    progress.begin_rollout(256);
    progress.rollout(96, 31_249.0);
    progress.begin_update(16);
    progress.update(4);
    progress.step_done(12, &metrics()).unwrap();
    let View::Bars(bars) = &progress.view else { panic!("bars were asked for") };
    assert_eq!((bars.run.position(), bars.run.length(), bars.run.prefix()), (12, Some(200), "r1_zero".to_owned()));
    assert_eq!(format!("step 12/200  {}", bars.run.message()), LINE);
    assert_eq!((bars.rollout.position(), bars.rollout.message()), (96, "31.2k tok/s".to_owned()));
    assert_eq!((bars.update.position(), bars.update.length()), (4, Some(16)));
    progress.begin_eval(1024);
    assert_eq!((bars.rollout.position(), bars.rollout.prefix()), (0, "evaluate".to_owned()));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), format!("{LINE}\n"));
}

#[test]
fn the_time_left_follows_the_recent_steps() {
    let folder = tempfile::tempdir().unwrap();
    let progress = Progress::new(ProgressMode::Lines, &folder.path().join("log.txt")).unwrap();
    progress.begin_stage("r1_zero", 0, 100);
    let mut state = progress.state();
    assert_eq!(state.seconds_left(1, None), None);
    assert_eq!(state.seconds_left(1, Some(100.0)), Some(9_900.0));
    for step in 2..=21 {
        state.seconds_left(step, Some(1.0));
    }
    // The slow first step has left the window.
    assert_eq!(state.seconds_left(90, Some(1.0)), Some(10.0));
}

#[test]
fn a_log_on_a_full_disk_stops_the_run_at_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.txt");
    std::os::unix::fs::symlink("/dev/full", &log).unwrap();
    let progress = Progress::with_view(View::Lines(Mutex::new(Box::new(io::sink()))), &log).unwrap();
    progress.say("first");
    assert!(progress.step_done(1, &StepMetrics::new()).unwrap_err().is_disk_full());
}
