//! The training curves as one picture, `curves.svg`: what is drawn in it. How is in `panel`, `scale` and `pen`.

mod bands;
mod budget;
mod models;
mod panel;
mod pen;
mod scale;

use std::path::Path;

use plotters::prelude::{IntoDrawingArea, RGBColor, SVGBackend};
use plotters::style::text_anchor::HPos;

use super::metrics::{MetricsRow, names};
use super::report::EvalRow;
use crate::run::atomic::{self, FileError};
pub use bands::{Bands, Curve};
pub use budget::BudgetCurves;
pub use models::ModelCurves;
use panel::{INK, MUTED, Marker, Panel, Series, YAxis};
use pen::{Area, FINE, Pen, Rect, WHITE};

const WIDTH: f64 = 1200.0;
const PANEL_HEIGHT: f64 = 280.0;
const HEADER_HEIGHT: f64 = 76.0;
const FOOTER_HEIGHT: f64 = 10.0;
const N_COLUMNS: usize = 3;
const MAX_PANELS: usize = 6;

// Okabe and Ito's palette, whose colours the common kinds of colour blindness keep apart.
const BLUE: RGBColor = RGBColor(0, 114, 178);
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const GREEN: RGBColor = RGBColor(0, 142, 104);
const PURPLE: RGBColor = RGBColor(184, 92, 146);
const OCHRE: RGBColor = RGBColor(196, 132, 0);
const SLATE: RGBColor = RGBColor(84, 98, 117);

/// What goes into the picture.
#[derive(Debug, Clone, Copy)]
pub struct Curves<'a> {
    /// The headline.
    pub title: &'a str,
    /// The rows of `metrics.jsonl`.
    pub metrics: &'a [MetricsRow],
    /// The rows of `eval.jsonl`.
    pub evals: &'a [EvalRow],
}

/// The height of a picture of so many panels.
fn height_for(n_panels: usize) -> f64 {
    HEADER_HEIGHT + n_panels.div_ceil(N_COLUMNS).max(1) as f64 * PANEL_HEIGHT + FOOTER_HEIGHT
}

/// Where a panel lies in the picture.
fn place(panel_idx: usize) -> Rect {
    let width = (WIDTH - 16.0) / N_COLUMNS as f64;
    let (row, column) = (panel_idx / N_COLUMNS, panel_idx % N_COLUMNS);
    let (left, top) = (8.0 + column as f64 * width, HEADER_HEIGHT + row as f64 * PANEL_HEIGHT);
    Rect { left, top, right: left + width, bottom: top + PANEL_HEIGHT }
}

