//! The linear layer, by the fastest matrix product that libtorch has for it.

use tch::{Device, Kind, Tensor};

/// Images that make libtorch take oneDNN for a convolution, also with a single thread.
const IMAGES: i64 = 16;

/// `x W^T + b`.
///
/// On the CPU in float32 it is computed as a convolution with a 1x1 kernel over an "image" whose pixels are the rows of
/// `x`: the same sums, but done by oneDNN, whose AVX-512 kernels run at two to three times the rate of the AVX2 kernels
/// to which MKL falls back on processors that are not Intel's. The memory is not moved: rows of `x` are pixels in
/// channels-last order.
///
/// - `x`: `[..., in]`; `weight`: `[out, in]`; `bias`: `[out]`; result: `[..., out]`
pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    if x.device() != Device::Cpu || x.kind() != Kind::Float {
        return x.linear(weight, bias);
    }
    let mut shape = x.size();
    let (n_out, n_in) = weight.size2().expect("a weight has two axes");
    *shape.last_mut().expect("x has an axis") = n_out;
    let n_rows = x.numel() as i64 / n_in;
    if n_rows == 0 {
        return x.linear(weight, bias);
    }
    if n_rows % IMAGES != 0 {
        // Rows of zeros, so that a row's bits are the same in every company.
        let missing = IMAGES - n_rows % IMAGES;
        let padded = linear(&x.reshape([n_rows, n_in]).constant_pad_nd([0, 0, 0, missing]), weight, bias);
        return padded.narrow(0, 0, n_rows).reshape(&shape);
    }
    let pixels = x.reshape([IMAGES, n_rows / IMAGES, 1, n_in]).permute([0, 3, 1, 2]);
    let kernel = weight.reshape([n_out, n_in, 1, 1]);
    let result = pixels.conv2d(&kernel, bias, [1, 1], [0, 0], [1, 1], 1).permute([0, 2, 3, 1]);
    result.reshape(&shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true)
    }

    #[test]
    fn values_and_gradients_are_those_of_the_matrix_product() {
        tch::manual_seed(1);
        for (rows, n_in, n_out) in [(1, 8, 4), (7, 48, 20), (16, 32, 64), (50, 352, 128), (4096, 128, 256)] {
            let (x, weight, bias) = (random(&[rows, n_in]), random(&[n_out, n_in]), random(&[n_out]));
            let upstream = Tensor::randn([rows, n_out], (Kind::Float, Device::Cpu));
            let run = |layer: &dyn Fn() -> Tensor| -> Vec<Tensor> {
                let result = layer();
                let leaves = [&x, &weight, &bias];
                let mut all = Tensor::run_backward(&[(&result * &upstream).sum(Kind::Float)], &leaves, false, false);
                all.push(result);
                all
            };
            let ours = run(&|| linear(&x, &weight, Some(&bias)));
            let theirs = run(&|| x.linear(&weight, Some(&bias)));
            for (a, b) in ours.iter().zip(&theirs) {
                let difference = (a - b).abs().max().double_value(&[]) / b.abs().max().double_value(&[]);
                assert!(difference < 5e-6, "{rows} x {n_in} -> {n_out}: {difference}");
            }
        }
    }

    /// What [`crate::Sampler::decode`] relies on: a row's bits do not depend on its company.
    #[test]
    fn a_row_is_the_same_in_every_batch() {
        tch::manual_seed(2);
        for (n_in, n_out) in [
            (128, 704),
            (352, 128),
            (48, 20),
            (128, 796),
            (128, 128),
            (896, 896),
            (4864, 896),
            (256, 2048),
            (896, 4864),
        ] {
            let (x, weight) = (random(&[8192, n_in]), random(&[n_out, n_in]));
            let whole = linear(&x, &weight, None);
            for rows in [16, 32, 48, 128, 240, 1024, 4096, 5008] {
                let part = linear(&x.narrow(0, 8192 - rows, rows), &weight, None);
                assert_eq!(part, whole.narrow(0, 8192 - rows, rows), "{rows} rows, {n_in} -> {n_out}");
            }
        }
    }
}
