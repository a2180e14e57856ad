//! One draw from the policy's distribution per row: temperature, truncation, inverse of the distribution function.

use crate::{Error, ForcedEnd, ForcedWait, Prompt, Result};
use policy::Distribution;
use tch::{Device, Kind, Tensor};

/// How completions are drawn and when they end.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingParams {
    /// Divides the logits; 0 takes the most probable token.
    pub temperature: f64,
    /// Keeps the k most probable tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the smallest set of tokens whose probability reaches p (Holtzman et al. 2020); 1 keeps all.
    pub top_p: f64,
    /// Keeps tokens with at least this fraction of the greatest probability (Nguyen et al. 2024); 0 keeps all.
    pub min_p: f64,
    /// Longest completion, in tokens, the end token included.
    pub max_tokens: usize,
    /// No end token is drawn before a completion has this many tokens.
    pub min_tokens: usize,
    /// Tokens that end a completion.
    pub stop_token_ids: Vec<i64>,
    /// Texts that end a completion; they stay part of it.
    pub stop_strings: Vec<String>,
    /// What ends thoughts that are too long; none lets them go on.
    pub forced_end: Option<ForcedEnd>,
    /// What keeps thoughts going that end too early; none lets them end.
    pub forced_wait: Option<ForcedWait>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            max_tokens: 256,
            min_tokens: 0,
            stop_token_ids: Vec::new(),
            stop_strings: Vec::new(),
            forced_end: None,
            forced_wait: None,
        }
    }
}

impl SamplingParams {
    /// Whether the settings fit each other.
    ///
    /// # Errors
    /// If a completion with a forced end would be longer than `max_tokens`.
    pub fn check(&self) -> Result<()> {
        match &self.forced_end {
            Some(forced_end) if forced_end.most_tokens() > self.max_tokens => Err(Error::ForcedEnd {
                n_tokens: forced_end.most_tokens(),
                n_phrase_tokens: forced_end.ids.len(),
                max_tokens: self.max_tokens,
            }),
            _ => Ok(()),
        }
    }

    /// The most tokens that a sequence comes to, prompt included.
    pub(crate) fn n_positions(&self, prompts: &[Prompt]) -> usize {
        prompts.iter().map(|prompt| prompt.ids.len()).max().unwrap_or(0) + self.max_tokens
    }
}

/// The outcome of one draw per row.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// Token ids.
    pub ids: Vec<i64>,
    /// Nats, under softmax(logits / temperature) before truncation (at temperature 0: of temperature 1).
    pub logprobs: Vec<f32>,
    /// Nats, under softmax(logits).
    pub untempered_logprobs: Vec<f32>,
}

/// One draw per row, made ready before the logits are computed. What a GPU needs for it is copied there in one piece and at
/// once: a copy that comes behind the network would wait for it.
///
/// A row's token depends on its own logits and its own uniform number, and on no other row. On a GPU the work stays on the
/// device; only ids and log-probabilities come back, in one piece.
#[derive(Debug)]
pub struct Draws<'a> {
    uniforms: Vec<f64>,
    suppress: Vec<bool>,
    given: Vec<Option<i64>>,
    params: &'a SamplingParams,
    /// None on the CPU.
    on_device: Option<OnDevice>,
}

/// What the draws need beside the logits, where these are.
#[derive(Debug)]
struct OnDevice {
    /// `[rows, 1]`, float64.
    uniforms: Tensor,
    /// Rows that must not draw a stop token, `[rows, 1]`, booleans, and the stop tokens, `[stops]`, int64; none where every
    /// row may.
    suppressed: Option<(Tensor, Tensor)>,
    /// Tokens that are given and not drawn, `[rows]`, int64, -1 where one is drawn; none where no row has one.
    given: Option<Tensor>,
}

impl<'a> Draws<'a> {
    /// - `uniforms`: one number in (0, 1) per row
    /// - `suppress`: rows that must not draw a stop token yet
    /// - `given`: rows whose token is not drawn, but this one
    /// - `device`: where the logits will be
    pub fn new(
        uniforms: Vec<f64>,
        suppress: Vec<bool>,
        given: Vec<Option<i64>>,
        params: &'a SamplingParams,
        device: Device,
    ) -> Self {
        let on_device = (device != Device::Cpu).then(|| OnDevice::new(&uniforms, &suppress, &given, params, device));
        Self { uniforms, suppress, given, params, on_device }
    }

    /// - `logits`: `[rows, vocab]`, float32, on the device that was named
    pub fn draw(&self, logits: &Tensor) -> Drawn {
        tch::no_grad(|| match &self.on_device {
            None => row_by_row(logits, &self.uniforms, &self.suppress, &self.given, self.params),
            Some(draws) => draws.draw(logits, self.params),
        })
    }
}

