//! Norm, rotation, gate and the distribution of the head against float64, forward and backward, on shapes that fill no register.

use tch::{Device, Kind, Tensor};

use super::super::head::Distribution;
use super::super::width;
use super::*;

const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

/// Rows padded to whole pairs of registers.
fn rows(matrix: &Tensor) -> Vec<f32> {
    let n = matrix.size()[1];
    let missing = width(n as usize) as i64 - n;
    matrix.detach().constant_pad_nd([0, missing]).to_kind(Kind::Float).flatten(0, -1).try_into().unwrap()
}

fn check(name: &str, got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "{name}");
    let difference = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference <= tolerance, "{name}: {difference}");
}

#[test]
fn norms_are_those_of_float64() {
    tch::manual_seed(1);
    for n in [1, 31, 32, 100, 896] {
        let leaf = |shape: &[i64]| Tensor::randn(shape, DOUBLE).set_requires_grad(true);
        let (x, weight) = (leaf(&[7, n]), leaf(&[1, n]));
        let (upstream, before) = (Tensor::randn([7, n], DOUBLE), Tensor::randn([7, n], DOUBLE));
        let scale = (x.square().mean_dim(-1, true, Kind::Double) + 1e-6).rsqrt();
        let expected = &x * scale * &weight;
        (&expected * &upstream).sum(Kind::Double).backward();

        let (x32, weight32) = (rows(&x), rows(&weight));
        let norm = Norm { weight: &weight32, n: n as usize, eps: 1e-6 };
        let mut out = vec![0.0; x32.len()];
        super::norm(&norm, &x32, &mut out);
        check("norm", &out, &rows(&expected), 1e-5);
        let (mut gradient, mut d_x, mut d_weight) = (rows(&upstream), rows(&before), vec![0.0; weight32.len()]);
        norm_backward(&norm, &mut NormGradient { x: &x32, out: &mut gradient, d_x: &mut d_x, d_weight: &mut d_weight });
        check("what it gave", &gradient, &out, 1e-6);
        check("d_x", &d_x, &rows(&(x.grad() + before)), 1e-4);
        check("d_weight", &d_weight, &rows(&weight.grad()), 1e-4);
    }
}

#[test]
fn norms_of_heads_are_those_of_float64() {
    tch::manual_seed(2);
    for head_dim in [12, 32, 128] {
        let x = Tensor::randn([5, head_dim], DOUBLE).set_requires_grad(true);
        let weight = Tensor::randn([head_dim], DOUBLE).set_requires_grad(true);
        let upstream = Tensor::randn([5, head_dim], DOUBLE);
        let expected = &x * (x.square().mean_dim(-1, true, Kind::Double) + 1e-6).rsqrt() * &weight;
        (&expected * &upstream).sum(Kind::Double).backward();
        let flat = |t: &Tensor| -> Vec<f32> { t.detach().to_kind(Kind::Float).flatten(0, -1).try_into().unwrap() };
        let (x32, weight32) = (flat(&x), flat(&weight));
        let mut out = x32.clone();
        norm_heads(&weight32, 1e-6, &mut out);
        check("norm", &out, &flat(&expected), 1e-5);
        let (mut gradient, mut d_weight) = (flat(&upstream), vec![0.0; head_dim as usize]);
        norm_heads_backward(&weight32, 1e-6, &x32, &mut gradient, &mut d_weight);
        check("d_x", &gradient, &flat(&x.grad()), 1e-4);
        check("d_weight", &d_weight, &flat(&weight.grad()), 1e-4);
    }
}

