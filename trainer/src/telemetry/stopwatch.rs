//! Wall time of one part after another.

use std::time::Instant;

use tch::{Cuda, Device};

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
