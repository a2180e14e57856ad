//! Several arms in one picture: for each metric a panel, in it for each arm the mean over seeds with a band around it.

use plotters::prelude::RGBColor;
use plotters::style::text_anchor::HPos;

use super::panel::{Frame, INK, MUTED, estimated_width, plot_in};
use super::pen::{Area, Pen, Rect, WHITE};
use super::scale::Axis;
use super::{BLUE, GREEN, OCHRE, PURPLE, SLATE, VERMILION, WIDTH, height_for, place, svg};

/// The mean over seeds of one arm, by step: (step, mean, 95 % interval if there is one).
#[derive(Debug, Clone, Default)]
pub struct Curve(pub Vec<(f64, f64, Option<[f64; 2]>)>);

/// The picture of an ablation.
#[derive(Debug, Clone)]
pub struct Bands {
    title: String,
    arms: Vec<String>,
    panels: Vec<(String, Vec<Curve>)>,
}

/// The order keeps the first few furthest apart, also for the colour-blind.
const COLOURS: [RGBColor; 6] = [BLUE, VERMILION, GREEN, OCHRE, PURPLE, SLATE];

/// From the seventh arm on the colours come again, dashed: so that twelve arms can be told apart.
const DASH: f64 = 7.0;

/// A curve of at most so many points has each of them marked, as an evaluation has.
const MARKED: usize = 40;

impl Bands {
    /// A picture without panels.
    pub fn new(title: &str, arms: &[&str]) -> Bands {
        Bands { title: title.to_owned(), arms: arms.iter().map(|arm| (*arm).to_owned()).collect(), panels: Vec::new() }
    }

    /// Adds the panel of a metric, with one curve for each arm.
    pub fn add(&mut self, metric: &str, curves: Vec<Curve>) {
        self.panels.push((metric.to_owned(), curves));
    }

    /// The picture as the text of an SVG file.
    pub fn svg(&self) -> String {
        let height = height_for(self.panels.len());
        svg(height, |area| self.draw(area, height))
    }

    fn draw(&self, area: &Area<'_>, height: f64) {
        let pen = Pen { area };
        pen.fill(Rect { left: 0.0, top: 0.0, right: WIDTH, bottom: height }, WHITE);
        pen.bold(&self.title, (28.0, 32.0), 22.0, INK, HPos::Left);
        draw_legend(&pen, &self.arms);
        let key = "line: mean over seeds \u{b7} band: 95 % interval";
        pen.text(key, (WIDTH - 28.0, 32.0), 13.5, MUTED, HPos::Right);
        for (panel_idx, (metric, curves)) in self.panels.iter().enumerate() {
            draw_panel(&pen, place(panel_idx), metric, curves);
        }
    }
}

/// The names of arms by their colour, side by side.
pub(super) fn draw_legend(pen: &Pen<'_, '_>, arms: &[String]) {
    let mut x = 28.0;
    for (arm_idx, arm) in arms.iter().enumerate() {
        stroke(pen, &[(x, 57.0), (x + 22.0, 57.0)], arm_idx);
        pen.text(arm, (x + 28.0, 57.0), 13.5, colour(arm_idx), HPos::Left);
        x += 28.0 + estimated_width(arm) + 24.0;
    }
}

pub(super) fn colour(arm_idx: usize) -> RGBColor {
    COLOURS[arm_idx % COLOURS.len()]
}

fn draw_panel(pen: &Pen<'_, '_>, rect: Rect, metric: &str, curves: &[Curve]) {
    let points = || curves.iter().flat_map(|curve| &curve.0);
    let last_x = points().map(|(x, _, _)| *x).fold(1.0, f64::max);
    let Some(y_axis) = axis(metric, curves) else { return };
    let plot = plot_in(rect);
    pen.bold(metric, (rect.left + 20.0, rect.top + 24.0), 15.5, INK, HPos::Left);
    let frame = Frame { plot, x_axis: Axis::up_to(last_x, 5), y_axis, x_name: "step" };
    frame.draw_grid(pen, &[]);
    for (arm_idx, curve) in curves.iter().enumerate() {
        draw_band(pen, &frame, curve, colour(arm_idx));
    }
    for (arm_idx, curve) in curves.iter().enumerate() {
        let line: Vec<_> = curve.0.iter().filter_map(|&(x, y, _)| frame.at((x, y))).collect();
        stroke(pen, &line, arm_idx);
        if line.len() <= MARKED {
            line.iter().for_each(|at| pen.disc(*at, 3.0, colour(arm_idx)));
        }
    }
}

