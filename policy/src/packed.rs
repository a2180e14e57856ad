//! A batch of groups as one stream of tokens: each prompt once, its completions behind it, no padding between.

use tch::{Device, Tensor};

/// A prompt and the completions that continue it.
#[derive(Clone, Debug)]
pub struct SharedPrompt<'a> {
    /// Token ids of the question; at least one.
    pub prompt: &'a [i64],
    /// Token ids of each completion; each at least one.
    pub completions: Vec<&'a [i64]>,
}

/// Lengths, in tokens of the stream, of one group.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) n_prompt: i64,
    /// Inputs of each completion: one fewer than its tokens, because nothing is predicted from the last.
    pub(crate) n_inputs: Vec<i64>,
}

/// Tensors of a packed batch.
#[derive(Debug)]
pub struct PackedBatch {
    /// `[tokens]`, int64: the stream, and up to fifteen tokens behind it that belong to no segment.
    pub(crate) tokens: Tensor,
    /// `[tokens]`, int64: position of each token in its own sequence.
    pub(crate) positions: Tensor,
    /// `[completion_tokens]`, int64: the row of the stream that predicts each completion token.
    pub(crate) predictors: Tensor,
    /// `[completion_tokens]`, int64: the completion tokens themselves.
    pub(crate) targets: Tensor,
    pub(crate) segments: Vec<Segment>,
    n_completion_tokens: i64,
}

/// The stream has a multiple of this many rows: matrix products of other numbers may round differently.
const ROWS: usize = 16;

impl PackedBatch {
    /// Packs `groups` in order.
    ///
    /// # Panics
    /// If a prompt or a completion is empty: there would be nothing to predict from, or nothing to predict.
    pub fn new(groups: &[SharedPrompt], device: Device) -> Self {
        let mut stream = Stream::default();
        for group in groups {
            assert!(!group.prompt.is_empty(), "a prompt has at least one token");
            stream.extend(group.prompt, 0);
            let last_of_prompt = stream.tokens.len() as i64 - 1;
            let mut n_inputs = Vec::with_capacity(group.completions.len());
            for completion in &group.completions {
                let (_, inputs) = completion.split_last().expect("a completion has at least one token");
                stream.predictors.push(last_of_prompt);
                stream.predictors.extend((0..inputs.len()).map(|i| (stream.tokens.len() + i) as i64));
                stream.targets.extend_from_slice(completion);
                stream.extend(inputs, group.prompt.len());
                n_inputs.push(inputs.len() as i64);
            }
            stream.segments.push(Segment { n_prompt: group.prompt.len() as i64, n_inputs });
        }
        stream.batch(device)
    }

    /// Packs rows of plain text: each predicts its own tokens from the second on.
    ///
    /// # Panics
    /// If a row has fewer than two tokens.
    pub fn text(rows: &[Vec<i64>], device: Device) -> Self {
        let mut stream = Stream::default();
        for row in rows {
            let (inputs, targets) = (&row[..row.len() - 1], &row[1..]);
            assert!(!inputs.is_empty(), "a row has at least two tokens");
            stream.predictors.extend((0..inputs.len()).map(|i| (stream.tokens.len() + i) as i64));
            stream.targets.extend_from_slice(targets);
            stream.extend(inputs, 0);
            stream.segments.push(Segment { n_prompt: inputs.len() as i64, n_inputs: Vec::new() });
        }
        stream.batch(device)
    }

    /// Number of predicted tokens: the length of everything computed per token, in the order of the completions.
    pub fn n_completion_tokens(&self) -> i64 {
        self.n_completion_tokens
    }

    /// `[completion_tokens]`, int64: the ids whose log-probabilities are asked for.
    pub fn targets(&self) -> &Tensor {
        &self.targets
    }
}

/// A batch in the making.
#[derive(Default)]
struct Stream {
    tokens: Vec<i64>,
    positions: Vec<i64>,
    predictors: Vec<i64>,
    targets: Vec<i64>,
    segments: Vec<Segment>,
}

impl Stream {
    /// Appends tokens that stand at `first_position` and behind it.
    fn extend(&mut self, tokens: &[i64], first_position: usize) {
        self.tokens.extend_from_slice(tokens);
        self.positions.extend((first_position..).take(tokens.len()).map(|position| position as i64));
    }

    fn batch(mut self, device: Device) -> PackedBatch {
        let n_rows = self.tokens.len().next_multiple_of(ROWS);
        self.tokens.resize(n_rows, 0);
        self.positions.resize(n_rows, 0);
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        PackedBatch {
            tokens: tensor(&self.tokens),
            positions: tensor(&self.positions),
            predictors: tensor(&self.predictors),
            targets: tensor(&self.targets),
            n_completion_tokens: self.targets.len() as i64,
            segments: self.segments,
        }
    }
}