/// On the CPU: one pass for the distribution, one for the draw.
fn row_by_row(
    logits: &Tensor,
    uniforms: &[f64],
    suppress: &[bool],
    given: &[Option<i64>],
    params: &SamplingParams,
) -> Drawn {
    let greedy = params.temperature == 0.0;
    let temperature = if greedy { 1.0 } else { params.temperature };
    let allowed = truncates(params).then(|| {
        let allowed =
            OnDevice::new(uniforms, suppress, &[], params, Device::Cpu).without_stop_tokens(&(logits / temperature));
        truncate(&allowed, params).isfinite().contiguous()
    });
    let allowed: Option<Vec<bool>> = allowed.map(|allowed| allowed.flatten(0, -1).try_into().expect("booleans"));
    let (vocab, logits) = (logits.size()[1] as usize, logits.contiguous());
    let mut drawn = Drawn { ids: Vec::new(), logprobs: Vec::new(), untempered_logprobs: Vec::new() };
    let (mut weights, mut bounded) = (vec![0.0; vocab], Vec::new());
    for (row, logits) in values(&logits).chunks_exact(vocab).enumerate() {
        let distribution = Distribution::new(logits, temperature, &mut weights);
        bounded.clear();
        if allowed.is_some() || suppress[row] {
            bounded.extend_from_slice(logits);
            if let Some(allowed) = &allowed {
                let all = bounded.iter_mut().zip(&allowed[row * vocab..]);
                all.filter(|(_, allowed)| !**allowed).for_each(|(logit, _)| *logit = f32::NEG_INFINITY);
            }
            let stops = params.stop_token_ids.iter().filter(|_| suppress[row]);
            for id in stops.filter_map(|&id| usize::try_from(id).ok()) {
                if let Some(logit) = bounded.get_mut(id) {
                    *logit = f32::NEG_INFINITY;
                }
            }
            // Anew, because weights are small beside the greatest, which may be among those left out.
            Distribution::new(&bounded, temperature, &mut weights);
            let left_out = bounded.iter().zip(&mut weights).filter(|(logit, _)| **logit == f32::NEG_INFINITY);
            left_out.for_each(|(_, weight)| *weight = 0.0);
        }
        let id = match given[row] {
            Some(id) => id as usize,
            None if greedy => greatest(if bounded.is_empty() { logits } else { &bounded }),
            None => invert_row(&weights, uniforms[row]),
        };
        drawn.ids.push(id as i64);
        let logprob = distribution.logprob(logits[id]);
        drawn.logprobs.push(logprob);
        drawn.untempered_logprobs.push(match temperature {
            1.0 => logprob,
            _ => Distribution::new(logits, 1.0, &mut weights).logprob(logits[id]),
        });
    }
    drawn
}

/// The first of the greatest.
fn greatest(logits: &[f32]) -> usize {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best
}

/// Tokens that are summed before the place of a draw is looked for among them.
const RUN: usize = 64;

/// The token at which the distribution function passes a number in (0, 1); `weights` need not sum to 1.
fn invert_row(weights: &[f32], uniform: f64) -> usize {
    // Summed in float64, so that the tail of a large vocabulary is not lost to rounding.
    let sum_of = |run: &[f32]| -> f64 {
        let mut lanes = [0.0_f64; 8];
        for weights in run.chunks(8) {
            lanes.iter_mut().zip(weights).for_each(|(lane, &weight)| *lane += f64::from(weight));
        }
        lanes.iter().sum()
    };
    let threshold = uniform * weights.chunks(RUN).map(sum_of).sum::<f64>();
    let mut before = 0.0;
    let mut last = 0;
    for (index, run) in weights.chunks(RUN).enumerate() {
        let behind = before + sum_of(run);
        // Where rounding leaves the threshold behind the end of a run, its last token with any weight is meant.
        if let Some(own) = run.iter().rposition(|&weight| weight > 0.0) {
            last = index * RUN + own;
            if behind > threshold {
                let mut sum = before;
                let passes = |&weight: &f32| {
                    sum += f64::from(weight);
                    sum > threshold
                };
                return run.iter().position(passes).map_or(last, |own| index * RUN + own);
            }
        }
        before = behind;
    }
    // Logits that are not numbers have no place in it: the loss names them, a panic here could not.
    last
}

/// The values of a tensor.
fn values(tensor: &Tensor) -> &[f32] {
    assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu);
    // SAFETY: contiguous float32 in this process's memory, which lives as long as the tensor is borrowed, and which nothing
    // writes to meanwhile.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) }
}

/// By libtorch's operations, wherever the logits are.
impl OnDevice {
    fn new(
        uniforms: &[f64],
        suppress: &[bool],
        given: &[Option<i64>],
        params: &SamplingParams,
        device: Device,
    ) -> Self {
        let n_rows = uniforms.len() as i64;
        // All of it as float64, which holds token ids exactly, so that one copy does.
        let flags = suppress.iter().map(|&suppressed| f64::from(u8::from(suppressed)));
        let stops = params.stop_token_ids.iter().map(|&id| id as f64);
        let given: Vec<f64> = match given.iter().any(Option::is_some) {
            true => given.iter().map(|id| id.map_or(-1.0, |id| id as f64)).collect(),
            false => Vec::new(),
        };
        let n_given = given.len() as i64;
        let all: Vec<f64> = uniforms.iter().copied().chain(flags).chain(stops).chain(given).collect();
        let all = Tensor::from_slice(&all).to_device(device);
        let part = |start: i64, n: i64| all.narrow(0, start, n);
        let n_stops = params.stop_token_ids.len() as i64;
        let suppressed = (suppress.contains(&true) && n_stops > 0)
            .then(|| (part(n_rows, n_rows).gt(0.5).unsqueeze(1), part(2 * n_rows, n_stops).to_kind(Kind::Int64)));
        let given = (n_given > 0).then(|| part(2 * n_rows + n_stops, n_given).to_kind(Kind::Int64));
        Self { uniforms: part(0, n_rows).unsqueeze(1), suppressed, given }
    }

