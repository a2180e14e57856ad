//! AdamW against PyTorch's, across a save and a load, and with files that do not fit.

use super::*;
use crate::optim::{StateError, clip_grad_norm};
use safetensors::tensor::Dtype;
use std::collections::HashMap;
use std::path::Path;
use tch::{Device, Kind};

const NAMES: [&str; 4] = ["embed.weight", "norm.weight", "proj.bias", "proj.weight"];
const N_STEPS: usize = 10;

type Tensors = HashMap<String, Tensor>;

fn golden() -> Tensors {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/adamw.safetensors");
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

fn leaves(golden: &Tensors, kind: Kind) -> Vec<(String, Tensor)> {
    let leaf = |name: &str| golden[&format!("initial.{name}")].to_kind(kind).copy().set_requires_grad(true);
    NAMES.iter().map(|name| ((*name).to_owned(), leaf(name))).collect()
}

/// Gives every parameter the gradient of a golden step, by a backward pass, as training does.
fn set_gradients(parameters: &[(String, Tensor)], golden: &Tensors, step: usize) {
    for (name, parameter) in parameters {
        let gradient = golden[&format!("gradient.{step}.{name}")].to_kind(parameter.kind());
        (parameter * gradient).sum(parameter.kind()).backward();
    }
}

/// scripts/golden/adamw.py changes the rate with every step.
fn rate(step: usize) -> f64 {
    0.01 * (step + 1) as f64 / N_STEPS as f64
}

#[track_caller]
fn close(got: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
    assert_eq!((got.size(), got.kind()), (expected.size(), expected.kind()), "{what}");
    let (got, expected) = (got.to_kind(Kind::Double), expected.to_kind(Kind::Double));
    let scale = expected.abs().max().double_value(&[]).max(f64::MIN_POSITIVE);
    let worst = (got - expected).abs().max().double_value(&[]) / scale;
    assert!(worst <= tolerance, "{what}: relative difference {worst}");
}

/// torch 2.11, torch.optim.AdamW and torch.nn.utils.clip_grad_norm_: weights and norm after every one of ten steps.
#[test]
fn equal_to_pytorch() {
    let golden = golden();
    let none = f64::INFINITY;
    for (case, weight_decay, decay_scope, max_norm) in [
        ("plain", 0.0, DecayScope::All, none),
        ("decay_all", 0.1, DecayScope::All, none),
        ("decay_matrices", 0.1, DecayScope::Matrices, none),
        ("clipped", 0.0, DecayScope::All, 1.0),
        ("decay_clipped", 0.1, DecayScope::Matrices, 1.0),
    ] {
        for (kind, key, tolerance) in [(Kind::Double, "float64", 1e-13), (Kind::Float, "float32", 5e-7)] {
            let expected = |what: &str| &golden[&format!("{case}/{key}/{what}")];
            let parameters = leaves(&golden, kind);
            let mut adamw =
                AdamW::new(&parameters, AdamWConfig { weight_decay, decay_scope, ..AdamWConfig::default() });
            for step in 0..N_STEPS {
                adamw.zero_grad();
                set_gradients(&parameters, &golden, step);
                let norm = clip_grad_norm(&parameters, max_norm).unwrap();
                let expected_norm = expected(&format!("norm.{step}")).double_value(&[]);
                assert!((norm - expected_norm).abs() <= tolerance * expected_norm, "{case} {key}: {norm}");
                adamw.step(rate(step));
                for (name, parameter) in &parameters {
                    let what = format!("weight.{step}.{name}");
                    close(&parameter.detach(), expected(&what), tolerance, &format!("{case} {key} {what}"));
                }
            }
            for slot in &adamw.slots {
                let (m, v) = (format!("exp_avg.{}", slot.name), format!("exp_avg_sq.{}", slot.name));
                close(&slot.exp_avg, expected(&m), tolerance, &format!("{case} {key} {m}"));
                close(&slot.exp_avg_sq, expected(&v), tolerance, &format!("{case} {key} {v}"));
            }
        }
    }
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    Vec::<f32>::try_from(tensor.detach().flatten(0, -1)).unwrap().into_iter().map(f32::to_bits).collect()
}

/// `from..to` steps of float32 training with decay.
fn train(adamw: &mut AdamW, parameters: &[(String, Tensor)], golden: &Tensors, from: usize, to: usize) {
    for step in from..to {
        adamw.zero_grad();
        set_gradients(parameters, golden, step);
        adamw.step(rate(step));
    }
}

fn config() -> AdamWConfig {
    AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() }
}

#[test]
fn a_loaded_state_goes_on_in_the_same_bits() {
    let (golden, folder) = (golden(), tempfile::tempdir().unwrap());
    let path = folder.path().join("optimizer.safetensors");
    let straight = leaves(&golden, Kind::Float);
    train(&mut AdamW::new(&straight, config()), &straight, &golden, 0, N_STEPS);

    let resumed = leaves(&golden, Kind::Float);
    let mut before = AdamW::new(&resumed, config());
    train(&mut before, &resumed, &golden, 0, 4);
    before.save(&path).unwrap();
    let mut after = AdamW::new(&resumed, config());
    after.load(&path).unwrap();
    assert_eq!(after.n_steps(), 4);
    train(&mut after, &resumed, &golden, 4, N_STEPS);
    for ((name, a), (_, b)) in straight.iter().zip(&resumed) {
        assert_eq!(bits(a), bits(b), "{name}");
    }
}

