//! What can be asked of CUDA on any machine: with a GPU it works, without one it refuses and says why.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::{Device, Kind, Tensor};

use super::*;
use crate::{Sequences, flash_attention, numbers};

/// CUDA's half of libtorch is opened before the first test, whichever that is: each asks libtorch something, and what it
/// remembers of a GPU from then on is that there is none.
// SAFETY: a function without arguments, called in the only thread there is, before `main`; the libraries that it uses were
// started before this program.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_ALL_TESTS: extern "C" fn() = open_cuda;

extern "C" fn open_cuda() {
    let _ = load();
}

/// Also that every symbol is in the library, where there is one.
#[test]
fn the_library_is_whole_or_not_there() {
    if let Err(error) = load() {
        assert!(error.to_string().contains("cannot open shared object file"), "{error}");
        assert!(!available(0));
    }
}

#[track_caller]
fn refuses<T: std::fmt::Debug>(result: Result<T>, device: usize) {
    let error = result.unwrap_err().to_string();
    let expected = match load() {
        Err(reason) => reason.to_string(),
        Ok(()) if available(0) => format!("there is no cuda:{device}"),
        Ok(()) => "no GPU was found".to_owned(),
    };
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn a_gpu_that_is_not_there_is_refused() {
    let _ = load();
    for device in if available(0) { [1000, usize::MAX] } else { [0, usize::MAX] } {
        assert!(!available(device));
        let number = device.min(c_int::MAX as usize);
        refuses(synchronize(device), number);
        refuses(current_stream(device), number);
        refuses(memory(device), number);
        refuses(reset_peak(device), number);
        refuses(empty_cache(device), number);
        refuses(Graph::capture(device, None, || -> Result<()> { panic!("nothing to record with") }), number);
    }
}

#[test]
fn attention_of_tensors_on_the_cpu_is_refused() {
    let _ = load();
    let q = Tensor::zeros([4, 2, 8], (Kind::BFloat16, Device::Cpu));
    let starts = Tensor::from_slice(&[0, 4]);
    let error = flash_attention(&q, &q, &q, 1.0, &sequences(&starts, None, 4)).unwrap_err().to_string();
    assert!(error.contains("for GPUs only, and the query is on cpu"), "{error}");
}

fn sequences<'a>(starts: &'a Tensor, used_keys: Option<&'a Tensor>, longest: i64) -> Sequences<'a> {
    Sequences {
        query_starts: starts,
        key_starts: starts,
        used_keys,
        longest_query: longest,
        longest_key: longest,
        is_causal: true,
    }
}

// With a GPU; without one these have nothing to say, and the refusals above do.

/// The GPU for one test at a time, so that a recording meets nothing but its own; none where there is none.
fn gpu() -> Option<MutexGuard<'static, ()>> {
    static ONE: Mutex<()> = Mutex::new(());
    let _ = load();
    available(0).then(|| ONE.lock().unwrap_or_else(PoisonError::into_inner))
}

const LENGTHS: [i64; 3] = [5, 1, 12];
const GPU: Device = Device::Cuda(0);

/// Queries, keys and values of `LENGTHS`, packed, with gradients.
fn packed() -> (Tensor, [Tensor; 3]) {
    let starts = Tensor::from_slice(&[0, 5, 6, 18]).to_device(GPU);
    let heads = |n, seed| numbers(&[18, n, 16], seed, Kind::BFloat16).to_device(GPU).set_requires_grad(true);
    (starts, [heads(4, 1), heads(2, 2), heads(2, 3)])
}

/// The same sequence by sequence, in float32.
fn by_sequence([q, k, v]: &[Tensor; 3]) -> Tensor {
    let mut start = 0;
    let outputs = LENGTHS.map(|length| {
        let of = |t: &Tensor| t.narrow(0, start, length).to_kind(Kind::Float).transpose(0, 1).unsqueeze(0);
        let output =
            Tensor::scaled_dot_product_attention(&of(q), &of(k), &of(v), None::<Tensor>, 0.0, true, 0.25, true);
        start += length;
        output.squeeze_dim(0).transpose(0, 1)
    });
    Tensor::cat(&outputs, 0)
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
}

