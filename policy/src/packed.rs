//! A batch of groups as one stream of tokens: each prompt once, its completions behind it, no padding anywhere.

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
    /// `[tokens]`, int64: the stream.
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

impl PackedBatch {
    /// Packs `groups` in order.
    ///
    /// # Panics
    /// If a prompt or a completion is empty: there would be nothing to predict from, or nothing to predict.
    pub fn new(groups: &[SharedPrompt], device: Device) -> Self {
        let (mut tokens, mut positions, mut predictors, mut targets) = (vec![], vec![], vec![], vec![]);
        let mut segments = Vec::with_capacity(groups.len());
        for group in groups {
            assert!(!group.prompt.is_empty(), "a prompt has at least one token");
            tokens.extend_from_slice(group.prompt);
            positions.extend(0..group.prompt.len() as i64);
            let last_of_prompt = tokens.len() as i64 - 1;
            let mut n_inputs = Vec::with_capacity(group.completions.len());
            for completion in &group.completions {
                let (_, inputs) = completion.split_last().expect("a completion has at least one token");
                predictors.push(last_of_prompt);
                predictors.extend((0..inputs.len()).map(|i| (tokens.len() + i) as i64));
                targets.extend_from_slice(completion);
                tokens.extend_from_slice(inputs);
                positions.extend((group.prompt.len()..).take(inputs.len()).map(|position| position as i64));
                n_inputs.push(inputs.len() as i64);
            }
            segments.push(Segment { n_prompt: group.prompt.len() as i64, n_inputs });
        }
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        Self {
            tokens: tensor(&tokens),
            positions: tensor(&positions),
            predictors: tensor(&predictors),
            targets: tensor(&targets),
            segments,
            n_completion_tokens: targets.len() as i64,
        }
    }

    /// Number of completion tokens: the length of everything computed per token, in the order of the completions.
    pub fn n_completion_tokens(&self) -> i64 {
        self.n_completion_tokens
    }

    /// `[completion_tokens]`, int64: the ids whose log-probabilities are asked for.
    pub fn targets(&self) -> &Tensor {
        &self.targets
    }
}