    fn draw(&self, logits: &Tensor, params: &SamplingParams) -> Drawn {
        let greedy = params.temperature == 0.0;
        let untempered = greedy || params.temperature == 1.0;
        let tempered = if untempered { logits.shallow_clone() } else { logits / params.temperature };
        let allowed = self.without_stop_tokens(&tempered);
        let ids = if greedy { allowed.argmax(-1, false) } else { invert(&truncate(&allowed, params), &self.uniforms) };
        let ids = self.given.as_ref().map_or_else(|| ids.shallow_clone(), |given| given.where_self(&given.ge(0), &ids));
        let logprobs = |logits: &Tensor| {
            logits.log_softmax(-1, Kind::Float).gather(1, &ids.unsqueeze(1), false).squeeze_dim(1).to_kind(Kind::Double)
        };
        let mut drawn = vec![ids.to_kind(Kind::Double), logprobs(&tempered)];
        if !untempered {
            drawn.push(logprobs(logits));
        }
        // The one time that the processor waits for the device.
        let values: Vec<f64> = Tensor::cat(&drawn, 0).try_into().expect("a vector of float64");
        let (ids, rest) = values.split_at(logits.size()[0] as usize);
        let (logprobs, untempered_logprobs) = rest.split_at(ids.len());
        let floats = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<_>>();
        Drawn {
            ids: ids.iter().map(|&id| id as i64).collect(),
            logprobs: floats(logprobs),
            untempered_logprobs: floats(if untempered { logprobs } else { untempered_logprobs }),
        }
    }

    /// Logits in which suppressed rows cannot draw a stop token.
    fn without_stop_tokens(&self, logits: &Tensor) -> Tensor {
        let Some((rows, stops)) = &self.suppressed else { return logits.shallow_clone() };
        let stops = Tensor::zeros([1, logits.size()[1]], (Kind::Bool, logits.device())).index_fill_(1, stops, 1);
        logits.masked_fill(&rows.logical_and(&stops), f64::NEG_INFINITY)
    }
}

/// Whether some tokens are left out.
fn truncates(params: &SamplingParams) -> bool {
    params.top_k > 0 || params.top_p < 1.0 || params.min_p > 0.0
}

/// Logits with what top-k, top-p and min-p leave out at minus infinity; applied in this order, as transformers does.
fn truncate(logits: &Tensor, params: &SamplingParams) -> Tensor {
    let mut logits = logits.shallow_clone();
    let vocab = logits.size()[1];
    if params.top_k > 0 && (params.top_k as i64) < vocab {
        let (top, _) = logits.topk(params.top_k as i64, -1, true, true);
        let least = top.narrow(-1, params.top_k as i64 - 1, 1);
        logits = logits.masked_fill(&logits.lt_tensor(&least), f64::NEG_INFINITY);
    }
    if params.top_p < 1.0 {
        let (sorted, order) = logits.sort(-1, true);
        let probabilities = sorted.softmax(-1, Kind::Float);
        // A token goes if those before it already reach p; the first one always stays.
        let before = probabilities.cumsum(-1, Kind::Double) - probabilities.to_kind(Kind::Double);
        let surplus = before.ge(params.top_p);
        let surplus = surplus.zeros_like().scatter(-1, &order, &surplus);
        logits = logits.masked_fill(&surplus, f64::NEG_INFINITY);
    }
    if params.min_p > 0.0 {
        let floor = logits.amax(-1, true) + params.min_p.ln();
        logits = logits.masked_fill(&logits.lt_tensor(&floor), f64::NEG_INFINITY);
    }
    logits
}

/// The token at which the distribution function passes the uniform number; `uniforms`: `[rows, 1]`, float64.
fn invert(logits: &Tensor, uniforms: &Tensor) -> Tensor {
    // Summed in float64, so that the tail of a large vocabulary is not lost to rounding.
    let cumulative = logits.softmax(-1, Kind::Float).cumsum(-1, Kind::Double);
    let total = cumulative.narrow(1, cumulative.size()[1] - 1, 1);
    let threshold = uniforms * total;
    let last = cumulative.size()[1] - 1;
    // Logits that are not numbers would point behind the last token: the loss names them, a panic here could not.
    threshold.searchsorted(&cumulative, false, true, "right", None::<Tensor>).squeeze_dim(1).clamp_max(last)
}

#[cfg(test)]
#[path = "sampling_tests.rs"]
mod tests;
