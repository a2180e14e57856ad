//! Matrix operations of a pass, counted by formula: what a rate in FLOP/s is made of.

use crate::plan::ModelShape;

/// Matrix operations of a backward pass per one of its forward pass: each product `y = x w` has two in it, for the gradients
/// of `x` and of `w`; so has each of attention's two. What is computed a second time is not counted.
pub const BACKWARD: f64 = 2.0;

/// Matrix operations of the forward pass that an update makes over one group, a multiplication and an addition being two.
///
/// - `prompt`: tokens of the prompt, p, which is computed once
/// - `lengths`: tokens of each completion, L_i; the last is predicted and not computed, so n_i = L_i - 1 tokens are
///
/// ```text
/// 2 (p + sum n_i) W  +  4 P layers heads head_dim  +  2 (sum L_i) hidden vocab
/// W = layers (hidden (heads + 2 kv_heads) head_dim + heads head_dim hidden + 3 hidden intermediate)
/// P = p (p + 1) / 2 + sum_i (n_i p + n_i (n_i + 1) / 2)
/// ```
///
/// W are the weights of the blocks' matrices: query, key and value, output, and the three of the feed-forward network. P are
/// the pairs of a token and one it attends to, itself included; a pair takes `2 head_dim` for its score and as much for its
/// part of the output. The head is computed where a token is predicted. Norms, softmax, rotations and the like are left out.
pub fn forward(shape: &ModelShape, prompt: usize, lengths: &[usize]) -> f64 {
    let n_predicted: usize = lengths.iter().sum();
    blocks(shape, prompt, lengths) + head(shape, n_predicted)
}

/// Matrix operations of sampling the same group: the same tokens go through the blocks, one at a time, and the first token of
/// all completions is drawn from one row of the head.
pub fn sampling(shape: &ModelShape, prompt: usize, lengths: &[usize]) -> f64 {
    let n_later: usize = lengths.iter().map(|length| length.saturating_sub(1)).sum();
    blocks(shape, prompt, lengths) + head(shape, 1 + n_later)
}

/// Matrix operations of the forward pass over a row of text, of which every token but the last is computed and every token but
/// the first predicted.
///
/// - `inputs`: tokens computed
pub fn text(shape: &ModelShape, inputs: usize) -> f64 {
    blocks(shape, inputs, &[]) + head(shape, inputs)
}

fn blocks(shape: &ModelShape, prompt: usize, lengths: &[usize]) -> f64 {
    let [hidden, layers, heads, kv_heads, head_dim, intermediate] =
        [shape.hidden_size, shape.n_layers, shape.n_heads, shape.n_kv_heads, shape.head_dim, shape.intermediate_size]
            .map(|size| size as f64);
    let triangle = |n: f64| n * (n + 1.0) / 2.0;
    let prompt = prompt as f64;
    let (mut tokens, mut pairs) = (prompt, triangle(prompt));
    for length in lengths {
        let inputs = length.saturating_sub(1) as f64;
        tokens += inputs;
        pairs += inputs * prompt + triangle(inputs);
    }
    let weights =
        hidden * (heads + 2.0 * kv_heads) * head_dim + heads * head_dim * hidden + 3.0 * hidden * intermediate;
    2.0 * tokens * layers * weights + 4.0 * pairs * layers * heads * head_dim
}

fn head(shape: &ModelShape, rows: usize) -> f64 {
    2.0 * rows as f64 * shape.hidden_size as f64 * shape.vocab_size as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ModelShape = ModelShape {
        hidden_size: 4,
        n_layers: 2,
        n_heads: 2,
        n_kv_heads: 1,
        head_dim: 2,
        intermediate_size: 8,
        vocab_size: 10,
        max_position_embeddings: 64,
        tie_word_embeddings: true,
        qkv_bias: true,
        qk_norm: false,
    };

    /// By hand: a block has 4 x 8 + 4 x 4 + 3 x 4 x 8 = 144 weights in matrices. Of a prompt of 3 and completions of 1 and 3
    /// tokens 5 are computed, with 6 + (2 x 3 + 3) = 15 pairs; 4 are predicted, 3 rows when sampled.
    #[test]
    fn a_group_worked_by_hand() {
        let blocks = (2 * 5 * 2 * 144 + 4 * 15 * 2 * 2 * 2) as f64;
        assert_eq!(forward(&SHAPE, 3, &[1, 3]), blocks + (2 * 4 * 4 * 10) as f64);
        assert_eq!(sampling(&SHAPE, 3, &[1, 3]), blocks + (2 * 3 * 4 * 10) as f64);
        assert_eq!(text(&SHAPE, 3), (2 * 3 * 2 * 144 + 4 * 6 * 2 * 2 * 2 + 2 * 3 * 4 * 10) as f64);
    }

    /// Without attention's pairs and the prompt, two operations a weight and token: the usual estimate.
    #[test]
    fn a_long_matrix_product_is_twice_its_weights() {
        let wide = ModelShape { hidden_size: 4096, intermediate_size: 16384, ..SHAPE };
        let per_token = forward(&wide, 1, &[1001]) / 1001.0;
        let weights = 2.0 * (4096.0 * 8.0 + 4.0 * 4096.0 + 3.0 * 4096.0 * 16384.0) + 4096.0 * 10.0;
        assert!((per_token / (2.0 * weights) - 1.0).abs() < 1e-4, "{per_token}");
    }
}
