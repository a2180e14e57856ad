//! Attention over a cache, against float64 and between kinds of processors and of storage.

use super::super::rows;
use super::super::vector::{self, Portable};
use super::*;

/// Numbers without pattern in about [-1, 1].
fn number(i: usize) -> f32 {
    ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0
}

/// Keys and values of a head.
struct Held {
    keys: Vec<u32>,
    values: Vec<u32>,
    len: usize,
}

impl Held {
    /// `keys`, `values`: `[len][head_dim]`
    fn new<S: Stored>(head_dim: usize, keys: &[f32], values: &[f32]) -> Self {
        let len = keys.len() / head_dim;
        let n = len.next_multiple_of(BLOCK) * head_dim / S::DEPTH;
        // What lies behind the last position must not matter.
        let mut held = Self { keys: vec![f32::NAN.to_bits(); n], values: vec![f32::NAN.to_bits(); n], len };
        for (position, (key, value)) in keys.chunks(head_dim).zip(values.chunks(head_dim)).enumerate() {
            S::write(&mut held.keys, &mut held.values, position, key, value);
        }
        held
    }

    fn cache<S>(&self) -> HeadCache<'_, S> {
        HeadCache { keys: &self.keys, values: &self.values, len: self.len, stored: PhantomData }
    }
}

fn attended<S: Attend>(queries: &[f32], head_dim: usize, held: &Held) -> Vec<f32> {
    let mut outputs = vec![0.0; queries.len()];
    S::attend(queries, head_dim, &held.cache(), &mut Vec::new(), &mut outputs);
    outputs
}

fn portable<S: Attend>(queries: &[f32], head_dim: usize, held: &Held) -> Vec<f32> {
    let mut outputs = vec![0.0; queries.len()];
    attend_by::<Portable, S>(queries, head_dim, &held.cache(), &mut Vec::new(), &mut outputs);
    outputs
}

fn reference(query: &[f32], keys: &[f32], values: &[f32]) -> Vec<f64> {
    let head_dim = query.len();
    let dot = |key: &[f32]| query.iter().zip(key).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let weights: Vec<f64> = keys.chunks(head_dim).map(|key| (dot(key) / (head_dim as f64).sqrt()).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mixed = |d: usize| values.chunks(head_dim).zip(&weights).map(|(v, w)| w * f64::from(v[d])).sum::<f64>();
    (0..head_dim).map(|d| mixed(d) / total).collect()
}

#[test]
fn equal_to_float64_at_every_length() {
    for (head_dim, n_queries) in [(32, 2), (16, 1), (12, 7), (128, 4), (80, 3), (96, 9)] {
        for len in [1, 2, 15, 16, 17, 63, 64, 65, 200] {
            let queries: Vec<f32> = (0..n_queries * head_dim).map(|i| 1.5 * number(i)).collect();
            let mut keys: Vec<f32> = (0..len * head_dim).map(|i| 1.5 * number(7919 * i + 5)).collect();
            let mut values: Vec<f32> = (0..len * head_dim).map(|i| number(i + 31)).collect();
            let check = |outputs: &[f32], keys: &[f32], values: &[f32]| {
                for (query, output) in queries.chunks(head_dim).zip(outputs.chunks(head_dim)) {
                    for (got, expected) in output.iter().zip(reference(query, keys, values)) {
                        assert!((f64::from(*got) - expected).abs() < 3e-6, "{head_dim} {len}: {got}, {expected}");
                    }
                }
            };
            check(
                &attended::<Singles>(&queries, head_dim, &Held::new::<Singles>(head_dim, &keys, &values)),
                &keys,
                &values,
            );
            if head_dim % 32 == 0 {
                rows::round(&mut keys);
                rows::round(&mut values);
                let pairs = attended::<Pairs>(&queries, head_dim, &Held::new::<Pairs>(head_dim, &keys, &values));
                check(&pairs, &keys, &values);
                let singles = attended::<Singles>(&queries, head_dim, &Held::new::<Singles>(head_dim, &keys, &values));
                assert_eq!(pairs, singles, "both ways of storing the same numbers give the same bits");
            }
        }
    }
}

/// What the promise rests on that a machine's kind of processor changes nothing but the time.
#[test]
fn every_kind_of_vector_gives_the_same_bits() {
    let (head_dim, len) = (40, 77);
    let queries: Vec<f32> = (0..3 * head_dim).map(number).collect();
    let values: Vec<f32> = (0..len * head_dim).map(|i| number(i + 31)).collect();
    let held = Held::new::<Singles>(head_dim, &values, &values);
    let best = attended::<Singles>(&queries, head_dim, &held);
    assert_eq!(best, portable::<Singles>(&queries, head_dim, &held));
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        #[target_feature(enable = "avx2,fma")]
        fn avx2(queries: &[f32], head_dim: usize, held: &Held, outputs: &mut [f32]) {
            attend_by::<vector::Avx2, Singles>(queries, head_dim, &held.cache(), &mut Vec::new(), outputs);
        }
        let mut outputs = vec![0.0; 3 * head_dim];
        // SAFETY: the processor has the instructions.
        unsafe { avx2(&queries, head_dim, &held, &mut outputs) };
        assert_eq!(outputs, best);
    }
}

/// The loss finds what is no number and stops the run; attention must not hide it.
#[test]
fn what_is_no_number_stays_so() {
    for bad in [f32::NAN, f32::INFINITY] {
        let (head_dim, len) = (32, 20);
        let mut queries: Vec<f32> = (0..head_dim).map(|i| number(i) + 1.5).collect();
        queries[3] = bad;
        let ones = vec![1.0; len * head_dim];
        let held = Held::new::<Singles>(head_dim, &ones, &ones);
        let both = [attended::<Singles>(&queries, head_dim, &held), portable::<Singles>(&queries, head_dim, &held)];
        assert!(both.iter().flatten().all(|value| value.is_nan()), "{bad}: {both:?}");
    }
}
