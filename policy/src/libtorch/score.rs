//! The head of a reward model: one number for each row, and its gradients, without a graph.

use tch::{Kind, Tensor};

/// `[rows]`, float32: the scores of `hidden`, `[rows, hidden]`, under `head`, `[1, hidden]`. In float32 whatever the network
/// computes in: bfloat16 would round a difference of scores that decides a pair.
pub(crate) fn scores(hidden: &Tensor, head: &Tensor) -> Tensor {
    tch::no_grad(|| hidden.to_kind(Kind::Float).matmul(&head.to_kind(Kind::Float).reshape([-1])))
}

/// The gradients of `hidden` and, in float32, of `head`, from those of the scores.
pub(crate) fn backward(hidden: &Tensor, head: &Tensor, d_scores: &Tensor) -> (Tensor, Tensor) {
    tch::no_grad(|| {
        let d_scores = d_scores.unsqueeze(1);
        let d_hidden = &d_scores * head.to_kind(Kind::Float);
        (d_hidden, d_scores.transpose(0, 1).matmul(&hidden.to_kind(Kind::Float)))
    })
}
