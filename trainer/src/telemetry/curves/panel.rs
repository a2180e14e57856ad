//! One panel of the picture: axes, curves, held-out points.

use plotters::prelude::RGBColor;
use plotters::style::text_anchor::HPos;

use super::pen::{Pen, Rect, WHITE};
use super::scale::{Axis, robust_range, smooth, thin_out, thin_out_smooth};

/// Colour of titles.
pub const INK: RGBColor = RGBColor(31, 35, 40);
/// Colour of labels.
pub const MUTED: RGBColor = RGBColor(101, 109, 118);
const GRID: RGBColor = RGBColor(230, 233, 237);
const BASE: RGBColor = RGBColor(160, 168, 178);

/// How the vertical axis is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YAxis {
    /// 0 to 1.
    Fraction,
    /// 0 to what is there.
    FromZero,
    /// What is there.
    Free,
    /// Powers of ten.
    Log,
}

/// A held-out value.
#[derive(Debug, Clone, Copy)]
pub struct Marker {
    pub x: f64,
    pub y: f64,
    pub interval: Option<[f64; 2]>,
}

/// One metric over the steps.
#[derive(Debug, Clone)]
pub struct Series {
    /// Empty where the panel's title says it.
    pub label: &'static str,
    pub colour: RGBColor,
    /// One run of points for each stage that has the metric; finite values only.
    pub segments: Vec<Vec<(f64, f64)>>,
    pub markers: Vec<Marker>,
}

impl Series {
    fn has_data(&self) -> bool {
        !self.segments.is_empty() || !self.markers.is_empty()
    }
}

/// A panel, with what is to be drawn in it.
#[derive(Debug, Clone)]
pub struct Panel {
    pub title: &'static str,
    pub unit: &'static str,
    pub y_axis: YAxis,
    pub series: Vec<Series>,
}

impl Panel {
    /// Whether a curve or a point can be drawn.
    pub fn has_data(&self) -> bool {
        self.axis().is_some()
    }

    /// The vertical axis for what is there; `None` if nothing is.
    fn axis(&self) -> Option<Axis> {
        let usable = |y: &f64| self.y_axis != YAxis::Log || *y > 0.0;
        let mut values: Vec<f64> = self
            .series
            .iter()
            .flat_map(|series| series.segments.iter().flatten())
            .map(|(_, y)| *y)
            .filter(usable)
            .collect();
        let (mut low, mut high) = robust_range(&values).unwrap_or((f64::INFINITY, f64::NEG_INFINITY));
        values.clear();
        for marker in self.series.iter().flat_map(|series| &series.markers) {
            values.extend(marker.interval.unwrap_or([marker.y, marker.y]));
        }
        for value in values.into_iter().filter(usable) {
            (low, high) = (low.min(value), high.max(value));
        }
        let present = low <= high;
        present.then(|| match self.y_axis {
            YAxis::Fraction => Axis::linear(0.0, 1.0, 5),
            YAxis::FromZero => Axis::linear(low.min(0.0), high, 5),
            YAxis::Free => Axis::linear(low, high, 5),
            YAxis::Log => Axis::log(low, high),
        })
    }

    /// Draws the panel into `rect`; steps go from 0 to `last_x`, stages are parted at `borders`.
    pub fn draw(&self, pen: &Pen<'_, '_>, rect: Rect, last_x: f64, borders: &[f64]) {
        let Some(y_axis) = self.axis() else { return };
        let x_axis = Axis::up_to(last_x, 5);
        let plot = plot_in(rect);
        self.draw_head(pen, rect, plot);
        let frame = Frame { plot, x_axis, y_axis, x_name: "step" };
        frame.draw_grid(pen, borders);
        for series in &self.series {
            frame.draw_raw(pen, series);
        }
        for series in &self.series {
            frame.draw_trend(pen, series, self.y_axis == YAxis::Log);
        }
        let mut labels = Vec::new();
        for series in &self.series {
            frame.draw_markers(pen, series, &mut labels);
        }
    }

    /// Title and unit on the left, the names of the curves on the right.
    fn draw_head(&self, pen: &Pen<'_, '_>, rect: Rect, plot: Rect) {
        let y = rect.top + 24.0;
        pen.bold(self.title, (rect.left + 20.0, y), 15.5, INK, HPos::Left);
        let mut right = plot.right;
        let named: Vec<&Series> = self.series.iter().filter(|s| !s.label.is_empty() && s.has_data()).collect();
        for series in named {
            pen.text(series.label, (right, y), 13.5, series.colour, HPos::Right);
            right -= estimated_width(series.label) + 6.0;
            pen.line(&[(right - 14.0, y), (right, y)], series.colour, 1.0, 2.6);
            right -= 26.0;
        }
        if right == plot.right {
            pen.text(self.unit, (plot.right, y), 12.5, MUTED, HPos::Right);
        }
    }
}

/// The plot of a panel that fills `rect`.
pub fn plot_in(rect: Rect) -> Rect {
    Rect { left: rect.left + 62.0, top: rect.top + 46.0, right: rect.right - 22.0, bottom: rect.bottom - 36.0 }
}

/// About the width of a curve's name at its size: the viewer's font is not known here.
pub fn estimated_width(text: &str) -> f64 {
    let width = |c: char| match c {
        'm' | 'w' => 13.0,
        'f' | 'i' | 'j' | 'l' | 'r' | 't' => 5.6,
        _ => 7.9,
    };
    text.chars().map(width).sum()
}

