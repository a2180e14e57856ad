//! Accuracy against thinking tokens: for each set of problems a panel, in it a curve for each model.

use plotters::style::text_anchor::HPos;

use super::bands::{colour, draw_legend, stroke};
use super::panel::{Frame, INK, MUTED, plot_in};
use super::pen::{Area, Pen, Rect, WHITE};
use super::scale::Axis;
use super::{WIDTH, height_for, place, svg};
use crate::evaluation::{BudgetCurve, BudgetPoint};

/// The picture of the curves of an evaluation.
#[derive(Debug, Clone)]
pub struct BudgetCurves {
    title: String,
    models: Vec<String>,
    /// By set: its name, and its curves with the index of their model.
    panels: Vec<(String, Vec<(usize, BudgetCurve)>)>,
}

impl BudgetCurves {
    /// - `curves`: model, set, curve; models that are not among `models` are left out
    pub fn new<'a>(
        title: &str,
        models: &[String],
        curves: impl Iterator<Item = (&'a str, &'a str, &'a BudgetCurve)>,
    ) -> Self {
        let mut panels: Vec<(String, Vec<(usize, BudgetCurve)>)> = Vec::new();
        for (model, set, curve) in curves {
            let Some(model) = models.iter().position(|known| known == model) else { continue };
            let panel = panels.iter().position(|(known, _)| known == set).unwrap_or_else(|| {
                panels.push((set.to_owned(), Vec::new()));
                panels.len() - 1
            });
            panels[panel].1.push((model, curve.clone()));
        }
        Self { title: title.to_owned(), models: models.to_vec(), panels }
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
        draw_legend(&pen, &self.models);
        let key = "pass@1 by mean thinking tokens \u{b7} bars: 95 % interval";
        pen.text(key, (WIDTH - 28.0, 32.0), 13.5, MUTED, HPos::Right);
        for (panel_idx, (set, curves)) in self.panels.iter().enumerate() {
            draw_panel(&pen, place(panel_idx), set, curves);
        }
    }
}

fn draw_panel(pen: &Pen<'_, '_>, rect: Rect, set: &str, curves: &[(usize, BudgetCurve)]) {
    let last =
        curves.iter().flat_map(|(_, curve)| &curve.points).map(|point| point.thinking_tokens).fold(1.0, f64::max);
    pen.bold(set, (rect.left + 20.0, rect.top + 24.0), 15.5, INK, HPos::Left);
    let frame = Frame {
        plot: plot_in(rect),
        x_axis: Axis::up_to(last, 5),
        y_axis: Axis::linear(0.0, 1.0, 5),
        x_name: "tokens",
    };
    frame.draw_grid(pen, &[]);
    for (model, curve) in curves {
        let at = |point: &BudgetPoint, y: f64| frame.at((point.thinking_tokens, y));
        let line: Vec<_> = curve.points.iter().filter_map(|point| at(point, point.accuracy?.mean)).collect();
        stroke(pen, &line, *model);
        for point in &curve.points {
            let ends = point.accuracy.and_then(|accuracy| accuracy.interval);
            if let Some((low, high)) = ends.and_then(|[low, high]| Some((at(point, low)?, at(point, high)?))) {
                pen.line(&[low, high], colour(*model), 0.45, 1.4);
            }
        }
        line.iter().for_each(|at| pen.disc(*at, 3.4, colour(*model)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{Estimate, Range};

    #[test]
    fn every_set_has_a_panel_and_every_model_a_curve() {
        let point = |thinking_tokens, right: &[f64]| BudgetPoint {
            cap: None,
            waits: None,
            thinking_tokens,
            accuracy: Estimate::of(right, Range::Fraction),
            control: None,
        };
        let curve = |far: f64| BudgetCurve::of(vec![point(10.0, &[0.0, 1.0]), point(far, &[1.0, 1.0])]).unwrap();
        let curves = [("base", "sums", curve(40.0)), ("zero", "sums", curve(95.0)), ("zero", "words", curve(20.0))];
        let models = ["base".to_owned(), "zero".to_owned()];
        let all = curves.iter().map(|(model, set, curve)| (*model, *set, curve));
        let svg = BudgetCurves::new("table", &models, all).svg();
        for text in ["table", "base", "zero", "sums", "words"] {
            assert!(svg.contains(&format!("\n{text}\n")), "{text} is not in the picture");
        }
        // Two points of each curve.
        assert_eq!(svg.matches("<circle").count(), 6);
    }
}
