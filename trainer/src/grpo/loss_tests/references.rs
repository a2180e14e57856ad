//! Every switch of the objective against TRL's own loss, and against plain PyTorch for the papers that TRL lacks.

use super::*;
use crate::grpo::{AdaptiveEntropy, Covariance, EntropyControl, clippable, covariances, entropy_threshold, greatest};

/// One line of switches.json or papers.json; what it does not name is as in GRPO.
#[derive(Deserialize)]
struct Case {
    name: String,
    batch: String,
    mask: String,
    aggregation: Aggregation,
    surrogate: Written,
    #[serde(default = "one")]
    micro_batches: usize,
    #[serde(default)]
    ratio: RatioLevel,
    #[serde(default)]
    kl_beta: f64,
    #[serde(default)]
    kl_estimator: KlEstimator,
    #[serde(default)]
    kl_times_ratio: bool,
    importance: Option<Bounds>,
    off_policy_threshold: Option<f64>,
    top_entropy: Option<f64>,
    entropy_coef: Option<f64>,
    #[serde(default, deserialize_with = "crate::config::covariance")]
    covariance: Option<Covariance>,
    /// The candidates of Clip-Cov, in the order drawn.
    permutation: Option<Vec<usize>>,
    /// Whether the sampler is one of its own without importance weights too.
    #[serde(default)]
    sampler: bool,
    /// `token` where they differ within a completion.
    advantages: Option<String>,
}

fn one() -> usize {
    1
}

/// A [`Surrogate`] as the manifests have it.
#[derive(Clone, Copy, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Written {
    Clip { low: f64, high: f64, delta: Option<f64> },
    Cispo { cap: f64 },
    Sapo { positive: f64, negative: f64 },
    Vespo { positive: [f64; 2], negative: [f64; 2] },
}

/// An [`Importance`] as the manifests have it.
#[derive(Clone, Copy, Deserialize)]
struct Bounds {
    level: ImportanceLevel,
    action: ImportanceAction,
    floor: Option<f64>,
    cap: f64,
}

impl Case {
    fn objective(&self) -> Objective {
        Objective {
            ratio: self.ratio,
            surrogate: match self.surrogate {
                Written::Clip { low, high, delta } => Surrogate::Clip { low, high, delta },
                Written::Cispo { cap } => Surrogate::Cispo { cap },
                Written::Sapo { positive, negative } => Surrogate::Sapo { positive, negative },
                Written::Vespo { positive, negative } => Surrogate::Vespo { positive, negative },
            },
            kl_beta: self.kl_beta,
            kl_estimator: self.kl_estimator,
            kl_times_ratio: self.kl_times_ratio,
            importance: self.importance.map(|Bounds { level, action, floor, cap }| Importance {
                level,
                action,
                floor,
                cap,
            }),
            off_policy_threshold: self.off_policy_threshold,
        }
    }

    /// The batch of the case, its aggregation weights, and which tokens count, bool.
    fn inputs(&self, stored: &HashMap<String, Tensor>) -> (Flat, Tensor, Tensor) {
        let of = |key: &str| stored[&format!("{}/{key}", self.batch)].copy();
        let lengths: Vec<usize> =
            Vec::<i64>::try_from(&stored["lengths"]).unwrap().into_iter().map(|length| length as usize).collect();
        let mask = stored[&format!("masks/{}", self.mask)].to_kind(Kind::Bool);
        let has_sampler = self.sampler || self.importance.is_some();
        let mut flat = Flat {
            logprobs: of("logprobs"),
            old_logprobs: of("old_logprobs"),
            ref_logprobs: of("ref_logprobs"),
            sampler_logprobs: has_sampler.then(|| of("sampler_logprobs")),
            entropies: Some(of("entropies")),
            advantages: of(&format!("{}_advantages", self.advantages.as_deref().unwrap_or("row"))),
            kept: None,
            covariance_kl: None,
            entropy_weights: None,
            lengths,
        };
        let counted = numbers(&mask);
        let mut rest = counted.as_slice();
        let n_counted = flat.lengths.iter().map(|&length| {
            let row = rest.split_off(..length).expect("a token of each");
            row.iter().sum::<f64>() as usize
        });
        let n_counted: Vec<usize> = n_counted.collect();
        let shares = Shares { max_tokens: 20, block: n_counted.len() / self.micro_batches };
        let weights = spread(&token_weights(&n_counted, self.aggregation, shares), &flat.lengths) * &mask;
        self.choose(&mut flat, &counted);
        (flat, weights, mask)
    }

