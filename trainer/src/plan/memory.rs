//! How much memory a stage takes, from the shape of the network and the sizes in the run file.
//!
//! An estimate: buffers of a few megabytes are not in it, and what the allocator keeps is a rule of thumb (`Memory::kept`).

use policy::{Family, ModelConfig};

use crate::config::{Architecture, Checkpointing, Device, Dtype, EvalStage, GrpoStage, Run, Sampling, Stage};

/// The numbers of a decoder that decide how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelShape {
    /// Width of the residual stream.
    pub hidden_size: u64,
    /// Decoder blocks.
    pub n_layers: u64,
    /// Query heads.
    pub n_heads: u64,
    /// Key and value heads.
    pub n_kv_heads: u64,
    /// Width of a head.
    pub head_dim: u64,
    /// Width of the feed-forward network.
    pub intermediate_size: u64,
    /// Tokens of the vocabulary, as the embedding has rows.
    pub vocab_size: u64,
    /// The longest context, in tokens.
    pub max_position_embeddings: u64,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether the query, key and value projections have a bias (Qwen2).
    pub qkv_bias: bool,
    /// Whether queries and keys of a head are normalised (Qwen3).
    pub qk_norm: bool,
}

impl ModelShape {
    /// The shape that a stage of kind `pretrain` makes: Qwen2 with the tokenizer's vocabulary.
    pub fn of_architecture(architecture: &Architecture, vocab_size: u64) -> Self {
        Self {
            hidden_size: architecture.hidden_size,
            n_layers: architecture.n_layers,
            n_heads: architecture.n_heads,
            n_kv_heads: architecture.n_kv_heads,
            head_dim: architecture.head_dim(),
            intermediate_size: architecture.intermediate_size,
            vocab_size,
            max_position_embeddings: architecture.max_position_embeddings,
            tie_word_embeddings: architecture.tie_word_embeddings,
            qkv_bias: true,
            qk_norm: false,
        }
    }

    /// The shape of a network that is there already.
    pub fn of_config(config: &ModelConfig) -> Self {
        let count = |value: i64| value.unsigned_abs();
        Self {
            hidden_size: count(config.hidden_size),
            n_layers: count(config.n_layers),
            n_heads: count(config.n_heads),
            n_kv_heads: count(config.n_kv_heads),
            head_dim: count(config.head_dim),
            intermediate_size: count(config.intermediate_size),
            vocab_size: count(config.vocab_size),
            max_position_embeddings: count(config.max_position_embeddings),
            tie_word_embeddings: config.tie_word_embeddings,
            qkv_bias: config.family == Family::Qwen2,
            qk_norm: config.family == Family::Qwen3,
        }
    }

    /// How many weights the network has; a tied head counts once.
    ///
    /// Sizes that no machine can hold count as the largest number there is.
    pub fn n_parameters(&self) -> u64 {
        let (hidden, head_dim) = (self.hidden_size, self.head_dim);
        let queries = product(&[self.n_heads, head_dim]);
        let keys = product(&[self.n_kv_heads, head_dim]);
        let queries_keys_values_output = product(&[2, hidden, sum(&[queries, keys])]);
        let bias = if self.qkv_bias { sum(&[queries, keys, keys]) } else { 0 };
        let qk_norm = if self.qk_norm { product(&[2, head_dim]) } else { 0 };
        let feed_forward = product(&[3, hidden, self.intermediate_size]);
        let block = sum(&[queries_keys_values_output, bias, qk_norm, feed_forward, product(&[2, hidden])]);
        let embeddings = product(&[self.vocab_size, hidden, if self.tie_word_embeddings { 1 } else { 2 }]);
        sum(&[embeddings, product(&[self.n_layers, block]), hidden])
    }

    /// Bytes of keys and values of one token: 2 · layers · kv heads · head width. The CPU's kernels hold them in bfloat16 for
    /// heads of whole pairs of registers alone.
    fn kv_bytes_per_token(&self, dtype: Dtype, on_cpu: bool) -> u64 {
        let n_bytes = if on_cpu && !self.head_dim.is_multiple_of(32) { 4 } else { dtype.n_bytes() };
        product(&[2, self.n_layers, self.n_kv_heads, self.head_dim, n_bytes])
    }

    /// Values as wide as query, key and value of one token, and as its query alone.
    fn heads(&self) -> (u64, u64) {
        let queries = product(&[self.head_dim, self.n_heads]);
        (sum(&[queries, product(&[2, self.head_dim, self.n_kv_heads])]), queries)
    }

