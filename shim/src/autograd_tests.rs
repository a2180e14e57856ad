//! Nodes and backward passes against libtorch's own.

use std::sync::Arc;

use tch::{Device, Kind, TchError};

use super::*;

fn leaf(values: &[f64]) -> Tensor {
    Tensor::from_slice(values).set_requires_grad(true)
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().flatten(0, -1)).unwrap()
}

/// `a b` and `sin a` as one node with two outputs, differentiated by hand.
fn product_and_sine(a: &Tensor, b: &Tensor) -> Vec<Tensor> {
    let outputs = tch::no_grad(|| vec![a * b, a.sin()]);
    let (kept_a, kept_b) = (a.detach(), b.detach());
    node(&[a, b], outputs, move |gradients| {
        let [product, sine] = <[Option<Tensor>; 2]>::try_from(gradients).map_err(|_| "two outputs")?;
        let of_product = product.as_ref().map(|g| g * &kept_b);
        let of_sine = sine.map(|g| g * kept_a.cos());
        let d_a = match (of_product, of_sine) {
            (Some(one), Some(other)) => Some(one + other),
            (one, other) => one.or(other),
        };
        Ok(vec![d_a, product.map(|g| g * &kept_a)])
    })
    .unwrap()
}

#[test]
fn a_node_among_other_operations_has_their_gradient() {
    let (a, b) = (leaf(&[0.5, -1.0, 2.0]), leaf(&[3.0, 0.25, -2.0]));
    let losses: [fn(&Tensor, &Tensor) -> Tensor; 3] = [
        |product, sine| (product.exp() * sine).sum(Kind::Double),
        |product, _| product.square().sum(Kind::Double),
        |_, sine| sine.square().sum(Kind::Double),
    ];
    for (case, loss) in losses.into_iter().enumerate() {
        // `a` also goes around the node, and `b` into it through another operation.
        let scaled = &b * 3;
        let outputs = product_and_sine(&a, &scaled);
        let ours = loss(&outputs[0], &outputs[1]) + a.sum(Kind::Double);
        let theirs = loss(&(&a * &scaled), &a.sin()) + a.sum(Kind::Double);
        assert_eq!(values(&ours), values(&theirs));
        let one = Tensor::from(1.0);
        let gradient = |loss: &Tensor| vjp(&[(loss, &one)], &[&a, &b], Graph::Keep).unwrap();
        for (ours, theirs) in gradient(&ours).into_iter().zip(gradient(&theirs)) {
            assert_eq!(ours.is_some(), theirs.is_some(), "loss {case}");
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                assert!((&ours - &theirs).abs().max().double_value(&[]) < 1e-12, "loss {case}: {ours} {theirs}");
            }
        }
    }
}

/// A node from `x` to a copy of it.
fn identity(
    x: &Tensor,
    backward: impl FnMut(Vec<Option<Tensor>>) -> std::result::Result<Vec<Option<Tensor>>, BackwardError> + Send + 'static,
) -> Tensor {
    node(&[x], vec![x.detach().copy()], backward).unwrap().remove(0)
}

#[test]
fn what_fails_in_a_closure_is_the_error_of_the_pass() {
    let x = leaf(&[1.0, 2.0]);
    let g = Tensor::from_slice(&[1.0, 1.0]);
    #[track_caller]
    fn check(output: &Tensor, x: &Tensor, g: &Tensor, expected: &str) {
        let through_ours = vjp(&[(output, g)], &[x], Graph::Keep).unwrap_err().to_string();
        assert!(through_ours.contains(expected), "{through_ours}");
        let into_leaves = backward(&[(output, g)], Graph::Keep).unwrap_err().to_string();
        assert!(into_leaves.contains(expected) || into_leaves.contains("has panicked before"), "{into_leaves}");
        assert!(!x.grad().defined());
    }
    check(&identity(&x, |_| Err("no such luck".into())), &x, &g, "no such luck");
    check(&identity(&x, |_| panic!("not {}", "today")), &x, &g, "panic in a backward pass: not today");
    check(&identity(&x, |_| Ok(Vec::new())), &x, &g, "returned 0 gradients for 1 inputs");
    check(&identity(&x, |_| Ok(vec![Some(Tensor::from_slice(&[1.0; 5]))])), &x, &g, "invalid gradient at index 0");
    let failing = |_| -> std::result::Result<_, BackwardError> {
        Err(Tensor::from_slice(&[1.0, 2.0]).f_view([3_i64]).map(|t| vec![Some(t)]).unwrap_err().into())
    };
    check(&identity(&x, failing), &x, &g, "shape '[3]' is invalid");
    // The bindings' own pass sees it too.
    let error = identity(&x, |_| Err("no such luck".into())).sum(Kind::Double).f_backward().unwrap_err();
    assert!(matches!(&error, TchError::Torch(text) if text.contains("no such luck")), "{error}");
}

