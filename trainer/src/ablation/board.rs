//! Shows how the runs of an ablation go on: one bar for each running one on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::jobs::Ending;
use super::runs::{PlannedRun, RunState};
use crate::telemetry::ProgressMode;
use crate::telemetry::format::duration;

/// The display on standard error.
pub struct Board {
    bars: Option<MultiProgress>,
    running: BTreeMap<usize, Shown>,
    labels: Vec<String>,
    waiting: Vec<usize>,
    n_done: usize,
    n_jobs: usize,
    /// Seconds that finished runs took.
    seconds: Vec<f64>,
}

/// A running run as it is shown.
struct Shown {
    bar: Option<ProgressBar>,
    /// The last tenth of its steps of which a line was printed.
    tenth: u64,
}

impl Board {
    /// Nothing runs yet.
    pub fn new(mode: ProgressMode, runs: &[PlannedRun], n_jobs: usize) -> Board {
        Board {
            bars: (mode == ProgressMode::Bars).then(MultiProgress::new),
            running: BTreeMap::new(),
            labels: runs.iter().map(|run| run.label.clone()).collect(),
            waiting: Vec::new(),
            n_done: runs.iter().filter(|run| run.state == RunState::Done).count(),
            n_jobs,
            seconds: runs.iter().filter_map(|run| Some(run.summary()?.wall_seconds)).collect(),
        }
    }

    /// A line above the bars.
    pub fn say(&self, line: &str) {
        match &self.bars {
            // Standard error may be closed; that is no reason to stop.
            Some(bars) => drop(bars.println(line)),
            None => eprintln!("{line}"),
        }
    }

    /// A run begins, or goes on.
    pub fn started(&mut self, run_idx: usize) {
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template("{prefix:>24.bold} {bar:24.cyan/white.dim} {msg}")
                .expect("the template is constant and tested");
            let bar = bars.add(ProgressBar::new(1).with_style(style.progress_chars("━╸─")));
            bar.set_prefix(self.labels[run_idx].clone());
            bar.tick();
            bar
        });
        if bar.is_none() {
            self.say(&format!("{}: started", self.labels[run_idx]));
        }
        self.running.insert(run_idx, Shown { bar, tenth: 0 });
    }

    /// A run cannot begin, because a process of an earlier start still writes to its folder.
    pub fn waits(&mut self, run_idx: usize) {
        if !self.waiting.contains(&run_idx) {
            self.waiting.push(run_idx);
            self.say(&format!("{}: waiting for a process of an earlier start to save and stop", self.labels[run_idx]));
        }
    }

    /// What a running run has said last, `step 20/200  reward ...`.
    pub fn shows(&mut self, run_idx: usize, line: Option<&str>) {
        let Some((line, (step, n_steps))) = line.and_then(|line| Some((line, position(line)?))) else { return };
        let Some(shown) = self.running.get_mut(&run_idx) else { return };
        if let Some(bar) = &shown.bar {
            bar.set_length(n_steps);
            bar.set_position(step);
            bar.set_message(line.trim_start_matches("step ").to_owned());
            return;
        }
        let tenth = 10 * step / n_steps.max(1);
        if tenth > shown.tenth {
            shown.tenth = tenth;
            self.say(&format!("{}: {line}", self.labels[run_idx]));
        }
    }

    /// A run has ended.
    pub fn ended(&mut self, run_idx: usize, ending: &Ending) {
        if let Some(bar) = self.running.remove(&run_idx).and_then(|shown| shown.bar) {
            bar.finish_and_clear();
        }
        let label = &self.labels[run_idx];
        match ending {
            Ending::Stopped => self.say(&format!("{label}: stopped and saved")),
            Ending::Failed(reason) => self.say(&format!("{label}: failed: {reason}")),
            Ending::Done => self.n_done += 1,
        }
    }

    /// A run is done that took `seconds`, all its starts together.
    pub fn took(&mut self, run_idx: usize, seconds: f64) {
        self.seconds.push(seconds);
        let left = self.seconds_left(self.labels.len() - self.n_done);
        let left = left
            .filter(|seconds| *seconds > 0.0)
            .map_or(String::new(), |left| format!(", about {} left", duration(left)));
        let (label, took) = (&self.labels[run_idx], duration(seconds));
        self.say(&format!("{label}: done in {took}; {} of {} runs{left}", self.n_done, self.labels.len()));
    }

    /// Seconds that `n_runs` more will take, by those that are finished; None before the first.
    pub fn seconds_left(&self, n_runs: usize) -> Option<f64> {
        let mean = self.seconds.iter().sum::<f64>() / self.seconds.len() as f64;
        (!self.seconds.is_empty()).then(|| mean * n_runs.div_ceil(self.n_jobs) as f64)
    }
}

/// The numbers of `step 20/200  ...`.
fn position(line: &str) -> Option<(u64, u64)> {
    let (step, n_steps) = line.strip_prefix("step ")?.split_whitespace().next()?.split_once('/')?;
    Some((step.parse().ok()?, n_steps.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::position;

    #[test]
    fn the_step_is_read_from_a_line() {
        let check = |line: &str, expected: Option<(u64, u64)>| assert_eq!(position(line), expected);
        check("step 20/200  reward 0.413  left 5 min", Some((20, 200)));
        check("step 3: held-out pass@1 0.5", None);
        check("evaluating 4 held-out problems", None);
    }
}
