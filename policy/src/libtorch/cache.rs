//! Keys and values of the sequences being sampled: one row each, rows of different lengths side by side.

use super::attention::{Heads, Span};
use super::graphs::Graphs;
use crate::ModelConfig;
use crate::network::Network;
use tch::{Device, Kind, Tensor};

/// Positions are added in steps of this many, so that growing is rare.
const GROWTH: i64 = 64;

/// The length of a row that is not in use.
const UNUSED: i64 = -1;

/// Keys and values of an encoded prompt.
#[derive(Debug)]
pub(crate) struct Prompt {
    /// `[layers, 2, prompt_tokens, n_kv_heads, head_dim]`: keys and values of each layer.
    pub(crate) layers: Tensor,
    pub(crate) n_tokens: i64,
}

/// What a decoding step reads and writes. It lies where the network is, in the same places from step to step, and a step
/// works on nothing else, so that a recorded step can be run again.
#[derive(Debug)]
pub(crate) struct Rows {
    /// `[layers, 2, rows, capacity, n_kv_heads, head_dim]`: keys and values of each layer.
    memory: Tensor,
    /// `[rows]`, int64: the token that each row goes on with.
    tokens: Tensor,
    /// `[rows]`, int64: how many tokens each row holds.
    lengths: Tensor,
    /// `[rows, vocab]`, float32: what a step says comes next.
    logits: Tensor,
}

/// The cache of a batch of rows.
#[derive(Debug)]
pub(crate) struct Cache {
    pub(crate) rows: Rows,
    /// What `rows.lengths` holds of rows in use, known without asking the device; [`UNUSED`] of others.
    lengths: Vec<i64>,
    pub(crate) graphs: Graphs,
}

impl Rows {
    /// Empty rows with room for `capacity` positions.
    pub(crate) fn new(config: &ModelConfig, n_rows: usize, capacity: i64, kind: Kind, device: Device) -> Self {
        let n_rows = n_rows as i64;
        let shape = [config.n_layers, 2, n_rows, capacity, config.n_kv_heads, config.head_dim];
        let numbers = || Tensor::zeros([n_rows], (Kind::Int64, device));
        Self {
            // Zeros, because a masked place still counts where it holds no number.
            memory: Tensor::zeros(shape, (kind, device)),
            tokens: numbers(),
            lengths: numbers(),
            logits: Tensor::zeros([n_rows, config.vocab_size], (Kind::Float, device)),
        }
    }

    fn n_rows(&self) -> i64 {
        self.memory.size()[2]
    }

    pub(crate) fn capacity(&self) -> i64 {
        self.memory.size()[3]
    }

    /// The first `n_rows` tokens, `[n_rows]`, int64.
    pub(crate) fn tokens(&self, n_rows: i64) -> Tensor {
        self.tokens.narrow(0, 0, n_rows)
    }

    /// Where these tokens stand, `[n_rows]`, int64.
    pub(crate) fn positions(&self, n_rows: i64) -> Tensor {
        // A copy, because the lengths go on changing.
        self.lengths.narrow(0, 0, n_rows).copy()
    }

    /// `[n_rows]`, int64: for each row, the place of its new token among all places of a layer.
    pub(crate) fn places(&self, positions: &Tensor) -> Tensor {
        let n_rows = positions.size()[0];
        Tensor::arange_start_step(0, n_rows * self.capacity(), self.capacity(), (Kind::Int64, positions.device()))
            + positions
    }

    /// Appends the new tokens' keys and values to the first rows and attends over them.
    ///
    /// - `heads`: `[rows, heads, head_dim]`; `places`: from [`Self::places`]; result: `[rows, hidden]`
    pub(crate) fn attend(&self, layer_idx: usize, heads: &Heads, places: &Tensor, span: &Span) -> Tensor {
        let layer = self.memory.get(layer_idx as i64);
        let [key, value] = [(0, &heads.key), (1, &heads.value)].map(|(index, new)| {
            let memory = layer.get(index);
            // A view by its name: what is written has to arrive in the cache.
            let _ = memory.view([-1, memory.size()[2], memory.size()[3]]).index_copy_(0, places, new);
            memory.narrow(0, 0, places.size()[0])
        });
        span.attend(&heads.query, &key, &value)
    }

    /// Ends a step of the first `n_rows` sequences: each is one token longer.
    ///
    /// - `logits`: `[n_rows, vocab]`, of any kind
    pub(crate) fn advance(&self, logits: &Tensor) {
        let n_rows = logits.size()[0];
        let _ = self.lengths.narrow(0, 0, n_rows).g_add_scalar_(1);
        self.logits(n_rows).copy_(logits);
    }

