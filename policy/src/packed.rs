//! A batch as one stream of tokens, no padding between: groups with each prompt once, or rows with targets of their own.

/// A prompt and the completions that continue it.
#[derive(Clone, Debug)]
pub struct SharedPrompt<'a> {
    /// Token ids of the question; at least one.
    pub prompt: &'a [i64],
    /// Token ids of each completion; each at least one.
    pub completions: Vec<&'a [i64]>,
}

/// A sequence of which some tokens are learned and the others only read.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Token ids.
    pub ids: &'a [i64],
    /// Whether each of `ids` is to be predicted from those before it. The first cannot be: nothing stands before it.
    pub is_target: &'a [bool],
}

/// Lengths, in tokens of the stream, of one group.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) n_prompt: i64,
    /// Inputs of each completion: one fewer than its tokens, because nothing is predicted from the last.
    pub(crate) n_inputs: Vec<i64>,
}

/// A packed batch.
#[derive(Debug, Default)]
pub struct PackedBatch {
    /// The batch.
    pub(crate) tokens: Vec<i64>,
    /// Position of each token in its own sequence.
    pub(crate) positions: Vec<i64>,
    /// Rows of the stream that the head reads: for each completion token the one that predicts it.
    pub(crate) predictors: Vec<i64>,
    /// The completion tokens themselves.
    pub(crate) targets: Vec<i64>,
    pub(crate) segments: Vec<Segment>,
}

impl PackedBatch {
    /// Packs `groups` in order.
    ///
    /// # Panics
    /// If a prompt or a completion is empty: there would be nothing to predict from, or nothing to predict.
    pub fn new(groups: &[SharedPrompt]) -> Self {
        let mut batch = Self::default();
        for group in groups {
            assert!(!group.prompt.is_empty(), "a prompt has at least one token");
            batch.extend(group.prompt, 0);
            let last_of_prompt = batch.tokens.len() as i64 - 1;
            let mut n_inputs = Vec::with_capacity(group.completions.len());
            for completion in &group.completions {
                let (_, inputs) = completion.split_last().expect("a completion has at least one token");
                batch.predictors.push(last_of_prompt);
                batch.predictors.extend((0..inputs.len()).map(|i| (batch.tokens.len() + i) as i64));
                batch.targets.extend_from_slice(completion);
                batch.extend(inputs, group.prompt.len());
                n_inputs.push(inputs.len() as i64);
            }
            batch.segments.push(Segment { n_prompt: group.prompt.len() as i64, n_inputs });
        }
        batch
    }

    /// Packs rows of plain text: each predicts its own tokens from the second on.
    ///
    /// # Panics
    /// If a row has fewer than two tokens.
    pub fn text(rows: &[Vec<i64>]) -> Self {
        let mut batch = Self::default();
        for row in rows {
            assert!(row.len() >= 2, "a row has at least two tokens");
            batch.extend_row(row, 1..row.len());
        }
        batch
    }

    /// Packs rows, each of which predicts those of its tokens that are targets and attends to itself alone.
    ///
    /// Only what predicts a target goes through the head. What stands behind a row's last target is left out, as nothing
    /// that is predicted depends on it; so is a row without a target. Targets lie in the order of rows and tokens.
    ///
    /// # Panics
    /// If a row's `is_target` is not as long as its `ids`, or its first token is a target.
    pub fn masked(rows: &[Row]) -> Self {
        let mut batch = Self::default();
        for row in rows {
            assert_eq!(row.ids.len(), row.is_target.len(), "every token is a target or not");
            assert_ne!(row.is_target.first(), Some(&true), "nothing stands before the first token to predict it from");
            batch.extend_row(row.ids, (0..row.ids.len()).filter(|&token| row.is_target[token]));
        }
        batch
    }

    /// Packs whole sequences, each of which is asked at its last token and predicts nothing.
    pub(crate) fn to_last_tokens<'a>(sequences: impl Iterator<Item = &'a [i64]>) -> Self {
        let mut batch = Self::default();
        for sequence in sequences {
            batch.extend(sequence, 0);
            batch.predictors.push(batch.tokens.len() as i64 - 1);
            batch.segments.push(Segment { n_prompt: sequence.len() as i64, n_inputs: Vec::new() });
        }
        batch
    }

    /// How many tokens are predicted.
    pub fn n_targets(&self) -> usize {
        self.targets.len()
    }

    /// Appends a row as a segment of its own; `targets` are ascending places in `ids`, none of them the first.
    fn extend_row(&mut self, ids: &[i64], targets: impl Iterator<Item = usize>) {
        let before = self.tokens.len() as i64;
        let mut n_inputs = 0;
        for target in targets {
            self.predictors.push(before + target as i64 - 1);
            self.targets.push(ids[target]);
            n_inputs = target;
        }
        if n_inputs > 0 {
            self.extend(&ids[..n_inputs], 0);
            self.segments.push(Segment { n_prompt: n_inputs as i64, n_inputs: Vec::new() });
        }
    }

    /// Appends tokens that stand at `first_position` and behind it.
    fn extend(&mut self, tokens: &[i64], first_position: usize) {
        self.tokens.extend_from_slice(tokens);
        self.positions.extend((first_position..).take(tokens.len()).map(|position| position as i64));
    }
}
