//! Decoding many rows at once, as continuous batching does: libtorch's operations against the kernels of our own, and, where
//! there is a GPU, flash attention and recorded steps against plain operations.

use policy::{Checkpointing, Dtype, KvCache, PackedBatch, Policy, Sampler, SharedPrompt};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// Golden models of every family, and one whose heads the flash kernel refuses. libtorch's CUDA half is opened before
/// anything else is asked of libtorch.
fn models() -> impl Iterator<Item = (&'static str, PathBuf)> {
    let _ = shim::cuda::load();
    // Tests run side by side already.
    tch::set_num_threads(1);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models");
    ["qwen2_tied", "qwen3_untied", "llama3_scaled", "qwen2_untied_mha"]
        .map(|name| (name, folder.join(name)))
        .into_iter()
}

/// Numbers below `n` without a pattern that matters.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn ids(&mut self, n: usize) -> Vec<i64> {
        (0..n).map(|_| self.below(100) as i64).collect()
    }
}

/// How a batch is decoded: prompts of many lengths, rows that end and are moved, rows that are admitted again, rows that go back
/// by some tokens, and now and then to nothing.
#[derive(Clone, Copy)]
struct Course {
    n_rows: usize,
    n_positions: usize,
    n_steps: usize,
}

/// The logits of every step, `[rows in use, vocab]`; which rows end depends on nothing but the course.
fn decode(sampler: &Sampler, course: Course) -> Vec<Tensor> {
    let (mut numbers, mut steps_back) = (Numbers(7), Numbers(11));
    let mut lengths = vec![0; course.n_rows];
    let mut cache: KvCache = sampler.kv_cache(course.n_rows, course.n_positions);
    let mut n_active = 0;
    let mut logits = Vec::new();
    for step in 0..course.n_steps {
        // Rows are filled in the first half only, so that the batch runs empty in the second.
        let n_filled = if step < course.n_steps / 2 { course.n_rows } else { 0 };
        for (row, length) in lengths.iter_mut().enumerate().take(n_filled).skip(n_active) {
            let n_tokens = 1 + numbers.below(40);
            let prompt = sampler.prefill(&numbers.ids(n_tokens));
            logits.push(prompt.logits.unsqueeze(0));
            cache.admit(row, &prompt);
            *length = n_tokens;
        }
        n_active = n_active.max(n_filled);
        for row in (0..n_active).rev() {
            if n_active > 1 && numbers.below(12) == 0 {
                n_active -= 1;
                if row < n_active {
                    cache.move_row(n_active, row);
                    lengths[row] = lengths[n_active];
                }
            }
        }
        for (row, length) in lengths[..n_active].iter_mut().enumerate() {
            if steps_back.below(15) == 0 {
                *length -= (*length).min(1 + steps_back.below(3));
                cache.truncate(row, *length);
            }
            *length += 1;
        }
        // Copied, because the next step may write to the same memory.
        logits.push(sampler.decode(&numbers.ids(n_active), &mut cache).copy());
    }
    assert_eq!(n_active, 1, "the batch has run through every size");
    logits
}

#[track_caller]
fn agree(name: &str, expected: &[Tensor], found: &[Tensor], tolerance: f64) {
    assert_eq!(expected.len(), found.len());
    for (index, (a, b)) in expected.iter().zip(found).enumerate() {
        assert_eq!(a.size(), b.size(), "{name}, {index}");
        let difference = (a.to_device(Device::Cpu) - b.to_device(Device::Cpu)).abs().max().double_value(&[]);
        assert!(difference <= tolerance, "{name}, {index}: {difference}");
    }
}

#[test]
fn libtorch_decodes_as_our_own_kernels_do() {
    for (name, folder) in models() {
        let load = || Policy::load(&folder, Dtype::Float32, Device::Cpu).unwrap();
        let (ours, theirs) = (load(), load().by_libtorch());
        // The second and third have room for less than their sequences come to, and one has fewer rows than are computed at once.
        for (n_rows, n_positions) in [(75, 128), (75, 1), (5, 41)] {
            let course = Course { n_rows, n_positions, n_steps: 80 };
            agree(name, &decode(&ours.sampler(), course), &decode(&theirs.sampler(), course), 1e-4);
        }
    }
}

