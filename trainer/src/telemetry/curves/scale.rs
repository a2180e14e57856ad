//! From numbers to a readable axis: ranges, ticks, their labels; and the smoothing of noisy curves.

use super::super::statistics::mean;

/// A vertical axis: what is at its ends, and where its labelled lines are.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Value at the lower end (of the logarithm, if `log`).
    pub low: f64,
    /// Value at the upper end (of the logarithm, if `log`).
    pub high: f64,
    /// Position and label of each line.
    pub ticks: Vec<(f64, String)>,
    log: bool,
}

impl Axis {
    /// An axis with round ends that contains `low..=high`.
    pub fn linear(low: f64, high: f64, n_ticks: usize) -> Axis {
        // A constant gets room on both sides.
        let room = if high > low { 0.0 } else { (0.1 * low.abs()).max(f64::from(low == 0.0)) };
        let (low, high) = (low - room, high + room);
        let step = round_step((high - low) / n_ticks as f64);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let n_lines = (last - first) as usize;
        let ticks = (0..=n_lines).map(|line| (first + line as f64) * step);
        let ticks = ticks.map(|value| (value, label(value, step))).collect();
        Axis { low: first * step, high: last * step, ticks, log: false }
    }

    /// An axis of whole numbers from 0 that ends exactly at `high`, where the data does: for steps.
    pub fn up_to(high: f64, n_ticks: usize) -> Axis {
        let step = round_step(high / n_ticks as f64).max(1.0).ceil();
        let ticks = (0..=(high / step) as usize).map(|line| line as f64 * step);
        Axis { low: 0.0, high, ticks: ticks.map(|value| (value, label(value, step))).collect(), log: false }
    }

    /// A horizontal axis of names side by side, each in the middle of its place; the first is at 0, the next at 1.
    pub fn of_names(names: &[String]) -> Axis {
        let ticks = names.iter().enumerate().map(|(place, name)| (place as f64, name.clone())).collect();
        Axis { low: -0.5, high: names.len() as f64 - 0.5, ticks, log: false }
    }

    /// An axis in powers of ten that contains `low..=high`, both above 0.
    pub fn log(low: f64, high: f64) -> Axis {
        let (first, last) = ((low.log10() + 1e-9).floor() as i32, (high.log10() - 1e-9).ceil() as i32);
        let last = last.max(first + 1);
        // At most about six lines, whatever the range.
        let stride = ((last - first) as usize).div_ceil(6);
        let ticks = (first..=last).step_by(stride).map(|power| (f64::from(power), power_of_ten(power))).collect();
        Axis { low: first.into(), high: last.into(), ticks, log: true }
    }

    /// Where a value lies between the ends, 0 to 1, cut off beyond; `None` if it has no place (0 on a logarithmic
    /// axis).
    pub fn place(&self, value: f64) -> Option<f64> {
        let value = if self.log { value.log10() } else { value };
        value.is_finite().then(|| ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0))
    }

    /// Where a tick lies between the ends, 0 to 1.
    pub fn place_tick(&self, position: f64) -> f64 {
        (position - self.low) / (self.high - self.low)
    }
}

/// The next of 1, 2, 2.5, 5, 10, 20, 25, ... at or above `size`.
fn round_step(size: f64) -> f64 {
    let power = 10_f64.powf(size.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| factor * power >= size * (1.0 - 1e-9)).unwrap_or(10.0);
    factor * power
}

/// A tick's value with as many decimals as the distance to the next one needs.
fn label(value: f64, step: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let text = match step {
        // One digit more than the step's own, for steps of 2.5.
        _ if !(1e-4..1e6).contains(&step) => format!("{value:.1e}").replace(".0e", "e"),
        1_000.0.. => format!("{}k", value / 1_000.0),
        _ => {
            let decimals = (0..6).find(|decimals| (step * 10_f64.powi(*decimals)).fract().abs() < 1e-6).unwrap_or(6);
            format!("{value:.*}", decimals as usize)
        }
    };
    text.replace('-', "\u{2212}")
}

fn power_of_ten(power: i32) -> String {
    let superscript = |c: char| match c {
        '-' => '⁻',
        '0' => '⁰',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => char::from_u32('⁴' as u32 + digit as u32 - '4' as u32).unwrap_or(digit),
    };
    format!("10{}", power.to_string().chars().map(superscript).collect::<String>())
}

/// The range that matters: without the one value in two hundred at either side, so that a spike does not flatten the
/// rest. `None` of nothing.
pub fn robust_range(values: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 200;
    Some((*sorted.get(cut)?, *sorted.get(sorted.len() - 1 - cut)?))
}

/// A curve's trend: Gaussian weights around each point, over about a twelfth of the curve; near the ends over what is
/// there. `logarithmic` takes geometric means, for a logarithmic axis.
pub fn smooth(points: &[(f64, f64)], logarithmic: bool) -> Vec<(f64, f64)> {
    let into = |y: f64| if logarithmic { y.max(f64::MIN_POSITIVE).ln() } else { y };
    let back = |y: f64| if logarithmic { y.exp() } else { y };
    let sigma = (points.len() as f64 / 40.0).max(0.8);
    let reach = (3.0 * sigma).ceil() as usize;
    let smoothed = |(point_idx, (x, _)): (usize, &(f64, f64))| {
        let (first, end) = (point_idx.saturating_sub(reach), (point_idx + reach + 1).min(points.len()));
        let (mut total, mut weights) = (0.0, 0.0);
        for (other_idx, (_, y)) in points.iter().enumerate().take(end).skip(first) {
            let distance = (other_idx as f64 - point_idx as f64) / sigma;
            let weight = (-0.5 * distance * distance).exp();
            total += weight * into(*y);
            weights += weight;
        }
        (*x, back(total / weights))
    };
    points.iter().enumerate().map(smoothed).collect()
}

