//! Which kernels a device gets: those that only NVIDIA GPUs have, where they compute what the others do.

use tch::{Device, Kind, Tensor};

use super::attention::{Heads, Packing, Span};
use crate::ModelConfig;
use crate::network::Kernels;
use crate::packed::Segment;

/// More than bfloat16 rounds numbers of up to 1, and far less than what another key would change.
const TOLERANCE: f64 = 0.03;

/// The kernels for `device`: flash attention on a GPU in bfloat16, if a trial of the network's shape agrees with plain
/// operations.
pub(crate) fn kernels(config: &ModelConfig, kind: Kind, device: Device) -> Kernels {
    if !device.is_cuda() || kind != Kind::BFloat16 {
        return Kernels::Portable;
    }
    match tch::no_grad(|| trial(config, device)) {
        Ok(()) => Kernels::Flash,
        Err(reason) => {
            eprintln!(
                "warning: no flash attention on {device:?} ({reason}): plain attention takes its place, more slowly and \
                 in more memory. It wants compute capability 8.0 or newer and heads of a multiple of 8, at most 256 values"
            );
            Kernels::Portable
        }
    }
}

/// Whether both kinds of attention agree, over a stream and over a cache.
fn trial(config: &ModelConfig, device: Device) -> Result<(), String> {
    let heads = |n_tokens: i64, n: i64, seed: f64| {
        let at = Tensor::arange(n_tokens * n * config.head_dim, (Kind::Float, device)) * 0.37 + seed;
        at.square().sin().reshape([n_tokens, n, config.head_dim]).to_kind(Kind::BFloat16)
    };
    let of = |n_tokens: i64| Heads {
        query: heads(n_tokens, config.n_heads, 1.0),
        key: heads(n_tokens, config.n_kv_heads, 2.0),
        value: heads(n_tokens, config.n_kv_heads, 3.0),
    };
    let segments = [Segment { n_prompt: 37, n_inputs: vec![3, 0, 70] }, Segment { n_prompt: 4, n_inputs: vec![] }];
    let stream = of(37 + 3 + 70 + 4);
    agree("a packed stream", |kernels| Packing::new(&segments, kernels, Kind::BFloat16, device).try_attend(&stream))?;

    let (n_rows, capacity) = (3, 96);
    let positions = Tensor::from_slice(&[0_i64, 95, 40]).to_device(device);
    let query = heads(n_rows, config.n_heads, 4.0);
    let [key, value] = [5.0, 6.0].map(|seed| {
        let memory = heads(n_rows * capacity, config.n_kv_heads, seed);
        memory.reshape([n_rows, capacity, config.n_kv_heads, config.head_dim])
    });
    agree("a cache", |kernels| {
        Span::new(kernels, &positions, capacity, capacity, Kind::BFloat16).try_attend(&query, &key, &value)
    })
}

fn agree(over: &str, attend: impl Fn(Kernels) -> shim::Result<Tensor>) -> Result<(), String> {
    let run = |kernels| Ok::<_, String>(attend(kernels).map_err(|error| error.to_string())?.to_kind(Kind::Float));
    let difference = (run(Kernels::Flash)? - run(Kernels::Portable)?).abs().max().double_value(&[]);
    // Not a number is no agreement either.
    if difference < TOLERANCE {
        return Ok(());
    }
    Err(format!("over {over} it differs from plain operations by {difference}"))
}
