//! The master weights in the form that a forward pass reads.

use std::sync::Arc;

use crate::cpu::weights::PackedWeights;
use crate::libtorch;

/// All parameters of the decoder in compute format; to be made again after the masters change.
#[derive(Clone, Debug)]
pub struct Weights(pub(crate) Form);

#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// For kernels of our own.
    Packed(Arc<PackedWeights>),
    /// For libtorch. Bound with gradients on, they are part of the graph: casts and concatenations are differentiated, and
    /// gradients arrive at the float32 masters.
    Tensors(Arc<libtorch::weights::Weights>),
}
