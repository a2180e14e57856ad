//! Draws against their distribution, row by row and by libtorch's operations.

use super::*;
use crate::random::Stream;

fn logits(rows: i64, vocab: i64) -> Tensor {
    let values: Vec<f32> = (0..rows * vocab).map(|i| Stream::new(3, &[9]).normal(i as u64) as f32 * 2.0).collect();
    Tensor::from_slice(&values).reshape([rows, vocab])
}

fn draw(logits: &Tensor, uniforms: &[f64], suppress: &[bool], params: &SamplingParams) -> Drawn {
    let given = vec![None; uniforms.len()];
    Draws::new(uniforms.to_vec(), suppress.to_vec(), given, params, Device::Cpu).draw(logits)
}

fn draw_all(logits: &Tensor, uniforms: &[f64], params: &SamplingParams) -> Vec<i64> {
    draw(logits, uniforms, &vec![false; uniforms.len()], params).ids
}

/// How often each of the tokens of one row is drawn, as a fraction.
fn frequencies(row: &Tensor, n: i64, params: &SamplingParams) -> Vec<f64> {
    let uniforms: Vec<f64> = (0..n as u64).map(|i| Stream::new(1, &[]).uniform(i)).collect();
    let ids = draw_all(&row.expand([n, -1], false), &uniforms, params);
    let mut counts = vec![0.0; row.size()[1] as usize];
    ids.iter().for_each(|&id| counts[id as usize] += 1.0 / n as f64);
    counts
}

#[test]
fn draws_follow_the_tempered_distribution() {
    let row = logits(1, 12);
    for temperature in [0.5, 1.0, 1.7] {
        let params = SamplingParams { temperature, ..SamplingParams::default() };
        let expected: Vec<f64> = (&row / temperature).softmax(-1, Kind::Double).squeeze_dim(0).try_into().unwrap();
        for (got, expected) in frequencies(&row, 100_000, &params).iter().zip(&expected) {
            assert!((got - expected).abs() < 0.006, "{temperature}: {got} for {expected}");
        }
    }
}

#[test]
fn a_row_draws_the_same_alone_reversed_and_together() {
    let batch = logits(64, 50);
    let uniforms: Vec<f64> = (0..64).map(|row| Stream::new(4, &[row]).uniform(17)).collect();
    let params = SamplingParams { top_p: 0.9, top_k: 20, ..SamplingParams::default() };
    let together = draw_all(&batch, &uniforms, &params);
    let alone: Vec<i64> = (0..64)
        .map(|row| draw_all(&batch.narrow(0, row, 1), &uniforms[row as usize..=row as usize], &params)[0])
        .collect();
    let backwards: Vec<f64> = uniforms.iter().rev().copied().collect();
    let mut reversed = draw_all(&batch.flip([0]), &backwards, &params);
    reversed.reverse();
    assert_eq!(together, alone);
    assert_eq!(together, reversed);
}

#[test]
fn truncation_keeps_what_it_says() {
    let row = Tensor::from_slice(&[0.5f32, 0.3, 0.15, 0.05]).log().unsqueeze(0);
    let check = |params: SamplingParams, kept: [bool; 4]| {
        let drawn = frequencies(&row, 20_000, &params);
        assert_eq!(drawn.iter().map(|&f| f > 0.0).collect::<Vec<_>>(), kept, "{params:?}");
    };
    let base = SamplingParams::default();
    check(base.clone(), [true; 4]);
    check(SamplingParams { top_k: 2, ..base.clone() }, [true, true, false, false]);
    check(SamplingParams { top_k: 9, ..base.clone() }, [true; 4]);
    check(SamplingParams { top_p: 0.5, ..base.clone() }, [true, false, false, false]);
    check(SamplingParams { top_p: 0.6, ..base.clone() }, [true, true, false, false]);
    check(SamplingParams { top_p: 0.01, ..base.clone() }, [true, false, false, false]);
    check(SamplingParams { min_p: 0.25, ..base.clone() }, [true, true, true, false]);
    check(SamplingParams { temperature: 0.0, ..base }, [true, false, false, false]);
}

#[test]
fn logprobs_are_of_the_whole_distribution_in_both_conventions() {
    let row = logits(1, 30);
    let params = SamplingParams { temperature: 0.7, top_k: 3, ..SamplingParams::default() };
    let drawn = draw(&row, &[0.4], &[false], &params);
    let at = |logits: &Tensor| logits.log_softmax(-1, Kind::Float).double_value(&[0, drawn.ids[0]]);
    assert!((f64::from(drawn.logprobs[0]) - at(&(&row / 0.7))).abs() < 1e-6);
    assert!((f64::from(drawn.untempered_logprobs[0]) - at(&row)).abs() < 1e-6);
}