    /// What is chosen over the whole minibatch, by the functions that the trainer chooses by.
    fn choose(&self, flat: &mut Flat, counted: &[f64]) {
        let places: Vec<usize> = (0..counted.len()).filter(|&t| counted[t] != 0.0).collect();
        let at_places = |tensor: &Tensor| -> Vec<f32> {
            let values = numbers(tensor);
            places.iter().map(|&t| values[t] as f32).collect()
        };
        let table = |of: &dyn Fn(usize) -> f64| Tensor::from_slice(&(0..counted.len()).map(of).collect::<Vec<f64>>());
        let mut kept: Vec<f64> = counted.to_vec();
        if let Some(fraction) = self.top_entropy {
            let entropies = at_places(flat.entropies.as_ref().unwrap());
            let threshold = entropy_threshold(&entropies, fraction);
            places
                .iter()
                .zip(&entropies)
                .for_each(|(&t, &entropy)| kept[t] = f64::from(u8::from(entropy >= threshold)));
        }
        if let Some(coefficient) = self.entropy_coef {
            let each = coefficient / kept.iter().sum::<f64>();
            flat.entropy_weights = Some(table(&|t| kept[t] * each));
        }
        let covariances = covariances(&at_places(&flat.logprobs), &at_places(&flat.advantages));
        match self.covariance {
            Some(Covariance::KlCov { fraction, beta }) => {
                let priced: Vec<usize> = greatest(&covariances, fraction).iter().map(|&token| places[token]).collect();
                flat.covariance_kl = Some(table(&|t| if priced.contains(&t) { beta } else { 0.0 }));
            }
            Some(Covariance::ClipCov { fraction, low, high }) => {
                let (least, greatest) = self.objective().surrogate.bounds();
                let log_ratios = at_places(&(&flat.logprobs - &flat.old_logprobs));
                let is_clipped = |(&log_ratio, &advantage): (&f32, &f32)| {
                    let ratio = f64::from(log_ratio).exp();
                    advantage < 0.0 && ratio < least || advantage > 0.0 && ratio > greatest
                };
                let is_clipped: Vec<bool> =
                    log_ratios.iter().zip(&at_places(&flat.advantages)).map(is_clipped).collect();
                let (candidates, n) = clippable(&covariances, &is_clipped, fraction, low, high);
                let drawn = self.permutation.as_ref().expect("Clip-Cov draws");
                let mut sorted = drawn.clone();
                sorted.sort_unstable();
                assert_eq!(candidates, sorted, "{}", self.name);
                drawn[..n].iter().for_each(|&token| kept[places[token]] = 0.0);
            }
            None => {}
        }
        flat.kept = kept.iter().zip(counted).any(|(kept, counted)| kept != counted).then(|| table(&|t| kept[t]));
    }
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double)).unwrap()
}