/// What `draw` draws, as the text of an SVG file.
fn svg(height: f64, draw: impl FnOnce(&Area<'_>)) -> String {
    let mut text = String::new();
    {
        let size = ((WIDTH * FINE) as u32, (height * FINE) as u32);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        draw(&area);
        area.present().expect("a string takes any text");
    }
    let fine = format!("width=\"{}\" height=\"{}\"", (WIDTH * FINE) as u32, (height * FINE) as u32);
    text.replacen(&fine, &format!("width=\"{WIDTH}\" height=\"{height}\""), 1)
}

impl Curves<'_> {
    /// Draws the picture and writes it to `path`.
    ///
    /// # Errors
    /// The path and the system's error.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        atomic::write_file(path, self.svg().as_bytes())
    }

    /// The picture as the text of an SVG file: up to six panels, those for which there are numbers.
    pub fn svg(&self) -> String {
        let mut panels = self.panels();
        panels.truncate(MAX_PANELS);
        let height = height_for(panels.len());
        svg(height, |area| self.draw(area, &panels, height))
    }

    fn draw(&self, area: &Area<'_>, panels: &[Panel], height: f64) {
        let pen = Pen { area };
        pen.fill(Rect { left: 0.0, top: 0.0, right: WIDTH, bottom: height }, WHITE);
        pen.bold(self.title, (28.0, 32.0), 22.0, INK, HPos::Left);
        let mut key = "thin: every step \u{b7} thick: smoothed".to_owned();
        if !self.evals.is_empty() {
            key += " \u{b7} circles: held-out problems, 95 % interval";
        }
        pen.text(&key, (28.0, 57.0), 13.5, MUTED, HPos::Left);
        let last_x = self.stage_ends().last().map_or(1.0, |(_, end)| *end).max(1.0);
        for (panel_idx, panel) in panels.iter().enumerate() {
            panel.draw(&pen, place(panel_idx), last_x, &self.inner_borders());
        }
    }

    /// The stages in order, each with the horizontal position of its last step: stages lie side by side.
    fn stage_ends(&self) -> Vec<(&str, f64)> {
        let mut ends: Vec<(&str, f64)> = Vec::new();
        let mut start = 0.0;
        let positions = self.metrics.iter().map(|row| (row.stage.as_str(), row.step));
        for (stage, step) in positions.chain(self.evals.iter().map(|row| (row.stage.as_str(), row.step))) {
            match ends.iter().position(|(name, _)| *name == stage) {
                // Evaluations come after all metrics here; only the last stage can still grow.
                Some(stage_idx) if stage_idx + 1 == ends.len() => {
                    ends[stage_idx].1 = ends[stage_idx].1.max(start + step as f64);
                }
                Some(_) => {}
                None => {
                    start = ends.last().map_or(0.0, |(_, end)| *end);
                    ends.push((stage, start + step as f64));
                }
            }
        }
        ends
    }

    fn inner_borders(&self) -> Vec<f64> {
        let mut borders: Vec<f64> = self.stage_ends().iter().map(|(_, end)| *end).collect();
        borders.pop();
        borders
    }

    /// The horizontal position of a step.
    fn x(&self, stage: &str, step: u64) -> f64 {
        let ends = self.stage_ends();
        let stage_idx = ends.iter().position(|(name, _)| *name == stage).unwrap_or(0);
        let start = if stage_idx == 0 { 0.0 } else { ends[stage_idx - 1].1 };
        start + step as f64
    }

    /// The curve of one metric; empty if no row has it.
    fn series(&self, label: &'static str, name: &str, colour: RGBColor) -> Series {
        let (mut segments, mut start) = (Vec::new(), 0.0);
        for (stage, end) in self.stage_ends() {
            let rows = self.metrics.iter().filter(|row| row.stage == stage);
            let points = rows.filter_map(|row| Some((start + row.step as f64, row.metrics.get(name)?)));
            let points: Vec<_> = points.filter(|(_, y)| y.is_finite()).collect();
            segments.extend((!points.is_empty()).then_some(points));
            start = end;
        }
        Series { label, colour, segments, markers: Vec::new() }
    }

    fn with_markers(&self, mut series: Series, marker: impl Fn(&EvalRow) -> (f64, Option<[f64; 2]>)) -> Series {
        let place = |row: &EvalRow| {
            let (y, interval) = marker(row);
            Marker { x: self.x(&row.stage, row.step), y, interval }
        };
        series.markers = self.evals.iter().map(place).collect();
        series
    }

    /// Every panel that has something to show, the most telling first.
    fn panels(&self) -> Vec<Panel> {
        let accuracy = self.series("accuracy", names::ACCURACY, BLUE);
        let accuracy = self.with_markers(accuracy, |row| (row.result.pass_at_1, Some(row.result.pass_at_1_ci95)));
        let format = self.with_markers(self.series("format", names::FORMAT, OCHRE), |row| (row.result.format, None));
        let length = self.series("", names::MEAN_LENGTH, GREEN);
        let length = self.with_markers(length, |row| (row.result.mean_tokens, None));
        let one = |label, name, colour| vec![self.series(label, name, colour)];
        let panel = |title, unit, y_axis, series| Panel { title, unit, y_axis, series };
        let candidates = vec![
            panel("Accuracy and format", "", YAxis::Fraction, vec![format, accuracy]),
            panel("Completion length", "tokens", YAxis::FromZero, vec![length]),
            panel("Reward", "", YAxis::Free, one("", names::REWARD, VERMILION)),
            panel("KL to the reference", "nats per token", YAxis::FromZero, one("", names::KL, PURPLE)),
            panel("Entropy", "nats per token", YAxis::FromZero, one("", names::ENTROPY, SLATE)),
            panel(
                "Log-prob gap (nats)",
                "",
                YAxis::Log,
                vec![
                    self.series("max", names::LOGPROB_GAP_MAX, VERMILION),
                    self.series("mean", names::LOGPROB_GAP_MEAN, BLUE),
                ],
            ),
            panel("Loss", "", YAxis::Free, one("", names::LOSS, BLUE)),
            panel("Gradient norm", "", YAxis::FromZero, one("", names::GRAD_NORM, GREEN)),
            panel("Learning rate", "", YAxis::FromZero, one("", names::LEARNING_RATE, SLATE)),
        ];
        candidates.into_iter().filter(Panel::has_data).collect()
    }
}

#[cfg(test)]
mod tests;
