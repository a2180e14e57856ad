//! Hugging Face's config.json: what the decoder takes from it, and what it refuses.

use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// A family of decoders; the families differ in where they have biases and norms, and in nothing else here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Qwen2 and Qwen2.5: biases on the query, key and value projections.
    Qwen2,
    /// Qwen3: no biases, an RMS norm over each query and key head.
    Qwen3,
    /// Llama 3: neither.
    Llama,
}

/// What stands behind the decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Head {
    /// A logit for each entry of the vocabulary: a policy.
    #[default]
    Vocabulary,
    /// One number for a sequence: a reward model.
    Score,
}

/// Llama 3's stretching of rotary frequencies (transformers `rope_type = "llama3"`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Scaling {
    /// Wavelengths beyond the old context are stretched by this factor.
    pub factor: f64,
    /// Wavelengths above `original / low_freq_factor` are stretched fully.
    pub low_freq_factor: f64,
    /// Wavelengths below `original / high_freq_factor` are left alone.
    pub high_freq_factor: f64,
    /// The context length, in tokens, of the model before stretching.
    pub original_max_position_embeddings: f64,
}

/// The shape of a decoder, read from config.json.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Which family's biases and norms.
    pub family: Family,
    /// Width of the residual stream.
    pub hidden_size: i64,
    /// Number of blocks.
    pub n_layers: i64,
    /// Number of query heads.
    pub n_heads: i64,
    /// Number of key and value heads; divides `n_heads`.
    pub n_kv_heads: i64,
    /// Width of a head.
    pub head_dim: i64,
    /// Width of the gated feed-forward layer.
    pub intermediate_size: i64,
    /// Number of rows of the embedding.
    pub vocab_size: i64,
    /// Longest sequence the model was made for, in tokens.
    pub max_position_embeddings: i64,
    /// Epsilon inside the RMS norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Stretching of the rotary frequencies, if any.
    pub rope_scaling: Option<Llama3Scaling>,
    /// What the decoder's last states go into. A config.json is read as that of a policy.
    pub head: Head,
    /// Whether the vocabulary head is the embedding.
    pub tie_word_embeddings: bool,
    /// Token ids that end a completion (`eos_token_id`; may be empty).
    pub eos_token_ids: Vec<i64>,
    /// The file as read, to be written out again with a checkpoint.
    pub json: Map<String, Value>,
}

/// The parameter that tokens are looked up in.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";

/// The head of a reward model.
pub(crate) const SCORE: &str = "score.weight";

/// Keys that do not change what the network computes, whatever their value.
const NEUTRAL: &[&str] = &[
    "_name_or_path",
    "architectures",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "id2label",
    "initializer_range",
    "label2id",
    "max_window_layers",
    "model_type",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "problem_type",
    "return_dict",
    "sliding_window",
    "torch_dtype",
    "transformers_version",
    "use_cache",
];

