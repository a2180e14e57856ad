//! Wall time of one part after another.

use std::time::Instant;

use tch::{Cuda, Device};

use super::metrics::{StepMetrics, names};

/// Wall time of the parts of updates, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpdateSeconds {
    /// Through the blocks.
    pub forward: f64,
    /// Through the vocabulary head and the loss, and back through the head.
    pub head: f64,
    /// Back through the blocks.
    pub backward: f64,
    /// Clipping, and the optimiser's step.
    pub optimizer: f64,
}

impl UpdateSeconds {
    /// All of them.
    pub fn sum(&self) -> f64 {
        self.forward + self.head + self.backward + self.optimizer
    }

    /// Under their names.
    pub fn metrics(&self) -> StepMetrics {
        StepMetrics::from([
            (names::TIMING_FORWARD, self.forward),
            (names::TIMING_HEAD, self.head),
            (names::TIMING_BACKWARD, self.backward),
            (names::TIMING_OPTIMIZER, self.optimizer),
        ])
    }
}

/// Reads the time between two moments; on a GPU, whose work goes on after it was asked for, once that work is done.
pub struct Stopwatch {
    device: Device,
    last: Instant,
}

impl Stopwatch {
    /// Starts now.
    pub fn start(device: Device) -> Self {
        let mut watch = Self { device, last: Instant::now() };
        watch.lap();
        watch
    }

    /// Seconds since it was started or last read.
    pub fn lap(&mut self) -> f64 {
        if let Device::Cuda(number) = self.device {
            Cuda::synchronize(number as i64);
        }
        let now = Instant::now();
        let seconds = (now - self.last).as_secs_f64();
        self.last = now;
        seconds
    }
}
