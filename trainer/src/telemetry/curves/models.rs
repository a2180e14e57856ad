//! Models side by side: for each set of problems and each metric that tells models apart a panel, in it a point for each model.

use plotters::prelude::RGBColor;
use plotters::style::text_anchor::HPos;

use super::panel::{Frame, INK, MUTED, Marker, Series, estimated_width, plot_in};
use super::pen::{Area, Pen, Rect, WHITE};
use super::scale::Axis;
use super::{BLUE, GREEN, OCHRE, VERMILION, WIDTH, height_for, place, svg};
use crate::evaluation::{Measured, Metric, Range, Results, SetResult, columns};

/// The picture of the tables of an evaluation.
#[derive(Debug, Clone)]
pub struct ModelCurves {
    title: String,
    models: Vec<String>,
    panels: Vec<ModelPanel>,
}

/// A metric of a set.
#[derive(Debug, Clone)]
struct ModelPanel {
    title: String,
    range: Range,
    /// By model, its place among models as `x`.
    series: Series,
}

impl ModelCurves {
    /// The picture of what models have come to; none of one model, which there is nothing to compare with.
    pub fn new(results: &Results) -> Option<Self> {
        let of_set = |(set, own): (&str, Vec<&SetResult>)| -> Vec<ModelPanel> {
            let panel = |metric| ModelPanel::new(set, metric, &results.models, &own);
            columns(&own).into_iter().filter_map(panel).collect()
        };
        let panels: Vec<ModelPanel> = results.by_set().into_iter().flat_map(of_set).collect();
        let is_any = results.models.len() > 1 && !panels.is_empty();
        is_any.then(|| Self { title: results.stage.clone(), models: results.models.clone(), panels })
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
        let key = "circles: means over problems \u{b7} bars: 95 % interval";
        pen.text(key, (WIDTH - 28.0, 32.0), 13.5, MUTED, HPos::Right);
        let names = self.names();
        if names != self.models {
            let pairs = names.iter().zip(&self.models).map(|(number, model)| format!("{number} {model}"));
            pen.text(&pairs.collect::<Vec<_>>().join(" \u{b7} "), (28.0, 57.0), 13.5, MUTED, HPos::Left);
        }
        for (panel_idx, panel) in self.panels.iter().enumerate() {
            panel.draw(&pen, place(panel_idx), &names);
        }
    }

    /// What stands below the points: the models, or, where these have no room beside each other, their numbers.
    fn names(&self) -> Vec<String> {
        let plot = plot_in(place(0));
        let room = (plot.right - plot.left) / self.models.len() as f64;
        let has_room = |model: &String| estimated_width(model) < room;
        match self.models.iter().all(has_room) {
            true => self.models.clone(),
            false => (1..=self.models.len()).map(|number| number.to_string()).collect(),
        }
    }
}

impl ModelPanel {
    /// The panel of a metric; none where it has none, or says nothing of these models.
    fn new(set: &str, metric: &Metric, models: &[String], own: &[&SetResult]) -> Option<Self> {
        let colour = colour(metric)?;
        let of_model = |(place, model): (usize, &String)| -> Option<(usize, &Measured)> {
            let summary = &own.iter().find(|result| result.model == *model)?.summary;
            Some((place, summary.metrics.iter().find(|measured| measured.metric == *metric)?))
        };
        let measured: Vec<_> = models.iter().enumerate().filter_map(of_model).collect();
        let range = measured.first()?.1.range;
        let marker = |&(place, measured): &(usize, &Measured)| {
            let estimate = measured.estimate;
            Marker { x: place as f64, y: estimate.mean, interval: estimate.interval }
        };
        let markers = measured.iter().map(marker).collect();
        let series = Series { label: "", colour, segments: Vec::new(), markers };
        Some(Self { title: format!("{set}: {metric}"), range, series })
    }

    fn draw(&self, pen: &Pen<'_, '_>, rect: Rect, names: &[String]) {
        let (markers, colour) = (&self.series.markers, self.series.colour);
        let plot = plot_in(rect);
        // Estimated widths are those of a normal 13.5, bold is wider.
        let size = 15.5 * (270.0 / estimated_width(&self.title)).min(1.0);
        pen.bold(&self.title, (rect.left + 20.0, rect.top + 24.0), size, INK, HPos::Left);
        let frame = Frame { plot, x_axis: Axis::of_names(names), y_axis: self.y_axis(), x_name: "" };
        frame.draw_grid(pen, &[]);
        let line: Vec<_> = markers.iter().filter_map(|marker| frame.at((marker.x, marker.y))).collect();
        pen.line(&line, colour, 0.45, 2.4);
        frame.draw_markers(pen, &self.series, &mut Vec::new());
    }

    /// Shares from 0 to 1, everything else over means and intervals.
    fn y_axis(&self) -> Axis {
        let ends = self.series.markers.iter().flat_map(|marker| {
            let [low, high] = marker.interval.unwrap_or([marker.y; 2]);
            [low, marker.y, high]
        });
        let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), y| (l.min(y), h.max(y)));
        match self.range {
            Range::Fraction => Axis::linear(0.0, 1.0, 5),
            Range::Unbounded => Axis::linear(low, high, 5),
        }
    }
}