/// After a load no gradient is defined, and the moments are not zero.
#[test]
fn a_step_without_gradients_is_a_step_with_zeros() {
    let (golden, folder) = (golden(), tempfile::tempdir().unwrap());
    let path = folder.path().join("optimizer.safetensors");
    let zeros = leaves(&golden, Kind::Float);
    let mut with_zeros = AdamW::new(&zeros, config());
    train(&mut with_zeros, &zeros, &golden, 0, 3);
    with_zeros.save(&path).unwrap();
    let copy = |(name, leaf): &(String, Tensor)| (name.clone(), leaf.detach().copy().set_requires_grad(true));
    let missing: Vec<_> = zeros.iter().map(copy).collect();
    let mut with_none = AdamW::new(&missing, config());
    with_none.load(&path).unwrap();

    with_zeros.zero_grad();
    with_zeros.step(0.1);
    with_none.step(0.1);
    train(&mut with_zeros, &zeros, &golden, 4, 6);
    train(&mut with_none, &missing, &golden, 4, 6);
    for ((name, a), (_, b)) in zeros.iter().zip(&missing) {
        assert_eq!(bits(a), bits(b), "{name}");
    }
}

#[test]
fn a_rate_of_zero_moves_the_moments_alone() {
    let golden = golden();
    let parameters = leaves(&golden, Kind::Float);
    let mut adamw = AdamW::new(&parameters, config());
    set_gradients(&parameters, &golden, 4);
    adamw.step(0.0);
    for (name, parameter) in &parameters {
        assert_eq!(bits(parameter), bits(&golden[&format!("initial.{name}")]), "{name}");
    }
    assert!(adamw.slots.iter().all(|slot| slot.exp_avg.abs().max().double_value(&[]) > 0.0));
}

/// A state for `names` and shapes, written where `load` will look.
fn saved(folder: &Path, parameters: &[(&str, &[i64])], kind: Kind) -> std::path::PathBuf {
    let path = folder.join("optimizer.safetensors");
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(name, shape)| ((*name).to_owned(), Tensor::ones(*shape, (kind, Device::Cpu)).set_requires_grad(true)))
        .collect();
    let mut adamw = AdamW::new(&parameters, config());
    for (_, parameter) in &parameters {
        parameter.sum(kind).backward();
    }
    adamw.step(0.1);
    adamw.save(&path).unwrap();
    path
}

#[test]
fn a_state_that_does_not_fit_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let parameters = [("a", [2_i64, 3].as_slice()), ("b", &[3])].map(|(name, shape)| {
        (name.to_owned(), Tensor::ones(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true))
    });
    let mut adamw = AdamW::new(&parameters, config());
    let mut refuse = |path: &Path| {
        let error = adamw.load(path).unwrap_err();
        assert_eq!(adamw.n_steps(), 0, "{error}");
        assert!(adamw.slots.iter().all(|slot| slot.exp_avg.abs().max().double_value(&[]) == 0.0), "{error}");
        error
    };
    let path = saved(folder.path(), &[("a", &[2, 3])], Kind::Float);
    assert!(matches!(refuse(&path), StateError::Missing { name, .. } if name == "exp_avg.b"));
    let path = saved(folder.path(), &[("a", &[2, 3]), ("b", &[3]), ("c", &[1])], Kind::Float);
    assert!(matches!(refuse(&path), StateError::Spare { name, .. } if name == "exp_avg.c"));
    let path = saved(folder.path(), &[("a", &[2, 3]), ("b", &[4])], Kind::Float);
    assert!(matches!(refuse(&path), StateError::Shape { name, got, expected, .. }
        if name == "exp_avg.b" && got == [4] && expected == [3]));
    let path = saved(folder.path(), &[("a", &[3, 2]), ("b", &[3])], Kind::Float);
    let message = refuse(&path).to_string();
    assert!(message.ends_with("tensor `exp_avg.a` is F32 [3, 2], the optimiser needs F32 [2, 3]"), "{message}");
    let path = saved(folder.path(), &[("a", &[2, 3]), ("b", &[3])], Kind::Double);
    assert!(matches!(refuse(&path), StateError::Shape { got_dtype: Dtype::F64, .. }));

    let path = saved(folder.path(), &[("a", &[2, 3]), ("b", &[3])], Kind::Float);
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 4, 100, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(refuse(&path), StateError::Format { .. }), "{length} bytes");
    }
    assert!(matches!(refuse(&folder.path().join("nowhere")), StateError::Io { .. }));
    std::fs::write(&path, &whole).unwrap();
    adamw.load(&path).unwrap();
    assert_eq!(adamw.n_steps(), 1);
    assert!(matches!(adamw.save(&folder.path().join("no/folder")), Err(StateError::Io { .. })));
}