/// Fractions from 0 to 1, everything else over what is there: the means whole, the bands as far as they are no wider than
/// three times that, so that two seeds far apart do not flatten the rest.
fn axis(metric: &str, curves: &[Curve]) -> Option<Axis> {
    if ["eval/pass_at_1", "eval/format", "accuracy", "format"].contains(&metric) {
        return Some(Axis::linear(0.0, 1.0, 5));
    }
    let points = || curves.iter().flat_map(|curve| &curve.0);
    let (low, high) = points().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), (_, y, _)| (l.min(*y), h.max(*y)));
    if low > high {
        return None;
    }
    let room = (high - low).max(0.05 * high.abs());
    let ends = points().filter_map(|(_, _, interval)| *interval);
    let (least, most) = ends.fold((low, high), |(l, h), [from, to]| (l.min(from), h.max(to)));
    Some(Axis::linear(least.max(low - room), most.min(high + room), 5))
}

fn draw_band(pen: &Pen<'_, '_>, frame: &Frame, curve: &Curve, colour: RGBColor) {
    let end = |which: usize| {
        let point = move |&(x, _, interval): &(f64, f64, Option<[f64; 2]>)| frame.at((x, interval?[which]));
        curve.0.iter().filter_map(point)
    };
    let around: Vec<(f64, f64)> = end(0).chain(end(1).collect::<Vec<_>>().into_iter().rev()).collect();
    if around.len() > 2 {
        pen.area(&around, colour, 0.16);
    }
}

/// A line in the colour of an arm, dashed where the colours have come round.
pub(super) fn stroke(pen: &Pen<'_, '_>, points: &[(f64, f64)], arm_idx: usize) {
    if arm_idx < COLOURS.len() {
        return pen.line(points, colour(arm_idx), 1.0, 2.4);
    }
    for dash in dashes(points) {
        pen.line(&dash, colour(arm_idx), 1.0, 2.4);
    }
}

/// The line cut into pieces of [`DASH`] pixels with gaps as long between them.
fn dashes(points: &[(f64, f64)]) -> Vec<[(f64, f64); 2]> {
    let (mut dashes, mut walked) = (Vec::new(), 0.0);
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        let at = |along: f64| (x0 + (x1 - x0) * along / length, y0 + (y1 - y0) * along / length);
        let mut along = 0.0;
        while along < length {
            let phase = (walked + along) % (2.0 * DASH);
            let next = (along + if phase < DASH { DASH - phase } else { 2.0 * DASH - phase }).min(length);
            if phase < DASH {
                dashes.push([at(along), at(next)]);
            }
            // A rounding error must not stop it.
            along = next.max(along + 1e-6);
        }
        walked += length;
    }
    dashes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(n_arms: usize) -> String {
        let names: Vec<String> = (0..n_arms).map(|arm| format!("arm_{arm}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut bands = Bands::new("title", &names);
        let curve = |arm: usize| {
            let y = 0.1 * arm as f64;
            Curve(vec![(0.0, y, Some([y - 0.1, y + 0.1])), (5.0, y + 0.2, Some([y, y + 0.4]))])
        };
        bands.add("eval/pass_at_1", (0..n_arms).map(curve).collect());
        bands.add("reward", vec![Curve::default(); n_arms]);
        bands.svg()
    }

    #[test]
    fn every_arm_has_a_line_and_a_band_of_its_colour() {
        let svg = picture(3);
        for colour in ["#0072B2", "#D55E00", "#008E68"] {
            assert_eq!(svg.matches(&format!("<polygon opacity=\"0.16\" fill=\"{colour}\"")).count(), 1, "{colour}");
            assert!(svg.matches(&format!("stroke=\"{colour}\"")).count() >= 2, "{colour}: a curve and its key");
        }
        assert!(svg.contains("arm_2") && svg.contains("eval/pass_at_1"));
    }

    #[test]
    fn the_seventh_arm_is_dashed() {
        let dashes_of_blue = |n: usize| picture(n).matches("stroke=\"#0072B2\"").count();
        assert!(dashes_of_blue(7) > dashes_of_blue(6) + 10);
    }

    #[test]
    fn a_line_is_cut_into_dashes() {
        assert_eq!(dashes(&[(0.0, 0.0), (21.0, 0.0)]), [[(0.0, 0.0), (7.0, 0.0)], [(14.0, 0.0), (21.0, 0.0)]]);
        assert_eq!(dashes(&[(0.0, 0.0)]).len(), 0);
    }
}
