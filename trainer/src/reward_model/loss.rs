//! The losses of a reward model, pure functions of its scores.
//!
//! Both are -log sigmoid of a margin: how far a score lies on the right side. So accuracy, margin and loss mean the same
//! for pairs and for labels.

use tch::{Kind, Tensor};

/// s_chosen - s_rejected of each pair, under which -log sigmoid is Bradley and Terry's likelihood of the preference
/// (DeepSeek-R1, arXiv 2501.12948 v2, section 3.1; Ouyang et al. 2022, arXiv 2203.02155, equation 1).
///
/// - `scores`: `[2 * pairs]`: chosen and rejected of the first pair, then of the second; result: `[pairs]`
pub fn margins_of_pairs(scores: &Tensor) -> Tensor {
    let pairs = scores.reshape([-1, 2]);
    pairs.select(1, 0) - pairs.select(1, 1)
}

/// s where the label is true and -s where it is false, under which -log sigmoid is binary cross-entropy with s as the logit
/// of true (the point-wise safety model of DeepSeek-R1, section 3.1).
///
/// - `scores`: `[labels]`; result: `[labels]`
pub fn margins_of_labels(scores: &Tensor, labels: &[bool]) -> Tensor {
    let signs: Vec<f32> = labels.iter().map(|&label| if label { 1.0 } else { -1.0 }).collect();
    scores * Tensor::from_slice(&signs).to_device(scores.device())
}

/// The sum of -log sigmoid(margin) divided by `n_in_batch`, a scalar in nats. Counted over the whole batch, so that cutting
/// it into micro-batches changes nothing.
pub fn log_loss(margins: &Tensor, n_in_batch: f64) -> Tensor {
    -margins.log_sigmoid().sum(Kind::Float) / n_in_batch
}