#[test]
fn a_cache_may_be_filled_to_the_end_of_the_context() {
    let (_, folder) = models().next().unwrap();
    let load = || Policy::load(&folder, Dtype::Float32, Device::Cpu).unwrap();
    let context = load().config().max_position_embeddings as usize;
    let last = |sampler: &Sampler| {
        let mut cache = sampler.kv_cache(3, context);
        let long = sampler.prefill(&Numbers(3).ids(context - 2));
        let short = sampler.prefill(&[1, 2]);
        cache.admit(0, &short);
        (1..3).for_each(|row| cache.admit(row, &long));
        let _ = sampler.decode(&[4, 5, 6], &mut cache);
        let full = sampler.decode(&[7, 8, 9], &mut cache).copy();
        // Rows that were full and are no longer in use stand in the way of no other.
        let alone = [3, 2].map(|token| sampler.decode(&[token], &mut cache).copy());
        cache.admit(1, &short);
        let [alone, again] = alone;
        vec![full, alone, again, sampler.decode(&[1, 1], &mut cache).copy()]
    };
    agree("full", &last(&load().sampler()), &last(&load().by_libtorch().sampler()), 1e-4);
}

#[test]
fn prompts_encoded_together_are_those_encoded_alone() {
    for (name, folder) in models() {
        let sampler = Policy::load(&folder, Dtype::Float32, Device::Cpu).unwrap().by_libtorch().sampler();
        let mut numbers = Numbers(13);
        let prompts: Vec<Vec<i64>> = [9, 1, 30].map(|n| numbers.ids(n)).into();
        let together = sampler.prefill_all(&prompts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert_eq!(together.len(), prompts.len());
        let mut cache = sampler.kv_cache(6, 40);
        for (row, (prompt, encoded)) in prompts.iter().zip(&together).enumerate() {
            let alone = sampler.prefill(prompt);
            agree(name, &[alone.logits.shallow_clone()], &[encoded.logits.shallow_clone()], 1e-4);
            cache.admit(2 * row, &alone);
            cache.admit(2 * row + 1, encoded);
        }
        let next = sampler.decode(&[5; 6], &mut cache);
        for row in [0, 2, 4] {
            agree(name, &[next.get(row)], &[next.get(row + 1)], 1e-4);
        }
    }
}

#[test]
#[should_panic(expected = "a row begins with a prompt")]
fn a_row_that_was_left_is_not_gone_on_with() {
    let (_, folder) = models().next().unwrap();
    let sampler = Policy::load(&folder, Dtype::Float32, Device::Cpu).unwrap().by_libtorch().sampler();
    let mut cache = sampler.kv_cache(2, 16);
    (0..2).for_each(|row| cache.admit(row, &sampler.prefill(&[1, 2])));
    let _ = sampler.decode(&[3], &mut cache);
    let _ = sampler.decode(&[4, 4], &mut cache);
}

// With a GPU; without one these have nothing to say.

/// Whether there is a GPU; says so where there is none.
fn gpu() -> Option<Device> {
    let found = shim::cuda::load().is_ok() && shim::cuda::available(0);
    if !found {
        println!("no GPU: nothing to check");
    }
    found.then_some(Device::Cuda(0))
}

#[test]
fn a_gpu_decodes_as_the_cpu_does() {
    let Some(device) = gpu() else { return };
    let course = Course { n_rows: 75, n_positions: 128, n_steps: 80 };
    for (name, folder) in models() {
        let run = |dtype, device, plain: bool| {
            let policy = Policy::load(&folder, dtype, device).unwrap();
            decode(&if plain { policy.by_libtorch() } else { policy }.sampler(), course)
        };
        let exact = run(Dtype::Float32, Device::Cpu, false);
        agree(&format!("{name} in float32"), &exact, &run(Dtype::Float32, device, false), 1e-3);
        let scale = exact.iter().map(|t| t.abs().max().double_value(&[])).fold(0.0, f64::max);
        let plain = run(Dtype::BFloat16, device, true);
        agree(&format!("{name} in bfloat16, plain"), &exact, &plain, 0.05 * scale);
        // Flash attention and recorded steps: the sizes that come back are recorded, and the others are not.
        agree(&format!("{name} in bfloat16, fast"), &plain, &run(Dtype::BFloat16, device, false), 0.05 * scale);
    }
}

#[test]
fn recorded_steps_read_the_weights_they_are_given() {
    let Some(device) = gpu() else { return };
    let (_, folder) = models().next().unwrap();
    let policy = Policy::load(&folder, Dtype::BFloat16, device).unwrap();
    let plain = Policy::load(&folder, Dtype::BFloat16, device).unwrap().by_libtorch();
    let run = |policy: &Policy| {
        policy.parameters().iter().for_each(|(_, p)| tch::no_grad(|| drop(p.shallow_clone().g_mul_scalar_(0.9))));
        let (before, prompt) = (policy.sampler(), Numbers(5).ids(9));
        policy.parameters().iter().for_each(|(_, p)| tch::no_grad(|| drop(p.shallow_clone().g_mul_scalar_(1.2))));
        let after = policy.sampler();
        let mut cache = before.kv_cache(8, 64);
        let encoded = before.prefill(&prompt);
        (0..8).for_each(|row| cache.admit(row, &encoded));
        let tokens = Numbers(6).ids(8);
        let samplers = [&before, &before, &before, &before, &after, &after, &after, &after, &before];
        samplers.map(|sampler| sampler.decode(&tokens, &mut cache).copy())
    };
    agree("changed weights", &run(&plain), &run(&policy), 0.1);
}

#[test]
fn gradients_on_a_gpu_are_those_of_the_cpu() {
    let Some(device) = gpu() else { return };
    for (name, folder) in models() {
        let mut numbers = Numbers(11);
        let (prompt, other) = (numbers.ids(37), numbers.ids(5));
        let completions: Vec<Vec<i64>> = [90, 1, 12, 64].map(|n| numbers.ids(n)).into();
        let groups = [
            SharedPrompt { prompt: &prompt, completions: completions.iter().map(Vec::as_slice).collect() },
            SharedPrompt { prompt: &other, completions: vec![&completions[2]] },
        ];
        let run = |dtype, device, checkpointing| -> Vec<Tensor> {
            let policy = Policy::load(&folder, dtype, device).unwrap();
            let (batch, weights) = (PackedBatch::new(&groups), policy.trainable_weights());
            let tape = policy.forward(&weights, &batch, checkpointing);
            tape.loss_in_chunks(1.0, 50, |_, stats| {
                Ok::<_, std::convert::Infallible>(stats.logprobs.square().sum(Kind::Float))
            })
            .unwrap()
            .backward();
            policy.parameters().iter().map(|(_, p)| p.grad().to_device(Device::Cpu)).collect()
        };
        let exact = run(Dtype::Float32, Device::Cpu, Checkpointing::None);
        // bfloat16 keeps 8 bits and the gradient of a square doubles what is lost: 0.0503 was measured on one H200.
        for (dtype, tolerance) in [(Dtype::Float32, 1e-3), (Dtype::BFloat16, 0.08)] {
            for checkpointing in [Checkpointing::None, Checkpointing::Blocks] {
                for (a, b) in exact.iter().zip(run(dtype, device, checkpointing)) {
                    let relative = (a - &b).norm().double_value(&[]) / a.norm().double_value(&[]).max(1e-3);
                    assert!(relative <= tolerance, "{name}, {dtype:?}, {checkpointing:?}: {relative}");
                }
            }
        }
    }
}

#[test]
fn gradients_on_a_gpu_have_the_same_bits_twice_where_that_is_asked_for() {
    let Some(device) = gpu() else { return };
    let (_, folder) = models().next().unwrap();
    let mut numbers = Numbers(17);
    let prompt = numbers.ids(37);
    // Many completions of one prompt: its keys and its last row collect the gradients of all.
    let completions: Vec<Vec<i64>> = (0..24).map(|i| numbers.ids(60 + i)).collect();
    let groups =
        [SharedPrompt { prompt: &prompt, completions: completions.iter().map(Vec::as_slice).collect::<Vec<_>>() }];
    let run = |dtype| -> Vec<Tensor> {
        let policy = Policy::load(&folder, dtype, device).unwrap();
        let (batch, weights) = (PackedBatch::new(&groups), policy.trainable_weights());
        let tape = policy.forward(&weights, &batch, Checkpointing::None);
        tape.loss_in_chunks(1.0, 500, |_, stats| {
            Ok::<_, std::convert::Infallible>(stats.logprobs.square().sum(Kind::Float))
        })
        .unwrap()
        .backward();
        policy.parameters().iter().map(|(_, p)| p.grad().to_device(Device::Cpu)).collect()
    };
    shim::determinism::ask(true);
    for dtype in [Dtype::Float32, Dtype::BFloat16] {
        let first = run(dtype);
        (0..4).for_each(|_| assert!(first == run(dtype), "{dtype:?}"));
    }
    shim::determinism::ask(false);
}