/// How many cases there were.
fn check_against(name: &str) -> usize {
    let lines = std::fs::read_to_string(golden(&format!("{name}.json"))).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&lines).unwrap();
    let (stored, expected) = (tensors("switch_batches.safetensors"), tensors(&format!("{name}.safetensors")));
    for case in &cases {
        let (flat, weights, mask) = case.inputs(&stored);
        let at = |key: &str, what: &str| &expected[&format!("{}/{key}/{what}", case.name)];
        let has_float32 = expected.contains_key(&format!("{}/float32/loss", case.name));
        // Without a float32 of its own: 16 differences of log-probabilities of up to 5 nats, rounded.
        // VESPO and SAPO exponentiate what is far from 0: TRL's float32 is up to 2.4e-6 off its own float64 there.
        let is_steep = matches!(case.surrogate, Written::Sapo { .. } | Written::Vespo { .. });
        let float32 = match (has_float32, is_steep) {
            (true, false) => ("float32", 1e-6),
            (true, true) => ("float32", 5e-6),
            (false, _) => ("float64", 5e-6),
        };
        for (kind, (key, tolerance)) in [(Kind::Double, ("float64", 1e-12)), (Kind::Float, float32)] {
            let what = format!("{} {kind:?}", case.name);
            let got = evaluate(&flat, &weights, &case.objective(), kind, flat.n_tokens());
            let loss = at(key, "loss").double_value(&[]);
            // Losses of tokens cancel each other in float32.
            let size = if kind == Kind::Float { loss_size(at(key, "gradient")).max(loss.abs()) } else { loss.abs() };
            assert!((got.loss - loss).abs() <= tolerance * size, "{what}: loss {}, expected {loss}", got.loss);
            close(got.stats.loss(case.kl_beta), got.loss, 10.0 * tolerance * size / got.loss.abs(), &what);
            all_close(&got.gradient, at(key, "gradient"), tolerance, &what);
            let outside = got.gradient.masked_select(&mask.logical_not());
            assert_eq!(outside.abs().sum(Kind::Double).double_value(&[]), 0.0, "{what}: moved where nothing counts");
            let of_entropies = expected.get(&format!("{}/entropy_gradient", case.name));
            assert_eq!(got.entropy_gradient.is_some(), of_entropies.is_some(), "{what}");
            if let (Some(got), Some(expected)) = (&got.entropy_gradient, of_entropies) {
                all_close(got, expected, tolerance.max(1e-7), &what);
            }
        }
    }
    cases.len()
}

/// About the sum of the absolute losses of the tokens: a policy gradient in the log-probability is, unclipped, the loss itself.
fn loss_size(gradient: &Tensor) -> f64 {
    gradient.abs().sum(Kind::Double).double_value(&[])
}

/// scripts/golden/switches.py, torch 2.11, trl 1.16: `_compute_loss` of GRPOTrainer and RLOOTrainer.
#[test]
fn every_switch_is_equal_to_trl() {
    let n_cases = check_against("switches");
    assert!(n_cases >= 150, "{n_cases} cases");
}

/// scripts/golden/papers.py, torch 2.11: the equations written down, gradients by autograd.
#[test]
fn what_trl_lacks_is_equal_to_the_papers() {
    let n_cases = check_against("papers");
    assert!(n_cases >= 26, "{n_cases} cases");
}

#[derive(Deserialize)]
struct Updates {
    coefficient: f64,
    target: f64,
    delta: f64,
    min: f64,
    max: f64,
    updates: Vec<Update>,
}

#[derive(Deserialize)]
struct Update {
    entropy: f64,
    applied: f64,
    coefficient: f64,
}

/// scripts/golden/switches.py, trl 1.16: `use_adaptive_entropy` over twelve updates. `applied` is kept in float32.
#[test]
fn the_adaptive_coefficient_is_trls() {
    let text = std::fs::read_to_string(golden("adaptive_entropy.json")).unwrap();
    let Updates { coefficient, target, delta, min, max, updates } = serde_json::from_str(&text).unwrap();
    let adaptive = AdaptiveEntropy { target, delta, min, max };
    let mut control = EntropyControl::new(coefficient);
    assert_eq!(updates.len(), 12);
    for (n, update) in updates.iter().enumerate() {
        let applied = control.applied(Some(&adaptive));
        assert!((applied - update.applied).abs() <= 1e-8, "update {n}: {applied}, expected {}", update.applied);
        control.observe(update.entropy, Some(&adaptive));
        assert!((control.coefficient - update.coefficient).abs() <= 1e-15, "update {n}: {control:?}");
    }
}