impl ModelConfig {
    /// Reads `folder/config.json`.
    ///
    /// # Errors
    /// If the file is missing or malformed, or holds anything that this decoder would compute differently from
    /// transformers: the key is named.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        if !path.is_file() {
            return Err(Error::NoModel { path: folder.into(), missing: "config.json" });
        }
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let json: Map<String, Value> =
            serde_json::from_str(&text).map_err(|source| Error::Json { path: path.clone(), source })?;
        Self::from_json(&json, path)
    }

    /// Interprets a parsed config.json; `path` is only for messages.
    ///
    /// # Errors
    /// As [`ModelConfig::load`].
    pub fn from_json(json: &Map<String, Value>, path: impl Into<PathBuf>) -> Result<Self> {
        let keys = Keys { json, path: path.into() };
        let family = match keys.string("model_type")? {
            "qwen2" => Family::Qwen2,
            "qwen3" => Family::Qwen3,
            "llama" => Family::Llama,
            _ => return Err(keys.unsupported("model_type", "qwen2 (also Qwen2.5), qwen3 and llama are")),
        };
        keys.refuse_what_changes_the_result(family)?;
        let (hidden_size, n_heads) = (keys.count("hidden_size")?, keys.count("num_attention_heads")?);
        let (rope_theta, rope_scaling) = keys.rope()?;
        let config = Self {
            family,
            hidden_size,
            n_heads,
            n_layers: keys.count("num_hidden_layers")?,
            n_kv_heads: keys.count_or("num_key_value_heads", n_heads)?,
            head_dim: keys.count_or("head_dim", if family == Family::Qwen3 { 128 } else { hidden_size / n_heads })?,
            intermediate_size: keys.count("intermediate_size")?,
            vocab_size: keys.count("vocab_size")?,
            max_position_embeddings: keys.count("max_position_embeddings")?,
            rms_norm_eps: keys.number("rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            head: Head::Vocabulary,
            tie_word_embeddings: keys.flag("tie_word_embeddings")?,
            eos_token_ids: keys.token_ids("eos_token_id")?,
            json: json.clone(),
        };
        config.check(&keys)?;
        Ok(config)
    }

    /// Name and shape of every tensor of the model, in the order of the forward pass.
    pub fn tensor_shapes(&self) -> Vec<(String, Vec<i64>)> {
        let (d, ffn) = (self.hidden_size, self.intermediate_size);
        let (q, kv) = (self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim);
        let mut shapes = vec![(EMBEDDING.to_owned(), vec![self.vocab_size, d])];
        for layer in 0..self.n_layers {
            let mut push =
                |name: &str, shape: &[i64]| shapes.push((format!("model.layers.{layer}.{name}"), shape.into()));
            push("input_layernorm.weight", &[d]);
            for (name, rows) in [("q_proj", q), ("k_proj", kv), ("v_proj", kv)] {
                push(&format!("self_attn.{name}.weight"), &[rows, d]);
                if self.family == Family::Qwen2 {
                    push(&format!("self_attn.{name}.bias"), &[rows]);
                }
            }
            if self.family == Family::Qwen3 {
                push("self_attn.q_norm.weight", &[self.head_dim]);
                push("self_attn.k_norm.weight", &[self.head_dim]);
            }
            push("self_attn.o_proj.weight", &[d, q]);
            push("post_attention_layernorm.weight", &[d]);
            push("mlp.gate_proj.weight", &[ffn, d]);
            push("mlp.up_proj.weight", &[ffn, d]);
            push("mlp.down_proj.weight", &[d, ffn]);
        }
        shapes.push(("model.norm.weight".to_owned(), vec![d]));
        match self.head {
            Head::Vocabulary if self.tie_word_embeddings => {}
            Head::Vocabulary => shapes.push((self.head_name().to_owned(), vec![self.vocab_size, d])),
            Head::Score => shapes.push((self.head_name().to_owned(), vec![1, d])),
        }
        shapes
    }

    /// The parameter that is the head.
    pub(crate) fn head_name(&self) -> &'static str {
        match self.head {
            Head::Vocabulary if self.tie_word_embeddings => EMBEDDING,
            Head::Vocabulary => "lm_head.weight",
            Head::Score => SCORE,
        }
    }

    /// The same decoder with one number for a sequence, as transformers describes it.
    pub(crate) fn with_score(mut self) -> Self {
        let family = match self.family {
            Family::Qwen2 => "Qwen2",
            Family::Qwen3 => "Qwen3",
            Family::Llama => "Llama",
        };
        self.json.remove("num_labels");
        self.json.insert("architectures".into(), json!([format!("{family}ForSequenceClassification")]));
        self.json.insert("id2label".into(), json!({"0": "LABEL_0"}));
        self.json.insert("label2id".into(), json!({"LABEL_0": 0}));
        self.head = Head::Score;
        self
    }

    /// The number of scores that a classifier of this config.json gives, as transformers reads it.
    pub(crate) fn n_labels(&self) -> usize {
        let named = self.json.get("id2label").and_then(Value::as_object).map(Map::len);
        let told = self.json.get("num_labels").and_then(Value::as_u64).map(|n| n as usize);
        named.or(told).unwrap_or(2)
    }

    /// The id that fills rows up, if there is one.
    pub(crate) fn pad_token_id(&self) -> Option<i64> {
        self.json.get("pad_token_id").and_then(Value::as_i64)
    }

    /// Number of trainable values.
    pub fn n_parameters(&self) -> i64 {
        self.tensor_shapes().iter().map(|(_, shape)| shape.iter().product::<i64>()).sum()
    }

    fn check(&self, keys: &Keys) -> Result<()> {
        let must = |holds: bool, key: &str, problem: String| if holds { Ok(()) } else { Err(keys.wrong(key, problem)) };
        must(
            self.n_heads % self.n_kv_heads == 0,
            "num_key_value_heads",
            format!("= {} does not divide num_attention_heads = {}", self.n_kv_heads, self.n_heads),
        )?;
        must(
            keys.get("head_dim").is_some() || self.family == Family::Qwen3 || self.hidden_size % self.n_heads == 0,
            "num_attention_heads",
            format!("= {} does not divide hidden_size = {}, and there is no head_dim", self.n_heads, self.hidden_size),
        )?;
        must(
            self.head_dim % 2 == 0,
            "head_dim",
            format!("= {} is odd; rotary embedding pairs the values", self.head_dim),
        )?;
        must(self.rope_theta > 0.0, "rope_theta", format!("= {} is not positive", self.rope_theta))?;
        for &id in &self.eos_token_ids {
            let problem = format!("= {id} lies outside the vocabulary of {}", self.vocab_size);
            must((0..self.vocab_size).contains(&id), "eos_token_id", problem)?;
        }
        Ok(())
    }
}