#[test]
fn gates_are_those_of_float64() {
    tch::manual_seed(3);
    for n in [1, 32, 45, 352] {
        // Far into both ends of the sigmoid.
        let leaf = |factor: f64| (Tensor::randn([6, n], DOUBLE) * factor).set_requires_grad(true);
        let (gate, up, upstream) = (leaf(20.0), leaf(1.0), Tensor::randn([6, n], DOUBLE));
        let expected = gate.silu() * &up;
        (&expected * &upstream).sum(Kind::Double).backward();
        let width = width(n as usize);
        let both = |gate: &Tensor, up: &Tensor| -> Vec<f32> {
            let (gate, up) = (rows(gate), rows(up));
            gate.chunks(width).zip(up.chunks(width)).flat_map(|(gate, up)| [gate, up].concat()).collect()
        };
        let gate_up = both(&gate, &up);
        let mut out = vec![0.0; 6 * width];
        super::gate(&gate_up, width, &mut out);
        check("gate", &out, &rows(&expected), 1e-4);
        let (mut d_out, mut d_gate_up) = (rows(&upstream), vec![f32::NAN; gate_up.len()]);
        gate_backward(&gate_up, width, &mut d_out, &mut d_gate_up);
        check("what it gave", &d_out, &out, 1e-6);
        check("d_gate_up", &d_gate_up, &both(&gate.grad(), &up.grad()), 2e-4);
    }
}

#[test]
fn rotations_are_those_of_float64_and_turn_back() {
    for half in [6, 16, 40] {
        let (n_heads, positions) = (3, [0, 1, 5, 900]);
        let angle = |position: i64, dim: usize| position as f64 * 10_000_f64.powf(-(dim as f64) / half as f64);
        let table = |f: fn(f64) -> f64| -> Vec<f32> {
            (0..1000).flat_map(|p| (0..half).map(move |dim| f(angle(p, dim)) as f32)).collect()
        };
        let rotation = Rotation { cos: table(f64::cos), sin: table(f64::sin), half };
        let stride = n_heads * 2 * half + 7;
        let before: Vec<f32> = (0..positions.len() * stride).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect();
        let mut turned = before.clone();
        rotate(&rotation, &mut turned, stride, n_heads - 1, &positions, 1.0);
        for (row, &position) in positions.iter().enumerate() {
            for (i, &got) in turned[row * stride..][..stride].iter().enumerate() {
                let x = |at: usize| f64::from(before[row * stride + at]);
                let (head, dim) = (i / (2 * half), i % (2 * half));
                let angle = angle(position, dim % half);
                let expected = match (head < n_heads - 1, dim < half) {
                    (false, _) => x(i),
                    (_, true) => x(i) * angle.cos() - x(i + half) * angle.sin(),
                    (_, false) => x(i) * angle.cos() + x(i - half) * angle.sin(),
                };
                assert!((f64::from(got) - expected).abs() < 1e-5, "{half} {row} {i}");
            }
        }
        rotate(&rotation, &mut turned, stride, n_heads - 1, &positions, -1.0);
        check("back", &turned, &before, 1e-5);
    }
}

#[test]
fn distributions_are_those_of_float64() {
    tch::manual_seed(4);
    for (vocab, temperature, spread) in [(1, 1.0, 1.0), (15, 0.7, 3.0), (128, 1.0, 30.0), (5003, 1.3, 5.0)] {
        let logits = Tensor::randn([vocab], DOUBLE) * spread + 70.0;
        let exact = (&logits / temperature).log_softmax(-1, Kind::Double);
        let entropy = -(exact.exp() * &exact).sum(Kind::Double).double_value(&[]);
        let logits: Vec<f32> = logits.to_kind(Kind::Float).try_into().unwrap();
        let mut numerators = vec![0.0; logits.len()];
        let distribution = Distribution::new(&logits, temperature, &mut numerators);
        assert!((f64::from(distribution.entropy) - entropy).abs() < 2e-5, "{vocab}: {}", distribution.entropy);
        let sum: f32 = numerators.iter().sum();
        for (id, &logit) in logits.iter().enumerate() {
            let expected = exact.double_value(&[id as i64]);
            assert!((f64::from(distribution.logprob(logit)) - expected).abs() < 3e-5, "{vocab} {id}");
            assert!((f64::from(numerators[id] / sum) - expected.exp()).abs() < 1e-5, "{vocab} {id}");
        }
    }
    for bad in [f32::NAN, f32::INFINITY] {
        for at in [0, 20, 37] {
            let mut logits = vec![0.5; 38];
            logits[at] = bad;
            assert!(Distribution::new(&logits, 1.0, &mut [0.0; 38]).logprob(logits[3]).is_nan(), "{bad} at {at}");
        }
    }
}