    /// Bytes of one token in an update on the CPU: what the blocks keep (`Kept` and `Inner` of policy/src/cpu/tape.rs), all
    /// in float32, and what the block that goes backward takes beside it (`Behind`).
    fn update_bytes_per_token_on_cpu(&self, dtype: Dtype, checkpointing: Checkpointing) -> u64 {
        let (hidden, inner, (heads, queries)) = (self.hidden_size, self.intermediate_size, self.heads());
        let raw = if self.qk_norm { heads } else { 0 };
        let block = product(&[4, sum(&[2 * hidden, heads, raw, queries, product(&[2, inner])])]);
        let stream = product(&[4, hidden]);
        let kept = match checkpointing {
            Checkpointing::None => product(&[self.n_layers, block]),
            Checkpointing::Blocks => sum(&[product(&[self.n_layers, stream]), block]),
        };
        let gradients = product(&[4, sum(&[hidden, queries, heads])]);
        let panels = product(&[dtype.n_bytes(), sum(&[product(&[3, hidden]), product(&[3, inner]), queries])]);
        sum(&[kept, gradients, panels, product(&[2, stream])])
    }

    /// Bytes that a block keeps of one token for libtorch's backward pass. Eight values of the residual's width (around the
    /// two norms and sums), four passes over the heads, the attention's output, and five values of the feed-forward network's
    /// width.
    fn block_bytes_per_token(&self, dtype: Dtype) -> u64 {
        let (heads, queries) = self.heads();
        let attention = sum(&[product(&[4, heads]), queries]);
        let values = sum(&[product(&[8, self.hidden_size]), attention, product(&[5, self.intermediate_size])]);
        product(&[values, dtype.n_bytes()])
    }

    /// Bytes of one token in an update by libtorch: what the blocks keep, the gradients of the block that goes backward, as
    /// wide as what it keeps, and the head's input with its gradient, before and behind the choice of predicting rows.
    fn update_bytes_per_token(&self, dtype: Dtype, checkpointing: Checkpointing) -> u64 {
        let block = self.block_bytes_per_token(dtype);
        let width = product(&[self.hidden_size, dtype.n_bytes()]);
        let kept = match checkpointing {
            Checkpointing::None => product(&[self.n_layers, block]),
            Checkpointing::Blocks => sum(&[product(&[self.n_layers, width]), block]),
        };
        sum(&[kept, block, product(&[4, width])])
    }
}

/// A product that stops at the largest number there is: a run file may hold any number, and a plan must not fail on it.
fn product(factors: &[u64]) -> u64 {
    factors.iter().fold(1, |all, &factor| all.saturating_mul(factor))
}

/// A sum that stops at the largest number there is.
fn sum(terms: &[u64]) -> u64 {
    terms.iter().fold(0, |all, &term| all.saturating_add(term))
}

/// libtorch and the program itself, with nothing loaded: 155 MiB resident on the CPU.
const PROGRAM: u64 = 160 << 20;

/// Positions that lie together in a cache: of one block on the CPU, of one step of growth elsewhere.
const POSITIONS: u64 = 64;

/// Bytes of logits that the CPU's head holds at once at most.
const LOGITS_ON_CPU: u64 = 256 << 20;

/// The parts of a stage's memory, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The program and its libraries.
    pub program: u64,
    /// float32 master weights, and the copies in `run.dtype` that passes compute with: on the CPU two, one for each direction.
    pub weights: u64,
    /// float32 gradients: 4 per weight.
    pub gradients: u64,
    /// Adam's two means in float32: 8 per weight.
    pub optimizer: u64,
    /// The reference policy, stored in float32 and once in `run.dtype`; 0 where `kl_beta` is 0.
    pub reference: u64,
    /// Keys and values while sampling: `max_batch` rows of a prompt and the longest completion of any step.
    pub kv_cache: u64,
    /// What forward and backward pass of one micro-batch need.
    pub activations: u64,
    /// Of a chunk of tokens: on the CPU the logits in float32 and their gradient in `run.dtype`, elsewhere five values in
    /// float32 (logits, log-probabilities, and what their entropy or their gradient takes for a moment).
    pub logits: u64,
    /// What the allocator keeps of freed memory, on the CPU: as much again as all that comes and goes in a step. Sampling and
    /// updating take turns, but on threads of their own, whose freed memory is not one pool; and the sizes of micro-batches
    /// differ, so that holes stay between them.
    pub kept: u64,
}

