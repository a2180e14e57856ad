//! Keys and values of the sequences being sampled: one row each, rows of different lengths side by side.

use tch::Tensor;

use crate::{cpu, libtorch};

/// Keys and values of an encoded prompt, and what the network says comes next.
#[derive(Debug)]
pub struct PromptKv {
    pub(crate) form: PromptForm,
    /// `[vocab]`, float32: logits of the first completion token.
    pub logits: Tensor,
}

#[derive(Debug)]
pub(crate) enum PromptForm {
    Cpu(cpu::cache::Cache),
    Libtorch(libtorch::cache::Prompt),
}

/// The cache of a batch of rows.
#[derive(Debug)]
pub struct KvCache(pub(crate) CacheForm);

#[derive(Debug)]
pub(crate) enum CacheForm {
    Cpu(cpu::cache::Cache),
    Libtorch(libtorch::cache::Cache),
}

impl KvCache {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        match &self.0 {
            CacheForm::Cpu(cache) => cache.n_rows(),
            CacheForm::Libtorch(cache) => cache.n_rows(),
        }
    }

    /// Starts a new sequence in `row` with an encoded prompt; what the row held is forgotten.
    ///
    /// # Panics
    /// If the prompt was encoded for another device.
    pub fn admit(&mut self, row: usize, prompt: &PromptKv) {
        match (&mut self.0, &prompt.form) {
            (CacheForm::Cpu(cache), PromptForm::Cpu(prompt)) => cache.admit(row, prompt),
            (CacheForm::Libtorch(cache), PromptForm::Libtorch(prompt)) => cache.admit(row, prompt),
            _ => panic!("prompt and cache are of one sampler"),
        }
    }

    /// Moves the sequence in row `from` to row `to`, so that the rows in use stay the first ones.
    pub fn move_row(&mut self, from: usize, to: usize) {
        match &mut self.0 {
            CacheForm::Cpu(cache) => cache.move_row(from, to),
            CacheForm::Libtorch(cache) => cache.move_row(from, to),
        }
    }

    /// Takes a sequence back to its first `n_tokens`: the next step writes behind these.
    ///
    /// # Panics
    /// If the row holds fewer.
    pub fn truncate(&mut self, row: usize, n_tokens: usize) {
        match &mut self.0 {
            CacheForm::Cpu(cache) => cache.truncate(row, n_tokens),
            CacheForm::Libtorch(cache) => cache.truncate(row, n_tokens),
        }
    }
}