    /// `[n_rows, vocab]`, float32: the logits of the last step, until the next.
    pub(crate) fn logits(&self, n_rows: i64) -> Tensor {
        self.logits.narrow(0, 0, n_rows)
    }
}

impl Cache {
    /// An empty cache with room for `n_positions`; it grows if more are asked for.
    pub(crate) fn new(network: &Network, n_rows: usize, n_positions: usize) -> Self {
        let rows = Rows::new(&network.config, n_rows, (n_positions as i64).max(1), network.kind, network.device);
        Self { rows, lengths: vec![UNUSED; n_rows], graphs: Graphs::new(network) }
    }

    /// Number of rows.
    pub(crate) fn n_rows(&self) -> usize {
        self.lengths.len()
    }

    /// Starts a new sequence in `row` with an encoded prompt; what the row held is forgotten.
    pub(crate) fn admit(&mut self, row: usize, prompt: &Prompt) {
        self.reserve(prompt.n_tokens);
        self.positions_of(row, prompt.n_tokens).copy_(&prompt.layers);
        self.set_length(row, prompt.n_tokens);
    }

    /// Moves the sequence in row `from` to row `to`, so that the rows in use stay the first ones.
    pub(crate) fn move_row(&mut self, from: usize, to: usize) {
        let n_tokens = self.lengths[from];
        self.positions_of(to, n_tokens).copy_(&self.positions_of(from, n_tokens));
        self.set_length(to, n_tokens);
    }

    /// Takes the sequence in `row` back to its first `n_tokens`; what lies behind is written over when it is needed.
    pub(crate) fn truncate(&mut self, row: usize, n_tokens: usize) {
        let n_tokens = n_tokens as i64;
        assert!(n_tokens <= self.lengths[row], "row {row} holds {} tokens, not {n_tokens}", self.lengths[row]);
        self.set_length(row, n_tokens);
    }

    /// `[layers, 2, n_tokens, n_kv_heads, head_dim]`: what a row holds.
    fn positions_of(&self, row: usize, n_tokens: i64) -> Tensor {
        self.rows.memory.select(2, row as i64).narrow(2, 0, n_tokens)
    }

    fn set_length(&mut self, row: usize, n_tokens: i64) {
        self.lengths[row] = n_tokens;
        let _ = self.rows.lengths.narrow(0, row as i64, 1).fill_(n_tokens);
    }

    /// Begins a decoding step of the first rows, each with its token: makes room for them. Gives back how many rows to
    /// compute and how many keys the longest sees.
    ///
    /// Rows to compute are a few more than there are tokens, so that few different steps are recorded. The surplus is kept
    /// at its first position, where it costs little; so what those rows held is gone, and so it is for all behind.
    ///
    /// # Panics
    /// If one of the rows holds nothing.
    pub(crate) fn begin_step(&mut self, tokens: &[i64]) -> (i64, i64) {
        let n_used = tokens.len();
        self.lengths[n_used..].fill(UNUSED);
        // A row may have been taken back to nothing; the next token is then the first of its prompt.
        assert!(!self.lengths[..n_used].contains(&UNUSED), "a row begins with a prompt");
        let n_keys = self.lengths.iter().max().expect("a step has rows") + 1;
        self.reserve(n_keys);
        let (n_used, n_rows) = (n_used as i64, bucket(n_used).min(self.rows.n_rows()));
        self.rows.tokens(n_used).copy_(&Tensor::from_slice(tokens));
        if n_rows > n_used {
            let _ = self.rows.lengths.narrow(0, n_used, n_rows - n_used).zero_();
        }
        (n_rows, n_keys)
    }

    /// Ends it: the sequences are one token longer.
    pub(crate) fn end_step(&mut self, n_rows: usize) {
        self.lengths[..n_rows].iter_mut().for_each(|length| *length += 1);
    }

    /// Makes room for sequences of `n_tokens`.
    fn reserve(&mut self, n_tokens: i64) {
        let capacity = self.rows.capacity();
        if n_tokens <= capacity {
            return;
        }
        // Recorded steps know the old memory.
        self.graphs.clear();
        let mut shape = self.rows.memory.size();
        shape[3] = (n_tokens as u64).next_multiple_of(GROWTH as u64) as i64;
        let larger = Tensor::zeros(&shape, (self.rows.memory.kind(), self.rows.memory.device()));
        larger.narrow(3, 0, capacity).copy_(&self.rows.memory);
        self.rows.memory = larger;
    }
}

/// Rows that a step computes for so many in use.
fn bucket(n_used: usize) -> i64 {
    n_used.next_multiple_of(if n_used <= 64 { 8 } else { 32 }) as i64
}