impl Memory {
    /// The estimate for `stage` with a network of `shape`; `prompt_tokens` is the length of a prompt.
    pub fn of(stage: &Stage, shape: &ModelShape, run: &Run, prompt_tokens: u64) -> Self {
        let on_cpu = !matches!(run.device, Device::Cuda(_));
        let sizes = Sizes { shape, dtype: run.dtype, on_cpu };
        let memory = match stage {
            Stage::Pretrain(stage) => {
                let tokens = stage.micro_batch_tokens.min(stage.batch_tokens);
                sizes.of_update(Checkpointing::None, tokens, stage.logits_chunk_tokens)
            }
            Stage::Sft(stage) => {
                // An example longer than a micro-batch has one of its own.
                let tokens = stage.micro_batch_tokens.max(stage.max_tokens.unwrap_or(0));
                sizes.of_update(stage.checkpointing, tokens, stage.logits_chunk_tokens)
            }
            Stage::Grpo(stage) => sizes.of_grpo(stage, prompt_tokens),
            Stage::Sample(stage) => {
                let rows = stage.batch_problems.saturating_mul(stage.samples_per_problem);
                sizes.of_sampling(&stage.sampling, rows, prompt_tokens)
            }
            Stage::Curate(stage) => {
                let samples = stage.difficulty.iter().map(|model| model.samples_per_problem).max().unwrap_or(0);
                sizes.of_sampling(&stage.sampling, stage.batch_problems.saturating_mul(samples), prompt_tokens)
            }
            // A pass holds at least one pair, and the head gives one number for a sequence.
            Stage::RewardModel(stage) => {
                sizes.of_update(stage.checkpointing, stage.micro_batch_tokens.max(product(&[2, stage.max_tokens])), 0)
            }
            Stage::Eval(stage) => sizes.of_eval(stage, prompt_tokens),
        };
        let kept = if on_cpu { sum(&[memory.kv_cache, memory.activations, memory.logits]) } else { 0 };
        Self { kept, ..memory }
    }

    /// The most that is held at once: sampling and updating take turns, so of their own parts the larger counts.
    pub fn peak(&self) -> u64 {
        let update = sum(&[self.gradients, self.activations, self.logits]);
        let always = sum(&[self.program, self.weights, self.optimizer, self.reference, self.kept]);
        sum(&[always, self.kv_cache.max(update)])
    }
}

/// What the parts are counted from.
struct Sizes<'a> {
    shape: &'a ModelShape,
    dtype: Dtype,
    on_cpu: bool,
}

