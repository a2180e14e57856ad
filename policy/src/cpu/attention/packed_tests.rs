//! Attention over a packed stream against float64, forward and backward.

use super::*;
use tch::{Device, Kind, Tensor};

/// Query, key and value `[tokens, heads, head_dim]`.
type Heads = [Tensor; 3];

/// Softmax attention of each sequence by plain tensor operations in float64, with a graph.
fn reference([query, key, value]: &Heads, segments: &[Segment]) -> Tensor {
    let (n_tokens, n_heads, head_dim) = query.size3().unwrap();
    let n_shared = n_heads / key.size()[1];
    let one = |first: i64, n: i64, prompt: (i64, i64)| {
        let with_prompt = |t: &Tensor| {
            let own = t.narrow(0, first, n);
            Tensor::cat(&[t.narrow(0, prompt.0, prompt.1), own], 0).repeat_interleave_self_int(n_shared, 1, None)
        };
        let query = query.narrow(0, first, n).transpose(0, 1);
        let [key, value] = [key, value].map(|t| with_prompt(t).transpose(0, 1));
        let hidden = Tensor::ones([n, prompt.1 + n], (Kind::Bool, Device::Cpu)).triu(prompt.1 + 1);
        let scores = query.matmul(&key.transpose(1, 2)) / (head_dim as f64).sqrt();
        let weights = scores.masked_fill(&hidden, f64::NEG_INFINITY).softmax(-1, Kind::Double);
        weights.matmul(&value).transpose(0, 1).reshape([n, n_heads * head_dim])
    };
    let (mut outputs, mut row) = (Vec::new(), 0);
    for segment in segments {
        let prompt = (row, segment.n_prompt);
        outputs.push(one(row, segment.n_prompt, (row, 0)));
        row += segment.n_prompt;
        for &n_inputs in segment.n_inputs.iter().filter(|&&n| n > 0) {
            outputs.push(one(row, n_inputs, prompt));
            row += n_inputs;
        }
    }
    outputs.push(Tensor::zeros([n_tokens - row, n_heads * head_dim], (Kind::Double, Device::Cpu)));
    Tensor::cat(&outputs, 0)
}

/// Rows of a stride, `missing` numbers behind each.
fn rows(parts: &[&Tensor], missing: i64) -> Vec<f32> {
    let flat: Vec<Tensor> = parts.iter().map(|t| t.detach().flatten(1, -1)).collect();
    Tensor::cat(&flat, 1).constant_pad_nd([0, missing]).to_kind(Kind::Float).flatten(0, -1).try_into().unwrap()
}

#[test]
fn values_and_gradients_are_those_of_float64() {
    tch::manual_seed(3);
    let segments = [
        Segment { n_prompt: 21, n_inputs: vec![5, 0, 40, 17] },
        Segment { n_prompt: 1, n_inputs: vec![2] },
        Segment { n_prompt: 33, n_inputs: vec![] },
    ];
    // Some rows behind the last segment belong to none.
    let n_tokens = 21 + 62 + 3 + 33 + 9;
    for (n_heads, n_kv_heads, head_dim) in [(4, 2, 32), (3, 3, 16), (7, 1, 64), (2, 1, 12), (4, 1, 48)] {
        let random = |n: i64| Tensor::randn([n_tokens, n, head_dim], (Kind::Double, Device::Cpu));
        let leaf = |n: i64| random(n).set_requires_grad(true);
        let exact = [leaf(n_heads), leaf(n_kv_heads), leaf(n_kv_heads)];
        let expected = reference(&exact, &segments);
        let d_output = random(n_heads);
        (&expected * d_output.flatten(1, -1)).sum(Kind::Double).backward();
        let shape = HeadShape {
            n_heads: n_heads as usize,
            n_kv_heads: n_kv_heads as usize,
            head_dim: head_dim as usize,
            stride: ((n_heads + 2 * n_kv_heads) * head_dim + 5) as usize,
            out_stride: (n_heads * head_dim + 3) as usize,
        };
        let heads = rows(&exact.each_ref(), 5);
        let mut output = vec![0.0; n_tokens as usize * shape.out_stride];
        let softmax = forward(shape, &heads, &segments, &mut output);
        let mut d_heads = vec![0.0; heads.len()];
        let d_output = rows(&[&d_output], 3);
        let inputs = Backward { heads: &heads, softmax: &softmax, output: &output, d_output: &d_output };
        backward(shape, &inputs, &segments, &mut d_heads);
        let gradients = exact.each_ref().map(Tensor::grad);
        let pairs = [("output", output, rows(&[&expected], 3)), ("heads", d_heads, rows(&gradients.each_ref(), 5))];
        for (name, got, expected) in pairs {
            let difference = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference < 2e-5, "{n_heads} {n_kv_heads} {head_dim}, {name}: {difference}");
        }
    }
}
