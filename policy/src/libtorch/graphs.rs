//! Decoding steps recorded as CUDA graphs: started as one, instead of hundreds of kernels that the processor launches.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shim::cuda::Graph;
use tch::Device;

use super::weights::Weights;
use crate::network::{Kernels, Network};

/// Steps of a size that are computed before one is recorded: the first ones load kernels, and a size that is seen no more
/// often is not worth the recording, which takes the processor as long as a step does.
const WARM_UP: usize = 2;

/// Whether a recording has failed in this process. It costs memory for good, so it is not tried again.
static BROKEN: AtomicBool = AtomicBool::new(false);

/// The recorded steps of one cache, by number of rows.
#[derive(Debug)]
pub(crate) struct Graphs {
    /// The GPU; none where steps are not recorded.
    device: Option<usize>,
    steps: Vec<Step>,
    /// What the recorded steps read. Held, so that the memory stays theirs.
    weights: Option<Arc<Weights>>,
}

#[derive(Debug)]
struct Step {
    n_rows: i64,
    n_seen: usize,
    recorded: Option<Graph>,
}

impl Graphs {
    pub(crate) fn new(network: &Network) -> Self {
        let device = match (network.kernels, network.device) {
            // Only this attention takes the same shapes at every step.
            (Kernels::Flash, Device::Cuda(device)) => Some(device),
            _ => None,
        };
        Self { device, steps: Vec::new(), weights: None }
    }

    /// Forgets the recorded steps, because memory that they know is no longer in use.
    pub(crate) fn clear(&mut self) {
        self.steps.clear();
        self.weights = None;
    }

    /// Runs `step`, or what was recorded of it.
    ///
    /// - `step`: works on memory that stays where it is, and leaves nothing anywhere else
    /// - `n_rows`: all that differs from one step to another beside `weights` and the contents of memory
    pub(crate) fn run(&mut self, weights: &Arc<Weights>, n_rows: i64, step: impl Fn()) {
        let Some(device) = self.device.filter(|_| !BROKEN.load(Ordering::Relaxed)) else { return step() };
        if !self.weights.as_ref().is_some_and(|held| Arc::ptr_eq(held, weights)) {
            self.clear();
            self.weights = Some(weights.clone());
        }
        let index = self.steps.iter().position(|known| known.n_rows == n_rows).unwrap_or_else(|| {
            self.steps.push(Step { n_rows, n_seen: 0, recorded: None });
            self.steps.len() - 1
        });
        self.steps[index].n_seen += 1;
        if self.steps[index].recorded.is_none() {
            if self.steps[index].n_seen <= WARM_UP {
                return step();
            }
            match self.record(device, &step) {
                Ok(recorded) => self.steps[index].recorded = Some(recorded),
                Err(reason) => {
                    BROKEN.store(true, Ordering::Relaxed);
                    eprintln!(
                        "warning: a decoding step could not be recorded as a CUDA graph ({reason}); sampling goes on without, \
                         more slowly"
                    );
                    return step();
                }
            }
        }
        let graph = self.steps[index].recorded.as_ref().expect("just recorded");
        graph.replay().expect("a recorded step runs again");
    }

    /// Nothing of the step is computed yet.
    fn record(&self, device: usize, step: &impl Fn()) -> Result<Graph, String> {
        // One memory for all: a step leaves nothing behind in it, so that they may be replayed in any order.
        let shared = self.steps.iter().find_map(|step| step.recorded.as_ref());
        let work = || {
            catch_unwind(AssertUnwindSafe(step)).map_err(|panic| {
                let text = panic.downcast_ref::<String>().map_or("an operation that waits for the GPU", String::as_str);
                text.lines().next().unwrap_or_default().to_owned()
            })
        };
        Graph::capture(device, shared, work).map(|(graph, ())| graph).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tch::Kind;

    use super::*;

    #[test]
    fn a_step_that_cannot_be_recorded_is_computed_every_time() {
        let config = crate::ModelConfig::load(
            &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models/qwen2_tied"),
        )
        .unwrap();
        let parameters = crate::random_parameters(&config, 1.0, |_, n| vec![0.0; n]);
        let weights = Arc::new(Weights::bind(&config, &parameters, Kind::Float));
        // There is no such GPU on any machine.
        let mut graphs = Graphs { device: Some(1000), steps: Vec::new(), weights: None };
        let n_steps = Cell::new(0);
        for expected in 1..=5 {
            graphs.run(&weights, 8, || n_steps.set(n_steps.get() + 1));
            assert_eq!(n_steps.get(), expected);
            assert_eq!(BROKEN.load(Ordering::Relaxed), expected > WARM_UP as i64);
        }
    }
}