#[test]
fn attention_is_that_of_each_sequence_alone() {
    let Some(_alone) = gpu() else { return };
    let (starts, qkv) = packed();
    let [q, k, v] = &qkv;
    let (found, logsumexp) = flash_attention(q, k, v, 0.25, &sequences(&starts, None, 12)).unwrap();
    let expected = by_sequence(&qkv);
    assert_eq!(logsumexp.size(), [4, 18]);
    assert!(difference(&found, &expected) < 2e-2);
    let upstream = numbers(&[18, 4, 16], 4, Kind::Float).to_device(GPU);
    let run = |output: &Tensor| {
        let gradient = upstream.to_kind(output.kind());
        crate::autograd::vjp(&[(output, &gradient)], &[q, k, v], crate::autograd::Graph::Free).unwrap()
    };
    for (a, b) in run(&found).iter().zip(run(&expected)) {
        assert!(difference(a.as_ref().unwrap(), b.as_ref().unwrap()) < 6e-2);
    }

    // Decoding: one query for each sequence, the last, over a cache with sixteen places for each.
    let cache = |t: &Tensor| {
        let rows = LENGTHS.iter().scan(0, |start, &length| {
            let row = t.detach().narrow(0, *start, length).constant_pad_nd([0, 0, 0, 0, 0, 16 - length]);
            *start += length;
            Some(row)
        });
        Tensor::cat(&rows.collect::<Vec<_>>(), 0)
    };
    let last = Tensor::from_slice(&[4_i64, 5, 17]).to_device(GPU);
    let [ones, places, used] =
        [[0, 1, 2, 3].as_slice(), &[0, 16, 32, 48], &[5, 1, 12]].map(|t: &[i32]| Tensor::from_slice(t).to_device(GPU));
    let decoding = Sequences {
        query_starts: &ones,
        key_starts: &places,
        used_keys: Some(&used),
        longest_query: 1,
        longest_key: 16,
        is_causal: false,
    };
    let (found, _) =
        flash_attention(&q.detach().index_select(0, &last), &cache(k), &cache(v), 0.25, &decoding).unwrap();
    assert!(difference(&found, &expected.index_select(0, &last)) < 2e-2);
    let error = flash_attention(&q.index_select(0, &last), &cache(k), &cache(v), 0.25, &decoding).unwrap_err();
    assert!(error.to_string().contains("for inference"), "{error}");
}

#[test]
fn a_graph_computes_again_from_what_is_there() {
    let Some(_alone) = gpu() else { return };
    let mut x = Tensor::from_slice(&[1.0, 2.0]).to_device(GPU);
    let stream = current_stream(0).unwrap();
    let work = |x: &Tensor| -> Result<Tensor> { Ok(tch::no_grad(|| x.exp() * 2)) };
    let _warm = work(&x);
    let (graph, y) = Graph::capture(0, None, || work(&x)).unwrap();
    let (second, z) = Graph::capture(0, Some(&graph), || work(&y)).unwrap();
    for values in [[0.0, 1.0], [3.0, -1.0]] {
        x.copy_(&Tensor::from_slice(&values));
        graph.replay().unwrap();
        second.replay().unwrap();
        synchronize(0).unwrap();
        let expected = work(&x).unwrap();
        assert_eq!((y.shallow_clone(), z.shallow_clone()), (expected.shallow_clone(), work(&expected).unwrap()));
    }

    let error = Graph::capture(0, None, || -> Result<()> { Err(Error("not now".to_owned())) }).unwrap_err();
    assert_eq!(error.to_string(), "not now");
    let waiting = Graph::capture(0, None, || x.f_double_value(&[0]));
    assert!(waiting.is_err());
    let panic = || Graph::capture(0, None, || -> Result<()> { panic!("in the middle") });
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panic)).is_err());
    assert_eq!(current_stream(0).unwrap(), stream);
    assert!(work(&x).unwrap().isfinite().all().int64_value(&[]) == 1);
}

#[test]
fn memory_is_counted() {
    let Some(_alone) = gpu() else { return };
    const BYTES: u64 = 64 << 20;
    let before = memory(0).unwrap();
    let tensor = Tensor::zeros([BYTES as i64], (Kind::Uint8, GPU));
    synchronize(0).unwrap();
    let with = memory(0).unwrap();
    assert!(with.allocated >= BYTES && with.reserved >= with.allocated && with.peak_allocated >= with.allocated);
    assert!(with.free < with.total && with.total > before.allocated);
    drop(tensor);
    empty_cache(0).unwrap();
    reset_peak(0).unwrap();
    assert!(memory(0).unwrap().peak_reserved <= with.peak_reserved);
}
