//! The vocabulary head: log-probabilities and entropies, and their gradients, without a graph.

use rayon::prelude::*;

use super::for_this_processor;
use super::functions::{self, exp};
use super::gemm::Products;
use super::layer::{ROWS, Shape};
use super::panels::Panels;
use super::rows::{self, NormGradient};
use super::vector::{LANES, Vector};
use super::weights::PackedWeights;

/// softmax(logits / temperature) of one row, as far as a single token asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distribution {
    /// 1 / temperature.
    scale: f32,
    /// ln of the sum of exp(logit / temperature).
    log_sum: f32,
    /// Nats.
    pub entropy: f32,
}

impl Distribution {
    /// Of the logits of one row at a positive temperature; `numerators`, of as many numbers, becomes exp(logit / temperature - greatest).
    pub fn new(logits: &[f32], temperature: f64, numerators: &mut [f32]) -> Self {
        let mut distribution = Self { scale: (1.0 / temperature) as f32, log_sum: 0.0, entropy: 0.0 };
        distribute(logits, &mut distribution, numerators);
        distribution
    }

    /// Nats: the log-probability of the token with this logit.
    pub fn logprob(&self, logit: f32) -> f32 {
        logit * self.scale - self.log_sum
    }
}

for_this_processor! {
    fn distribute = distribute_by(logits: &[f32], distribution: &mut Distribution, numerators: &mut [f32])
}

#[inline(always)]
fn distribute_by<V: Vector>(logits: &[f32], distribution: &mut Distribution, numerators: &mut [f32]) {
    let scale = V::splat(distribution.scale);
    let whole = logits.len() / LANES * LANES;
    let mut tail = [f32::NEG_INFINITY; LANES];
    tail[..logits.len() - whole].copy_from_slice(&logits[whole..]);
    let tail = V::load(&tail).mul(scale);
    let mut greatest = tail;
    for logits in logits.chunks_exact(LANES) {
        greatest = greatest.max(V::load(logits).mul(scale));
    }
    let max = functions::greatest(greatest.lanes());
    let mut sums = [V::splat(0.0); 2];
    for (logits, numerators) in logits.chunks_exact(LANES).zip(numerators.chunks_exact_mut(LANES)) {
        numerator(V::load(logits).mul(scale), max, &mut sums).store(numerators);
    }
    let rest = numerator(tail, max, &mut sums).lanes();
    numerators[whole..].copy_from_slice(&rest[..logits.len() - whole]);
    let [sum, weighted] = sums.map(|sums| functions::total(sums.lanes()));
    distribution.log_sum = max + sum.ln();
    distribution.entropy = sum.ln() - weighted / sum;
}

/// exp(x - max), added to the first sum; times x - max, to the second.
#[inline(always)]
fn numerator<V: Vector>(x: V, max: f32, sums: &mut [V; 2]) -> V {
    // What lies behind the end has logit minus infinity: it must not become 0 times infinity.
    let below = V::splat(-87.0).max(x.sub(V::splat(max)));
    let numerator = exp(below);
    sums[0] = sums[0].add(numerator);
    sums[1] = numerator.mul_add(below, sums[1]);
    numerator
}

/// What the head says of some tokens, in their order.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Nats.
    pub(crate) logprobs: Vec<f32>,
    /// Nats.
    pub(crate) entropy: Vec<f32>,
}

/// The logits of a block of rows and what is said of them.
struct Block<'a> {
    /// `[rows][hidden_width]`: what the head reads, after the final norm.
    normed: &'a mut [f32],
    /// `[rows][width(vocab)]`
    logits: &'a mut [f32],
    distributions: &'a mut [Distribution],
    logprobs: &'a mut [f32],
}

impl Block<'_> {
    fn compute(
        &mut self,
        shape: &Shape,
        weights: &PackedWeights,
        targets: &[i64],
        temperature: f64,
        products: &mut Products,
    ) {
        let stride = weights.head.forward.n_columns;
        products.multiply(self.normed, &weights.head.forward, self.logits, stride);
        let mut numerators = vec![0.0; shape.vocab];
        for (row, &target) in targets.iter().enumerate() {
            let logits = &self.logits[row * stride..][..shape.vocab];
            let distribution = Distribution::new(logits, temperature, &mut numerators);
            self.distributions[row] = distribution;
            self.logprobs[row] = distribution.logprob(logits[target as usize]);
        }
    }
}

