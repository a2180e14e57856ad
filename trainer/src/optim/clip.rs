//! The global gradient norm: measured, checked, and bounded.

use tch::{Kind, Tensor};

/// A gradient that must not reach the optimiser.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the gradient norm of `{parameter}` is not finite: {n_non_finite} of {n_elements} elements are NaN or infinite"
)]
pub struct NonFiniteGradient {
    /// The first such parameter, in the order given.
    pub parameter: String,
    /// Its gradient's elements that are NaN or infinite; 0 if all are finite and only the norm overflows.
    pub n_non_finite: u64,
    /// Elements of the parameter.
    pub n_elements: u64,
}

/// Scales all gradients so that their joint 2-norm is at most `max_norm`, and returns the norm *before* that.
///
/// As `torch.nn.utils.clip_grad_norm_`: the factor is `max_norm / (norm + 1e-6)`, if below 1. The norm is right to a few
/// 1e-7 at any size ([`shim::optim::norms`]); PyTorch's running sum of float32 squares is off by 1e-4 for 5 million
/// elements on a CPU and by 4e-3 for 50 million. A gradient that is not defined counts as zero. `f64::INFINITY` as
/// `max_norm` only measures.
///
/// # Errors
/// If the norm is not finite; no gradient has been changed then.
///
/// # Panics
/// If `max_norm` is negative or NaN, or the gradients are not all of one kind and on one device.
pub fn clip_grad_norm(parameters: &[(String, Tensor)], max_norm: f64) -> Result<f64, NonFiniteGradient> {
    assert!(max_norm >= 0.0, "max_norm is {max_norm}");
    let gradients: Vec<(&str, Tensor)> = parameters
        .iter()
        .map(|(name, parameter)| (name.as_str(), parameter.grad()))
        .filter(|(_, gradient)| gradient.defined())
        .collect();
    if gradients.is_empty() {
        return Ok(0.0);
    }
    let tensors: Vec<&Tensor> = gradients.iter().map(|(_, gradient)| gradient).collect();
    // Of all gradients together, so that a GPU is waited for once.
    let n = tensors.iter().map(|gradient| gradient.numel()).sum();
    let norms = super::with_threads_for(n, || shim::optim::norms(&tensors));
    let norms = norms.expect("gradients are of one kind and on one device");
    let norm = norms.square().sum(Kind::Double).sqrt().double_value(&[]);
    if !norm.is_finite() {
        return Err(first_non_finite(&gradients, &norms));
    }
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 {
        super::with_threads_for(n, || shim::optim::scale(&tensors, factor)).expect("a gradient has memory of its own");
    }
    Ok(norm)
}

fn first_non_finite(gradients: &[(&str, Tensor)], norms: &Tensor) -> NonFiniteGradient {
    // argmax of the flags: the first that is set. Only norms whose squares add up beyond 1e308 in float64 set none, and
    // any gradient may be named then.
    let index = norms.isfinite().logical_not().to_kind(Kind::Uint8).argmax(0, false).int64_value(&[]) as usize;
    let (name, gradient) = &gradients[index];
    let n_finite = gradient.isfinite().sum(Kind::Int64).int64_value(&[]) as u64;
    let n_elements = gradient.numel() as u64;
    NonFiniteGradient { parameter: (*name).to_owned(), n_non_finite: n_elements - n_finite, n_elements }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(gradients: &[(&str, &[f32])]) -> Vec<(String, Tensor)> {
        gradients
            .iter()
            .map(|(name, gradient)| {
                let parameter = Tensor::zeros([gradient.len() as i64], (Kind::Float, tch::Device::Cpu));
                let parameter = parameter.set_requires_grad(true);
                (&parameter * Tensor::from_slice(gradient)).sum(Kind::Float).backward();
                ((*name).to_owned(), parameter)
            })
            .collect()
    }

    fn gradients(parameters: &[(String, Tensor)]) -> Vec<Vec<f32>> {
        parameters.iter().map(|(_, parameter)| Vec::try_from(parameter.grad()).unwrap()).collect()
    }

    #[test]
    fn scales_to_the_bound_and_never_up() {
        let long = parameters(&[("a", &[3.0, 0.0]), ("b", &[-4.0])]);
        assert_eq!(clip_grad_norm(&long, 1.0), Ok(5.0));
        let factor = (1.0 / (5.0 + 1e-6)) as f32;
        assert_eq!(gradients(&long), [vec![3.0 * factor, 0.0], vec![-4.0 * factor]]);
        for bound in [5.1, f64::INFINITY] {
            let short = parameters(&[("a", &[3.0, 0.0]), ("b", &[-4.0])]);
            assert_eq!(clip_grad_norm(&short, bound), Ok(5.0));
            assert_eq!(gradients(&short), [vec![3.0, 0.0], vec![-4.0]]);
        }
    }

    #[test]
    fn a_parameter_without_gradient_counts_as_zero() {
        let mut some = parameters(&[("a", &[3.0, 4.0])]);
        some.push(("unused".to_owned(), Tensor::zeros([2], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true)));
        assert_eq!(clip_grad_norm(&some, 1.0), Ok(5.0));
        assert_eq!(clip_grad_norm(&some[1..], 1.0), Ok(0.0));
        assert_eq!(clip_grad_norm(&[], 1.0), Ok(0.0));
    }

    #[test]
    fn the_first_bad_gradient_is_named_and_nothing_changed() {
        for (bad, n_non_finite) in [(f32::NAN, 1), (f32::INFINITY, 1), (f32::NEG_INFINITY, 1), (3e38, 0)] {
            let faulty = parameters(&[("fine", &[3.0]), ("bad", &[100.0, bad, 3e38, 3e30]), ("worse", &[f32::NAN])]);
            let error = clip_grad_norm(&faulty, 1.0).unwrap_err();
            assert_eq!(error, NonFiniteGradient { parameter: "bad".to_owned(), n_non_finite, n_elements: 4 }, "{bad}");
            assert_eq!(gradients(&faulty)[0], [3.0]);
            assert_eq!(gradients(&faulty)[1][0], 100.0);
        }
    }
}