#[test]
fn a_graph_serves_once_unless_it_is_kept() {
    let x = leaf(&[1.0, 2.0]);
    let g = Tensor::from_slice(&[10.0, 20.0]);
    let y = identity(&x, Ok);
    for _ in 0..2 {
        let found = vjp(&[(&y, &g)], &[&x], Graph::Keep).unwrap();
        assert_eq!(values(found[0].as_ref().unwrap()), [10.0, 20.0]);
    }
    backward(&[(&y, &g)], Graph::Free).unwrap();
    assert_eq!(values(&x.grad()), [10.0, 20.0]);
    let error = backward(&[(&y, &g)], Graph::Free).unwrap_err().to_string();
    assert!(error.contains("second backward pass"), "{error}");
}

#[test]
fn a_pass_within_a_pass_is_fine_and_through_the_same_node_an_error() {
    let x = leaf(&[3.0]);
    let one = Tensor::from_slice(&[1.0]);
    let inner = x.detach().set_requires_grad(true);
    let y = identity(&x, move |gradients| {
        // Computes again what it differentiates, as checkpointing does.
        let squared = tch::with_grad(|| inner.square());
        let incoming = gradients[0].as_ref().ok_or("no gradient")?;
        Ok(vjp(&[(&squared, incoming)], &[&inner], Graph::Free)?)
    });
    assert_eq!(values(vjp(&[(&y, &one)], &[&x], Graph::Free).unwrap()[0].as_ref().unwrap()), [6.0]);

    let place = Arc::new(Mutex::new(None::<Tensor>));
    let itself = Arc::clone(&place);
    let y = identity(&x, move |gradients| {
        let output = itself.lock().map_err(|_| "poisoned")?.take().ok_or("second entry")?;
        backward(&[(&output, gradients[0].as_ref().ok_or("no gradient")?)], Graph::Keep)?;
        Ok(gradients)
    });
    *place.lock().unwrap() = Some(y.shallow_clone());
    let error = vjp(&[(&y, &one)], &[&x], Graph::Free).unwrap_err().to_string();
    assert!(error.contains("while another was in it"), "{error}");
}

#[test]
fn a_closure_goes_when_it_is_needed_no_more() {
    let x = leaf(&[1.0]);
    let g = Tensor::from_slice(&[1.0]);
    let witness = Arc::new(());
    let make = |x: &Tensor| {
        let held = Arc::clone(&witness);
        identity(x, move |gradients| {
            let _ = &held;
            Ok(gradients)
        })
    };
    let holders = || Arc::strong_count(&witness) - 1;

    let y = make(&x);
    assert!(y.requires_grad());
    backward(&[(&y, &g)], Graph::Keep).unwrap();
    assert_eq!(holders(), 1, "kept");
    backward(&[(&y, &g)], Graph::Free).unwrap();
    assert_eq!(holders(), 0, "freed by the pass, while the output lives");

    drop(make(&x));
    assert_eq!(holders(), 0, "the output went without a pass");

    let unrecorded = tch::no_grad(|| make(&x));
    let constant = make(&x.detach());
    assert!(!unrecorded.requires_grad() && !constant.requires_grad());
    assert_eq!(holders(), 0, "nothing to differentiate");

    let held = Arc::clone(&witness);
    let integers = Tensor::from_slice(&[1_i64]);
    let refused = node(&[&x], vec![integers], move |_| Err(format!("{held:?}").into())).unwrap_err().to_string();
    assert!(refused.contains("has no gradient"), "{refused}");
    let held = Arc::clone(&witness);
    let refused = node(&[&x], vec![&x * 2], move |_| Err(format!("{held:?}").into())).unwrap_err().to_string();
    assert!(refused.contains("history of its own"), "{refused}");
    assert_eq!(holders(), 0, "refused");
}