/// Log-probabilities of `targets`, without gradients.
///
/// - `x`: `[targets.len()][hidden_width]`, the stream behind the last layer
pub(crate) fn logprobs(shape: &Shape, weights: &PackedWeights, x: &[f32], targets: &[i64], temperature: f64) -> Stats {
    let mut stats = Stats { logprobs: vec![0.0; targets.len()], entropy: vec![0.0; targets.len()] };
    let rows = x.par_chunks(ROWS * shape.hidden_width).zip(targets.par_chunks(ROWS));
    let out = stats.logprobs.par_chunks_mut(ROWS).zip(stats.entropy.par_chunks_mut(ROWS));
    rows.zip(out).for_each_init(Products::default, |products, ((x, targets), (logprobs, entropy))| {
        let mut normed = vec![0.0; x.len()];
        rows::norm(&shape.norm(&weights.norm), x, &mut normed);
        let mut distributions = vec![Distribution::default(); targets.len()];
        let mut logits = vec![0.0; targets.len() * weights.head.forward.n_columns];
        let mut block = Block { normed: &mut normed, logits: &mut logits, distributions: &mut distributions, logprobs };
        block.compute(shape, weights, targets, temperature, products);
        distributions.iter().zip(entropy).for_each(|(d, entropy)| *entropy = d.entropy);
    });
    stats
}

/// A chunk of tokens whose logits are kept until the gradient of the loss is known.
pub(crate) struct Chunk<'a> {
    shape: &'a Shape,
    weights: &'a PackedWeights,
    /// `[tokens][hidden_width]`: the stream behind the last layer.
    x: &'a [f32],
    targets: &'a [i64],
    temperature: f64,
    normed: Vec<f32>,
    logits: Vec<f32>,
    distributions: Vec<Distribution>,
}

/// What the backward pass of a chunk gives.
pub(crate) struct ChunkGradient {
    /// The gradient of the stream behind the last layer.
    pub(crate) d_x: Vec<f32>,
    /// Of the final norm's weight.
    pub(crate) d_norm: Vec<f32>,
    /// Both sides of the gradient of the head, block by block: of the logits, and what the head read.
    pub(super) d_logits: Vec<Panels>,
    pub(super) normed: Vec<Panels>,
}

impl<'a> Chunk<'a> {
    /// Tokens whose logits take 256 MB, in whole blocks.
    pub(crate) fn most_tokens(shape: &Shape) -> usize {
        const LOGITS: usize = 1 << 26;
        (LOGITS / shape.vocab / ROWS).max(1) * ROWS
    }

    pub(crate) fn forward(
        shape: &'a Shape,
        weights: &'a PackedWeights,
        x: &'a [f32],
        targets: &'a [i64],
        temperature: f64,
    ) -> (Self, Stats) {
        let stride = weights.head.forward.n_columns;
        let mut normed = vec![0.0; x.len()];
        let mut logits = vec![0.0; targets.len() * stride];
        let mut distributions = vec![Distribution::default(); targets.len()];
        let mut logprobs = vec![0.0; targets.len()];
        let inputs = x.par_chunks(ROWS * shape.hidden_width).zip(targets.par_chunks(ROWS));
        let wide = normed.par_chunks_mut(ROWS * shape.hidden_width).zip(logits.par_chunks_mut(ROWS * stride));
        let narrow = distributions.par_chunks_mut(ROWS).zip(logprobs.par_chunks_mut(ROWS));
        inputs.zip(wide).zip(narrow).for_each_init(
            Products::default,
            |products, (((x, targets), (normed, logits)), (distributions, logprobs))| {
                rows::norm(&shape.norm(&weights.norm), x, normed);
                Block { normed, logits, distributions, logprobs }.compute(
                    shape,
                    weights,
                    targets,
                    temperature,
                    products,
                );
            },
        );
        let entropy = distributions.iter().map(|d| d.entropy).collect();
        (Self { shape, weights, x, targets, temperature, normed, logits, distributions }, Stats { logprobs, entropy })
    }

