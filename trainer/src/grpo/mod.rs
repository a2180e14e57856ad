//! Group Relative Policy Optimization: rewards to advantages, trajectories to micro-batches, log-probabilities to a
//! loss.
//!
//! The order is that of DeepSeekMath's Algorithm 1 (Shao et al. 2024, arXiv 2402.03300): [`advantages`] over whole
//! groups first, then [`split`] into minibatches, then for each minibatch [`token_weights`] (the normaliser, counted
//! once), [`micro_batches`] (only how much is computed at a time) and [`grpo_loss`] per chunk of tokens.

mod advantage;
mod batch;
mod loss;
mod stats;
mod weights;

pub use advantage::{AdvantageScale, RewardCombination, STD_EPSILON, WeightedScore, advantages, decoupled_advantages};
pub use batch::{MicroBatch, SplitError, Trajectory, has_gradient, micro_batches, split};
pub use loss::{LossError, MAX_LOG_RATIO, Objective, TokenBatch, grpo_loss};
pub use stats::LossStats;
pub use weights::{Aggregation, token_weights};
