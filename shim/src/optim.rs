//! What an optimiser does to all parameters at once: AdamW's step, norms, a factor.

use tch::Tensor;

use crate::Result;
use crate::ffi::{self, AdamWNumbers, check, raws};

/// A parameter, its gradient and its two moments, all of one shape.
#[derive(Clone, Copy, Debug)]
pub struct AdamWSlot<'a> {
    /// theta: changed.
    pub parameter: &'a Tensor,
    /// g: only read.
    pub gradient: &'a Tensor,
    /// m: changed.
    pub exp_avg: &'a Tensor,
    /// v: changed.
    pub exp_avg_sq: &'a Tensor,
}

/// The numbers of one step of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    /// The learning rate.
    pub lr: f64,
    /// beta_1 and beta_2.
    pub betas: [f64; 2],
    /// lambda.
    pub weight_decay: f64,
    /// epsilon, outside of the root.
    pub eps: f64,
    /// t: the number of this step, from 1; below 2^24, to which float32 counts.
    pub number: u64,
}

/// One step of AdamW (arXiv 1711.05101, Algorithm 2) for every slot, in one pass over memory.
///
/// ```text
/// theta <- theta (1 - lr lambda)
/// m <- m + (1 - beta_1)(g - m),  v <- beta_2 v + (1 - beta_2) g^2
/// theta <- theta - lr / (1 - beta_1^t) * m / (sqrt(v / (1 - beta_2^t)) + eps)
/// ```
///
/// PyTorch's `torch.optim.AdamW(fused=True)`. Nothing is recorded, so leaves may be given.
///
/// # Errors
/// If the tensors of a slot differ in shape, those of all slots in type or device, or a parameter is not dense. Nothing
/// has changed then.
pub fn adamw(slots: &[AdamWSlot<'_>], step: AdamWStep) -> Result<()> {
    let parameters = raws(slots.iter().map(|slot| slot.parameter));
    let gradients = raws(slots.iter().map(|slot| slot.gradient));
    let exp_avgs = raws(slots.iter().map(|slot| slot.exp_avg));
    let exp_avg_sqs = raws(slots.iter().map(|slot| slot.exp_avg_sq));
    let numbers = AdamWNumbers {
        lr: step.lr,
        beta_1: step.betas[0],
        beta_2: step.betas[1],
        weight_decay: step.weight_decay,
        eps: step.eps,
        step: step.number as f64,
    };
    // SAFETY: four lists of the same length, of tensors that outlive the call; the other side compares their shapes.
    unsafe {
        check(ffi::shim_adamw(
            parameters.as_ptr(),
            gradients.as_ptr(),
            exp_avgs.as_ptr(),
            exp_avg_sqs.as_ptr(),
            slots.len(),
            numbers,
        ))
    }
}

/// The 2-norm of each tensor.
///
/// Squares are summed in float32 (float64 for tensors of that kind), on the CPU in short pieces, and the sums of pieces in
/// float64. So the norm of float32 is right to a few 1e-7 at any length, and of the shorter kinds to 1e-6, where
/// PyTorch's on the CPU is one running sum, off by 1e-4 for 5 million elements and by 4e-3 for 50 million.
///
/// - `tensors`: of one floating kind and on one device
/// - result: `[tensors]`, float64, on that device
///
/// # Errors
/// If there is no tensor, or kinds or devices differ.
pub fn norms(tensors: &[&Tensor]) -> Result<Tensor> {
    let tensors = raws(tensors.iter().copied());
    // SAFETY: pointer and length belong together, and the tensors outlive the call, which writes one tensor.
    unsafe { ffi::one(|result| ffi::shim_norms(tensors.as_ptr(), tensors.len(), result)) }
}

/// Multiplies every tensor by `factor`, in place and without recording.
///
/// # Errors
/// If a tensor cannot be changed in place, such as one that repeats memory.
pub fn scale(tensors: &[&Tensor], factor: f64) -> Result<()> {
    let tensors = raws(tensors.iter().copied());
    // SAFETY: pointer and length belong together, and the tensors outlive the call.
    unsafe { check(ffi::shim_scale(tensors.as_ptr(), tensors.len(), factor)) }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::numbers;

    fn difference(a: &Tensor, b: &Tensor) -> f64 {
        (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
    }

    #[test]
    fn steps_follow_the_formula() {
        let step = |number| AdamWStep { lr: 0.1, betas: [0.8, 0.9], weight_decay: 0.5, eps: 1e-3, number };
        for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-6), (Kind::BFloat16, 5e-2)] {
            for shape in [vec![], vec![7], vec![33, 65], vec![0, 4]] {
                let theta = numbers(&shape, 0, kind).set_requires_grad(true);
                let (m, v) = (theta.zeros_like().detach(), theta.zeros_like().detach());
                let mut expected = theta.detach().to_kind(Kind::Double).copy();
                let (mut exact_m, mut exact_v) = (expected.zeros_like(), expected.zeros_like());
                for number in 1..=4 {
                    let gradient = numbers(&shape, number as u32, kind);
                    let slot = AdamWSlot { parameter: &theta, gradient: &gradient, exp_avg: &m, exp_avg_sq: &v };
                    adamw(&[slot], step(number)).unwrap();
                    let g = gradient.to_kind(Kind::Double);
                    exact_m = exact_m * 0.8 + &g * 0.2;
                    exact_v = exact_v * 0.9 + g.square() * 0.1;
                    let m_hat = &exact_m / (1.0 - 0.8_f64.powi(number as i32));
                    let v_hat = &exact_v / (1.0 - 0.9_f64.powi(number as i32));
                    expected = expected * (1.0 - 0.1 * 0.5) - m_hat / (v_hat.sqrt() + 1e-3) * 0.1;
                }
                if expected.numel() > 0 {
                    assert!(difference(&theta.detach(), &expected) < tolerance, "{kind:?} {shape:?}");
                    assert!(difference(&m, &exact_m) < tolerance, "{kind:?} {shape:?}");
                    assert!(difference(&v, &exact_v) < tolerance, "{kind:?} {shape:?}");
                }
            }
        }
    }

    #[test]
    fn a_gradient_may_lie_otherwise_than_its_parameter() {
        let step = AdamWStep { lr: 1.0, betas: [0.0, 0.0], weight_decay: 0.0, eps: 0.0, number: 1 };
        let zeros = || Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        let (theta, m, v) = (zeros(), zeros(), zeros());
        let gradient = Tensor::from_slice(&[1.0_f32, -2.0, 3.0, -4.0, 5.0, -6.0]).view([3, 2]).transpose(0, 1);
        adamw(&[AdamWSlot { parameter: &theta, gradient: &gradient, exp_avg: &m, exp_avg_sq: &v }], step).unwrap();
        assert_eq!(m, gradient);
        assert_eq!(theta, -gradient.sign());
    }

    #[test]
    fn slots_that_do_not_fit_are_refused_and_nothing_changed() {
        let step = AdamWStep { lr: 0.1, betas: [0.9, 0.9], weight_decay: 0.5, eps: 1e-8, number: 1 };
        let ones = |shape: &[i64], kind| Tensor::ones(shape, (kind, Device::Cpu));
        let (good, other) = (ones(&[3], Kind::Float), ones(&[3], Kind::Float));
        let (short, double) = (ones(&[2], Kind::Float), ones(&[3], Kind::Double));
        let repeated = ones(&[1], Kind::Float).expand([3], false);
        let slot = |parameter, gradient, exp_avg, exp_avg_sq| AdamWSlot { parameter, gradient, exp_avg, exp_avg_sq };
        for (slot, expected) in [
            (slot(&other, &short, &other, &other), "a gradient has shape [2], the parameter [3]"),
            (slot(&other, &other, &short, &other), "exp_avg has shape [2]"),
            (slot(&other, &other, &other, &short), "exp_avg_sq has shape [2]"),
            (slot(&other, &double, &other, &other), "a gradient is Double on cpu, the first parameter Float on cpu"),
            (slot(&double, &double, &double, &double), "a parameter is Double on cpu, the first parameter Float"),
            (slot(&repeated, &other, &other, &other), "not a dense tensor"),
            (slot(&other, &other, &repeated, &other), "lies in memory otherwise"),
        ] {
            let error = adamw(&[fine(&good), slot], step).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(good, ones(&[3], Kind::Float));
        }
        adamw(&[], step).unwrap();
    }

    fn fine(tensor: &Tensor) -> AdamWSlot<'_> {
        AdamWSlot { parameter: tensor, gradient: tensor, exp_avg: tensor, exp_avg_sq: tensor }
    }

    #[test]
    fn norms_are_right_at_any_length() {
        for (kind, tolerance) in [(Kind::Float, 5e-7), (Kind::Double, 1e-14), (Kind::BFloat16, 1e-6)] {
            let tensors: Vec<Tensor> = [3_000_000, 1, 0, 8192, 8193, 40_000, 100]
                .into_iter()
                .map(|length| numbers(&[length], 5, kind))
                .chain([numbers(&[30, 70], 6, kind).transpose(0, 1), numbers(&[], 7, kind)])
                .collect();
            let exact: Vec<f64> = tensors
                .iter()
                .map(|t| t.to_kind(Kind::Double).square().sum(Kind::Double).sqrt().double_value(&[]))
                .collect();
            for chosen in [0..tensors.len(), 5..6, 2..3] {
                let found = norms(&tensors[chosen.clone()].iter().collect::<Vec<_>>()).unwrap();
                assert_eq!((found.kind(), found.size()), (Kind::Double, vec![chosen.len() as i64]));
                for (found, exact) in Vec::<f64>::try_from(found).unwrap().iter().zip(&exact[chosen]) {
                    assert!((found - exact).abs() <= tolerance * exact, "{kind:?}: {found} {exact}");
                }
            }
        }
        assert!(norms(&[]).is_err());
    }

    #[test]
    fn a_factor_goes_into_every_tensor() {
        let leaf = Tensor::from_slice(&[1.0_f32, -2.0]).set_requires_grad(true);
        let view = Tensor::from_slice(&[3.0_f32, 4.0, 5.0]);
        scale(&[&leaf, &view.slice(0, 0, 3, 2)], 0.5).unwrap();
        assert_eq!(Vec::<f32>::try_from(leaf.detach()).unwrap(), [0.5, -1.0]);
        assert_eq!(Vec::<f32>::try_from(&view).unwrap(), [1.5, 4.0, 2.5]);
        assert!(scale(&[&view.narrow(0, 0, 1).expand([3], false)], 0.5).is_err());
        scale(&[], 0.5).unwrap();
    }
}
