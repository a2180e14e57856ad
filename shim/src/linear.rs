//! The linear layer over weights that oneDNN has packed once, for inference on the CPU.

use std::ptr::null_mut;

use tch::{Device, Kind, Tensor};

use crate::ffi::{self, raw};
use crate::{Error, Result};

/// `x W^T + b`, with `W` laid out for oneDNN's matrix product beforehand.
///
/// The packed weight is a copy: after an update of the weight it has to be made again, which takes one pass over it.
#[derive(Debug)]
pub struct PackedLinear {
    /// In a layout of oneDNN's that only its operations read.
    packed: Tensor,
    bias: Option<Tensor>,
    n_in: i64,
    kind: Kind,
}

impl PackedLinear {
    /// Packs a weight.
    ///
    /// - `weight`: `[out, in]`, float32 or bfloat16, on the CPU
    /// - `bias`: `[out]`, of the same kind
    /// - `rows`: about how many rows an input will have; the layout is best for that, and right for any
    ///
    /// # Errors
    /// If shape, kind or device are others, or oneDNN has no product of this kind on this processor (bfloat16 needs
    /// AVX-512).
    pub fn new(weight: &Tensor, bias: Option<&Tensor>, rows: usize) -> Result<Self> {
        let (shape, kind) = (weight.size(), weight.kind());
        let [n_out, n_in] = *shape.as_slice() else {
            return Err(Error(format!("a weight has two axes, not {shape:?}")));
        };
        if weight.device() != Device::Cpu || !matches!(kind, Kind::Float | Kind::BFloat16) {
            return Err(Error(format!(
                "weights are packed in float32 or bfloat16 on the CPU, not in {kind:?} elsewhere"
            )));
        }
        if let Some(bias) = bias.filter(|bias| bias.size() != [n_out] || bias.kind() != kind) {
            let (shape, its_kind) = (bias.size(), bias.kind());
            return Err(Error(format!("the bias is {its_kind:?} {shape:?}, the weight needs {kind:?} [{n_out}]")));
        }
        // SAFETY: the weight outlives the call, which writes one tensor.
        let packed = unsafe { ffi::one(|result| ffi::shim_pack(raw(weight), rows as i64, result)) }?;
        Ok(Self { packed, bias: bias.map(Tensor::detach), n_in, kind })
    }

    /// The layer's output for `x`, without a graph.
    ///
    /// - `x`: `[..., in]`, of the weight's kind; result: `[..., out]`
    ///
    /// # Errors
    /// If shape, kind or device do not fit, or a gradient would be lost: `x` requires one and recording is on.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let shape = x.size();
        if shape.last() != Some(&self.n_in) || x.kind() != self.kind || x.device() != Device::Cpu {
            let (kind, device) = (x.kind(), x.device());
            return Err(Error(format!(
                "the input is {kind:?} {shape:?} on {device:?}, the packed weight needs {:?} [..., {}] on the CPU",
                self.kind, self.n_in
            )));
        }
        let bias = self.bias.as_ref().map_or(null_mut(), raw);
        // SAFETY: the tensors outlive the call, which writes one tensor.
        unsafe { ffi::one(|result| ffi::shim_packed_linear(raw(x), raw(&self.packed), bias, result)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers;

    /// None where this processor has no such product; that of float32 is everywhere.
    fn pack(weight: &Tensor, bias: Option<&Tensor>) -> Option<PackedLinear> {
        match PackedLinear::new(weight, bias, 16) {
            Ok(layer) => Some(layer),
            Err(error) => {
                assert!(weight.kind() == Kind::BFloat16, "{error}");
                None
            }
        }
    }

    #[test]
    fn equal_to_the_linear_layer() {
        for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 1e-2)] {
            for (n_in, n_out) in [(8, 4), (48, 20), (128, 704), (896, 131)] {
                let (weight, bias) = (numbers(&[n_out, n_in], 1, kind), numbers(&[n_out], 1, kind));
                for bias in [None, Some(&bias)] {
                    let Some(layer) = pack(&weight, bias) else { continue };
                    for shape in
                        [vec![1, n_in], vec![7, n_in], vec![64, n_in], vec![2, 3, n_in], vec![n_in], vec![0, n_in]]
                    {
                        let x = numbers(&shape, 1, kind);
                        let (found, expected) = (layer.forward(&x).unwrap(), x.linear(&weight, bias));
                        assert_eq!((found.size(), found.kind()), (expected.size(), kind), "{shape:?} to {n_out}");
                        if found.numel() == 0 {
                            continue;
                        }
                        let (found, expected) = (found.to_kind(Kind::Double), expected.to_kind(Kind::Double));
                        let worst = (found - &expected).abs().max() / expected.abs().max();
                        assert!(worst.double_value(&[]) < tolerance, "{kind:?} {shape:?} to {n_out}: {worst}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let weight = numbers(&[4, 8], 1, Kind::Float);
        let refused =
            |weight: &Tensor, bias: Option<&Tensor>| PackedLinear::new(weight, bias, 16).unwrap_err().to_string();
        assert!(refused(&weight.view([-1]), None).contains("two axes"));
        assert!(refused(&weight.to_kind(Kind::Double), None).contains("float32 or bfloat16"));
        assert!(refused(&weight, Some(&numbers(&[8], 1, Kind::Float))).contains("the bias is Float [8]"));
        assert!(refused(&weight, Some(&numbers(&[4], 1, Kind::Double))).contains("the bias is Double [4]"));

        let layer = PackedLinear::new(&weight, None, 16).unwrap();
        for x in [numbers(&[2, 4], 1, Kind::Float), numbers(&[2, 8], 1, Kind::BFloat16), numbers(&[], 1, Kind::Float)] {
            let error = layer.forward(&x).unwrap_err().to_string();
            assert!(error.contains("the packed weight needs Float [..., 8]"), "{error}");
        }
        let x = numbers(&[2, 8], 1, Kind::Float).set_requires_grad(true);
        assert!(layer.forward(&x).unwrap_err().to_string().contains("for inference"));
        assert!(!tch::no_grad(|| layer.forward(&x)).unwrap().requires_grad());
    }

    #[test]
    fn a_packed_weight_is_a_copy() {
        let weight = numbers(&[4, 8], 1, Kind::Float).set_requires_grad(true);
        let x = numbers(&[3, 8], 1, Kind::Float);
        let layer = PackedLinear::new(&weight, None, 3).unwrap();
        let before = layer.forward(&x).unwrap();
        tch::no_grad(|| {
            let _ = weight.shallow_clone().zero_();
        });
        assert_eq!(layer.forward(&x).unwrap(), before);
    }
}
