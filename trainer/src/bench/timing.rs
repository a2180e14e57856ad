//! Times a phase: warm-up, repetitions within a budget, medians, memory.

use std::time::Instant;

use tch::{Cuda, Device};

use super::Effort;
use super::process;

/// Times phases on a device.
pub(super) struct Stopwatch {
    device: Device,
    effort: Effort,
}

/// What the runs of a phase took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timed {
    /// Median over the measured runs.
    pub(super) seconds: f64,
    pub(super) n_runs: usize,
    /// Resident bytes before the first run, and the most during any of them.
    pub(super) resident_before: Option<u64>,
    pub(super) resident_peak: Option<u64>,
}

impl Stopwatch {
    pub(super) fn new(device: Device, effort: Effort) -> Self {
        Self { device, effort }
    }

    /// Seconds since `began`, once the device has done what it was given.
    pub(super) fn since(&self, began: Instant) -> f64 {
        settle(self.device);
        began.elapsed().as_secs_f64()
    }

    /// Repeats `run`, which gives the seconds that count, and takes the median.
    ///
    /// # Errors
    /// The first error of `run`.
    pub(super) fn repeat<E>(&self, mut run: impl FnMut() -> Result<f64, E>) -> Result<Timed, E> {
        settle(self.device);
        let before = process::resident();
        process::forget_peak();
        let began = Instant::now();
        let mut seconds = vec![run()?];
        if began.elapsed().as_secs_f64() <= self.effort.seconds / 2.0 {
            // The first run allocated and compiled what all others find.
            seconds.clear();
            while seconds.is_empty()
                || (seconds.len() < self.effort.repetitions && began.elapsed().as_secs_f64() < self.effort.seconds)
            {
                seconds.push(run()?);
            }
        }
        Ok(Timed {
            n_runs: seconds.len(),
            seconds: median(&mut seconds),
            resident_before: before.map(|resident| resident.now),
            resident_peak: process::resident().map(|resident| resident.peak),
        })
    }
}

/// Waits until the device has done what it was given.
pub(super) fn settle(device: Device) {
    if let Device::Cuda(number) = device {
        Cuda::synchronize(number as i64);
    }
}

/// The middle value, or the mean of the two in the middle.
///
/// # Panics
/// If there is none.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values[values.len() / 2];
    if values.len() % 2 == 1 { upper } else { (values[values.len() / 2 - 1] + upper) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 9.0]), 3.0);
    }

    #[test]
    fn a_first_run_warms_up_unless_it_takes_the_budget() {
        let check = |seconds: f64, times: &[f64], n_runs: usize, expected: f64| {
            let watch = Stopwatch::new(Device::Cpu, Effort { repetitions: 3, seconds });
            let mut times = times.iter();
            let timed = watch.repeat(|| times.next().copied().ok_or(())).expect("as many runs as times");
            assert_eq!((timed.n_runs, timed.seconds), (n_runs, expected));
        };
        check(60.0, &[9.0, 3.0, 1.0, 2.0], 3, 2.0);
        check(0.0, &[9.0], 1, 9.0);
    }
}