/// The colour of a metric's panels, that of the training curves; none of what is in the table only.
fn colour(metric: &Metric) -> Option<RGBColor> {
    match metric {
        Metric::PassAt(1) => Some(BLUE),
        Metric::Format => Some(OCHRE),
        Metric::Score(_) => Some(VERMILION),
        Metric::Tokens => Some(GREEN),
        Metric::PassAt(_) | Metric::ConsAt(_) | Metric::Greedy | Metric::ThinkingTokens | Metric::Truncated => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::pen::FINE;
    use super::*;
    use crate::evaluation::{Asked, Measures, Sample, Score};

    /// Two samples of each of 20 problems, of which every `right_every`-th is right.
    fn result(model: &str, set: &str, right_every: usize, win: Option<f64>) -> SetResult {
        let score = |name: &str, value, range| Score { name: name.to_owned(), value, range };
        let sample = |problem: usize| Sample {
            correct: (set == "sums").then_some(problem.is_multiple_of(right_every)),
            answer: None,
            formatted: (set == "sums").then_some(true),
            n_tokens: 100 + problem,
            n_thinking_tokens: 50,
            truncated: false,
            within_budget: None,
            scores: vec![
                score("helpful", Some(-3.0 + problem as f64 / 10.0), Range::Unbounded),
                score("win rate", win, Range::Fraction),
            ],
        };
        let asked = |problem| Asked { labels: BTreeMap::new(), samples: vec![sample(problem); 2], greedy: None };
        let asked: Vec<Asked> = (0..20).map(asked).collect();
        SetResult::new(model, set, &asked, &Measures { pass_at: vec![2], consensus: true }, Vec::new())
    }

    fn results(models: &[&str]) -> Results {
        let of_model = |(place, model): (usize, &&str)| {
            let win = (place != 1).then_some(0.5);
            [result(model, "sums", 6 - place, win), result(model, "talk", 1, win)]
        };
        Results {
            stage: "table".to_owned(),
            models: models.iter().map(|model| (*model).to_owned()).collect(),
            results: models.iter().enumerate().flat_map(of_model).collect(),
        }
    }

    const STAGES: [&str; 6] = ["base", "zero", "dev1", "dev2", "dev3", "r1"];

    fn svg_of(results: &Results) -> String {
        ModelCurves::new(results).expect("a picture").svg()
    }

    /// The texts of a picture.
    fn texts(svg: &str) -> Vec<&str> {
        svg.lines().filter(|line| !line.starts_with('<')).collect()
    }

    #[test]
    fn every_set_has_a_panel_a_metric_and_every_model_a_point() {
        let results = results(&STAGES);
        let svg = svg_of(&results);
        if let Some(folder) = std::env::var_os("CURVES_OUT") {
            std::fs::write(std::path::Path::new(&folder).join("models.svg"), &svg).unwrap();
        }
        let texts = texts(&svg);
        assert_eq!(texts[0], "table");
        let titles: Vec<&str> =
            texts.iter().copied().filter(|text| text.contains(": ") && !text.contains("bars")).collect();
        let sums = ["sums: pass@1", "sums: format", "sums: helpful", "sums: win rate", "sums: tokens"];
        let talk = ["talk: helpful", "talk: win rate", "talk: tokens"];
        assert_eq!(titles, [&sums[..], &talk].concat());
        // Their order along the axis, in each of the eight panels.
        let names: Vec<&str> = texts.iter().copied().filter(|text| STAGES.contains(text)).collect();
        assert_eq!(names, STAGES.repeat(8));
        // A disc and its middle; the second model has no win rate.
        assert_eq!(svg.matches("<circle").count(), 2 * (8 * 6 - 2));
        // Shares have an axis from 0 to 1, scores and lengths one of their own.
        assert_eq!(texts.iter().filter(|text| **text == "0.8").count(), 4);
        for text in ["\u{2212}2.4", "\u{2212}2.05", "108", "110"] {
            assert!(texts.contains(&text), "{text} is not in {texts:?}");
        }
    }

    #[test]
    fn one_model_has_no_picture() {
        assert!(ModelCurves::new(&results(&["base"])).is_none());
        assert!(ModelCurves::new(&Results { results: Vec::new(), ..results(&STAGES) }).is_none());
    }

    #[test]
    fn bars_are_where_the_intervals_are() {
        // The upright line of the last model in the first panel, between two heights in [0, 1].
        let bar = |[low, high]: [f64; 2]| {
            let plot = plot_in(place(0));
            let fine = |at: f64| (at * FINE).round();
            let x = fine(plot.left + (plot.right - plot.left) * 0.75);
            let y = |share: f64| fine(plot.bottom - (plot.bottom - plot.top) * share);
            format!("points=\"{x},{} {x},{} \"", y(low), y(high))
        };
        let mut results = results(&["base", "zero"]);
        let estimate = |results: &mut Results| {
            let measured = &mut results.results[2].summary.metrics[0];
            assert_eq!(measured.metric, Metric::PassAt(1));
            measured.estimate.interval
        };
        let measured = estimate(&mut results).unwrap();
        assert!(svg_of(&results).contains(&bar(measured)));
        results.results[2].summary.metrics[0].estimate.interval = Some([0.1, 0.9]);
        let moved = svg_of(&results);
        assert!(moved.contains(&bar([0.1, 0.9])) && !moved.contains(&bar(measured)));
        results.results[2].summary.metrics[0].estimate.interval = None;
        assert!(!svg_of(&results).contains(&bar([0.1, 0.9])), "no interval, no bar");
    }

    #[test]
    fn long_names_have_numbers() {
        let models = ["DeepSeek-R1-Distill-Qwen-1.5B", "Qwen2.5-Math-1.5B-Instruct"];
        let svg = svg_of(&results(&models));
        let texts = texts(&svg);
        assert!(texts.contains(&&*format!("1 {} \u{b7} 2 {}", models[0], models[1])), "{texts:?}");
        assert!(texts.contains(&"2") && !texts.contains(&models[1]));
    }
}
