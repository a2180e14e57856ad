//! What has to hold of any batch: no cut or order matters, and how the levels of the ratio are related.

use proptest::prelude::*;

use super::*;

/// Completions of random lengths and, for each token, numbers of which a batch is made.
#[derive(Clone, Debug)]
struct Rows {
    lengths: Vec<usize>,
    /// log pi_theta, then log-ratios to pi_old, of pi_ref and of pi_old to the sampler; nats.
    tokens: Vec<[f64; 4]>,
    advantages: Vec<f64>,
    /// A number by which they are put into another order.
    turn: usize,
}

fn rows(longest: usize) -> impl Strategy<Value = Rows> {
    let of = |lengths: Vec<usize>| {
        let (n_rows, n_tokens) = (lengths.len(), lengths.iter().sum::<usize>());
        let token = [-5.0..0.0, -0.6..0.6, -1.0..1.0, -0.5..0.5];
        let advantage = prop_oneof![4 => -2.0..2.0_f64, 1 => Just(0.0)];
        (Just(lengths), prop::collection::vec(token, n_tokens), prop::collection::vec(advantage, n_rows), 0..n_rows)
    };
    prop::collection::vec(1..=longest, 2..7).prop_flat_map(of).prop_map(|(lengths, tokens, advantages, turn)| Rows {
        lengths,
        tokens,
        advantages,
        turn,
    })
}

impl Rows {
    fn flat(&self) -> Flat {
        let column = |of: fn(&[f64; 4]) -> f64| Tensor::from_slice(&self.tokens.iter().map(of).collect::<Vec<f64>>());
        Flat {
            logprobs: column(|token| token[0]),
            old_logprobs: column(|token| token[0] - token[1]),
            ref_logprobs: column(|token| token[0] + token[2]),
            sampler_logprobs: Some(column(|token| token[0] - token[1] - token[3])),
            entropies: None,
            advantages: spread(&self.advantages, &self.lengths),
            kept: None,
            covariance_kl: None,
            entropy_weights: None,
            lengths: self.lengths.clone(),
        }
    }
}

/// One objective of every kind that looks at whole completions, and one that does not.
fn objectives() -> Vec<Objective> {
    let with_kl = Objective { kl_beta: 0.04, kl_times_ratio: true, ..PLAIN };
    let weighed = Importance { level: ImportanceLevel::Sequence, floor: Some(0.5), ..Importance::capped(1.5) };
    let mut objectives = vec![
        Objective { importance: Some(weighed), ..with_kl },
        Objective { off_policy_threshold: Some(0.05), ..with_kl },
    ];
    for ratio in RATIO_LEVELS {
        objectives.extend(SURROGATES.map(|surrogate| Objective { ratio, surrogate, ..with_kl }));
    }
    objectives
}

/// Within rounding: sums over other orders.
fn same(a: &Tensor, b: &Tensor) -> bool {
    (a - b).abs().max().double_value(&[]) <= 1e-12 * (1.0 + b.abs().max().double_value(&[]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Micro-batches of whole completions, and completions in any order, under weights counted before.
    #[test]
    fn neither_cut_nor_order_matters(rows in rows(5)) {
        let flat = rows.flat();
        let mut order: Vec<usize> = (0..rows.lengths.len()).rev().collect();
        order.rotate_left(rows.turn);
        let (turned, tokens) = (flat.rows(&order), flat.tokens_of(&order));
        let (cut, rest): (i64, i64) = (rows.lengths[..=rows.turn].iter().sum::<usize>() as i64, flat.n_tokens());
        let parts: Vec<_> = [0..cut, cut..rest].into_iter().filter(|part| !part.is_empty()).collect();
        for aggregation in AGGREGATIONS {
            let weights = flat.weights(aggregation);
            for objective in objectives() {
                let whole = evaluate_whole(&flat, &weights, &objective);
                let in_parts = evaluate_parts(&flat, &weights, &objective, Kind::Double, &parts);
                prop_assert!(same(&in_parts.gradient, &whole.gradient), "{:?} {:?}", aggregation, objective);
                prop_assert!((in_parts.loss - whole.loss).abs() <= 1e-12 * (1.0 + whole.loss.abs()));
                let in_order = evaluate_whole(&turned, &weights.index_select(0, &tokens), &objective);
                prop_assert!(same(&in_order.gradient, &whole.gradient.index_select(0, &tokens)), "{:?}", objective);
                prop_assert!((in_order.loss - whole.loss).abs() <= 1e-12 * (1.0 + whole.loss.abs()));
            }
        }
    }

    /// A completion of one token is its token, at every level.
    #[test]
    fn of_one_token_every_level_is_the_tokens(rows in rows(1)) {
        let flat = rows.flat();
        let weights = flat.weights(Aggregation::PerCompletion);
        for surrogate in SURROGATES {
            let at = |ratio| {
                let objective = Objective { ratio, surrogate, kl_beta: 0.04, kl_times_ratio: true, ..PLAIN };
                evaluate_whole(&flat, &weights, &objective)
            };
            let by_token = at(RatioLevel::Token);
            for level in RATIO_LEVELS {
                let got = at(level);
                prop_assert!(same(&got.gradient, &by_token.gradient), "{:?} {:?}", level, surrogate);
                prop_assert!((got.loss - by_token.loss).abs() <= 1e-12 * (1.0 + by_token.loss.abs()));
            }
        }
    }

    /// GSPO, section 4.3: with one advantage for all tokens of a completion the two have one gradient, if nothing is clipped.
    #[test]
    fn gspo_and_gspo_token_have_one_gradient(rows in rows(6)) {
        let flat = rows.flat();
        let surrogate = Surrogate::clip(1e9);
        for aggregation in [Aggregation::PerCompletion, Aggregation::Sum] {
            let weights = flat.weights(aggregation);
            let at = |ratio| evaluate_whole(&flat, &weights, &Objective { ratio, surrogate, ..PLAIN });
            let (by_sequence, by_token) = (at(RatioLevel::Sequence), at(RatioLevel::SequenceToken));
            prop_assert!(same(&by_token.gradient, &by_sequence.gradient));
            prop_assert!((by_token.loss - by_sequence.loss).abs() <= 1e-12);
        }
    }

    /// LUSPO's is GSPO's times the length of each completion.
    #[test]
    fn a_sum_is_the_mean_times_the_length(rows in rows(6)) {
        let flat = rows.flat();
        let lengths: Vec<f64> = rows.lengths.iter().map(|&length| length as f64).collect();
        let lengths = spread(&lengths, &rows.lengths);
        for ratio in RATIO_LEVELS {
            let of = |aggregation| evaluate_whole(&flat, &flat.weights(aggregation), &Objective { ratio, ..PLAIN });
            let (sum, mean) = (of(Aggregation::Sum), of(Aggregation::PerCompletion));
            prop_assert!(same(&sum.gradient, &(mean.gradient * &lengths)), "{:?}", ratio);
        }
    }
}