impl Sizes<'_> {
    fn of_grpo(&self, stage: &GrpoStage, prompt_tokens: u64) -> Memory {
        let rollout = &stage.rollout;
        let completions = rollout.completions_per_step();
        let tokens_of =
            |prompts, rows| sum(&[product(&[rows, rollout.most_tokens()]), product(&[prompts, prompt_tokens])]);
        let in_step = tokens_of(rollout.prompts_per_step, completions);
        // A micro-batch holds at least one completion with its prompt, however small it is asked to be.
        let tokens = stage.grpo.micro_batch_tokens.max(tokens_of(1, 1)).min(in_step);
        let rows = rollout.max_batch.min(completions);
        let capacity = sum(&[rollout.most_tokens(), prompt_tokens]).div_ceil(POSITIONS).saturating_mul(POSITIONS);
        let n_parameters = self.shape.n_parameters();
        Memory {
            reference: match stage.grpo.needs_reference() {
                true => product(&[n_parameters, 4 + self.dtype.n_bytes()]),
                false => 0,
            },
            kv_cache: product(&[rows, capacity, self.shape.kv_bytes_per_token(self.dtype, self.on_cpu)]),
            ..self.of_update(stage.grpo.checkpointing, tokens, stage.grpo.logits_chunk_tokens)
        }
    }

    /// Of a stage that samples and does not learn.
    ///
    /// - `completions`: of a batch
    fn of_sampling(&self, sampling: &Sampling, completions: u64, prompt_tokens: u64) -> Memory {
        let rows = sampling.max_batch.min(completions);
        let capacity = sum(&[sampling.max_tokens, prompt_tokens]).div_ceil(POSITIONS).saturating_mul(POSITIONS);
        Memory {
            gradients: 0,
            optimizer: 0,
            activations: 0,
            logits: 0,
            kv_cache: product(&[rows, capacity, self.shape.kv_bytes_per_token(self.dtype, self.on_cpu)]),
            ..self.of_update(Checkpointing::None, 0, 0)
        }
    }

    /// Nothing is learned: weights in the one format that sampling reads, and the cache.
    fn of_eval(&self, stage: &EvalStage, prompt_tokens: u64) -> Memory {
        let capacity = sum(&[stage.most_tokens(), prompt_tokens]).div_ceil(POSITIONS).saturating_mul(POSITIONS);
        Memory {
            program: PROGRAM,
            weights: product(&[self.shape.n_parameters(), 4 + self.dtype.n_bytes()]),
            optimizer: 0,
            reference: 0,
            gradients: 0,
            activations: 0,
            logits: product(&[4, self.shape.vocab_size, stage.max_batch]),
            kv_cache: product(&[stage.max_batch, capacity, self.shape.kv_bytes_per_token(self.dtype, self.on_cpu)]),
            kept: 0,
        }
    }

    fn of_update(&self, checkpointing: Checkpointing, tokens: u64, logits_chunk_tokens: u64) -> Memory {
        let Self { shape, dtype, on_cpu } = *self;
        let (n, chunk) = (shape.n_parameters(), tokens.min(logits_chunk_tokens));
        let (copies, per_token, logits) = if on_cpu {
            let logits = product(&[4, shape.vocab_size, chunk]).min(LOGITS_ON_CPU);
            (2, shape.update_bytes_per_token_on_cpu(dtype, checkpointing), logits + logits / 4 * dtype.n_bytes())
        } else {
            (1, shape.update_bytes_per_token(dtype, checkpointing), product(&[20, shape.vocab_size, chunk]))
        };
        Memory {
            program: PROGRAM,
            weights: product(&[n, 4 + copies * dtype.n_bytes()]),
            gradients: product(&[n, 4]),
            optimizer: product(&[n, 8]),
            reference: 0,
            kv_cache: 0,
            activations: product(&[tokens, per_token]),
            logits,
            kept: 0,
        }
    }
}

/// A number of bytes as people read it, in powers of 1024.
pub fn readable_bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && value < 100.0);
    format!("{value:.decimals$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    const QWEN2_5_0_5B: ModelShape = ModelShape {
        hidden_size: 896,
        n_layers: 24,
        n_heads: 14,
        n_kv_heads: 2,
        head_dim: 64,
        intermediate_size: 4864,
        vocab_size: 151_936,
        max_position_embeddings: 32_768,
        tie_word_embeddings: true,
        qkv_bias: true,
        qk_norm: false,
    };

    /// The sizes that transformers counts for the published configurations.
    #[test]
    fn known_models_have_their_known_number_of_weights() {
        assert_eq!(QWEN2_5_0_5B.n_parameters(), 494_032_768);
        let llama_3_2_1b = ModelShape {
            hidden_size: 2048,
            n_layers: 16,
            n_heads: 32,
            n_kv_heads: 8,
            intermediate_size: 8192,
            vocab_size: 128_256,
            qkv_bias: false,
            ..QWEN2_5_0_5B
        };
        assert_eq!(llama_3_2_1b.n_parameters(), 1_235_814_400);
        let qwen3_0_6b = ModelShape {
            hidden_size: 1024,
            n_layers: 28,
            n_heads: 16,
            n_kv_heads: 8,
            head_dim: 128,
            intermediate_size: 3072,
            qkv_bias: false,
            qk_norm: true,
            ..QWEN2_5_0_5B
        };
        assert_eq!(qwen3_0_6b.n_parameters(), 596_049_920);
    }

    #[test]
    fn sampling_and_updating_take_turns() {
        let memory = Memory {
            program: 1,
            weights: 4,
            gradients: 4,
            optimizer: 8,
            reference: 4,
            kv_cache: 100,
            activations: 10,
            logits: 20,
            kept: 7,
        };
        assert_eq!(memory.peak(), 1 + 4 + 8 + 4 + 7 + 100);
        assert_eq!(Memory { kv_cache: 1, ..memory }.peak(), 1 + 4 + 8 + 4 + 7 + 34);
    }

    #[test]
    fn bytes_are_readable() {
        let check = |bytes, expected: &str| assert_eq!(readable_bytes(bytes), expected);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1536, "1.5 KiB");
        check(250 << 20, "250 MiB");
        check(3 << 30, "3.0 GiB");
    }
}
