//! What a step logs about its loss: sums over tokens that add up over chunks, micro-batches and minibatches.

use tch::{Device, Kind, Tensor};

use super::loss::{LossError, MAX_LOG_RATIO};
use super::objective::Objective;

/// Sums, counts and extremes over completion tokens; [`LossStats::merge`] joins those of two sets of tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossStats {
    /// Tokens that went through the loss and have a weight there.
    pub n_tokens: u64,
    /// Tokens of completions that were left out because their gradient is exactly zero: advantage 0 and no KL term. They
    /// are never clipped, and their policy loss is 0.
    pub n_left_out: u64,
    /// `sum_t w_t P_t`, what stands in front of P_t included: the loss without KL term and entropy bonus.
    pub policy_loss: f64,
    /// `sum_t h_t H_t`: what the loss is lowered by for entropy; 0 without such a bonus.
    pub bonus: f64,
    /// `sum_t H_t`, nats, every token alike; 0 where entropies are not given.
    pub entropy_sum: f64,
    /// The same over the tokens whose policy loss was kept.
    pub kept_entropy_sum: f64,
    /// Tokens whose policy loss was left out by choice ([`super::Chosen::kept`]).
    pub n_unkept: u64,
    /// `sum_t w_t D_t`: the KL term without its beta.
    pub kl_loss: f64,
    /// `sum_t D_t`, nats, every token alike; 0 without a reference.
    pub kl_sum: f64,
    /// Tokens with `A < 0` whose ratio is below `1 - eps_low`: their policy gradient is cut.
    pub n_clipped_low: u64,
    /// Tokens with `A > 0` whose ratio is above `1 + eps_high`: their policy gradient is cut.
    pub n_clipped_high: u64,
    /// Tokens with a log-ratio, to pi_old, of pi_ref or of pi_old to the sampler, above [`MAX_LOG_RATIO`]: 0 in a healthy
    /// run.
    pub n_saturated: u64,
    /// Least ratio `pi_theta / pi_old`; infinite before the first token.
    pub ratio_min: f64,
    /// Greatest ratio; minus infinity before the first token.
    pub ratio_max: f64,
    /// `sum_t |log pi_theta - log pi_sampler|`, nats. Before the first optimiser step of a rollout the two policies are
    /// one, and this is the numerical gap between sampler and trainer.
    pub gap_sum: f64,
    /// `max_t |log pi_theta - log pi_sampler|`, nats.
    pub gap_max: f64,
    /// `sum_t c_t`: the importance weights as they entered the loss. 0 without any.
    pub importance_sum: f64,
    /// `max_t pi_old / pi_sampler`, before it is cut; minus infinity before the first token, and without weights.
    pub importance_max: f64,
    /// Tokens whose `pi_old / pi_sampler` is beyond its bounds.
    pub n_importance_capped: u64,
}

impl Default for LossStats {
    /// The sums over no token.
    fn default() -> Self {
        Self {
            n_tokens: 0,
            n_left_out: 0,
            policy_loss: 0.0,
            bonus: 0.0,
            entropy_sum: 0.0,
            kept_entropy_sum: 0.0,
            n_unkept: 0,
            kl_loss: 0.0,
            kl_sum: 0.0,
            n_clipped_low: 0,
            n_clipped_high: 0,
            n_saturated: 0,
            ratio_min: f64::INFINITY,
            ratio_max: f64::NEG_INFINITY,
            gap_sum: 0.0,
            gap_max: 0.0,
            importance_sum: 0.0,
            importance_max: f64::NEG_INFINITY,
            n_importance_capped: 0,
        }
    }
}

impl LossStats {
    /// Adds the tokens of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.n_tokens += other.n_tokens;
        self.n_left_out += other.n_left_out;
        self.policy_loss += other.policy_loss;
        self.bonus += other.bonus;
        self.entropy_sum += other.entropy_sum;
        self.kept_entropy_sum += other.kept_entropy_sum;
        self.n_unkept += other.n_unkept;
        self.kl_loss += other.kl_loss;
        self.kl_sum += other.kl_sum;
        self.n_clipped_low += other.n_clipped_low;
        self.n_clipped_high += other.n_clipped_high;
        self.n_saturated += other.n_saturated;
        self.ratio_min = self.ratio_min.min(other.ratio_min);
        self.ratio_max = self.ratio_max.max(other.ratio_max);
        self.gap_sum += other.gap_sum;
        self.gap_max = self.gap_max.max(other.gap_max);
        self.importance_sum += other.importance_sum;
        self.importance_max = self.importance_max.max(other.importance_max);
        self.n_importance_capped += other.n_importance_capped;
    }

    /// TRL's `loss`: policy term and `kl_beta` times KL term, less the bonus for entropy. Meaningful over whole minibatches;
    /// over several, their sum.
    pub fn loss(&self, kl_beta: f64) -> f64 {
        self.policy_loss + kl_beta * self.kl_loss - self.bonus
    }

    /// TRL's `entropy`: mean over tokens, nats.
    pub fn entropy_mean(&self) -> f64 {
        self.mean(self.entropy_sum)
    }

    /// Mean over the tokens whose policy loss was kept, nats: what the bonus acts on.
    pub fn kept_entropy_mean(&self) -> f64 {
        self.kept_entropy_sum / (self.n_tokens - self.n_unkept).max(1) as f64
    }

    /// Fraction of tokens whose policy loss was left out by choice.
    pub fn unkept_ratio(&self) -> f64 {
        self.mean(self.n_unkept as f64)
    }

    /// TRL's `kl`: mean of `D_t` over tokens, nats.
    pub fn kl_mean(&self) -> f64 {
        self.mean(self.kl_sum)
    }

    /// TRL's `clip_ratio/low_mean`: fraction of tokens cut from below, of all, those left out included.
    pub fn clip_ratio_low(&self) -> f64 {
        self.share(self.n_clipped_low)
    }

    /// TRL's `clip_ratio/high_mean`: fraction of tokens cut from above.
    pub fn clip_ratio_high(&self) -> f64 {
        self.share(self.n_clipped_high)
    }

    /// TRL's `clip_ratio/region_mean`: fraction of tokens cut at all.
    pub fn clip_ratio_region(&self) -> f64 {
        self.share(self.n_clipped_low + self.n_clipped_high)
    }

    /// Mean over tokens of `|log pi_theta - log pi_sampler|`, nats.
    pub fn gap_mean(&self) -> f64 {
        self.mean(self.gap_sum)
    }

    /// Mean over tokens of the importance weight, as it entered the loss.
    pub fn importance_mean(&self) -> f64 {
        self.mean(self.importance_sum)
    }

    /// Fraction of tokens whose importance weight was beyond its bounds.
    pub fn importance_clipped_ratio(&self) -> f64 {
        self.mean(self.n_importance_capped as f64)
    }

    fn share(&self, n_tokens: u64) -> f64 {
        n_tokens as f64 / (self.n_tokens + self.n_left_out).max(1) as f64
    }

    fn mean(&self, sum: f64) -> f64 {
        sum / self.n_tokens.max(1) as f64
    }
}

