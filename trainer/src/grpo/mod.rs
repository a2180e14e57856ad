//! Group Relative Policy Optimization: rewards to advantages, trajectories to micro-batches, log-probabilities to a
//! loss.
//!
//! The order is that of DeepSeekMath's Algorithm 1 (Shao et al. 2024, arXiv 2402.03300): [`advantages`] over whole
//! groups first, then [`split`] into minibatches, then for each minibatch [`token_weights`] (the normaliser, counted
//! once), [`micro_batches`] (only how much is computed at a time) and [`grpo_loss`] per chunk of tokens.

mod advantage;
mod batch;
mod choice;
mod entropy;
mod loss;
mod objective;
mod sequences;
mod stats;
mod surrogate;
mod weights;

pub use advantage::{
    AdvantageRule, AdvantageScale, Baseline, RewardCombination, STD_EPSILON, StdDivisor, StepReward, WeightedScore,
    advantages, cost_to_go, decoupled_advantages, kl_estimates, per_token, process_advantages, whiten,
};
pub use batch::{Extent, MicroBatch, SplitError, Trajectory, has_gradient, micro_batches, split};
pub use choice::{Covariance, clippable, covariances, entropy_threshold, greatest};
pub use entropy::{AdaptiveEntropy, EntropyControl};
pub use loss::{Chosen, LossError, MAX_LOG_RATIO, TokenBatch, grpo_loss};
pub use objective::{
    Importance, ImportanceAction, ImportanceLevel, KlEstimator, Objective, RatioLevel, Scope, Surrogate,
};
pub use sequences::Sequences;
pub use stats::LossStats;
pub use weights::{Aggregation, Shares, token_weights};
