//! Sums over the completions that flat tokens belong to.

use tch::{Kind, Tensor};

/// Which completion each token of a flat batch belongs to.
#[derive(Debug)]
pub struct Sequences {
    /// int64, `[n_tokens]`, in `0..n_sequences`.
    index: Tensor,
    n_sequences: i64,
}

impl Sequences {
    /// Of completions with these lengths, one after the other.
    pub fn of(lengths: &[usize], device: tch::Device) -> Self {
        let index: Vec<i64> =
            lengths.iter().enumerate().flat_map(|(i, &length)| std::iter::repeat_n(i as i64, length)).collect();
        Self { index: Tensor::from_slice(&index).to_device(device), n_sequences: lengths.len() as i64 }
    }

    pub(super) fn n_tokens(&self) -> i64 {
        self.index.size()[0]
    }

    /// At each token the sum over its completion. `values`: `[n_tokens]`, may carry a graph.
    pub(super) fn sum(&self, values: &Tensor) -> Tensor {
        Tensor::zeros([self.n_sequences], (values.kind(), values.device()))
            .index_add(0, &self.index, values)
            .index_select(0, &self.index)
    }

    /// At each token the mean over those tokens of its completion that are counted.
    ///
    /// - `values`: 0 where `counted`, bool, is false
    pub(super) fn mean(&self, values: &Tensor, counted: &Tensor) -> Tensor {
        let n_counted = self.sum(&counted.to_kind(values.kind())).clamp_min(1.0);
        self.sum(values) / n_counted
    }
}

/// `values` where `counted`, and 0 elsewhere, whatever stands there: neither value nor gradient of the rest goes on.
pub(super) fn only(values: &Tensor, counted: &Tensor) -> Tensor {
    values.where_self(counted, &values.zeros_like())
}

/// float32 and float64 bool masks of weights that are not 0.
pub(super) fn counted(weights: &Tensor) -> Tensor {
    weights.ne(0.0).to_kind(Kind::Bool)
}