/// Typed access to the keys, with errors that name them.
struct Keys<'a> {
    json: &'a Map<String, Value>,
    path: PathBuf,
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.json.get(key).filter(|value| !value.is_null())
    }

    fn wrong(&self, key: &str, problem: impl Into<String>) -> Error {
        Error::Config { path: self.path.clone(), key: key.into(), problem: problem.into() }
    }

    fn unsupported(&self, key: &str, reason: &str) -> Error {
        let value = self.json.get(key).map_or_else(|| "null".into(), Value::to_string);
        Error::Unsupported { path: self.path.clone(), key: key.into(), value, reason: reason.into() }
    }

    fn string(&self, key: &str) -> Result<&str> {
        let value = self.get(key).ok_or_else(|| self.wrong(key, "is missing"))?;
        value.as_str().ok_or_else(|| self.wrong(key, format!("= {value} is not a string")))
    }

    fn count(&self, key: &str) -> Result<i64> {
        let value = self.get(key).ok_or_else(|| self.wrong(key, "is missing"))?;
        let count = value.as_i64().filter(|&n| n > 0 && n < 1 << 40);
        count.ok_or_else(|| self.wrong(key, format!("= {value} is not a positive integer")))
    }

    fn count_or(&self, key: &str, default: i64) -> Result<i64> {
        if self.get(key).is_some() { self.count(key) } else { Ok(default) }
    }

    fn number(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| self.wrong(key, format!("= {value} is not a number")))
    }

    fn flag(&self, key: &str) -> Result<bool> {
        let Some(value) = self.get(key) else { return Ok(false) };
        value.as_bool().ok_or_else(|| self.wrong(key, format!("= {value} is neither true nor false")))
    }

    /// One id or a list of ids.
    fn token_ids(&self, key: &str) -> Result<Vec<i64>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let ids = match value {
            Value::Array(ids) => ids.iter().map(Value::as_i64).collect(),
            id => id.as_i64().map(|id| vec![id]),
        };
        ids.ok_or_else(|| self.wrong(key, format!("= {value} is neither a token id nor a list of them")))
    }

    /// Base and stretching of the rotary frequencies, from either generation of transformers' keys.
    fn rope(&self) -> Result<(f64, Option<Llama3Scaling>)> {
        // transformers 5 writes one table `rope_parameters`; older ones `rope_theta` beside `rope_scaling`.
        let (key, table) = match (self.get("rope_parameters"), self.get("rope_scaling")) {
            (Some(table), _) => ("rope_parameters", Some(table)),
            (None, table) => ("rope_scaling", table),
        };
        let old_theta = self.number("rope_theta")?.unwrap_or(10_000.0);
        let Some(table) = table else { return Ok((old_theta, None)) };
        let table = table.as_object().ok_or_else(|| self.unsupported(key, "it has to be a table"))?;
        let number = |name: &str| match table.get(name).filter(|value| !value.is_null()) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(&format!("{key}.{name}"), format!("= {value} is not a number"))),
            },
        };
        let theta = number("rope_theta")?.unwrap_or(old_theta);
        let neutral = ["rope_theta", "rope_type", "type", "factor", "low_freq_factor", "high_freq_factor"];
        for (name, value) in table {
            let neutral = neutral.contains(&name.as_str()) || name == "original_max_position_embeddings";
            let whole = name == "partial_rotary_factor" && value.as_f64() == Some(1.0);
            if !neutral && !whole && !value.is_null() {
                return Err(self.unsupported(key, &format!("`{name}` in it is unknown here")));
            }
        }
        match table.get("rope_type").or_else(|| table.get("type")).and_then(Value::as_str) {
            None | Some("default") => Ok((theta, None)),
            Some("llama3") => {
                let need =
                    |name: &str| number(name)?.ok_or_else(|| self.unsupported(key, &format!("`{name}` is missing")));
                let scaling = Llama3Scaling {
                    factor: need("factor")?,
                    low_freq_factor: need("low_freq_factor")?,
                    high_freq_factor: need("high_freq_factor")?,
                    original_max_position_embeddings: need("original_max_position_embeddings")?,
                };
                if scaling.low_freq_factor >= scaling.high_freq_factor {
                    return Err(self.unsupported(key, "`low_freq_factor` has to be below `high_freq_factor`"));
                }
                Ok((theta, Some(scaling)))
            }
            Some(_) => Err(self.unsupported(key, "the types `default` and `llama3` are")),
        }
    }

    fn refuse_what_changes_the_result(&self, family: Family) -> Result<()> {
        const USED: &[&str] = &[
            "hidden_size",
            "num_attention_heads",
            "num_hidden_layers",
            "num_key_value_heads",
            "head_dim",
            "vocab_size",
            "intermediate_size",
            "max_position_embeddings",
            "rms_norm_eps",
            "rope_theta",
            "rope_scaling",
            "rope_parameters",
            "tie_word_embeddings",
        ];
        for (key, value) in self.json {
            let refusal = match key.as_str() {
                key if NEUTRAL.contains(&key) || USED.contains(&key) => None,
                _ if value.is_null() => None,
                "hidden_act" => (value != "silu").then_some("the gate of these families is `silu`"),
                "use_sliding_window" => (value != false).then_some("attention here sees the whole sequence"),
                "layer_types" => {
                    let full = |kinds: &Vec<Value>| kinds.iter().all(|kind| kind == "full_attention");
                    (!value.as_array().is_some_and(full)).then_some("every layer has to be `full_attention`")
                }
                "attention_bias" => (value != false).then_some("biases are where the family has them"),
                "mlp_bias" => (value != false).then_some("the feed-forward layers of these families have no bias"),
                "attention_dropout" => {
                    (value.as_f64() != Some(0.0)).then_some("there is no dropout here; set it to 0.0")
                }
                "pretraining_tp" => (value != 1).then_some("1 is"),
                _ => Some("it is not known here whether it changes what the network computes"),
            };
            if let Some(reason) = refusal {
                return Err(self.unsupported(key, reason));
            }
        }
        if family == Family::Qwen2 && self.get("head_dim").is_some() {
            let (hidden, heads) = (self.count("hidden_size")?, self.count("num_attention_heads")?);
            if self.count("head_dim")? * heads != hidden {
                return Err(self.unsupported("head_dim", "in Qwen2 it is hidden_size / num_attention_heads"));
            }
        }
        Ok(())
    }
}