/// At most about `n` points: of each run of neighbours the lowest and the highest, so that the extent of the noise
/// stays.
pub fn thin_out(points: &[(f64, f64)], n: usize) -> Vec<(f64, f64)> {
    if points.len() <= n {
        return points.to_vec();
    }
    let extremes = |run: &[(f64, f64)]| {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let (low, high) = (run.iter().min_by(by_height).copied(), run.iter().max_by(by_height).copied());
        let mut pair: Vec<(f64, f64)> = low.into_iter().chain(high).collect();
        pair.sort_by(|a, b| a.0.total_cmp(&b.0));
        pair
    };
    points.chunks(points.len().div_ceil(n / 2)).flat_map(extremes).collect()
}

/// As [`thin_out`] for a smooth curve: the mean of each run.
pub fn thin_out_smooth(points: &[(f64, f64)], n: usize) -> Vec<(f64, f64)> {
    let centre = |run: &[(f64, f64)]| {
        let (x, y): (Vec<f64>, Vec<f64>) = run.iter().copied().unzip();
        (mean(&x), mean(&y))
    };
    points.chunks(points.len().div_ceil(n).max(1)).map(centre).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn axes_have_round_ticks() {
        let check = |low: f64, high: f64, expected: &[&str]| assert_eq!(labels(&Axis::linear(low, high, 5)), expected);
        check(0.0, 1.0, &["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        check(0.0, 97.3, &["0", "20", "40", "60", "80", "100"]);
        check(0.0, 104.0, &["0", "25", "50", "75", "100", "125"]);
        check(0.0, 1.04, &["0", "0.25", "0.50", "0.75", "1.00", "1.25"]);
        check(-0.13, 0.3, &["\u{2212}0.2", "\u{2212}0.1", "0", "0.1", "0.2", "0.3"]);
        check(0.0, 0.0042, &["0", "0.001", "0.002", "0.003", "0.004", "0.005"]);
        check(0.0, 24_000.0, &["0", "5k", "10k", "15k", "20k", "25k"]);
        check(0.0, 2e-5, &["0", "5e\u{2212}6", "1e\u{2212}5", "1.5e\u{2212}5", "2e\u{2212}5"]);
        check(3.0, 3.0, &["2.6", "2.8", "3.0", "3.2", "3.4"]);
        assert_eq!(labels(&Axis::up_to(230.0, 5)), ["0", "50", "100", "150", "200"]);
        assert_eq!(labels(&Axis::up_to(2.0, 5)), ["0", "1", "2"]);
        assert_eq!(labels(&Axis::up_to(12.0, 5)), ["0", "3", "6", "9", "12"]);
        let named = Axis::of_names(&["base".to_owned(), "zero".to_owned()]);
        assert_eq!((labels(&named), named.place_tick(0.0), named.place(1.0)), (vec!["base", "zero"], 0.25, Some(0.75)));
        assert_eq!(labels(&Axis::log(3e-7, 2e-5)), ["10⁻⁷", "10⁻⁶", "10⁻⁵", "10⁻⁴"]);
        assert_eq!(labels(&Axis::log(1e-12, 1.0)), ["10⁻¹²", "10⁻¹⁰", "10⁻⁸", "10⁻⁶", "10⁻⁴", "10⁻²", "10⁰"]);
    }

    #[test]
    fn values_have_places() {
        let axis = Axis::linear(0.0, 10.0, 5);
        assert_eq!((axis.place(2.5), axis.place(20.0), axis.place(f64::NAN)), (Some(0.25), Some(1.0), None));
        let axis = Axis::log(1e-4, 1.0);
        assert_eq!((axis.place(1e-2), axis.place(0.0)), (Some(0.5), None));
    }

    #[test]
    fn smoothing_keeps_a_constant_and_calms_noise() {
        let flat: Vec<(f64, f64)> = (0..50).map(|x| (f64::from(x), 3.0)).collect();
        for ((_, y), logarithmic) in smooth(&flat, false).iter().zip([false, true].iter().cycle()) {
            assert!((y - 3.0).abs() < 1e-12, "{logarithmic}");
        }
        let noise: Vec<(f64, f64)> = (0..200).map(|x| (f64::from(x), f64::from(x % 2))).collect();
        let (low, high) = robust_range(&smooth(&noise, false).iter().map(|p| p.1).collect::<Vec<_>>()).unwrap();
        assert!(low > 0.4 && high < 0.6, "{low} {high}");
    }

    #[test]
    fn thinning_keeps_the_extremes() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|x| (f64::from(x), 0.5)).collect();
        points[4_321].1 = 9.0;
        let thin = thin_out(&points, 400);
        assert!(thin.len() <= 400 && thin.contains(&(4_321.0, 9.0)));
        assert!(thin.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        assert!(thin_out_smooth(&points, 300).len() <= 300);
        assert!(thin_out_smooth(&[], 300).is_empty());
    }

    #[test]
    fn a_spike_does_not_stretch_the_axis() {
        let mut values = vec![1.0; 400];
        values[7] = 1e6;
        assert_eq!(robust_range(&values), Some((1.0, 1.0)));
        assert_eq!(robust_range(&[]), None);
    }
}