/// Brings the terms of every token to the host in one copy, refuses what is not finite, and adds up the rest.
///
/// `terms`: the fields of [`super::TokenBatch`], `ratio`, `policy_loss`, and with a sampler beside pi_old `importance` and `weighted`,
/// with a reference `kl`; each `[n_tokens]`. Tokens of weight 0 are not looked at.
pub(super) fn measure(terms: &[(&'static str, &Tensor)], objective: &Objective) -> Result<LossStats, LossError> {
    let n_tokens = terms[0].1.size()[0] as usize;
    let tensors: Vec<&Tensor> = terms.iter().map(|(_, tensor)| *tensor).collect();
    let table = tch::no_grad(|| Tensor::stack(&tensors, 0).to_kind(Kind::Double).to_device(Device::Cpu));
    let mut values = vec![0.0_f64; terms.len() * n_tokens];
    table.copy_data(&mut values, terms.len() * n_tokens);

    let column = |wanted: &str| {
        let row = terms.iter().position(|&(name, _)| name == wanted)?;
        Some(&values[row * n_tokens..(row + 1) * n_tokens])
    };
    let given = |wanted: &str| column(wanted).expect("every batch has this term");
    let weights = given("weights");
    let is_bad = |&index: &usize| !values[index].is_finite() && weights[index % n_tokens] != 0.0;
    if let Some(index) = (0..values.len()).find(is_bad) {
        let (name, token_idx) = (terms[index / n_tokens].0, index % n_tokens);
        return Err(LossError::NonFinite { name, token_idx, value: values[index] });
    }
    let (logprobs, old_logprobs, advantages) = (given("logprobs"), given("old_logprobs"), given("advantages"));
    let (ratios, policy_losses) = (given("ratio"), given("policy_loss"));
    let reference = column("ref_logprobs").zip(column("kl"));
    let sampler_logprobs = column("sampler_logprobs").unwrap_or(old_logprobs);
    let importance = column("importance").zip(column("weighted"));
    let (entropies, entropy_weights, kept) = (column("entropies"), column("entropy_weights"), column("kept"));
    let (least, greatest) = objective.surrogate.bounds();

    let mut stats = LossStats::default();
    for t in (0..n_tokens).filter(|&t| weights[t] != 0.0) {
        stats.n_tokens += 1;
        let log_ratio = logprobs[t] - old_logprobs[t];
        let (log_ref_ratio, kl) = reference.map_or((0.0, 0.0), |(refs, kls)| (refs[t] - logprobs[t], kls[t]));
        stats.policy_loss += weights[t] * policy_losses[t];
        stats.kl_loss += weights[t] * kl;
        stats.kl_sum += kl;
        let entropy = entropies.map_or(0.0, |entropies| entropies[t]);
        stats.entropy_sum += entropy;
        stats.bonus += entropy_weights.map_or(0.0, |weights| weights[t] * entropy);
        let is_unkept = kept.is_some_and(|kept| kept[t] == 0.0);
        stats.n_unkept += u64::from(is_unkept);
        stats.kept_entropy_sum += if is_unkept { 0.0 } else { entropy };
        stats.n_clipped_low += u64::from(advantages[t] < 0.0 && ratios[t] < least);
        stats.n_clipped_high += u64::from(advantages[t] > 0.0 && ratios[t] > greatest);
        let log_importance = old_logprobs[t] - sampler_logprobs[t];
        let log_ratios = [log_ratio, log_ref_ratio, log_importance];
        stats.n_saturated += u64::from(log_ratios.iter().any(|&log_ratio| log_ratio > MAX_LOG_RATIO));
        stats.ratio_min = stats.ratio_min.min(ratios[t]);
        stats.ratio_max = stats.ratio_max.max(ratios[t]);
        let gap = (logprobs[t] - sampler_logprobs[t]).abs();
        stats.gap_sum += gap;
        stats.gap_max = stats.gap_max.max(gap);
        if let Some((raw, cut)) = importance {
            stats.importance_sum += cut[t];
            stats.importance_max = stats.importance_max.max(raw[t]);
            stats.n_importance_capped += u64::from(raw[t] != cut[t]);
        }
    }
    Ok(stats)
}