#[test]
fn views_may_be_outputs() {
    let x = leaf(&[1.0, 2.0, 3.0, 4.0]);
    let halves = tch::no_grad(|| (&x * 2).split(2, 0));
    let halves = node(&[&x], halves, |gradients| {
        let of = |half: &Option<Tensor>| {
            half.as_ref().map_or_else(|| Tensor::zeros([2], (Kind::Double, Device::Cpu)), |g| g * 2)
        };
        Ok(vec![Some(Tensor::cat(&gradients.iter().map(of).collect::<Vec<_>>(), 0))])
    });
    let mut halves = halves.unwrap();
    // In place, as on any output of an operation.
    let _ = halves[1].g_mul_scalar_(10);
    backward(&[(&halves[1], &Tensor::from_slice(&[1.0, 3.0]))], Graph::Free).unwrap();
    assert_eq!(values(&x.grad()), [0.0, 0.0, 20.0, 60.0]);
}

#[test]
fn gradients_come_in_and_add_up() {
    let (x, w) = (leaf(&[1.0, 2.0, 3.0]), leaf(&[4.0, 5.0, 6.0]));
    let (y, z) = (&x * &w, w.square());
    let (gy, gz) = (Tensor::from_slice(&[1.0, 10.0, 100.0]), Tensor::from_slice(&[1.0, 0.0, -1.0]));
    let found = vjp(&[(&y, &gy), (&z, &gz)], &[&x, &w, &y], Graph::Keep).unwrap();
    let found: Vec<_> = found.iter().map(|g| values(g.as_ref().unwrap())).collect();
    let expected = [vec![4.0, 50.0, 600.0], vec![1.0 + 8.0, 20.0, 300.0 - 12.0], vec![1.0, 10.0, 100.0]];
    assert_eq!(found, expected);
    assert!(!x.grad().defined(), "vjp adds to no leaf");
    assert!(vjp(&[(&z, &gz)], &[&x], Graph::Keep).unwrap()[0].is_none());

    backward(&[(&y, &gy), (&z, &gz)], Graph::Keep).unwrap();
    backward(&[(&y, &gy)], Graph::Keep).unwrap();
    assert_eq!(values(&x.grad()), [8.0, 100.0, 1200.0]);
    assert_eq!(values(&w.grad()), [1.0 + 1.0 + 8.0, 40.0, 600.0 - 12.0]);

    let short = Tensor::from_slice(&[1.0, 1.0]);
    for (outputs, inputs, expected) in [
        (vec![(&y, &short)], vec![&x], "got [2] but expected shape compatible with [3]"),
        (vec![(&gy, &gy)], vec![&x], "does not require grad"),
        (vec![(&y, &gy)], vec![&gy], "does not require grad"),
    ] {
        let error = vjp(&outputs, &inputs, Graph::Keep).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("Exception raised"), "{error}");
    }
    assert!(backward(&[(&gy, &gy)], Graph::Free).is_err());
    assert!(backward(&[], Graph::Free).is_ok());
    assert!(vjp(&[], &[&x], Graph::Free).unwrap()[0].is_none());
}

#[test]
fn leaves_take_and_drop_gradients() {
    let x = leaf(&[1.0, 2.0]);
    let given = Tensor::from_slice(&[10.0, 20.0]);
    set_grad(&x, given.shallow_clone()).unwrap();
    backward(&[(&(&x * 2), &Tensor::from_slice(&[1.0, 1.0]))], Graph::Free).unwrap();
    assert_eq!(values(&x.grad()), [12.0, 22.0]);
    assert_eq!(x.grad().data_ptr(), given.data_ptr());
    drop_grad(&x).unwrap();
    assert!(!x.grad().defined());
    drop_grad(&x).unwrap();

    // A gradient in another layout is brought into the leaf's.
    let matrix = Tensor::zeros([2, 3], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let transposed = Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).view([3, 2]).transpose(0, 1);
    set_grad(&matrix, transposed.shallow_clone()).unwrap();
    assert_eq!((matrix.grad().stride(), matrix.grad()), (vec![3, 1], transposed));

    for (leaf, gradient, expected) in [
        (&x, Tensor::from_slice(&[1.0]), "the gradient has shape [1], the leaf [2]"),
        (&x, Tensor::from_slice(&[1.0_f32, 2.0]), "the gradient has type Float, the leaf Double"),
        (&(&x * 2), given.shallow_clone(), "only a leaf"),
        (&given, given.shallow_clone(), "only a leaf"),
    ] {
        let error = set_grad(leaf, gradient).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(drop_grad(&given).is_err());
}
