//! AdamW with a state that can be saved, the clipping of the global gradient norm, and learning-rate schedules.

mod adamw;
mod clip;
mod schedule;
mod state;

pub use adamw::{AdamW, AdamWConfig, DecayScope};
pub use clip::{NonFiniteGradient, clip_grad_norm};
pub use schedule::{Decay, Schedule};
pub use state::StateError;

/// Numbers from which on a second thread is worth waiting for.
const WORTH_THREADS: usize = 1 << 22;

/// Lets libtorch go over `n` numbers on as many threads as pay. Its threads spin while they wait for one another: beside
/// other work on the machine, a pass of microseconds becomes one of time slices. So it is left with one
/// ([`crate::machine::set_threads`]) but for this.
fn with_threads_for<T>(n: usize, run: impl FnOnce() -> T) -> T {
    if n < WORTH_THREADS {
        return run();
    }
    tch::set_num_threads(rayon::current_num_threads() as i32);
    let result = run();
    tch::set_num_threads(1);
    result
}
