//! Addresses of random numbers in a run: who draws, in which stage, and for what.

use rollout::random::Stream;

/// What a number is drawn for. The numbers are part of every result: a new purpose gets a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Tokens of completions, then step, group, row.
    Sampling = 1,
    /// The split of a rollout into minibatches, then step.
    Split = 2,
    /// Which questions are asked.
    Questions = 3,
    /// Tokens of completions in an evaluation, then problem, sample; in a stage of kind `eval` set, problem, sample.
    Evaluation = 4,
    /// First weights of a model, then tensor; or nothing: the head of a reward model.
    Weights = 5,
    /// Text of a corpus, then nothing, or 1: the order of the rows of a text.
    Corpus = 6,
    /// Which questions a curriculum draws.
    Curriculum = 7,
    /// Tokens that Clip-Cov takes out of the loss, then step, update.
    Covariance = 8,
    /// Tokens of samples that become data, or say how hard a problem is; then model, problem, sample.
    Samples = 11,
    /// Which samples become data, and in which order; then 0 (a choice), 1 (a mixture) or nothing (curation).
    Selection = 12,
    /// The order of examples, then epoch.
    Examples = 13,
}

/// The stream of one use.
pub fn stream(seed: u64, stage_idx: usize, purpose: Purpose, path: &[u64]) -> Stream {
    let mut whole = vec![stage_idx as u64, purpose as u64];
    whole.extend_from_slice(path);
    Stream::new(seed, &whole)
}