    /// From the gradient of each log-probability, and of each entropy if there is one.
    pub(crate) fn backward(mut self, d_logprobs: &[f32], d_entropy: Option<&[f32]>) -> ChunkGradient {
        let (shape, weights) = (self.shape, self.weights);
        let (width, stride) = (shape.hidden_width, weights.head.forward.n_columns);
        let mut d_x = vec![0.0; self.x.len()];
        let scale = (1.0 / self.temperature) as f32;
        let inputs = self.x.par_chunks(ROWS * width).zip(self.targets.par_chunks(ROWS)).enumerate();
        let kept = self.logits.par_chunks_mut(ROWS * stride).zip(self.distributions.par_chunks(ROWS));
        let rest = self.normed.par_chunks(ROWS * width).zip(d_x.par_chunks_mut(ROWS * width));
        let blocks: Vec<(Panels, Panels, Vec<f32>)> = inputs
            .zip(kept)
            .zip(rest)
            .map_init(
                Products::default,
                |products, (((block, (x, targets)), (logits, distributions)), (normed, d_x))| {
                    for (row, logits) in logits.chunks_exact_mut(stride).enumerate() {
                        let of = |slopes: &[f32]| slopes[block * ROWS + row] * scale;
                        let (slope, of_entropy) = (of(d_logprobs), d_entropy.map(of));
                        differentiate(&mut logits[..shape.vocab], &distributions[row], slope, of_entropy);
                        logits[targets[row] as usize] += slope;
                    }
                    let mut d_normed = vec![0.0; d_x.len()];
                    products.multiply(logits, weights.head.backward(), &mut d_normed, width);
                    let mut d_weight = vec![0.0; width];
                    let gradient = &mut NormGradient { x, out: &mut d_normed, d_x, d_weight: &mut d_weight };
                    rows::norm_backward(&shape.norm(&weights.norm), gradient);
                    let panels = |rows: &[f32], stride| Panels::of_tokens(weights.dtype, rows, stride, stride);
                    (panels(logits, stride), panels(normed, width), d_weight)
                },
            )
            .collect();
        let mut result = ChunkGradient { d_x, d_norm: vec![0.0; width], d_logits: Vec::new(), normed: Vec::new() };
        for (d_logits, normed, d_weight) in blocks {
            result.d_logits.push(d_logits);
            result.normed.push(normed);
            rows::add(&mut result.d_norm, &d_weight);
        }
        result
    }
}

for_this_processor! {
    /// The gradient of the logits but for the token's own, in their place: softmax times -slope, and times
    /// -of_entropy (log softmax + entropy) if there is such a slope.
    fn differentiate = differentiate_by(
        logits: &mut [f32],
        distribution: &Distribution,
        slope: f32,
        of_entropy: Option<f32>,
    )
}

#[inline(always)]
fn differentiate_by<V: Vector>(logits: &mut [f32], distribution: &Distribution, slope: f32, of_entropy: Option<f32>) {
    let gradient = LogitGradient {
        scale: V::splat(distribution.scale),
        log_sum: V::splat(distribution.log_sum),
        slope: V::splat(-slope),
        of_entropy: of_entropy.map(|of_entropy| [V::splat(-of_entropy), V::splat(distribution.entropy)]),
    };
    let whole = logits.len() / LANES * LANES;
    let (whole, rest) = logits.split_at_mut(whole);
    for logits in whole.chunks_exact_mut(LANES) {
        gradient.of(V::load(logits)).store(logits);
    }
    let mut tail = [0.0; LANES];
    tail[..rest.len()].copy_from_slice(rest);
    let tail = gradient.of(V::load(&tail)).lanes();
    rest.copy_from_slice(&tail[..rest.len()]);
}

/// What turns the logits of one row into their gradient.
struct LogitGradient<V> {
    /// 1 / temperature.
    scale: V,
    log_sum: V,
    /// Minus the gradient of the log-probability.
    slope: V,
    /// Minus the gradient of the entropy, and the entropy.
    of_entropy: Option<[V; 2]>,
}

impl<V: Vector> LogitGradient<V> {
    #[inline(always)]
    fn of(&self, logits: V) -> V {
        let logprobs = logits.mul(self.scale).sub(self.log_sum);
        let factor = match self.of_entropy {
            None => self.slope,
            // What has no probability must not become 0 times infinity: the same bound as in `exp`.
            Some([slope, entropy]) => V::splat(-87.0).max(logprobs).add(entropy).mul_add(slope, self.slope),
        };
        exp(logprobs).mul(factor)
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