/// A plot with its axes.
pub struct Frame {
    pub plot: Rect,
    pub x_axis: Axis,
    pub y_axis: Axis,
    /// What the horizontal axis counts; empty where its labels are names.
    pub x_name: &'static str,
}

impl Frame {
    /// Where a point lies in the picture; none if it has no place on the axis.
    pub fn at(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        let Rect { left, top, right, bottom } = self.plot;
        Some((left + (right - left) * self.x_axis.place(x)?, bottom - (bottom - top) * self.y_axis.place(y)?))
    }

    /// Lines, ticks and their labels; stages are parted at `borders`.
    pub fn draw_grid(&self, pen: &Pen<'_, '_>, borders: &[f64]) {
        let Rect { left, top, right, bottom } = self.plot;
        for (position, label) in &self.y_axis.ticks {
            let y = bottom - (bottom - top) * self.y_axis.place_tick(*position);
            pen.line(&[(left, y), (right, y)], GRID, 1.0, 1.0);
            pen.text(label, (left - 8.0, y), 12.5, MUTED, HPos::Right);
        }
        for border in borders {
            let x = left + (right - left) * self.x_axis.place_tick(*border);
            pen.line(&[(x, top), (x, bottom)], BASE, 0.7, 1.0);
        }
        pen.line(&[(left, bottom), (right, bottom)], BASE, 1.0, 1.2);
        let mut last_label = left;
        for (position, label) in &self.x_axis.ticks {
            let x = left + (right - left) * self.x_axis.place_tick(*position);
            pen.line(&[(x, bottom), (x, bottom + 4.0)], BASE, 1.0, 1.2);
            pen.text(label, (x, bottom + 14.0), 12.5, MUTED, HPos::Center);
            last_label = x + 4.0 * label.len() as f64;
        }
        // The axis is named where its last label leaves room.
        if !self.x_name.is_empty() && right - last_label > 34.0 {
            pen.text(self.x_name, (right, bottom + 14.0), 12.5, MUTED, HPos::Right);
        }
    }

    fn draw_raw(&self, pen: &Pen<'_, '_>, series: &Series) {
        for points in &series.segments {
            let path: Vec<_> = thin_out(points, 500).into_iter().filter_map(|point| self.at(point)).collect();
            pen.line(&path, series.colour, 0.28, 1.0);
        }
    }

    fn draw_trend(&self, pen: &Pen<'_, '_>, series: &Series, logarithmic: bool) {
        for points in &series.segments {
            let usable: Vec<_> = points.iter().copied().filter(|(_, y)| !logarithmic || *y > 0.0).collect();
            let trend = thin_out_smooth(&smooth(&usable, logarithmic), 250);
            let path: Vec<_> = trend.into_iter().filter_map(|point| self.at(point)).collect();
            match path.as_slice() {
                [single] => pen.disc(*single, 2.6, series.colour),
                path => pen.line(path, series.colour, 1.0, 2.6),
            }
        }
    }

    /// Points with their intervals, and the values of the first and the last; `labels` has where values stand already.
    pub fn draw_markers(&self, pen: &Pen<'_, '_>, series: &Series, labels: &mut Vec<Rect>) {
        for marker in &series.markers {
            let Some((x, y)) = self.at((marker.x, marker.y)) else { continue };
            let ends =
                marker.interval.and_then(|[low, high]| Some((self.at((marker.x, low))?, self.at((marker.x, high))?)));
            if let Some(((_, low), (_, high))) = ends {
                pen.line(&[(x, low), (x, high)], series.colour, 1.0, 1.6);
                for end in [low, high] {
                    pen.line(&[(x - 4.5, end), (x + 4.5, end)], series.colour, 1.0, 1.6);
                }
            }
            pen.disc((x, y), 4.8, series.colour);
            pen.disc((x, y), 2.8, WHITE);
        }
        let (Some(first), Some(last)) = (series.markers.first(), series.markers.last()) else { return };
        if first.x < last.x {
            self.draw_value(pen, series.colour, first, HPos::Left, labels);
            self.draw_value(pen, series.colour, last, HPos::Right, labels);
        }
    }

    /// The value of the first or the last held-out point beside it, on the side where the plot is: above the point, or
    /// below it where the plot ends or another label is in the way.
    fn draw_value(&self, pen: &Pen<'_, '_>, colour: RGBColor, marker: &Marker, side: HPos, labels: &mut Vec<Rect>) {
        let Some((x, y)) = self.at((marker.x, marker.y)) else { return };
        let text = if marker.y.abs() < 10.0 { format!("{:.2}", marker.y) } else { format!("{:.0}", marker.y) };
        let text = text.replace('-', "\u{2212}");
        let width = 8.1 * text.chars().count() as f64;
        let left = if matches!(side, HPos::Left) { x + 8.0 } else { x - 8.0 - width };
        let around = |y: f64| Rect { left, top: y - 7.5, right: left + width, bottom: y + 7.5 };
        let fits = |rect: &Rect| {
            rect.top >= self.plot.top && rect.bottom <= self.plot.bottom && !labels.iter().any(|l| l.overlaps(rect))
        };
        let rect = [around(y - 15.0), around(y + 15.0)].into_iter().find(fits).unwrap_or(around(y - 15.0));
        labels.push(rect);
        pen.veil(rect);
        let x = if matches!(side, HPos::Left) { rect.left } else { rect.right };
        pen.bold(&text, (x, (rect.top + rect.bottom) / 2.0), 13.0, colour, side);
    }
}