#[test]
fn suppressed_rows_draw_no_stop_token() {
    let row = Tensor::from_slice(&[9.0f32, 1.0, 0.0]).unsqueeze(0).expand([2, 3], false);
    let params = SamplingParams { stop_token_ids: vec![0], temperature: 0.0, ..SamplingParams::default() };
    let drawn = draw(&row, &[0.5, 0.5], &[false, true], &params);
    assert_eq!(drawn.ids, [0, 1]);
    // The log-probability is that of the distribution the trainer sees, in which nothing is suppressed.
    let whole = row.log_softmax(-1, Kind::Float).double_value(&[1, 1]);
    assert!((f64::from(drawn.logprobs[1]) - whole).abs() < 1e-6);
}

#[test]
fn both_ways_draw_the_same() {
    let (batch, n) = (logits(64, 1000), 64);
    let uniforms: Vec<f64> = (0..n).map(|row| Stream::new(5, &[row]).uniform(3)).collect();
    let base = SamplingParams { stop_token_ids: vec![7, 30], ..SamplingParams::default() };
    let suppress: Vec<bool> = (0..n).map(|row| row % 3 == 0).collect();
    let given: Vec<Option<i64>> = (0..n).map(|row| (row % 5 == 0).then_some(row as i64 * 11)).collect();
    for params in [
        base.clone(),
        SamplingParams { temperature: 0.6, top_p: 0.9, ..base.clone() },
        SamplingParams { temperature: 1.3, top_k: 40, min_p: 0.01, ..base.clone() },
        SamplingParams { temperature: 0.0, ..base },
    ] {
        let rows = row_by_row(&batch, &uniforms, &suppress, &given, &params);
        let device = OnDevice::new(&uniforms, &suppress, &given, &params, Device::Cpu).draw(&batch, &params);
        assert_eq!(rows.ids, device.ids, "{params:?}");
        let drawn = row_by_row(&batch, &uniforms, &suppress, &vec![None; n as usize], &params);
        for (row, (given, drawn)) in given.iter().zip(&drawn.ids).enumerate() {
            assert_eq!(rows.ids[row], given.unwrap_or(*drawn), "a row's token is given, or drawn as ever");
        }
        let tempered = if params.temperature == 0.0 { batch.shallow_clone() } else { &batch / params.temperature };
        let whole = tempered.log_softmax(-1, Kind::Float);
        for (row, id) in rows.ids.iter().enumerate() {
            let expected = whole.double_value(&[row as i64, *id]);
            assert!((f64::from(rows.logprobs[row]) - expected).abs() < 2e-6, "{row}: of what was drawn or given");
        }
        let pairs = rows.logprobs.iter().zip(&device.logprobs);
        let all = pairs.chain(rows.untempered_logprobs.iter().zip(&device.untempered_logprobs));
        all.for_each(|(a, b)| assert!((a - b).abs() < 2e-6, "{a} {b}"));
    }
}

/// A stop token far ahead of all others leaves a distribution behind when it is suppressed.
#[test]
fn what_is_left_of_a_suppressed_row_is_its_own_distribution() {
    let row = Tensor::from_slice(&[150.0f32, 1.0, 0.0, -1.0]).unsqueeze(0).expand([4000, 4], false);
    let uniforms: Vec<f64> = (0..4000).map(|i| Stream::new(8, &[]).uniform(i)).collect();
    let params = SamplingParams { stop_token_ids: vec![0, 9], ..SamplingParams::default() };
    let drawn = row_by_row(&row, &uniforms, &[true; 4000], &[None; 4000], &params);
    let ones = drawn.ids.iter().filter(|&&id| id == 1).count() as f64 / 4000.0;
    let expected = 1.0 / (1.0 + (-1f64).exp() + (-2f64).exp());
    assert!((ones - expected).abs() < 0.03, "{ones} for {expected}");
    let greedy = SamplingParams { temperature: 0.0, ..params };
    assert_eq!(row_by_row(&row, &uniforms[..4000], &[true; 4000], &[None; 4000], &greedy).ids[7], 1);
}

#[test]
fn the_ends_of_the_unit_interval_are_tokens() {
    let batch = logits(1, 40).expand([2, 40], false).to_device(Device::Cpu);
    let ids = draw_all(&batch, &[1e-17, 1.0 - 1e-16], &SamplingParams::default());
    assert!(ids.iter().all(|id| (0..40).contains(id)), "{ids:?}");
}
